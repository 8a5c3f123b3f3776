"""Differentiation: gradients as values, derivatives of functions, your own ops, anomaly mode, reading the graph."""

from typing import Any

from tinygrad_lab.autograd import functional
from tinygrad_lab.autograd.anomaly import detect_anomaly, set_detect_anomaly
from tinygrad_lab.autograd.function import Function, once_differentiable
from tinygrad_lab.autograd.gradients import backward, grad
from tinygrad_lab.autograd.trace import Step, Trace
from tinygrad_lab.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "Step",
    "Trace",
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


def __getattr__(name: str) -> Any:
    """PyTorch has the checkers here; they live in `verify`, which is built on this package: loaded when asked for."""
    if name in ("GradcheckError", "gradcheck", "gradgradcheck"):
        from tinygrad_lab.verify import pytorch

        return getattr(pytorch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
