"""Graphs drawn for teaching: slide pictures, a page that steps through backprop, formulas and tables."""

from tinygrad_lab.viz.dot import draw_dot
from tinygrad_lab.viz.drawing import Graph, graph, graph_of_call
from tinygrad_lab.viz.steps import Steps, step
from tinygrad_lab.viz.tracing import tracing

__all__ = ["Graph", "Steps", "draw_dot", "graph", "graph_of_call", "step", "tracing"]
