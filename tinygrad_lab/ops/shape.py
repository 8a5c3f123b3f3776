"""Ops that give the same elements another shape, and the cast between dtypes.

Views share memory with their input, as PyTorch's do. What is composed of these ops is in `dimensions`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal

__all__ = ["axis_of", "clone", "expand", "permute", "reshape", "sum_to_size", "to_dtype", "transpose", "view"]


def axis_of(name: str, dim: Any, ndim: int) -> int:
    """`dim` as a non-negative axis of a tensor of `ndim` dimensions (0-d counts as 1-d). IndexError if out of range."""
    if not isinstance(dim, (int, np.integer)):
        raise TypeError(f"{name}: dim must be an int, not {type(dim).__name__}")
    count = max(ndim, 1)
    if not -count <= dim < count:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {dim})"
        )
    return int(dim) % count


def repeat_axes(ndim: int, shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `target` along which an array of `shape` is repeated when it is broadcast to it."""
    extra = len(target) - ndim
    return (*range(extra), *(i + extra for i in range(ndim) if shape[i] != target[i + extra]))


@op(
    {"input": lambda g, input_shape: sum_to_size(g, input_shape)},
    formula=r"y = \mathrm{expand}(a)",
    vjp_formula={"input": r"\bar a = \textstyle\sum_{\text{copies}} \bar y"},
    samples=[
        Sample(normal(3, 1), (3, 4)),
        Sample(normal(4), (2, 3, 4)),
        Sample(normal(2, 1), (-1, 5)),
        Sample(normal(), (2, 2)),
    ],
    view=True,
    spread="size",
    faces="method",
)
def expand(input, size):
    """Repeat `input` along new leading dimensions and those of size 1, up to shape `size`; -1 keeps a size. A view.

    RuntimeError if a dimension that is not 1 would change.

    >>> torch.tensor([[1.0], [2.0]]).expand(2, 3)
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    extra = len(size) - input.ndim
    old = (1,) * extra + input.shape
    new = tuple(o if n == -1 and i >= extra else n for i, (o, n) in enumerate(zip(old, size, strict=False)))
    if extra < 0 or any(o not in (1, n) or n < 0 for o, n in zip(old, new, strict=True)):
        raise RuntimeError(
            f"expand: the expanded size {tuple(size)} does not fit a tensor of shape {input.shape}: only new leading "
            f"dimensions and dimensions of size 1 can be repeated"
        )
    if not isinstance(input, np.ndarray) or not input.flags.c_contiguous:
        return np.broadcast_to(input, new)
    # Four times faster than broadcast_to for the scalars that the backward pass of a loss expands.
    strides = (0,) * extra + tuple(
        s if o == n else 0 for s, o, n in zip(input.strides, input.shape, new[extra:], strict=True)
    )
    repeated = np.ndarray(new, input.dtype, input, 0, strides)
    if new != old:
        repeated.flags.writeable = False  # one element in memory stands for several
    return repeated


@op(
    {"input": lambda g, input_shape: expand(g, input_shape)},
    formula=r"y = \textstyle\sum_{\text{copies}} a",
    vjp_formula={"input": r"\bar a = \mathrm{expand}(\bar y)"},
    samples=[Sample(normal(3, 4), (1, 4)), Sample(normal(2, 3, 4), (3, 1)), Sample(normal(2, 3), ())],
    spread="size",
    faces="method",
)
def sum_to_size(input, size):
    """Sum over the dimensions along which shape `size` would be repeated to make `input`: the adjoint of `expand`.

    >>> torch.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    size = tuple(size)
    axes = repeat_axes(len(size), size, input.shape)
    return dtypes.add_up(input, axes, True).reshape(size) if axes else input.copy()


