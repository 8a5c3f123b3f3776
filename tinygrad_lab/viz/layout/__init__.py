"""A layered layout (Sugiyama) in plain Python: boxes in rows, few crossings, straight lines, frames around clusters.

What this file lets you do: `lay_out(boxes, links, clusters, direction)` gives rectangles, routes and a size. It knows
nothing of graphs of tensors. The same input gives the same output to the last bit on every machine: no random numbers,
no order of sets. Time is linear in boxes plus the rows that lines pass, but for sorting rows.

>>> from tinygrad_lab.viz.layout import Box, Link, lay_out
>>> drawing = lay_out([Box("a", 60, 30), Box("b", 60, 30)], [Link("e", "a", "b")])
>>> drawing.boxes["a"].x == drawing.boxes["b"].x, drawing.boxes["a"].bottom < drawing.boxes["b"].y
(True, True)
"""

from tinygrad_lab.viz.layout.arrange import lay_out
from tinygrad_lab.viz.layout.model import Box, Cluster, Drawing, Link, Point, Rect, Spacing

__all__ = ["Box", "Cluster", "Drawing", "Link", "Point", "Rect", "Spacing", "lay_out"]
