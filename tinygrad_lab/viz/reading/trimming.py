"""A picture of the beginning and the end of a graph, with what lies between as one card.

What this file lets you do: `without(picture, hidden)` for the step page of a long graph. Knows pictures only.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from tinygrad_lab.viz.picture import Picture, PictureEdge, PictureNode

__all__ = ["without"]


def without(picture: Picture, hidden: Set[str]) -> Picture:
    """The picture with the ops `hidden`, which were recorded one after another, in one card with the id "rest".

    Leaves that only they use go with them, and so do the frames of module calls, which may reach into what is left out.
    """
    contents = tuple(node.id for node in picture.nodes if node.id in hidden)
    fold = PictureNode(
        id="rest",
        kind="fold",
        op="",
        symbol="…",
        name=f"{len(contents)} ops",
        shape=(),
        dtype="",
        requires_grad=True,
        contents=contents,
        note="not shown step by step",
    )
    shown = {node.id for node in picture.nodes if node.kind in ("op", "loss")} - hidden
    wanted = shown | {edge.source for edge in picture.edges if edge.target in shown}
    nodes = [
        fold if node.id == contents[0] else replace(node, call=None)
        for node in picture.nodes
        if node.id == contents[0] or (node.id in wanted and node.id not in hidden)
    ]
    present = {node.id for node in nodes}
    edges: dict[tuple[str, str, str], PictureEdge] = {}
    for edge in picture.edges:
        source, target = (fold.id if id in hidden else id for id in (edge.source, edge.target))
        if source != target and source in present and target in present:
            argument = "" if target == fold.id else edge.argument
            edges.setdefault((source, target, argument), replace(edge, source=source, target=target, argument=argument))
    return replace(picture, nodes=nodes, edges=list(edges.values()), calls=[])
