"""Histograms of oriented gradients of many images at once: where edges are in an image, and how they are directed.

The same numbers as scikit-image's `hog` (which is asked in the tests), many images at a time. Knows arrays alone.
"""

from __future__ import annotations

import numpy as np

__all__ = ["hog"]

_CHUNK = 256  # images at a time: what is computed for their pixels stays small


def hog(images: np.ndarray, cell: int = 4, block: int = 2, orientations: int = 9) -> np.ndarray:
    """Features of N. Dalal and B. Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005.

    Gradients are central differences, 0 in the border; of a colour image, those of the channel with the largest one. In
    each cell of cell x cell pixels their lengths are summed by direction (0 to 180 degrees, in `orientations` bins).
    Each block of block x block cells, one at every cell, is divided by its length, cut off at 0.2, and divided again
    (L2-Hys, with 1e-5 added to the length).

    Args:
        images: (N, channels, height, width), floating.

    Returns:
        float32 (N, block rows * block columns * block * block * orientations).

    >>> hog(np.zeros((5, 3, 32, 32), np.float32)).shape
    (5, 1764)
    """
    parts = [_hog(images[i : i + _CHUNK], cell, block, orientations) for i in range(0, len(images), _CHUNK)]
    return np.concatenate(parts) if parts else _hog(images, cell, block, orientations)


def _hog(images: np.ndarray, cell: int, block: int, orientations: int) -> np.ndarray:
    down, right = np.zeros_like(images), np.zeros_like(images)
    np.subtract(images[:, :, 2:], images[:, :, :-2], out=down[:, :, 1:-1])
    np.subtract(images[..., 2:], images[..., :-2], out=right[..., 1:-1])
    length = np.hypot(right, down)
    strongest = length.argmax(1, keepdims=True)
    down, right, length = (np.take_along_axis(part, strongest, 1)[:, 0] for part in (down, right, length))
    direction = np.rad2deg(np.arctan2(down, right)) % 180
    # Rounding can give 180 itself; as in scikit-image, that is no direction: it goes to a bin that is dropped.
    bins = (direction / (180 / orientations)).astype(np.int64)
    rows, columns = images.shape[2] // cell, images.shape[3] // cell
    area = (slice(None), slice(rows * cell), slice(columns * cell))
    image, row, column = np.ogrid[: len(images), : rows * cell, : columns * cell]
    place = ((image * rows + row // cell) * columns + column // cell) * (orientations + 1) + bins[area]
    total = len(images) * rows * columns * (orientations + 1)
    cells = np.bincount(place.ravel(), length[area].ravel(), total).astype(np.float32) / cell**2
    cells = cells.reshape(len(images), rows, columns, orientations + 1)[..., :orientations]
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (block, block), (1, 2))
    blocks = _normalised(blocks.transpose(0, 1, 2, 4, 5, 3).reshape(len(images), -1, block * block * orientations))
    return _normalised(np.minimum(blocks, 0.2)).reshape(len(images), blocks.shape[1] * blocks.shape[2])


def _normalised(blocks: np.ndarray) -> np.ndarray:
    return blocks / np.sqrt((blocks * blocks).sum(2, keepdims=True) + np.float32(1e-5) ** 2)
