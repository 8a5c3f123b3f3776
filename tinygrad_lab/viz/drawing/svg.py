"""A picture as SVG: cards, arrows, frames around module calls, remarks.

What this file lets you do: `draw(picture, direction="TB", values=True)` gives the text of an SVG file, the same bytes
on every machine. `arrange` (from `scene`) gives the geometry alone. The file needs no fonts, scripts or style sheets:
every colour is an attribute, so that converters and slide programs show it right; browsers also follow the reader's
dark theme. Cards and arrows carry their ids as `data-id` and as class ("n3", "e4").
"""

from __future__ import annotations

from tinygrad_lab.viz.drawing.cards import Card, draw_card, paint
from tinygrad_lab.viz.drawing.metrics import FONT, columns, elide, escape, px, shape_text, width
from tinygrad_lab.viz.drawing.scene import LABEL, Arranged, arrange
from tinygrad_lab.viz.drawing.text import size_in_words
from tinygrad_lab.viz.layout import Point, Rect
from tinygrad_lab.viz.palette import dark_rules
from tinygrad_lab.viz.picture import ModuleCall, Picture, PictureEdge

__all__ = ["arrange", "draw"]

ARROW = 7.0  # length of an arrow's head
NAMELESS = {"other", "tensors", "exponent", "mat2", "vec", "max", "min", "divisor"}
"""Arguments that do not say what they are: ops with one of them get their operands numbered."""
KIND = {
    "op": "operation",
    "parameter": "parameter",
    "input": "input",
    "target": "target",
    "constant": "constant",
    "loss": "loss",
    "fold": "folded module",
}


def draw(picture: Picture, *, direction: str = "TB", values: bool = True, legend: bool = True) -> str:
    """The SVG of a picture. direction: "TB" (top to bottom) or "LR"; values: with heat maps of values and gradients;
    legend: with a line that says what colours and dashes mean.

    Raises ValueError for another direction.

    >>> draw(Picture(title="nothing")).startswith("<svg")
    True
    """
    return draw_arranged(arrange(picture, direction=direction, values=values), legend=legend)


def draw_arranged(arranged: Arranged, *, legend: bool = True) -> str:
    """The SVG of what `arrange` made."""
    picture, drawing = arranged.picture, arranged.drawing
    title = elide(picture.title, 300)
    heading = elide(picture.title, 90)
    remarks = _remarks(arranged) + ([_legend(arranged)] if legend else [])
    wide = max(drawing.width, width(heading, 14) + 28 if heading else 0, 120.0)
    lines = [line for remark in remarks if remark for line in _wrapped(remark, max(wide, 372.0) - 28)]
    wide = max([wide] + [width(line, 10.5) + 28 for line in lines])
    above = 26.0 if heading else 0.0
    high = above + drawing.height + (15 * len(lines) + 6 if lines else 0)
    left = (wide - drawing.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tgl" width="{px(wide)}" height="{px(high)}" '
        f'viewBox="0 0 {px(wide)} {px(high)}" role="graphics-document" aria-label="{escape(title or "graph")}" '
        f'font-family="{FONT}">',
        f"<title>{escape(title or 'graph')}</title><desc>{escape(_description(arranged))}</desc>",
        f"<style>@media (prefers-color-scheme:dark){{{dark_rules()}}}</style>",
        f'<rect width="100%" height="100%" {paint("page")}/>',
    ]
    if heading:
        parts.append(f'<text x="14" y="24" font-size="14" font-weight="700" {paint("ink")}>{escape(heading)}</text>')
    parts.append(f'<g transform="translate({px(left)} {px(above)})">')
    calls = {call.id: call for call in picture.calls}
    inner: dict[str | None, bool] = {None: True}
    for name, rect in drawing.clusters.items():
        inner[name] = not inner[calls[name].parent]
        parts.append(_cluster(name, rect, "cluster-inner" if inner[name] else "cluster"))
    tagged = {edge.target for edge in picture.edges if edge.ordered and edge.argument.split("[")[0] in NAMELESS}
    for edge in picture.edges:
        parts.append(_edge(arranged, edge, edge.ordered and edge.target in tagged))
    drawn: dict[str, str] = {}  # a leaf's chips are all the same
    for box, rect in drawing.boxes.items():
        card = arranged.cards[box]
        if card.node.id not in drawn:
            drawn[card.node.id] = _card(card)
        parts.append(f'<g transform="translate({px(rect.x)} {px(rect.y)})" {drawn[card.node.id]}</g>')
    for name, rect in drawing.clusters.items():
        parts.append(_label(arranged, calls[name], rect))
    parts.append("</g>")
    base = above + drawing.height + 9
    for line in lines:
        parts.append(f'<text x="14" y="{px(base)}" font-size="10.5" {paint("muted")}>{escape(line)}</text>')
        base += 15
    parts.append("</svg>")
    return "".join(parts)


def _card(card: Card) -> str:
    """What follows the place of a card in its group."""
    node = card.node
    words = [KIND.get(node.kind, node.kind), elide(node.symbol, 40), elide(node.name, 200), shape_text(node.shape)]
    words += card.lines + ([f"contains {card.bad}"] if card.bad else [])
    label = ", ".join(word for word in words if word)
    details = [
        node.name if card.name == node.name else elide(node.name, 20_000),
        f"{shape_text(node.shape)} {node.dtype}",
    ]
    for caption, array in (("value", node.value), ("gradient", node.gradient)):
        slot = next((slot for slot in card.slots if slot.caption == caption[: len(slot.caption)] and slot.map), None)
        if array is not None and slot is not None and slot.map is not None:
            details.append(f"{caption} {slot.map.title}")
    if node.saved:
        details.append(f"saved for backward: {', '.join(node.saved)}")
    if node.source is not None:
        details.append(f"{node.source.file}:{node.source.number} {node.source.text}")
    return (
        f'class="card {node.kind} {node.id}" data-id="{node.id}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(' | '.join(details))}</title>{draw_card(card)}"
    )


