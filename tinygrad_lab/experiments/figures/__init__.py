"""Figures of runs and sweeps, with matplotlib: readable on a slide, and by readers who are colour-blind.

Every function takes plain data and an optional path (.png or .svg), and returns the matplotlib Figure, or the Path if
one was given. Needs the `lab` extra.
"""

from tinygrad_lab.experiments.figures.curves import plot_curves, plot_lines, plot_swept
from tinygrad_lab.experiments.figures.distributions import plot_histograms
from tinygrad_lab.experiments.figures.images import plot_misclassified, plot_weights
from tinygrad_lab.experiments.figures.matrices import plot_confusion, plot_grid

__all__ = [
    "plot_confusion",
    "plot_curves",
    "plot_grid",
    "plot_histograms",
    "plot_lines",
    "plot_misclassified",
    "plot_swept",
    "plot_weights",
]
