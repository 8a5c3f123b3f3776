"""Pooling: the largest or the average pixel under each window of an image.

Each pooling op is a loop over the few offsets within its window, on strided slices of the whole batch (`windows`), and
has its adjoint beside it as an op: `max_at` and `place_max`, `window_sum` and `window_spread` are each other's rules.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.conv import single
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.linalg import matmul
from tinygrad_lab.ops.reduce import mean
from tinygrad_lab.ops.samples import Sample, distinct, integers, normal
from tinygrad_lab.ops.shape import reshape
from tinygrad_lab.ops.windows import as_images, pair, windows

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]


def _windows(name, shape, kernel_size, stride, padding, dilation, ceil_mode):
    kernel = pair(name, "kernel_size", kernel_size)
    padding = pair(name, "padding", padding)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            f"{name}: pad should be at most half of the kernel size, got padding {padding} for kernel {kernel}"
        )
    stride = kernel if stride is None else pair(name, "stride", stride)
    sides = tuple((p, p) for p in padding)
    return windows(name, tuple(shape[-2:]), kernel, stride, sides, pair(name, "dilation", dilation), bool(ceil_mode))


# The largest pixel. `which` holds, for each window, the number of the offset where its maximum stood.


@op(
    {
        "input": lambda g, input_shape, which, kernel_size, stride, padding, dilation, ceil_mode: place_max(
            g, which, input_shape, kernel_size, stride, padding, dilation, ceil_mode
        )
    },
    formula=r"y_{pq} = \max_{ij} a_{sp+di-r,\,sq+dj-r}",
    vjp_formula={
        "input": r"\bar a_{sp+di^*-r,\,sq+dj^*-r} \mathrel{+}= \bar y_{pq},\;"
        r" (i^*, j^*) = \arg\max_{ij} a_{sp+di-r,\,sq+dj-r}"
    },
    samples=[
        Sample(distinct(2, 2, 4, 6), 2),
        Sample(distinct(2, 1, 5, 5), 3, 2, 1),
        Sample(distinct(2, 5, 6), (2, 3), (1, 2), (1, 0), 1, True),
        Sample(distinct(1, 1, 6, 6), 2, 1, 0, 2),
        Sample(distinct(0, 2, 4, 4), 2),
    ],
    residuals={"which": None},
    faces="torch functional",
)
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest pixel under each window of images (N, C, H, W) or (C, H, W). Of equals the first gets the gradient.

    kernel_size, stride (default: kernel_size), padding (at most half the kernel), dilation: ints or pairs
    ceil_mode   windows that reach over the end count too

    RuntimeError if sizes do not fit; NotImplementedError for return_indices.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    >>> F.max_pool2d(torch.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    if return_indices:
        raise NotImplementedError(
            "max_pool2d: return_indices=True is not available; there is no max_unpool2d to use them"
        )
    images = as_images("max_pool2d", input)
    w = _windows("max_pool2d", input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (*images.shape[:2], *w.output)
    lowest = -np.inf if input.dtype.kind == "f" else np.iinfo(input.dtype).min
    largest = np.full(shape, lowest, input.dtype)
    which = np.zeros(shape, np.uint8 if math.prod(w.kernel) <= 256 else np.int32)
    for number, (_, _, (rows_out, columns_out), (rows, columns)) in enumerate(w.offsets):
        pixels = np.ascontiguousarray(images[:, :, rows, columns])  # two passes follow, which are faster so
        best, where = largest[:, :, rows_out, columns_out], which[:, :, rows_out, columns_out]
        if (
            number
        ):  # numbers grow, so the largest is the last: copying under a random mask would take five times as long
            np.maximum(where, np.multiply(pixels > best, number, dtype=which.dtype), out=where)
        np.maximum(best, pixels, out=best)
    made = (*input.shape[:-2], *w.output)
    return largest.reshape(made), which.reshape(made)


@op(
    {
        "grad": lambda g, which, kernel_size, stride, padding, dilation, ceil_mode: max_at(
            g, which, kernel_size, stride, padding, dilation, ceil_mode
        )
    },
    formula=r"y_{sp+di^*-r,\,sq+dj^*-r} \mathrel{+}= a_{pq}",
    vjp_formula={"grad": r"\bar a_{pq} = \bar y_{sp+di^*-r,\,sq+dj^*-r}"},
    samples=[
        Sample(normal(2, 2, 2, 3), integers(2, 2, 2, 3, high=4), (2, 2, 4, 6), 2),
        Sample(normal(1, 2, 2), integers(1, 2, 2, high=9), (1, 5, 5), 3, 2),
    ],
    arrays="which",
    faces="",
)
def place_max(grad, which, shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """An image of `shape` with each window's `grad` added at the offset `which`: the adjoint of `max_at`."""
    w = _windows("max_pool2d", shape, kernel_size, stride, padding, dilation, ceil_mode)
    images = np.zeros(shape, grad.dtype)
    bits = grad.view(f"i{grad.itemsize}")
    for number, (_, _, (rows_out, columns_out), (rows, columns)) in enumerate(w.offsets):
        # The cotangent where the maximum stood here, else 0, by masking its bits: six times as fast as np.where under a
        # random mask, and unlike a product with 0 and 1 right for infinite cotangents.
        mask = np.multiply(which[..., rows_out, columns_out] == number, -1, dtype=bits.dtype)
        images[..., rows, columns] += (bits[..., rows_out, columns_out] & mask).view(grad.dtype)
    return images


