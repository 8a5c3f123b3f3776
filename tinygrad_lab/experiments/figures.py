"""Figures of training runs, with matplotlib: readable on a slide, and by readers who are colour-blind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tinygrad_lab.experiments.training import History

__all__ = ["plot_curves"]

# Okabe and Ito's palette; runs also differ in their markers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"


def plot_curves(histories: Mapping[str, History], path: str | os.PathLike[str]) -> Path:
    """Loss and accuracy by epoch as a PNG at `path`, one colour per run, training dashed and validation solid."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for (name, history), colour, marker in zip(histories.items(), COLOURS * 9, MARKERS * 9, strict=False):
        epochs = range(1, history.epochs + 1)
        marks = {"marker": marker, "markersize": 5, "markevery": max(1, history.epochs // 10)}
        left.plot(epochs, history.train_loss, color=colour, linestyle="--", alpha=0.7)
        left.plot(epochs, history.validation_loss, color=colour, label=name, **marks)
        right.plot(epochs, history.train_accuracy, color=colour, linestyle="--", alpha=0.7)
        label = name if history.test_accuracy is None else f"{name}: test {history.test_accuracy:.2%}"
        right.plot(epochs, history.validation_accuracy, color=colour, label=label, **marks)
    for axes, title in ((left, "Cross-entropy"), (right, "Accuracy")):
        axes.set_title(title, fontsize=15)
        axes.set_xlabel("epoch (validation solid, training dashed)", fontsize=12)
        axes.tick_params(labelsize=11)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=11, frameon=False)
    left.set_ylim(bottom=0)
    target = Path(path)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, dpi=150, format="png")
    pyplot.close(figure)
    os.replace(temporary, target)
    return target
