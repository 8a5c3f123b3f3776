"""Lines: loss and accuracy of runs by epoch, accuracy against a swept value, sparsity by epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.experiments.figures.style import (
    COLOURS,
    DASHES,
    GRID,
    MARKERS,
    MUTED,
    End,
    drawn,
    finish,
    finite,
    label_ends,
    new_figure,
    number,
    plain,
)

__all__ = ["plot_curves", "plot_lines", "plot_swept"]


def _looks(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def _height(lines: int) -> float:
    """Inches: labels of many lines need a taller figure."""
    return max(5.4, 1.9 + 0.27 * lines)


def _by_epoch(axes: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    axes.grid(axis="y")


def _last(values: Sequence[float]) -> tuple[int, float] | None:
    """(epoch, value) of the last finite value."""
    known = [(i + 1, v) for i, v in enumerate(values) if not math.isnan(v)]
    return known[-1] if known else None


def _limits(axes: Any, lines: Sequence[Sequence[float]], bottom: float | None) -> None:
    """A logarithmic axis if the values span more than two decades; no room for what is far above the rest's start."""
    from matplotlib.ticker import FuncFormatter

    values = np.array([v for line in lines for v in line if not math.isnan(v)])
    if not len(values):
        return
    if bottom == 0 and values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif bottom is not None:
        axes.set_ylim(bottom=bottom)


def _values(history: Any, part: str, what: str) -> list[float]:
    return finite(getattr(history, f"{part}_{what}"))