@op(
    {
        "input": lambda g, input_shape, which, kernel_size, stride, padding, dilation, ceil_mode: place_max(
            g, which, input_shape, kernel_size, stride, padding, dilation, ceil_mode
        )
    },
    formula=r"y_{pq} = a_{sp+di^*-r,\,sq+dj^*-r}",
    vjp_formula={"input": r"\bar a_{sp+di^*-r,\,sq+dj^*-r} \mathrel{+}= \bar y_{pq}"},
    samples=[
        Sample(normal(2, 2, 4, 6), integers(2, 2, 2, 3, high=4), 2),
        Sample(normal(1, 5, 5), integers(1, 2, 2, high=9), 3, 2),
    ],
    arrays="which",
    faces="",
)
def max_at(input, which, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The pixel of each window at the offset `which`: what max_pool2d takes once the maxima are known."""
    w = _windows("max_pool2d", input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    output = np.zeros((*input.shape[:-2], *w.output), input.dtype)
    for number, (_, _, (rows_out, columns_out), (rows, columns)) in enumerate(w.offsets):
        here = which[..., rows_out, columns_out] == number
        np.copyto(output[..., rows_out, columns_out], input[..., rows, columns], where=here)
    return output


# Averages: a sum over each window, times one over how many pixels it counts


@op(
    {
        "input": lambda g, input_shape, kernel_size, stride, padding, ceil_mode: window_spread(
            g, input_shape, kernel_size, stride, padding, ceil_mode
        )
    },
    formula=r"y_{pq} = \textstyle\sum_{ij} a_{sp+i-r,\,sq+j-r}",
    vjp_formula={"input": r"\bar a_{sp+i-r,\,sq+j-r} \mathrel{+}= \bar y_{pq}"},
    samples=[Sample(normal(2, 2, 4, 6), 2), Sample(normal(1, 5, 6), (3, 2), (2, 1), (1, 1), True)],
    faces="",
)
def window_sum(input, kernel_size, stride=None, padding=0, ceil_mode=False):
    """The sum of the pixels under each window."""
    w = _windows("avg_pool2d", input.shape, kernel_size, stride, padding, 1, ceil_mode)
    output = np.zeros((*input.shape[:-2], *w.output), input.dtype)
    for _, _, (rows_out, columns_out), (rows, columns) in w.offsets:
        output[..., rows_out, columns_out] += input[..., rows, columns]
    return output


@op(
    {
        "grad": lambda g, kernel_size, stride, padding, ceil_mode: window_sum(
            g, kernel_size, stride, padding, ceil_mode
        ),
    },
    formula=r"y_{sp+i-r,\,sq+j-r} \mathrel{+}= a_{pq}",
    vjp_formula={"grad": r"\bar a_{pq} = \textstyle\sum_{ij} \bar y_{sp+i-r,\,sq+j-r}"},
    samples=[
        Sample(normal(2, 2, 2, 3), (2, 2, 4, 6), 2),
        Sample(normal(1, 3, 7), (1, 5, 6), (3, 2), (2, 1), (1, 1), True),
    ],
    faces="",
)
def window_spread(grad, shape, kernel_size, stride=None, padding=0, ceil_mode=False):
    """An image of `shape` with each window's `grad` added to all of its pixels: the adjoint of `window_sum`."""
    w = _windows("avg_pool2d", shape, kernel_size, stride, padding, 1, ceil_mode)
    images = np.zeros(shape, grad.dtype)
    for _, _, (rows_out, columns_out), (rows, columns) in w.offsets:
        images[..., rows, columns] += grad[..., rows_out, columns_out]
    return images


def _counted(size, count, kernel, stride, padding, include_padding):
    """How many pixels along one axis each of `count` windows counts."""
    start = np.arange(count) * stride - padding
    end = np.minimum(start + kernel, size + padding)
    return end - start if include_padding else np.minimum(end, size) - np.maximum(start, 0)


@composition(
    formula=r"y_{pq} = \tfrac{1}{k^2}\textstyle\sum_{ij} a_{sp+i-r,\,sq+j-r}",
    samples=[
        Sample(normal(2, 2, 4, 6), 2),
        Sample(normal(1, 2, 5, 5), 3, 2, 1),
        Sample(normal(2, 5, 6), (3, 2), (2, 1), (1, 0), ceil_mode=True, count_include_pad=False),
        Sample(normal(2, 5, 5), 2, 2, 1, True),
        Sample(normal(2, 4, 4), 2, divisor_override=3),
    ],
    faces="functional",
)
def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The average of the pixels under each window of images (N, C, H, W) or (C, H, W).

    kernel_size, stride (default: kernel_size), padding (at most half the kernel): ints or pairs
    ceil_mode            windows that reach over the end count too
    count_include_pad    padding counts as zeros; False: the average is over real pixels only
    divisor_override     divide by this number instead

    RuntimeError if sizes do not fit, also for divisor_override=0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    >>> F.avg_pool2d(torch.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5,  4.5],
             [10.5, 12.5]]])
    """
    if len(input.shape) not in (3, 4):
        raise RuntimeError(f"avg_pool2d: expected input of shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}")
    if divisor_override == 0:
        raise RuntimeError("avg_pool2d: divisor must be not zero, got divisor_override=0")
    if getattr(input, "array", input).dtype.kind != "f":
        input = input * 1.0  # an average of integers is a float
    sums = window_sum(input, kernel_size, stride, padding, ceil_mode)
    kernel, sides = pair("avg_pool2d", "kernel_size", kernel_size), pair("avg_pool2d", "padding", padding)
    if divisor_override is not None:
        return sums / divisor_override
    if not ceil_mode and (count_include_pad or sides == (0, 0)):  # all windows count alike
        return sums / math.prod(kernel)
    steps = kernel if stride is None else pair("avg_pool2d", "stride", stride)
    rows, columns = (
        _counted(input.shape[i - 2], sums.shape[i - 2], kernel[i], steps[i], sides[i], count_include_pad)
        for i in (0, 1)
    )
    return sums * (1 / np.multiply.outer(rows, columns)).astype(getattr(input, "array", input).dtype)


def _averaging(size, count):
    """The matrix (count, size) whose rows average `count` nearly equal, perhaps overlapping, stretches."""
    matrix = np.zeros((count, size))
    for i in range(count):
        start, end = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


@composition(
    formula=r"y_{pq} = \mathrm{mean}\{a_{ij} : \lfloor pH/H'\rfloor \le i < \lceil (p+1)H/H'\rceil, \dots\}",
    samples=[
        Sample(normal(2, 2, 5, 7), (2, 3)),
        Sample(normal(2, 2, 4, 6), 2),
        Sample(normal(2, 2, 4, 6), 1),
        Sample(normal(2, 4, 6), (None, 3)),
        Sample(normal(1, 2, 2), 3),
    ],
    faces="functional",
)
def adaptive_avg_pool2d(input, output_size):
    """Averages over nearly equal stretches, so many that images (N, C, H, W) or (C, H, W) get the size `output_size`.

    output_size   an int or a pair (height, width), where None keeps the size; 1 averages each channel

    RuntimeError for other shapes and negative sizes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    >>> F.adaptive_avg_pool2d(torch.arange(16.0).reshape(1, 4, 4), (1, 2))
    tensor([[[6.5, 8.5]]])
    """
    if len(input.shape) not in (3, 4):
        raise RuntimeError(
            f"adaptive_avg_pool2d: expected 3D or 4D input, (C, H, W) or (N, C, H, W), got {tuple(input.shape)}"
        )
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    height, width = pair(
        "adaptive_avg_pool2d",
        "output_size",
        tuple(size if new is None else new for size, new in zip(input.shape[-2:], wanted, strict=True)),
    )
    if min(height, width) < 0:
        raise RuntimeError(f"adaptive_avg_pool2d: elements of output_size must not be negative, got {output_size}")
    if (height, width) == (1, 1):
        return mean(input, (-2, -1), True)
    # Averaging stretches is linear along each axis: one small matrix from the left, one from the right.
    dtype = getattr(input, "array", input).dtype
    rows, columns = (
        _averaging(input.shape[-2], height).astype(dtype),
        _averaging(input.shape[-1], width).T.astype(dtype),
    )
    return matmul(matmul(rows, input), columns)


# One dimension: images of height 1


def _as_rows(name, input):
    if len(input.shape) not in (2, 3):
        raise RuntimeError(f"{name}: expected 2D or 3D input, (C, L) or (N, C, L), got {tuple(input.shape)}")
    return reshape(input, (*input.shape[:-1], 1, input.shape[-1]))


def _flat(output):
    return reshape(output, (*output.shape[:-2], output.shape[-1]))


def _along(name, kernel_size, stride, padding):
    kernel = single(name, "kernel_size", kernel_size)
    step = kernel if stride is None else single(name, "stride", stride)
    return (1, kernel), (1, step), (0, single(name, "padding", padding))


@composition(
    formula=r"y_{p} = \max_{i} a_{sp+di-r}",
    samples=[Sample(distinct(2, 2, 6), 2), Sample(distinct(2, 7), 3, 2, 1, ceil_mode=True)],
    faces="torch functional",
)
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element under each window of sequences (N, C, L) or (C, L). See `max_pool2d`.

    >>> F.max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    if return_indices:
        raise NotImplementedError(
            "max_pool1d: return_indices=True is not available; there is no max_unpool1d to use them"
        )
    along = _along("max_pool1d", kernel_size, stride, padding)
    return _flat(
        max_pool2d(_as_rows("max_pool1d", input), *along, (1, single("max_pool1d", "dilation", dilation)), ceil_mode)
    )


@composition(
    formula=r"y_{p} = \tfrac{1}{k}\textstyle\sum_{i} a_{sp+i-r}",
    samples=[Sample(normal(2, 2, 6), 2), Sample(normal(2, 7), 3, 2, 1, True, False)],
    faces="torch functional",
)
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The average under each window of sequences (N, C, L) or (C, L). See `avg_pool2d`.

    >>> F.avg_pool1d(torch.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[2. , 3.5]])
    """
    along = _along("avg_pool1d", kernel_size, stride, padding)
    return _flat(avg_pool2d(_as_rows("avg_pool1d", input), *along, ceil_mode, count_include_pad))


@composition(
    formula=r"y_{p} = \mathrm{mean}\,\{a_{i} : \lfloor \tfrac{pL}{L'}\rfloor \le i < \lceil \tfrac{(p+1)L}{L'}\rceil\}",
    samples=[Sample(normal(2, 2, 7), 3), Sample(normal(2, 5), 1)],
    faces="torch functional",
)
def adaptive_avg_pool1d(input, output_size):
    """Averages over `output_size` nearly equal stretches of sequences (N, C, L) or (C, L). See `adaptive_avg_pool2d`.

    >>> F.adaptive_avg_pool1d(torch.tensor([[1.0, 3.0, 2.0, 6.0]]), 2)
    tensor([[2., 4.]])
    """
    size = single("adaptive_avg_pool1d", "output_size", output_size)
    return _flat(adaptive_avg_pool2d(_as_rows("adaptive_avg_pool1d", input), (1, size)))
