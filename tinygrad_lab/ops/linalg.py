"""Products of vectors, matrices and stacks of matrices, and the affine map of a layer. See also `einsum`."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.products import LARGE, multiply, ones, product, sum_rows
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import permute, reshape, transpose
from tinygrad_lab.tensor import Tensor

__all__ = ["addmm", "baddbmm", "bmm", "dot", "linear", "matmul", "mm", "mv", "outer", "tensordot"]


def _swap(x):
    return transpose(x, -1, -2)


def _left(g, input_shape, other):
    """Cotangent of A in A @ B, for vectors and stacks of matrices too: g @ B^T."""
    if len(input_shape) == 1 and len(other.shape) == 1:
        return g * other
    if len(input_shape) == 1:  # (k) @ (..., k, n) -> (..., n)
        return reshape(other @ reshape(g, (*g.shape, 1)), other.shape[:-1])
    if len(other.shape) == 1:  # (..., m, k) @ (k) -> (..., m)
        return reshape(g, (*g.shape, 1)) * other
    return g @ _swap(other)


def _right(g, input, other_shape):
    """Cotangent of B in A @ B: A^T @ g."""
    if len(input.shape) == 1 and len(other_shape) == 1:
        return g * input
    if len(input.shape) == 1:
        return reshape(input, (*input.shape, 1)) * reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    if len(other_shape) == 1:
        column = reshape(g, (*g.shape, 1))
        return reshape(_swap(input) @ column, (*input.shape[:-2], input.shape[-1]))
    return _swap(input) @ g


@op(
    {"input": _left, "other": _right},
    formula=r"Y = A B",
    vjp_formula={"input": r"\bar A = \bar Y B^{\mathsf T}", "other": r"\bar B = A^{\mathsf T} \bar Y"},
    samples=[
        Sample(normal(3, 4), normal(4, 2)),
        Sample(normal(4), normal(4)),
        Sample(normal(4), normal(4, 2)),
        Sample(normal(3, 4), normal(4)),
        Sample(normal(2, 3, 4), normal(4, 5)),
        Sample(normal(2, 1, 3, 4), normal(5, 4, 2)),
        Sample(normal(4), normal(2, 4, 3)),
        Sample(normal(2, 3, 4), normal(4)),
        Sample(normal(0, 4), normal(4, 2)),
    ],
)
def matmul(input, other):
    """The matrix product input @ other.

    1-d operands are vectors; operands with more than two dimensions are stacks of matrices that broadcast.
    RuntimeError if the inner sizes differ or the dtypes do.

    >>> torch.tensor([[1.0, 2.0], [3.0, 4.0]]) @ torch.tensor([1.0, 1.0])
    tensor([3., 7.])
    """
    inner = input.shape[-1:], other.shape[-2:][:1]
    if not input.ndim or not other.ndim:
        raise RuntimeError("matmul: both arguments to matmul need to be at least 1D, but they are of shapes "
                           f"{input.shape} and {other.shape}; use * for a product with a scalar")  # fmt: skip
    if inner[0] != inner[1]:
        raise RuntimeError(
            f"matmul: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, input.shape))} and "
            f"{'x'.join(map(str, other.shape))}): the last size of the first, {inner[0][0]}, must equal the "
            f"{'second to last' if other.ndim > 1 else 'only'} size of the second, {inner[1][0]}; "
            f"did you mean to transpose one (.T)?"
        )
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"matmul: expected both operands to have the same dtype, but got {input.dtype} and {other.dtype}: "
            f"convert one (.float(), .double(), .to(other.dtype))"
        )
    return multiply(input, other) if input.ndim == other.ndim == 2 else np.matmul(input, other)


Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)


def _rows(x):
    """All leading dimensions as one: (..., n) -> (-1, n)."""
    return x if len(x.shape) == 2 else reshape(x, (-1, x.shape[-1]))


# The rules of `linear`. A matrix of cotangents is the usual case; where layers are small, Python is what takes time.


def _linear_input(g, weight):
    if g.ndim != 2:
        return g @ weight
    return multiply(g, weight) if type(g) is np.ndarray else product(g, weight)


def _linear_weight(g, input):
    if type(g) is np.ndarray and g.ndim == 2:
        return multiply(g.T, input)
    return product(_rows(g).mT, _rows(input))


def _linear_bias(g):
    if type(g) is np.ndarray and g.ndim == 2:
        return ones(len(g), g.dtype).dot(g)
    return sum_rows(_rows(g))


@op(
    {"input": _linear_input, "weight": _linear_weight, "bias": _linear_bias},
    formula=r"Y = X W^{\mathsf T} + b",
    vjp_formula={
        "input": r"\bar X = \bar Y W",
        "weight": r"\bar W = \bar Y^{\mathsf T} X",
        "bias": r"\bar b = \textstyle\sum_{\text{rows}} \bar Y",
    },
    samples=[
        Sample(normal(5, 3), normal(4, 3), normal(4)),
        Sample(normal(5, 3), normal(4, 3)),
        Sample(normal(2, 5, 3), normal(4, 3), normal(4)),
        Sample(normal(3), normal(4, 3), normal(4)),
    ],
    faces="functional",
)
def linear(input, weight, bias=None):
    """input @ weight.T + bias in one op. Shapes: input (..., in), weight (out, in), bias (out) or None -> (..., out).

    RuntimeError if the sizes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    >>> F.linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.tensor([10.0, 20.0]))
    tensor([[13., 22.]])
    """
    shape, wanted = input.shape, weight.shape
    if len(wanted) != 2 or not shape or shape[-1] != wanted[1] or (bias is not None and bias.shape != wanted[:1]):
        raise RuntimeError(
            f"linear: input {input.shape}, weight {weight.shape} and bias {None if bias is None else bias.shape} "
            f"do not fit: the last size of the input must be the weight's second (in_features), the bias's size "
            f"its first (out_features)"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"linear: input is {input.dtype} but weight is {weight.dtype}: convert one (x.float(), model.double())"
        )
    if weight.size < LARGE or len(shape) != 2:
        y = input.dot(weight.T)
    elif shape[0] < wanted[0]:
        # BLAS multiplies a wide weight a fifth faster from the left, which pays for turning the result around.
        y = np.ascontiguousarray(weight.dot(input.T).T)
    else:
        y = multiply(input, weight.T)
    if bias is not None:
        y += bias  # into the product's own memory: one pass and one allocation less
    return y


# Products under names of their own: matmul, for operands of the stated dimensions only.


def _require(name, fits, expected, *operands):
    """RuntimeError unless `fits`, saying which shapes were `expected` and which came."""
    if not fits:
        raise RuntimeError(f"{name}: expected {expected}, got {' and '.join(str(tuple(x.shape)) for x in operands)}")


@composition(
    formula=r"Y = A B",
    samples=[
        Sample(normal(3, 4), normal(4, 2)),
        Sample(normal(3, 0), normal(0, 2)),
        Sample(normal(1, 1), normal(1, 1)),
    ],
)
def mm(input, mat2):
    """The product of two matrices, (n, m) and (m, p) -> (n, p). RuntimeError for anything but matrices.

    >>> torch.mm(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    _require(
        "mm",
        len(input.shape) == len(mat2.shape) == 2,
        "two matrices, (n, m) and (m, p); matmul takes stacks and vectors",
        input,
        mat2,
    )
    return matmul(input, mat2)


@composition(
    formula=r"Y_i = A_i B_i",
    samples=[Sample(normal(2, 3, 4), normal(2, 4, 5)), Sample(normal(0, 3, 4), normal(0, 4, 5))],
)
def bmm(input, mat2):
    """The products of two stacks of matrices, (b, n, m) and (b, m, p) -> (b, n, p). No broadcasting.

    RuntimeError unless both have three dimensions and equal batch sizes.

    >>> torch.bmm(torch.ones(2, 1, 3), torch.ones(2, 3, 1)).flatten()
    tensor([3., 3.])
    """
    fits = len(input.shape) == len(mat2.shape) == 3 and input.shape[0] == mat2.shape[0]
    _require(
        "bmm", fits, "batch1 and batch2 of shapes (b, n, m) and (b, m, p); matmul broadcasts the batch", input, mat2
    )
    return matmul(input, mat2)


@composition(formula=r"y = A v", samples=[Sample(normal(3, 4), normal(4))])
def mv(input, vec):
    """A matrix times a vector, (n, m) and (m) -> (n). RuntimeError for other shapes.

    >>> torch.mv(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    fits = len(input.shape) == 2 and len(vec.shape) == 1 and input.shape[1] == vec.shape[0]
    _require("mv", fits, "a matrix and a vector, (n, m) and (m)", input, vec)
    return matmul(input, vec)


@composition(
    formula=r"y = \textstyle\sum_i a_i b_i", samples=[Sample(normal(4), normal(4)), Sample(normal(0), normal(0))]
)
def dot(input, tensor):
    """The inner product of two vectors of equal size, a 0-d tensor. RuntimeError for other shapes (no broadcasting).

    >>> torch.dot(torch.tensor([2.0, 3.0]), torch.tensor([2.0, 1.0]))
    tensor(7.)
    """
    fits = len(input.shape) == len(tensor.shape) == 1 and input.shape == tensor.shape
    _require(
        "dot",
        fits,
        "1D tensors of the same number of elements; for other shapes see matmul, or (a * b).sum()",
        input,
        tensor,
    )
    return matmul(input, tensor)


@composition(
    formula=r"Y_{ij} = a_i b_j", samples=[Sample(normal(3), normal(4)), Sample(normal(1), normal(2))], aliases="ger"
)
def outer(input, vec2):
    """The outer product of two vectors, (n) and (m) -> (n, m): every element of one times every element of the other.

    >>> torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0]))
    tensor([[ 1., 10.],
            [ 2., 20.]])
    """
    _require("outer", len(input.shape) == len(vec2.shape) == 1, "two vectors, (n) and (m)", input, vec2)
    return reshape(input, (*input.shape, 1)) * vec2


def _scaled(x, factor):
    return x if factor == 1 else x * factor


@composition(
    formula=r"Y = \beta M + \alpha A B",
    samples=[
        Sample(normal(3, 2), normal(3, 4), normal(4, 2)),
        Sample(normal(2), normal(3, 4), normal(4, 2), beta=0.5, alpha=2.0),
        Sample(normal(), normal(3, 4), normal(4, 2)),
        Sample(normal(2), normal(3, 4), normal(4, 2), beta=0),
    ],
)
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta * input + alpha * (mat1 @ mat2). Shapes: mat1 (n, m), mat2 (m, p), input broadcasting to (n, p).

    With beta=0 the input is not looked at, so that its NaN do not spread. RuntimeError for other shapes.

    >>> torch.addmm(torch.tensor([100.0]), torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), beta=0.5)
    tensor([[61.]])
    """
    _require(
        "addmm", len(mat1.shape) == len(mat2.shape) == 2, "mat1 and mat2 to be matrices, (n, m) and (m, p)", mat1, mat2
    )
    return _plus("addmm", input, matmul(mat1, mat2), beta, alpha)


