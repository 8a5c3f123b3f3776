"""Handwriting of one's own: digits drawn with Pillow as a hand might, as a test set for models of MNIST.

What this file lets you do: draw a digit to a file. It knows no model. Needs Pillow (the `lab` extra).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["STYLES", "draw_digit"]

# Strokes as points in a box from (0, 0), top left, to (1, 1); a curve goes through them smoothly.
_STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5, 0.0), (0.12, 0.22), (0.08, 0.7), (0.45, 1.0), (0.88, 0.75), (0.88, 0.25), (0.5, 0.0)]],
    1: [[(0.55, 0.0), (0.52, 0.5), (0.48, 1.0)]],
    2: [[(0.1, 0.25), (0.45, 0.0), (0.85, 0.22), (0.6, 0.6), (0.1, 0.97)], [(0.1, 0.97), (0.5, 0.96), (0.95, 0.95)]],
    3: [[(0.15, 0.1), (0.6, 0.0), (0.8, 0.22), (0.4, 0.47)], [(0.4, 0.47), (0.9, 0.65), (0.7, 0.97), (0.1, 0.92)]],
    4: [
        [(0.3, 0.0), (0.2, 0.3), (0.1, 0.58)],
        [(0.1, 0.58), (0.5, 0.56), (0.95, 0.55)],
        [(0.75, 0.1), (0.7, 0.55), (0.66, 1.0)],
    ],
    5: [
        [(0.9, 0.0), (0.5, 0.02), (0.2, 0.03)],
        [(0.2, 0.03), (0.17, 0.25), (0.15, 0.45)],
        [(0.15, 0.45), (0.65, 0.4), (0.9, 0.7), (0.55, 1.0), (0.1, 0.92)],
    ],
    6: [[(0.7, 0.0), (0.3, 0.35), (0.15, 0.75), (0.5, 1.0), (0.85, 0.78), (0.55, 0.55), (0.18, 0.72)]],
    7: [[(0.1, 0.05), (0.5, 0.04), (0.9, 0.03)], [(0.9, 0.03), (0.6, 0.5), (0.4, 1.0)]],
    8: [
        [
            (0.5, 0.48),
            (0.18, 0.25),
            (0.5, 0.0),
            (0.82, 0.22),
            (0.5, 0.48),
            (0.12, 0.78),
            (0.5, 1.0),
            (0.88, 0.78),
            (0.5, 0.48),
        ]
    ],
    9: [[(0.85, 0.25), (0.5, 0.0), (0.15, 0.25), (0.45, 0.5), (0.85, 0.25)], [(0.85, 0.25), (0.8, 0.6), (0.65, 1.0)]],
}

# name: (background, ink, width of the pen as a share of the digit's height, side of the image)
STYLES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], float, int]] = {
    "pencil": ((250, 250, 245), (70, 70, 75), 0.06, 200),
    "felt": ((255, 255, 255), (10, 10, 10), 0.14, 280),
    "chalk": ((25, 50, 40), (235, 240, 235), 0.11, 320),
    "ink": ((245, 235, 205), (30, 40, 150), 0.09, 240),
}


def draw_digit(digit: int, style: str, path: Path, seed: int = 0) -> Path:
    """Draw a digit to an image file: slanted, stretched and placed at random, by a hand that is not quite steady.

    Args:
        digit: 0..9.
        style: of `STYLES`: dark on light, light on dark, in colour; thin or thick.
        path: of the file to write.
        seed: of the hand.
    """
    from PIL import Image, ImageDraw

    background, ink, width, side = STYLES[style]
    rng = np.random.default_rng([seed, digit])
    image = Image.new("RGB", (side, side), background)
    pen = ImageDraw.Draw(image)
    height = side * rng.uniform(0.45, 0.65)
    across = height * rng.uniform(0.55, 0.75)
    slant, turn = rng.uniform(-0.05, 0.3), rng.uniform(-0.12, 0.12)
    corner = np.array([rng.uniform(0.12, 0.28), rng.uniform(0.12, 0.28)]) * side
    radius = max(1.0, width * height / 2)
    for points in _STROKES[digit]:
        path_points = _smooth(np.array(points) + rng.normal(0, 0.015, (len(points), 2)))
        x, y = path_points.T
        x = x + slant * (0.5 - y)
        x, y = (x - 0.5) * across / height, y - 0.5
        x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
        for px, py in np.stack([x + 0.4, y + 0.5], 1) * height + corner:
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=ink)
    image.save(path)
    return path


def _smooth(points: np.ndarray) -> np.ndarray:
    """Many points on a curve through the given ones (E. Catmull, R. Rom, 1974)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, 40)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.concatenate(parts)
