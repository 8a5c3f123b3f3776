"""Reading and writing at indices that are data: gather and scatter, and whole slices by index.

Out-of-range indices raise before anything is read. Contributions to one element are added with one flat `np.add.at`:
measured 3 to 6 times faster than `np.add.at` on rows, and faster than a loop, sorting or a one-hot product on most
sizes.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.dimensions import flatten
from tinygrad_lab.ops.index import add_at, getitem, setitem
from tinygrad_lab.ops.samples import Sample, integers, normal
from tinygrad_lab.ops.shape import axis_of, expand, reshape
from tinygrad_lab.tensor import Tensor

__all__ = [
    "check_index",
    "gather",
    "index_add",
    "index_fill",
    "index_select",
    "scatter",
    "scatter_add",
    "take",
    "take_along_dim",
]


def check_index(name, index, size, dim, error=RuntimeError):
    """Refuse indices that are not int32 or int64 or not in [0, size)."""
    if index.dtype.kind != "i":
        raise RuntimeError(f"{name}: Expected dtype int32 or int64 for index, got {index.dtype}: use index.long()")
    # As unsigned numbers negative ones are huge: one pass finds both kinds.
    if index.size and int(index.view(f"u{index.dtype.itemsize}").max()) >= size:
        bad = index[(index < 0) | (index >= size)].flat[0]
        raise error(f"{name}: index {bad} is out of bounds for dimension {dim} with size {size}")


def _check_gather(name, input, dim, index, src=None):
    """Check the shapes of gather and scatter, in which 0-d counts as 1-d. Returns (axis, index as at least 1-d)."""
    axis = axis_of(name, dim, input.ndim)
    index_shape = index.shape or (1,)
    if index.size and len(index_shape) != max(input.ndim, 1):
        raise RuntimeError(
            f"{name}: Index tensor must have the same number of dimensions as input tensor: got shapes {index.shape} "
            f"and {input.shape}"
        )
    check_index(name, index, (input.shape or (1,))[axis], dim)
    wide = [i for i, size in enumerate(index_shape) if index.size and i != axis and size > input.shape[i]]
    if src is not None and src.ndim and src.dtype != input.dtype:
        raise RuntimeError(f"{name}: Expected self.dtype to be equal to src.dtype, got {input.dtype} and {src.dtype}")
    if wide or (
        src is not None
        and index.size
        and (
            len(src.shape or (1,)) != len(index_shape)
            or any(a > b for a, b in zip(index_shape, src.shape or (1,), strict=True))
        )
    ):
        raise RuntimeError(
            f"{name}: Expected index {index.shape} to be no larger than self {input.shape} apart from dimension {dim}"
            + ("" if src is None else f" and to be no larger than src {src.shape}")
        )
    return axis, index.reshape(index_shape)


def _positions(shape, axis, index, extent):
    """Positions in a flattened array of `shape`: `index` along `axis`, 0, 1, ... extent[d] - 1 along other axes d."""
    at = index.astype(np.intp, copy=False)
    at = at * math.prod(shape[axis + 1 :])
    for d, size in enumerate(extent):
        if d != axis:
            steps = np.arange(size) * math.prod(shape[d + 1 :])
            at = at + steps.reshape(-1, *[1] * (len(extent) - d - 1))
    return at


def _corner(shape):
    return tuple(slice(0, size) for size in shape)


@op(
    {"input": lambda g, input_shape, dim, index: add_elements(g, dim, index, input_shape)},
    formula=r"y_{ij} = a_{k_{ij},\,j}",
    vjp_formula={"input": r"\bar a_{k_{ij},\,j} \mathrel{+}= \bar y_{ij}"},
    samples=[
        Sample(normal(3, 4), 0, integers(2, 4, high=3)),
        Sample(normal(3, 4), -1, integers(2, 5, high=4)),
        Sample(normal(2, 3, 4), 1, integers(2, 2, 3, high=3)),
        Sample(normal(), 0, integers(high=1)),
        Sample(normal(3), 0, integers(high=3)),
    ],
    arrays="index",
)
def gather(input, dim, index):
    """y[i, j, k] = input[i, index[i, j, k], k] (for dim=1), at each position of `index`, which gives the shape.

    index   int64 or int32, as many dimensions as `input`, no larger than it apart from `dim`; repeated reads accumulate
            gradients. RuntimeError if it does not fit or is out of range.

    >>> torch.gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    axis, at = _check_gather("gather", input, dim, index)
    if not index.size:
        return np.empty(index.shape, input.dtype)
    source = input.reshape(input.shape or (1,))
    region = tuple(slice(None) if i == axis else slice(0, size) for i, size in enumerate(at.shape))
    return np.take_along_axis(source[region], at, axis).reshape(index.shape)


