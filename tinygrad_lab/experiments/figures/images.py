"""Images: misclassified examples with their probabilities, and weights seen as images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lab.experiments.figures.style import MUTED, drawn, finish, new_figure, plain

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


def _tiles(count: int, columns: int, title: str, size: float, heading: float) -> tuple[Any, list[Any]]:
    """A figure of `count` square tiles without ticks, each `size` inches wide with `heading` inches above it."""
    rows = math.ceil(count / columns)
    width = max(columns * size, 6.5)
    figure = new_figure(width + 0.3, rows * (size + heading) + 0.8)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, rect=(0.012, 0.015, 0.976, 0.97))
    figure.suptitle(plain(title, 90), fontsize=18, x=0.02, ha="left")
    tiles = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in tiles:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure, tiles


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
    figure, tiles = _tiles(max(1, len(shown)), min(6, max(1, len(shown))), title, 1.9, 0.72)
    for axes, i in zip(tiles, shown, strict=False):
        image = np.clip(pixels[i], 0, 1)
        axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
        names = plain(classes[true[i]], 11), plain(classes[predicted[i]], 11)
        between = " → " if len(names[0] + names[1]) < 10 else " →\n"
        axes.set_title(f"{names[0]}{between}{names[1]}", fontsize=15, pad=5)
        axes.set_xlabel(f"{score} = {probabilities[i]:.3f}", fontsize=13, labelpad=4)
    if not len(shown):
        tiles[0].text(0.5, 0.5, "none", ha="center", va="center", color=MUTED, fontsize=18)
    return finish(figure, path)


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
    columns, size, heading = (5, 2.2, 0.42) if few else (12, 1.15, 0.32)
    figure, tiles = _tiles(len(shown), min(columns, len(shown)), title, size, heading)
    for axes, i in zip(tiles, shown, strict=False):
        if pixels.shape[3] == 3:
            image = axes.imshow(np.clip(0.5 + pixels[i] / (2 * limit), 0, 1), interpolation="nearest")
        else:
            image = axes.imshow(pixels[i, ..., 0], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(plain(names[i], 14) if names is not None else str(i), fontsize=16 if few else 12, pad=4)
    if pixels.shape[3] == 1:
        bar = figure.colorbar(image, ax=tiles, shrink=0.8, pad=0.02, aspect=30, ticks=[-limit, 0, limit])
        bar.ax.set_yticklabels([f"{-limit:.2g}", "0", f"{limit:.2g}"])
        bar.outline.set_visible(False)
    return finish(figure, path)
