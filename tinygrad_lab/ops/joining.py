"""Joining tensors, and cutting them into parts. Parts are views that share memory with the whole."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.index import getitem
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import axis_of, reshape

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "cat",
    "chunk",
    "hstack",
    "narrow",
    "select",
    "split",
    "stack",
    "tensor_split",
    "unbind",
    "vstack",
]


def _common_dtype(tensors):
    kinds = {tensor.dtype for tensor in tensors}
    return functools.reduce(lambda a, b: dtypes.promote_types(a, b).numpy, kinds)


def _part(input, axis, part):
    """input[:, ..., part] with the slice or int `part` at position `axis`."""
    return getitem(input, (slice(None),) * axis + (part,))


def _pieces(g, tensors_shape, dim):
    """The adjoint of `cat`: the cotangent cut where the tensors meet."""
    axis, start, pieces = dim % len(g.shape), 0, []
    for shape in tensors_shape:
        legacy_empty = len(shape) != len(g.shape)
        stop = start if legacy_empty else start + shape[axis]
        piece = _part(g, axis, slice(start, stop))
        pieces.append(reshape(piece, (0,)) if legacy_empty else piece)
        start = stop
    return pieces


@op(
    {"tensors": lambda g, tensors_shape, dim: _pieces(g, tensors_shape, dim)},
    formula=r"y = \mathrm{cat}(a_1, a_2, \dots)",
    vjp_formula={"tensors": r"\bar a_k = \mathrm{part}_k(\bar y)"},
    samples=[
        Sample([normal(2, 3), normal(4, 3)]),
        Sample([normal(2, 3), normal(2, 1), normal(2, 0)], 1),
        Sample([normal(2, 3, 4), normal(2, 3, 1)], -1),
        Sample([normal(0), normal(2, 3)], 1),
        Sample([normal(3)]),
    ],
    sequence=True,
    aliases="concat concatenate",
    faces="torch",
)
def cat(tensors, dim=0):
    """The tensors one after another along `dim`; all other sizes must be equal. Dtypes are promoted to one.

    Empty 1-d tensors, shape (0,), are skipped whatever the other shapes are. ValueError for an empty list,
    RuntimeError for sizes that do not fit and for 0-d tensors.

    >>> torch.cat([torch.tensor([1, 2]), torch.tensor([3])])
    tensor([1, 2, 3])
    """
    if not tensors:
        raise ValueError("cat: expected a non-empty list of Tensors")
    kept = [tensor for tensor in tensors if tensor.shape != (0,)] or [tensors[0]]
    first = kept[0].shape
    for i, tensor in enumerate(tensors):
        if not tensor.ndim:
            raise RuntimeError(f"cat: zero-dimensional tensor (at position {i}) cannot be concatenated: use stack")
        if tensor.shape == (0,):
            continue
        if tensor.ndim != len(first):
            raise RuntimeError(
                f"cat: Tensors must have same number of dimensions: got shapes {first} and {tensor.shape} (number {i})"
            )
        axis = axis_of("cat", dim, tensor.ndim)
        if any(a != b for d, (a, b) in enumerate(zip(first, tensor.shape, strict=True)) if d != axis):
            raise RuntimeError(
                f"cat: Sizes of tensors must match except in dimension {dim}. Expected {first} but got {tensor.shape} "
                f"for tensor "
                f"number {i} in the list"
            )
    return np.concatenate(kept, axis_of("cat", dim, len(first)), dtype=_common_dtype(tensors))


@op(
    {"tensors": lambda g, dim: list(unbind(g, dim))},
    formula=r"y = \mathrm{stack}(a_1, a_2, \dots)",
    vjp_formula={"tensors": r"\bar a_k = \mathrm{part}_k(\bar y)"},
    samples=[
        Sample([normal(2, 3), normal(2, 3)]),
        Sample([normal(2), normal(2), normal(2)], -1),
        Sample([normal(), normal()]),
    ],
    sequence=True,
    faces="torch",
)
def stack(tensors, dim=0):
    """The tensors, all of one shape, along a new dimension `dim`. RuntimeError for an empty list or different shapes.

    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    if not tensors:
        raise RuntimeError("stack: expects a non-empty list of Tensors")
    for i, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack: expects each tensor to be equal size, but got {tensors[0].shape} at entry 0 and "
                f"{tensor.shape} at entry {i}"
            )
    return np.stack(tensors, dim, dtype=_common_dtype(tensors))


