"""Variances and standard deviations, norms, and the logarithm of a sum of exponentials."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.dtypes import add_up, widened
from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import abs_, exp, sign
from tinygrad_lab.ops.reduce import REDUCTIONS, axes, check_not_empty, count, mean, spread, tie_share
from tinygrad_lab.ops.samples import Sample, distinct, normal

__all__ = ["logsumexp", "norm", "std", "std_mean", "var", "var_mean"]


def _freedom(shape, dim, unbiased, correction):
    """(dim, n - correction): `var(x, False)` gives `unbiased` in the place of `dim`, as PyTorch's oldest form does."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, max(count(shape, dim) - correction, 0)


def _variance(name, input, dim, unbiased, keepdim, correction):
    if input.dtype.kind != "f":
        raise RuntimeError(f"{name}: std and var only support floating point dtypes, got {input.dtype}: use .float()")
    dim, freedom = _freedom(input.shape, dim, unbiased, correction)
    along = axes(dim, input.ndim)
    input = widened(input)
    # Deviations first: the mean of squares minus the squared mean would cancel. And from one of the elements first: a
    # rounded mean would leave equal elements a variance above 0, which programs that look for constant columns miss.
    deviation = input - input[tuple(slice(0, 1) if axis in along else slice(None) for axis in range(input.ndim))]
    deviation -= np.add.reduce(deviation, axis=along, keepdims=True) / input.dtype.type(count(input.shape, dim))
    deviation *= deviation
    return np.divide(np.add.reduce(deviation, axis=along, keepdims=keepdim), input.dtype.type(freedom))


def _deviation(g, input, dim, unbiased, keepdim, correction):
    """g times d var / d input = 2 (input - mean) / (n - correction)."""
    dim, freedom = _freedom(input.shape, dim, unbiased, correction)
    scale = 2 / freedom if freedom else math.nan
    return spread(g * scale, input.shape, dim, keepdim) * (input - mean(input, axes(dim, len(input.shape)), True))


VARIANCES = [
    *REDUCTIONS[:-1],
    Sample(normal(3, 4), 1, correction=0),
    Sample(normal(2, 3, 4), (0, 2), correction=2, keepdim=True),
    Sample(normal(4), unbiased=False),
    Sample(normal(3, 4), 0, False, True),
]


@op(
    {
        "input": _deviation,
    },
    formula=r"y = \tfrac{1}{n - c}\textstyle\sum (a - \mathrm{mean}(a))^2",
    vjp_formula={"input": r"\bar a = \tfrac{2}{n - c}\,\bar y\,(a - \mathrm{mean}(a))"},
    samples=VARIANCES,
)
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The variance over `dim` (an int or a tuple; None: over everything), divided by n - correction (default 1).

    unbiased   True: correction 1, False: correction 0; `var(x, False)` may give it in the place of `dim`

    NaN where nothing is left to divide by. RuntimeError for integers.

    >>> torch.var(torch.tensor([1.0, 2.0, 3.0])), torch.var(torch.tensor([1.0, 3.0]), correction=0)
    (tensor(1.), tensor(1.))
    """
    return _variance("var", input, dim, unbiased, keepdim, correction).astype(input.dtype, copy=False)


def _over(g, y):
    """g / y, and 0 where y is 0."""
    return where(y == 0, 0.0, g / where(y == 0, 1.0, y))


@op(
    {
        "input": lambda g, input, y, dim, unbiased, keepdim, correction: _deviation(
            _over(g, y) * 0.5, input, dim, unbiased, keepdim, correction
        ),
    },
    formula=r"y = \sqrt{\tfrac{1}{n - c}\textstyle\sum (a - \mathrm{mean}(a))^2}",
    vjp_formula={"input": r"\bar a = \tfrac{1}{n - c}\,\tfrac{\bar y}{y}\,(a - \mathrm{mean}(a))"},
    samples=VARIANCES,
)
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The standard deviation, the root of `var`, with its arguments. Its gradient where it is 0 is 0.

    >>> torch.std(torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]]), 1)
    tensor([1., 0.])
    """
    return np.sqrt(_variance("std", input, dim, unbiased, keepdim, correction)).astype(input.dtype, copy=False)


