"""Cumulative sums and products, and products: exact where elements are 0, for derivatives of any order.

No rule divides by an element. The derivative of a cumulative product follows a linear recurrence, s_i = b_i + f_i
s_(i-1), run backward; `recurrence` is an op whose own rules are recurrences and shifts, so derivatives of every order
come from it.
"""

from __future__ import annotations

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.padding import constant_pad
from tinygrad_lab.ops.rearrange import flip
from tinygrad_lab.ops.reduce import spread
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import axis_of, reshape

__all__ = ["cumprod", "cumsum", "prod", "recurrence"]

ALONG = [
    Sample(normal(3, 4), 0),
    Sample(normal(2, 3, 4), -1),
    Sample(normal(5), 0),
    Sample(normal(), 0),
    Sample(normal(0, 3), 0),
]


def _later(x, dim, fill):
    """The elements moved one place up along `dim`, with `fill` in the first place: y_i = x_(i-1)."""
    if not x.shape or 0 in x.shape:
        return x
    after = len(x.shape) - 1 - dim % len(x.shape)
    return constant_pad(x, (0, 0) * after + (1, -1), fill)


@op(
    {
        "input": lambda g, factor, dim: _backward(g, factor, dim),
        "factor": lambda g, factor, y, dim: _backward(g, factor, dim) * _later(y, dim, 0.0),
    },
    formula=r"y_i = b_i + f_i\, y_{i-1}",
    vjp_formula={
        "input": r"\bar b_i = \bar y_i + f_{i+1}\, \bar b_{i+1}",
        "factor": r"\bar f_i = \bar b_i\, y_{i-1}",
    },
    samples=[
        Sample(normal(3, 4), normal(3, 4), 1),
        Sample(normal(3, 2), normal(3, 2), 0),
        Sample(normal(1), normal(1), 0),
    ],
    faces="",
)
def recurrence(input, factor, dim):
    """y_i = input_i + factor_i * y_(i-1) along `dim`, from y_(-1) = 0: the first factor is not used."""
    out = np.array(input, order="C")
    y, f = np.moveaxis(out, dim, 0), np.moveaxis(factor, dim, 0)
    for i in range(1, len(y)):
        y[i] += f[i] * y[i - 1]
    return out


def _backward(g, factor, dim):
    """t_i = g_i + factor_(i+1) * t_(i+1): the adjoint of `recurrence`, which is one in the opposite direction."""
    return flip(recurrence(flip(g, dim), _later(flip(factor, dim), dim, 0.0), dim), dim)


def _accumulated(name, function, input, dim, dtype):
    axis = axis_of(name, dim, input.ndim)
    kind = (
        dtypes.as_numpy(dtype) if dtype is not None else input.dtype if input.dtype.kind == "f" else np.dtype(np.int64)
    )
    if kind.char in "ef":  # one after the other, so in float64, as in PyTorch: in halves, 2048 + 1 is 2048
        return _accumulated(name, function, input, dim, np.float64).astype(kind)
    return function(input, axis=axis, dtype=kind) if input.ndim else input.astype(kind)


@op(
    {"input": lambda g, dim: flip(cumsum(flip(g, dim), dim), dim) if g.shape else g},
    formula=r"y_i = \textstyle\sum_{j \le i} a_j",
    vjp_formula={"input": r"\bar a_j = \textstyle\sum_{i \ge j} \bar y_i"},
    samples=ALONG,
)
def cumsum(input, dim, *, dtype=None):
    """The sums of the elements up to each one along `dim`. Integers and bools are summed as int64.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _accumulated("cumsum", np.cumsum, input, dim, dtype)


@op(
    {"input": lambda g, input, y, dim: _later(y, dim, 1.0) * _backward(g, input, dim) if g.shape else g},
    formula=r"y_i = \textstyle\prod_{j \le i} a_j",
    vjp_formula={"input": r"\bar a_j = \textstyle\sum_{i \ge j} \bar y_i \prod_{k \le i,\, k \ne j} a_k"},
    samples=ALONG,
)
def cumprod(input, dim, *, dtype=None):
    """The products of the elements up to each one along `dim`. Integers and bools are multiplied as int64.

    Derivatives are exact where elements are 0.

    >>> torch.cumprod(torch.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    return _accumulated("cumprod", np.cumprod, input, dim, dtype)


def _others(g, input, dim, keepdim):
    """g times the product of all other elements: those before times those after."""
    shape = input.shape
    if dim is None or not shape:
        g, input, dim = reshape(g, (1,)), reshape(input, (-1,) if 0 not in shape else (0,)), 0
    else:
        g = spread(g, shape, dim, keepdim)
    before = _later(cumprod(input, dim), dim, 1.0)
    after = flip(_later(cumprod(flip(input, dim), dim), dim, 1.0), dim)
    return reshape(g * before * after, shape)


@op(
    {"input": _others},
    formula=r"y = \textstyle\prod a",
    vjp_formula={"input": r"\bar a_j = \bar y \textstyle\prod_{k \ne j} a_k"},
    samples=[
        Sample(normal(2, 3)),
        Sample(normal(3, 4), 0),
        Sample(normal(2, 3, 2), -2, True),
        Sample(normal()),
        Sample(normal(), 0),
        Sample(normal(0, 3), 0),
    ],
)
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product of all elements or along `dim`; 1 for none. Integers and bools are multiplied as int64.

    Derivatives are exact where elements are 0.

    >>> torch.prod(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor([ 2., 12.])
    """
    kind = (
        dtypes.as_numpy(dtype) if dtype is not None else input.dtype if input.dtype.kind == "f" else np.dtype(np.int64)
    )
    axis = None if dim is None or not input.ndim else axis_of("prod", dim, input.ndim)
    if dim is not None:
        axis_of("prod", dim, input.ndim)
    return np.multiply.reduce(input, axis=axis, dtype=kind, keepdims=keepdim)
