"""Choosing elements by a bool mask."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.dtypes import check_fits, get_default_dtype
from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.counting import nonzero
from tinygrad_lab.ops.declare import composition, op, registry
from tinygrad_lab.ops.index import getitem
from tinygrad_lab.ops.samples import Sample, booleans, normal
from tinygrad_lab.ops.shape import expand
from tinygrad_lab.tensor import Tensor

__all__ = ["masked_fill", "masked_select", "where_or_nonzero"]


def _check_mask(name, mask):
    if mask.dtype.kind != "b":
        raise RuntimeError(
            f"{name}: only supports boolean masks, but got mask with dtype {mask.dtype}: use mask.bool()"
        )


@op(
    {"input": lambda g, mask: where(mask, 0.0, g), "value": lambda g, mask: where(mask, g, 0.0)},
    formula=r"y = v \text{ if } m \text{ else } a",
    vjp_formula={
        "input": r"\bar a = \bar y \odot [\neg m]",
        "value": r"\bar v = \textstyle\sum_{\text{copies}} \bar y \odot [m]",
    },
    samples=[
        Sample(normal(3, 4), booleans(3, 4), 1.5),
        Sample(normal(3, 4), booleans(4), normal()),
        Sample(normal(4), booleans(3, 1), -2.5),
        Sample(normal(), booleans(), 0),
    ],
    arrays="mask",
)
def masked_fill(input, mask, value):
    """`input` with the number `value` where `mask` (bool, broadcast) is True. The dtype stays that of `input`.

    RuntimeError for a mask that is not bool, or a value with dimensions.

    >>> torch.masked_fill(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), -1)
    tensor([-1.,  2.])
    """
    _check_mask("masked_fill", mask)
    if value.ndim:
        raise RuntimeError(
            f"masked_fill: only supports a 0-dimensional value tensor, but got one of shape {value.shape}"
        )
    if input.dtype.char not in "fd":
        check_fits("masked_fill", value, input.dtype)
    return np.where(mask, value.astype(input.dtype), input)


@composition(
    formula=r"y = a_{[m]}",
    samples=[
        Sample(normal(3, 4), np.eye(3, 4, dtype=bool)),
        Sample(normal(3, 1), np.array([True, False])),
        Sample(normal(), np.array(True)),
    ],
)
def masked_select(input, mask):
    """The elements of `input` where `mask` (bool; both are broadcast) is True, as a 1-d copy in row-major order.

    >>> torch.masked_select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    mask = mask.array if isinstance(mask, Tensor) else mask
    _check_mask("masked_select", mask)
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise RuntimeError(f"masked_select: shapes {input.shape} and {mask.shape} do not broadcast") from None
    return getitem(expand(input, shape), np.broadcast_to(mask, shape))


_NUMBERS = (float, int, bool)


def where_or_nonzero(condition, input=None, other=None):
    """PyTorch's `torch.where`: the op `where`; of the condition alone, `nonzero(condition, as_tuple=True)`."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if type(input) in _NUMBERS and type(other) in _NUMBERS and float in (type(input), type(other)):
        input = np.asarray(input, get_default_dtype().numpy)  # no tensor says which floats
    return where(condition, input, other)


registry["where"].function = where_or_nonzero  # the public one: rules call the op itself
Tensor.where = lambda self, condition, other: where(condition, self, other)  # type: ignore[attr-defined]
