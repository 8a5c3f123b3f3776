"""Penalties and limits on a model's weights: L1, L2, elastic net (both), max-norm; and how sparse weights are.

Knows modules' parameters and their gradients, nothing of training. Proximal steps are `optim.ProximalSGD`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.nn import Module
from tinygrad_lab.tensor import Tensor

__all__ = ["add_penalty_gradients", "limit_norms", "penalised", "penalty_terms", "sparsity"]


def penalised(model: Module, biases: bool = False) -> list[Tensor]:
    """The parameters that penalties are for: weights, which are matrices; with `biases` all, batch norm's too.

    >>> from tinygrad_lab import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    >>> [weight.shape for weight in penalised(model)]
    [(3, 4), (2, 3)]
    """
    return [parameter for parameter in model.parameters() if biases or parameter.ndim > 1]


def penalty_terms(weights: Sequence[Tensor], l1: float, l2: float) -> tuple[float, float]:
    """(l1 * sum |w|, l2 / 2 * sum w**2), summed over all weights."""
    absolute = sum(float(np.abs(w.array).sum()) for w in weights) if l1 else 0.0
    square = sum(float(np.vdot(w.array, w.array)) for w in weights) if l2 else 0.0
    return l1 * absolute, l2 / 2 * square


def add_penalty_gradients(weights: Sequence[Tensor], l1: float, l2: float) -> None:
    """Add l1 * sign(w) + l2 * w, the gradient of `penalty_terms`, to each weight's `.grad`.

    By hand, since differentiating the terms takes several times as long; at w = 0 the sign is 0, as in PyTorch.
    """
    for weight in weights:
        w, grad = weight.array, weight.grad
        if grad is None:
            continue
        if l2:
            grad.array += w * w.dtype.type(l2)
        if l1:
            grad.array += np.sign(w) * w.dtype.type(l1)
        mark_mutated(grad.array)


def limit_norms(weights: Sequence[Tensor], limit: float) -> None:
    """Scale the incoming weights of each unit (row of an (out, in) matrix) that are longer than `limit` down to it.

    Source: N. Srivastava et al., Dropout, section 5.1, https://jmlr.org/papers/v15/srivastava14a.html
    """
    for weight in weights:
        rows = weight.array.reshape(len(weight.array), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        long = norms > limit
        if long.any():
            factors = np.where(long, limit / np.maximum(norms, limit), 1).astype(weight.array.dtype)
            weight.array *= factors.reshape(-1, *[1] * (weight.ndim - 1))
            mark_mutated(weight.array)


def sparsity(weights: Sequence[Tensor]) -> float:
    """The share of the weights that are exactly 0."""
    total = sum(w.numel() for w in weights)
    return sum(int((w.array == 0).sum()) for w in weights) / total
