"""Angles: the circular and hyperbolic functions, their inverses, and the polar coordinates of a point."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.elementwise import float_pair, rsqrt
from tinygrad_lab.ops.samples import Sample, normal, uniform

__all__ = ["acos", "asin", "atan", "atan2", "cos", "cosh", "hypot", "sin", "sinh", "tan", "tanh"]

ANYWHERE = [Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 3))]
WITHIN_ONE = [Sample(uniform(3, 4, low=-0.7, high=0.7)), Sample(uniform(low=-0.7, high=0.7))]
POINTS = [
    Sample(normal(3, 4), normal(3, 4)),
    Sample(uniform(3, 1, low=0.5, high=2), normal(4)),
    Sample(uniform(low=0.5, high=2), normal(3)),
]


@op(
    {"input": lambda g, input: g * cos(input)},
    formula=r"y = \sin a",
    vjp_formula={"input": r"\bar a = \bar y \odot \cos a"},
    samples=ANYWHERE,
    floats="input",
)
def sin(input):
    """The sine of an angle in radians.

    >>> torch.sin(torch.tensor([0.0, 1.0]))
    tensor([0.    , 0.8415])
    """
    return np.sin(input)


@op(
    {"input": lambda g, input: -g * sin(input)},
    formula=r"y = \cos a",
    vjp_formula={"input": r"\bar a = -\bar y \odot \sin a"},
    samples=ANYWHERE,
    floats="input",
)
def cos(input):
    """The cosine of an angle in radians.

    >>> torch.cos(torch.tensor([0.0, 1.0]))
    tensor([1.    , 0.5403])
    """
    return np.cos(input)


@op(
    {"input": lambda g, y: g * (1 + y * y)},
    formula=r"y = \tan a",
    vjp_formula={"input": r"\bar a = \bar y \odot (1 + y^2)"},
    samples=[Sample(uniform(3, 4, low=-1, high=1)), Sample(uniform(low=-1, high=1))],
    floats="input",
)
def tan(input):
    """The tangent of an angle in radians.

    >>> torch.tan(torch.tensor([0.0, 1.0]))
    tensor([0.    , 1.5574])
    """
    return np.tan(input)


@op(
    {"input": lambda g, input: g * rsqrt(1 - input * input)},
    formula=r"y = \arcsin a",
    vjp_formula={"input": r"\bar a = \bar y / \sqrt{1 - a^2}"},
    samples=WITHIN_ONE,
    floats="input",
    aliases="arcsin",
)
def asin(input):
    """The angle in [-pi/2, pi/2] with this sine; NaN outside of [-1, 1].

    >>> torch.asin(torch.tensor([0.0, 1.0]))
    tensor([0.    , 1.5708])
    """
    return np.arcsin(input)


@op(
    {"input": lambda g, input: -g * rsqrt(1 - input * input)},
    formula=r"y = \arccos a",
    vjp_formula={"input": r"\bar a = -\bar y / \sqrt{1 - a^2}"},
    samples=WITHIN_ONE,
    floats="input",
    aliases="arccos",
)
def acos(input):
    """The angle in [0, pi] with this cosine; NaN outside of [-1, 1].

    >>> torch.acos(torch.tensor([0.0, 1.0]))
    tensor([1.5708, 0.    ])
    """
    return np.arccos(input)


@op(
    {"input": lambda g, input: g / (1 + input * input)},
    formula=r"y = \arctan a",
    vjp_formula={"input": r"\bar a = \bar y / (1 + a^2)"},
    samples=ANYWHERE,
    floats="input",
    aliases="arctan",
)
def atan(input):
    """The angle in (-pi/2, pi/2) with this tangent.

    >>> torch.atan(torch.tensor([0.0, 1.0]))
    tensor([0.    , 0.7854])
    """
    return np.arctan(input)


@op(
    {"input": lambda g, input: g * cosh(input)},
    formula=r"y = \sinh a",
    vjp_formula={"input": r"\bar a = \bar y \odot \cosh a"},
    samples=ANYWHERE,
    floats="input",
)
def sinh(input):
    """The hyperbolic sine, (e^a - e^-a) / 2.

    >>> torch.sinh(torch.tensor([0.0, 1.0]))
    tensor([0.    , 1.1752])
    """
    return np.sinh(input)


@op(
    {"input": lambda g, input: g * sinh(input)},
    formula=r"y = \cosh a",
    vjp_formula={"input": r"\bar a = \bar y \odot \sinh a"},
    samples=ANYWHERE,
    floats="input",
)
def cosh(input):
    """The hyperbolic cosine, (e^a + e^-a) / 2.

    >>> torch.cosh(torch.tensor([0.0, 1.0]))
    tensor([1.    , 1.5431])
    """
    return np.cosh(input)


@op(
    {"input": lambda g, y: g * (1 - y * y)},
    formula=r"y = \tanh a",
    vjp_formula={"input": r"\bar a = \bar y \odot (1 - y^2)"},
    samples=ANYWHERE,
    floats="input",
    faces="torch method functional",
)
def tanh(input):
    """The hyperbolic tangent, between -1 and 1.

    >>> torch.tanh(torch.tensor([-1000.0, 0.0, 1.0]))
    tensor([-1.    ,  0.    ,  0.7616])
    """
    return np.tanh(input)


def _per_square(a, input, other):
    """a / (input^2 + other^2), and 0 at the origin, where PyTorch takes the gradient of the angle to be 0."""
    square = input * input + other * other
    return a / where(square == 0, 1.0, square)


@op(
    {
        "input": lambda g, input, other: g * _per_square(other, input, other),
        "other": lambda g, input, other: -g * _per_square(input, input, other),
    },
    formula=r"y = \mathrm{atan2}(a, b)",
    vjp_formula={"input": r"\bar a = \bar y \odot b / (a^2 + b^2)", "other": r"\bar b = -\bar y \odot a / (a^2 + b^2)"},
    samples=POINTS,
    promotes="input other",
    aliases="arctan2",
)
def atan2(input, other):
    """The angle in [-pi, pi] of the point with ordinate `input` and abscissa `other`, elementwise with broadcasting.

    At the origin the gradient is 0.

    >>> torch.atan2(torch.tensor([1.0, 0.0]), torch.tensor([1.0, -1.0]))
    tensor([0.7854, 3.1416])
    """
    return np.arctan2(*float_pair(input, other))


@op(
    {"input": lambda g, input, y: g * (input / y), "other": lambda g, other, y: g * (other / y)},
    formula=r"y = \sqrt{a^2 + b^2}",
    vjp_formula={"input": r"\bar a = \bar y \odot a / y", "other": r"\bar b = \bar y \odot b / y"},
    samples=POINTS,
    promotes="input other",
)
def hypot(input, other):
    """sqrt(input^2 + other^2) without overflow in between, elementwise with broadcasting. The gradient at 0 is NaN.

    >>> torch.hypot(torch.tensor([3.0]), torch.tensor([4.0]))
    tensor([5.])
    """
    return np.hypot(*float_pair(input, other))