def _at_least(ndim, tensors):
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    grown = tuple(x if x.ndim >= ndim else reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in tensors)
    return grown if len(grown) != 1 else grown[0]


@composition(
    formula=r"y = \mathrm{reshape}(a)", samples=[Sample(normal()), Sample(normal(), normal(2, 2))], faces="torch"
)
def atleast_1d(*tensors):
    """Each tensor with at least one dimension; several (or a list) give a tuple.

    >>> torch.atleast_1d(torch.tensor(1))
    tensor([1])
    """
    return _at_least(1, tensors)


@composition(
    formula=r"y = \mathrm{reshape}(a)", samples=[Sample(normal()), Sample(normal(3), normal(2, 2))], faces="torch"
)
def atleast_2d(*tensors):
    """Each tensor with at least two dimensions, new ones in front; several (or a list) give a tuple.

    >>> torch.atleast_2d(torch.tensor([1, 2]))
    tensor([[1, 2]])
    """
    return _at_least(2, tensors)


@composition(
    formula=r"y = \mathrm{hstack}(a_1, a_2, \dots)",
    samples=[Sample([normal(2), normal(3)]), Sample([normal(2, 3), normal(2, 1)]), Sample([normal(), normal()])],
    faces="torch",
)
def hstack(tensors):
    """`cat` side by side: along dimension 1, or 0 for 1-d and 0-d tensors.

    >>> torch.hstack([torch.tensor([1, 2]), torch.tensor([3])])
    tensor([1, 2, 3])
    """
    tensors = [_at_least(1, (x,)) for x in tensors]
    return cat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1)


