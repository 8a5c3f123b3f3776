"""`autograd.gradcheck` and `autograd.gradgradcheck` under PyTorch's names, arguments and return convention.

What this file lets you do: run PyTorch's calls unchanged on this package's checker. Second derivatives are checked by
checking the first derivative, as a function of the inputs and of the cotangents, and by the symmetry u.Hv = v.Hu.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode
from tinygrad_lab.autograd import grad
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.functions import gradcheck as check

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """What `gradcheck` and `gradgradcheck` raise; the message is the report, `result` the CheckResult (or None)."""

    def __init__(self, text: str, result: Any = None) -> None:
        super().__init__(text)
        self.result = result


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-06,
    atol: float = 1e-05,
    rtol: float = 0.001,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """True if the gradient of `func` at `inputs` (a Tensor or a tuple) is right, else GradcheckError or False.

    Steps and tolerances come from the function's own noise. `eps` and `atol` are accepted and not used: a wrong
    gradient of 1e-7 is wrong here. An `rtol` other than the default is accepted beside the estimated error.
    What differences cannot decide is no pass. float32 inputs are checked in float64. See also `verify.gradcheck`.

    GradcheckError (a RuntimeError) with the report if wrong and `raise_exception`; ValueError if no input requires a
    gradient; NotImplementedError for forward-mode and batched gradients.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> gradcheck(lambda x: x.exp(), x)
    True
    """
    _refuse(
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad,
    )
    values = _tuple("gradcheck", inputs)
    result = check(func, values, mode="fast" if fast_mode else "auto", rtol=None if rtol == 0.001 else rtol)
    return _conclude("gradcheck", result, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-06,
    atol: float = 1e-05,
    rtol: float = 0.001,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """True if the second derivatives of `func` at `inputs` are right, else GradcheckError or False.

    The first derivative, as a function of the inputs and the cotangents `grad_outputs` (random if None), goes through
    `gradcheck`, and the Hessian of the projected function must be symmetric. Arguments and errors as there.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradgradcheck.html

    >>> gradgradcheck(lambda x: x**3, Tensor([1.0, 2.0]).requires_grad_())
    True
    """
    _refuse(check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev)
    values = tuple(
        wrap(v.array.astype(np.float64)).requires_grad_(v.requires_grad) if _floating(v) else v
        for v in _tuple("gradgradcheck", inputs)
    )
    rng = np.random.default_rng(0)
    with grad_mode.enable_grad():
        outputs = _flat(func(*values))
    if grad_outputs is None:
        cotangents = [wrap(rng.standard_normal(y.shape)) for y in outputs]
    else:
        cotangents = [wrap(g.array.astype(np.float64)) for g in _flat(grad_outputs)]
    if len(cotangents) != len(outputs):
        raise ValueError(f"gradgradcheck: got {len(cotangents)} grad_outputs for {len(outputs)} outputs")
    for cotangent in cotangents:
        cotangent.requires_grad_()
    wanted = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]

    def first(*arguments: Any) -> tuple[Tensor, ...]:
        given, weights = arguments[: len(values)], arguments[len(values) :]
        pairs = [(y, w) for y, w in zip(_flat(func(*given)), weights, strict=True) if y.requires_grad]
        leaves = [given[i] for i in wanted]
        if not pairs:
            return tuple(leaf * 0 for leaf in leaves)
        ys, ws = zip(*pairs, strict=True)
        return grad(ys, leaves, ws, create_graph=True, materialize_grads=True)

    result = check(
        first, (*values, *cotangents), mode="fast" if fast_mode else "auto", rtol=None if rtol == 0.001 else rtol
    )
    passed = _conclude("gradgradcheck", result, raise_exception)
    gap = _asymmetry(first, values, cotangents, wanted, rng)
    if passed and gap > 1e-8:
        if raise_exception:
            raise GradcheckError(
                f"gradgradcheck: the Hessian is not symmetric: u.Hv and v.Hu differ by {gap:.3g}, relatively"
            )
        return False
    return passed


def _asymmetry(first: Callable[..., Any], values: Sequence[Any], cotangents: Any, wanted: list[int], rng: Any) -> float:
    """|u.Hv - v.Hu| / (|u.Hv| + |v.Hu|, or the sum's size) for random u and v."""
    leaves = [values[i] for i in wanted]
    with grad_mode.enable_grad():
        gradients = first(*values, *cotangents)

    def product(v: list[np.ndarray]) -> list[np.ndarray]:
        pairs = [(g, wrap(part)) for g, part in zip(gradients, v, strict=True) if g.requires_grad]
        if not pairs:
            return [np.zeros(leaf.shape) for leaf in leaves]
        gs, parts = zip(*pairs, strict=True)
        return [h.array for h in grad(gs, leaves, parts, retain_graph=True, materialize_grads=True)]

    u, v = ([rng.standard_normal(leaf.shape) for leaf in leaves] for _ in range(2))
    left = [float(np.sum(a * h)) for a, h in zip(u, product(v), strict=True)]
    right = [float(np.sum(a * h)) for a, h in zip(v, product(u), strict=True)]
    size = sum(map(abs, left)) + sum(map(abs, right))
    return abs(sum(left) - sum(right)) / size if size else 0.0


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.array.dtype.kind == "f"


def _flat(value: Any) -> list[Tensor]:
    """The floating Tensors in an output."""
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _flat(item)]
    return [value] if _floating(value) else []


def _tuple(name: str, inputs: Any) -> tuple[Any, ...]:
    values = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if not any(isinstance(value, Tensor) and value.requires_grad for value in values):
        raise ValueError(
            f"{name} expects at least one input tensor to require gradient, but none of the them have "
            f"requires_grad=True."
        )
    return values


def _refuse(**options: bool) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(
                f"gradcheck: {name}=True is not available: there are no forward-mode or batched gradients"
            )


def _conclude(name: str, result: Any, raise_exception: bool) -> bool:
    if not result and raise_exception:
        raise GradcheckError(str(result).replace("gradcheck:", f"{name}:", 1), result)
    return bool(result)
