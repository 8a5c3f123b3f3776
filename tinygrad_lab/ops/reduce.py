"""Reductions: sums, means and extremes, of all elements or along dimensions, and what every reduction needs for `dim`.

Variances and norms are in `statistics`, reductions that say *which* element they picked (max along a dimension,
median) in `order`, products in `scan`.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.arithmetic import kept
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, distinct, normal
from tinygrad_lab.ops.shape import expand, reshape

__all__ = ["amax", "amin", "axes", "check_not_empty", "count", "mean", "spread", "sum_", "tie_share"]

# All elements, one dimension, several, negative, kept; 0-d and empty: what every reduction must handle.
REDUCTIONS = [
    Sample(normal(3, 4)),
    Sample(normal(3, 4), 0),
    Sample(normal(2, 3, 4), (0, -1)),
    Sample(normal(2, 3, 4), 1, True),
    Sample(normal()),
]


def _is_all(dim):
    """Whether `dim` names no dimension, which means all of them."""
    return dim is None or dim == () or dim == []


def axes(dim, ndim):
    """`dim` (an int or ints) as a tuple of non-negative axes; None, () and [] mean all. IndexError if out of range."""
    if _is_all(dim):
        return tuple(range(ndim))
    result = tuple(d + max(ndim, 1) if d < 0 else d for d in ((dim,) if isinstance(dim, (int, np.integer)) else dim))
    for given, axis in zip((dim,) if isinstance(dim, (int, np.integer)) else dim, result, strict=True):
        if not 0 <= axis < max(ndim, 1):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(ndim, 1)}, {max(ndim, 1) - 1}], but got "
                f"{given})"
            )
    if len(set(result)) < len(result):
        raise RuntimeError(f"a dimension appears twice in dim={dim}")
    return result if ndim else ()


def _numpy_axis(dim, ndim):
    """`dim` for a NumPy reduction: one int goes as it is, which is quicker, and NumPy checks it."""
    return dim if dim is None or (type(dim) is int and ndim) else axes(dim, ndim)


def spread(g, shape, dim, keepdim):
    """A reduced cotangent repeated over the reduced dimensions: the adjoint of a sum."""
    if not keepdim and not _is_all(dim) and len(g.shape) < len(shape):
        reduced = axes(dim, len(shape))
        g = reshape(g, tuple(1 if i in reduced else size for i, size in enumerate(shape)))
    return expand(g, shape)


@op(
    {"input": lambda g, input_shape, dim, keepdim: spread(g, input_shape, dim, keepdim)},
    formula=r"y = \textstyle\sum a",
    vjp_formula={"input": r"\bar a = \mathrm{expand}(\bar y)"},
    samples=[*REDUCTIONS, Sample(normal(0, 3), 0)],
)
def sum_(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over `dim` (an int or a tuple; None: over everything). Integers and bools are summed as int64.

    >>> torch.sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    kind = None if dtype is None else dtypes.as_numpy(dtype)
    if kind is None and input.dtype.char not in "fd":
        if input.dtype.kind == "f":
            return dtypes.add_up(input, _numpy_axis(dim, input.ndim), keepdim)
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
    formula=r"y = \tfrac{1}{n}\textstyle\sum a",
    vjp_formula={"input": r"\bar a = \tfrac{1}{n}\,\mathrm{expand}(\bar y)"},
    samples=REDUCTIONS,
)
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over `dim` (an int or a tuple; None: over everything). RuntimeError for integers: convert with .float().

    >>> torch.mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5, 3.5])
    """
    kind = input.dtype if dtype is None else dtypes.as_numpy(dtype)
    if kind.kind != "f":
        raise RuntimeError(
            f"mean: could not infer output dtype: input is {kind}, a mean needs a floating dtype; use .float()"
        )
    if kind.char == "e":  # in float32, which a sum of halves does not overflow
        return mean(input, dim, keepdim, dtype=np.float32).astype(kind)
    total = np.add.reduce(input, axis=_numpy_axis(dim, input.ndim), dtype=kind, keepdims=keepdim)
    n = count(input.shape, dim)
    return total / kind.type(n or np.nan)  # not times 1 / n, with which the mean of 41 ones is 0.99999994


# Extremes


@op(
    formula=r"y = [a = m] / \textstyle\sum [a = m]",
    arrays="input y",
    samples=[Sample(np.array([[1, 2, 2], [0, 0, 3]]), np.array([2, 3]), 1, False)],
    faces="",
)
def tie_share(input, y, dim, keepdim):
    """Each element's share in the gradient of `y`, the value picked: 1/k for each of the k equal to it, else 0."""
    if not keepdim:
        along = axes(dim, input.ndim)
        y = y.reshape([1 if i in along else size for i, size in enumerate(input.shape)])
    ties = input == y
    if np.isnan(y).any():
        ties |= np.isnan(input) & np.isnan(y)
    dtype = input.dtype if input.dtype.kind == "f" else np.float64
    return np.divide(ties, np.add.reduce(ties, axis=axes(dim, input.ndim), keepdims=True), dtype=dtype)


def _picked(g, input, y, dim, keepdim):
    share = tie_share(input, y, dim, keepdim)
    return kept(spread(g, input.shape, dim, keepdim) * share, share != 0)


def check_not_empty(name, shape, dim, error=RuntimeError):
    """Refuse a reduction without identity over no elements: `error` over everything, IndexError along a dimension."""
    if _is_all(dim):
        if 0 in shape:
            raise error(f"{name}: Expected reduction dim to be specified for an input without elements, shape {shape}")
    elif any(shape[axis] == 0 for axis in axes(dim, len(shape))):
        raise IndexError(f"{name}: Expected reduction dim {dim} to have non-zero size, got shape {shape}")


EXTREMES = [
    Sample(distinct(3, 4)),
    Sample(distinct(3, 4), 0),
    Sample(distinct(2, 3, 4), (0, -1)),
    Sample(distinct(2, 3, 4), 1, True),
    Sample(distinct()),
    Sample(distinct(0, 3), 1),
]


@op(
    {"input": _picked},
    formula=r"y = \max a",
    vjp_formula={"input": r"\bar a = \bar y\,[a = y] / \textstyle\sum [a = y]"},
    samples=EXTREMES,
)
def amax(input, dim=(), keepdim=False):
    """The largest element over `dim` (an int or a tuple; (): over everything); NaN if there is one.

    Elements that tie for it share the gradient evenly. IndexError along a dimension of size 0.

    >>> torch.amax(torch.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
    tensor([4., 3.])
    """
    check_not_empty("amax", input.shape, dim)
    return np.maximum.reduce(input, axis=axes(dim, input.ndim), keepdims=keepdim)


@op(
    {"input": _picked},
    formula=r"y = \min a",
    vjp_formula={"input": r"\bar a = \bar y\,[a = y] / \textstyle\sum [a = y]"},
    samples=EXTREMES,
)
def amin(input, dim=(), keepdim=False):
    """The smallest element over `dim`, as `amax`.

    >>> torch.amin(torch.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
    tensor([1., 2.])
    """
    check_not_empty("amin", input.shape, dim)
    return np.minimum.reduce(input, axis=axes(dim, input.ndim), keepdims=keepdim)
