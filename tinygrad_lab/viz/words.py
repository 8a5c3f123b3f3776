"""Names and arrays in few words, for every form of a picture that has letters.

What this file lets you do: `clean` a name of whatever somebody called something, so that it takes one short line and no
character of it acts on its surroundings; say an array in a few words (`brief`). It must not know what a picture is.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

__all__ = ["brief", "clean", "counted", "index_text", "shape_words"]

_LONGEST = 40


def clean(text: str, longest: int = _LONGEST) -> str:
    """`text` on one line, at most `longest` characters: control characters, direction marks and the like as escapes.

    >>> clean("a\\nb"), clean("fc1.weight"), clean("x" * 10, 7)
    ('a\\\\nb', 'fc1.weight', 'xxx…xxx')
    """
    if len(text) > 2 * longest:  # before escaping, which costs time for every character
        text = text[:longest] + text[-longest:]
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_visible, text))
    if len(text) > longest:
        half = (longest - 1) // 2
        text = text[: longest - 1 - half] + "…" + text[-half:]
    return text


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "CZ" and character != " ":
        return character.encode("unicode_escape").decode()
    return character


def shape_words(shape: tuple[int, ...]) -> str:
    """`3x4`, `3` or `scalar`."""
    return "x".join(map(str, shape)) if shape else "scalar"


def counted(number: int, what: str) -> str:
    """`1 op`, `1,000 ops`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def brief(array: np.ndarray) -> str:
    """A number or up to four of them as they are, more as their range; NaN and infinity are called out.

    >>> brief(np.array(0.125)), brief(np.arange(12.0)), brief(np.array([1.0, np.nan, 2.0, 3.0, 4.0]))
    ('0.125', '0 .. 11', '1 .. 4, 1 NaN!')
    """
    if array.ndim == 0:
        return _number(array.item()) + ("" if array.dtype.kind != "f" or np.isfinite(array) else "!")
    bad = "" if array.dtype.kind != "f" else bad_words(array)
    if array.size <= 4 and not bad:
        return "[" + " ".join(map(_number, array.ravel().tolist())) + "]"
    finite = array[np.isfinite(array)] if bad else array
    extent = []
    if finite.size:
        low, high = _number(finite.min().item()), _number(finite.max().item())
        extent = [low if finite.size == 1 else f"all {low}" if low == high else f"{low} .. {high}"]
    return ", ".join([*extent, *([bad] if bad else [])])


def bad_words(array: np.ndarray) -> str:
    """'3 NaN, 1 inf!' for what is not finite, '' if all is."""
    if np.isfinite(array).all():
        return ""
    nan = int(np.isnan(array).sum())
    infinite = int(np.isinf(array).sum())
    return ", ".join([f"{count} {what}" for count, what in ((nan, "NaN"), (infinite, "inf")) if count]) + "!"


def index_text(index: Any) -> str:
    """An index as it is written: "0, :, 1:3"; arrays as "…".

    >>> index_text((0, slice(None), slice(1, None, 2))), index_text(np.arange(3))
    ('0, :, 1::2', '…')
    """
    items = index if isinstance(index, tuple) else (index,)
    return ", ".join(map(_item_text, items))


def _item_text(item: Any) -> str:
    if isinstance(item, slice):
        start, stop, step = ("" if part is None else str(part) for part in (item.start, item.stop, item.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if item is Ellipsis:
        return "..."
    return str(item) if item is None or isinstance(item, (int, np.integer)) else "…"