@op(
    {
        "input": lambda g: g,
        "src": lambda g, dim, index, src_shape: _embedded(gather(g, dim, index), src_shape),
    },
    formula=r"y = a,\; y_{k_{ij},\,j} \mathrel{+}= b_{ij}",
    vjp_formula={"input": r"\bar a = \bar y", "src": r"\bar b_{ij} = \bar y_{k_{ij},\,j}"},
    samples=[
        Sample(normal(3, 4), 0, integers(2, 4, high=3), normal(2, 4)),
        Sample(normal(3, 4), -1, integers(2, 5, high=4), normal(2, 5)),
        Sample(normal(), 0, integers(high=1), normal()),
    ],
    arrays="index",
)
def scatter_add(input, dim, index, src):
    """`input` with `src[i, j, k]` added at [i, index[i, j, k], k] (for dim=1): the adjoint of `gather`.

    index, src   as many dimensions as `input`; where `src` is larger than `index`, the rest is not read.

    >>> torch.scatter_add(torch.zeros(3), 0, torch.tensor([0, 0, 2]), torch.tensor([1.0, 2.0, 3.0]))
    tensor([3., 0., 3.])
    """
    axis, at = _check_gather("scatter_add", input, dim, index, src)
    if src.dtype != input.dtype:
        raise RuntimeError(
            f"scatter_add: Expected self.dtype to be equal to src.dtype, got {input.dtype} and {src.dtype}"
        )
    return _add_elements_to(np.array(input, order="C"), axis, at, src)


def _add_elements_to(out, axis, at, src):
    if at.size:
        values = src.reshape(src.shape or (1,))[_corner(at.shape)]
        np.add.at(out.reshape(-1), _positions(out.shape or (1,), axis, at, at.shape).ravel(), values.ravel())
    return out


@op(
    {"input": lambda g, dim, index: gather(g, dim, index)},
    formula=r"y_{k_{ij},\,j} \mathrel{+}= a_{ij}",
    vjp_formula={"input": r"\bar a_{ij} = \bar y_{k_{ij},\,j}"},
    samples=[Sample(normal(2, 4), 0, integers(2, 4, high=3), (3, 4)), Sample(normal(), 0, integers(high=3), (3,))],
    arrays="index",
    faces="",
)
def add_elements(input, dim, index, shape):
    """`scatter_add` to zeros of `shape`: the adjoint of `gather`."""
    axis = axis_of("gather", dim, len(shape))
    return _add_elements_to(np.zeros(shape, input.dtype), axis, index.reshape(index.shape or (1,)), input)


def _embedded(g, shape):
    """A cotangent of the part of `src` that was read, within zeros of its whole shape."""
    return g if g.shape == shape else add_at(g, _corner(g.shape), shape)


@op(
    {
        "input": lambda g, dim, index: scatter(g, dim, index, 0.0),
        "src": lambda g, dim, index, src_shape: (
            gather(g, dim, index) if not src_shape else _embedded(gather(g, dim, index), src_shape)
        ),
    },
    formula=r"y = a,\; y_{k_{ij},\,j} = b_{ij}",
    vjp_formula={"input": r"\bar a = \bar y,\; \bar a_{k_{ij},\,j} = 0", "src": r"\bar b_{ij} = \bar y_{k_{ij},\,j}"},
    samples=[
        Sample(normal(3, 4), 0, np.array([[0, 1, 2, 0]]), normal(1, 4)),
        Sample(normal(3, 4), -1, np.array([[0, 3], [2, 1]]), normal(3, 3)),
        Sample(normal(3, 4), 1, np.array([[0, 3], [2, 1]]), 1.5),
        Sample(normal(3), 0, np.array([0, 2]), normal()),
    ],
    arrays="index",
    faces="",
)
def put(input, dim, index, src):
    """`scatter` of a tensor or of one number."""
    number = src.ndim == 0 and index.ndim > 0
    axis, at = _check_gather("scatter", input, dim, index, None if number else src)
    out = np.array(input, order="C")
    if index.size:
        values = src if number else src.reshape(src.shape or (1,))[_corner(at.shape)]
        out.reshape(-1)[_positions(out.shape or (1,), axis, at, at.shape)] = values
    return out


