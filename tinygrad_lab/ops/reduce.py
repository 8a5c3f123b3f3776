"""Reductions: sums, means and what else turns many elements into fewer."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import expand, reshape

__all__ = ["mean", "sum_"]

# All elements, one dimension, several, negative, kept; 0-d and empty: what every reduction must handle.
REDUCTIONS = [
    Sample(normal(3, 4)),
    Sample(normal(3, 4), 0),
    Sample(normal(2, 3, 4), (0, -1)),
    Sample(normal(2, 3, 4), 1, True),
    Sample(normal()),
]


def axes(dim, ndim):
    """`dim` (None, an int or ints) as a tuple of non-negative axes; None and () mean all. IndexError if out of range."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    result = tuple(d + ndim if d < 0 else d for d in ((dim,) if isinstance(dim, (int, np.integer)) else dim))
    for given, axis in zip((dim,) if isinstance(dim, (int, np.integer)) else dim, result, strict=True):
        if not 0 <= axis < max(ndim, 1):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(ndim, 1)}, {max(ndim, 1) - 1}], but got {given})"
            )
    if len(set(result)) < len(result):
        raise RuntimeError(f"a dimension appears twice in dim={dim}")
    return result if ndim else ()


def _numpy_axis(dim, ndim):
    """`dim` for a NumPy reduction: one int goes as it is, which is quicker, and NumPy checks it."""
    return dim if dim is None or (type(dim) is int and ndim) else axes(dim, ndim)


def spread(g, shape, dim, keepdim):
    """A reduced cotangent repeated over the reduced dimensions: the adjoint of a sum."""
    if not keepdim and dim is not None and dim != () and len(g.shape) < len(shape):
        reduced = axes(dim, len(shape))
        g = reshape(g, tuple(1 if i in reduced else size for i, size in enumerate(shape)))
    return expand(g, shape)


@op(
    {"input": lambda g, input_shape, dim, keepdim: spread(g, input_shape, dim, keepdim)},
    formula=r"y = \textstyle\sum a",
    vjp_formula={"input": r"\bar a = \bar y \text{ repeated}"},
    samples=[*REDUCTIONS, Sample(normal(0, 3), 0)],
)
def sum_(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over `dim` (an int or a tuple; None: over everything). Integers and bools are summed as int64.

    >>> torch.sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    kind = None if dtype is None else dtypes.as_numpy(dtype)
    if kind is None and input.dtype.kind != "f":
        kind = np.dtype(np.int64)
    return np.add.reduce(input, axis=_numpy_axis(dim, input.ndim), dtype=kind, keepdims=keepdim)


def count(shape, dim):
    """How many elements are reduced into one."""
    return math.prod(shape[axis] for axis in axes(dim, len(shape)))


@op(
    {
        "input": lambda g, input_shape, dim, keepdim: spread(
            g * (1.0 / max(count(input_shape, dim), 1)), input_shape, dim, keepdim
        )
    },
    formula=r"y = \frac{1}{n}\textstyle\sum a",
    vjp_formula={"input": r"\bar a = \tfrac{1}{n}\,\bar y \text{ repeated}"},
    samples=REDUCTIONS,
)
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over `dim` (an int or a tuple; None: over everything). RuntimeError for integers: convert with .float().

    >>> torch.mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5, 3.5])
    """
    kind = input.dtype if dtype is None else dtypes.as_numpy(dtype)
    if kind.kind != "f":
        raise RuntimeError(f"mean: could not infer output dtype: input is {kind}, a mean needs a floating dtype; use .float()")
    total = np.add.reduce(input, axis=_numpy_axis(dim, input.ndim), dtype=kind, keepdims=keepdim)
    n = count(input.shape, dim)
    return total * kind.type(1 / n) if n else total * kind.type(np.nan)
