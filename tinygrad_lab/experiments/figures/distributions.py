"""How weights, activations and gradients are distributed as training goes on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.experiments.figures.style import MUTED, drawn, finish, new_figure, plain

__all__ = ["plot_histograms"]

_KINDS = {"weight": "Weights", "activation": "Activations", "gradient": "Gradients"}
_BINS = 80


def _density(histograms: Sequence[Mapping[str, Any]], low: float, high: float) -> np.ndarray:
    """(bins, records): each record's share of values per bin of low..high, its counts spread evenly over their bins."""
    edges = np.linspace(low, high, _BINS + 1)
    columns = []
    for histogram in histograms:
        counts = np.array(histogram["counts"], dtype=float)
        own = np.linspace(histogram["low"], max(histogram["high"], histogram["low"] + 1e-12), len(counts) + 1)
        until = np.interp(edges, own, np.concatenate([[0], np.cumsum(counts)]))
        if histogram["high"] == histogram["low"]:  # all in one place
            until = np.where(edges > histogram["low"], counts.sum(), 0.0)
        columns.append(np.diff(until) / max(1.0, counts.sum()))
    return np.array(columns).T


def _range(histograms: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """From the smallest 0.5th to the largest 99.5th percentile of any record; never empty."""
    ends = []
    for histogram in histograms:
        counts = np.array(histogram["counts"], dtype=float)
        edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
        share = np.concatenate([[0], np.cumsum(counts)]) / max(1.0, counts.sum())
        first, last = np.searchsorted(share, [0.005, 0.995])
        ends.append([edges[max(0, int(first) - 1)], edges[int(last)]])
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    room = 0.02 * (high - low) or 1e-3 + abs(high) * 0.1
    return float(low - room), float(high + room)


@drawn
def plot_histograms(
    records: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str] | None = None,
    *,
    kinds: Sequence[str] = ("weight", "activation", "gradient"),
) -> Any:
    """Histograms over time: one panel per tensor, epochs to the right, values upwards, the darker the more frequent.

    Each epoch's colours are relative to its own frequent values, lightly smoothed; the line is the median. What lies
    outside the 0.5th to 99.5th percentiles of all epochs is cut off.

    Args:
        records: of a `HistogramRecorder`.
        path: of a .png or .svg.
        kinds: which of weight, activation, gradient; biases are left out where there are weights.

    Returns:
        The matplotlib Figure, or the Path if one is given.

    Raises:
        ValueError: nothing recorded.
    """
    from matplotlib.ticker import MaxNLocator

    found = {
        kind: names
        for kind in kinds
        if (names := [n for n in (records[-1][kind] if records else {}) if not n.endswith("bias")])
    }
    if not found:
        raise ValueError(f"no histograms of {', '.join(kinds)} were recorded")
    rows = max(len(names) for names in found.values())
    figure = new_figure(4.9 * len(found) + 0.3, 2.35 * rows + 1.2)
    grid = figure.subplots(rows, len(found), squeeze=False, sharex=True)
    for column, (kind, names) in enumerate(found.items()):
        for row, axes in enumerate(grid[:, column]):
            if row >= len(names):
                axes.set_visible(False)
                continue
            name = names[row]
            kept = [(r["at"], r[kind][name]) for r in records if name in r[kind] and sum(r[kind][name]["counts"])]
            axes.set_title(f"{_KINDS[kind]}: {plain(name, 20)}", loc="left", fontsize=15, pad=6)
            if not kept:
                axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
                continue
            at, histograms = [float(a) for a, _ in kept], [h for _, h in kept]
            low, high = _range(histograms)
            density = _density(histograms, low, high)
            smooth = np.apply_along_axis(np.convolve, 0, density, [0.25, 0.5, 0.25], "same")
            shades = np.minimum(1, smooth / np.maximum(np.percentile(smooth, 95, axis=0, keepdims=True), 1e-6))
            middles = [(a + b) / 2 for a, b in itertools.pairwise(at)]
            step = (middles[0] - at[0]) if middles else 0.5
            edges = [at[0] - step, *middles, at[-1] + ((at[-1] - middles[-1]) if middles else 0.5)]
            y = np.linspace(low, high, _BINS + 1)
            axes.pcolormesh(edges, y, shades**0.7, cmap="Blues", vmin=0, vmax=1.1, rasterized=True)
            marker = "o" if len(at) == 1 else ""
            axes.plot(at, [_median(h) for h in histograms], color="#d55e00", linewidth=2, marker=marker)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.tick_params(labelsize=12, labelbottom=row == len(names) - 1)
            if row == len(names) - 1:
                axes.set_xlabel("epoch")
    return finish(figure, path)


def _median(histogram: Mapping[str, Any]) -> float:
    counts = np.array(histogram["counts"], dtype=float)
    edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
    return float(np.interp(counts.sum() / 2, np.concatenate([[0], np.cumsum(counts)]), edges))
