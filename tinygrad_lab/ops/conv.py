"""Convolution (cross-correlation, as in every network library) of sequences and images, on BLAS.

The pixels under every window become the columns of a matrix (`windows.unfold`), a few images at a time so that the
columns stay in cache, and each image is one matrix product. A convolution and its cotangents are one trilinear form in
image, kernel and output: its three sums (`conv2d`, `conv2d_input`, `conv2d_weight`) are each other's rules, so
derivatives of any order follow.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import reshape
from tinygrad_lab.ops.windows import as_images, fold, pair, samples_at_once, unfold, windows

__all__ = ["conv1d", "conv2d"]


def _padding(name, padding, kernel, stride, dilation):
    """((top, bottom), (left, right)) for a number, a pair, "valid" or "same"."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions, got stride {stride}")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)  # an odd one more at the end, as PyTorch
    if isinstance(padding, str):
        raise RuntimeError(f"{name}: invalid padding string {padding!r}: use 'same', 'valid', an int or a pair of ints")
    return tuple((p, p) for p in pair(name, "padding", padding))


def _windows(name, image_shape, kernel, stride, padding, dilation):
    stride, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    kernel = tuple(kernel)
    return windows(
        name, tuple(image_shape[-2:]), kernel, stride, _padding(name, padding, kernel, stride, dilation), dilation
    )


def _check(name, input, weight, bias, groups, axes):
    """The sizes of a convolution over `axes` dimensions fit each other."""
    if len(input.shape) not in (axes + 1, axes + 2) or len(weight.shape) != axes + 2:
        raise RuntimeError(
            f"{name}: expected {axes + 1}D (unbatched) or {axes + 2}D (batched) input and a {axes + 2}D weight "
            f"(out_channels, in_channels / groups, kernel sizes), got {tuple(input.shape)} and {tuple(weight.shape)}"
        )
    if groups < 1 or weight.shape[0] % groups:
        raise RuntimeError(f"{name}: groups={groups} must be positive and divide the {weight.shape[0]} output channels")
    channels = input.shape[-axes - 1]
    if channels != weight.shape[1] * groups:
        raise RuntimeError(
            f"{name}: given groups={groups} and a weight of size {tuple(weight.shape)}, expected input "
            f"{tuple(input.shape)} to have {weight.shape[1] * groups} channels, but got {channels} channels instead"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"{name}: given weight of size {tuple(weight.shape)}, expected bias to be 1-dimensional with "
            f"{weight.shape[0]} elements, but got bias of size {tuple(bias.shape)} instead"
        )
    kinds = {str(getattr(x, "array", x).dtype) for x in (input, weight, bias) if x is not None}
    if len(kinds) > 1:
        raise RuntimeError(
            f"{name}: input, weight and bias must have the same dtype, got {sorted(kinds)}: convert with .to(dtype)"
        )


def _chunks(images, w, groups):
    """A few images at a time: their slice of the batch, and columns (images, groups, channels * kernel, positions)."""
    n, channels = images.shape[:2]
    step = samples_at_once(w, channels, images.itemsize)
    rows = channels // groups * math.prod(w.kernel)
    buffer = None
    for start in range(0, n, step):
        part = images[start : start + step]
        if w.identity:
            columns = part
        else:
            columns = unfold(part, w, buffer)
            buffer = columns if buffer is None else buffer
        yield slice(start, start + step), columns.reshape(len(part), groups, rows, math.prod(w.output))