@op(
    {"input": lambda g, input_shape: reshape(g, input_shape)},
    formula=r"y = \mathrm{reshape}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{reshape}(\bar y)"},
    samples=[
        Sample(normal(3, 4), (2, 6)),
        Sample(normal(2, 3, 4), (-1, 4)),
        Sample(normal(), (1, 1)),
        Sample(normal(0, 3), (3, 0)),
    ],
    view=True,
    spread="shape",
)
def reshape(input, shape):
    """The same elements, in row-major order, in another shape; one size may be -1. A view where possible, else a copy.

    RuntimeError if the number of elements differs.

    >>> torch.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    try:
        return input.reshape(shape)
    except (ValueError, TypeError):
        _refuse_shape("reshape", input, shape)


def _refuse_shape(name: str, input: np.ndarray, shape: tuple[int, ...]) -> None:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(size, (int, np.integer)) for size in shape):
        raise TypeError(f"{name}: the shape must be integers, got {shape}") from None
    wanted = math.prod(size for size in shape if size != -1)
    if shape.count(-1) > 1:
        reason = "only one dimension can be inferred (-1)"
    elif -1 in shape:
        reason = f"{input.size} elements cannot be divided into groups of {wanted}"
    else:
        reason = f"that shape has {wanted} elements, the tensor has {input.size}"
    raise RuntimeError(f"{name}: shape {shape} is invalid for a tensor of shape {input.shape}: {reason}") from None


@op(
    {"input": lambda g, input_shape: reshape(g, input_shape)},
    formula=r"y = \mathrm{view}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{reshape}(\bar y)"},
    samples=[
        Sample(normal(2, 6), (2, 3, -1)),
        Sample(normal(3, 1), (1, -1)),
        Sample(normal(), (1, 1)),
        Sample(normal(0, 3), (3, 0)),
    ],
    view=True,
    spread="shape",
    faces="method",
)
def view(input, shape):
    """`reshape` that never copies: what is written into the view is written into `input`.

    RuntimeError if the number of elements differs, or if the strides of `input` (a transposed matrix, say) allow no
    view.

    >>> torch.arange(4).view(2, -1)
    tensor([[0, 1],
            [2, 3]])
    """
    try:
        return input.reshape(shape, copy=False)
    except (ValueError, TypeError):
        try:
            input.reshape(shape)
        except (ValueError, TypeError):
            _refuse_shape("view", input, shape)
        raise RuntimeError(
            f"view: shape {tuple(shape)} is not compatible with the strides {input.strides} (bytes) of this tensor of "
            f"shape "
            f"{input.shape}: a dimension spans two parts of memory. Use .reshape(...), which copies where it must"
        ) from None


@op(
    {"input": lambda g, dim0, dim1: transpose(g, dim0, dim1)},
    formula=r"y = a^{\mathsf T}",
    vjp_formula={"input": r"\bar a = \bar y^{\mathsf T}"},
    samples=[Sample(normal(3, 4), 0, 1), Sample(normal(2, 3, 4), -1, 0)],
    view=True,
    aliases="swapaxes swapdims",
)
def transpose(input, dim0, dim1):
    """Swap two dimensions; a view. IndexError if there is no such dimension.

    >>> torch.transpose(torch.tensor([[1, 2, 3]]), 0, 1)
    tensor([[1],
            [2],
            [3]])
    """
    return input.swapaxes(dim0, dim1) if input.ndim or dim0 not in (0, -1) or dim1 not in (0, -1) else input.view()


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    ndim = len(dims)
    order = [dim % ndim for dim in dims]
    return tuple(order.index(i) for i in range(ndim))


@op(
    {"input": lambda g, dims: permute(g, _inverse(dims))},
    formula=r"y = \mathrm{permute}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{permute}^{-1}(\bar y)"},
    samples=[Sample(normal(2, 3, 4), (2, 0, 1)), Sample(normal(2, 3), (-1, 0))],
    view=True,
    spread="dims",
)
def permute(input, dims):
    """Reorder all dimensions: dimension i of the result is dimension dims[i] of `input`; a view.

    RuntimeError unless `dims` names each dimension once.

    >>> torch.zeros(2, 3, 5).permute(2, 0, 1).shape
    (5, 2, 3)
    """
    if sorted(dim % max(input.ndim, 1) for dim in dims) != list(range(input.ndim)):
        raise RuntimeError(
            f"permute: dims {tuple(dims)} must name each of the {input.ndim} dimensions of shape {input.shape} once"
        )
    return input.transpose(dims)


@op(
    {"input": lambda g: g},
    formula=r"y = a",
    vjp_formula={"input": r"\bar a = \bar y"},
    samples=[Sample(normal(3, 4)), Sample(normal())],
)
def clone(input):
    """A copy in memory of its own, through which gradients flow.

    >>> torch.tensor([1.0]).clone()
    tensor([1.])
    """
    return input.copy()


@op(
    {"input": lambda g: g},
    formula=r"y = a",
    vjp_formula={"input": r"\bar a = \bar y"},
    samples=[Sample(normal(3, 4), "float32", smooth=False)],
    faces="",
)
def to_dtype(input, dtype):
    """`input` in another dtype; the gradient comes back in the dtype of `input`. What `Tensor.to`, `float`, ...
    call."""
    return input.astype(dtypes.as_numpy(dtype))
