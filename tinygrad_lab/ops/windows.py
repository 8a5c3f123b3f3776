"""The geometry of windows that slide over images: what convolution and pooling share. Knows NumPy only, and no op.

A window of kernel size k, dilation d and stride s meets, at output position o and offset i within the kernel, input
position o*s + i*d - padding. So for one offset (i, j) of the kernel all windows together meet a strided slice of the
image, and convolution and pooling are loops over the offsets, a few NumPy calls each. `offsets` lists those slices,
with the positions that lie in the padding left out: no padded copy of the image is ever made.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Windows", "as_images", "fold", "pair", "unfold", "windows"]


def pair(name, argument, value):
    """An int or a pair of ints, as a pair. TypeError or RuntimeError for anything else."""
    values = (
        (value, value)
        if isinstance(value, (int, np.integer))
        else tuple(value)
        if isinstance(value, (tuple, list))
        else ()
    )
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) for v in values):
        raise TypeError(f"{name}: argument '{argument}' must be an int or a pair of ints, got {value!r}")
    return int(values[0]), int(values[1])


@dataclass(frozen=True)
class Windows:
    """All positions of a window on an image: sizes are (height, width)."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    output: tuple[int, int]
    offsets: tuple[tuple[int, int, tuple[slice, slice], tuple[slice, slice]], ...]  # i, j, output part, image part

    @property
    def identity(self) -> bool:
        """Whether the windows are the pixels themselves: a 1 x 1 kernel without stride or padding."""
        everything = tuple(slice(0, size, 1) for size in self.image)
        return self.kernel == (1, 1) and self.output == self.image and self.offsets[0][3] == everything


@functools.lru_cache(maxsize=256)
def windows(name, image, kernel, stride, padding, dilation=(1, 1), ceil_mode=False):
    """The windows of an image (height, width) padded by ((top, bottom), (left, right)). RuntimeError if none fits."""
    for argument, values, least in (("kernel_size", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1)):
        if min(values) < least:
            raise RuntimeError(f"{name}: {argument} must be at least {least}, got {values}")
    if min(min(sides) for sides in padding) < 0:
        raise RuntimeError(f"{name}: negative padding is not supported, got {padding}")
    output, ranges = [], []
    for size, k, s, (before, after), d in zip(image, kernel, stride, padding, dilation, strict=True):
        room = size + before + after - (d * (k - 1) + 1)
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if (
            ceil_mode and (count - 1) * s >= size + before
        ):  # a last window must start inside the image or its left padding
            count -= 1
        if count < 1:
            raise RuntimeError(
                f"{name}: the kernel is larger than the image: kernel size {kernel} with dilation {dilation} on an "
                f"image of {image} with padding {padding[0][0], padding[1][0]}; calculated output size is too small"
            )
        along = []
        for i in range(k):
            shift = i * d - before
            first = max(0, -(shift // s))  # the first output position whose pixel exists
            last = min(count - 1, (size - 1 - shift) // s)
            start = first * s + shift
            along.append((slice(first, max(last + 1, first)), slice(start, max(last * s + shift + 1, start), s)))
        output.append(count)
        ranges.append(along)
    offsets = tuple(
        (i, j, (rows_out, columns_out), (rows_in, columns_in))
        for i, (rows_out, rows_in) in enumerate(ranges[0])
        for j, (columns_out, columns_in) in enumerate(ranges[1])
    )
    return Windows(image, kernel, (output[0], output[1]), offsets)


def as_images(name, input):
    """(N, C, H, W) as it is, (C, H, W) with a batch of one. RuntimeError for other shapes."""
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"{name}: expected a 3D (unbatched) or 4D (batched) input, (C, H, W) or (N, C, H, W), got {input.shape}"
        )
    return input if input.ndim == 4 else input[None]


def unfold(images, w, out=None):
    """The pixels under every window as columns: (N, C, H, W) -> (N, C, kernel rows, kernel columns, *output).

    `out` is an earlier result for images of the same size: its zeros, where windows lie in the padding, still stand.
    """
    n, channels = images.shape[:2]
    if out is None:
        out = np.zeros((n, channels, *w.kernel, *w.output), images.dtype)
    for i, j, (rows_out, columns_out), (rows, columns) in w.offsets:
        out[:n, :, i, j, rows_out, columns_out] = images[:, :, rows, columns]
    return out[:n]


def fold(columns, w, out):
    """Add columns back to the pixels they came from, into `out` (N, C, H, W): the adjoint of `unfold`."""
    for i, j, (rows_out, columns_out), (rows, cols) in w.offsets:
        out[:, :, rows, cols] += columns[:, :, i, j, rows_out, columns_out]
    return out


def samples_at_once(w, channels, itemsize, budget=2 << 20):
    """How many images to unfold together: their columns should stay in the processor's cache (measured: 2 MB)."""
    return max(1, budget // max(1, channels * math.prod(w.kernel) * math.prod(w.output) * itemsize))
