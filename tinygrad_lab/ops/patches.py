"""The patches of images as columns (`unfold`, im2col), and columns added back to images (`fold`, col2im).

The two primitives are each other's adjoints: reading the pixel under every position of every window, and adding to it.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import reshape
from tinygrad_lab.ops.windows import as_images, pair, windows
from tinygrad_lab.ops.windows import fold as add_columns
from tinygrad_lab.ops.windows import unfold as read_columns

__all__ = ["fold", "patches", "spread_patches", "unfold"]


def _windows(name, image, kernel_size, dilation, padding, stride):
    """The windows of an image (height, width)."""
    kernel, dilation, stride = (
        pair(name, argument, value)
        for argument, value in (("kernel_size", kernel_size), ("dilation", dilation), ("stride", stride))
    )
    sides = tuple((width, width) for width in pair(name, "padding", padding))
    return windows(name, tuple(image), kernel, stride, sides, dilation)


@op(
    {
        "input": lambda g, input_shape, kernel_size, dilation, padding, stride: spread_patches(
            g, input_shape, kernel_size, dilation, padding, stride
        )
    },
    formula=r"y_{ijpq} = a_{sp+di-r,\,sq+dj-r}",
    vjp_formula={"input": r"\bar a_{sp+di-r,\,sq+dj-r} \mathrel{+}= \bar y_{ijpq}"},
    samples=[Sample(normal(2, 2, 4, 5), 2), Sample(normal(1, 1, 5, 6), (3, 2), 2, 1, 2)],
    faces="",
)
def patches(input, kernel_size, dilation=1, padding=0, stride=1):
    """The pixels under every window: (N, C, H, W) -> (N, C, kH, kW, H', W'), 0 in the padding."""
    return read_columns(input, _windows("unfold", input.shape[2:], kernel_size, dilation, padding, stride))


@op(
    {
        "grad": lambda g, kernel_size, dilation, padding, stride: patches(g, kernel_size, dilation, padding, stride),
    },
    formula=r"y_{sp+di-r,\,sq+dj-r} \mathrel{+}= a_{ijpq}",
    vjp_formula={"grad": r"\bar a_{ijpq} = \bar y_{sp+di-r,\,sq+dj-r}"},
    samples=[
        Sample(normal(2, 2, 2, 2, 3, 4), (2, 2, 4, 5), 2),
        Sample(normal(1, 1, 3, 2, 2, 3), (1, 1, 5, 6), (3, 2), 2, 1, 2),
    ],
    faces="",
)
def spread_patches(grad, shape, kernel_size, dilation=1, padding=0, stride=1):
    """Images of `shape` (N, C, H, W) with every patch added where it came from: the adjoint of `patches`."""
    w = _windows("fold", shape[2:], kernel_size, dilation, padding, stride)
    return add_columns(grad, w, np.zeros(shape, grad.dtype))


@composition(
    formula=r"y_{ijpq} = a_{sp+di-r,\,sq+dj-r}",
    samples=[
        Sample(normal(2, 3, 4, 5), 2),
        Sample(normal(2, 5, 6), (2, 3), 2, (1, 0), (2, 1)),
        Sample(normal(0, 2, 4, 4), 3, padding=1),
    ],
    faces="functional",
)
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The patches of images as columns, im2col: (N, C, H, W) -> (N, C kH kW, L), or (C, H, W) -> (C kH kW, L).

    L = H' W' windows, H' = (H + 2 padding - dilation (kH - 1) - 1) // stride + 1; overlapping windows repeat pixels.
    The options are ints or pairs (height, width).

    RuntimeError for other shapes, or if no window fits.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html

    >>> F.unfold(torch.arange(6.0).reshape(1, 2, 3), 2)
    tensor([[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]])
    """
    columns = patches(as_images("unfold", input), kernel_size, dilation, padding, stride)
    n, channels, rows, width, down, right = columns.shape
    return reshape(columns, (*(n,) * (input.ndim == 4), channels * rows * width, down * right))


@composition(
    formula=r"y_{sp+di-r,\,sq+dj-r} \mathrel{+}= a_{ijpq}",
    samples=[
        Sample(normal(2, 12, 12), (4, 5), 2),
        Sample(normal(12, 6), (5, 6), (2, 3), 2, (1, 0), (2, 1)),
    ],
    faces="functional",
)
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns added back to images, col2im, the adjoint of `unfold`: (N, C kH kW, L) -> (N, C, *output_size).

    Where windows overlap, what they hold is summed. (C kH kW, L) gives one image, (C, *output_size).

    RuntimeError if the sizes are not those that `unfold` makes of such images.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html

    >>> F.fold(torch.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    image, kernel = pair("fold", "output_size", output_size), pair("fold", "kernel_size", kernel_size)
    w = _windows("fold", image, kernel, dilation, padding, stride)
    if input.ndim not in (2, 3):
        raise RuntimeError(f"fold: expected (C kH kW, L) or a batch (N, C kH kW, L) of such, got {tuple(input.shape)}")
    *batch, size, count = input.shape
    if size % math.prod(kernel) or count != math.prod(w.output):
        raise RuntimeError(
            f"fold: expected {tuple(input.shape)} to end with (C kH kW, L), a multiple of kernel_size {kernel} and "
            f"{w.output[0]} * {w.output[1]} = {math.prod(w.output)} windows that fit into output_size {image}"
        )
    n, channels = math.prod(batch), size // math.prod(kernel)
    columns = reshape(input, (n, channels, *kernel, *w.output))
    images = spread_patches(columns, (n, channels, *image), kernel, dilation, padding, stride)
    return reshape(images, (*batch, channels, *image))
