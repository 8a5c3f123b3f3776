"""Matrix products."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import reshape, transpose
from tinygrad_lab.tensor import Tensor

__all__ = ["linear", "matmul"]


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
            f"{'second to last' if other.ndim > 1 else 'only'} size of the second, {inner[1][0]}; did you mean to transpose one (.T)?"
        )
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"matmul: expected both operands to have the same dtype, but got {input.dtype} and {other.dtype}: "
            f"convert one (.float(), .double(), .to(other.dtype))"
        )
    return np.matmul(input, other)


Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)


def _rows(x):
    """All leading dimensions as one: (..., n) -> (-1, n)."""
    return x if len(x.shape) == 2 else reshape(x, (-1, x.shape[-1]))


@op(
    {
        "input": lambda g, weight: g @ weight,
        "weight": lambda g, input: _swap(_rows(g)) @ _rows(input),
        "bias": lambda g: sum_(_rows(g), 0),
    },
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

    RuntimeError if the sizes do not fit. Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    >>> F.linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.tensor([10.0, 20.0]))
    tensor([[13., 22.]])
    """
    if weight.ndim != 2 or input.shape[-1:] != weight.shape[1:] or (bias is not None and bias.shape != weight.shape[:1]):
        raise RuntimeError(
            f"linear: input {input.shape}, weight {weight.shape} and bias {None if bias is None else bias.shape} do not fit: "
            f"the last size of the input must be the weight's second (in_features), the bias's size its first (out_features)"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"linear: input is {input.dtype} but weight is {weight.dtype}: convert one (x.float(), model.double())"
        )
    y = input @ weight.T
    if bias is not None:
        y += bias  # into the product's own memory: one pass and one allocation less
    return y
