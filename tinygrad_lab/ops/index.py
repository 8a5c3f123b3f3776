"""Indexing: `x[index]` reads parts of a tensor, `x[index] = value` writes into them.

What this file lets you do: index as in PyTorch, which is NumPy's way but for one rule. Integers are applied first, so
x[0, :, [1, 2]] is x[0][:, [1, 2]]; and an ellipsis that stands for no dimension separates nothing. Functions that take
indices as an argument (gather, scatter, ...) are in `gather`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.tensor import Tensor

__all__ = ["add_at", "getitem", "located", "part_of", "plain_index", "setitem"]


def plain_index(index):
    """An index with its Tensors and lists replaced by arrays; IndexError for a kind that PyTorch does not take."""

    def plain(part):
        if isinstance(part, Tensor):
            part = part.array
        elif isinstance(part, (list, range)):
            part = np.asarray(part, dtype=np.int64 if not len(part) else None)
        if isinstance(part, (np.ndarray, np.generic)) and part.ndim == 0 and part.dtype.kind in "iu":
            return int(part)  # a 0-d tensor selects, as an int does
        if isinstance(part, np.ndarray) and part.dtype.kind not in "bi":
            raise IndexError(f"getitem: tensors used as indices must be int64, int32 or bool tensors, got {part.dtype}")
        if isinstance(part, (float, str)):
            raise IndexError(
                f"getitem: only integers, slices (`:`), ellipsis (`...`), None and integer or bool tensors are valid "
                f"indices, got {part!r}"
            )
        return part

    if type(index) is list and len(index) < 32 and any(map(_makes_tuple, index)):
        index = tuple(index)
    if type(index) is tuple:
        return tuple(plain(part) for part in index)
    return index if type(index) is int or type(index) is slice else plain(index)


def _makes_tuple(part):
    """Whether a list that holds this is meant as a tuple, x[[rows, columns]]: PyTorch's rule, and once NumPy's."""
    return part is None or part is ... or isinstance(part, (Tensor, np.ndarray, list, tuple, range, str, slice))


def _is_basic(index):
    parts = index if type(index) is tuple else (index,)
    return not any(isinstance(part, (np.ndarray, bool, np.bool_)) for part in parts)


def located(array, index):
    """(array, index) where, if `index` holds arrays, its integers have been applied (as a view) and ... spelt out."""
    if type(index) is not tuple or _is_basic(index):
        return array, index
    free = array.ndim - sum(map(_rank, index))
    basic: list[Any] = []
    rest: list[Any] = []
    for part in index:
        if type(part) is int:
            basic.append(part)
        else:
            dims = free if part is Ellipsis else _rank(part)
            basic += [slice(None)] * dims
            rest += [slice(None)] * dims if part is Ellipsis else [part]
    return array[tuple(basic)], tuple(rest)


def _rank(part):
    """How many dimensions of the array this part of an index stands for."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


@op(
    {"input": lambda g, input_shape, index: add_at(g, index, input_shape)},
    formula=r"y = a_{[\,i\,]}",
    vjp_formula={"input": r"\bar a_{[\,i\,]} \mathrel{+}= \bar y"},
    samples=[
        Sample(normal(3, 4), (slice(None), 1)),
        Sample(normal(3, 4), 2),
        Sample(normal(3, 4), (..., None, slice(0, 4, 2))),
        Sample(normal(3, 4), np.array([0, 2, 0])),
        Sample(normal(3, 4), (np.array([0, 1, 1]), np.array([3, 0, 0]))),
        Sample(normal(3), np.array([True, False, True])),
        Sample(normal(2, 3, 4), (0, slice(None), np.array([1, 1]))),
        Sample(normal(2, 3, 4), (np.array([1, 0]), slice(1, None), np.array([3, 3]))),
        Sample(normal(3, 4, 2), (np.array([[True, False, True, False]] * 3), 1)),
    ],
    view=True,
    faces="",
)
def getitem(input, index):
    """input[index]: integers, slices, None, Ellipsis (a view), integer arrays and bool masks (a copy).

    An element that is read several times gets the sum of the cotangents. IndexError if out of range.
    """
    if type(index) is tuple:
        input, index = located(input, index)
    return part_of(input, index)


def part_of(array, index):
    """array[index], as a view also of a single element, which NumPy copies: x[0].zero_() changes x."""
    part = array[index]
    if type(part) is np.ndarray:
        # NumPy puts the dimension of x[:, [2, 0]] outermost in memory: view() could not be used on it.
        return part if part.flags.c_contiguous or _is_basic(index) else part.copy()
    return array[(*index, ...) if type(index) is tuple else (index, ...)]


@op(
    {"input": lambda g, index: getitem(g, index)},
    formula=r"y_{[\,i\,]} \mathrel{+}= a",
    vjp_formula={"input": r"\bar a = \bar y_{[\,i\,]}"},
    samples=[Sample(normal(3, 4), np.array([0, 2, 0]), (3, 4)), Sample(normal(2), (0, slice(1, 3)), (2, 4))],
    faces="",
)
def add_at(input, index, shape):
    """Zeros of `shape` with `input` added at `index`: the adjoint of `getitem`."""
    out = np.zeros(shape, input.dtype)
    if _is_basic(index):
        out[index] = input
    elif isinstance(index, np.ndarray) and index.dtype == bool:
        out[index] = input  # no element is named twice
    else:
        # One flat np.add.at is several times faster than one on rows or on several indices.
        part, rest = located(np.arange(out.size).reshape(shape), index)
        np.add.at(out.reshape(-1), part[rest].ravel(), input.ravel())
    return out


@op(
    {"input": lambda g, index: setitem(g, index, 0.0), "value": lambda g, index: getitem(g, index)},
    formula=r"y = a,\; y_{[\,i\,]} = b",
    vjp_formula={"input": r"\bar a = \bar y,\; \bar a_{[\,i\,]} = 0", "value": r"\bar b = \bar y_{[\,i\,]}"},
    samples=[
        Sample(normal(3, 4), (slice(None), 1), normal(3)),
        Sample(normal(3, 4), np.array([0, 2]), normal(4)),
        Sample(normal(3), np.array([True, False, True]), 2.0),
        Sample(normal(2, 3, 4), (0, slice(None), np.array([1, 2])), normal(3, 2)),
    ],
    faces="",
)
def setitem(input, index, value):
    """A copy of `input` with `value` (broadcast) at `index`: what `x[index] = value` records and writes into x."""
    out = np.array(input, order="C")
    part, rest = located(out, index)
    try:
        part[rest] = value
    except (ValueError, TypeError):  # TypeError: more than one dimension for a mask
        raise RuntimeError(
            f"setitem: a value of shape {np.shape(value)} does not fit into x[index] of shape {part[rest].shape}, x "
            f"of shape {out.shape}"
        ) from None
    return out


Tensor.__getitem__ = lambda self, index: getitem(self, plain_index(index))