@drawn
def plot_curves(histories: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> Any:
    """Loss and accuracy by epoch of one or several runs: validation solid with markers, training dashed.

    Args:
        histories: name -> `History` (train_loss, train_accuracy, validation_loss, validation_accuracy by epoch, and
            test_accuracy or None). A run without validation shows training alone. What is not finite is a gap.
        path: of a .png or .svg.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: no runs, a run without a finished epoch, or another kind of file.
    """
    if not histories:
        raise ValueError("no runs to draw: histories is empty")
    for name, history in histories.items():
        if not len(history.train_loss):
            raise ValueError(f"run {plain(name)!r} has no finished epoch to draw")
    figure = new_figure(14.2, _height(len(histories)))
    for axes, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        ends, lines = [], []
        for index, (name, history) in enumerate(histories.items()):
            training, validation = (_values(history, part, what) for part in ("train", "validation"))
            validated = _last(validation) is not None
            look, every = _looks(index), max(1, len(training) // 8)
            parts = [(training, "training", validated)] + [(validation, "validation", False)] * validated
            for values, part, dashed in parts:
                marks = {"linestyle": DASHES[1], "linewidth": 1.6, "marker": "" if len(values) > 1 else "_"}
                axes.plot(range(1, len(values) + 1), values, markevery=every, **{**look, **(marks if dashed else {})})
                lines.append(values)
                end, test = _last(values), history.test_accuracy
                if end is None:
                    continue
                if len(histories) == 1:
                    ends.append(End(*end, f"{part} {end[1]:.4f}", look["color"]))
                elif not dashed:
                    tested = f": {test:.4f}" if what == "accuracy" and test is not None else ""
                    ends.append(End(*end, plain(name, 28) + tested, look["color"]))
        title, test = what.capitalize(), next(iter(histories.values())).test_accuracy
        if what == "accuracy" and len(histories) == 1 and test is not None:
            title += f" (test {test:.4f})"
        elif what == "accuracy" and any(h.test_accuracy is not None for h in histories.values()):
            title += " (beside the names: test)"
        _by_epoch(axes, title)
        _limits(axes, lines, 0 if what == "loss" else None)
        label_ends(figure, axes, ends)
    if len(histories) > 1:
        figure.supxlabel("solid: validation, dashed: training", fontsize=14, color=MUTED)
    return finish(figure, path)


@drawn
def plot_lines(
    title: str,
    lines: Mapping[str, Sequence[float | None]],
    path: str | os.PathLike[str] | None = None,
    *,
    x_label: str = "epoch",
) -> Any:
    """Values recorded by epoch or step, one line each: sparsity, gradient norm, learning rate, loss of each step.

    Beyond 400 values a line is the mean of about 200 stretches, with a band from their smallest to their largest.

    Args:
        title: what is shown.
        lines: name -> values, the first one at 1. What is not finite is a gap.
        path: of a .png or .svg.
        x_label: what is counted.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: no values.
    """
    if not any(len(values) for values in lines.values()):
        raise ValueError(f"{plain(title)}: no values to draw")
    figure = new_figure(11, max(4.4, _height(len(lines)) - 1))
    axes, ends, drawn_lines = figure.subplots(), [], []
    for index, (name, given) in enumerate(lines.items()):
        values, look = finite(given), {**_looks(index), "linestyle": DASHES[index % len(DASHES)]}
        stretch = 1 if len(values) <= 400 else len(values) // 200
        if len(lines) == 1 and len(values) > 30:
            look["marker"] = ""
        x = [1 + i + (min(stretch, len(values) - i) - 1) / 2 for i in range(0, len(values), stretch)]
        parts = [[v for v in values[i : i + stretch] if not math.isnan(v)] for i in range(0, len(values), stretch)]
        means = [sum(part) / len(part) if part else math.nan for part in parts]
        if stretch > 1:
            low, high = ([pick(part, default=math.nan) for part in parts] for pick in (min, max))
            axes.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
            drawn_lines += [low, high]
        axes.plot(x, means, markevery=max(1, len(x) // 8), **look)
        drawn_lines.append(means)
        end = _last(means)
        if end is not None and len(lines) > 1:
            ends.append(End(x[end[0] - 1], end[1], plain(name, 28), look["color"]))
    _by_epoch(axes, plain(title, 70))
    axes.set_xlabel(x_label)
    _limits(axes, drawn_lines, 0)
    label_ends(figure, axes, ends)
    return finish(figure, path)


def _scale(values: Sequence[Any]) -> str:
    """'log', 'linear', 'ordered' (side by side, joined) or 'names': how swept values lie on an axis."""
    numbers = all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values)
    if not numbers or not all(math.isfinite(v) for v in values) or len(set(values)) < len(values):
        return "names"
    ordered = np.sort(np.array(values, dtype=float))
    if len(ordered) < 3:
        return "linear"
    gaps = np.diff(ordered)
    if ordered[0] > 0 and ordered[-1] >= 10 * ordered[0]:
        ratios = np.diff(np.log(ordered))
        if ratios.max() / ratios.min() < gaps.max() / gaps.min():
            return "log"
    return "linear" if gaps.max() <= 12 * gaps.min() else "ordered"  # 0, 0.0001, 0.001: 0 has no place on a log axis


@drawn
def plot_swept(
    name: str,
    values: Sequence[Any],
    series: Mapping[str, Sequence[Sequence[float | None]]],
    path: str | os.PathLike[str] | None = None,
    *,
    measure: str = "test accuracy",
) -> Any:
    """A measure against a swept value: mean over the seeds, with one standard deviation as bars and each seed a dot.

    The axis is logarithmic if that spaces the values more evenly. Where neither scale does (0, 0.0001, 0.001), they
    stand side by side; so do values that are no numbers, in the order given. A value of which every run failed is
    marked x at the foot.

    Args:
        name: of the swept field.
        values: what it was set to.
        series: name of a curve -> for each value what the seeds measured; None or NaN where a run failed.
        path: of a .png or .svg.
        measure: what was measured.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: no values, or a curve with another number of rows than there are values.
    """
    if not values or not series:
        raise ValueError(f"nothing to draw of {plain(name)}: {len(values)} values and {len(series)} curves")
    for curve, rows in series.items():
        if len(rows) != len(values):
            raise ValueError(f"curve {plain(curve)!r} has {len(rows)} rows for {len(values)} values of {plain(name)}")
    figure = new_figure(11 if len(series) == 1 else 13, _height(len(series)))
    axes, ends, scale = figure.subplots(), [], _scale(values)
    places = np.arange(len(values), dtype=float) if scale == "names" else np.array(values, dtype=float)
    order = np.argsort(places)
    if scale == "ordered":
        places = np.argsort(order).astype(float)
    for index, (curve, rows) in enumerate(series.items()):
        look, clean = _looks(index), [[v for v in finite(row) if not math.isnan(v)] for row in rows]
        known = [i for i in order if clean[i]]
        for i in order:
            if clean[i]:
                axes.plot([places[i]] * len(clean[i]), clean[i], ".", color=look["color"], alpha=0.45, markersize=9)
            else:
                axes.plot(places[i], 0.03, "x", color=look["color"], transform=axes.get_xaxis_transform())
        means = [float(np.mean(clean[i])) for i in known]
        bars = [float(np.std(clean[i], ddof=1)) if len(clean[i]) > 1 else 0.0 for i in known]
        style = {**look, "linestyle": DASHES[index % len(DASHES)] if scale != "names" or len(series) > 1 else ""}
        axes.errorbar(places[known], means, yerr=bars if any(bars) else None, capsize=6, elinewidth=2, **style)
        if len(series) == 1:
            _write_values(axes, places[known], means, [clean[i] for i in known], bars)
        elif known:
            ends.append(End(places[known[-1]], means[-1], plain(curve, 28), look["color"]))
    if scale == "log":
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.margins(x=0.08, y=0.2)
    texts = [plain(number(value), 18) for value in values]
    axes.set_xticks(places, texts, rotation=0 if sum(map(len, texts)) < 75 else 30)
    if scale == "linear":
        axes.set_xticks(*_apart(places, texts, float(np.ptp(places)) / 12))
    several = any(len(row) > 1 for rows in series.values() for row in rows)
    axes.set_title(f"{plain(measure).capitalize()} by {plain(name)}", loc="left")
    axes.set_xlabel(plain(name))
    axes.set_ylabel(f"{plain(measure)} (mean ± SD)" if several else plain(measure))
    axes.grid(axis="y", color=GRID)
    axes.tick_params(axis="x", color=MUTED)
    label_ends(figure, axes, ends)
    return finish(figure, path)


def _write_values(axes: Any, x: Any, means: list[float], seeds: list[list[float]], bars: list[float]) -> None:
    """Write each mean above its point, or below where the line comes from above; the largest in bold."""
    for i, mean in enumerate(means):
        around = [*means[max(0, i - 1) : i], *means[i + 1 : i + 2]]
        below = bool(around) and all(mean < other for other in around)
        edge = min(mean - bars[i], *seeds[i]) if below else max(mean + bars[i], *seeds[i])
        weight = "bold" if mean == max(means) else "normal"
        where = {"xytext": (0, -10 if below else 10), "textcoords": "offset points", "va": "top" if below else "bottom"}
        axes.annotate(f"{mean:.4f}", (x[i], edge), ha="center", fontsize=14, fontweight=weight, **where)


def _apart(places: np.ndarray, texts: Sequence[str], least: float) -> tuple[list[float], list[str]]:
    """Those ticks, from the left, whose labels do not run into each other."""
    kept: list[int] = []
    for i in np.argsort(places):
        if not kept or places[i] - places[kept[-1]] >= least:
            kept.append(int(i))
    return [float(places[i]) for i in kept], [texts[i] for i in kept]
