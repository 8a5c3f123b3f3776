"""Adam and its variants. It knows the Optimizer base and NumPy only.

All of them keep running means of the gradient (m, `exp_avg`) and, but for Adamax, of its square (v, `exp_avg_sq`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.optim.optimizer import Optimizer
from tinygrad_lab.optim.rules import Update, advance, check, check_betas, counter, penalized, zeros_like
from tinygrad_lab.tensor import Tensor


def _check_common(options: dict[str, Any]) -> None:
    check("lr", options["lr"], "learning rate")
    check("eps", options["eps"], "epsilon value")
    check_betas(options["betas"])
    check("weight_decay", options["weight_decay"], "weight_decay value")


def _decays(group: dict[str, Any], decoupled: bool, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Weight decay as (coefficient added to the gradient, factor on the parameter); None where it does nothing."""
    if not group["weight_decay"]:
        return None, None
    if decoupled:
        return None, constant(1 - group["lr"] * group["weight_decay"], dtype)
    return constant(group["weight_decay"], dtype), None


class Adam(Optimizer):
    r"""Adam: steps scaled by running means of the gradient and of its square.

    g = grad + weight_decay * p;  m <- beta1 * m + (1 - beta1) * g;  v <- beta2 * v + (1 - beta2) * g**2;
    p <- p - lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps).

    `amsgrad` uses the largest v so far; `decoupled_weight_decay` shrinks p by lr * weight_decay instead (AdamW).
    Raises ValueError for negative lr, eps or weight_decay, and betas outside [0, 1).
    Source: https://arxiv.org/abs/1412.6980, https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> Adam([w], lr=0.25).step()
    >>> w.tolist()
    [0.75, 2.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize, amsgrad = self._blocks, self.state, group["maximize"], group["amsgrad"]
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        keep_m, add_g, keep_v, add_g2 = (constant(c, dtype) for c in (beta1, 1 - beta1, beta2, 1 - beta2))
        decay, shrink = _decays(group, group["decoupled_weight_decay"], dtype)

        @functools.lru_cache(1)  # parameters mostly count the same steps
        def factors(step: float) -> tuple[np.ndarray, np.ndarray]:
            # Multiplying numerator and denominator by sqrt(1 - beta2**t) saves a pass over the array.
            scale = sqrt(1 - beta2**step)
            return np.array(lr * scale / (1 - beta1**step), dtype), np.array(eps * scale, dtype)

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(step=counter(), exp_avg=zeros_like(values), exp_avg_sq=zeros_like(values))
                if amsgrad:
                    state["max_exp_avg_sq"] = zeros_like(values)
            size, shift = factors(advance(state))
            mean, mean_sq = state["exp_avg"].array, state["exp_avg_sq"].array
            largest = state["max_exp_avg_sq"].array if amsgrad else mean_sq
            for p, g, m, v, top, s, t in blocks(values, grad, mean, mean_sq, largest):
                if shrink is not None:
                    p *= shrink
                g = penalized(p, g, decay, maximize, t)
                m *= keep_m
                s = np.multiply(g, add_g, s)
                m += s
                v *= keep_v
                s = np.multiply(g, g, s)
                s *= add_g2
                v += s
                if amsgrad:
                    np.maximum(top, v, out=top)
                s = np.sqrt(top, s)
                s += shift
                s = np.divide(m, s, s)
                s *= size
                p -= s

        return update


class AdamW(Adam):
    r"""Adam with decoupled weight decay: p <- (1 - lr * weight_decay) * p before each step.

    Raises as Adam. Source: https://arxiv.org/abs/1711.05101

    >>> AdamW([Tensor(3)]).defaults["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class Adamax(Optimizer):
    r"""Adam with the maximum norm in place of the root mean square.

    g = grad + weight_decay * p;  m <- beta1 * m + (1 - beta1) * g;  u <- max(beta2 * u, abs(g) + eps);
    p <- p - lr / (1 - beta1**t) * m / u.

    Raises as Adam.
    Source: https://arxiv.org/abs/1412.6980, https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> Adamax([w], lr=0.25).step()
    >>> [round(x, 3) for x in w.tolist()]
    [0.75, 2.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize, (beta1, beta2) = self._blocks, self.state, group["maximize"], group["betas"]
        keep_m, add_g, keep_u, eps = (constant(c, dtype) for c in (beta1, 1 - beta1, beta2, group["eps"]))
        decay, _ = _decays(group, False, dtype)

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(step=counter(), exp_avg=zeros_like(values), exp_inf=zeros_like(values))
            size = constant(group["lr"] / (1 - beta1 ** advance(state)), dtype)
            for p, g, m, u, s, t in blocks(values, grad, state["exp_avg"].array, state["exp_inf"].array):
                g = penalized(p, g, decay, maximize, t)
                m *= keep_m
                s = np.multiply(g, add_g, s)
                m += s
                s = np.abs(g, s)
                s += eps
                u *= keep_u
                np.maximum(u, s, out=u)
                s = np.divide(m, u, s)
                s *= size
                p -= s

        return update


class NAdam(Optimizer):
    r"""Adam with Nesterov momentum, whose coefficient mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2) rises with t.

    g, m, v as in Adam;  d = sqrt(v / (1 - beta2**t)) + eps;
    p <- p - lr * (1 - mu_t) / (1 - mu_1...mu_t) * g / d - lr * mu_{t+1} / (1 - mu_1...mu_{t+1}) * m / d.

    Raises as Adam, and for a negative momentum_decay.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html

    >>> w = Tensor([1.0, 2.0]).requires_grad_()
    >>> w.grad = Tensor([0.5, -8.0])
    >>> NAdam([w], lr=0.25).step()
    >>> [round(x, 3) for x in w.tolist()]
    [0.736, 2.264]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, options: dict[str, Any]) -> None:
        _check_common(options)
        check("momentum_decay", options["momentum_decay"], "momentum_decay value")

    elementwise = True

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        blocks, states, maximize, momentum_decay = self._blocks, self.state, group["maximize"], group["momentum_decay"]
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        keep_m, add_g, keep_v, add_g2 = (constant(c, dtype) for c in (beta1, 1 - beta1, beta2, 1 - beta2))
        decay, shrink = _decays(group, group["decoupled_weight_decay"], dtype)

        def mu(step: float) -> float:
            return beta1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))

        def update(param: Tensor, values: np.ndarray, grad: np.ndarray) -> None:
            state = states[param]
            if not state:
                state.update(
                    step=counter(), mu_product=counter(1.0), exp_avg=zeros_like(values), exp_avg_sq=zeros_like(values)
                )
            step = advance(state)
            product = state["mu_product"].array
            product *= mu(step)  # rounded to its own dtype each time, as PyTorch does
            scale = sqrt(1 - beta2**step)  # moved out of the root, as in Adam
            size_g = constant(lr * scale * (1 - mu(step)) / (1 - product.item()), dtype)
            size_m = constant(lr * scale * mu(step + 1) / (1 - product.item() * mu(step + 1)), dtype)
            shift = constant(eps * scale, dtype)
            for p, g, m, v, s, t in blocks(values, grad, state["exp_avg"].array, state["exp_avg_sq"].array):
                if shrink is not None:
                    p *= shrink
                g = penalized(p, g, decay, maximize, t)
                m *= keep_m
                s = np.multiply(g, add_g, s)
                m += s
                v *= keep_v
                s = np.multiply(g, g, s)
                s *= add_g2
                v += s
                s = np.sqrt(v, s)
                s += shift
                t = np.divide(g, s, t)
                t *= size_g
                p -= t
                s = np.divide(m, s, s)
                s *= size_m
                p -= s

        return update
