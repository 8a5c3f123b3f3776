"""Differentiation: gradients as values, derivatives of functions, your own ops, anomaly mode, reading the graph."""

from typing import Any

from tinygrad_lab.absent import absent
from tinygrad_lab.autograd import functional
from tinygrad_lab.autograd.anomaly import detect_anomaly, set_detect_anomaly
from tinygrad_lab.autograd.function import Function, once_differentiable
from tinygrad_lab.autograd.gradients import backward, grad
from tinygrad_lab.autograd.trace import Step, Trace
from tinygrad_lab.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from tinygrad_lab.tensor import Tensor

__all__ = [
    "Function",
    "Step",
    "Trace",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """A new leaf with `data`'s memory: what programs wrote before PyTorch 0.4, where a Tensor had no gradient.

    >>> Variable(Tensor([1.0, 2.0]), requires_grad=True).is_leaf
    True
    """
    if not isinstance(data, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
    return data.detach().requires_grad_(requires_grad)


def __getattr__(name: str) -> Any:
    """PyTorch has the checkers here; they live in `verify`, which is built on this package: loaded when asked for."""
    if name in ("GradcheckError", "gradcheck", "gradgradcheck"):
        from tinygrad_lab.verify import pytorch

        return getattr(pytorch, name)
    raise absent(__name__, name, __all__)
