"""Functions of one operand, element by element, and powers."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.arithmetic import operator, where
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal, uniform

__all__ = ["exp", "log", "pow_"]


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
    return input**exponent


operator("pow", pow_)
