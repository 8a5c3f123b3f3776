"""What all figures share: colours, fonts, the number format, placing labels beside lines, and writing a file.

What this file lets you do: draw inside `drawing()`, which makes a figure look the same whatever the user's matplotlib
settings are; `new_figure`, `finish`. No pyplot: its global list of figures would keep every one alive, and its backend
may want a screen. It knows matplotlib alone, nothing of runs.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

INK, MUTED, GRID, PAPER = "#1a1a1a", "#5c5c5c", "#d8d8d8", "#ffffff"

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/, those with the higher contrast to white first. Two of its
# last ones have less than 3:1, so colour never stands alone: runs differ in markers and dashes too, and have labels.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", INK, "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))

_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei", "SimHei")
_STYLE: dict[Any, Any] = {
    "font.size": 15,
    "axes.titlesize": 18,
    "axes.titlepad": 12,
    "axes.labelsize": 16,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a run called a$b$c is no formula
    "svg.hashsalt": "tinygrad_lab",  # the same data gives the same file
    "savefig.dpi": 150,
}
_lock = threading.RLock()  # matplotlib's settings are the process's


def _fonts() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FONTS if name in installed)]


@contextmanager
def drawing() -> Iterator[None]:
    """The settings in which figures are drawn and written. ImportError naming the extra if matplotlib is missing."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise ImportError("figures need matplotlib: pip install 'tinygrad_lab[lab]'") from None
    with _lock, matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box where no font has it
        matplotlib.rcParams.update({k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"})
        matplotlib.rcParams.update(_STYLE | {"font.sans-serif": _fonts()})
        yield


def drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function that draws inside `drawing()`."""

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with drawing():
            return function(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Any:
    """An empty figure of that many inches; titles and labels get the room they need."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.12)
    return figure


def finish(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """The figure, or if there is a path the Path to which it is written, whole or not at all.

    Raises:
        ValueError: the path ends in neither .png nor .svg.
    """
    if path is None:
        figure.draw_without_rendering()  # ticks are made when first drawn: with our settings
        return figure
    target = Path(path)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"a figure's path must end in .png or .svg, got {target.name!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def plain(text: object, limit: int = 40) -> str:
    """`text` on one line, without what cannot be printed, at most `limit` characters, cut in the middle.

    >>> plain("a\\n\\x00b  c"), plain("run number 12", 5)
    ('a b c', 'ru…12')
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    tail = (limit - 1) // 2  # names that begin alike often differ at the end
    return line if len(line) <= limit else line[: limit - 1 - tail] + "…" + line[len(line) - tail :]


def number(value: object) -> str:
    """A swept value as people write it.

    >>> number(0.001), number(100), number([64, 10]), number(True), number("adam"), number(1e-05)
    ('0.001', '100', '64, 10', 'yes', 'adam', '1e-05')
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(number(part) for part in value) or "none"
    return "none" if value is None else plain(value)


def luminance(colour: Sequence[float] | str) -> float:
    """Relative luminance of an sRGB colour, 0 (black) to 1 (white). Source: https://www.w3.org/TR/WCAG21/

    >>> luminance("#ffffff"), luminance((0.0, 0.0, 0.0))
    (1.0, 0.0)
    """
    if isinstance(colour, str):
        colour = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return round(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], 12)


def text_on(colour: Sequence[float] | str) -> str:
    """Black or white, whichever contrasts more with the colour.

    >>> text_on("#ffff00"), text_on("#000080")
    ('#000000', '#ffffff')
    """
    return "#000000" if (luminance(colour) + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The nearest places (in squares) that keep the order, lie `gap` apart, and within low..high if there is room.

    Pooling of adjacent violators: subtract i * gap from the i-th, and what is left must not decrease.

    >>> spread_out([5, 5, 9], 2, 0, 10)
    [4.0, 6.0, 9.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    pools: list[tuple[float, int]] = []  # (mean, how many)
    for rank, i in enumerate(order):
        pools.append((places[i] - rank * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, m), (a, n) = pools.pop(), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    top = max(low, high - (len(places) - 1) * gap)
    flat = [min(max(mean, low), top) for mean, count in pools for _ in range(count)]
    result = [0.0] * len(places)
    for rank, i in enumerate(order):
        result[i] = float(flat[rank] + rank * gap)
    return result


class End(NamedTuple):
    """Where a line ends, and what is written beside it."""

    x: float
    y: float
    text: str
    colour: str


LABEL_SIZE = 14


def label_ends(figure: Any, axes: Any, ends: Sequence[End]) -> None:
    """Write each line's name to the right of the axes, at the height of its end, joined to it by a thin line."""
    figure.get_layout_engine().execute(figure)  # the height of the axes is known after it
    height = axes.get_window_extent().height
    gap = LABEL_SIZE * 1.3 * figure.dpi / 72 / height
    low, high = axes.get_ylim()
    last = max((end.x for end in ends), default=0)
    to_axes = axes.transScale + axes.transLimits
    heights = [float(to_axes.transform((end.x, min(max(end.y, low), high)))[1]) for end in ends]
    for end, place in zip(ends, spread_out(heights, gap, 0.0, 1.0), strict=True):
        axes.annotate(
            end.text,
            xy=(end.x, min(max(end.y, low), high)),
            xytext=(1.07, place),
            textcoords="axes fraction",
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 1.5,
                "linestyle": "-" if end.x == last else ":",  # a run that ended earlier: its line does not go on
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 0,
            },
        )


def finite(values: Sequence[float | None]) -> list[float]:
    """The values as floats, with NaN for None and the infinite: lines have gaps there.

    >>> finite([1, None, float("inf")])
    [1.0, nan, nan]
    """
    return [float(v) if v is not None and math.isfinite(v) else math.nan for v in values]
