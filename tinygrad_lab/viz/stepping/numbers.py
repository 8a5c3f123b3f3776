"""Arrays as text for a page: few digits, small arrays whole, large ones as statistics, histogram and slices.

What this file lets you do: gather the arrays of a page in a `Table`, which holds equal ones once and writes them as
plain data. Numbers are texts with a few significant digits. NumPy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["SLICE", "WHOLE", "Table", "digits", "shape_text", "shown", "unseen", "windows"]

WHOLE = 64  # elements up to which an array is shown in full
SLICE = 16  # rows and columns of a slice of a larger one
BINS = 24


def digits(value: Any, precision: int = 4) -> str:
    """A number in as few characters as `precision` significant digits take.

    >>> digits(0.05), digits(-1234.5678), digits(1e-7), digits(3), digits(float("nan")), digits(True)
    ('.05', '-1235', '1e-7', '3', 'NaN', '1')
    """
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return str(int(value))
    number = float(value)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    text = f"{number:.{precision}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else "0" if text == "-0" else text


def row(array: np.ndarray, precision: int) -> str:
    """All elements in a line, separated by spaces."""
    return " ".join([digits(value, precision) for value in array.ravel().tolist()])


def windows(size: int) -> list[tuple[int, int]]:
    """The parts of an axis that slices show: all of it, or its beginning, middle and end.

    They depend on the size alone, so slices of arrays in one equation belong together.

    >>> windows(10), windows(784)
    ([(0, 10)], [(0, 16), (384, 400), (768, 784)])
    """
    if size <= SLICE:
        return [(0, size)]
    middle = (size - SLICE) // 2
    return [(start, start + SLICE) for start in (0, middle, size - SLICE)]


def slices(array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(index as NumPy writes it, matrix or vector) for the beginning, middle and end of a large array."""
    chosen = [windows(size) for size in array.shape[-2:]]
    leading = array.shape[:-2]
    several = any(len(choice) > 1 for choice in chosen) or any(size > 1 for size in leading)
    found = []
    for i in range(3 if several else 1):
        at = tuple((0, size // 2, size - 1)[i] for size in leading)
        parts = [choice[min(i, len(choice) - 1)] for choice in chosen]
        text = ", ".join([*map(str, at), *(f"{start}:{stop}" for start, stop in parts)])
        found.append((f"[{text}]", array[at + tuple(slice(*part) for part in parts)]))
    return found


def unseen(array: np.ndarray, result: np.ndarray) -> int:
    """Of the elements of `array` that are summed for each one of `result`, how many no slice shows beside it.

    >>> unseen(np.ones((64, 512)), np.ones(512)), unseen(np.ones((8, 512)), np.ones(512))
    (48, 0)
    """
    seen = slices(array)[0][1].size // max(slices(result)[0][1].size, 1)
    return array.size // max(result.size, 1) - seen


def histogram(values: np.ndarray, low: float, high: float) -> list[int]:
    """How many of the finite `values` lie in each of 24 equal parts of [low, high].

    (NumPy's refuses ranges of a few roundings, and those that overflow.)
    """
    width = high / 2 - low / 2
    if width == 0:
        return [values.size]
    places = ((values / 2 - low / 2) / width * BINS).astype(int)
    return np.bincount(np.minimum(places, BINS - 1), minlength=BINS).tolist()


class Table:
    """The arrays of one page, each of them once.

    >>> table = Table()
    >>> table.add(np.array([[0.5, 1], [0, 2]])), table.add(np.zeros(3)), table.add(np.array([[0.5, 1], [0, 2]]))
    (0, 1, 0)
    >>> table.data()[0]
    {'shape': [2, 2], 'values': '.5 1 0 2'}
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._known: dict[tuple[Any, ...], int] = {}

    def add(self, array: Any) -> int | None:
        """The number of an array in the table; None for what is no array of numbers."""
        if array is None or not isinstance(array, (np.ndarray, np.generic, float, int)):
            return None
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            return None
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self._known:
            self._known[key] = len(self._arrays)
            self._arrays.append(array)
        return self._known[key]

    def data(self) -> list[dict[str, Any]]:
        """Every array as plain data: `values` of small ones; `statistics`, `histogram` and `slices` of large ones.

        Small ones that are long, or have more than two dimensions, have slices too, to be shown beside large ones.
        """
        few = sum(array.size > WHOLE for array in self._arrays) <= 40  # else one slice each keeps the page small
        return [_data(array, 3 if few else 1) for array in self._arrays]


def _data(array: np.ndarray, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": list(array.shape)}
    cut = [
        {"index": index, "columns": part.shape[-1] if part.ndim else 1, "values": row(part, 3)}
        for index, part in slices(array)[:count]
    ]
    if array.size <= WHOLE:
        found["values"] = row(array, 4)
        return found if array.ndim <= 2 and max(array.shape, default=1) <= SLICE else {**found, "slices": cut}
    finite = array[np.isfinite(array)].astype(np.float64)
    bad = array.size - finite.size
    if finite.size:
        low, high = finite.min(), finite.max()
        with np.errstate(all="ignore"):  # values near the largest double
            spread, zeros = finite.std(), np.mean(array == 0)
        found["statistics"] = [digits(value) for value in (low, finite.mean(), high, spread, zeros)]
        found["histogram"] = histogram(finite, low, high)
    if bad:
        found["bad"] = bad
    return {**found, "slices": cut}


def shown(value: Any) -> str:
    """A number as a reader wants it: three digits, a real minus.

    >>> shown(-0.256), shown(12345.0), shown(0.0), shown(1e-6)
    ('−0.256', '1.23e4', '0', '1e−6')
    """
    number = float(value)
    if number != number:
        return "NaN"
    if abs(number) == float("inf"):
        return "∞" if number > 0 else "−∞"
    if number == 0:
        return "0"
    if 1e-3 <= abs(number) < 9999.5:
        text = f"{number:.0f}" if abs(number) >= 999.5 else f"{number:.3g}"
    else:
        mantissa, exponent = f"{number:.2e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", "−")


def shape_text(shape: tuple[int, ...]) -> str:
    """3×4, or "scalar"."""
    return "×".join(map(str, shape)) if shape else "scalar"
