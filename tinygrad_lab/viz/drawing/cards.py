"""One card of a drawing: what it says, how large that is, and its SVG.

An op's card has a dark header with its symbol; a leaf's is a chip without one. Below: name and shape, a note, and heat
maps of value and gradient, or their numbers; a map of a part of an array says which, and the range of the whole. A
gradient that is not there is said to be "not computed", never shown as 0. Knows nodes, and nothing of where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tinygrad_lab.viz.drawing import heatmap
from tinygrad_lab.viz.drawing.metrics import elide, escape, number, px, shape_text, width
from tinygrad_lab.viz.palette import LIGHT
from tinygrad_lab.viz.picture import PictureNode

__all__ = ["Card", "draw_card", "make_card", "not_finite", "paint"]

HEAD = 22.0  # height of a header
PAD = 9.0
NAME, SMALL, CAPTION = 11.5, 10.0, 8.5  # font sizes
MAP_WIDE, MAP_HIGH = 64.0, 36.0  # room for a heat map
CHIP_MAP_HIGH = 26.0
STACK = 4.0  # how far each of the two sheets behind a folded run of calls shows


@cache
def paint(fill: str | None = None, stroke: str | None = None) -> str:
    """Attributes that paint by role: literal colours for every program, classes for the reader's theme.

    >>> paint("page")
    'class="f-page" fill="#ffffff"'
    """
    classes = ([f"f-{fill}"] if fill else []) + ([f"s-{stroke}"] if stroke else [])
    colors = (f' fill="{LIGHT[fill]}"' if fill else "") + (f' stroke="{LIGHT[stroke]}"' if stroke else "")
    return f'class="{" ".join(classes)}"{colors}'


@dataclass
class Slot:
    """A value or a gradient on a card: a heat map, a number, or words for why there is none.

    The notes are lines below the caption.
    """

    caption: str
    width: float
    height: float
    map: heatmap.HeatMap | None = None
    cell: tuple[float, float] = (0.0, 0.0)
    text: str = ""
    bad: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Card:
    """A node ready to be drawn. width and height hold all of it, the sheets behind a folded run among it."""

    node: PictureNode
    role: str
    head: str
    head_right: str
    name: str
    shape: str
    lines: list[str]
    slots: list[Slot]
    bad: str = ""  # "NaN", "∞" or "NaN, ∞" where the value has some, "grad NaN" where only the gradient has
    first: bool = False  # the first card of the picture with some
    width: float = 0.0
    height: float = 0.0

    @property
    def sheets(self) -> float:
        return 2 * STACK if self.node.kind == "fold" and self.node.repeats > 1 else 0.0

    @property
    def chip(self) -> bool:
        return not self.head


def make_card(node: PictureNode, *, values: bool, blame: str = "", first: bool = False, silent: bool = False) -> Card:
    """The card of a node.

    values  with heat maps
    blame   what of the picture first is not finite, "value" or "gradient": cards with such a one are in a warning
            colour; first: this is the first of them
    silent  says nothing about values and gradients that are not there
    """
    of_value, of_gradient = not_finite(node.value), not_finite(node.gradient)
    bad = of_value or (f"grad {of_gradient}" if of_gradient else "")
    role = {"parameter": "parameter", "input": "data", "target": "data", "loss": "loss"}.get(node.kind, "op")
    leaf = node.kind in ("parameter", "input", "target", "constant")
    head = "" if leaf else elide(node.symbol or node.op or node.kind, 20)
    if not leaf and (of_value or (of_gradient and blame == "gradient")):
        role = "bad"
    right = f"×{node.repeats}" if node.repeats > 1 else ""
    if bad and not leaf:
        right = f"{right} ⚠ {'first ' if first else ''}{bad}".strip()
    lines = [elide(node.note, 30)] if node.note else []
    badges = []
    if node.kind == "parameter" and node.frozen:
        badges.append("frozen")
    if node.shared:
        badges.append("shared")
    if leaf and node.uses > 1:
        badges.append(f"{node.uses} uses")
    if badges:
        lines.append(", ".join(badges))
    if bad and leaf:
        lines.append(f"⚠ {'first ' if first else ''}{bad}")
    shape = shape_text(node.shape) if node.dtype else ""
    card = Card(node, role, head, right, elide(node.name, 22), shape, lines, [], bad, first)
    if node.kind == "constant" and node.value is not None and node.value.ndim == 0:
        card.name, card.shape = number(node.value.item()), ""  # a number's name is the number
    elif values:
        card.slots = _slots(node, CHIP_MAP_HIGH if leaf else MAP_HIGH)
        if silent:
            card.slots = [slot for slot in card.slots if slot.map is not None]
    _measure(card)
    return card


def not_finite(array: np.ndarray | None) -> str:
    """What an array has that is not finite.

    >>> not_finite(np.array([1.0, np.nan])), not_finite(np.array([-np.inf])), not_finite(np.array([1]))
    ('NaN', '∞', '')
    """
    if array is None or not np.issubdtype(array.dtype, np.inexact) or np.isfinite(array).all():
        return ""
    return ", ".join(["NaN"] * bool(np.isnan(array).any()) + ["∞"] * bool(np.isinf(array).any()))


def _slots(node: PictureNode, high: float) -> list[Slot]:
    slots = []
    if node.value is not None:
        slots.append(_slot("value", node.value, high))
    elif node.no_value and node.kind != "fold":
        slots.append(_words(node.no_value))
    if node.gradient is not None:
        slots.append(_slot("grad", node.gradient, high))
    elif node.requires_grad:
        slots.append(_words(node.no_gradient or "grad not computed"))
    return slots


def _words(text: str) -> Slot:
    """Why there is nothing to show, in two lines."""
    first, _, second = text.rpartition(" ")
    return Slot("", max(width(first, CAPTION), width(second, CAPTION)), 2 * CAPTION + 2, text=f"{first}\n{second}")


def _slot(caption: str, array: np.ndarray, high: float) -> Slot:
    if array.size == 1:
        shown = heatmap.heat_map(array)
        text = number(array.reshape(-1)[0].item())
        return Slot(
            caption, max(width(text, 13), width(caption, CAPTION)), 15.0, shown, text=text, bad=shown.not_finite
        )
    shown = heatmap.heat_map(array)
    rows, across = shown.cells.shape
    if not shown.count:
        return Slot(caption, 34.0, 13.0, shown)
    wide = max(min(12.0, MAP_WIDE / across), 1.0)
    tall = min(12.0, high / rows)
    if rows > 1 and across > 1 and max(rows, across) <= 16:
        wide = tall = min(wide, tall)
    if min(wide, tall) >= 2:
        wide, tall = float(int(wide)), float(int(tall))
    room = max(wide * across, *(width(line, CAPTION) for line in (caption, *shown.notes)))
    return Slot(caption, room, tall * rows, shown, (wide, tall), bad=shown.not_finite, notes=shown.notes)


def _measure(card: Card) -> None:
    name_line = width(card.name, NAME) + (14 + width(card.shape, SMALL) if card.shape else 0)
    wide = max([name_line] + [width(line, SMALL) for line in card.lines])
    if card.slots:
        wide = max(wide, sum(slot.width for slot in card.slots) + 12 * (len(card.slots) - 1))
    if card.head:
        head = width(card.head, 12.5) + (14 + width(card.head_right, SMALL) if card.head_right else 0)
        wide = max(wide, head, 82.0)
    high = (HEAD if card.head else 0) + 6 + 13 + len(card.lines) * 12.5
    if card.slots:
        high += 5 + max(slot.height for slot in card.slots) + (11 if any(slot.caption for slot in card.slots) else 0)
        high += 10 * max(len(slot.notes) for slot in card.slots)
    step = 12 if card.head else 6  # few different widths, so that cards in a column look aligned
    card.width = float(-(-int(wide + 2 * PAD) // step) * step) + card.sheets
    card.height = float(int(high + 7)) + card.sheets


def draw_card(card: Card) -> str:
    """SVG of a card with its upper left corner at (0, 0)."""
    node, parts = card.node, []
    x = y = 0.0
    wide, high = card.width - card.sheets, card.height - card.sheets
    round_by = {"parameter": 9, "data": 2}.get(card.role, 4)
    line = f"{card.role}-line"
    thick = "2.6" if card.first else "1.4"
    dashes = ' stroke-dasharray="5 3"' if node.kind == "parameter" and node.frozen else ""
    for sheet in (2, 1) if card.sheets else ():
        parts.append(
            f'<rect x="{px(x + sheet * STACK)}" y="{px(y + sheet * STACK)}" width="{px(wide)}" height="{px(high)}" '
            f'rx="{round_by}" {paint(card.role, line)}/>'
        )
    if card.chip and card.bad:
        line = "bad-line"
    parts.append(
        f'<rect x="{px(x)}" y="{px(y)}" width="{px(wide)}" height="{px(high)}" rx="{round_by}" '
        f'{paint(card.role, line)} stroke-width="{thick}"{dashes}/>'
    )
    top = y
    if card.head:
        r, inner = round_by, wide - 2 * round_by
        shape = f"v{px(r - HEAD)}a{r} {r} 0 0 1 {r} -{r}h{px(inner)}a{r} {r} 0 0 1 {r} {r}v{px(HEAD - r)}z"
        parts.append(f'<path {paint(f"{card.role}-head")} d="M{px(x)} {px(y + HEAD)}{shape}"/>')
        parts.append(_text(x + PAD, y + 15.5, card.head, 12.5, "on-head", bold=True))
        if card.head_right:
            parts.append(_text(x + wide - PAD, y + 15.2, card.head_right, SMALL, "on-head", end=True, bold=True))
        top = y + HEAD
    base = top + 6 + 10.5
    parts.append(_text(x + PAD, base, card.name, NAME, "ink", bold=card.chip or not _numbered(node)))
    parts.append(_text(x + wide - PAD, base, card.shape, SMALL, "muted", end=True))
    for line_text in card.lines:
        base += 12.5
        parts.append(_text(x + PAD, base, line_text, SMALL, "muted"))
    if card.slots:
        parts.append(_draw_slots(card, x, base + 2.5 + 5, wide))
    return "".join(parts)


def _numbered(node: PictureNode) -> bool:
    """Whether the name is only a number that the reader gave, such as "t3"."""
    return node.name[:1] == "t" and node.name[1:].isdecimal()


def _draw_slots(card: Card, x: float, y: float, wide: float) -> str:
    room = max(slot.height for slot in card.slots)
    at, parts = x + PAD, []
    step = 12.0
    if len(card.slots) == 2:  # the gradient begins in the middle where it fits there
        step = max(step, wide / 2 - PAD + 2 - card.slots[0].width)
        step = min(step, max(12.0, wide - 2 * PAD - card.slots[0].width - card.slots[1].width))
    for slot in card.slots:
        part = "gradient" if slot.caption == "grad" else "value"
        parts.append(f'<g data-part="{part}">')
        if slot.map is not None and slot.cell[0]:
            parts.append(heatmap.draw(slot.map, at, y, slot.cell))
        elif slot.map is not None and not slot.text:
            parts.append(heatmap.draw(slot.map, at, y, (12, 12)))
        elif slot.map is not None:
            role = "bad-line" if slot.bad else "ink"
            parts.append(_text(at, y + 12, slot.text, 13, role, bold=True))
        else:
            for index, line in enumerate(slot.text.split("\n")):
                parts.append(_text(at, y + 9 + index * 10, line, CAPTION, "muted"))
        for index, line in enumerate([slot.caption, *slot.notes] if slot.caption else []):
            parts.append(_text(at, y + room + 9 + index * 10, line, CAPTION, "muted"))
        parts.append("</g>")
        at += slot.width + step
    return "".join(parts)


def _text(x: float, y: float, text: str, size: float, role: str, *, bold: bool = False, end: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    isolate = "" if text.isascii() else ' unicode-bidi="isolate" direction="ltr"'
    place = f'x="{px(x)}" y="{px(y)}" font-size="{px(size)}"'
    return f"<text {place}{weight}{anchor}{isolate} {paint(role)}>{escape(text)}</text>"
