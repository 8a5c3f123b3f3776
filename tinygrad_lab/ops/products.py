"""Products of matrices that are known to fit, and sums as products with ones: what layers, losses and rules call.

They check nothing; what users call does (`linalg`).
"""

from __future__ import annotations

import functools

import numpy as np

from tinygrad_lab.memory import empty_aligned
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import expand, transpose

__all__ = ["LARGE", "counting", "multiply", "ones", "product", "sum_rows"]

# From so many elements on, how a product lies in memory counts for more than the time that a line of Python takes.
LARGE = 2**15


def _lies_whole(matrix):
    """Whether BLAS takes the matrix, and any of its columns, as they lie in memory."""
    return matrix.flags.c_contiguous or matrix.flags.f_contiguous


@op(
    {
        "input": lambda g, other: product(g, transpose(other, 0, 1)),
        "other": lambda g, input: product(transpose(input, 0, 1), g),
    },
    formula=r"Y = A B",
    vjp_formula={"input": r"\bar A = \bar Y B^{\mathsf T}", "other": r"\bar B = A^{\mathsf T} \bar Y"},
    samples=[Sample(normal(3, 4), normal(4, 2))],
    faces="",
)
def product(input, other):
    """The product of two matrices that are known to fit and to have one dtype.

    A wide and shallow one is made in pieces, each of some of the columns. With two threads OpenBLAS halves the longer
    side of the result, or the columns of a square one: then both write to each row, and share what they have packed.
    Where pieces are narrower than high it halves the rows, and they share nothing. While the cores are far apart that
    takes 0.2 to 1 of the time, else 0.5 to 1.07; with one thread 0.9 to 1.13.
    """
    rows, columns = len(input), other.shape[1]
    if rows * columns < LARGE:
        return input.dot(other)  # takes half a microsecond less than @
    y = empty_aligned((rows, columns), input.dtype)
    pieces = max(columns // rows + 1, 2)
    wide = rows >= 256 and columns >= min(rows, 512) and pieces <= 4
    if not (wide and 2 * len(other) <= rows and _lies_whole(input) and _lies_whole(other)):
        return np.dot(input, other, out=y)
    width = -(-columns // (16 * pieces)) * 16  # 16 float32 fill a cache line and a register
    for start in range(0, columns, width):
        np.matmul(input, other[:, start : start + width], out=y[:, start : start + width])
    return y


multiply = product.__wrapped__  # type: ignore[attr-defined]  # on arrays, which rules and ops below have


@functools.lru_cache(32)
def ones(size, dtype):
    """A read-only vector of ones, kept: products with it are the fastest sums."""
    made = np.ones(size, dtype)
    made.flags.writeable = False
    return made


@functools.lru_cache(32)
def counting(size):
    """0, 1, ... size - 1, read-only, kept."""
    made = np.arange(size)
    made.flags.writeable = False
    return made


@op(
    {"input": lambda g, input_shape: expand(g, input_shape)},
    formula=r"y = \textstyle\sum_{\text{rows}} a",
    vjp_formula={"input": r"\bar a = \mathrm{expand}(\bar y)"},
    samples=[Sample(normal(3, 4)), Sample(normal(0, 4))],
    faces="",
)
def sum_rows(input):
    """The sum of the rows of a matrix, as a product with ones: BLAS takes half the time of a sum."""
    return ones(len(input), input.dtype).dot(input)
