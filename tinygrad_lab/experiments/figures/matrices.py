"""Tables as colours with the numbers in their cells: grids of two swept values, confusion matrices."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.experiments.figures.style import INK, MUTED, drawn, finish, finite, new_figure, number, plain, text_on

__all__ = ["plot_confusion", "plot_grid"]


def _cells(axes: Any, values: np.ndarray, texts: Callable[[int, int], str], norm: Any, size: float) -> Any:
    """Colour each cell and write in it, in the colour that contrasts with the cell's. The drawn image."""
    from matplotlib import colormaps

    shades = colormaps["YlGnBu"].with_extremes(bad="#e8e8e8")
    image = axes.imshow(np.ma.masked_invalid(values), cmap=shades, norm=norm, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        colour = shades(norm(value)) if math.isfinite(value) else "#e8e8e8"
        axes.text(column, row, texts(row, column), ha="center", va="center", fontsize=size, color=text_on(colour))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image


@drawn
def plot_grid(
    names: tuple[str, str],
    rows: Sequence[Any],
    columns: Sequence[Any],
    values: Sequence[Sequence[float | None]] | np.ndarray,
    path: str | os.PathLike[str] | None = None,
    *,
    measure: str = "validation accuracy",
) -> Any:
    """A grid of two swept values as a heat map: the measure in every cell, the best one framed.

    Args:
        names: of the fields swept along the rows and along the columns.
        rows, columns: what they were set to.
        values: (rows, columns); None or NaN, shown as "failed", where a run did.
        path: of a .png or .svg.
        measure: what was measured; more is better.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: values have another shape than rows and columns.
    """
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    table = np.array([finite(row) for row in values], dtype=float)
    if table.shape != (len(rows), len(columns)) or not table.size:
        raise ValueError(
            f"values must have {len(rows)} rows and {len(columns)} columns, as {plain(names[0])} and "
            f"{plain(names[1])} have values, got shape {table.shape}"
        )
    figure = new_figure(max(7.5, min(16, 3.6 + 1.25 * len(columns))), max(4.6, min(12, 2.2 + 0.75 * len(rows))))
    axes = figure.subplots()
    known = table[np.isfinite(table)]
    norm = Normalize(known.min(), known.max() if np.ptp(known) else known.min() + 1) if len(known) else Normalize(0, 1)

    def text(row: int, column: int) -> str:
        value = table[row, column]
        return f"{value:.4f}" if math.isfinite(value) else "failed"

    image = _cells(axes, table, text, norm, 18 if len(columns) <= 7 else 13)
    if len(known):
        best = np.unravel_index(np.nanargmax(table), table.shape)
        frame = (float(best[1]) - 0.46, float(best[0]) - 0.45)
        axes.add_patch(Rectangle(frame, 0.92, 0.9, fill=False, edgecolor="#d55e00", linewidth=4))
        axes.set_title(f"{plain(measure).capitalize()}: best {table[best]:.4f} (framed)", loc="left")
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
        bar.outline.set_visible(False)
    axes.set_xticks(range(len(columns)), [plain(number(value), 18) for value in columns])
    axes.set_yticks(range(len(rows)), [plain(number(value), 18) for value in rows])
    axes.set_xlabel(plain(names[1]))
    axes.set_ylabel(plain(names[0]))
    return finish(figure, path)


@drawn
def plot_confusion(
    counts: Any, classes: Sequence[str], path: str | os.PathLike[str] | None = None, *, normalise: bool = False
) -> Any:
    """A confusion matrix: which class (row) was taken for which (column), as counts or as shares of each row.

    Cells are coloured by the share, on a scale that keeps rare mistakes visible; cells of 0 stay empty.

    Args:
        counts: integers (classes, classes), `counts[true, predicted]`.
        classes: their names.
        path: of a .png or .svg.
        normalise: write per cent of the row in place of counts.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: counts are not a square of as many rows as there are classes, or negative.
    """
    from matplotlib.colors import PowerNorm

    table = np.asarray(counts)
    if table.shape != (len(classes), len(classes)) or not table.size or (table < 0).any():
        raise ValueError(f"counts must be ({len(classes)}, {len(classes)}) and not negative, got shape {table.shape}")
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros(table.shape), where=totals > 0)

    def text(row: int, column: int) -> str:
        if not table[row, column]:
            return ""
        percent = 100 * shares[row, column]
        return f"{table[row, column]:,}" if not normalise else f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}"

    side = max(6.5, min(14, 2.6 + 0.72 * len(classes)))
    figure = new_figure(side + 1.4, side)
    axes = figure.subplots()
    image = _cells(axes, shares, text, PowerNorm(0.5, 0, 1), 15 if len(classes) <= 12 else 8)
    total, right = int(table.sum()), int(np.trace(table))
    unit = "per cent of each row" if normalise else "counts"
    axes.set_title(f"Confusion matrix, {unit}: {total - right:,} of {total:,} wrong", loc="left")
    names = [plain(name, 14) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for edge in np.arange(0.5, len(classes) - 1):
        axes.axhline(edge, color=MUTED, linewidth=0.4, alpha=0.5)
        axes.axvline(edge, color=MUTED, linewidth=0.4, alpha=0.5)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, ticks=[0, 0.01, 0.1, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1%", "10%", "50%", "100%"], color=INK)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return finish(figure, path)
