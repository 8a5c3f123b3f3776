"""Graphs drawn for teaching: slide pictures, a page that steps through backprop, formulas and tables."""

from tinygrad_lab.viz.chain_rule import Formulas, formulas
from tinygrad_lab.viz.dot import draw_dot
from tinygrad_lab.viz.drawing import Graph, graph
from tinygrad_lab.viz.steps import Steps, step
from tinygrad_lab.viz.tracing import tracing

__all__ = ["Formulas", "Graph", "Steps", "draw_dot", "formulas", "graph", "step", "tracing"]
