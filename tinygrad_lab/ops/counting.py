"""Questions about whole tensors: whether any or all, how many, where, which different ones, and what kind of tensor.

Nothing here has a gradient.
"""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.reduce import axes
from tinygrad_lab.ops.samples import Sample, booleans, integers, normal
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["all_", "any_", "bincount", "count_nonzero", "nonzero", "unique"]

REDUCED = [
    Sample(booleans(3, 4)),
    Sample(integers(3, 4, high=2), 1),
    Sample(integers(2, 3, 4, high=2), (0, -1)),
    Sample(normal(2, 3), 0, keepdim=True),
    Sample(booleans(0, 3), 0),
    Sample(booleans()),
]


def _reduced(function, input, dim, keepdim):
    if dim is not None:
        dim = axes(dim, input.ndim) if np.size(dim) else ()  # no dimensions: nothing is reduced, unlike in sums
    result = function(input, axis=dim, keepdims=keepdim)
    return result.astype(np.uint8) if input.dtype == np.uint8 else result  # uint8 was PyTorch's bool once


@op(arrays="input", formula=r"y = \bigvee a", samples=REDUCED)
def any_(input, dim=None, keepdim=False):
    """Whether any element, over `dim` (an int, ints, or None for all), is not 0. Returns bool (uint8 for uint8).

    >>> torch.any(torch.tensor([[False, True], [False, False]]), dim=1)
    tensor([ True, False])
    """
    return _reduced(np.any, input, dim, keepdim)


@op(arrays="input", formula=r"y = \bigwedge a", samples=REDUCED)
def all_(input, dim=None, keepdim=False):
    """Whether all elements, over `dim` (an int, ints, or None for all), are not 0. Returns bool (uint8 for uint8).

    >>> torch.all(torch.tensor([[True, True], [False, True]]), dim=1)
    tensor([ True, False])
    """
    return _reduced(np.all, input, dim, keepdim)


@op(
    arrays="input",
    formula=r"y = \#\{a \ne 0\}",
    samples=[sample for sample in REDUCED if "keepdim" not in sample.kwargs],
)
def count_nonzero(input, dim=None):
    """How many elements, over `dim` (an int, ints, or None for all), are not 0. Returns int64.

    >>> torch.count_nonzero(torch.tensor([[0, 1], [1, 1]]), dim=0)
    tensor([1, 2])
    """
    return np.add.reduce(input != 0, axis=None if dim is None else axes(dim, input.ndim), dtype=np.int64)


def _array_and_wrapper(input):
    """The array, and what makes results of the kind that was given: Tensors for a Tensor, arrays for an array."""
    return (input.array, wrap) if isinstance(input, Tensor) else (input, lambda array: array)


@composition(
    formula=r"y = \{i : a_i \ne 0\}",
    samples=[Sample(booleans(3, 4)), Sample(integers(5, high=2), as_tuple=True), Sample(normal())],
    aliases="argwhere",
)
def nonzero(input, *, as_tuple=False):
    """The indices of elements that are not 0: int64 (n, input.ndim), or with `as_tuple` one (n) tensor per dimension.

    >>> torch.nonzero(torch.tensor([[0, 7], [8, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    array, made = _array_and_wrapper(input)
    if as_tuple:
        return tuple(made(index) for index in np.nonzero(np.atleast_1d(array)))
    return made(np.ascontiguousarray(np.argwhere(array)))


@composition(
    formula=r"y = \mathrm{unique}(a)",
    samples=[
        Sample(integers(3, 4, high=5)),
        Sample(integers(3, 4, high=5), return_inverse=True, return_counts=True),
        Sample(integers(6, 2, high=2), return_inverse=True, return_counts=True, dim=0),
    ],
)
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The different elements in ascending order (whatever `sorted` says), or the different slices along `dim`.

    With `return_inverse` also where each element of `input` stands among them, with `return_counts` how often each
    occurs. Every NaN counts as different.

    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    array, made = _array_and_wrapper(input)
    axis = None if dim is None else axes(dim, array.ndim)[0]
    values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    inverse = inverse.reshape(array.shape if dim is None else -1)
    results = [values, *([inverse] * return_inverse), *([counts] * return_counts)]
    return made(values) if len(results) == 1 else tuple(made(result) for result in results)


@op(
    arrays="input weights",
    formula=r"y_k = \textstyle\sum_n w_n [a_n = k]",
    samples=[
        Sample(integers(10, high=4)),
        Sample(integers(10, high=4), integers(10, high=4)),
        Sample(integers(3, high=2), None, 5),
        Sample(integers(0, high=2), minlength=3),
    ],
)
def bincount(input, weights=None, minlength=0):
    """How often each of 0, 1, ..., max(input) occurs in `input` (n), or the sum of its weights.

    Returns int64 (with weights float64, or float32 for float32) of at least `minlength` elements.

    RuntimeError for a negative value or another number of dimensions, NotImplementedError for floats and bools.

    >>> torch.bincount(torch.tensor([0, 2, 2]), minlength=4)
    tensor([1, 0, 2, 0])
    """
    if input.dtype.kind not in "iu":
        raise NotImplementedError(f"bincount: not implemented for {input.dtype}: convert with .long()")
    if input.ndim != 1 or (input.size and input.min() < 0):
        least = f" with minimum {input.min()}" if input.size else ""
        raise RuntimeError(f"bincount: only supports 1-d non-negative integral inputs, got shape {input.shape}{least}")
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength should be >= 0, got {minlength}")
    if weights is None:
        return np.bincount(input, minlength=minlength)
    if weights.shape != input.shape:
        raise RuntimeError(f"bincount: weights must have the shape of the input, {input.shape}, got {weights.shape}")
    kind = np.float32 if weights.dtype == np.float32 else np.float64
    return np.bincount(input, weights, minlength).astype(kind, copy=False)


@composition(formula=r"y = [x \text{ is a Tensor}]", samples=[Sample(2.0)], faces="torch")
def is_tensor(obj):
    """Whether `obj` is a Tensor.

    >>> torch.is_tensor([1, 2])
    False
    """
    return isinstance(obj, Tensor)


@composition(formula=r"y = \textstyle\prod_i n_i", samples=[Sample(normal(3, 4))], faces="torch")
def numel(input):
    """The number of elements.

    >>> torch.numel(torch.zeros(2, 3))
    6
    """
    return _array_and_wrapper(input)[0].size


@composition(
    formula=r"y = [a \text{ is floating}]", samples=[Sample(normal(3)), Sample(integers(3, high=2))], faces="torch"
)
def is_floating_point(input):
    """Whether the dtype is a floating one.

    >>> torch.is_floating_point(torch.tensor([1, 2]))
    False
    """
    return _array_and_wrapper(input)[0].dtype.kind == "f"


@composition(formula=r"y = [a \ne 0]", samples=[Sample(normal(1)), Sample(integers(high=1))])
def is_nonzero(input):
    """Whether the only element is not 0. RuntimeError unless there is just one.

    >>> torch.is_nonzero(torch.tensor([0.0]))
    False
    """
    array = _array_and_wrapper(input)[0]
    if array.size != 1:
        raise RuntimeError(f"is_nonzero: Boolean value of Tensor with {array.size} elements is ambiguous")
    return bool(array.item())
