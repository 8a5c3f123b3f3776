"""Adding, removing, merging and moving dimensions: views, composed of `reshape`, `expand` and `permute`."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.declare import composition
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import axis_of, expand, permute, reshape

__all__ = ["broadcast_to", "flatten", "movedim", "squeeze", "t", "unflatten", "unsqueeze"]


@composition(
    formula=r"y = \mathrm{expand}(a)",
    samples=[Sample(normal(3, 1), (3, 4)), Sample(normal(4), (2, 3, 4))],
    spread="size",
)
def broadcast_to(input, size):
    """`expand` under NumPy's name.

    >>> torch.broadcast_to(torch.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, size)


@composition(
    formula=r"y = \mathrm{flatten}(a)",
    samples=[
        Sample(normal(2, 3, 4)),
        Sample(normal(2, 3, 4), 1),
        Sample(normal(2, 3, 4), 0, -2),
        Sample(normal()),
        Sample(normal(0, 3), 1),
    ],
    aliases="ravel",
)
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions `start_dim` to `end_dim` (both included) as one; a view where possible. A 0-d tensor becomes 1-d.

    RuntimeError if start_dim comes after end_dim.

    >>> torch.flatten(torch.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    start, end = axis_of("flatten", start_dim, input.ndim), axis_of("flatten", end_dim, input.ndim)
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} cannot come after end_dim {end_dim} (shape {input.shape})")
    shape = input.shape or (1,)
    return reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@composition(
    formula=r"y = \mathrm{reshape}(a)",
    samples=[Sample(normal(2, 12), 1, (3, 4)), Sample(normal(6, 2), -2, (2, -1)), Sample(normal(4), 0, (4,))],
)
def unflatten(input, dim, sizes):
    """Dimension `dim` as several of the given `sizes` (one may be -1); a view. The inverse of `flatten`.

    RuntimeError if the sizes do not multiply up to that of `dim`.

    >>> torch.unflatten(torch.zeros(2, 12), 1, (3, -1)).shape
    (2, 3, 4)
    """
    axis = axis_of("unflatten", dim, input.ndim)
    sizes = tuple(sizes)
    size, known = input.shape[axis], math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or (size % known if -1 in sizes and known else size != known):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({size}) in the "
            f"input tensor "
            f"of shape {input.shape}"
        )
    sizes = tuple(size // known if each == -1 else each for each in sizes)
    return reshape(input, (*input.shape[:axis], *sizes, *input.shape[axis + 1 :]))


@composition(
    formula=r"y = \mathrm{squeeze}(a)",
    samples=[
        Sample(normal(1, 3, 1)),
        Sample(normal(1, 3, 1), 0),
        Sample(normal(1, 3, 1), (0, -1)),
        Sample(normal(1, 3), 1),
        Sample(normal(), 0),
    ],
)
def squeeze(input, dim=None):
    """Without the dimensions of size 1: all of them, or those in `dim` (an int or a tuple); other sizes stay. A view.

    >>> torch.squeeze(torch.zeros(1, 3, 1)).shape, torch.squeeze(torch.zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    dims = range(input.ndim) if dim is None else (dim,) if isinstance(dim, (int, np.integer)) else dim
    dropped = {axis_of("squeeze", each, input.ndim) for each in dims}
    return reshape(input, tuple(size for i, size in enumerate(input.shape) if size != 1 or i not in dropped))


@composition(
    formula=r"y = \mathrm{unsqueeze}(a)",
    samples=[Sample(normal(3, 4), 0), Sample(normal(3, 4), -1), Sample(normal(), 0)],
)
def unsqueeze(input, dim):
    """With a new dimension of size 1 at position `dim` of the result; a view.

    >>> torch.unsqueeze(torch.zeros(3), 1).shape
    (3, 1)
    """
    axis = axis_of("unsqueeze", dim, input.ndim + 1)
    return reshape(input, (*input.shape[:axis], 1, *input.shape[axis:]))


@composition(
    formula=r"y = a^{\mathsf T}",
    samples=[Sample(normal(3, 4)), Sample(normal(3)), Sample(normal())],
)
def t(input):
    """The transpose of a matrix; vectors and scalars stay as they are. A view. RuntimeError for more than 2 dimensions.

    >>> torch.t(torch.zeros(2, 3)).shape
    (3, 2)
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"t: expects a tensor with <= 2 dimensions, but its shape is {input.shape}: use transpose or permute"
        )
    return permute(input, tuple(range(input.ndim))[::-1])


@composition(
    formula=r"y = \mathrm{permute}(a)",
    samples=[Sample(normal(2, 3, 4), 0, 2), Sample(normal(2, 3, 4), (0, 1), (-1, 0)), Sample(normal(3), 0, -1)],
    aliases="moveaxis",
)
def movedim(input, source, destination):
    """The dimensions `source` (an int or ints) moved to the positions `destination`, the others kept in order; a view.

    RuntimeError unless both name equally many, different dimensions.

    >>> torch.movedim(torch.zeros(2, 3, 5), 0, -1).shape
    (3, 5, 2)
    """
    names = ("source", source), ("destination", destination)
    given = {n: (dims,) if isinstance(dims, (int, np.integer)) else tuple(dims) for n, dims in names}
    origin, target = ([axis_of("movedim", dim, input.ndim) for dim in dims] for dims in given.values())
    if len(origin) != len(target) or len({*origin}) < len(origin) or len({*target}) < len(target):
        raise RuntimeError(
            f"movedim: source {given['source']} and destination {given['destination']} must be equally many "
            f"dimensions, each "
            f"named once"
        )
    rest = iter(i for i in range(input.ndim) if i not in origin)
    moved = dict(zip(target, origin, strict=True))
    return permute(input, tuple(moved[i] if i in moved else next(rest) for i in range(input.ndim)))
