"""Dropout: the ops that draw random numbers when they run."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.ops.arithmetic import mul
from tinygrad_lab.ops.declare import composition
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.random import source
from tinygrad_lab.tensor import Tensor

__all__ = ["dropout"]


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
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    kind = getattr(input, "array", input).dtype
    if kind.kind != "f":
        raise RuntimeError(f"dropout: expected a floating dtype, got {kind}: convert with .float()")
    # A Python float times bools would be float64.
    kept = source(generator).random(input.shape, np.float32) >= p
    mask = kept * kind.type(0 if p == 1 else 1 / (1 - p))
    return input.mul_(mask) if inplace and isinstance(input, Tensor) else mul(input, mask)