def _cluster(call: str, rect: Rect, role: str) -> str:
    return (
        f'<rect data-id="{call}" x="{px(rect.x)}" y="{px(rect.y)}" width="{px(rect.width)}" height="{px(rect.height)}" '
        f'rx="7" {paint(role, "cluster-line")} stroke-width="1" stroke-dasharray="4 3"/>'
    )


def _label(arranged: Arranged, call: ModuleCall, rect: Rect) -> str:
    label = elide(arranged.labels[call.id], max(int((rect.width - 16) / width("x", LABEL)), 4))
    title = f"{escape(elide(call.path, 20_000))} : {escape(elide(call.type, 2_000))}"
    place = f'x="{px(rect.x + 9)}" y="{px(rect.y + 15)}" font-size="{LABEL}" unicode-bidi="isolate" direction="ltr"'
    return f'<g data-id="{call.id}"><title>{title}</title><text {place} {paint("muted")}>{escape(label)}</text></g>'


def _edge(arranged: Arranged, edge: PictureEdge, tagged: bool) -> str:
    points = arranged.drawing.routes[edge.id]
    source = arranged.picture.node(edge.source)
    dashes = "" if edge.gradient_flows else ' stroke-dasharray="4 3"'
    flows = "edge" if edge.gradient_flows else "edge noflow"
    path, head = _arrow(points)
    tag = _tag(points, edge.position + 1) if tagged else ""
    words = f"{elide(source.name, 60)} to {edge.argument} of {elide(arranged.picture.node(edge.target).symbol, 30)}"
    if not edge.gradient_flows:
        words += ", no gradient flows"
    return (
        f'<g class="{flows} {edge.id}" data-id="{edge.id}" data-from="{edge.source}" data-to="{edge.target}">'
        f"<title>{escape(words)}</title>"
        f'<path fill="none" {paint(None, "edge")} stroke-width="1.4"{dashes} d="{path}"/>'
        f'<path {paint("edge")} d="{head}"/>{tag}</g>'
    )


def _arrow(points: list[Point]) -> tuple[str, str]:
    """The line, which ends inside its head, and the head. Lines meet cards at right angles."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    length = max(abs(x2 - x1), abs(y2 - y1), 1e-9)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    end = (x2 - dx * (ARROW - 1), y2 - dy * (ARROW - 1))
    back = (x2 - dx * ARROW, y2 - dy * ARROW)
    half = 3.4
    head = (
        f"M{px(x2)} {px(y2)}L{px(back[0] - dy * half)} {px(back[1] + dx * half)}"
        f"L{px(back[0] + dy * half)} {px(back[1] - dx * half)}z"
    )
    path = [f"M{px(points[0][0])} {px(points[0][1])}"]
    for start in range(0, len(points) - 1, 3):
        a, b, c, d = points[start : start + 4]
        if start + 4 == len(points):
            d = end
        straight = (a[0] == b[0] == c[0] == d[0]) or (a[1] == b[1] == c[1] == d[1])
        if straight:
            path.append(f"L{px(d[0])} {px(d[1])}")
        else:
            path.append(f"C{px(b[0])} {px(b[1])} {px(c[0])} {px(c[1])} {px(d[0])} {px(d[1])}")
    return "".join(path), head


def _tag(points: list[Point], place: int) -> str:
    """The number of an operand, beside the arrow's head."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    if abs(y2 - y1) >= abs(x2 - x1):
        x, y = x2 + 5, y2 - 4
        anchor = "start"
    else:
        x, y = (x2 - 9, y2 - 4) if x2 > x1 else (x2 + 9, y2 - 4)
        anchor = "middle"
    return (
        f'<text x="{px(x)}" y="{px(y)}" font-size="9" font-weight="700" text-anchor="{anchor}" {paint("muted")}>'
        f"{place}</text>"
    )


def _remarks(arranged: Arranged) -> list[str]:
    remarks = [elide(remark, 400) for remark in arranged.picture.remarks]
    if arranged.missing:
        remarks.append(f"Intermediate results: {arranged.missing}.")
    for card in arranged.cards.values():
        if card.first:
            what = f"{card.head}: {card.name}" if card.head else card.name
            remarks.append(f"⚠ The first {arranged.blame} that is not finite ({card.bad}) is that of {what}")
            break
    return remarks


def _legend(arranged: Arranged) -> str:
    """What colours and dashes mean, where there are some."""
    maps = any(slot.cell[0] for card in arranged.cards.values() for slot in card.slots)
    parts = any(slot.notes for card in arranged.cards.values() for slot in card.slots)
    dashes = any(not edge.gradient_flows for edge in arranged.picture.edges)
    legend = ["blue > 0, orange < 0"] * maps + ["[:16] part shown, with the range of the whole array"] * parts
    return "; ".join(legend + ["dashed arrow: no gradient flows"] * dashes)


def _wrapped(text: str, room: float) -> list[str]:
    """Lines of at most this width in pixels."""
    most = max(int(room / width("x", 10.5)), 10)
    lines = [""]
    for word in text.split(" "):
        word = elide(word, most)
        longer = f"{lines[-1]} {word}".strip()
        if columns(longer) <= most:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _description(arranged: Arranged) -> str:
    names = [elide(arranged.picture.node(id).name, 60) for id in arranged.picture.outputs[:4]]
    direction = "from top to bottom" if arranged.direction == "TB" else "from left to right"
    end = ", ".join(names) or "nothing"
    return f"A graph of {size_in_words(arranged.picture)}, {direction}, ending in {end}."