@composition(
    formula=r"y = \mathrm{vstack}(a_1, a_2, \dots)",
    samples=[Sample([normal(3), normal(3)]), Sample([normal(2, 3), normal(3)]), Sample([normal(), normal()])],
    aliases="row_stack",
    faces="torch",
)
def vstack(tensors):
    """`cat` one below the other: along dimension 0, where 1-d tensors are rows.

    >>> torch.vstack([torch.tensor([1, 2]), torch.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return cat([_at_least(2, (x,)) for x in tensors], 0)


# Parts


@composition(formula=r"y = a_{[\,\dots, i, \dots]}", samples=[Sample(normal(3, 4), 0, 1), Sample(normal(3, 4), -1, -1)])
def select(input, dim, index):
    """The entry `index` of dimension `dim`, which disappears; a view. IndexError if it is out of range.

    >>> torch.select(torch.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    axis = axis_of("select", dim, input.ndim)
    if not input.ndim or not -input.shape[axis] <= index < input.shape[axis]:
        raise IndexError(f"select: index {index} out of range for a tensor of shape {input.shape} at dimension {dim}")
    return _part(input, axis, int(index))


@composition(
    formula=r"y = a_{[\,\dots, s:s+n, \dots]}",
    samples=[Sample(normal(3, 4), 1, 1, 2), Sample(normal(3, 4), -2, -2, 2), Sample(normal(3), 0, 3, 0)],
)
def narrow(input, dim, start, length):
    """`length` entries of dimension `dim` from `start` on; a view. A negative start counts from the end.

    IndexError for a start, RuntimeError for a length that is out of range.

    >>> torch.narrow(torch.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    axis = axis_of("narrow", dim, input.ndim)
    if not input.ndim:
        raise RuntimeError("narrow: cannot be applied to a 0-dim tensor")
    size, start = input.shape[axis], int(start)
    if not -size <= start <= size:
        raise IndexError(f"narrow: start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start += size if start < 0 else 0
    if length < 0 or start + length > size:
        raise RuntimeError(
            f"narrow: start ({start}) + length ({length}) exceeds dimension size ({size}), or length is negative"
        )
    return _part(input, axis, slice(start, start + length))


def _cut(input, axis, sizes):
    ends = np.cumsum(sizes).tolist()
    return tuple(_part(input, axis, slice(end - size, end)) for size, end in zip(sizes, ends, strict=True))


def _dimension(name, input, dim):
    """(axis, its size); RuntimeError for a 0-d tensor, which has no parts."""
    axis = axis_of(name, dim, input.ndim)
    if not input.ndim:
        raise RuntimeError(f"{name}: expects at least a 1-dimensional tensor, got a 0-d one")
    return axis, input.shape[axis]


@composition(
    formula=r"(y_1, y_2, \dots) = a",
    samples=[
        Sample(normal(5, 2), 2),
        Sample(normal(2, 5), [1, 4], 1),
        Sample(normal(2, 4), 2, -1),
        Sample(normal(0, 3), 2),
    ],
)
def split(tensor, split_size_or_sections, dim=0):
    """Views: parts of `split_size_or_sections` entries each (the last may be smaller), or of the sizes listed.

    RuntimeError unless listed sizes sum to that of `dim`.

    >>> torch.split(torch.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    axis, size = _dimension("split", tensor, dim)
    if isinstance(split_size_or_sections, (int, np.integer)):
        step = int(split_size_or_sections)
        if step < 0 or (step == 0 and size):
            raise RuntimeError(
                f"split: split_size must be positive (or 0 for an empty dimension), got {step} for a dimension of "
                f"size {size}"
            )
        sizes = [min(step, size - start) for start in range(0, size, step)] if size else [0]
    else:
        sizes = [int(each) for each in split_size_or_sections]
        if sum(sizes) != size or min(sizes, default=0) < 0:
            raise RuntimeError(
                f"split: expects split_sizes to be non-negative and to sum exactly to {size} (input tensor's size at "
                f"dimension "
                f"{dim}), but got split_sizes={sizes}"
            )
    return _cut(tensor, axis, sizes)


@composition(
    formula=r"(y_1, y_2, \dots) = a",
    samples=[Sample(normal(5, 2), 2), Sample(normal(2, 5), 3, -1), Sample(normal(2), 5)],
)
def chunk(input, chunks, dim=0):
    """At most `chunks` parts of equal size, the last one possibly smaller; views.

    >>> torch.chunk(torch.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    axis, size = _dimension("chunk", input, dim)
    if chunks <= 0:
        raise RuntimeError(f"chunk: expects `chunks` to be greater than 0, got: {chunks}")
    if size == 0:
        return _cut(input, axis, [0] * chunks)
    return split(input, -(-size // chunks), dim)


@composition(
    formula=r"(y_1, y_2, \dots) = a",
    samples=[Sample(normal(5, 2), 2), Sample(normal(2, 5), (1, 3), 1), Sample(normal(4), (2, 9))],
)
def tensor_split(input, indices_or_sections, dim=0):
    """That many parts, the first ones larger by one where it does not divide; or parts cut before the listed indices.
    Views.

    >>> torch.tensor_split(torch.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    axis, size = _dimension("tensor_split", input, dim)
    if isinstance(indices_or_sections, (int, np.integer)):
        n = int(indices_or_sections)
        if n <= 0:
            raise RuntimeError(f"tensor_split: number of sections must be larger than 0, got {n}")
        return _cut(input, axis, [size // n + (i < size % n) for i in range(n)])
    cuts = [None, *(int(i) for i in indices_or_sections), None]
    return tuple(_part(input, axis, slice(start, stop)) for start, stop in itertools.pairwise(cuts))


@composition(
    formula=r"(y_1, y_2, \dots) = a", samples=[Sample(normal(3, 2)), Sample(normal(3, 2), -1), Sample(normal(0, 2))]
)
def unbind(input, dim=0):
    """A tuple of the entries along `dim`, which disappears; views. IndexError for a 0-d tensor.

    >>> torch.unbind(torch.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    ndim = len(input.shape)
    axis = axis_of("unbind", dim, ndim)
    if not ndim:
        raise IndexError(f"unbind: Dimension specified as {dim} but tensor has no dimensions")
    return tuple(_part(input, axis, i) for i in range(input.shape[axis]))
