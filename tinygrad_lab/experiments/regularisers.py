"""Penalties and limits on a model's weights: L1, L2, elastic net (both), max-norm; and how sparse weights are.

Knows modules' parameters and their gradients, nothing of training. Proximal steps are `optim.ProximalSGD`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.nn import Module
from tinygrad_lab.tensor import Tensor

__all__ = ["Penalty", "limit_norms", "penalised", "sparsity"]


def penalised(model: Module, biases: bool = False) -> list[Tensor]:
    """The parameters that penalties are for: weights, which are matrices; with `biases` all, batch norm's too.

    >>> from tinygrad_lab import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    >>> [weight.shape for weight in penalised(model)]
    [(3, 4), (2, 3)]
    """
    return [parameter for parameter in model.parameters() if biases or parameter.ndim > 1]


class Penalty:
    """l1 * sum |w| + l2 / 2 * sum w**2 over some weights: its two terms, and its gradient.

    By hand and in memory that is kept, since differentiating the terms takes several times as long.

    >>> w = Tensor([3.0, -1.0, 0.0]).requires_grad_()
    >>> w.grad = Tensor([0.0, 0.0, 0.0])
    >>> penalty = Penalty([w], l1=0.5, l2=2.0)
    >>> penalty.add_gradients()
    >>> penalty.terms(), w.grad.tolist()
    ((2.0, 10.0), [6.5, -2.5, 0.0])
    """

    def __init__(self, weights: Sequence[Tensor], l1: float, l2: float) -> None:
        self.weights, self.l1, self.l2 = weights, l1, l2
        self._scratch = [np.empty_like(w.array) for w in weights]

    def terms(self) -> tuple[float, float]:
        """(l1 * sum |w|, l2 / 2 * sum w**2)."""
        absolute = square = 0.0
        for w, scratch in zip(self.weights, self._scratch, strict=True):
            if self.l1:
                absolute += float(np.abs(w.array, out=scratch).sum())
            if self.l2:
                flat = w.array.ravel("K")
                square += float(flat.dot(flat))
        return self.l1 * absolute, self.l2 / 2 * square

    def add_gradients(self) -> None:
        """Add l1 * sign(w) + l2 * w to each weight's `.grad`; at w = 0 the sign is 0, as in PyTorch."""
        for weight, scratch in zip(self.weights, self._scratch, strict=True):
            if weight.grad is None:
                continue
            grad = weight.grad.array
            if self.l2:
                grad += np.multiply(weight.array, weight.array.dtype.type(self.l2), out=scratch)
            if self.l1:
                np.sign(weight.array, out=scratch)
                grad += np.multiply(scratch, scratch.dtype.type(self.l1), out=scratch)
            mark_mutated(grad)


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
