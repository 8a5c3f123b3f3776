"""Heat maps of arrays: blue positive, orange negative, 0 white; what is not finite is hatched.

What this file lets you do: `heat_map(array)` says, as plain data, which elements are shown, on which scale, with the
statistics of the whole; `draw(map, ...)` makes compact SVG of it. Elements are shown as they are, never averaged: block
means would hide structure such as the zeros that a ReLU makes. Knows nothing of graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygrad_lab.viz.drawing.metrics import number, px, shape_text
from tinygrad_lab.viz.palette import HATCH, LEVELS, LIGHT, NOT_FINITE, heat

__all__ = ["HeatMap", "draw", "heat_map", "level", "statistics"]

FULL = 64  # elements that are always shown in full
SIDE = 16  # rows and columns that are shown of larger arrays
NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY = "nan", "+inf", "-inf"


@dataclass
class HeatMap:
    """What is shown of an array.

    cells     the elements shown, 2-D: a vector is one row, or, of 17 to 64 elements, rows of 16 (the last may be
              short: `count` says how many are real)
    scale     the largest finite magnitude of the whole array, which has the full colour; 0 if there is none
    where     "" if all is shown, else the slice in Python's words: "[0, :16, 32:48]"
    title     a sentence about shape, slice and statistics
    """

    shape: tuple[int, ...]
    dtype: str
    cells: np.ndarray
    count: int
    scale: float
    where: str
    title: str
    statistics: dict[str, float]

    @property
    def notes(self) -> list[str]:
        """Of an array that is shown in part: which part, and the range of the whole."""
        if not self.where or "min" not in self.statistics:
            return [self.where] if self.where else []
        low, high = number(self.statistics["min"]), number(self.statistics["max"])
        return [self.where, f"all {low}" if low == high else f"{low} .. {high}"]

    @property
    def not_finite(self) -> bool:
        """Whether anything in the whole array is NaN or infinite."""
        return bool(self.statistics.get("nan", 0) or self.statistics.get("inf", 0))


def statistics(array: np.ndarray) -> dict[str, float]:
    """min, mean, max and std over the finite elements; zeros, nan and inf as counts.

    >>> statistics(np.array([1.0, 3.0, np.nan, 0.0]))
    {'min': 0.0, 'mean': 1.3333333333333333, 'max': 3.0, 'std': 1.247219128924647, 'zeros': 1, 'nan': 1, 'inf': 0}
    """
    if array.size == 0:
        return {}
    if np.issubdtype(array.dtype, np.inexact):
        finite = np.isfinite(array)
        every = bool(finite.all())
        numbers = array if every else array[finite]
        nan = 0 if every else int(np.isnan(array).sum())
        inf = 0 if every else int(array.size - numbers.size - nan)
    else:
        numbers, nan, inf = array, 0, 0
    found: dict[str, float] = {}
    if numbers.size:
        wide = numbers.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float have an infinite std
            mean, std = float(wide.mean()), float(wide.std())
        found = {"min": float(wide.min()), "mean": mean, "max": float(wide.max()), "std": std}
    return found | {"zeros": int((array == 0).sum()), "nan": nan, "inf": inf}


def heat_map(array: np.ndarray) -> HeatMap:
    """What to show of an array of any shape and dtype: up to 64 elements all, of more a slice of 16 by 16 at most.

    The last two dimensions that are not 1 are shown, at index 0 of the others, from (0, 0), or around the element of
    largest magnitude where all at (0, 0) would be one number though the array is not.

    >>> heat_map(np.ones((8, 3, 20, 20))).where, heat_map(np.ones((2, 40, 1, 1))).where
    ('[0, 0, :16, :16]', '[:, :16, 0, 0]')
    """
    array = np.asarray(array)
    found = statistics(array)
    scale = max((abs(found[name]) for name in ("min", "max") if name in found), default=0.0)
    count, where = array.size, ""
    if array.size == 0:
        cells = np.zeros((0, 0), array.dtype)
    elif array.size <= FULL and (array.ndim <= 2 or max(array.shape) == array.size):
        cells, count = _whole(array)
    elif array.ndim == 1:
        begin = _window(array[None, :], 1)[1]
        cells = array[None, begin : begin + SIDE]
        count, where = cells.size, f"[{_slice(begin, SIDE, array.size)}]"
    else:
        across = sorted(range(array.ndim), key=lambda axis: (array.shape[axis] != 1, axis))[-2:]
        parts = [":" if axis in across else "0" for axis in range(array.ndim)]
        matrix = array[tuple(slice(None) if part == ":" else 0 for part in parts)]
        row, column, cells = 0, 0, matrix
        if matrix.size > FULL:
            row, column = _window(matrix, SIDE)
            cells = matrix[row : row + SIDE, column : column + SIDE]
        for axis, begin, shown, size in zip(sorted(across), (row, column), cells.shape, matrix.shape, strict=True):
            parts[axis] = _slice(begin, shown, size)
        count = cells.size
        where = "[" + ", ".join(parts) + "]" if count < array.size else ""
    made = HeatMap(tuple(array.shape), str(array.dtype), cells, count, scale, where, "", found)
    made.title = _title(made, array)
    return made


def _whole(array: np.ndarray) -> tuple[np.ndarray, int]:
    if array.ndim == 2:
        return array, array.size
    flat = array.reshape(-1)
    if flat.size <= SIDE:
        return flat[None, :], flat.size
    rows = -(-flat.size // SIDE)
    cells = np.zeros((rows, SIDE), array.dtype)
    cells.reshape(-1)[: flat.size] = flat
    return cells, flat.size


def _window(matrix: np.ndarray, high: int) -> tuple[int, int]:
    corner = matrix[:high, :SIDE]
    if (corner != corner[0, 0]).any() or not (matrix != matrix[0, 0]).any():
        return 0, 0
    row, column = divmod(int(np.argmax(np.abs(np.nan_to_num(matrix.astype(np.float64))))), matrix.shape[1])
    return (
        max(min(row - high // 2, matrix.shape[0] - high), 0),
        max(min(column - SIDE // 2, matrix.shape[1] - SIDE), 0),
    )


def _slice(begin: int, number_of: int, size: int) -> str:
    end = min(begin + number_of, size)
    return f"{begin or ''}:{'' if end >= size else end}"


def _title(made: HeatMap, array: np.ndarray) -> str:
    if array.size == 0:
        return f"{shape_text(made.shape)} {made.dtype}: empty, no elements"
    if array.ndim == 0:
        return f"scalar {made.dtype}: {number(array.item())}"
    parts = [f"{shape_text(made.shape)} {made.dtype}"]
    if made.where:
        parts.append(f"shown: {made.where}")
    elif made.cells.ndim == 2 and array.ndim == 1 and made.cells.shape[0] > 1:
        parts.append(f"in rows of {made.cells.shape[1]}")
    found = made.statistics
    if "min" in found and array.dtype != bool:
        parts.append(", ".join(f"{name} {number(found[name])}" for name in ("min", "mean", "max")))
    for name, word in (("nan", "NaN"), ("inf", "infinite")):
        if found[name]:
            parts.append(f"{found[name]} {word}")
    return "; ".join(parts)


def level(value: object, scale: float) -> int | str:
    """A heat map's level of a value: -8 to 8, 0 for 0 alone; or "nan", "+inf", "-inf".

    >>> level(0.001, 1.0), level(-1.0, 1.0), level(0.0, 1.0), level(float("nan"), 1.0)
    (1, -8, 0, 'nan')
    """
    x = float(value)  # type: ignore[arg-type]
    if x != x:
        return NAN
    if x in (float("inf"), float("-inf")):
        return POSITIVE_INFINITY if x > 0 else NEGATIVE_INFINITY
    if x == 0 or scale == 0:
        return 0
    size = min(max(round(abs(x) / scale * LEVELS), 1), LEVELS)
    return size if x > 0 else -size


def draw(shown: HeatMap, x: float, y: float, cell: tuple[float, float]) -> str:
    """SVG of the cells with their upper left corner at (x, y); cell: width and height of one, in pixels.

    An empty array gives a dashed frame with the word "empty".
    """
    rows, across = shown.cells.shape
    wide, high = cell
    if not shown.count:
        return (
            f'<rect x="{px(x)}" y="{px(y)}" width="34" height="13" fill="none" class="s-map-line" '
            f'stroke="{LIGHT["map-line"]}" stroke-width=".8" stroke-dasharray="2 2"/>'
            f'<text x="{px(x + 17)}" y="{px(y + 9.5)}" font-size="8.5" text-anchor="middle" class="f-muted" '
            f'fill="{LIGHT["muted"]}">empty</text>'
        )
    levels = [[level(value, shown.scale) for value in row] for row in shown.cells.tolist()]
    last = shown.count - (rows - 1) * across  # cells of the last row
    runs: dict[int | str, list[str]] = {}
    lengths: dict[int | str, int] = {}
    hatched = []
    for row, line in enumerate(levels):
        if row == rows - 1:
            line = line[:last]
        begin = 0
        for column in range(1, len(line) + 1):
            if column < len(line) and line[column] == line[begin]:
                continue
            key = line[begin] if isinstance(line[begin], int) else NAN
            runs.setdefault(key, []).append(f"M{begin} {row}h{column - begin}")
            lengths[key] = lengths.get(key, 0) + 1
            begin = column
        hatched += [(row, column, mark) for column, mark in enumerate(line) if isinstance(mark, str)]
    ground = max(runs, key=lambda key: (lengths[key], str(key))) if last == across else None
    parts = [f'<g class="map" shape-rendering="crispEdges" transform="translate({px(x)} {px(y)})">']
    if ground is not None:
        parts.append(f'<path fill="{_color(ground)}" d="M0 0h{px(wide * across)}v{px(high * rows)}H0z"/>')
    pieces = [
        f'<path stroke="{_color(key)}" d="{"".join(runs[key])}"/>' for key in sorted(runs, key=str) if key != ground
    ]
    if pieces:
        scale = px(wide) if wide == high else f"{px(wide)} {px(high)}"
        parts.append(f'<g transform="translate(0 {px(high / 2)})scale({scale})">{"".join(pieces)}</g>')
    parts.append(_hatching(hatched, wide, high))
    parts.append(_outline(rows, across, last, wide, high))
    parts.append("</g>")
    return "".join(parts)


def _color(key: int | str) -> str:
    return heat(key) if isinstance(key, int) else NOT_FINITE


def _hatching(cells: list[tuple[int, int, str]], wide: float, high: float) -> str:
    """Stripes over what is not finite: rising for NaN, upright for +inf, level for -inf; two in large cells."""
    if not cells:
        return ""
    marks = []
    for row, column, kind in cells:
        x, y = column * wide, row * high
        if kind == NAN:
            marks.append(f"M{px(x)} {px(y + high)}l{px(wide)} {px(-high)}")
            if min(wide, high) >= 8:
                marks.append(f"M{px(x)} {px(y + high / 2)}l{px(wide / 2)} {px(-high / 2)}")
                marks.append(f"M{px(x + wide / 2)} {px(y + high)}l{px(wide / 2)} {px(-high / 2)}")
        elif kind == POSITIVE_INFINITY:
            marks.append(f"M{px(x + wide / 2)} {px(y)}v{px(high)}M{px(x)} {px(y + high / 2)}h{px(wide)}")
        else:
            marks.append(f"M{px(x)} {px(y + high / 2)}h{px(wide)}")
    thick = "1.6" if min(wide, high) >= 8 else ".8"
    return f'<path fill="none" shape-rendering="auto" stroke="{HATCH}" stroke-width="{thick}" d="{"".join(marks)}"/>'


def _outline(rows: int, across: int, last: int, wide: float, high: float) -> str:
    """The frame, and lines between cells where they are large enough to have some."""
    if last == across:
        path = f"M0 0h{px(wide * across)}v{px(high * rows)}H0z"
    else:
        path = (
            f"M0 0h{px(wide * across)}v{px(high * (rows - 1))}h{px(-wide * (across - last))}v{px(high)}H0z"
            if rows > 1
            else f"M0 0h{px(wide * last)}v{px(high)}H0z"
        )
    lines = ""
    if min(wide, high) >= 5:
        lines = "".join(f"M{px(wide * c)} 0v{px(high * (rows if c <= last else rows - 1))}" for c in range(1, across))
        lines += "".join(f"M0 {px(high * r)}h{px(wide * across)}" for r in range(1, rows))
        lines = f'<path fill="none" stroke="#000" stroke-opacity=".13" stroke-width=".6" d="{lines}"/>' if lines else ""
    return (
        f'{lines}<path fill="none" class="s-map-line" stroke="{LIGHT["map-line"]}" stroke-width=".8" '
        f'shape-rendering="auto" d="{path}"/>'
    )