@op(
    {
        "input": lambda g, input_shape, weight, stride, padding, dilation, groups: conv2d_input(
            g, weight, input_shape, stride, padding, dilation, groups
        ),
        "weight": lambda g, input, weight_shape, stride, padding, dilation, groups: conv2d_weight(
            g, input, weight_shape, stride, padding, dilation, groups
        ),
        "bias": lambda g: sum_(g, (*range(len(g.shape) - 3), -2, -1)),
    },
    formula=r"Y_{opq} = b_o + \textstyle\sum_{cij} W_{ocij}\, X_{c,\,sp+di-r,\,sq+dj-r}",
    vjp_formula={
        "input": r"\bar X_{c,\,sp+di-r,\,sq+dj-r} \mathrel{+}= \textstyle\sum_{o} W_{ocij}\, \bar Y_{opq}",
        "weight": r"\bar W_{ocij} = \textstyle\sum_{npq} \bar Y_{nopq}\, X_{nc,\,sp+di-r,\,sq+dj-r}",
        "bias": r"\bar b_o = \textstyle\sum_{npq} \bar Y_{nopq}",
    },
    samples=[
        Sample(normal(2, 3, 5, 4), normal(2, 3, 3, 2), normal(2)),
        Sample(normal(2, 2, 5, 6), normal(3, 2, 3, 3), normal(3), 2, 1),
        Sample(normal(1, 2, 6, 5), normal(2, 2, 2, 3), None, (2, 1), (0, 2), (2, 1)),
        Sample(normal(2, 4, 4, 4), normal(2, 2, 3, 3), normal(2), padding="same", groups=2),
        Sample(normal(1, 2, 4, 5), normal(2, 2, 2, 2), padding="same", dilation=2),
        Sample(normal(2, 4, 5), normal(3, 2, 1, 1), normal(3)),
        Sample(normal(0, 2, 3, 3), normal(2, 2, 2, 2), normal(2)),
    ],
    faces="torch functional",
)
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of images (N, C, H, W) with kernels (O, C / groups, kH, kW): shape (N, O, H', W').

    H' = (H + 2 padding - dilation (kH - 1) - 1) // stride + 1. An image without a batch is (C, H, W).

    stride, padding, dilation   an int or a pair (height, width); padding may be "same" or "valid"
    groups   the channels are split into so many groups, each with kernels of its own

    RuntimeError if sizes or dtypes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html

    >>> F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)).squeeze()
    tensor([[4., 4.],
            [4., 4.]])
    """
    _check("conv2d", input, weight, bias, groups, 2)
    w = _windows("conv2d", input.shape, weight.shape[2:], stride, padding, dilation)
    images = as_images("conv2d", input)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    output = np.empty((len(images), groups, len(weight) // groups, math.prod(w.output)), input.dtype)
    for part, columns in _chunks(images, w, groups):
        np.matmul(kernels, columns, out=output[part])
        if bias is not None:
            output[part] += bias.reshape(groups, -1, 1)  # while the product is still in cache
    return output.reshape(*input.shape[:-3], len(weight), *w.output)


@op(
    {
        "grad": lambda g, weight, stride, padding, dilation, groups: conv2d(
            g, weight, None, stride, padding, dilation, groups
        ),
        "weight": lambda g, grad, weight_shape, stride, padding, dilation, groups: conv2d_weight(
            grad, g, weight_shape, stride, padding, dilation, groups
        ),
    },
    formula=r"Y_{c,\,sp+di-r,\,sq+dj-r} \mathrel{+}= \textstyle\sum_{o} W_{ocij}\, A_{opq}",
    vjp_formula={
        "grad": r"\bar A_{opq} = \textstyle\sum_{cij} W_{ocij}\, \bar Y_{c,\,sp+di-r,\,sq+dj-r}",
        "weight": r"\bar W_{ocij} = \textstyle\sum_{npq} A_{nopq}\, \bar Y_{nc,\,sp+di-r,\,sq+dj-r}",
    },
    samples=[
        Sample(normal(2, 3, 3, 3), normal(3, 2, 3, 3), (2, 2, 5, 6), 2, 1),
        Sample(normal(2, 2, 3), normal(2, 2, 2, 2), (4, 2, 3), groups=2, padding="same"),
    ],
    faces="",
)
def conv2d_input(grad, weight, shape, stride=1, padding=0, dilation=1, groups=1):
    """The cotangent of conv2d's input, of `shape`, for the output's cotangent `grad`: a transposed convolution."""
    w = _windows("conv2d", shape, weight.shape[2:], stride, padding, dilation)
    cotangents = as_images("conv2d", grad)
    cotangents = cotangents.reshape(len(cotangents), groups, len(weight) // groups, math.prod(w.output))
    transposed = weight.reshape(groups, len(weight) // groups, -1).swapaxes(1, 2)
    images = np.zeros((len(cotangents), *shape[-3:]), grad.dtype)
    step = samples_at_once(w, shape[-3], grad.itemsize)
    for start in range(0, len(images), step):
        columns = np.matmul(transposed, cotangents[start : start + step])
        fold(columns.reshape(len(columns), shape[-3], *w.kernel, *w.output), w, images[start : start + step])
    return images.reshape(shape)


@op(
    {
        "grad": lambda g, input, stride, padding, dilation, groups: conv2d(
            input, g, None, stride, padding, dilation, groups
        ),
        "input": lambda g, grad, input_shape, stride, padding, dilation, groups: conv2d_input(
            grad, g, input_shape, stride, padding, dilation, groups
        ),
    },
    formula=r"Y_{ocij} = \textstyle\sum_{npq} A_{nopq}\, X_{nc,\,sp+di-r,\,sq+dj-r}",
    vjp_formula={
        "grad": r"\bar A_{nopq} = \textstyle\sum_{cij} \bar Y_{ocij}\, X_{nc,\,sp+di-r,\,sq+dj-r}",
        "input": r"\bar X_{nc,\,sp+di-r,\,sq+dj-r} \mathrel{+}= \textstyle\sum_{o} \bar Y_{ocij}\, A_{nopq}",
    },
    samples=[
        Sample(normal(2, 3, 3, 3), normal(2, 2, 5, 6), (3, 2, 3, 3), 2, 1),
        Sample(normal(2, 2, 3), normal(4, 2, 3), (2, 2, 2, 2), groups=2, padding="same"),
    ],
    faces="",
)
def conv2d_weight(grad, input, shape, stride=1, padding=0, dilation=1, groups=1):
    """The cotangent of conv2d's weight, of `shape`, for the output's cotangent `grad`."""
    w = _windows("conv2d", input.shape, shape[2:], stride, padding, dilation)
    cotangents = as_images("conv2d", grad)
    cotangents = cotangents.reshape(len(cotangents), groups, shape[0] // groups, math.prod(w.output))
    total = np.zeros((groups, shape[0] // groups, math.prod(shape[1:])), grad.dtype)
    for part, columns in _chunks(as_images("conv2d", input), w, groups):
        total += np.add.reduce(np.matmul(cotangents[part], columns.swapaxes(2, 3)), axis=0)
    return total.reshape(shape)


def single(name, argument, value):
    """An int, or the only one of a sequence."""
    values = (
        (value,) if isinstance(value, (int, np.integer)) else tuple(value) if isinstance(value, (tuple, list)) else ()
    )
    if len(values) != 1:
        raise TypeError(f"{name}: argument '{argument}' must be an int, got {value!r}")
    return int(values[0])


@composition(
    formula=r"Y_{op} = b_o + \textstyle\sum_{ci} W_{oci}\, X_{c,\,sp+di-r}",
    samples=[
        Sample(normal(2, 3, 6), normal(2, 3, 3), normal(2)),
        Sample(normal(2, 2, 7), normal(4, 1, 3), normal(4), 2, 1, 2, 2),
        Sample(normal(2, 5), normal(3, 2, 2), padding="same"),
    ],
    faces="torch functional",
)
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of sequences (N, C, L) or (C, L) with kernels (O, C / groups, k): (N, O, L').

    See `conv2d`, which takes the same options.

    >>> F.conv1d(torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[-1.0, 1.0]]]))
    tensor([[[1., 2.]]])
    """
    _check("conv1d", input, weight, bias, groups, 1)
    sides = padding if isinstance(padding, str) else (0, single("conv1d", "padding", padding))
    options = (1, single("conv1d", "stride", stride)), sides, (1, single("conv1d", "dilation", dilation))
    rows = reshape(input, (*input.shape[:-1], 1, input.shape[-1]))
    kernels = reshape(weight, (*weight.shape[:-1], 1, weight.shape[-1]))
    _windows("conv1d", rows.shape, kernels.shape[2:], *options)  # refuses what does not fit, under this name
    output = conv2d(rows, kernels, bias, *options, groups)
    return reshape(output, (*output.shape[:-2], output.shape[-1]))