@composition(
    formula=r"y = a,\; y_{k_{ij},\,j} = b_{ij}",
    samples=[
        Sample(normal(3, 4), 0, np.array([[0, 1, 2, 0]]), normal(1, 4)),
        Sample(normal(3, 4), 1, np.array([[0, 3], [2, 1]]), value=1.5),
    ],
)
def scatter(input, dim, index, src=None, *, value=None):
    """`input` with `src[i, j, k]` (or the number `value`) written at [i, index[i, j, k], k] (for dim=1).

    index   unique positions: if one is written twice, which value stays is not defined (nor its gradient).

    >>> torch.scatter(torch.zeros(2, 3), 1, torch.tensor([[0], [2]]), 1.0)
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give either src (a tensor or a number) or value (a number)")
    return put(input, dim, index, value if src is None else src)


# Whole slices by index


@op(
    {"input": lambda g, input_shape, dim, index: add_slices(g, dim, index, input_shape)},
    formula=r"y_i = a_{k_i}",
    vjp_formula={"input": r"\bar a_{k_i} \mathrel{+}= \bar y_i"},
    samples=[
        Sample(normal(3, 4), 0, np.array([0, 2, 0])),
        Sample(normal(2, 3, 4), -2, np.array([2, 1])),
        Sample(normal(3, 4), 1, np.array(3)),
        Sample(normal(), 0, np.array([0])),
        Sample(normal(3, 4), 0, np.zeros(0, int)),
    ],
    arrays="index",
)
def index_select(input, dim, index):
    """The slices of dimension `dim` that the 1-d tensor `index` (int64 or int32) lists; a copy.

    IndexError if an index is negative or too large.

    >>> torch.index_select(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    axis = axis_of("index_select", dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(f"index_select: Index is supposed to be a vector, got shape {index.shape}")
    source = input.reshape(input.shape or (1,))
    check_index("index_select", index, source.shape[axis], dim, IndexError)
    taken = source.take(index.reshape(-1), axis)
    return taken if input.ndim else taken.reshape(())


@op(
    {
        "input": lambda g: g,
        "source": lambda g, dim, index, alpha, source_shape: reshape(index_select(g, dim, index) * alpha, source_shape),
    },
    formula=r"y = a,\; y_{k_i} \mathrel{+}= \alpha\, b_i",
    vjp_formula={"input": r"\bar a = \bar y", "source": r"\bar b_i = \alpha\, \bar y_{k_i}"},
    samples=[
        Sample(normal(3, 4), 0, np.array([0, 2, 0]), normal(3, 4)),
        Sample(normal(2, 3), -1, np.array([2, 1]), normal(2, 2), alpha=0.5),
        Sample(normal(), 0, np.array([0]), normal()),
    ],
    arrays="index",
)
def index_add(input, dim, index, source, *, alpha=1):
    """`input` with alpha * source[i] added to the slice index[i] of dimension `dim`: the adjoint of `index_select`.

    RuntimeError for an index out of range, or a source whose shape or dtype does not fit.

    >>> torch.index_add(torch.zeros(3), 0, torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    tensor([3., 0., 0.])
    """
    axis = axis_of("index_add", dim, input.ndim)
    shape = input.shape or (1,)
    check_index("index_add", index, shape[axis], dim)
    expected = (*shape[:axis], index.size, *shape[axis + 1 :])
    if index.ndim > 1 or (source.shape or (1,)) != expected:
        raise RuntimeError(
            f"index_add: an index of shape {index.shape} for dimension {dim} of an input of shape {input.shape} needs "
            f"a source of "
            f"shape {expected}, got {source.shape}"
        )
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"index_add: self ({input.dtype}) and source ({source.dtype}) must have the same scalar type"
        )
    return _add_slices_to(
        np.array(input, order="C"), axis, index, source if alpha == 1 else source * source.dtype.type(alpha)
    )


def _add_slices_to(out, axis, index, source):
    shape = out.shape or (1,)
    along = index.reshape(-1, *[1] * (len(shape) - axis - 1))
    extent = (*shape[:axis], index.size, *shape[axis + 1 :])
    np.add.at(out.reshape(-1), _positions(shape, axis, along, extent).ravel(), source.ravel())
    return out


@op(
    {"input": lambda g, dim, index: index_select(g, dim, index)},
    formula=r"y_{k_i} \mathrel{+}= a_i",
    vjp_formula={"input": r"\bar a_i = \bar y_{k_i}"},
    samples=[Sample(normal(3, 4), 0, np.array([0, 2, 0]), (3, 4)), Sample(normal(2, 2), -1, np.array([2, 1]), (2, 3))],
    arrays="index",
    faces="",
)
def add_slices(input, dim, index, shape):
    """`index_add` to zeros of `shape`: the adjoint of `index_select`."""
    return _add_slices_to(np.zeros(shape, input.dtype), axis_of("index_add", dim, len(shape)), index, input)


@composition(
    formula=r"y = a,\; y_{k_i} = v",
    samples=[Sample(normal(3, 4), 0, np.array([0, 2]), 1.5), Sample(normal(3, 4), -1, np.array([3, 1]), normal())],
)
def index_fill(input, dim, index, value):
    """`input` with the number `value` in the slices of dimension `dim` that `index` lists. IndexError if out of range.

    >>> torch.index_fill(torch.zeros(3), 0, torch.tensor([0, 2]), 1)
    tensor([1., 0., 1.])
    """
    index = index.array if isinstance(index, Tensor) else index
    if not input.ndim:
        return setitem(input, (), value)
    return setitem(input, (slice(None),) * axis_of("index_fill", dim, input.ndim) + (index,), value)


@composition(
    formula=r"y_i = a_{k_i}",
    samples=[Sample(normal(3, 4), np.array([[0, 11], [5, 5]])), Sample(normal(3), np.array(-1))],
)
def take(input, index):
    """The elements of the flattened `input` at `index`, in its shape. Negative ones count from the end.

    IndexError if out of range.

    >>> torch.take(torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 3]))
    tensor([1, 4])
    """
    index = index.array if isinstance(index, Tensor) else index
    if index.dtype.kind != "i":
        raise RuntimeError(f"take: Expected dtype int64 for index, got {index.dtype}")
    return getitem(flatten(input), index)


@composition(
    formula=r"y_{ij} = a_{k_{ij},\,j}",
    samples=[
        Sample(normal(3, 4), integers(1, 4, high=3), 0),
        Sample(normal(3, 4), integers(3, 2, high=4), -1),
        Sample(normal(2, 3), np.array([5, 0])),
    ],
)
def take_along_dim(input, indices, dim=None):
    """`gather` with `input` and `indices` broadcast against each other; without `dim`, of the flattened input.

    Negative indices count from the end. RuntimeError if an index is out of range.

    >>> x = torch.tensor([[3, 1, 2], [1, 3, 2]])
    >>> torch.take_along_dim(x, torch.argsort(x, dim=1), 1)
    tensor([[1, 2, 3],
            [1, 2, 3]])
    """
    indices = indices.array if isinstance(indices, Tensor) else indices
    if dim is None:
        input, indices, dim = flatten(input), indices.reshape(-1), 0
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"take_along_dim: input and indices should have the same number of dimensions, but got shapes "
            f"{input.shape} and {indices.shape}"
        )
    axis = axis_of("take_along_dim", dim, input.ndim)
    size = input.shape[axis]
    indices = np.where((indices < 0) & (indices >= -size), indices + size, indices)
    others = np.broadcast_shapes(*((*shape[:axis], 1, *shape[axis + 1 :]) for shape in (input.shape, indices.shape)))
    whole, read = ((*others[:axis], n, *others[axis + 1 :]) for n in (size, indices.shape[axis]))
    return gather(expand(input, whole), axis, np.broadcast_to(indices, read))
