"""The fast check: three random directions through a parameter, and the way from a wrong one to the wrong element.

What this file lets you do: check a parameter of any size with about 40 evaluations (`FastCheck`), on plain arrays.
A random direction sees every element; since the tolerance does not grow with the size, one wrong element in a million
shows, and halving the elements finds it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_lab.verify.judging import PRECISION, Differences, judge, negligible, overall
from tinygrad_lab.verify.point import Point, natural_scales, random_signs
from tinygrad_lab.verify.results import KINK, OK, UNCERTAIN, VERDICTS, WRONG, Entry, ParameterResult
from tinygrad_lab.verify.slopes import Slope, slope

__all__ = ["FastCheck"]

HALVINGS = 100  # of a direction that disagrees, at most; a million elements take 20


class FastCheck:
    """The check of one parameter: `run` does it all."""

    def __init__(
        self, point: Point, k: int, name: str, given: np.ndarray, rng: Any, rtol: float | None, largest: float
    ) -> None:
        self.point, self.k, self.name, self.rng = point, k, name, rng
        self.rtol = PRECISION.get(given.dtype.name, 1e-8) if rtol is None else rtol
        self.given, self.largest = given, largest
        self.gradient = given.astype(np.float64)
        self.noise = point.noise(k, natural_scales(point.origin[k], 0.1), rng)

    def compare(self, d: np.ndarray, start: float = 1e-2) -> tuple[int, float, Slope, float]:
        """(verdict, g.d, slope along d, how far off beyond what is allowed)."""
        phi, masks = self.point.direction(self.k, d)
        found = slope(phi, self.point.f0, self.noise, masks, start)
        products = (self.gradient * d).ravel()
        expected = float(np.sum(products))
        # Rounding of the single elements is random, so it adds up like the norm: the tolerance does not grow with size.
        size = max(abs(found.value), float(np.linalg.norm(products)))
        allowed = 10 * found.error + self.rtol * size
        if not math.isfinite(expected):
            return WRONG, expected, found, math.inf
        if not math.isfinite(found.value) or not math.isfinite(found.error):
            return UNCERTAIN, expected, found, 0.0
        off = abs(expected - found.value)
        if found.kind == "kink":
            low, high = sorted((found.left, found.right))
            off = max(low - expected, expected - high, 0.0)
            return (KINK if off <= allowed else WRONG), expected, found, off - allowed
        if off > allowed:
            return WRONG, expected, found, off - allowed
        unsure = 10 * found.error > 0.01 * size
        if unsure and negligible(float(np.linalg.norm(products)), found.error, self.point.f0, self.largest):
            unsure = False
        return (UNCERTAIN if unsure else OK), expected, found, off - allowed

    def run(self) -> ParameterResult:
        result = ParameterResult(self.name, self.given.shape, "fast", "ok", gradient=self.gradient)
        x = self.point.origin[self.k]
        failed, codes = False, list[int]()
        for least in (0.1, 1e-3, 1.0):
            d = natural_scales(x, least) * random_signs(x.shape, self.rng)
            verdict, expected, found, _ = self.compare(d)
            if verdict in (WRONG, UNCERTAIN):
                # A large step may have crossed a kink of some element: once more from close by.
                again = self.compare(d, 1e-7)
                if again[0] != WRONG or verdict == UNCERTAIN:
                    first = (verdict, expected, found, 0.0)
                    verdict, expected, found, _ = min((again, first), key=lambda r: r[2].error)
            if verdict in (WRONG, KINK):
                # Between two slopes there is room for an error: with few elements at a time, few lines meet the kink.
                groups = 16 if verdict == KINK and not codes else 1
                element = self.locate(d, groups) if verdict == WRONG or groups > 1 else None
                if element is not None:
                    result.entries.append(element)
                    verdict = WRONG
                elif found.kind == "kink":
                    verdict = KINK
            codes.append(verdict)
            result.directions.append((expected, found.value, found.error, VERDICTS[verdict]))
            failed = failed or verdict == WRONG
            if failed:
                break  # one is enough: the evaluations go into locating
        if failed:
            self.survey(result)
        result.verdict = overall(np.array(codes or [OK]))
        return result

    def locate(self, d: np.ndarray, groups: int = 1) -> Entry | None:
        """Halve the elements that d moves, the half that is further off first, until a wrong element stands alone.

        None if there is none: several kinks on one line hide from each other, but each part of it alone is right.
        """
        flat = d.reshape(-1)
        everything = np.arange(d.size)
        waiting = [everything] if groups == 1 else self.failing(flat, self.rng.permutation(everything), groups)
        for _ in range(HALVINGS):
            if not waiting:
                return None
            indices = waiting.pop()
            if indices.size == 1:
                element = self.element(int(indices[0]))
                if element is not None:
                    return element
                continue
            waiting += self.failing(flat, indices, 2)
        return None

    def failing(self, flat: np.ndarray, indices: np.ndarray, groups: int) -> list[np.ndarray]:
        """Those of the groups of elements that disagree when moved alone, the worst last."""
        failed = []
        for group in np.array_split(indices, min(groups, indices.size)):
            part = np.zeros(flat.size)
            part[group] = flat[group]
            verdict, _, _, excess = self.compare(part.reshape(self.given.shape))
            if verdict == WRONG:
                failed.append((excess, group))
        return [group for _, group in sorted(failed, key=lambda pair: pair[0])]

    def element(self, i: int) -> Entry | None:
        """Element i by itself; None if it is right."""
        scale = float(natural_scales(self.point.origin[self.k], 1e-3).reshape(-1)[i])
        phi, masks = self.point.element(self.k, i, scale)
        s = slope(phi, self.point.f0, self.noise, masks)
        columns = (s.value / scale, s.error / scale, s.kind, s.left / scale, s.right / scale, s.branches, scale)
        one = [np.full(1, column) for column in columns]
        index = tuple(int(j) for j in np.unravel_index(i, self.given.shape))
        verdict = judge(self.given[index].reshape(1), Differences(self.point.f0, *one), self.rtol, self.largest)[0]
        if verdict in (OK, KINK):
            return None
        return Entry(
            self.name,
            index,
            float(self.gradient[index]),
            s.value / scale,
            s.error / scale,
            VERDICTS[verdict],
            s.left / scale,
            s.right / scale,
        )

    def survey(self, result: ParameterResult) -> None:
        """How widespread is it? The largest element and a few at random, each by itself."""
        seen = {entry.index for entry in result.entries}
        picks = [int(np.argmax(np.abs(self.gradient))), *self.rng.integers(0, self.given.size, 9).tolist()]
        for i in dict.fromkeys(picks):
            entry = self.element(i)
            if entry is not None and entry.index not in seen:
                result.entries.append(entry)
