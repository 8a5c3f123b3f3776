"""Derivatives of functions, `autograd.grad` and Functions of one's own, against PyTorch and closed forms."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab.autograd import Function, functional, grad, once_differentiable

RNG = np.random.default_rng(0)
X, V, W = RNG.standard_normal(3), RNG.standard_normal(3), RNG.standard_normal((3, 2))


def numbers(value):
    """Results of either library as nested tuples of arrays."""
    return tuple(map(numbers, value)) if isinstance(value, tuple) else value.detach().numpy()


def same(ours, theirs) -> None:
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


CASES = {
    "vjp": lambda t, f: f.vjp(lambda x: (x**2).sum() * x, t(X), t(V)),
    "vjp of a scalar": lambda t, f: f.vjp(lambda x: (x**3).sum(), t(X)),
    "vjp of two inputs": lambda t, f: f.vjp(lambda x, w: (x @ w).sin(), (t(X), t(W)), t(V[:2])),
    "jvp": lambda t, f: f.jvp(lambda x: (x**2).sum() * x.exp(), t(X), t(V)),
    "jvp of two outputs": lambda t, f: f.jvp(lambda x: (x.tanh(), x.sum()), t(X), t(V)),
    "jacobian": lambda t, f: f.jacobian(lambda x: x.exp() * x.sum(), t(X)),
    "jacobian of two inputs": lambda t, f: f.jacobian(lambda x, w: x @ w, (t(X), t(W))),
    "jacobian of two outputs": lambda t, f: f.jacobian(lambda x: (x**2, x.sum()), t(X)),
    "hessian": lambda t, f: f.hessian(lambda x: (x**3).sum() * x[0], t(X)),
    "hessian of two inputs": lambda t, f: f.hessian(lambda x, w: ((x @ w) ** 2).sum(), (t(X), t(W))),
    "hvp": lambda t, f: f.hvp(lambda x: (x**4).sum() * x[1], t(X), t(V)),
    "vhp": lambda t, f: f.vhp(lambda x: (x**4).sum() * x[1], t(X), t(V)),
    "vjp of what does not depend": lambda t, f: f.vjp(lambda x, w: (x**2).sum(), (t(X), t(W))),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_functions_are_pytorchs(case: str) -> None:
    torch = pytest.importorskip("torch")
    same(numbers(CASES[case](lab.tensor, functional)), numbers(CASES[case](torch.tensor, torch.autograd.functional)))


def test_derivatives_of_functions_can_be_differentiated_again() -> None:
    x = lab.tensor([1.0, 2.0], requires_grad=True, dtype=lab.float64)
    jacobian = functional.jacobian(lambda x: x**3, x, create_graph=True)
    (third,) = grad(jacobian.sum(), x)
    assert third.tolist() == [6.0, 12.0] and x.grad is None


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda x: functional.hessian(lambda x: x, x), ("one element", "(3,)")),
        (lambda x: functional.vjp(lambda x: x, x), ("v can only be None", "(3,)")),
        (lambda x: functional.vjp(lambda x: x, x, lab.ones(2)), ("(3,)", "(2,)")),
        (lambda x: functional.jvp(lambda x: x, x, lab.ones(2)), ("(3,)", "(2,)")),
        (lambda x: functional.vjp(lambda x: lab.ones(()), x, strict=True), ("independent",)),
    ],
)
def test_misuse_of_derivatives_of_functions_says_the_shapes(call, pieces) -> None:
    with pytest.raises(RuntimeError) as caught:
        call(lab.ones(3))
    assert all(piece in str(caught.value) for piece in pieces)


def test_grad_gives_none_or_zeros_for_what_was_not_used_and_refuses_otherwise() -> None:
    x, unused = (lab.ones(2, requires_grad=True) for _ in range(2))
    loss = (x * x).sum()
    assert grad(loss, [x, unused], allow_unused=True, retain_graph=True)[1] is None
    assert grad(loss, [x, unused], materialize_grads=True, retain_graph=True)[1].tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match=r"inputs\[1\] of shape \(2,\)"):
        grad(loss, [x, unused])


def test_grad_of_an_intermediate_runs_only_what_lies_above_it() -> None:
    class Bomb(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise AssertionError("not on a path to the input")

    x = lab.ones(2, requires_grad=True)
    middle = Bomb.apply(x)
    assert grad((middle * 3).sum(), middle)[0].tolist() == [3.0, 3.0]


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return 3 * y / x * g


def test_a_function_written_with_ops_has_derivatives_of_any_order() -> None:
    x = lab.tensor([2.0, 3.0], requires_grad=True, dtype=lab.float64)
    (first,) = grad(Cube.apply(x).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x, create_graph=True)
    (third,) = grad(second.sum(), x)
    np.testing.assert_allclose(first.detach().numpy(), 3 * np.array([4.0, 9.0]))
    np.testing.assert_allclose(second.detach().numpy(), 6 * np.array([2.0, 3.0]))
    np.testing.assert_allclose(third.numpy(), [6.0, 6.0])


def test_needs_input_grad_several_outputs_and_arguments_that_are_no_tensors() -> None:
    seen = []

    class Split(Function):
        @staticmethod
        def forward(ctx, x, w, k):
            ctx.k = k
            ctx.save_for_backward(x, w)
            largest = (x * w).argmax()
            ctx.mark_non_differentiable(largest)
            return x * w * k, x + w, largest

        @staticmethod
        def backward(ctx, g_product, g_sum, g_largest):
            seen.append(ctx.needs_input_grad)
            _, w = ctx.saved_tensors
            return g_product * w * ctx.k + g_sum, None, None

    x, w = lab.tensor([1.0, 2.0], requires_grad=True), lab.tensor([5.0, 7.0])
    product, total, largest = Split.apply(x, w, 10)
    assert largest.item() == 1 and not largest.requires_grad
    product.sum().backward(retain_graph=True)  # the other output's cotangent arrives as zeros
    assert x.grad.tolist() == [50.0, 70.0]
    (product.sum() + 2 * total.sum()).backward()
    assert x.grad.tolist() == [102.0, 142.0] and seen == [(True, False, False)] * 2


def test_setup_context_and_once_differentiable() -> None:
    class Sine(Function):
        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    x = lab.tensor([0.0], requires_grad=True)
    assert grad(Sine.apply(x), x)[0].tolist() == [1.0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad(Sine.apply(x), x, create_graph=True)


@pytest.mark.parametrize(
    ("result", "error", "said"),
    [
        (lambda g: (g, g, g), RuntimeError, "expected 1, got 3"),
        (lambda g: g.numpy(), TypeError, "ndarray"),
        (lambda g: g.sum(), RuntimeError, r"shape \(\) for an operand of shape \(2,\)"),
    ],
)
def test_a_backward_that_returns_nonsense_is_refused(result, error, said: str) -> None:
    class Odd(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return result(g)

    with pytest.raises(error, match=said):
        Odd.apply(lab.ones(2, requires_grad=True)).sum().backward()


def test_a_function_frees_what_it_saved_guards_it_and_leaves_no_cycle() -> None:
    x = lab.tensor([2.0], requires_grad=True)
    h = x * 1
    y = Cube.apply(h)
    y.sum().backward(retain_graph=True)
    with lab.no_grad():
        h.add_(1)
    with pytest.raises(RuntimeError, match="Cube: backward needs"):
        y.sum().backward()
    y = Cube.apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"Cube: trying to go backward .* second time"):
        y.sum().backward()
    gc.disable()
    try:
        y = Cube.apply(x)
        (first,) = grad(y.sum(), x, create_graph=True)
        nodes = [weakref.ref(tensor.grad_fn) for tensor in (y, first)]
        del y, first
        assert [node() for node in nodes] == [None, None]
    finally:
        gc.enable()


def test_gradients_of_a_function_never_share_memory_with_what_it_saved() -> None:
    class Careless(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return (x * w).sum()

        @staticmethod
        def backward(ctx, g):
            return ctx.saved_tensors[0], None

    x, w = lab.ones(3, requires_grad=True), lab.ones(3)
    Careless.apply(x, w).backward()
    assert not np.shares_memory(x.grad.numpy(), w.numpy())
