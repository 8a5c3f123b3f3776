"""Indexing: reading parts of a tensor, writing into them, gathering and scattering by index."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.tensor import Tensor

__all__ = ["getitem", "setitem"]


def plain_index(index):
    """An index with its Tensors and lists replaced by arrays; IndexError for a kind that PyTorch does not take."""

    def plain(part):
        if isinstance(part, Tensor):
            part = part.array
        elif isinstance(part, (list, range)):
            part = np.asarray(part, dtype=np.int64 if not len(part) else None)
        if isinstance(part, np.ndarray) and part.dtype.kind not in "bi":
            raise IndexError(f"getitem: tensors used as indices must be int64, int32 or bool tensors, got {part.dtype}")
        if isinstance(part, (float, str)):
            raise IndexError(
                f"getitem: only integers, slices (`:`), ellipsis (`...`), None and integer or bool tensors are valid indices, got {part!r}"
            )
        return part

    if type(index) is tuple:
        return tuple(plain(part) for part in index)
    return index if type(index) is int or type(index) is slice else plain(index)


def _is_basic(index):
    parts = index if type(index) is tuple else (index,)
    return not any(isinstance(part, (np.ndarray, bool, np.bool_)) for part in parts)


@op(
    {"input": lambda g, input_shape, index: scatter(g, index, input_shape)},
    formula=r"y = a_{[\,i\,]}",
    vjp_formula={"input": r"\bar a_{[\,i\,]} \mathrel{+}= \bar y"},
    samples=[
        Sample(normal(3, 4), (slice(None), 1)),
        Sample(normal(3, 4), 2),
        Sample(normal(3, 4), (..., None, slice(0, 4, 2))),
        Sample(normal(3, 4), np.array([0, 2, 0])),
        Sample(normal(3, 4), (np.array([0, 1, 1]), np.array([3, 0, 0]))),
        Sample(normal(3), np.array([True, False, True])),
    ],
    view=True,
    faces="",
)
def getitem(input, index):
    """input[index]: integers, slices, None, Ellipsis (a view), integer arrays and bool masks (a copy).

    An element that is read several times gets the sum of the cotangents. IndexError if out of range.
    """
    return input[index]


@op(
    {"input": lambda g, index: getitem(g, index)},
    formula=r"y_{[\,i\,]} \mathrel{+}= a",
    vjp_formula={"input": r"\bar a = \bar y_{[\,i\,]}"},
    samples=[Sample(normal(3, 4), np.array([0, 2, 0]), (3, 4))],
    faces="",
)
def scatter(input, index, shape):
    """Zeros of `shape` with `input` added at `index`: the adjoint of `getitem`."""
    out = np.zeros(shape, input.dtype)
    if _is_basic(index):
        out[index] = input
    else:
        np.add.at(out, index, input)
    return out


@op(
    {"input": lambda g, index: setitem(g, index, 0.0), "value": lambda g, index: getitem(g, index)},
    formula=r"y = a,\; y_{[\,i\,]} = b",
    vjp_formula={"input": r"\bar a = \bar y,\; \bar a_{[\,i\,]} = 0", "value": r"\bar b = \bar y_{[\,i\,]}"},
    samples=[
        Sample(normal(3, 4), (slice(None), 1), normal(3)),
        Sample(normal(3, 4), np.array([0, 2]), normal(4)),
        Sample(normal(3), np.array([True, False, True]), 2.0),
    ],
    faces="",
)
def setitem(input, index, value):
    """A copy of `input` with `value` (broadcast) at `index`. `x[index] = value` records this and writes into x's memory."""
    out = input.copy()
    try:
        out[index] = value
    except ValueError:
        raise RuntimeError(
            f"setitem: a value of shape {np.shape(value)} does not fit into x[index] of shape {out[index].shape}, x of shape {out.shape}"
        ) from None
    return out


Tensor.__getitem__ = lambda self, index: getitem(self, plain_index(index))
