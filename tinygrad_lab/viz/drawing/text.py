"""A picture in letters: one line per op, grouped by module calls, for terminals and wherever drawings are dropped."""

from __future__ import annotations

import re

from tinygrad_lab.viz.picture import Picture, PictureEdge, PictureNode
from tinygrad_lab.viz.words import brief, clean, counted, shape_words

__all__ = ["expression", "size_in_words", "to_text"]

_INFIX = {"+", "-", "*", "/", "@", "**", "%"}
_WIDEST = 56  # of the first column
_LISTED = 8  # operands of one op


def to_text(picture: Picture, values: bool = True) -> str:
    """The picture as lines `name = op(operands)   shape   value   gradient`, leaves first.

    `~` stands before an operand to which no gradient flows. Names are cleaned of what would disturb a terminal.
    """
    incoming: dict[str, list[PictureEdge]] = {}
    for edge in picture.edges:
        incoming.setdefault(edge.target, []).append(edge)
    leaves = [node for node in picture.nodes if node.kind in _LEAVES]
    ops = [node for node in picture.nodes if node.kind not in _LEAVES]
    rows: list[tuple[str, PictureNode | None]] = []
    for kind in _LEAVES:
        rows += [(_leaf(node), node) for node in leaves if node.kind == kind and kind != "constant"]
    rows += [("", None)] if rows and ops else []
    rows += _grouped(picture, ops, incoming)
    lines = _aligned(rows, values)
    marks = ["~ no gradient flows to this operand"] if any("~" in line for line in lines) else []
    heading = f"{clean(picture.title) or 'graph'}: {size_in_words(picture)}"
    return "\n".join([heading, "", *lines, "", *marks, *picture.remarks]).rstrip() + "\n"


_LEAVES = ("input", "target", "parameter", "constant")


def size_in_words(picture: Picture) -> str:
    """How large the graph is: "4 steps, 4 parameters with 43 numbers"; where it is folded, "321 ops in 2 cards"."""
    ops = [node for node in picture.nodes if node.kind not in _LEAVES]
    if any(node.kind == "fold" for node in ops):
        return f"{counted(sum(len(node.contents) or 1 for node in ops), 'op')} in {counted(len(ops), 'card')}"
    parameters = [node for node in picture.nodes if node.kind == "parameter"]
    count = sum(_size(node) for node in parameters)
    held = f", {counted(len(parameters), 'parameter')} with {counted(count, 'number')}" if parameters else ""
    return counted(len(ops), "step") + held


def _name(node: PictureNode) -> str:
    """A node's name, in brackets where it is the number of a layer, which would read as a number."""
    return f"[{clean(node.name)}]" if node.kind == "fold" and node.name.isdigit() else clean(node.name)


def _size(node: PictureNode) -> int:
    size = 1
    for length in node.shape:
        size *= length
    return size


def _leaf(node: PictureNode) -> str:
    kind = f"frozen {node.kind}" if node.frozen else node.kind
    used = f", {node.uses} uses" if node.uses > 1 else ""
    note = f", {clean(node.note)}" if node.note else ""
    return f"{clean(node.name)}: {kind}{used}{note}"


def _grouped(
    picture: Picture, ops: list[PictureNode], incoming: dict[str, list[PictureEdge]]
) -> list[tuple[str, PictureNode | None]]:
    """Lines of ops, indented below the headings of the module calls that made them."""
    by_id = {call.id: call for call in picture.calls}
    rows: list[tuple[str, PictureNode | None]] = []
    current: list[str] = []
    for node in ops:
        chain: list[str] = []
        call = node.call
        while call is not None and call in by_id:
            chain.insert(0, call)
            call = by_id[call].parent
        shared = 0
        while shared < min(len(chain), len(current)) and chain[shared] == current[shared]:
            shared += 1
        for level in range(shared, len(chain)):
            opened = by_id[chain[level]]
            title = clean(opened.path) + (f": {clean(opened.type)}" if opened.type != opened.path else "")
            size = f" ({counted(opened.parameters, 'parameter')})" if opened.parameters else ""
            rows.append(("  " * level + title + size, None))
        current = chain
        line = f"{_name(node)} = {expression(picture, node, incoming.get(node.id, []))}"
        rows.append(("  " * len(chain) + line, node))
    return rows


def expression(picture: Picture, node: PictureNode, edges: list[PictureEdge]) -> str:
    """What made a node, as Python would write it: `~x @ W`, `log_softmax(t3, dim=1)`, `RNNCell x80 (h, x)`."""
    operands = []
    for edge in edges:
        operand = picture.node(edge.source)
        number = operand.kind == "constant" and operand.shape == ()
        operands.append(("" if edge.gradient_flows or number else "~") + _name(operand))
    if len(operands) > _LISTED:
        operands[_LISTED:] = [f"... {len(operands) - _LISTED} more"]
    if node.kind == "fold":
        times = f" x{node.repeats}" if node.repeats > 1 else ""
        return f"{clean(node.symbol)}{times} ({', '.join(operands)})  # {clean(node.note)}"
    if node.symbol in _INFIX and len(operands) == 2 and not node.note:
        return f"{operands[0]} {node.symbol} {operands[1]}"
    if node.symbol == "-" and len(operands) == 1:
        return f"-{operands[0]}"
    if node.symbol == "[ ]" and operands:
        arrays = iter(operands[1:])
        index = re.sub("…", lambda _: next(arrays, "…"), node.note[1:-1]) or ", ".join(arrays) or "..."
        return f"{operands[0]}[{index}]"
    name = node.op if node.symbol in _INFIX or "[" in node.symbol else node.symbol
    return f"{clean(name)}({', '.join([*operands, *([clean(node.note)] if node.note else [])])})"


def _aligned(rows: list[tuple[str, PictureNode | None]], values: bool) -> list[str]:
    """The lines in columns."""
    cells = [(text, *(_cells(node, values) if node is not None else ("", "", ""))) for text, node in rows]
    widths = [
        min(max((len(row[i]) for row in cells if row[1]), default=0), _WIDEST if i == 0 else 40) for i in range(4)
    ]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(node: PictureNode, values: bool) -> tuple[str, str, str]:
    shape = shape_words(node.shape) if node.dtype else "?"
    if not values:
        return shape, "", ""
    value = brief(node.value) if node.value is not None else node.no_value
    gradient = f"grad {brief(node.gradient)}" if node.gradient is not None else node.no_gradient
    return shape, value, "" if gradient == "needs no grad" else gradient
