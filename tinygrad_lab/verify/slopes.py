"""The derivative of a function of one number at 0, with an error estimate that can be trusted, and kinks told apart.

What this file lets you do: measure how noisy a function is (`noise_of`) and find its slope (`slope`). It knows neither
tensors nor gradients: a line through parameter space comes to it as `phi(t) -> (t, value)`, where the returned t is the
step that was really taken after rounding.

Central differences (phi(h) - phi(-h)) / 2h = phi'(0) + c1 h^2 + c2 h^4 + ... are extrapolated to h = 0 (Richardson):
with steps h, h/4, h/16, ... the combination R[j] = R[j-1] + (R[j-1] - R'[j-1]) / (16^j - 1) removes c1, c2, ... in
turn; one-sided quotients have all powers of h, so there 16 is 4. Rounding adds about noise/h. Both are known, so the
best entry of the tableau is. Sources: L. F. Richardson, "The deferred approach to the limit", Phil. Trans. A 226
(1927); C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4 (1982); J. J. More and
S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Slope", "noise_of", "slope"]

Line = Callable[[float], tuple[float, float]]

RATIO = 4.0  # between one step and the next
LEVELS = 22  # steps in all, restarts included
TARGET = 1e-9  # relative error at which refining stops
EPS = float(np.finfo(np.float64).eps)


@dataclass
class Slope:
    """What `slope` found.

    value, error  the derivative and an estimate of its error (central; at the edge of the domain, one-sided)
    kind          "smooth"; "kink", where `left` and `right` are the two one-sided slopes; "edge" of the domain;
                  "unknown" if no difference was finite
    branches      at a kink: how many entries of the branch masks switch there (0 if there are no masks)
    """

    value: float
    error: float
    kind: str = "smooth"
    left: float = math.nan
    right: float = math.nan
    branches: int = 0


class _Tableau:
    """Extrapolation of quotients at h, h/4, h/16, ... to h = 0, with the error of every entry."""

    def __init__(self, base: float, noise: float) -> None:
        self.base, self.noise = base, noise
        self.row: list[float] = []
        self.raw: list[tuple[float, float]] = []
        self.candidates: list[tuple[float, float, int, float]] = []  # (error, value, level, truncation)

    def add(self, h: float, quotient: float) -> None:
        last, row = self.row, [quotient]
        for j, previous in enumerate(last):
            row.append(row[j] + (row[j] - previous) / (self.base ** (j + 1) - 1))
        rounding = self.noise / h
        for j in range(len(last)):
            # An entry is as good as it agrees with its two parents in the tableau.
            truncation = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - last[j]))
            self.candidates.append((truncation + 2 * rounding, row[j + 1], len(self.raw), truncation))
        self.row = row
        self.raw.append((h, quotient))

    def best(self) -> tuple[float, float, float]:
        """(value, error, truncation part): the entry with the smallest error that no finer quotient contradicts."""
        for error, value, level, truncation in sorted(self.candidates):
            agree = True
            for (h, quotient), (_, coarser) in zip(self.raw[level + 1 :], self.raw[level:], strict=False):
                agree &= abs(quotient - value) <= 10 * error + abs(quotient - coarser) + 3 * self.noise / h
            if agree:
                return value, error, truncation
        if self.raw:
            values = [quotient for _, quotient in self.raw]
            spread = max(values) - min(values)
            return values[-1], spread if len(values) > 1 else math.inf, spread
        return math.nan, math.inf, math.inf


def noise_of(phi: Line, f0: float, rng: np.random.Generator, width: float = 1e-6) -> float:
    """How much values of phi near 0 scatter about a smooth curve: rounding, a cast to float32, randomness.

    The largest residual of a quadratic through eight random points in a window on one side of 0 (so that a kink at 0
    does not count). A window in which phi does not change at all is widened (phi may be rounded to a grid); one whose
    residuals shrink quickly with it was merely curved, and is narrowed. At least eps |f0|.
    """
    least = EPS * abs(f0)
    found = []
    for sign in (1.0, -1.0):
        w, best = width, None
        for _ in range(5):
            residual, size = _residual(phi, sign, w, rng)
            changed, quiet = size > 0, 8 * EPS * max(size, abs(f0))
            if not math.isfinite(residual):
                w /= 30
                continue
            if best is None and not changed:
                w *= 20
                if w > 1e-2:
                    break  # no smaller grid than the steps that differences take
                continue
            if best is not None and (not changed or residual > best / 8):
                break  # narrower, and no quieter: it is noise
            best = residual
            if best <= quiet:
                break
            w /= 30
        if best is not None:
            found.append(best)
            if best <= quiet:
                break  # as quiet as rounding allows: no need to look at the other side
    return max(min(found, default=0.0), least)


def _residual(phi: Line, sign: float, w: float, rng: np.random.Generator) -> tuple[float, float]:
    """Largest residual of a quadratic through values in (0, w), and the largest of the values (0 if all are equal)."""
    points: list[tuple[float, float]] = []
    for t in rng.uniform(0.05, 1.0, 8):
        points.append(phi(sign * w * t))
        if len(points) == 3 and points[0][1] == points[1][1] == points[2][1]:
            return 0.0, 0.0
    x = np.array([point[0] for point in points]) / (sign * w)
    y = np.array([point[1] for point in points])
    if not np.isfinite(y).all():
        return math.nan, 1.0
    size, y = float(np.abs(y).max()), y - y.mean()
    powers = np.stack([np.ones_like(x), x, x * x], 1)
    fitted = powers @ np.linalg.lstsq(powers, y, rcond=None)[0]
    return float(np.abs(y - fitted).max()) * 1.6, size  # 8 points, 3 of them used up: sqrt(8 / 3)


def slope(
    phi: Line,
    f0: float,
    noise: float,
    masks: Callable[[float], Any] | None = None,
    start: float = 1e-2,
) -> Slope:
    """The derivative of phi at 0.

    f0     phi(0)                       masks  t -> the branches taken at t (arrays to compare), if they can be known
    noise  what `noise_of` found        start  the first step
    """
    return _Search(phi, f0, noise, masks).run(start)


class _Search:
    """One search for a slope: the quotients so far, and where to look next."""

    def __init__(self, phi: Line, f0: float, noise: float, masks: Callable[[float], Any] | None) -> None:
        self.phi, self.f0, self.noise, self.masks = phi, f0, max(noise, EPS * abs(f0)), masks
        self.edges = 0
        self._fresh()

    def _fresh(self) -> None:
        self.central = _Tableau(RATIO**2, self.noise)
        self.right, self.left = (_Tableau(RATIO, 2 * self.noise) for _ in range(2))
        self.jumps: list[tuple[float, float]] = []

    def _measure(self, h: float) -> tuple[float, float, float]:
        """Quotients at one step: (central, right, left)."""
        up, f_up = self.phi(h)
        down, f_down = self.phi(-h)
        return (f_up - f_down) / (up - down), (f_up - self.f0) / up, (f_down - self.f0) / down

    def run(self, start: float) -> Slope:
        h, kept, evidence = start, [], 0
        for _ in range(LEVELS):
            if h < 1e-13:
                break
            central, right, left = self._measure(h)
            if math.isfinite(right):
                self.right.add(h, right)
            if math.isfinite(left):
                self.left.add(h, left)
            if not math.isfinite(central):
                self.edges += 1
                side = self.right if math.isfinite(right) else self.left
                self.central = _Tableau(RATIO**2, self.noise)
                self.jumps = []
                if not math.isfinite(right):
                    self.right = _Tableau(RATIO, 2 * self.noise)
                if not math.isfinite(left):
                    self.left = _Tableau(RATIO, 2 * self.noise)
                if len(side.raw) > 7 and self._settled(side):
                    break  # one side only, and that one is known: the edge of the domain
                h /= RATIO
                continue
            self.central.add(h, central)
            self.jumps.append((h, right - left))
            if len(self.central.raw) >= 2 and self._settled(self.central):
                found, h = self._probe(h)
                if found is not None:
                    return found
                kept.append(self.central)
                evidence += 1
                if evidence > 3:
                    break
                self._fresh()
                continue
            h /= RATIO
        return self._give_up(kept)

    def _settled(self, tableau: _Tableau) -> bool:
        value, error, truncation = tableau.best()
        rounding = tableau.noise / tableau.raw[-1][0]
        return error <= TARGET * abs(value) or truncation <= rounding

    def _probe(self, h: float) -> tuple[Slope | None, float]:
        """The tableau has converged at h: does a far smaller step agree? If not, where to start again."""
        value, error, _ = self.central.best()
        jump = self.jumps[-1][1]
        small = h / 256
        # Where rounding would hide any disagreement, a larger probe sees more.
        for divisor in (256, 32, 8):
            small = h / divisor
            if self.noise / small <= 1e-3 * max(abs(value), abs(jump)):
                break
        central, right, left = self._measure(small)
        rounding = 4 * self.noise / small
        if not math.isfinite(central):
            return None, small
        allowed = 10 * error + rounding + 0.01 * abs(self.central.raw[-1][1] - value)
        if abs(central - value) > allowed:
            if abs(central - value) <= 1e3 * rounding and small < 1e-8:  # the noise was underestimated
                noise = abs(central - value) * small
                return Slope(value, max(error, 2 * noise / h)), h
            return None, small
        shrunk = right - left
        ratio = h / small
        constant = (shrunk * ratio - jump) / (ratio - 1)  # J(h) = constant + h phi'' extrapolated to 0
        least = max(5 * rounding, 0.01 * abs(jump), 1e-8 * abs(value))
        if abs(constant) <= least or abs(shrunk) > 3 * abs(jump) + rounding:
            return Slope(value, error), h
        return self._kink(constant, small)

    def _kink(self, jump: float, h: float) -> tuple[Slope | None, float]:
        """The one-sided slopes differ by `jump` at step h: at 0 itself, or only near it?"""
        deepest = min(max(100 * self.noise / abs(jump), 1e-11), h)
        branches = 0
        if self.masks is not None:
            branches = _different(self.masks(-deepest), self.masks(0.0), self.masks(deepest))
        _, right, left = self._measure(deepest)
        if abs(right - left - jump) > 0.5 * abs(jump) and not branches:
            return None, h / RATIO  # it is gone closer to 0: go on below the kink
        r, r_error, _ = self.right.best()
        l, l_error, _ = self.left.best()  # noqa: E741
        close = 10 * self.noise / deepest
        # The tableau may straddle other kinks; the quotient nearest to 0 is rough but cannot.
        if abs(r - right) > 10 * r_error + close + 1e-3 * abs(jump):
            r, r_error = right, close
        if abs(l - left) > 10 * l_error + close + 1e-3 * abs(jump):
            l, l_error = left, close  # noqa: E741
        return Slope((l + r) / 2, max(r_error, l_error), "kink", l, r, branches), h

    def _give_up(self, kept: list[_Tableau]) -> Slope:
        """No convergence: the best of what there is."""
        if not self.central.raw and not kept:
            (value, error, _), other = self.right.best(), self.left.best()
            if other[1] < error:
                value, error, _ = other
            return Slope(value, error, "edge" if math.isfinite(value) else "unknown")
        for (h, small), (_, large) in zip(self.jumps[:1:-1], self.jumps[-3::-1], strict=False):
            if 20 * self.noise / h <= abs(small):  # the finest jump that rounding does not hide
                if 0.5 * abs(large) <= abs(small) <= 2 * abs(large):
                    found, _ = self._kink(small, h)
                    if found is not None:
                        return found
                break
        tableaus = [tableau for tableau in (self.central, *kept) if tableau.raw]
        results = [tableau.best() for tableau in tableaus]
        value, error, _ = min(results, key=lambda result: result[1])
        if kept:  # every tableau was contradicted by a smaller step: trust none more than they agree
            error = max(error, max(abs(result[0] - value) for result in results))
        return Slope(value, error)


def _different(left: Any, middle: Any, right: Any) -> int:
    """How many entries of the branch masks are not the same on both sides of 0 and at 0."""
    count = 0
    for a, b, c in zip(_flat(left), _flat(middle), _flat(right), strict=False):
        a, b, c = np.asarray(a), np.asarray(b), np.asarray(c)
        count += int(np.count_nonzero((a != b) | (b != c))) if a.shape == b.shape == c.shape else 1
    return count


def _flat(masks: Any) -> list[Any]:
    return [masks] if isinstance(masks, np.ndarray) or not isinstance(masks, (list, tuple)) else list(masks)