@composition(
    formula=r"(y, m) = (\mathrm{var}(a), \mathrm{mean}(a))",
    samples=[Sample(normal(3, 4)), Sample(normal(3, 4), 1, keepdim=True), Sample(normal(3, 4), 0, correction=0)],
    faces="torch",
)
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(var, mean) over `dim`.

    >>> torch.var_mean(torch.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return var(input, dim, unbiased, keepdim, correction=correction), mean(
        input, None if isinstance(dim, bool) else dim, keepdim
    )


@composition(
    formula=r"(y, m) = (\mathrm{std}(a), \mathrm{mean}(a))",
    samples=[Sample(normal(3, 4)), Sample(normal(3, 4), 1, keepdim=True), Sample(normal(3, 4), 0, correction=0)],
    faces="torch",
)
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(std, mean) over `dim`.

    >>> torch.std_mean(torch.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return std(input, dim, unbiased, keepdim, correction=correction), mean(
        input, None if isinstance(dim, bool) else dim, keepdim
    )


# Logarithm of a sum, and norms


def _shares(g, input, y, dim, keepdim):
    """g * softmax(input). Where the sum is 0 (all -inf) or infinite, 0 stands for y, so that exp(-inf) is 0, not
    NaN."""
    finite = where(abs_(y) == math.inf, 0.0, y)
    return spread(g, input.shape, dim, keepdim) * exp(input - spread(finite, input.shape, dim, keepdim))


@op(
    {"input": _shares},
    formula=r"y = \ln \textstyle\sum e^{a}",
    vjp_formula={"input": r"\bar a = \bar y\, e^{a - y}"},
    samples=[*REDUCTIONS[1:-1], Sample(normal(), 0), Sample(normal(0, 3), 1)],
    floats="input",
)
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over `dim` (an int or a tuple), without overflow or underflow; -inf where all are -inf.

    The largest element is subtracted before and added after. Integers are converted to the default dtype.

    >>> torch.logsumexp(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), 1)
    tensor([6.9315e-01, 1.0000e+03])
    """
    along = axes(dim, input.ndim)
    top = np.maximum.reduce(input, axis=along, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, input.dtype.type(0))
    y = np.log(add_up(np.exp(input - top), along, True)) + top
    return y if keepdim else y.reshape([size for i, size in enumerate(input.shape) if i not in along])


def _norm_slope(g, input, y, p, dim, keepdim):
    """g times d norm / d input, with 0 where the norm has a kink at 0."""
    p = _order(p)
    if p == 0:
        return input * 0.0
    if p == 1:
        return spread(g, input.shape, dim, keepdim) * sign(input)
    if abs(p) == math.inf:
        return spread(g, input.shape, dim, keepdim) * sign(input) * tie_share(abs_(input), y, dim, keepdim)
    if p == 2:
        return input * spread(_over(g, y), input.shape, dim, keepdim)
    size = where(input == 0, 1.0, abs_(input))
    ratio = size / spread(where(y == 0, 1.0, y), input.shape, dim, keepdim)
    return spread(g, input.shape, dim, keepdim) * where(input == 0, 0.0, sign(input) * ratio ** (p - 1))


def _order(p):
    if p is None or p == "fro":
        return 2.0
    if isinstance(p, str):
        raise NotImplementedError(f"norm: p={p!r} is not available: use 'fro' or a number (1, 2, inf, ...)")
    return float(p)


@op(
    {"input": _norm_slope},
    formula=r"y = (\textstyle\sum |a|^p)^{1/p}",
    vjp_formula={"input": r"\bar a = \bar y\,\mathrm{sign}(a)\,(|a| / y)^{p-1}"},
    samples=[
        Sample(normal(3, 4)),
        Sample(normal(3, 4), 2, 1),
        Sample(normal(3, 4, away_from=(0.0,)), 1, 0, True),
        Sample(distinct(3, 4), math.inf, (0, 1)),
        Sample(distinct(3, 4), -math.inf, -1),
        Sample(normal(2, 3, away_from=(0.0,)), 3),
        Sample(normal(2, 3, away_from=(0.0,)), 0.5, 1),
        Sample(normal(2, 3, away_from=(0.0,)), 0),
        Sample(normal(away_from=(0.0,))),
    ],
)
def norm(input, p="fro", dim=None, keepdim=False):
    """The p-norm over `dim` (an int or a tuple; None: over everything); of matrices too it is that of the elements.

    p   "fro" or 2: the root of the sum of squares; 1, 3, 0.5, ...; 0 counts elements that are not 0; inf and -inf: the
        largest and smallest absolute value. Where it has a kink at 0, the gradient is 0.

    RuntimeError for integers. Source: https://docs.pytorch.org/docs/stable/generated/torch.norm.html

    >>> torch.norm(torch.tensor([3.0, -4.0])), torch.norm(torch.tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    """
    p = _order(p)
    if input.dtype.kind != "f":
        raise RuntimeError(f"norm: Expected a floating point tensor as input, got {input.dtype}: use .float()")
    if input.dtype.char == "e":  # a square overflows it at 256
        return norm(input.astype(np.float32), p, dim, keepdim).astype(np.float16)
    along = axes(dim, input.ndim)
    if p == 2:
        return np.sqrt(np.add.reduce(input * input, axis=along, keepdims=keepdim))
    if p == 0:
        return np.add.reduce(input != 0, axis=along, keepdims=keepdim, dtype=input.dtype)
    size = np.abs(input)
    if p == 1:
        return np.add.reduce(size, axis=along, keepdims=keepdim)
    if abs(p) == math.inf:
        if p < 0 or not input.size:
            check_not_empty("norm", input.shape, dim)
        return (np.maximum if p > 0 else np.minimum).reduce(size, axis=along, keepdims=keepdim)
    return np.add.reduce(size**p, axis=along, keepdims=keepdim) ** (1 / p)
