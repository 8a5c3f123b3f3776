"""Ops that copy elements to other places: repeating, reversing, rolling, and grids of coordinates."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.dimensions import flatten
from tinygrad_lab.ops.gather import index_select
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import axis_of, expand, reshape
from tinygrad_lab.tensor import Tensor

__all__ = ["flip", "meshgrid", "repeat", "repeat_interleave", "roll", "tile"]


def _sum_of_copies(g, input_shape, repeats):
    """The adjoint of `repeat`: each dimension r*n seen as (r, n), summed over the r."""
    padded = (1,) * (len(repeats) - len(input_shape)) + tuple(input_shape)
    pairs = tuple(size for pair in zip(repeats, padded, strict=True) for size in pair)
    return reshape(sum_(reshape(g, pairs), tuple(range(0, len(pairs), 2))), input_shape)


@op(
    {"input": lambda g, input_shape, repeats: _sum_of_copies(g, input_shape, repeats)},
    formula=r"y = \mathrm{repeat}(a)",
    vjp_formula={"input": r"\bar a = \textstyle\sum_{\text{copies}} \bar y"},
    samples=[
        Sample(normal(2, 3), (2, 3)),
        Sample(normal(3), (2, 1, 2)),
        Sample(normal(2), (1,)),
        Sample(normal(), ()),
        Sample(normal(2), (0,)),
    ],
    spread="repeats",
    faces="method",
)
def repeat(input, repeats):
    """`input` copied `repeats[i]` times along dimension i; further leading repeats add dimensions.

    RuntimeError for fewer repeats than dimensions, or a negative one.

    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    if len(repeats) < input.ndim or any(times < 0 for times in repeats):
        raise RuntimeError(
            f"repeat: Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor, nor "
            f"a repeat "
            f"negative: got {tuple(repeats)} for shape {input.shape}"
        )
    return np.tile(input, repeats)


@composition(
    formula=r"y = \mathrm{repeat}(a)", samples=[Sample(normal(2, 3), (2,)), Sample(normal(3), (2, 2))], spread="dims"
)
def tile(input, dims):
    """`repeat` for which fewer `dims` than dimensions are filled with 1 from the left, as in NumPy.

    >>> torch.tile(torch.tensor([[1], [2]]), (3,))
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return repeat(input, (1,) * (input.ndim - len(dims)) + tuple(dims))


@composition(
    formula=r"y = (a_1, a_1, \dots, a_2, a_2, \dots)",
    samples=[
        Sample(normal(2, 3), 2),
        Sample(normal(2, 3), 2, -1),
        Sample(normal(3, 2), np.array([1, 0, 3]), 0),
        Sample(normal(), 3),
    ],
)
def repeat_interleave(input, repeats, dim=None):
    """Each element repeated before the next one comes; along `dim`, or of the flattened tensor.

    repeats   an int, or a tensor with one int for each entry of the dimension. RuntimeError if it has another size.

    >>> torch.repeat_interleave(torch.tensor([1, 2]), 3)
    tensor([1, 1, 1, 2, 2, 2])
    """
    if dim is None:
        input, dim = flatten(input), 0
    size = input.shape[axis_of("repeat_interleave", dim, input.ndim)]
    repeats = np.asarray(repeats.array if isinstance(repeats, Tensor) else repeats)
    if repeats.ndim > 1 or repeats.size not in (1, size) or (repeats < 0).any():
        raise RuntimeError(
            f"repeat_interleave: repeats must be one non-negative int or have the same size as input along dim, "
            f"{size}; got "
            f"shape {repeats.shape}"
        )
    return index_select(input, dim, np.repeat(np.arange(size), repeats))


@op(
    {"input": lambda g, dims: flip(g, dims)},
    formula=r"y = \mathrm{flip}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{flip}(\bar y)"},
    samples=[Sample(normal(3, 4), (0,)), Sample(normal(2, 3, 4), (0, -1)), Sample(normal(3), ()), Sample(normal(), ())],
    spread="dims",
)
def flip(input, dims):
    """The elements in reverse order along `dims` (an int or ints); a copy. RuntimeError if a dimension is named twice.

    >>> torch.flip(torch.tensor([[1, 2], [3, 4]]), (1,))
    tensor([[2, 1],
            [4, 3]])
    """
    return np.flip(input, dims).copy()


def _opposite(shifts):
    return -shifts if isinstance(shifts, (int, np.integer)) else tuple(-shift for shift in shifts)


@op(
    {"input": lambda g, shifts, dims: roll(g, _opposite(shifts), dims)},
    formula=r"y = \mathrm{roll}_{s}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{roll}_{-s}(\bar y)"},
    samples=[
        Sample(normal(3, 4), 1),
        Sample(normal(3, 4), 5, -1),
        Sample(normal(3, 4), (1, -2), (0, 1)),
        Sample(normal(), 1),
    ],
)
def roll(input, shifts, dims=None):
    """The elements moved `shifts` places along `dims` (None: as if flattened), around the end; a copy.

    RuntimeError unless there are as many shifts as dims.

    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    pairs = np.size(shifts), 1 if dims is None else np.size(dims)
    if pairs[0] != pairs[1]:
        raise RuntimeError(
            f"roll: shifts and dimensions must align. shifts: {pairs[0]}, dims: {0 if dims is None else pairs[1]}"
        )
    return np.roll(input, shifts, dims)


@composition(
    formula=r"y^{(k)}_{i_1 \dots i_n} = a^{(k)}_{i_k}",
    samples=[Sample(normal(2), normal(3)), Sample(normal(2), normal(3), normal(), indexing="xy")],
    faces="torch",
)
def meshgrid(*tensors, indexing="ij"):
    """One tensor per argument (1-d or 0-d), each repeated over the grid that they span; views.

    indexing   "ij": dimension k belongs to tensor k; "xy": the first two are swapped, as rows and columns of a picture.

    >>> x, y = torch.meshgrid(torch.tensor([1, 2, 3]), torch.tensor([10, 20]))
    >>> x
    tensor([[1, 1],
            [2, 2],
            [3, 3]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing}")
    if not tensors or any(tensor.ndim > 1 for tensor in tensors):
        raise RuntimeError(
            f"meshgrid: expects 0-d or 1-d tensors, at least one; got shapes {[x.shape for x in tensors]}"
        )
    dims = list(range(len(tensors)))
    if indexing == "xy":
        dims[:2] = dims[:2][::-1]
    sizes = [x.shape[0] if x.ndim else 1 for x in tensors]
    shape = tuple(sizes[dims.index(i)] for i in range(len(tensors)))
    return tuple(
        expand(reshape(x, tuple(size if i == dim else 1 for i in range(len(tensors)))), shape)
        for x, size, dim in zip(tensors, sizes, dims, strict=True)
    )
