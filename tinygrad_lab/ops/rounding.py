"""Rounding, limiting and replacing values: piece by piece, the result is constant or the input itself."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.arithmetic import kept, where
from tinygrad_lab.ops.comparison import isfinite
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.samples import Sample, distinct, normal, uniform

__all__ = ["ceil", "clamp", "clamp_max", "clamp_min", "floor", "frac", "nan_to_num", "round_", "trunc"]

BETWEEN_INTEGERS = [Sample(distinct(3, 4)), Sample(uniform(low=0.2, high=0.8)), Sample(normal(0, 3))]


def no_slope(g):
    """The contribution of a piecewise constant function. (g * 0 would be NaN where g is infinite.)"""
    return where(False, g, 0.0)


@op(
    {"input": no_slope},
    formula=r"y = \lfloor a \rfloor",
    vjp_formula={"input": r"\bar a = 0"},
    samples=BETWEEN_INTEGERS,
)
def floor(input):
    """The largest integer not above `input`; gradient 0. Same dtype.

    >>> torch.floor(torch.tensor([-1.5, 1.5]))
    tensor([-2.,  1.])
    """
    return np.floor(input)


@op(
    {"input": no_slope},
    formula=r"y = \lceil a \rceil",
    vjp_formula={"input": r"\bar a = 0"},
    samples=BETWEEN_INTEGERS,
)
def ceil(input):
    """The smallest integer not below `input`; gradient 0. Same dtype.

    >>> torch.ceil(torch.tensor([-1.5, 1.5]))
    tensor([-1.,  2.])
    """
    return np.ceil(input)


@op(
    {"input": no_slope},
    formula=r"y = \mathrm{sign}(a)\lfloor |a| \rfloor",
    vjp_formula={"input": r"\bar a = 0"},
    samples=BETWEEN_INTEGERS,
    aliases="fix",
)
def trunc(input):
    """`input` rounded toward 0; gradient 0. Same dtype.

    >>> torch.trunc(torch.tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """
    return np.trunc(input)


@op(
    {"input": no_slope},
    formula=r"y = 10^{-d} \lfloor 10^d a \rceil",
    vjp_formula={"input": r"\bar a = 0"},
    samples=[
        *BETWEEN_INTEGERS,
        Sample(uniform(3, 4, low=0.11, high=0.14), decimals=1),
        Sample(distinct(3), decimals=-1),
    ],
)
def round_(input, *, decimals=0):
    """The nearest number with `decimals` decimals, the even one of two equally near; gradient 0. Same dtype.

    >>> torch.round(torch.tensor([0.5, 1.5, -2.6]))
    tensor([ 0.,  2., -3.])
    """
    return np.round(input, decimals)


@op(
    {"input": lambda g: g},
    formula=r"y = a - \mathrm{trunc}(a)",
    vjp_formula={"input": r"\bar a = \bar y"},
    samples=BETWEEN_INTEGERS,
)
def frac(input):
    """What `trunc` cuts off, with the sign of `input`; gradient 1. Same dtype.

    >>> torch.frac(torch.tensor([-1.5, 2.25]))
    tensor([-0.5 ,  0.25])
    """
    return input - np.trunc(input)


@op(
    {"input": lambda g, input, min: kept(g, input >= min), "min": lambda g, input, min: kept(g, input < min)},
    formula=r"y = \max(a, l)",
    vjp_formula={"input": r"\bar a = \bar y \odot [a \ge l]", "min": r"\bar l = \bar y \odot [a < l]"},
    samples=[
        Sample(normal(3, 4, away_from=(-0.5,)), -0.5),
        Sample(distinct(3, 1), distinct(4)),
        Sample(normal(0, 3), 0.0),
    ],
    promotes="input min",
)
def clamp_min(input, min):
    """`input`, raised to `min` (a number or a tensor that broadcasts) where it is below; NaN stays.

    At a tie the gradient goes to `input` alone.

    >>> torch.clamp_min(torch.tensor([-1.0, 2.0]), 0)
    tensor([0., 2.])
    """
    return np.maximum(input, min)


@op(
    {"input": lambda g, input, max: kept(g, input <= max), "max": lambda g, input, max: kept(g, input > max)},
    formula=r"y = \min(a, u)",
    vjp_formula={"input": r"\bar a = \bar y \odot [a \le u]", "max": r"\bar u = \bar y \odot [a > u]"},
    samples=[
        Sample(normal(3, 4, away_from=(0.5,)), 0.5),
        Sample(distinct(3, 1), distinct(4)),
        Sample(normal(0, 3), 0.0),
    ],
    promotes="input max",
)
def clamp_max(input, max):
    """`input`, lowered to `max` (a number or a tensor that broadcasts) where it is above; NaN stays.

    At a tie the gradient goes to `input` alone.

    >>> torch.clamp_max(torch.tensor([-1.0, 2.0]), 0)
    tensor([-1.,  0.])
    """
    return np.minimum(input, max)


@composition(
    formula=r"y = \min(\max(a, l), u)",
    samples=[
        Sample(normal(3, 4, away_from=(-0.5, 0.5)), -0.5, 0.5),
        Sample(normal(3, 4, away_from=(0.5,)), max=0.5),
        Sample(normal(3, 4, away_from=(-0.5,)), min=-0.5),
        Sample(distinct(3, 4), uniform(4, low=-1.2, high=-1.1), uniform(3, 1, low=1.1, high=1.2)),
    ],
    aliases="clip",
)
def clamp(input, min=None, max=None):
    """`input`, raised to `min` where it is below and lowered to `max` where it is above; NaN stays.

    The limits are numbers or tensors that broadcast; one may be left out. The gradient goes to `input` where it lies
    within the limits or on them, else to the limit. RuntimeError without a limit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp.html

    >>> torch.clamp(torch.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    raised = input if min is None else clamp_min(input, min)
    return raised if max is None else clamp_max(raised, max)


@op(
    {"input": lambda g, input: where(isfinite(input), g, 0.0)},
    formula=r"y = a \text{ if } |a| < \infty \text{ else } r",
    vjp_formula={"input": r"\bar a = \bar y \odot [|a| < \infty]"},
    samples=[Sample(normal(3, 4)), Sample(normal(), 0.5, 2.0, -2.0)],
)
def nan_to_num(input, nan=None, posinf=None, neginf=None):
    """`input` with NaN replaced by `nan` (0), inf by `posinf`, -inf by `neginf` (the dtype's largest and smallest).

    The gradient is 0 where a value was replaced.

    >>> torch.nan_to_num(torch.tensor([float("nan"), 1.0, float("inf")]), posinf=9.0)
    tensor([0., 1., 9.])
    """
    return np.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)
