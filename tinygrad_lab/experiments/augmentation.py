"""Change a training batch's images at random: shifted by some pixels, mirrored. Knows arrays alone.

| name | what it does to each image |
|---|---|
| `shift:PIXELS` | moves it by -PIXELS..PIXELS in both directions, each equally likely; what comes in is 0 |
| `flip` | mirrors it left to right, with probability 1/2 |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["augmenter", "check"]

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
_ALLOWED = "shift:PIXELS, flip"


def _shift(images: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (2, 3))
    down, right = rng.integers(0, 2 * pixels + 1, (2, len(images)))
    return windows[np.arange(len(images)), :, down, right]


def _flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.random(len(images)) < 0.5
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def _pixels(name: str) -> int:
    """0 for "flip", the pixels of "shift:PIXELS"; ValueError for anything else."""
    kind, *parts = str(name).split(":")
    if kind == "flip" and not parts:
        return 0
    if kind == "shift" and len(parts) == 1 and parts[0].isdecimal() and int(parts[0]) > 0:
        return int(parts[0])
    raise ValueError(f"no augmentation is called {name!r}; there are {_ALLOWED} (PIXELS a positive integer)")


def check(names: Sequence[str]) -> None:
    """ValueError naming the first of `names` that does not exist, and what there is.

    >>> check(["shift:2", "rotate"])
    Traceback (most recent call last):
        ...
    ValueError: no augmentation is called 'rotate'; there are shift:PIXELS, flip (PIXELS a positive integer)
    """
    if isinstance(names, str):
        raise ValueError(f"augmentations are a sequence of names, got the string {names!r}")
    for name in names:
        _pixels(name)


def augmenter(names: Sequence[str], image_shape: Sequence[int]) -> Change:
    """A function (batch, generator) -> new batch that applies the named augmentations in their order.

    Args:
        names: "shift:PIXELS", "flip"; none gives the batch back as it is.
        image_shape: (channels, height, width).

    Returns:
        A function of a batch, (N, channels * height * width) or (N, channels, height, width), and a
        `numpy.random.Generator`. It returns an array of the batch's shape and dtype, never writes into the batch, and
        the same generator state gives the same bits.

    Raises:
        ValueError: an unknown name, an image shape that is none (features after hog or pca), a shift by more than the
            image's side; from the function, a batch of another shape.

    >>> shift = augmenter(["shift:1"], (1, 2, 2))
    >>> shift(np.ones((2, 4), np.float32), np.random.default_rng(0))
    array([[1., 1., 0., 0.],
           [0., 1., 0., 1.]], dtype=float32)
    """
    check(names)
    shape = tuple(image_shape)
    if not names:
        return lambda batch, rng: batch
    if len(shape) != 3:
        raise ValueError(
            f"{names[0]} needs images (channels, height, width), and the features have the shape {shape}: "
            "augment only pixels, not what hog or pca make of them"
        )
    steps = [_pixels(name) for name in names]
    if max(steps) >= min(shape[1:]):
        raise ValueError(f"shift:{max(steps)} would push images of {shape[1]} x {shape[2]} pixels out of sight")

    def change(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if batch.shape[1:] not in (shape, (math.prod(shape),)):
            raise ValueError(
                f"augmentation is for images {shape}, flattened or not, got a batch of shape {batch.shape}"
            )
        images = batch.reshape(len(batch), *shape)
        for pixels in steps:
            images = _shift(images, pixels, rng) if pixels else _flip(images, rng)
        return images.reshape(batch.shape)

    return change
