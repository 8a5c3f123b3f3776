"""Functions of one operand, element by element, and powers."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.arithmetic import operator, where
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.rounding import no_slope
from tinygrad_lab.ops.samples import Sample, integers, normal, uniform

__all__ = [
    "abs_",
    "exp",
    "exp2",
    "expm1",
    "float_pair",
    "log",
    "log1p",
    "log2",
    "log10",
    "pow_",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "sign",
    "sqrt",
    "square",
]

ANYWHERE = [Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 3))]
NOT_ZERO = [Sample(normal(3, 4, away_from=(0.0,))), Sample(uniform(low=0.5, high=1))]
POSITIVE = [Sample(uniform(3, 4, low=0.5, high=3)), Sample(uniform(low=0.5, high=3))]


def float_pair(input, other):
    """Two promoted operands, of which one may be a Python number, as floating arrays of one dtype."""
    input, other = (
        dtypes.to_floating(each) if isinstance(each, np.ndarray) else float(each) for each in (input, other)
    )
    common = np.result_type(input, other)
    return np.asarray(input, common), np.asarray(other, common)


@op(
    {"input": lambda g, input: g * sign(input)},
    formula=r"y = |a|",
    vjp_formula={"input": r"\bar a = \bar y \odot \mathrm{sign}(a)"},
    samples=[*NOT_ZERO, Sample(integers(4, low=-3, high=3))],
    aliases="absolute",
)
def abs_(input):
    """The absolute value; its gradient at 0 is 0. Same dtype.

    >>> torch.abs(torch.tensor([-1.5, 2.0]))
    tensor([1.5, 2. ])
    """
    return np.abs(input)


@op(
    {"input": no_slope},
    formula=r"y = \mathrm{sign}(a)",
    vjp_formula={"input": r"\bar a = 0"},
    samples=[*NOT_ZERO, Sample(integers(4, low=-3, high=3))],
)
def sign(input):
    """1, 0 or -1, as `input` is above, at or below 0 (and 0 for NaN); gradient 0. Same dtype.

    >>> torch.sign(torch.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    if input.dtype.kind == "b":
        return input.copy()
    return np.subtract(input > 0, input < 0, dtype=input.dtype)


@op(
    {"input": lambda g, input: g * (2 * input)},
    formula=r"y = a^2",
    vjp_formula={"input": r"\bar a = 2\,\bar y \odot a"},
    samples=[*ANYWHERE, Sample(integers(4, low=-3, high=3))],
)
def square(input):
    """input * input. Same dtype (int64 for bools).

    >>> torch.square(torch.tensor([-1.5, 2.0]))
    tensor([2.25, 4.  ])
    """
    return np.square(input, dtype=np.int64 if input.dtype.kind == "b" else None)


@op(
    {"input": lambda g, y: g / (2 * y)},
    formula=r"y = \sqrt a",
    vjp_formula={"input": r"\bar a = \bar y / (2 y)"},
    samples=POSITIVE,
    floats="input",
)
def sqrt(input):
    """The square root: NaN below 0; the gradient at 0 is inf.

    >>> torch.sqrt(torch.tensor([4.0, 2.0]))
    tensor([2.    , 1.4142])
    """
    return np.sqrt(input)


@op(
    {"input": lambda g, y: -0.5 * g * (y * y * y)},
    formula=r"y = 1 / \sqrt a",
    vjp_formula={"input": r"\bar a = -\tfrac12 \bar y \odot y^3"},
    samples=POSITIVE,
    floats="input",
)
def rsqrt(input):
    """1 / sqrt(input): inf at 0, NaN below.

    >>> torch.rsqrt(torch.tensor([4.0, 0.25]))
    tensor([0.5, 2. ])
    """
    return 1 / np.sqrt(input)


@op(
    {"input": lambda g, y: -g * (y * y)},
    formula=r"y = 1 / a",
    vjp_formula={"input": r"\bar a = -\bar y \odot y^2"},
    samples=POSITIVE,
    floats="input",
)
def reciprocal(input):
    """1 / input: inf at 0.

    >>> torch.reciprocal(torch.tensor([4.0, 0.5]))
    tensor([0.25, 2.  ])
    """
    return 1 / input


@op(
    {"input": lambda g, y: g * y},
    formula=r"y = e^{a}",
    vjp_formula={"input": r"\bar a = \bar y \odot y"},
    samples=[Sample(normal(3, 4)), Sample(normal())],
    floats="input",
)
def exp(input):
    """e ** input.

    >>> torch.exp(torch.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    return np.exp(input)


@op(
    {"input": lambda g, y: g * (y * math.log(2))},
    formula=r"y = 2^a",
    vjp_formula={"input": r"\bar a = \bar y \odot y \ln 2"},
    samples=ANYWHERE,
    floats="input",
)
def exp2(input):
    """2 ** input.

    >>> torch.exp2(torch.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return np.exp2(input)


@op(
    {"input": lambda g, y: g * (y + 1)},
    formula=r"y = e^a - 1",
    vjp_formula={"input": r"\bar a = \bar y \odot (y + 1)"},
    samples=ANYWHERE,
    floats="input",
)
def expm1(input):
    """exp(input) - 1, without the loss of digits near 0.

    >>> torch.expm1(torch.tensor([0.0, 1.0]))
    tensor([0.    , 1.7183])
    """
    return np.expm1(input)


@op(
    {"input": lambda g, input: g / input},
    formula=r"y = \ln a",
    vjp_formula={"input": r"\bar a = \bar y / a"},
    samples=[Sample(uniform(3, 4, low=0.5, high=3)), Sample(uniform(low=0.5, high=3))],
    floats="input",
)
def log(input):
    """The natural logarithm: -inf at 0, NaN below.

    >>> torch.log(torch.tensor([1.0, 10.0]))
    tensor([0.    , 2.3026])
    """
    return np.log(input)


@op(
    {"input": lambda g, input: g / (1 + input)},
    formula=r"y = \ln(1 + a)",
    vjp_formula={"input": r"\bar a = \bar y / (1 + a)"},
    samples=POSITIVE,
    floats="input",
)
def log1p(input):
    """log(1 + input), without the loss of digits near 0.

    >>> torch.log1p(torch.tensor([0.0, 1.0]))
    tensor([0.    , 0.6931])
    """
    return np.log1p(input)


@op(
    {"input": lambda g, input: g / (input * math.log(2))},
    formula=r"y = \log_2 a",
    vjp_formula={"input": r"\bar a = \bar y / (a \ln 2)"},
    samples=POSITIVE,
    floats="input",
)
def log2(input):
    """The logarithm to base 2: -inf at 0, NaN below.

    >>> torch.log2(torch.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return np.log2(input)


@op(
    {"input": lambda g, input: g / (input * math.log(10))},
    formula=r"y = \log_{10} a",
    vjp_formula={"input": r"\bar a = \bar y / (a \ln 10)"},
    samples=POSITIVE,
    floats="input",
)
def log10(input):
    """The logarithm to base 10: -inf at 0, NaN below.

    >>> torch.log10(torch.tensor([1.0, 1000.0]))
    tensor([0., 3.])
    """
    return np.log10(input)


@op(
    {"input": lambda g, y: g * (y * (1 - y))},
    formula=r"y = 1 / (1 + e^{-a})",
    vjp_formula={"input": r"\bar a = \bar y \odot y (1 - y)"},
    samples=ANYWHERE,
    floats="input",
    faces="torch method functional",
)
def sigmoid(input):
    """The logistic function 1 / (1 + exp(-input)), between 0 and 1.

    Computed as e^min(a, 0) / (1 + e^-|a|), in which nothing overflows and small values keep their digits.

    >>> torch.sigmoid(torch.tensor([-1000.0, 0.0, 1.0]))
    tensor([0.    , 0.5   , 0.7311])
    """
    return np.exp(np.minimum(input, 0)) / (1 + np.exp(-np.abs(input)))


def _power_slope(x, n):
    """d(x**n)/dx = n x**(n-1), and 0 where n is 0, also at x = 0."""
    if isinstance(n, (int, float)):
        return n * x ** (n - 1) if n != 0 else x * 0
    return where(n == 0, 0.0, n * x ** where(n == 0, 1.0, n - 1))


def _log_base(x, n):
    """log(x) where y = x**n depends on n: at x = 0 with n >= 0 the derivative is 0, so log(1) stands there."""
    return log(where((x == 0) & (n >= 0), 1.0, x))


@op(
    {
        "input": lambda g, input, exponent: g * _power_slope(input, exponent),
        "exponent": lambda g, input, exponent, y: g * y * _log_base(input, exponent),
    },
    formula=r"y = a^{b}",
    vjp_formula={"input": r"\bar a = \bar y \odot b\,a^{b-1}", "exponent": r"\bar b = \bar y \odot y \ln a"},
    samples=[
        Sample(normal(3, 4), 2),
        Sample(normal(3, 4), 3.0),
        Sample(uniform(3, 1, low=0.5, high=2), normal(4)),
        Sample(uniform(3, low=0.5, high=2), -0.5),
        Sample(2.0, normal(3)),
        Sample(normal(2, 2), 0),
    ],
    promotes="input exponent",
)
def pow_(input, exponent):
    """input ** exponent, elementwise with broadcasting. x**0 is 1 with gradient 0, also at x = 0.

    RuntimeError for an integer tensor with a negative integer exponent.

    >>> torch.pow(torch.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    y = input**exponent
    if y.dtype.char == "b":  # int8, of which there are no tensors
        raise NotImplementedError("pow: not implemented for bool: convert with .int()")
    return y


operator("pow", pow_)
