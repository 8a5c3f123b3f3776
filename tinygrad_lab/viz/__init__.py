"""Graphs drawn for teaching: slide pictures, a page that steps through backprop, formulas and tables."""

from tinygrad_lab.viz.algebra.chain_rule import Formulas, formulas
from tinygrad_lab.viz.drawing.dot import draw_dot
from tinygrad_lab.viz.drawing.graph import Graph, graph
from tinygrad_lab.viz.reading.tracing import tracing
from tinygrad_lab.viz.stepping.steps import Steps, step

__all__ = ["Formulas", "Graph", "Steps", "draw_dot", "formulas", "graph", "step", "tracing"]
