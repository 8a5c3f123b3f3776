"""Reductions, sorting and scans: what the samples cannot show. Ties, NaN and infinities, products with zeros to second
order, named results, PyTorch's errors, and properties on random inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygrad_lab as ours
from tinygrad_lab import autograd

NAN, INF = math.nan, math.inf


def libraries():
    return ours, pytest.importorskip("torch")


def same_in_both(program):
    """Run `program(torch)`, which returns nested lists and numbers, in both libraries: equal, NaN counted as equal."""
    mine, theirs = (program(t) for t in libraries())
    np.testing.assert_allclose(np.array(mine, "float64"), np.array(theirs, "float64"), rtol=1e-12, atol=1e-12)


def gradient_of(function, values):
    def program(t):
        x = t.tensor(values, dtype=t.float64, requires_grad=True)
        function(x).sum().backward()
        return x.grad.tolist()

    return program


# Ties and kinks

TIED = [[2.0, 5.0, 5.0], [5.0, 1.0, 1.0]]
TIES = {
    "amax": lambda x: x.amax(),
    "amax dim": lambda x: x.amax(1),
    "amin dims": lambda x: x.amin((0, 1)),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "max dim": lambda x: x.max(1).values,
    "min dim": lambda x: x.min(0).values,
    "median": lambda x: x.median(),
    "median dim": lambda x: x.median(1).values,
    "norm inf": lambda x: x.norm(INF),
    "norm -inf dim": lambda x: x.norm(-INF, 1),
    "sort": lambda x: x.sort(stable=True).values[:, :2],
    "cumsum": lambda x: x.cumsum(1) ** 2,
}


@pytest.mark.parametrize("name", TIES)
def test_ties_share_as_in_pytorch(name):
    same_in_both(gradient_of(TIES[name], TIED))


def test_ties_split_evenly_over_everything_and_go_to_the_first_along_a_dimension():
    x = ours.tensor([3.0, 3.0, 1.0], requires_grad=True)
    assert autograd.grad(x.max(), x)[0].tolist() == [0.5, 0.5, 0.0]
    assert autograd.grad(x.max(0).values, x)[0].tolist() == [1.0, 0.0, 0.0]


KINKS = {
    "norm of 0": (lambda x: x.norm(), [0.0, 0.0]),
    "norm of 0 along a dimension": (lambda x: x.norm(2, 1), [[0.0, 0.0], [3.0, 4.0]]),
    "1-norm": (lambda x: x.norm(1), [0.0, -2.0]),
    "3-norm": (lambda x: x.norm(3), [0.0, -2.0]),
    "1.5-norm of 0": (lambda x: x.norm(1.5), [0.0, 0.0]),
    "inf-norm of 0": (lambda x: x.norm(INF), [0.0, 0.0]),
    "std of equal values": (lambda x: x.std(), [2.0, 2.0, 2.0]),
    "std of equal rows": (lambda x: x.std(1), [[2.0, 2.0], [1.0, 4.0]]),
    "logsumexp with -inf": (lambda x: x.logsumexp(1), [[-INF, 0.0], [-INF, 1.0]]),
    "logsumexp of large": (lambda x: x.logsumexp(0), [1000.0, -1000.0, 1000.0]),
    "max with NaN": (lambda x: x.max(), [1.0, NAN, 2.0, NAN]),
    "median with NaN": (lambda x: x.median(), [1.0, NAN, 2.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_gradients_at_kinks_are_pytorchs(name):
    function, values = KINKS[name]
    same_in_both(gradient_of(function, values))


def test_gradients_where_pytorchs_are_nan():
    """Listed deviations: nothing moves a sum that is 0, and a NaN that was picked gets the gradient, as in max()."""
    x = ours.tensor([-INF, -INF], requires_grad=True)
    assert autograd.grad(x.logsumexp(0), x)[0].tolist() == [0.0, 0.0]
    x = ours.tensor([1.0, NAN], requires_grad=True)
    assert autograd.grad(x.amin(0), x)[0].tolist() == [0.0, 1.0]
    x = ours.tensor([1.0, 0.0], requires_grad=True)
    assert autograd.grad(x.norm(0), x)[0].tolist() == [0.0, 0.0]


def test_logsumexp_is_stable():
    x = ours.tensor([[1000.0, 1000.0], [-1000.0, -1000.0], [-INF, -INF], [INF, 0.0]], dtype=ours.float64)
    expected = [1000 + math.log(2), -1000 + math.log(2), -INF, INF]
    np.testing.assert_allclose(ours.logsumexp(x, 1).numpy(), expected, rtol=1e-15)


# Products with zeros

ZEROS = [[1.5, -2.0, 3.0], [1.5, 0.0, 3.0], [0.0, -2.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("values", ZEROS)
def test_second_derivatives_of_prod_are_exact_with_zeros(values):
    """d2 prod / dx_i dx_j is the product of all others, 0 on the diagonal."""
    x = ours.tensor(values, dtype=ours.float64, requires_grad=True)
    (first,) = autograd.grad(x.prod(), x, create_graph=True)
    assert first.tolist() == [math.prod(values[:i] + values[i + 1 :]) for i in range(3)]
    for i in range(3):
        (row,) = autograd.grad(first[i], x, retain_graph=True)
        others = [0.0 if i == j else math.prod(values[k] for k in range(3) if k not in (i, j)) for j in range(3)]
        assert row.tolist() == others


def test_third_derivative_of_prod_at_zero():
    x = ours.zeros(3, dtype=ours.float64).requires_grad_()
    y = x.prod()
    for i in range(3):
        y = autograd.grad(y, x, create_graph=True)[0][i]
    assert y.item() == 1.0


@pytest.mark.parametrize("name", ["prod", "prod dim", "cumprod", "cumprod 0"])
def test_products_with_zeros_are_pytorchs_to_second_order(name):
    function = {
        "prod": lambda x: x.prod(),
        "prod dim": lambda x: x.prod(1, keepdim=True),
        "cumprod": lambda x: x.cumprod(1),
        "cumprod 0": lambda x: x.cumprod(0),
    }[name]

    def program(t):
        x = t.tensor(ZEROS, dtype=t.float64, requires_grad=True)
        y = function(x)
        g = (t.arange(y.numel(), dtype=t.float64).reshape(y.shape) + 1).requires_grad_()
        (first,) = t.autograd.grad(y, x, g, create_graph=True)
        v = t.arange(12, dtype=t.float64).reshape(4, 3) - 4
        second, dual = t.autograd.grad((first * v).sum(), [x, g])
        return [y.flatten().tolist() + first.flatten().tolist() + second.flatten().tolist() + dual.flatten().tolist()]

    same_in_both(program)


# Named results, overloads, dtypes


@pytest.mark.parametrize(
    "pick",
    [
        lambda t, x: t.max(x, 1),
        lambda t, x: t.min(x, dim=0, keepdim=True),
        lambda t, x: t.median(x, 1),
        lambda t, x: t.sort(x, 0, descending=True),
        lambda t, x: t.topk(x, 2),
        lambda t, x: t.topk(x, 1, 0, largest=False),
        lambda t, x: t.kthvalue(x, 2, 1, True),
    ],
)
def test_picked_values_and_indices(pick):
    data = [[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]
    mine, theirs = (pick(t, t.tensor(data)) for t in libraries())
    values, indices = mine
    assert values is mine.values and indices is mine.indices and indices.dtype is ours.int64
    assert values.tolist() == theirs.values.tolist() and indices.tolist() == theirs.indices.tolist()


def test_three_forms_of_max():
    x = ours.tensor([[1.0, 5.0], [7.0, 2.0]])
    assert x.max().item() == 7.0
    assert ours.max(x, 0).indices.tolist() == [1, 0]
    assert ours.max(x, ours.tensor([3.0, 3.0])).tolist() == [[3.0, 5.0], [7.0, 3.0]]
    assert ours.min(x, other=ours.tensor(3.0)).tolist() == [[1.0, 3.0], [3.0, 2.0]]


@pytest.mark.parametrize(
    "name", ["sum", "prod", "cumsum", "cumprod", "mean", "var", "argmax", "amax", "logsumexp", "norm"]
)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"])
def test_dtypes_are_pytorchs(name, dtype):
    outcomes = []
    for t in libraries():
        x = t.tensor([1, 0, 1]).to(getattr(t, dtype))
        try:
            y = getattr(x, name)(0)
            outcomes.append((str(y.dtype).rpartition(".")[2], y.tolist()))
        except RuntimeError:
            outcomes.append(RuntimeError)
    if (name, dtype) == ("argmax", "bool"):  # a listed deviation: PyTorch refuses it
        outcomes[1] = ("int64", 0)
    if outcomes[0] is RuntimeError or outcomes[1] is RuntimeError:
        assert outcomes[0] is outcomes[1]
    else:
        assert outcomes[0][0] == outcomes[1][0]
        np.testing.assert_allclose(outcomes[0][1], outcomes[1][1], rtol=1e-3)


# Errors

MISUSE = {
    "amax of nothing": lambda t, x, z: t.amax(z),
    "amax along nothing": lambda t, x, z: t.amax(z, 0),
    "amax twice": lambda t, x, z: t.amax(x, (0, 0)),
    "max of nothing": lambda t, x, z: t.max(z),
    "max along nothing": lambda t, x, z: t.max(z, 0),
    "max of two dims": lambda t, x, z: t.max(x, (0, 1)),
    "max dim": lambda t, x, z: t.max(x, 2),
    "argmax of nothing": lambda t, x, z: t.argmax(z),
    "argmin along nothing": lambda t, x, z: t.argmin(z, 0),
    "argmax dim": lambda t, x, z: t.argmax(x, -3),
    "median along nothing": lambda t, x, z: t.median(z, 0),
    "var of integers": lambda t, x, z: t.var(t.tensor([1, 2])),
    "std of integers": lambda t, x, z: t.std(t.tensor([1, 2])),
    "norm of integers": lambda t, x, z: t.norm(t.tensor([1, 2])),
    "prod of two dims": lambda t, x, z: t.prod(x, (0, 1)),
    "prod dim": lambda t, x, z: t.prod(x, 2),
    "cumsum dim": lambda t, x, z: t.cumsum(x, 2),
    "cumprod dim": lambda t, x, z: t.cumprod(x, -3),
    "sort dim": lambda t, x, z: t.sort(x, 2),
    "topk k": lambda t, x, z: t.topk(x, 9),
    "kthvalue k": lambda t, x, z: t.kthvalue(x, 9),
    "kthvalue 0": lambda t, x, z: t.kthvalue(x, 0),
    "sum dim": lambda t, x, z: t.sum(x, 2),
    "sum twice": lambda t, x, z: t.sum(x, (0, -2)),
    "logsumexp dim": lambda t, x, z: t.logsumexp(x, 5),
}


def outcome(call, t):
    try:
        call(t, t.ones(3, 4), t.zeros(0, 3))
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_raises_pytorchs_class(name):
    mine, theirs = (outcome(MISUSE[name], t) for t in libraries())
    assert theirs is not None, "PyTorch accepts this"
    assert type(mine) is type(theirs), f"{mine!r}; PyTorch: {theirs!r}"


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_explained(name):
    error = outcome(MISUSE[name], ours)
    assert error is not None and len(str(error).split()) >= 6, repr(error)


# Properties

SMALL = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-3, 3).map(float))
WITH_NAN = arrays(np.float64, st.integers(1, 7), elements=st.sampled_from([NAN, -INF, -1.0, 0.0, 1.0, 1.0, INF]))


@given(SMALL, st.integers(0, 1), st.booleans())
@settings(deadline=None)
def test_sorting_agrees_with_numpy(values, dim, descending):
    x = ours.tensor(values)
    picked = ours.sort(x, dim, descending)
    expected = np.sort(values, dim)
    np.testing.assert_array_equal(picked.values.numpy(), np.flip(expected, dim) if descending else expected)
    np.testing.assert_array_equal(np.take_along_axis(values, picked.indices.numpy(), dim), picked.values.numpy())
    moved = np.moveaxis(picked.indices.numpy(), dim, 0), np.moveaxis(picked.values.numpy(), dim, 0)
    equal = moved[1][1:] == moved[1][:-1]
    assert (moved[0][1:] > moved[0][:-1])[equal].all(), "equal elements keep their order"
    k = (values.shape[dim] + 1) // 2
    np.testing.assert_array_equal(ours.kthvalue(x, k, dim).values.numpy(), ours.median(x, dim).values.numpy())
    np.testing.assert_array_equal(ours.topk(x, k, dim, not descending).values.numpy(),
                                  ours.sort(x, dim, not descending).values.narrow(dim, 0, k).numpy())  # fmt: skip


@given(WITH_NAN)
@settings(deadline=None)
def test_nan_and_infinity_are_pytorchs(values):
    def program(t):
        x = t.tensor(values)
        picked = [x.max(), x.min(), x.median(), x.median(0).values, x.logsumexp(0), x.amax(0)]
        return [
            *(y.item() for y in picked),
            *x.sort(stable=True).values.tolist(),
            *x.sort(descending=True, stable=True).indices.tolist(),
            x.argmax().item() if not np.isnan(values).any() else np.isnan(values[x.argmax().item()]),
        ]

    same_in_both(program)


@given(SMALL, st.sampled_from([None, 0, 1, -1, (0, 1)]), st.booleans(), st.integers(0, 2))
@settings(deadline=None)
def test_moments_agree_with_numpy(values, dim, keepdim, correction):
    x = ours.tensor(values)
    n = values.size if dim in (None, (0, 1)) else values.shape[dim]
    with np.errstate(all="ignore"):
        expected = values.var(dim, keepdims=keepdim) * n / np.float64(max(n - correction, 0))
    found = ours.var(x, dim, correction=correction, keepdim=keepdim).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    std, mean = ours.std_mean(x, dim, correction=correction, keepdim=keepdim)
    np.testing.assert_allclose(std.numpy() ** 2, expected, atol=1e-12)
    np.testing.assert_allclose(mean.numpy(), values.mean(dim, keepdims=keepdim), atol=1e-12)


@given(SMALL, st.integers(0, 1))
@settings(deadline=None)
def test_scans_end_in_reductions(values, dim):
    x = ours.tensor(values)
    last = values.shape[dim] - 1
    np.testing.assert_array_equal(ours.cumsum(x, dim).select(dim, last).numpy(), values.sum(dim))
    np.testing.assert_array_equal(ours.cumprod(x, dim).select(dim, last).numpy(), values.prod(dim))


@given(SMALL, st.sampled_from([0.5, 1, 1.5, 2, 3, INF, -INF]), st.integers(0, 1))
@settings(deadline=None)
def test_norms_agree_with_numpy(values, p, dim):
    expected = np.linalg.norm(values, p, dim)
    np.testing.assert_allclose(ours.norm(ours.tensor(values), p, dim).numpy(), expected, rtol=1e-12)


def test_old_forms_of_var():
    x = ours.tensor([1.0, 2.0, 4.0])
    assert x.var(False).item() == pytest.approx(x.var(unbiased=False).item()) == pytest.approx(14 / 9)
    assert math.isnan(ours.tensor([1.0]).var().item())
