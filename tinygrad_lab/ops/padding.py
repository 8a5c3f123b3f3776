"""Padding: more elements, or fewer, around the edges of a tensor."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.gather import index_select
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import clone

__all__ = ["constant_pad", "pad"]


@op(
    {"input": lambda g, pad: constant_pad(g, tuple(-width for width in pad))},
    formula=r"y = \mathrm{pad}(a)",
    vjp_formula={"input": r"\bar a = \mathrm{crop}(\bar y)"},
    samples=[
        Sample(normal(3, 4), (1, 2)),
        Sample(normal(2, 3, 4), (0, 1, -1, 2), 0.5),
        Sample(normal(3), (-1, -1)),
        Sample(normal(), ()),
    ],
    faces="",
)
def constant_pad(input, pad, value=0):
    """`pad` with a constant; negative widths crop. Its adjoint pads with the negated widths."""
    widths = ((0, 0),) * (input.ndim - len(pad) // 2) + tuple(zip(pad[-2::-2], pad[-1::-2], strict=True))
    source, target, shape = [], [], []
    for size, (left, right) in zip(input.shape, widths, strict=True):
        if size + min(left, 0) + min(right, 0) < 0:
            raise RuntimeError(f"pad: {tuple(pad)} crops more than there is in a tensor of shape {input.shape}")
        shape.append(size + left + right)
        source.append(slice(max(-left, 0), size + min(right, 0)))
        target.append(slice(max(left, 0), shape[-1] - max(right, 0)))
    out = np.full(shape, value, input.dtype)
    out[tuple(target)] = input[tuple(source)]
    return out


def _reached(mode, size, left, right):
    """Which element stands at each position of a padded dimension."""
    at = np.arange(-left, size + right)
    if mode == "replicate":
        return np.clip(at, 0, size - 1)
    if mode == "circular":  # around what a negative width leaves
        first, kept = max(-left, 0), size + min(left, 0) + min(right, 0)
        return first + (at - first) % kept
    period = max(2 * (size - 1), 1)
    return (size - 1) - np.abs((size - 1) - at % period)


@composition(
    formula=r"y = \mathrm{pad}(a)",
    samples=[
        Sample(normal(3, 4), (1, 2)),
        Sample(normal(2, 3, 4), (1, 0, -1, 2), "constant", 1.5),
        Sample(normal(2, 4), (2, 1), "reflect"),
        Sample(normal(2, 3, 4), (1, 1, 2, 1), mode="reflect"),
        Sample(normal(2, 3), (4, 1), mode="replicate"),
        Sample(normal(1, 2, 3, 4), (1, 2, 1, 0), mode="circular"),
        Sample(normal(2, 4), (-1, 1), mode="circular"),
    ],
    faces="functional",
)
def pad(input, pad, mode="constant", value=None):
    """`input` with more (or, for negative widths, fewer) elements around its edges.

    pad    widths (left, right) of the last dimension, then (left, right) of the one before, ...
    mode   "constant" (`value`, default 0), "reflect" (mirrored, the edge not repeated), "replicate" (the edge),
    "circular"

    RuntimeError for an odd number of widths, more than there are dimensions, or wider than a reflection or wrap can
    reach; NotImplementedError for other modes, or other than the last 1 (2-d and 3-d input), 2 (3-d, 4-d) or 3 (4-d,
    5-d) dimensions in modes that are not constant. Source:
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html

    >>> F.pad(torch.tensor([[1, 2, 3]]), (2, 1), mode="reflect")
    tensor([[3, 2, 1, 2, 3, 2]])
    """
    pad = tuple(int(width) for width in pad)
    count = len(pad) // 2
    if len(pad) % 2:
        raise RuntimeError(f"pad: Padding length must be divisible by 2, got {pad}")
    if count > input.ndim:
        raise RuntimeError(f"pad: {pad} pads {count} dimensions, but the input has shape {input.shape}")
    if mode == "constant":
        return constant_pad(input, pad, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(
            f"pad: Unrecognised padding mode {mode}: use 'constant', 'reflect', 'replicate' or 'circular'"
        )
    if value is not None and value != 0:
        raise RuntimeError(f'pad: Padding mode "{mode}" doesn\'t take in value argument, got {value}')
    if input.ndim - count not in (1, 2) or not 1 <= count <= 3:
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1 dimension of 2-d or 3-d input, 2 of 3-d or 4-d, 3 of 4-d or 5-d; got "
            f"{pad} for "
            f"shape {input.shape}"
        )
    for i in range(count):
        axis, (left, right) = input.ndim - 1 - i, pad[2 * i : 2 * i + 2]
        size = input.shape[axis]
        reach = {
            "reflect": size - 1,
            "circular": size + min(left, 0) + min(right, 0),
            "replicate": max(left, right) if size else 0,
        }[mode]
        if max(left, right) > reach or size + left + right <= 0:
            raise RuntimeError(
                f"pad: widths ({left}, {right}) at dimension {axis} of an input of shape {input.shape}: mode {mode!r} "
                f"pads at most "
                f"{reach} elements on a side there, and some must remain"
            )
        if (left, right) != (0, 0):
            input = index_select(input, axis, _reached(mode, size, left, right))
    return input if any(pad) else clone(input)
