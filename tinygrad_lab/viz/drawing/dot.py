"""A picture in the DOT language of Graphviz, as cards or as the textbook's circles and boxes.

What this file lets you do: `to_dot` writes the text, for which Graphviz is not needed; `draw_dot` gives a
`graphviz.Digraph` to those who want to work on with it. The same picture gives the same bytes.

A leaf is drawn once for every op that uses it: drawn once in all, a weight that is used in a hundred steps takes
Graphviz minutes. Everything that somebody named goes through `_escaped` or `_quoted`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from tinygrad_lab.viz.palette import LIGHT
from tinygrad_lab.viz.picture import ModuleCall, Picture, PictureEdge, PictureNode
from tinygrad_lab.viz.reading.folding import fold
from tinygrad_lab.viz.reading.graphs import read
from tinygrad_lab.viz.words import brief, clean, shape_words

__all__ = ["draw_dot", "statements", "to_dot"]

_ROLES = {"input": "data", "target": "data", "constant": "data", "fold": "op"}  # the others are called as they are
_SETTINGS = {"compound": "true", "nslimit": "2", "nslimit1": "2", "nodesep": "0.25", "ranksep": "0.4"}


def to_dot(picture: Picture, direction: str = "TB", values: bool = True, detail: str = "cards") -> str:
    """The picture in DOT. `direction` is "TB" or "LR", `detail` "cards" or "bipartite". ValueError for others."""
    lines = statements(picture, direction, values, detail)
    name = _quoted(clean(picture.title)) if picture.title else '"graph"'
    return "\n".join([f"digraph {name} {{", *("  " + line for line in lines), "}"]) + "\n"


def draw_dot(
    loss: Any,
    params: Any = None,
    names: Any = None,
    *,
    depth: int | None = None,
    detail: str = "cards",
    direction: str = "LR",
    values: bool = True,
    max_cards: int = 150,
) -> Any:
    """The graph behind a loss (or several tensors) as a `graphviz.Digraph`, which needs Graphviz's `dot` to be shown.

    detail  "cards": one card per op with its output; "bipartite": the textbook picture, tensors as boxes and ellipses,
            ops as circles
    The others are as in `viz.graph`. ImportError without the package `graphviz`.

    >>> from tinygrad_lab import Tensor
    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> print(draw_dot((x * x).sum(), names={"x": x}).source.splitlines()[0])
    digraph {
    """
    try:
        import graphviz
    except ImportError:
        raise ImportError(
            "draw_dot needs the package graphviz: pip install graphviz. viz.graph(loss).dot() gives the same text "
            "without it"
        ) from None
    picture = fold(read(loss, params, names, values=values), depth, max_cards)
    made = graphviz.Digraph()
    made.body.extend(f"\t{line}\n" for line in statements(picture, direction, values, detail))
    return made


def statements(picture: Picture, direction: str, values: bool, detail: str) -> list[str]:
    """The lines of the graph, without the braces around them."""
    if direction not in ("TB", "LR"):
        raise ValueError(f'direction must be "TB" or "LR", got {direction!r}')
    if detail not in ("cards", "bipartite"):
        raise ValueError(f'detail must be "cards" or "bipartite", got {detail!r}')
    writer = _Cards(picture, values) if detail == "cards" else _Bipartite(picture, values)
    settings = " ".join(f"{name}={value}" for name, value in _SETTINGS.items())
    edge = LIGHT["edge"]
    lines = [
        f"graph [rankdir={direction} {settings} fontname=Helvetica fontsize=10]",
        'node [fontname="Courier" fontsize=10]',
        f'edge [color="{edge}" fontname="Courier" fontsize=9 arrowsize=0.7]',
    ]
    lines += _clustered(picture, writer)
    lines += [writer.edge(edge) for edge in picture.edges]
    if picture.remarks:
        lines.append(f"label={_quoted(chr(10).join(clean(remark, 120) for remark in picture.remarks))}")
    return lines


def _clustered(picture: Picture, writer: Any) -> list[str]:
    """The nodes, inside nested clusters of the module calls that made them."""
    children: dict[str | None, list[ModuleCall]] = {}
    known = {call.id for call in picture.calls}
    for call in picture.calls:
        children.setdefault(call.parent if call.parent in known else None, []).append(call)
    inside: dict[str | None, list[str]] = {}
    for node in picture.nodes:
        for call_id, line in writer.node(node):
            inside.setdefault(call_id if call_id in known else None, []).append(line)
    lines: list[str] = []
    todo: list[tuple[int, Any]] = [(0, None)]
    while todo:
        level, item = todo.pop()
        if isinstance(item, str):
            lines.append("  " * level + item)
            continue
        following: list[tuple[int, Any]] = []
        if item is not None:
            title = clean(item.path) + (f" : {clean(item.type)}" if item.type != item.path else "")
            following.append((level, f"subgraph cluster_{item.id} {{"))
            style = 'style="rounded,dashed" color="#8fa3b3" bgcolor="#0072b208" labeljust=l'
            following.append((level + 1, f"graph [label={_quoted(title)} {style}]"))
        inner = level if item is None else level + 1
        id = None if item is None else item.id
        following += [(inner, line) for line in inside.get(id, ())]
        following += [(inner, call) for call in children.get(id, ())]
        if item is not None:
            following.append((level, "}"))
        todo += reversed(following)
    return lines


class _Cards:
    """One card per op with its output; leaves are chips beside the op that uses them."""

    def __init__(self, picture: Picture, values: bool) -> None:
        self.values = values
        self.by_id = {node.id: node for node in picture.nodes}
        self.users: dict[str, list[str]] = {}
        for edge in picture.edges:
            users = self.users.setdefault(edge.source, [])
            if edge.target not in users:
                users.append(edge.target)
        self.chips: dict[str | None, list[str]] = {}

    def node(self, node: PictureNode) -> Iterator[tuple[str | None, str]]:
        """(call whose cluster it stands in, statement) of a node; of a leaf, one for each op that uses it."""
        if _is_computed(node):
            yield node.call, f"{node.id} [shape=plain label=<{self.card(node)}>{_tooltip(node)}]"
            return
        for target in self.users.get(node.id, [""]):
            beside = self.by_id[target].call if target and node.kind in ("parameter", "constant") else node.call
            yield beside, f"{_chip(node.id, target)} [{self.chip(node)}{_tooltip(node)}]"

    def edge(self, edge: PictureEdge) -> str:
        source = self.by_id[edge.source]
        start = source.id if _is_computed(source) else _chip(source.id, edge.target)
        options = [] if edge.gradient_flows else ["style=dashed"]
        if edge.ordered:
            options.append(f"label={_quoted(f' {edge.position + 1}')}")
        return f"{start} -> {edge.target}" + (f" [{' '.join(options)}]" if options else "")

    def card(self, node: PictureNode) -> str:
        fill, line = _colours(node)
        times = f" x{node.repeats}" if node.repeats > 1 else ""
        warning = "⚠ " if is_bad(node) else ""
        rows = [f"<TR><TD ALIGN='LEFT'><B>{_escaped(node.name)}</B>  {_escaped(_shape(node))}</TD></TR>"]
        rows += [f"<TR><TD ALIGN='LEFT'>{_escaped(text)}</TD></TR>" for text in _facts(node, self.values)]
        return (
            f"<TABLE BORDER='1' CELLBORDER='0' CELLSPACING='0' CELLPADDING='3' COLOR='{line}' BGCOLOR='{fill}'>"
            f"<TR><TD ALIGN='LEFT' BGCOLOR='{line}'><FONT COLOR='white'><B>"
            f"{warning}{_escaped(node.symbol)}{times}</B></FONT></TD></TR>{''.join(rows)}</TABLE>"
        )

    def chip(self, node: PictureNode) -> str:
        fill, line = _colours(node)
        style = "rounded,filled,dashed" if node.frozen else "rounded,filled"
        words = [f"{clean(node.name)}  {_shape(node)}" if node.shape or not node.dtype else clean(node.name)]
        if node.frozen:
            words.append("frozen")
        if node.uses > 1:
            words.append(f"x {node.uses} uses")
        if node.kind != "constant" or node.shape:
            words += _facts(node, self.values)
        text = "\n".join(words)
        return f'shape=box style="{style}" color="{line}" fillcolor="{fill}" label={_quoted(text)} margin="0.08,0.04"'


class _Bipartite(_Cards):
    """Tensors as boxes (computed) and ellipses (leaves), ops as circles."""

    def node(self, node: PictureNode) -> Iterator[tuple[str | None, str]]:
        if not _is_computed(node):
            for call, statement in super().node(node):
                yield call, statement.replace("shape=box", "shape=ellipse", 1)
            return
        fill, line = _colours(node)
        times = f" x{node.repeats}" if node.repeats > 1 else ""
        symbol = _quoted(clean(node.symbol) + times)
        yield node.call, f'{node.id}_op [shape=circle color="{line}" label={symbol} margin=0.02]'
        words = "\n".join([f"{clean(node.name)}  {_shape(node)}", *_facts(node, self.values)])
        yield node.call, f'{node.id} [shape=box style=filled color="{line}" fillcolor="{fill}" label={_quoted(words)}]'
        yield node.call, f"{node.id}_op -> {node.id}"

    def edge(self, edge: PictureEdge) -> str:
        start, arrow, rest = super().edge(edge).partition(" -> ")
        target, space, options = rest.partition(" ")
        return f"{start}{arrow}{target}_op{space}{options}"


def is_bad(node: PictureNode) -> bool:
    """Whether the value or the gradient has NaN or infinity."""
    return any(array is not None and brief(array).endswith("!") for array in (node.value, node.gradient))


def _colours(node: PictureNode) -> tuple[str, str]:
    """(ground, outline and header) of a node."""
    role = "bad" if is_bad(node) else _ROLES.get(node.kind, node.kind)
    return LIGHT[role], LIGHT[f"{role}-line"]


def _is_computed(node: PictureNode) -> bool:
    return node.kind in ("op", "loss", "fold")


def _shape(node: PictureNode) -> str:
    return shape_words(node.shape) if node.dtype else ""


def _facts(node: PictureNode, values: bool) -> list[str]:
    """The lines of a card below its name."""
    facts = [clean(node.note)] if node.note else []
    if values:
        facts.append(brief(node.value) if node.value is not None else node.no_value)
        facts.append(f"grad {brief(node.gradient)}" if node.gradient is not None else node.no_gradient)
    return [fact for fact in facts if fact not in ("", "needs no grad")]


def _chip(leaf: str, target: str) -> str:
    return f"{leaf}_{target}" if target else leaf


def _tooltip(node: PictureNode) -> str:
    line = "" if node.source is None else f"{node.source.file}:{node.source.number}: {node.source.text}"
    return f" tooltip={_quoted(clean(line or node.name, 200))}"


def _escaped(text: str) -> str:
    """Text for a label in HTML's manner."""
    return html.escape(clean(text))


def _quoted(text: str) -> str:
    """A quoted string of DOT that reads as `text`: no escape sequences, no character references."""
    text = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
