"""Helpers on all parameters of a model: clip their gradients, flatten them into one vector and back.

It knows tensors and their gradients; no module.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygrad_lab.absent import absent
from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.ops.declare import registry
from tinygrad_lab.tensor import Tensor, wrap

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[np.ndarray]:
    return [gradient.array for parameter in _listed(parameters) if (gradient := parameter.grad) is not None]


def get_total_norm(tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all tensors as if they were one vector: a 0-d tensor. `norm_type` may be `float("inf")`.

    RuntimeError if `error_if_nonfinite` and it is NaN or infinite.
    """
    return _total_norm([tensor.array for tensor in _listed(tensors)], float(norm_type), error_if_nonfinite)


def _total_norm(arrays: list[np.ndarray], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    dtype = np.result_type(*arrays) if arrays else np.dtype(np.float32)
    # float64 sums: squares of float32 overflow at 1e19, of float16 at 256.
    norms = [float(np.linalg.norm(array.reshape(-1).astype(np.float64, copy=False), norm_type)) for array in arrays]
    total = float(np.linalg.norm(np.array(norms), norm_type)) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            f"clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            f"`error_if_nonfinite=False`"
        )
    return wrap(np.asarray(total, dtype))


def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Tensor) -> None:
    """Scale all gradients, in place, by max_norm / (total_norm + 1e-6) if that is less than 1."""
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    if factor >= 1.0:  # NaN is not: it goes on into the gradients, as PyTorch lets it
        return
    for gradient in _gradients(parameters):
        gradient *= gradient.dtype.type(factor)
        mark_mutated(gradient)


def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the gradients of all parameters, in place, so that their joint norm is at most `max_norm`.

    Returns the norm before, a 0-d tensor. RuntimeError if `error_if_nonfinite` and it is NaN or infinite.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html

    >>> w = Tensor([3.0, 4.0]).requires_grad_()
    >>> (w * w).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0), w.grad
    (tensor(10.), tensor([0.6, 0.8]))
    """
    parameters = _listed(parameters)
    total = _total_norm(_gradients(parameters), float(norm_type), error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensors, clip_value: float) -> None:
    """Clamp every entry of every gradient, in place, to [-clip_value, clip_value]."""
    limit = float(clip_value)
    for gradient in _gradients(parameters):
        np.clip(gradient, -limit, limit, out=gradient)
        mark_mutated(gradient)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, one after the other in one vector; differentiable."""
    return registry["cat"].function([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the slices of one vector into the parameters, in place: the inverse of `parameters_to_vector`.

    TypeError if `vec` is not a Tensor, RuntimeError if its length is not that of all parameters together.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.shape != (needed,):
        raise RuntimeError(
            f"vector_to_parameters: the parameters have {needed} entries together, but the vector has shape {vec.shape}"
        )
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.array[...] = vec.array[start:end].reshape(parameter.shape)
        mark_mutated(parameter.array)
        start = end


def __getattr__(name: str) -> object:  # only reached when there is no such name
    raise absent(__name__, name, __all__, listed=True)
