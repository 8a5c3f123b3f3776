"""RMSprop, Adagrad, Adadelta: steps scaled by accumulated squares. It knows the Optimizer base and NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.optim.optimizer import Optimizer
from tinygrad_lab.optim.rules import Update, advance, check, counter, penalized, zeros_like
from tinygrad_lab.tensor import Tensor


def _check_common(options: dict[str, Any]) -> None:
    check("lr", options["lr"], "learning rate")
    check("eps", options["eps"], "epsilon value")
    check("weight_decay", options["weight_decay"], "weight_decay value")


class RMSprop(Optimizer):
    r"""Steps divided by the running root mean square of the gradient.

    g = grad + weight_decay * p;  v <- alpha * v + (1 - alpha) * g**2;  d = g / (sqrt(v) + eps);  p <- p - lr * d.

    `centered` replaces v in the root by v - a**2, with a the running mean of g; with `momentum`,
    b <- momentum * b + d and p <- p - lr * b. Raises ValueError for negative options.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> RMSprop([w], lr=0.01).step()
    >>> [round(x, 3) for x in w.tolist()]
    [0.9, 2.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)
        check("momentum", options["momentum"], "momentum value")
        check("alpha", options["alpha"], "alpha value")

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize, centered = self._blocks, self.state, group["maximize"], group["centered"]
        lr, eps, alpha = (constant(group[name], dtype) for name in ("lr", "eps", "alpha"))
        rest = constant(1 - group["alpha"], dtype)
        momentum = constant(group["momentum"], dtype) if group["momentum"] else None
        decay = constant(group["weight_decay"], dtype) if group["weight_decay"] else None

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(step=counter(), square_avg=zeros_like(values))
                if momentum is not None:
                    state["momentum_buffer"] = zeros_like(values)
                if centered:
                    state["grad_avg"] = zeros_like(values)
            advance(state)
            mean_sq = state["square_avg"].array
            mean = state["grad_avg"].array if centered else mean_sq
            buffer = state["momentum_buffer"].array if momentum is not None else mean_sq
            for p, g, v, a, b, s, t in blocks(values, grad, mean_sq, mean, buffer):
                g = penalized(p, g, decay, maximize, t)
                s = np.multiply(g, g, s)
                s *= rest
                v *= alpha
                v += s
                if centered:
                    a *= alpha
                    s = np.multiply(g, rest, s)
                    a += s
                    s = np.multiply(a, a, s)
                    s = np.subtract(v, s, s)
                    s = np.sqrt(s, s)
                else:
                    s = np.sqrt(v, s)
                s += eps
                s = np.divide(g, s, s)
                if momentum is not None:
                    b *= momentum
                    b += s
                    s = np.multiply(b, lr, s)
                else:
                    s *= lr
                p -= s

        return update


class Adagrad(Optimizer):
    r"""Steps divided by the root of the sum of all squared gradients so far.

    g = grad + weight_decay * p;  v <- v + g**2;  p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps),
    with v = initial_accumulator_value at first. Raises ValueError for negative options.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> Adagrad([w], lr=0.25).step()
    >>> [round(x, 3) for x in w.tolist()]
    [0.75, 2.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)
        for name in ("lr_decay", "initial_accumulator_value"):
            check(name, options[name], f"{name} value")

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize, lr_decay = self._blocks, self.state, group["maximize"], group["lr_decay"]
        eps = constant(group["eps"], dtype)
        decay = constant(group["weight_decay"], dtype) if group["weight_decay"] else None

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(step=counter(), sum=zeros_like(values))
                state["sum"].array[...] = group["initial_accumulator_value"]
            size = constant(group["lr"] / (1 + (advance(state) - 1) * lr_decay), dtype)
            for p, g, v, s, t in blocks(values, grad, state["sum"].array):
                g = penalized(p, g, decay, maximize, t)
                v += np.multiply(g, g, s)
                s = np.sqrt(v, s)
                s += eps
                s = np.divide(g, s, s)
                s *= size
                p -= s

        return update


class Adadelta(Optimizer):
    r"""Steps in units of the parameter itself: no learning rate needs to be chosen.

    g = grad + weight_decay * p;  v <- rho * v + (1 - rho) * g**2;  d = sqrt(u + eps) / sqrt(v + eps) * g;
    u <- rho * u + (1 - rho) * d**2;  p <- p - lr * d.

    Raises ValueError for negative options and rho above 1.
    Source: https://arxiv.org/abs/1212.5701, https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> Adadelta([w], lr=10.0).step()
    >>> [round(x, 3) for x in w.tolist()]
    [0.968, 2.032]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)
        check("rho", options["rho"], "rho value", up_to=1.0)

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize = self._blocks, self.state, group["maximize"]
        lr, rho, eps = (constant(group[name], dtype) for name in ("lr", "rho", "eps"))
        rest = constant(1 - group["rho"], dtype)
        decay = constant(group["weight_decay"], dtype) if group["weight_decay"] else None

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(step=counter(), square_avg=zeros_like(values), acc_delta=zeros_like(values))
            advance(state)
            for p, g, v, u, s, t in blocks(values, grad, state["square_avg"].array, state["acc_delta"].array):
                g = penalized(p, g, decay, maximize, t)
                s = np.multiply(g, g, s)
                s *= rest
                v *= rho
                v += s
                s = np.add(v, eps, s)
                s = np.sqrt(s, s)
                s = np.divide(g, s, s)  # from here on g, which may live in t, is not needed
                t = np.add(u, eps, t)
                t = np.sqrt(t, t)
                s *= t
                t = np.multiply(s, s, t)
                t *= rest
                u *= rho
                u += t
                s *= lr
                p -= s

        return update
