"""Normalization: over a batch, over a layer, and to unit length.

Batch and layer norm are one op, `standardize`, over different dimensions: each checks its arguments, shapes weight and
bias so that they broadcast, and batch norm keeps the running statistics.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.ops.arithmetic import maximum
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import rsqrt, sqrt
from tinygrad_lab.ops.reduce import count, mean, sum_
from tinygrad_lab.ops.samples import Sample, normal, uniform
from tinygrad_lab.ops.shape import reshape
from tinygrad_lab.ops.statistics import norm

__all__ = ["batch_norm", "layer_norm", "normalize"]


def _scale(input, dims, eps):
    """One over the standard deviation, 1 / sqrt(var + eps)."""
    centred = input - mean(input, dims, True)
    return rsqrt(mean(centred * centred, dims, True) + eps)


def _input_cotangent(g, weight, dims, normalized, scale):
    """What is left of the cotangent without its parts along 1 and along the normalized values: y does not see these."""
    if weight is not None:
        g = g * weight
    return (g - mean(g, dims, True) - normalized * mean(g * normalized, dims, True)) * scale


@op(
    {
        "input": _input_cotangent,
        "weight": lambda g, normalized: g * normalized,
        "bias": lambda g: g,
    },
    formula=r"y = w \odot \hat a + b,\; \hat a = s\,c,\; s = 1 / \sqrt{\mathrm{mean}(c^2) + \epsilon},\;"
    r" c = a - \mathrm{mean}(a)",
    vjp_formula={
        "input": r"\bar a = s\,(h - \mathrm{mean}(h) - \hat a \odot \mathrm{mean}(h \odot \hat a)),\;"
        r" h = w \odot \bar y",
        "weight": r"\bar w = \textstyle\sum_{\text{copies}} \bar y \odot \hat a",
        "bias": r"\bar b = \textstyle\sum_{\text{copies}} \bar y",
    },
    samples=[
        Sample(normal(3, 4), normal(4), normal(4), (-1,)),
        Sample(normal(5, 2, 3), normal(2, 1), normal(2, 1), (0, 2)),
        Sample(normal(3, 4), None, None, (0,), 0.1),
    ],
    residuals={
        "normalized": lambda input, dims, eps: (input - mean(input, dims, True)) * _scale(input, dims, eps),
        "scale": _scale,
    },
    faces="",
)
def standardize(input, weight=None, bias=None, dims=(-1,), eps=1e-5, observe=None):
    """Shift and scale to mean 0 and variance 1 over `dims`, then times `weight` plus `bias`, which broadcast.

    `observe`, if given, is called with the mean and the (biased) variance, in which `dims` have size 1.
    """
    if input.dtype.kind != "f":
        raise NotImplementedError(f"standardize: not implemented for {input.dtype}: convert with .float()")
    if input.dtype.char == "e":  # sums of squares overflow it: computed in float32, as in PyTorch
        return tuple(
            each.astype(np.float16)
            for each in _standardized(input.astype(np.float32), weight, bias, dims, eps, observe)
        )
    return _standardized(input, weight, bias, dims, eps, observe)


def _standardized(input, weight, bias, dims, eps, observe):
    """(y, normalized, scale): the result and the residuals of `standardize`."""
    kind = input.dtype.type
    share = kind(1 / max(count(input.shape, dims), 1))
    average = np.add.reduce(input, axis=dims, keepdims=True) * share
    normalized = input - average
    y = np.square(normalized)
    variance = np.add.reduce(y, axis=dims, keepdims=True) * share
    if observe is not None:
        observe(average, variance)
    scale = 1 / np.sqrt(variance + kind(eps))
    normalized *= scale
    if weight is None:
        y[...] = normalized
    else:
        np.multiply(normalized, weight, out=y)
    if bias is not None:
        y += bias
    return y, normalized, scale


@composition(
    formula=r"y = w \odot \frac{a - \mu}{\sqrt{\sigma^2 + \epsilon}} + b",
    samples=[
        Sample(normal(3, 4), (4,), normal(4), normal(4)),
        Sample(normal(2, 3, 4), (3, 4), normal(3, 4), None, 0.01),
        Sample(normal(2, 3, 4), [4]),
        Sample(normal(0, 4), (4,), normal(4), normal(4)),
    ],
    faces="torch functional",
)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Each sample's values shifted and scaled to mean 0 and variance 1, then times `weight` plus `bias`.

    input              (*, *normalized_shape), floating; the statistics are over the last dimensions
    normalized_shape   the sizes of these
    weight, bias       of shape normalized_shape, or None
    eps                added to the (biased) variance

    RuntimeError if the shapes do not fit. Source: https://arxiv.org/abs/1607.06450

    >>> F.layer_norm(torch.tensor([[1.0, 3.0], [10.0, 30.0]]), (2,))
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not sizes:
        raise RuntimeError("layer_norm: expected normalized_shape to be at least 1-dimensional, got ()")
    if tuple(input.shape[-len(sizes) :]) != sizes:
        raise RuntimeError(
            f"layer_norm: given normalized_shape={list(sizes)}, expected input with shape "
            f"(*, {', '.join(map(str, sizes))}), but got input of size {tuple(input.shape)}"
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != sizes:
            raise RuntimeError(
                f"layer_norm: expected {name} to be of the same shape as normalized_shape, but got "
                f"{tuple(value.shape)} and normalized_shape={list(sizes)}"
            )
    return standardize(input, weight, bias, tuple(range(-len(sizes), 0)), eps)


def _averaged_into(running, value, momentum):
    """running <- (1 - momentum) running + momentum value, in the memory of `running`."""
    array = getattr(running, "array", running)
    array *= 1 - momentum
    array += momentum * value.reshape(-1)
    graph.mark_mutated(array)


@composition(
    formula=r"y = w \odot \frac{a - \mu}{\sqrt{\sigma^2 + \epsilon}} + b",
    samples=[
        Sample(normal(4, 3), None, None, normal(3), normal(3), True),
        Sample(normal(3, 2, 4), None, None, normal(2), normal(2), True, 0.1, 0.01),
        Sample(normal(2, 3, 2, 4), None, None, training=True),
        Sample(normal(4, 3), normal(3), uniform(3, low=0.5, high=2), normal(3), normal(3)),
        Sample(normal(2, 3, 2, 2), normal(3), uniform(3, low=0.5, high=2), normal(3)),
        Sample(normal(2, 3, 4), normal(3), uniform(3, low=0.5, high=2)),
    ],
    faces="functional",
)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Each channel shifted and scaled to mean 0 and variance 1 over the batch, then times `weight` plus `bias`.

    input                      (N, C), (N, C, L), (N, C, H, W), ..., floating; statistics are per channel
    running_mean, running_var  (C) or None. Training moves them in place towards the batch's mean and unbiased variance:
                               running = (1 - momentum) running + momentum batch. Else they are what is normalized by.
    weight, bias               (C) or None
    eps                        added to the (in training biased) variance

    ValueError for one value per channel in training, RuntimeError if the shapes do not fit or statistics are missing.
    Source: https://arxiv.org/abs/1502.03167

    >>> F.batch_norm(torch.tensor([[1.0], [3.0]]), None, None, training=True)
    tensor([[-1.],
            [ 1.]])
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"batch_norm: expected input of shape (N, C), (N, C, L) or (N, C, H, W), got {shape}")
    kind = getattr(input, "array", input).dtype
    if kind.kind != "f":
        raise NotImplementedError(f"batch_norm: not implemented for {kind}: convert with .float()")
    channels = shape[1]
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in given.items():
        if value is not None and value.shape != (channels,):
            raise RuntimeError(
                f"batch_norm: {name} should contain {channels} elements, one per channel of the input {shape}, not "
                f"shape {tuple(value.shape)}"
            )
        if value is None and not training and name.startswith("running"):
            raise RuntimeError("batch_norm: expected running_mean and running_var to be defined when training=False")
    across = (channels, *[1] * (len(shape) - 2))  # broadcasts along the channels

    def along(value):
        return value if value is None or len(shape) == 2 else reshape(value, across)

    if not training:
        scale = rsqrt(running_var + eps) if weight is None else rsqrt(running_var + eps) * weight
        shift = -running_mean * scale if bias is None else bias - running_mean * scale
        return input * along(scale) + along(shift)
    values = math.prod(shape) // max(channels, 1)
    if values == 1:
        raise ValueError(
            f"batch_norm: expected more than 1 value per channel when training, got input size {list(shape)}: the "
            f"variance of one value is 0; use a larger batch (DataLoader's drop_last=True) or eval()"
        )

    def update(average, variance):
        if not values:  # an empty batch tells nothing
            return
        if running_mean is not None:
            _averaged_into(running_mean, average, momentum)
        if running_var is not None:
            _averaged_into(running_var, variance * (values / (values - 1)), momentum)

    return standardize(input, along(weight), along(bias), (0, *range(2, len(shape))), eps, update)


@composition(
    formula=r"y = a / \max(\|a\|_p, \epsilon)",
    samples=[
        Sample(normal(3, 4)),
        Sample(uniform(2, 3, 4, low=0.5, high=2), dim=0),
        Sample(normal(3, 4), 1.0, -1),
        Sample(normal(3, 4), eps=5.0),
        Sample(normal(4), dim=-1),
    ],
    faces="functional",
)
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """`input` divided by its p-norms along `dim`: vectors of length 1. A norm below `eps` counts as `eps`.

    IndexError if there is no such dimension.

    >>> F.normalize(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    kind = getattr(input, "array", input).dtype
    if kind.kind != "f":
        raise RuntimeError(f"normalize: expected a floating dtype, got {kind}: convert with .float()")
    if p == 2:  # the square root of what is at least eps^2, so that it is never differentiated at 0
        return input / sqrt(maximum(sum_(input * input, dim, True), eps * eps))
    return input / maximum(norm(input, p, dim, True), eps)
