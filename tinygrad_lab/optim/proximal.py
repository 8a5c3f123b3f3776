"""Proximal gradient descent for L1 and L2 penalties. It knows the Optimizer base and NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.optim.optimizer import Optimizer
from tinygrad_lab.optim.rules import Update, check, zeros_like
from tinygrad_lab.tensor import Tensor


class ProximalSGD(Optimizer):
    r"""Minimizes loss + l1 * sum |p| + l2 / 2 * sum p**2: gradient steps for the loss, proximal ones for the rest.

    v = p - lr * grad + momentum * (p - previous p);  p <- sign(v) * max(|v| - lr * l1, 0) / (1 + lr * l2).

    The soft threshold makes small values exactly 0, where a gradient of l1 * |p| only makes them jump around 0; the
    shrinkage by l2 is stable at any rate, where its gradient diverges for lr * l2 > 2. PyTorch has no such optimizer.
    The penalties are no part of the loss that is differentiated. Options may differ by group: leave biases out with
    `[{"params": weights}, {"params": biases, "l1": 0, "l2": 0}]`. Without penalties, and at a
    constant rate, this is SGD with momentum.

    Raises ValueError for negative lr, l1 or l2, and a momentum outside [0, 1).
    Source: N. Parikh, S. Boyd, Proximal Algorithms (2014), sections 4.2 and 6.5.2, https://web.stanford.edu/~boyd/papers/prox_algs.html;
    with momentum: P. Ochs et al., iPiano, https://arxiv.org/abs/1404.4805

    >>> w = Tensor([1.0, -0.25]).requires_grad_()
    >>> w.grad = Tensor([0.5, 0.5])
    >>> ProximalSGD([w], lr=0.5, l1=1.0).step()
    >>> w.tolist()
    [0.25, 0.0]
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0, l1: float = 0, l2: float = 0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "l1": l1, "l2": l2})

    def _validate(self, options: dict[str, Any]) -> None:
        check("lr", options["lr"], "learning rate")
        check("momentum", options["momentum"], "momentum value", below=1.0)
        check("l1", options["l1"], "l1 value")
        check("l2", options["l2"], "l2 value")

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, momentum = self._blocks, self.state, group["momentum"]
        lr, mu = constant(group["lr"], dtype), constant(momentum, dtype)
        low, high = (constant(sign * group["lr"] * group["l1"], dtype) for sign in (-1, 1))
        shrink = constant(1 / (1 + group["lr"] * group["l2"]), dtype) if group["l2"] else None
        threshold = group["l1"] > 0

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            # The momentum term is kept as the last change of p, so that it stays right whatever the threshold cut off.
            state = states[param]
            if momentum and not state:
                state["last_change"] = zeros_like(values)
            change = state["last_change"].array if momentum else values
            for p, g, d, s, t in blocks(values, grad, change):
                s = np.multiply(g, lr, s)
                if momentum:
                    np.multiply(d, mu, d)
                    np.subtract(d, s, d)
                    s = np.add(p, d, s)
                else:
                    s = np.subtract(p, s, s)
                if threshold:  # v minus its part within the threshold: exactly 0 where that is all of it
                    t = np.clip(s, low, high, t)
                    np.subtract(s, t, s)
                if shrink is not None:
                    np.multiply(s, shrink, s)
                if momentum:
                    np.subtract(s, p, d)
                p[...] = s

        return update