@composition(
    formula=r"Y_i = \beta M_i + \alpha A_i B_i",
    samples=[
        Sample(normal(2, 3, 5), normal(2, 3, 4), normal(2, 4, 5)),
        Sample(normal(5), normal(2, 3, 4), normal(2, 4, 5), beta=2, alpha=0.5),
    ],
)
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * (batch1 @ batch2) for stacks of matrices, (b, n, m) and (b, m, p); see `bmm`, `addmm`.

    >>> torch.baddbmm(torch.ones(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
    """
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def _plus(name, input, product, beta, alpha):
    shape = tuple(input.shape)
    kept = product.shape[len(product.shape) - len(shape) :]
    fits = len(shape) <= len(product.shape) and all(a in (1, b) for a, b in zip(shape, kept, strict=False))
    _require(name, fits, f"an input that broadcasts to the product's shape {tuple(product.shape)}", input)
    product = _scaled(product, alpha)
    return product if beta == 0 else _scaled(input, beta) + product


@composition(
    formula=r"Y = \textstyle\sum_{k} A_{\dots k} B_{k \dots}",
    samples=[
        Sample(normal(2, 3, 4), normal(3, 4, 5)),
        Sample(normal(3), normal(4), 0),
        Sample(normal(2, 3, 4), normal(4, 5, 2), ([0, 2], [2, 0])),
        Sample(normal(3, 4), normal(3, 2), dims=([0], [0])),
    ],
    faces="torch",
)
def tensordot(a, b, dims=2):
    """Sum products over the last `dims` dimensions of `a` and the first of `b`, or over those in a pair of lists.

    Shape: the other dimensions of `a`, then those of `b`. RuntimeError if the sizes differ.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensordot.html

    >>> torch.tensordot(torch.ones(2, 3, 4), torch.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    (2, 5)
    """
    if isinstance(dims, int):
        dims = list(range(len(a.shape) - dims, len(a.shape))), list(range(dims))
    left, right = ([d % len(x.shape) for d in listed] for x, listed in zip((a, b), dims, strict=True))
    if [a.shape[d] for d in left] != [b.shape[d] for d in right]:
        raise RuntimeError(
            f"tensordot: contracted dimensions need to match, but dims {left} of shape {tuple(a.shape)} and dims "
            f"{right} of shape {tuple(b.shape)} differ in size"
        )
    kept_left = [d for d in range(len(a.shape)) if d not in left]
    kept_right = [d for d in range(len(b.shape)) if d not in right]
    inner = math.prod(a.shape[d] for d in left)
    rows = reshape(permute(a, (*kept_left, *left)), (math.prod(a.shape[d] for d in kept_left), inner))
    columns = reshape(permute(b, (*right, *kept_right)), (inner, math.prod(b.shape[d] for d in kept_right)))
    return reshape(matmul(rows, columns), (*(a.shape[d] for d in kept_left), *(b.shape[d] for d in kept_right)))
