"""Elementwise ops where samples do not reach: huge, tiny and non-finite values, kinks, integers, in-place forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lab as lab
from tinygrad_lab.nn import functional as F
from tinygrad_lab.ops.declare import registry
from tinygrad_lab.tensor import Tensor

NAN, INF = math.nan, math.inf
MAGNITUDES = [0.0, 1e-30, 1e-8, 1e-3, 0.3, 1.0, 2.9, 3.1, 6.5, 12.0, 20.5, 50.0, 95.0, 120.0, 1000.0]
FINITE = [*(-x for x in reversed(MAGNITUDES)), *MAGNITUDES]
EVERYWHERE = [-INF, *FINITE, INF, NAN]

STABLE = ["sigmoid", "tanh", "erf", "silu", "mish", "softplus", "logsigmoid", "relu", "relu6", "elu", "selu", "celu"]
STABLE += [
    "leaky_relu",
    "gelu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "softsign",
    "atan",
    "abs",
    "sign",
    "sin",
    "cos",
]
PARTIAL = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "square",
    "sinh",
    "cosh",
]
PARTIAL += ["tan", "asin", "acos", "floor", "ceil", "round", "trunc", "frac", "nan_to_num"]
# By PyTorch's kernels a NaN input passes its gradient on unchanged; here a mask that is False for NaN stops it.
STOPS_NAN = {"relu", "relu6", "hardtanh", "elu", "selu", "celu", "leaky_relu", "hardswish"}


def pytorchs(name):
    torch = pytest.importorskip("torch")
    return torch, getattr(torch.nn.functional if "functional" in registry[name].faces else torch, name)


def gradient_of(function, values, dtype="float64"):
    x = lab.tensor(values, dtype=dtype, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", STABLE + PARTIAL)
def test_value_at_extremes_is_pytorchs(name, dtype):
    torch, theirs = pytorchs(name)
    values = np.array(EVERYWHERE, dtype)
    if name == "gelu" and dtype != "float64":
        # PyTorch gives NaN at inf in float32, and with AVX-512 in float16 too; F.gelu(inf) is inf, as in float64.
        values = values[np.isfinite(values)]
    found = registry[name].function(values)
    assert found.dtype == dtype
    expected = theirs(torch.tensor(values)).numpy()
    tolerance = {"float64": 1e-14, "float32": 1e-6, "float16": 2e-3}[dtype]
    smallest = float(np.finfo(dtype).tiny)  # PyTorch may flush what is smaller to 0
    if name in ("gelu", "softsign", "tan", "sin", "cos", "frac"):  # cancellation, or reduction of a large argument
        smallest = max(smallest, 4 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose(found.astype("float64"), expected.astype("float64"), rtol=tolerance, atol=smallest)


@pytest.mark.parametrize("name", STABLE + PARTIAL)
def test_gradient_at_extremes_is_pytorchs(name):
    torch, theirs = pytorchs(name)
    values = [x for x in EVERYWHERE if not (math.isnan(x) and name in STOPS_NAN)]
    _, found = gradient_of(registry[name].function, values)
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    theirs(x).sum().backward()
    rtol = 1e-7 if name == "hardsigmoid" else 1e-13  # PyTorch multiplies by float32(1/6), in float64 too
    np.testing.assert_allclose(
        found, x.grad.numpy(), rtol=rtol, atol=1e-15 if name in ("gelu", "tan", "tanh") else 1e-300
    )


@pytest.mark.parametrize("name", STABLE)
def test_nothing_overflows_on_the_way(name):
    """Neither forward nor backward computes an inf or NaN that then disappears."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, gradient = gradient_of(registry[name].function, FINITE, "float32")
    assert np.isfinite(y).all() and np.isfinite(gradient).all()


