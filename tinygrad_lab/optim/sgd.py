"""Stochastic gradient descent. It knows the Optimizer base and NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.optim.optimizer import Optimizer
from tinygrad_lab.optim.rules import SMALL, Update, check, penalized, zeros_like
from tinygrad_lab.tensor import Tensor


class SGD(Optimizer):
    r"""Gradient descent, optionally with (Nesterov) momentum.

    g = grad + weight_decay * p;  b <- momentum * b + (1 - dampening) * g  (b = g at first);
    p <- p - lr * (b, or g + momentum * b with `nesterov`).

    Raises ValueError for negative lr, momentum or weight_decay, and for nesterov without momentum or with dampening.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, 0.5])
    >>> SGD([w], lr=0.1).step()
    >>> w.tolist()
    [0.949999988079071, 1.9500000476837158]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, options: dict[str, Any]) -> None:
        check("lr", options["lr"], "learning rate")
        check("momentum", options["momentum"], "momentum value")
        check("weight_decay", options["weight_decay"], "weight_decay value")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError(
                f"Nesterov momentum requires a momentum and zero dampening, got momentum={options['momentum']}, "
                f"dampening={options['dampening']}"
            )

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, add, multiply, subtract = self._blocks, np.add, np.multiply, np.subtract
        momentum, maximize, lr = group["momentum"], group["maximize"], constant(group["lr"], dtype)
        decay = constant(group["weight_decay"], dtype) if group["weight_decay"] else None

        if not momentum:
            shortcut = decay is None and not maximize

            def plain(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
                if shortcut and values.size <= SMALL:  # networks so small that Python is what takes time
                    subtract(values, multiply(grad, lr), values)
                else:
                    for p, g, s, t in blocks(values, grad):
                        subtract(p, multiply(penalized(p, g, decay, maximize, t), lr, s), p)

            return plain

        states, nesterov, mu = self.state, group["nesterov"], constant(momentum, dtype)
        dampening = constant(1 - group["dampening"], dtype) if group["dampening"] else None

        shortcut = decay is None and not maximize and not nesterov and dampening is None

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            buffer = state.get("momentum_buffer")
            first = buffer is None
            if buffer is None:
                buffer = state["momentum_buffer"] = zeros_like(values)
            elif shortcut and values.size <= SMALL:
                b = buffer.array
                multiply(b, mu, b)
                add(b, grad, b)
                subtract(values, multiply(b, lr), values)
                return
            for p, g, b, s, t in blocks(values, grad, buffer.array):
                g = penalized(p, g, decay, maximize, t)
                if first:
                    b[...] = g
                else:
                    b *= mu
                    b += g if dampening is None else multiply(g, dampening, s)
                if nesterov:
                    s = multiply(b, mu, s)
                    s += g
                    s *= lr
                else:
                    s = multiply(b, lr, s)
                subtract(p, s, p)

        return update
