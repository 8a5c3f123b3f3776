"""Diagonals and triangles of matrices and of stacks of matrices."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import axis_of, clone

__all__ = ["diag", "diag_embed", "diagonal", "trace", "tril", "triu"]


@op(
    {"input": lambda g, input_shape, offset, dim1, dim2: on_diagonal(g, input_shape, offset, dim1, dim2)},
    formula=r"y_i = a_{i,\,i+k}",
    vjp_formula={"input": r"\bar a_{i,\,i+k} = \bar y_i"},
    samples=[
        Sample(normal(3, 4)),
        Sample(normal(3, 4), 1),
        Sample(normal(2, 3, 4), -1, 2, 0),
        Sample(normal(2, 3, 4), 0, -2, -1),
        Sample(normal(3, 4), 9),
    ],
    view=True,
)
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the matrices in dimensions dim1 (rows) and dim2 (columns), as the last dimension; a view.

    offset   above (> 0) or below (< 0) the main diagonal. RuntimeError if dim1 and dim2 are the same.

    >>> torch.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    rows, columns = axis_of("diagonal", dim1, input.ndim), axis_of("diagonal", dim2, input.ndim)
    if rows == columns:
        raise RuntimeError(f"diagonal: diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal_view(input, offset, rows, columns)


def _diagonal_view(array, offset, dim1, dim2):
    view = array.diagonal(offset, dim1, dim2)
    if array.flags.writeable:
        view.flags.writeable = True  # NumPy makes it read-only for compatibility; PyTorch's can be written through
    return view


@op(
    {"input": lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2)},
    formula=r"y_{i,\,i+k} = a_i",
    vjp_formula={"input": r"\bar a_i = \bar y_{i,\,i+k}"},
    samples=[Sample(normal(3), (3, 4), 1, 0, 1), Sample(normal(3, 2), (2, 3, 4), 0, 0, -1)],
    faces="",
)
def on_diagonal(input, shape, offset, dim1, dim2):
    """Zeros of `shape` with `input` on a diagonal: the adjoint of `diagonal`."""
    out = np.zeros(shape, input.dtype)
    _diagonal_view(out, offset, dim1, dim2)[...] = input
    return out


@composition(
    formula=r"y_{i,\,i+k} = a_i",
    samples=[Sample(normal(3)), Sample(normal(2, 3), -1), Sample(normal(2, 3), 1, 0, 2), Sample(normal(2, 3), 1, 2, 0)],
)
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Square matrices, in dimensions dim1 and dim2 of the result, with the last dimension of `input` on a diagonal.

    >>> torch.diag_embed(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    rows, columns = (axis_of("diag_embed", dim, input.ndim + 1) for dim in (dim1, dim2))
    if rows == columns:
        raise RuntimeError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape = list(input.shape[:-1])
    for axis in sorted((rows, columns)):
        shape.insert(axis, input.shape[-1] + abs(offset))
    return on_diagonal(input, tuple(shape), offset, rows, columns)


@composition(
    formula=r"y = \mathrm{diag}(a)",
    samples=[Sample(normal(3)), Sample(normal(3), 1), Sample(normal(3, 4)), Sample(normal(3, 4), -1)],
)
def diag(input, diagonal=0):
    """A vector as the diagonal of a square matrix; of a matrix, a copy of the diagonal. RuntimeError for other tensors.

    >>> torch.diag(torch.tensor([[1, 2], [3, 4]]), 1)
    tensor([2])
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(
            f"diag: Supports 1D or 2D tensors. Got {input.ndim}D, shape {input.shape}: use diag_embed or diagonal"
        )
    return clone(_diagonal(input, diagonal))


_diagonal = diagonal  # the argument of `diag` has its name


@composition(formula=r"y = \textstyle\sum_i a_{ii}", samples=[Sample(normal(3, 4)), Sample(normal(3, 3))])
def trace(input):
    """The sum of the diagonal of a matrix. RuntimeError unless it has two dimensions.

    >>> torch.trace(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got a tensor of shape {input.shape}")
    return sum_(diagonal(input))


def _require_matrices(name, input):
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, got shape {input.shape}")


TRIANGLES = [Sample(normal(3, 4)), Sample(normal(2, 3, 3), 1), Sample(normal(4, 3), -1), Sample(normal(2, 0))]


@op(
    {"input": lambda g, diagonal: tril(g, diagonal)},
    formula=r"y = \mathrm{tril}_{k}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{tril}_{k}(\bar y)"},
    samples=TRIANGLES,
)
def tril(input, diagonal=0):
    """The lower triangle of the last two dimensions, up to the given `diagonal`; 0 elsewhere.

    >>> torch.tril(torch.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    _require_matrices("tril", input)
    return np.tril(input, diagonal)


@op(
    {"input": lambda g, diagonal: triu(g, diagonal)},
    formula=r"y = \mathrm{triu}_{k}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{triu}_{k}(\bar y)"},
    samples=TRIANGLES,
)
def triu(input, diagonal=0):
    """The upper triangle of the last two dimensions, from the given `diagonal` on; 0 elsewhere.

    >>> torch.triu(torch.ones(2, 2), 1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    _require_matrices("triu", input)
    return np.triu(input, diagonal)
