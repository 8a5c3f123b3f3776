"""Images: misclassified examples with their probabilities, and weights seen as images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lab.experiments.figures.style import MUTED, drawn, finish, plain

__all__ = ["plot_misclassified", "plot_weights"]


def _pixels(images: Any, what: str) -> np.ndarray:
    """Float64 (N, height, width, channels) of (N, height, width) or (N, channels, height, width), 1 or 3 channels."""
    array = np.asarray(images, dtype=np.float64)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(
            f"{what} must have shape (N, height, width) or (N, channels, height, width) with 1 or 3 channels, got "
            f"{np.shape(images)}"
        )
    return array.transpose(0, 2, 3, 1)


class _Tiles:
    """A figure of `count` square tiles in one Axes, each `side` inches wide, with room for text above and below it.

    One Axes, as laying out sixty of them takes seconds. Its unit is the inch, and y goes down.
    """

    def __init__(self, count: int, columns: int, title: str, side: float, above: float, below: float, beside: float):
        from matplotlib.figure import Figure

        columns = min(columns, count)
        rows, gap, edge, head = math.ceil(count / columns), 0.14, 0.2, 0.62
        least = 0.3 + 0.125 * len(plain(title, 90))  # so that the title fits
        width = max(columns * (side + gap) - gap + beside, least) + 2 * edge
        height = rows * (side + above + below) + head + edge
        self.columns, self.side, self.above = columns, side, above
        self.pitch = (side + gap, side + above + below)
        self.figure = Figure(figsize=(width, height))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.left, self.top = edge, head
        self.right = edge + columns * (side + gap)
        self.limits = ((0.0, width), (height, 0.0))
        self.axes.set(xlim=self.limits[0], ylim=self.limits[1])
        self.axes.text(edge, head / 2, plain(title, 90), fontsize=18, va="center")

    def show(self, index: int, image: np.ndarray, heading: str, size: float, foot: str = "", **options: Any) -> Any:
        """Draw the image of one tile, with text above and below."""
        row, column = divmod(index, self.columns)
        x, y = self.left + column * self.pitch[0], self.top + row * self.pitch[1] + self.above
        extent = (x, x + self.side, y + self.side, y)
        shown = self.axes.imshow(image, extent=extent, interpolation="nearest", **options)
        self.axes.text(x + self.side / 2, y - 0.05, heading, ha="center", va="bottom", fontsize=size, linespacing=1.05)
        if foot:
            self.axes.text(x + self.side / 2, y + self.side + 0.05, foot, ha="center", va="top", fontsize=13)
        self.axes.set(xlim=self.limits[0], ylim=self.limits[1], aspect="auto")  # which imshow changes
        return shown

    def bar(self, image: Any, limit: float) -> None:
        """A colour bar of -limit to limit to the right of the tiles."""
        (_, width), (height, _) = self.limits
        place = (self.right / width, 0.3 / height, 0.2 / width, (height - self.top - 0.6) / height)
        bar = self.figure.colorbar(image, cax=self.figure.add_axes(place), ticks=[-limit, 0, limit])
        bar.ax.set_yticklabels([f"{-limit:.2g}", "0", f"{limit:.2g}"])
        bar.outline.set_visible(False)


@drawn
def plot_misclassified(
    images: Any,
    true: Any,
    predicted: Any,
    probabilities: Any,
    classes: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    *,
    count: int = 18,
    total: int | None = None,
    score: str = "p",
) -> Any:
    """Misclassified images, the most confident mistakes first, each with its class, the prediction and its probability.

    Args:
        images: (N, height, width) or (N, channels, height, width), 1 or 3 channels, values in [0, 1].
        true, predicted: labels of shape (N,); rows on which they agree are left out.
        probabilities: of the prediction, (N,).
        classes: names of the labels.
        path: of a .png or .svg.
        count: how many to show at most.
        total: how many images were looked at, for the title; by default N.
        score: what the probabilities are called, if they are none.

    Returns:
        The matplotlib Figure, or the Path if one is given. Without mistakes it says that there are none.

    Raises:
        ValueError: shapes that do not fit.
    """
    pixels = _pixels(images, "images")
    true, predicted, probabilities = np.asarray(true), np.asarray(predicted), np.asarray(probabilities)
    if not len(pixels) == len(true) == len(predicted) == len(probabilities):
        raise ValueError(
            f"images, true, predicted and probabilities must have one length, got {len(pixels)}, {len(true)}, "
            f"{len(predicted)} and {len(probabilities)}"
        )
    wrong = np.flatnonzero(true != predicted)
    shown = wrong[np.argsort(-probabilities[wrong], kind="stable")][:count]
    title = f"{len(wrong):,} of {total or len(true):,} images misclassified"
    if 1 < len(shown) < len(wrong):
        title += f"; the {len(shown)} most confident"
    tiles = _Tiles(max(1, len(shown)), 6, title, 1.9, 0.58, 0.36, 0)
    for place, i in enumerate(shown):
        image = np.clip(pixels[i], 0, 1)
        names = plain(classes[true[i]], 11), plain(classes[predicted[i]], 11)
        between = " → " if len(names[0] + names[1]) < 10 else " →\n"
        heading, foot = f"{names[0]}{between}{names[1]}", f"{score} = {probabilities[i]:.3f}"
        image = image if image.shape[2] == 3 else image[..., 0]
        tiles.show(place, image, heading, 15, foot, cmap="gray", vmin=0, vmax=1)
    if not len(shown):
        tiles.axes.text(0.5, 0.5, "none", transform=tiles.axes.transAxes, ha="center", color=MUTED, fontsize=18)
    return finish(tiles.figure, path)


@drawn
def plot_weights(
    weights: Any,
    names: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    count: int = 48,
) -> Any:
    """Weights as images: the template of each class of a linear model, or what the units of a first layer look for.

    One scale for all, symmetric around 0, ends at the 99.5th percentile of the absolute values. One channel: red adds
    to the score where the image is bright, blue takes away. Three channels: the colour itself, grey at 0.

    Args:
        weights: (N, height, width) or (N, channels, height, width), 1 or 3 channels.
        names: of the N images; without them the `count` of largest norm are shown, with their numbers.
        path: of a .png or .svg.
        title: what is shown.
        count: how many to show at most.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: shapes that do not fit.
    """
    pixels = _pixels(weights, "weights")
    if not len(pixels) or (names is not None and len(names) != len(pixels)):
        raise ValueError(f"weights must be at least one, and have as many names, got {len(pixels)} of them")
    norms = np.sqrt((pixels**2).sum(axis=(1, 2, 3)))
    shown = np.arange(len(pixels))[:count] if names is not None else np.argsort(-norms, kind="stable")[:count]
    limit = float(np.percentile(np.abs(pixels[shown]), 99.5)) or 1.0
    few = len(shown) <= 12
    grey = pixels.shape[3] == 1
    tiles = _Tiles(len(shown), 5 if few else 12, title, 2.1 if few else 1.1, 0.42 if few else 0.3, 0, 1.1 * grey)
    for place, i in enumerate(shown):
        image = pixels[i, ..., 0] if grey else np.clip(0.5 + pixels[i] / (2 * limit), 0, 1)
        heading = plain(names[i], 14) if names is not None else str(i)
        drawn_image = tiles.show(place, image, heading, 16 if few else 12, cmap="RdBu_r", vmin=-limit, vmax=limit)
    if grey:
        tiles.bar(drawn_image, limit)
    return finish(tiles.figure, path)
