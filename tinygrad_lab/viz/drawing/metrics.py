"""Text in drawings: how wide it is in a monospace font, how to shorten it, how to write it safely into XML.

Sizes are counted in columns, so that they need no font and are the same on every machine: wide characters and emoji
take two, combining marks and joiners none. Names may hold anything: what XML forbids and what would change the
direction of the text around it is shown as U+FFFD.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["FONT", "clean", "columns", "elide", "escape", "number", "px", "shape_text", "width"]

FONT = "'DejaVu Sans Mono','Menlo','Consolas','Liberation Mono',monospace"
ADVANCE = 0.6022  # of DejaVu Sans Mono and Menlo, in font sizes; other monospace fonts are not wider
DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def columns(text: str) -> int:
    """How many columns of a monospace font a text takes.

    >>> columns("weight"), columns("重み"), columns("e\\u0301"), columns("👩\\u200d🔬")
    (6, 4, 1, 4)
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str, size: float) -> float:
    """Width in pixels at a font size."""
    return columns(text) * ADVANCE * size


def clean(text: str) -> str:
    """The text on one line, with what cannot be drawn, or would turn the text around it, as U+FFFD.

    >>> clean("a\\nb\\u202ec\\x00")
    'a b\\ufffdc\\ufffd'
    """
    if text.isprintable():  # which no mark of direction is
        return text
    return "".join(map(_clean, text))


def _clean(character: str) -> str:
    if character in "\t\n\r\u0085\u2028\u2029":
        return " "
    bad = character in DIRECTION or unicodedata.category(character) in ("Cc", "Cs", "Cn")
    return "\ufffd" if bad else character


def elide(text: str, most: int) -> str:
    """A clean text of at most `most` columns: the middle gives way to an ellipsis.

    >>> elide("encoder.layers.0.attention", 13)
    'encode…ention'
    """
    if len(text) > 4 * most + 64:  # what is in the middle of a very long name is never shown
        text = text[: 2 * most + 32] + text[-2 * most - 32 :]
        shortened = True
    else:
        shortened = False
    text = clean(text)
    if columns(text) <= most and not shortened:
        return text
    head, tail = (most - 1 + 1) // 2, (most - 1) // 2
    return _start(text, head) + "…" + _start(text[::-1], tail, reverse=True)[::-1]


def _start(text: str, most: int, reverse: bool = False) -> str:
    """The longest start of at most `most` columns that does not part marks from their letter."""
    taken, total, end = [], 0, 0
    for character in text:
        if total + _columns(character) > most:
            break
        taken.append(character)
        total += _columns(character)
        if reverse and _columns(character):
            end = len(taken)
    if reverse:
        return "".join(taken[:end])
    return "".join(taken)


def px(value: float) -> str:
    """A length in as few characters as a hundredth of a pixel needs.

    >>> px(12.0), px(0.5), px(-0.001)
    ('12', '0.5', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@lru_cache(4096)  # symbols, shapes and captions repeat
def escape(text: str) -> str:
    """A clean text for XML, in elements and in attributes.

    >>> escape('<b>"x"</b>')
    '&lt;b&gt;&quot;x&quot;&lt;/b&gt;'
    """
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#39;")


def shape_text(shape: tuple[int, ...]) -> str:
    """How cards write a shape.

    >>> shape_text((64, 256)), shape_text((3,)), shape_text(())
    ('64×256', '3', 'scalar')
    """
    return "×".join(map(str, shape)) if shape else "scalar"


def number(value: object) -> str:
    """A number in at most eight columns, with a true minus; 0-d values of arrays as they are.

    >>> number(0.6824931), number(-0.0000123), number(12345678.0), number(3), number(True), number(float("-inf"))
    ('0.6825', '−1.2e−05', '1.23e+07', '3', 'True', '−∞')
    """
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "True" if value else "False"
    if isinstance(value, int):
        text = str(value) if abs(value) < 10**8 else f"{value:.2e}"
        return text.replace("-", "−")
    x = float(value)  # type: ignore[arg-type]
    if x != x:
        return "NaN"
    if x in (float("inf"), float("-inf")):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    size = abs(x)
    if size < 1e-3:
        text = f"{x:.1e}"
    elif size >= 1e5:
        text = f"{x:.2e}"
    else:
        text = f"{x:.4g}" if size >= 1 else f"{x:.4f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")
