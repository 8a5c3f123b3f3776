"""Picking elements by order: the largest along a dimension, sorting, medians. Ties go to the first, as a rule.

Each is an op that finds indices, which has no gradient, and a `gather` of the values, which has: so the gradient goes
to the elements that were picked. Results with values and indices are named tuples, as PyTorch's.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from tinygrad_lab.ops.arithmetic import maximum, minimum
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.dimensions import squeeze
from tinygrad_lab.ops.gather import gather
from tinygrad_lab.ops.joining import narrow
from tinygrad_lab.ops.reduce import amax, amin, check_not_empty, spread, tie_share
from tinygrad_lab.ops.samples import Sample, distinct
from tinygrad_lab.ops.shape import axis_of
from tinygrad_lab.tensor import Tensor

__all__ = ["argmax", "argmin", "argsort", "kthvalue", "max_", "median", "min_", "sort", "topk"]

Picked = namedtuple("Picked", ["values", "indices"])
"""What picking along a dimension returns: the values, and where they stood (int64)."""

ALONG = [Sample(distinct(3, 4), 0), Sample(distinct(2, 3, 4), -2), Sample(distinct(5)), Sample(distinct(), 0)]
REDUCED = [
    Sample(distinct(3, 4)),
    Sample(distinct(3, 4), 0),
    Sample(distinct(2, 3, 4), -2, True),
    Sample(distinct(), 0),
]


def _extreme(name, function, input, dim, keepdim):
    check_not_empty(name, input.shape, dim, IndexError)
    axis = None if dim is None else axis_of(name, dim, input.ndim)
    if not input.ndim:
        return np.zeros((), np.int64)
    return function(input, axis=axis, keepdims=keepdim)


@op(arrays="input", formula=r"y = \arg\max_i a_i", samples=REDUCED)
def argmax(input, dim=None, keepdim=False):
    """The index (int64) of the largest element along `dim`, or in the flattened tensor; the first of ties and NaNs.

    IndexError if there are no elements.

    >>> torch.argmax(torch.tensor([[1, 5], [7, 2]]), dim=1)
    tensor([1, 0])
    """
    return _extreme("argmax", np.argmax, input, dim, keepdim)


@op(arrays="input", formula=r"y = \arg\min_i a_i", samples=REDUCED)
def argmin(input, dim=None, keepdim=False):
    """The index (int64) of the smallest element along `dim`, or in the flattened tensor; the first of ties and NaNs.

    >>> torch.argmin(torch.tensor([[1, 5], [7, 2]]), dim=1)
    tensor([0, 1])
    """
    return _extreme("argmin", np.argmin, input, dim, keepdim)


def _pick(input, indices, dim, keepdim):
    """`input` at `indices`, which have size 1 along `dim`."""
    values = gather(input, dim, indices)
    return Picked(values, indices) if keepdim else Picked(squeeze(values, dim), squeeze(indices, dim))


def _best(name, input, dim, keepdim, other, reduce, locate, pairwise):
    if isinstance(dim, (Tensor, np.ndarray)) and other is None:
        dim, other = None, dim
    if other is not None:
        return pairwise(input, other)
    if dim is None:
        check_not_empty(name, input.shape, None)
        return reduce(input)
    if not isinstance(dim, (int, np.integer)):
        raise TypeError(f"{name}: dim must be an int, not {type(dim).__name__}: for several dimensions use a{name}")
    axis_of(name, dim, input.ndim)
    check_not_empty(name, input.shape, dim)
    return _pick(input, locate(input, dim, True), dim, keepdim)


@composition(
    formula=r"y = \max a",
    samples=[*REDUCED, Sample(distinct(3, 1), distinct(4)), Sample(distinct(2, 3), other=distinct(3))],
)
def max_(input, dim=None, keepdim=False, *, other=None):
    """The largest element; with `dim`, (values, indices) along it; with a tensor, the elementwise `maximum` of the two.

    Over everything, ties share the gradient; along a dimension the selected element, the first of ties, gets it.
    RuntimeError or IndexError if there are no elements. Source:
    https://docs.pytorch.org/docs/stable/generated/torch.max.html

    >>> torch.max(torch.tensor([[1, 5], [7, 2]]), dim=1)
    Picked(values=tensor([5, 7]), indices=tensor([1, 0]))
    """
    return _best("max", input, dim, keepdim, other, amax, argmax, maximum)


@composition(
    formula=r"y = \min a",
    samples=[*REDUCED, Sample(distinct(3, 1), distinct(4)), Sample(distinct(2, 3), other=distinct(3))],
)
def min_(input, dim=None, keepdim=False, *, other=None):
    """The smallest element; with `dim`, (values, indices) along it; with a tensor, the elementwise `minimum`.

    Ties and errors as for `max`.

    >>> torch.min(torch.tensor([[1, 5], [7, 2]]))
    tensor(1)
    """
    return _best("min", input, dim, keepdim, other, amin, argmin, minimum)


@op(arrays="input", formula=r"a_{y_1} \le a_{y_2} \le \dots", samples=[*ALONG, Sample(distinct(3, 4), 0, True)])
def argsort(input, dim=-1, descending=False, stable=False):
    """The indices (int64) that sort along `dim`; NaN counts as largest. Always stable: equal elements keep their order.

    >>> torch.argsort(torch.tensor([3, 1, 2]), descending=True)
    tensor([0, 2, 1])
    """
    axis = axis_of("argsort", dim, input.ndim)
    if not input.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(input, axis, kind="stable")
    # Reversed before and after, so that equal elements keep their order here too.
    return input.shape[axis] - 1 - np.flip(np.argsort(np.flip(input, axis), axis, kind="stable"), axis)


@composition(formula=r"y_1 \le y_2 \le \dots", samples=[*ALONG, Sample(distinct(3, 4), 0, True)])
def sort(input, dim=-1, descending=False, stable=False):
    """(values, indices): the elements in order along `dim`, and where they stood. Always stable; NaN counts as largest.

    >>> torch.sort(torch.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    indices = argsort(input, axis_of("sort", dim, input.ndim), descending)
    return Picked(gather(input, dim, indices), indices)


@composition(
    formula=r"y_1 \ge \dots \ge y_k",
    samples=[Sample(distinct(3, 4), 2), Sample(distinct(3, 4), 2, 0, False), Sample(distinct(), 1)],
)
def topk(input, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order (with `sorted=False` too).

    RuntimeError if k is negative or larger than the dimension.

    >>> torch.topk(torch.tensor([3, 1, 2]), 2).values
    tensor([3, 2])
    """
    axis = axis_of("topk", dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError(
            f"topk: selected index k out of range: k={k}, dimension {dim} of shape {input.shape} has size {size}"
        )
    indices = argsort(input, axis, largest)
    if input.ndim:
        indices = narrow(indices, axis, 0, k)
    return Picked(gather(input, axis, indices), indices)


@composition(
    formula=r"y = \mathrm{sort}(a)_k",
    samples=[Sample(distinct(3, 4), 2), Sample(distinct(3, 4), 3, 0, True), Sample(distinct(), 1)],
)
def kthvalue(input, k, dim=-1, keepdim=False):
    """(value, index) of the k-th smallest element along `dim`, counting from 1. RuntimeError if there is none.

    >>> torch.kthvalue(torch.tensor([3, 1, 2]), 2).values
    tensor(2)
    """
    axis = axis_of("kthvalue", dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue: selected number k out of range for dimension {dim}: k={k}, shape {input.shape}")
    indices = argsort(input, axis)
    return _pick(input, narrow(indices, axis, k - 1, 1) if input.ndim else indices, axis, keepdim)


@op(formula=r"y = i,\; a_i = \mathrm{median}(a)", arrays="input", samples=ALONG, faces="")
def argmedian(input, dim=-1):
    """Where the lower median along `dim` stands, or the first NaN; `dim` keeps size 1."""
    axis = axis_of("median", dim, input.ndim)
    if not input.ndim:
        return np.zeros((), np.int64)
    check_not_empty("median", input.shape, dim)
    middle = np.argsort(input, axis, kind="stable").take([(input.shape[axis] - 1) // 2], axis)
    nan = np.isnan(input)
    if nan.any():
        middle = np.where(nan.any(axis, keepdims=True), nan.argmax(axis, keepdims=True), middle)
    return middle


@op(
    {"input": lambda g, input, y: spread(g, input.shape, None, False) * tie_share(input, y, None, False)},
    formula=r"y = \mathrm{median}(a)",
    vjp_formula={"input": r"\bar a = \bar y\,[a = y] / \textstyle\sum [a = y]"},
    samples=[Sample(distinct(3, 4)), Sample(distinct(5)), Sample(distinct())],
    faces="",
)
def median_of_all(input):
    """The lower median of all elements, NaN if there are none; ties share the gradient."""
    if not input.size:
        return np.full((), np.nan if input.dtype.kind == "f" else np.iinfo(input.dtype).min, input.dtype)
    everything = input.reshape(-1)
    return everything[argmedian(everything)[0]]


@composition(formula=r"y = \mathrm{median}(a)", samples=REDUCED)
def median(input, dim=None, keepdim=False):
    """The median of all elements, or (values, indices) along `dim`: of an even number the lower one of the middle.

    NaN if there is one. Over everything, ties share the gradient; along a dimension the selected element gets it.

    >>> torch.median(torch.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    if dim is None:
        return median_of_all(input)
    return _pick(input, argmedian(input, dim), dim, keepdim)
