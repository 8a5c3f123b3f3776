"""Dropout: the ops that draw random numbers when they run."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.arithmetic import mul
from tinygrad_lab.ops.declare import composition
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.random import source
from tinygrad_lab.tensor import Tensor

__all__ = ["dropout", "dropout2d"]


@composition(
    formula=r"y = \tfrac{m}{1 - p} \odot a,\; m \sim \mathrm{Bernoulli}(1 - p)",
    samples=[
        Sample(normal(4, 5)),
        Sample(normal(4, 5), 0.2),
        Sample(normal(4, 5), 1.0),
        Sample(normal(4, 5), 0.5, False),
    ],
    faces="functional",
)
def dropout(input, p=0.5, training=True, inplace=False, *, generator=None):
    """Set each element to 0 with probability `p` and divide the others by 1 - p, to keep the mean. Shape as `input`.

    training    False: return `input` as it is
    inplace     overwrite `input`
    generator   draws the mask; None: the global generator (`torch.manual_seed`)

    ValueError unless 0 <= p <= 1. Source: https://jmlr.org/papers/v15/srivastava14a.html

    >>> sorted(set(F.dropout(torch.ones(100), 0.75).tolist()))
    [0.0, 4.0]
    """
    return _dropped("dropout", input, input.shape, p, training, inplace, generator)


@composition(
    formula=r"y = \tfrac{m}{1 - p} \odot a,\; m \sim \mathrm{Bernoulli}(1 - p)",
    samples=[Sample(normal(2, 3, 4, 4)), Sample(normal(4, 5), 0.2), Sample(normal(2, 3, 4), 0.5, False)],
    faces="functional",
)
def dropout2d(input, p=0.5, training=True, inplace=False, *, generator=None):
    """`dropout` of whole channels: input (N, C, H, W), or (N, C, ...); a channel of a sample is kept or set to 0.

    ValueError unless 0 <= p <= 1, RuntimeError for less than two dimensions.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout2d.html

    >>> sorted(set(F.dropout2d(torch.ones(20, 5, 2, 2), 0.75).sum((2, 3)).flatten().tolist()))
    [0.0, 16.0]
    """
    if input.ndim < 2:
        raise RuntimeError(f"dropout2d: Feature dropout requires at least 2 dimensions in the input, got {input.shape}")
    channels = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _dropped("dropout2d", input, channels, p, training, inplace, generator)


def _dropped(name, input, shape, p, training, inplace, generator):
    """`input` times a random mask of `shape`, which broadcasts."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    kind = getattr(input, "array", input).dtype
    if kind.kind != "f":
        raise RuntimeError(f"{name}: expected a floating dtype, got {kind}: convert with .float()")
    # A Python float times bools would be float64.
    kept = source(generator).random(shape, np.float32) >= p
    mask = kept * kind.type(0 if p == 1 else 1 / (1 - p))
    return input.mul_(mask) if inplace and isinstance(input, Tensor) else mul(input, mask)