def test_small_values_keep_their_digits():
    x = np.array([-700.0, -100.0, -40.0])
    np.testing.assert_allclose(lab.sigmoid(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(F.softplus(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(F.logsigmoid(-x), -np.exp(x), rtol=1e-15)
    _, slope = gradient_of(F.elu, x)
    np.testing.assert_allclose(slope, np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(lab.expm1(np.array([1e-20])), 1e-20, rtol=1e-15)
    np.testing.assert_allclose(lab.log1p(np.array([1e-20])), 1e-20, rtol=1e-15)


@pytest.mark.parametrize(("dtype", "units"), [("float64", 2), ("float32", 2), ("float16", 1)])
def test_erf_is_exact_to_units_in_the_last_place(dtype, units):
    x = np.concatenate([np.linspace(-7, 7, 20001), np.logspace(-4, 1, 2001), [0.0, -1000.0, INF, -INF]]).astype(dtype)
    expected = np.array([math.erf(float(value)) for value in x])
    error = np.abs(lab.erf(x).astype("float64") - expected)
    assert (error <= units * np.finfo(dtype).eps * np.abs(expected) + np.finfo(dtype).smallest_subnormal).all()
    assert np.isnan(lab.erf(np.array([NAN], dtype))).all()


def test_erf_of_a_large_array_in_any_layout():
    x = np.random.default_rng(0).standard_normal((300, 200)).T[::2]
    assert x.size > 16384 and not x.flags.c_contiguous
    np.testing.assert_allclose(lab.erf(x), np.vectorize(math.erf)(x), rtol=1e-15)


KINKS = [
    (F.relu, 0.0, 0.0, 0.0),
    (F.relu6, 6.0, 6.0, 0.0),
    (F.leaky_relu, 0.0, 0.0, 0.01),
    (F.hardtanh, 1.0, 1.0, 0.0),
    (F.hardsigmoid, 3.0, 1.0, 0.0),
    (F.hardswish, 3.0, 3.0, 1.0),
    (F.hardswish, -3.0, 0.0, 0.0),
    (lambda x: F.elu(x, 0.5), 0.0, 0.0, 0.5),
    (lambda x: F.celu(x, 0.5), 0.0, 0.0, 1.0),
    (lambda x: F.threshold(x, 1.0, 5.0), 1.0, 5.0, 0.0),
    (lambda x: F.softplus(x, 1.0, 2.0), 2.5, 2.5, 1.0),
    (lab.abs, 0.0, 0.0, 0.0),
    (lab.sign, 0.0, 0.0, 0.0),
    (lab.sign, NAN, 0.0, 0.0),
    (lab.sqrt, 0.0, 0.0, INF),
    (lab.rsqrt, 0.0, INF, -INF),
    (lambda x: x.clamp(-1, 1), 1.0, 1.0, 1.0),
    (lambda x: x.clamp(-1, 1), NAN, NAN, 0.0),
    (lambda x: x.clamp(2, 1), 5.0, 1.0, 0.0),
    (lab.nan_to_num, NAN, 0.0, 0.0),
    (lab.nan_to_num, INF, np.finfo("float64").max, 0.0),
    (lambda x: lab.atan2(x, lab.tensor([0.0])), 0.0, 0.0, 0.0),
    (lambda x: lab.xlogy(x, lab.tensor([0.0])), 0.0, 0.0, 0.0),
    (lambda x: lab.hypot(x, lab.tensor([0.0])), 0.0, 0.0, NAN),
    (lab.round, 2.5, 2.0, 0.0),
    (lab.round, -0.5, 0.0, 0.0),
]


@pytest.mark.parametrize(("function", "x", "value", "slope"), KINKS)
def test_convention_at_a_kink(function, x, value, slope):
    y, gradient = gradient_of(function, [x])
    np.testing.assert_array_equal(y, [value])
    np.testing.assert_array_equal(gradient, [slope])


def test_limits_of_clamp_may_be_tensors_that_need_gradients():
    x = lab.tensor([-3.0, 0.0, 3.0], requires_grad=True)
    low, high = (lab.tensor(limit, requires_grad=True) for limit in (-1.0, 1.0))
    (x.clamp(low, high) * lab.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert (x.grad.tolist(), low.grad.item(), high.grad.item()) == ([0, 10, 0], 1, 100)


def test_infinite_cotangents_of_constant_pieces_give_0():
    x = lab.tensor([0.4], requires_grad=True)
    x.floor().backward(lab.tensor([INF]))
    assert x.grad.item() == 0


@pytest.mark.parametrize("dtype", [lab.int64, lab.int32, lab.uint8])
@pytest.mark.parametrize(
    "name", ["abs", "sign", "square", "floor", "ceil", "trunc", "round", "relu", "relu6", "nan_to_num"]
)
def test_integers_stay_integers(name, dtype):
    x = lab.tensor([0, 1, 7], dtype=dtype)
    y = registry[name].function(x)
    assert y.dtype == dtype and not np.may_share_memory(y.numpy(), x.numpy())


@pytest.mark.parametrize("name", ["sqrt", "exp", "sigmoid", "sin", "erf", "log1p", "reciprocal", "tanh", "atan"])
def test_integers_give_the_default_floating_dtype(name):
    assert registry[name].function(lab.tensor([1, 2])).dtype == lab.float32


MISUSES = [
    (lambda: lab.tensor([1.0]).clamp(), RuntimeError, "At least one of 'min' or 'max'"),
    (lambda: F.gelu(lab.ones(2), approximate="erf"), RuntimeError, "approximate argument must be either none or tanh"),
    (lambda: F.celu(lab.ones(2), 0.0), RuntimeError, "alpha cannot be 0"),
    (lambda: F.hardtanh(lab.ones(2), 1.0, -1.0), ValueError, "min_val cannot be greater"),
    (lambda: F.prelu(lab.ones(2, 3), lab.ones(2)), RuntimeError, r"weight must have shape \(1,\) or \(3,\)"),
    (lambda: lab.relu(lab.tensor([True])), RuntimeError, "Boolean inputs"),
    (lambda: lab.addcdiv(lab.tensor([1]), lab.tensor([1]), lab.tensor([1])), RuntimeError, r"\.float\(\)"),
    (lambda: lab.ones(2) & lab.ones(2), NotImplementedError, "logical_and"),
    (lambda: ~lab.ones(2), NotImplementedError, "logical_not"),
    (lambda: lab.ones(2) < None, TypeError, "not supported"),
    (lambda: lab.eq(lab.ones(2), None), TypeError, "Tensors or numbers"),
    (lambda: lab.ones(2) == lab.ones(3), RuntimeError, r"eq: shapes do not broadcast.*\(2,\).*\(3,\)"),
    (lambda: lab.isclose(lab.ones(2), lab.ones(2, dtype=lab.float64)), RuntimeError, "float32 did not match float64"),
    (lambda: lab.bincount(lab.tensor([-1])), RuntimeError, "minimum -1"),
    (lambda: lab.bincount(lab.tensor([0.5])), NotImplementedError, "float32"),
    (lambda: lab.bincount(lab.tensor([1, 2]), lab.ones(3)), RuntimeError, r"\(2,\), got \(3,\)"),
    (lambda: lab.any(lab.ones(2), dim=3), IndexError, "Dimension out of range"),
    (lambda: lab.is_nonzero(lab.ones(2)), RuntimeError, "ambiguous"),
    (lambda: lab.empty(2).uniform_(2.0, 1.0), RuntimeError, "from=2.0 > to=1.0"),
    (lambda: lab.empty(2).normal_(0.0, -1.0), RuntimeError, "std -1.0"),
    (lambda: lab.empty(2).bernoulli_(1.5), RuntimeError, "p=1.5"),
    (lambda: lab.tensor([1]).uniform_(), RuntimeError, "floating"),
    (lambda: lab.ones(2, requires_grad=True).uniform_(), RuntimeError, "leaf"),
    (lambda: F.relu(lab.ones(2, requires_grad=True), inplace=True), RuntimeError, "relu_: a leaf"),
    (lambda: lab.tensor([1, 2]).sqrt_(), RuntimeError, "can't be cast"),
]


@pytest.mark.parametrize(("call", "error", "text"), MISUSES)
def test_misuse(call, error, text):
    with pytest.raises(error, match=text):
        call()


# Comparisons and logic


def test_comparison_with_what_is_no_number():
    x = lab.tensor([1.0])
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert (x == "1") is False and (x == [1.0]) is False
    assert x in {x} and lab.tensor([1.0]) not in {x}


def test_comparisons_and_logic_of_all_kinds_of_operands():
    x = lab.tensor([1, 2, 3])
    assert (x > 1.5).tolist() == (1.5 < x).tolist() == (np.array([1.5] * 3) < x).tolist() == [False, True, True]  # noqa: SIM300
    assert (x == np.array([1, 0, 3])).tolist() == [True, False, True]
    assert ((x > 1) & (x < 3)).tolist() == [False, True, False]
    assert (~(x > 1) | (x == 3)).tolist() == [True, False, True]
    assert (6 & x).tolist() == [0, 2, 2] and (x ^ True).tolist() == [0, 3, 2]
    assert (lab.tensor([200, 100], dtype=lab.uint8) > -1).tolist() == [True, True]
    assert (lab.tensor([NAN]) == lab.tensor([NAN])).tolist() == [False]
    y = lab.tensor([1.0], requires_grad=True)
    assert not (y > 0).requires_grad


def test_closeness_and_equality():
    x = lab.tensor([1.0, NAN])
    assert not lab.allclose(x, x) and lab.allclose(x, x, equal_nan=True)
    assert lab.allclose(lab.tensor([INF]), lab.tensor([INF]))
    assert lab.equal(lab.tensor([1, 2]), lab.tensor([1.0, 2.0])) and not lab.equal(lab.ones(2), lab.ones(3))
    assert lab.equal(lab.zeros(0), lab.zeros(0)) and type(lab.equal(x, x)) is bool


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=1, max_size=8),
    st.sampled_from([None, 0, 1, -1]),
)
def test_unique_gives_back_its_input(rows, dim):
    x = lab.tensor(rows)
    values, inverse, counts = lab.unique(x, return_inverse=True, return_counts=True, dim=dim)
    if dim is None:
        assert values.tolist() == sorted({value for row in rows for value in row})
        assert lab.equal(values[inverse], x)
        assert counts.sum().item() == x.numel()
    else:
        assert lab.equal(values[inverse] if dim == 0 else values[:, inverse], x)
        assert counts.sum().item() == x.shape[dim]
    torch = pytest.importorskip("torch")
    expected = torch.unique(torch.tensor(rows), return_inverse=True, return_counts=True, dim=dim)
    assert [y.tolist() for y in (values, inverse, counts)] == [y.tolist() for y in expected]


def test_every_nan_is_unique():
    assert lab.unique(lab.tensor([NAN, 1.0, NAN, 1.0])).shape == (3,)


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(0, 9))
def test_bincount_counts(values, minlength):
    x = lab.tensor(values, dtype=lab.int64)
    counts = lab.bincount(x, minlength=minlength).tolist()
    assert counts == [values.count(k) for k in range(max([minlength, *(v + 1 for v in values)]))]
    weighted = lab.bincount(x, lab.full((len(values),), 0.5), minlength)
    assert weighted.dtype == lab.float32 and weighted.tolist() == [count / 2 for count in counts]
    assert lab.bincount(x, x, minlength).dtype == lab.float64


def test_nonzero_and_counting():
    x = lab.tensor([[0, 7], [8, 0]])
    assert lab.equal(x[x.nonzero(as_tuple=True)], lab.tensor([7, 8]))
    assert lab.nonzero(lab.tensor(5)).shape == (1, 0) and lab.nonzero(lab.tensor(5), as_tuple=True)[0].tolist() == [0]
    assert lab.count_nonzero(x).item() == 2 and x.count_nonzero(1).tolist() == [1, 1]
    assert lab.all(lab.tensor([1], dtype=lab.uint8)).dtype == lab.uint8
    assert x.any(0).tolist() == [True, True] and x.all(dim=1, keepdim=True).shape == (2, 1)


# In-place forms

INPLACE = [
    "abs",
    "sqrt",
    "exp",
    "log",
    "sigmoid",
    "tanh",
    "floor",
    "round",
    "relu",
    "erf",
    "square",
    "neg",
    "reciprocal",
]
ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "silu",
    "mish",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
]


def same_in_place(change, function):
    """`change(y)` writes function(y) into y, returns y, and gives the gradient of the out-of-place form."""
    values = [0.4, 1.6, 2.3]
    expected, slope = gradient_of(lambda x: function(x * 1), values)
    x = lab.tensor(values, dtype="float64", requires_grad=True)
    y = x * 1
    memory = y.array
    assert change(y) is y and y.array is memory
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    np.testing.assert_array_equal(x.grad.numpy(), slope)


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_method(name):
    same_in_place(getattr(Tensor, name + "_"), registry[name].function)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_inplace_argument(name):
    function = registry[name].function
    same_in_place(lambda y: function(y, inplace=True), function)


def test_in_place_methods_with_arguments():
    same_in_place(lambda y: y.clamp_(0.5, 2.0), lambda y: y.clamp(0.5, 2.0))
    same_in_place(lambda y: y.clamp_(max=1.0), lambda y: y.clamp(max=1.0))
    same_in_place(lambda y: y.round_(decimals=1), lambda y: y.round(decimals=1))
    same_in_place(lambda y: F.leaky_relu(y.sub_(1), 0.3, True).add_(1), lambda y: F.leaky_relu(y - 1, 0.3) + 1)
    same_in_place(lambda y: F.threshold(y, 1.0, 3.0, True), lambda y: F.threshold(y, 1.0, 3.0))


def test_every_in_place_name_of_ours_that_pytorch_lacks_is_an_activation():
    torch = pytest.importorskip("torch")
    ours = {name for name in dir(Tensor) if name.endswith("_") and not name.startswith("_")}
    assert {name for name in ours if not hasattr(torch.Tensor, name)} <= {
        f"{name}_" for name in [*ACTIVATIONS, "threshold"]
    }


def test_random_fills():
    def drawn(fill):
        g = lab.Generator().manual_seed(3)
        x = lab.empty(4000, dtype=lab.float64)
        assert fill(x, g) is x
        return x.numpy().copy()

    uniform = drawn(lambda x, g: x.uniform_(-1, 3, generator=g))
    assert -1 <= uniform.min() < -0.9 and 2.9 < uniform.max() < 3
    normal = drawn(lambda x, g: x.normal_(2.0, 0.5, generator=g))
    assert abs(normal.mean() - 2) < 0.05 and abs(normal.std() - 0.5) < 0.05
    coins = drawn(lambda x, g: x.bernoulli_(0.25, generator=g))
    assert set(coins) == {0.0, 1.0} and abs(coins.mean() - 0.25) < 0.05
    np.testing.assert_array_equal(uniform, drawn(lambda x, g: x.uniform_(-1, 3, generator=g)))
    assert lab.zeros(3, dtype=lab.int64).bernoulli_(lab.tensor([0.0, 1.0, 1.0])).tolist() == [0, 1, 1]
    assert lab.zeros(3, dtype=lab.float16).normal_().dtype == lab.float16
    assert lab.tensor(0.0).uniform_(5, 6).item() >= 5
    with lab.no_grad():
        parameter = lab.zeros(3, requires_grad=True).normal_()
    assert parameter.is_leaf and parameter.requires_grad


SELECTING = {
    "relu": lambda x: lab.relu(x),
    "clamp": lambda x: x.clamp(min=0),
    "clamp to a tensor": lambda x: x.clamp(min=lab.zeros(3, dtype=lab.float64)),
    "clamp from above": lambda x: -(-x).clamp(max=0),
    "maximum": lambda x: lab.maximum(x, lab.zeros(3, dtype=lab.float64)),
    "minimum": lambda x: -lab.minimum(-x, lab.zeros(3, dtype=lab.float64)),
    "relu6": lambda x: F.relu6(x),
    "hardtanh": lambda x: F.hardtanh(x, 0, 9),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "where": lambda x: lab.where(x > 0, x, 0.0),
    "where of bytes": lambda x: lab.where((x > 0).to(lab.uint8) * 2, x, 0.0),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", SELECTING)
def test_an_infinite_gradient_does_not_pass_what_was_cut_off(name, create_graph):
    # The root's slope at 0 is infinite: times a mask's 0 it would be NaN, as in sqrt(clamp(d2, min=0)) of distances.
    x = lab.tensor([-1.0, 4.0, -2.0], dtype=lab.float64, requires_grad=True)
    (gradient,) = lab.autograd.grad(SELECTING[name](x).sqrt().sum(), x, create_graph=create_graph)
    assert gradient.tolist() == [0.0, 0.25, 0.0]


def test_quotients_may_be_changed_in_place():
    x = lab.tensor([3.0, 4.0], requires_grad=True)
    y = x / x.norm()
    y *= 2
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [0.064, -0.048], rtol=1e-5)
