"""The gradient check on plain arrays: every element where that is cheap, random directions and bisection where not.

What this file lets you do: check gradients of any function from a list of float64 arrays to a number (`check_arrays`).
It knows no Tensor, no model and no graph; `functions` brings those to it.

Full mode finds the slope along every element (`slopes.slope`) and judges each by its own error estimate. Fast mode
looks along three random directions per parameter, about 40 evaluations whatever the size, and if one of them disagrees
halves the set of elements until the wrong one is found. The caller's arrays are never written to: f gets copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.verify.results import KINK, OK, UNCERTAIN, VERDICTS, WRONG, CheckResult, Entry, ParameterResult
from tinygrad_lab.verify.slopes import EPS, Slope, noise_of, slope

__all__ = ["Differences", "check_arrays", "differences", "judge"]

Function = Callable[[list[np.ndarray]], float]

FULL_SIZE = 1000  # the largest parameter that mode "auto" checks element by element
# What a gradient that was computed in this precision may be off by, relative to its size.
PRECISION = {"float64": 1e-8, "float32": 1e-5, "float16": 2e-2}


class _Point:
    """f at a point, and along lines through it. Works on copies; counts evaluations; puts every element back."""

    def __init__(self, f: Function, arrays: Sequence[Any], masks: Callable[[list[np.ndarray]], Any] | None) -> None:
        self.f, self.masks = f, masks
        self.origin = [np.array(array, np.float64, copy=True, order="C") for array in arrays]
        self.work = [array.copy() for array in self.origin]
        self.evaluations = 0
        self.notes: list[str] = []
        self.writes = False
        self.f0 = self.value()
        if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(self.work, self.origin, strict=True)):
            self.writes = True
            self.notes.append("f writes into its inputs; each call got fresh copies")
            self.restore()
        again = self.value()
        self.scatter = abs(again - self.f0) if math.isfinite(again - self.f0) else 0.0
        if self.scatter:
            self.notes.append(
                f"f is random: two calls at the same point gave {self.f0:.9g} and {again:.9g}. Fix the seed or "
                f"switch to eval mode (dropout), or differences cannot decide"
            )

    def restore(self) -> None:
        for work, origin in zip(self.work, self.origin, strict=True):
            work[...] = origin

    def value(self) -> float:
        self.evaluations += 1
        with np.errstate(all="ignore"):
            return float(self.f([array.copy() for array in self.work] if self.writes else self.work))

    def element(self, k: int, i: int, scale: float) -> tuple[Callable[[float], tuple[float, float]], Any]:
        """phi(t) = f with element i of array k moved by t * scale, and the branch masks along it."""
        flat, x = self.work[k].reshape(-1), float(self.origin[k].reshape(-1)[i])

        def phi(t: float) -> tuple[float, float]:
            moved = x + t * scale
            flat[i] = moved
            try:
                return (moved - x) / scale, self.value()
            finally:
                flat[i] = x

        return phi, self._masks_along(lambda t: flat.__setitem__(i, x + t * scale))

    def direction(self, k: int, d: np.ndarray) -> tuple[Callable[[float], tuple[float, float]], Any]:
        """phi(t) = f with array k moved by t * d."""
        work, origin = self.work[k], self.origin[k]

        def move(t: float) -> None:
            np.multiply(d, t, out=work)
            np.add(work, origin, out=work)

        def phi(t: float) -> tuple[float, float]:
            move(t)
            try:
                return t, self.value()
            finally:
                work[...] = origin

        return phi, self._masks_along(move)

    def _masks_along(self, move: Callable[[float], Any]) -> Callable[[float], Any] | None:
        masks = self.masks
        if masks is None:
            return None

        def at(t: float) -> Any:
            move(t)
            try:
                self.evaluations += 1
                with np.errstate(all="ignore"):
                    return masks([array.copy() for array in self.work])
            finally:
                self.restore()

        return at

    def noise(self, k: int, scales: np.ndarray, rng: np.random.Generator) -> float:
        phi, _ = self.direction(k, scales * _signs(scales.shape, rng))
        return max(noise_of(phi, self.f0, rng), self.scatter)


def _signs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random signs times magnitudes in [0.5, 1.5): nothing gets little weight, and equal errors do not cancel."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def _scales(x: np.ndarray, least: float) -> np.ndarray:
    """How far it is natural to move each element: its size, but `least` times its array's rms at least (1 if all are 0)."""
    finite = x[np.isfinite(x)]
    rms = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
    return np.maximum(np.abs(x), least * rms if rms > 0 else 1.0)


@dataclass
class Differences:
    """The slopes of f along every element of one parameter, as arrays of its shape. See `slopes.Slope`."""

    f0: float
    value: np.ndarray
    error: np.ndarray
    kind: np.ndarray
    left: np.ndarray
    right: np.ndarray
    branches: np.ndarray
    scales: np.ndarray


def _measure(point: _Point, k: int, rng: np.random.Generator) -> Differences:
    x = point.origin[k]
    scales = _scales(x, 1e-3)
    noise = point.noise(k, scales, rng) if x.size else 0.0
    found = []
    for i, scale in enumerate(scales.reshape(-1).tolist()):
        phi, masks = point.element(k, i, scale)
        found.append(slope(phi, point.f0, noise, masks))

    def column(name: str, dtype: Any = np.float64) -> np.ndarray:
        return np.array([getattr(s, name) for s in found], dtype).reshape(x.shape)

    value, error, left, right = (column(name) / scales for name in ("value", "error", "left", "right"))
    return Differences(point.f0, value, error, column("kind", "U7"), left, right, column("branches", np.int64), scales)


def differences(
    f: Function, arrays: Sequence[Any], masks: Callable[[list[np.ndarray]], Any] | None = None, seed: int = 0
) -> list[Differences]:
    """The slopes of f along every element of every array, with error estimates and kinks: full mode without verdicts."""
    point = _Point(f, arrays, masks)
    return [_measure(point, k, np.random.default_rng([seed, k])) for k in range(len(point.origin))]


def judge(gradient: Any, found: Differences, rtol: float | None = None) -> np.ndarray:
    """The verdict on every element of a gradient, as numbers: 0 ok, 1 wrong, 2 kink (and acceptable), 3 uncertain.

    ok         |g - D| <= 10 err + rtol max(|D|, 1e-3 m), where m is the median of |D| that are not 0
    uncertain  10 err > 1% of max(|D|, |g|, rms(D) / 10): agreement would mean nothing
    kink       g lies between the one-sided slopes; outside it is wrong, or uncertain where several branches switch at
               once (then the slopes do not bound the subgradients)
    rtol       default by the gradient's dtype: 1e-8, for float32 1e-5, for float16 2e-2
    """
    given = np.asarray(gradient)
    rtol = PRECISION.get(given.dtype.name, 1e-8) if rtol is None else rtol
    g = given.astype(np.float64)
    d, known = found.value, np.isfinite(found.value) & np.isfinite(found.error)
    size = np.abs(np.where(known, d, 0.0))
    smooth = (found.kind == "smooth") & known
    rms = float(np.sqrt(np.mean(np.square(size[smooth])))) if smooth.any() else 0.0
    typical = float(np.median(size[size > 0])) if (size > 0).any() else 0.0
    # Rounding in lower precision is relative to the terms that were summed, not to what they sum to.
    least = 1e-3 * typical if rtol <= 1e-7 else max(typical, rms)
    # An error estimate can come out far too small by luck, hardly so for a quarter of all elements.
    floor = float(np.quantile(found.error[smooth], 0.25)) if smooth.any() else 0.0
    error = np.maximum(np.where(known, found.error, np.inf), floor)
    with np.errstate(all="ignore"):
        allowed = 10 * error + rtol * np.maximum(size, least)
        off = np.abs(g - d)
        verdicts = np.where(off <= allowed, OK, WRONG)
        unsure = 10 * error > 0.01 * np.maximum(np.maximum(size, np.abs(g)), 0.1 * rms)
        # Zero to the last bit of f, and differences say the same: there is nothing to resolve.
        zero = (np.abs(g) * found.scales <= 4 * EPS * abs(found.f0)) & (error * found.scales <= 1e-9 * abs(found.f0))
        verdicts[unsure & ~zero & (off <= allowed)] = UNCERTAIN
        low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
        slack = 10 * error + rtol * np.maximum(np.abs(low), np.abs(high))
        kink = found.kind == "kink"
        inside = (g >= low - slack) & (g <= high + slack)
        verdicts[kink] = np.where(inside, KINK, np.where(found.branches > 1, UNCERTAIN, WRONG))[kink]
    verdicts[~np.isfinite(g)] = WRONG
    verdicts[~known | ~np.isfinite(10 * error)] = UNCERTAIN
    steep = (found.kind == "edge") & (error > 0.01 * size)  # sqrt at 0: the slope has no limit
    verdicts[steep] = UNCERTAIN
    return verdicts.astype(np.int64)


def _full(point: _Point, k: int, name: str, given: np.ndarray, rng: Any, rtol: float | None) -> ParameterResult:
    found = _measure(point, k, rng)
    verdicts = judge(given, found, rtol)
    gradient = given.astype(np.float64)
    result = ParameterResult(
        name, given.shape, "full", _overall(verdicts), gradient, found.value, found.error, verdicts
    )
    bad = np.flatnonzero((verdicts == WRONG) | (verdicts == UNCERTAIN))
    off = np.abs(gradient - found.value).ravel()[bad]
    off[~np.isfinite(off)] = np.inf
    for i in bad[np.argsort(-off, kind="stable")].tolist():
        index = tuple(int(j) for j in np.unravel_index(i, given.shape))
        result.entries.append(
            Entry(
                name,
                index,
                float(gradient[index]),
                float(found.value[index]),
                float(found.error[index]),
                VERDICTS[verdicts[index]],
                float(found.left[index]),
                float(found.right[index]),
            )
        )
    return result


def _overall(verdicts: np.ndarray) -> str:
    return "wrong" if (verdicts == WRONG).any() else "uncertain" if (verdicts == UNCERTAIN).any() else "ok"


class _Fast:
    """Three random directions through one parameter, and the way from a wrong one to the wrong element."""

    def __init__(self, point: _Point, k: int, name: str, given: np.ndarray, rng: Any, rtol: float | None) -> None:
        self.point, self.k, self.name, self.rng = point, k, name, rng
        self.rtol = PRECISION.get(given.dtype.name, 1e-8) if rtol is None else rtol
        self.given = given
        self.gradient = given.astype(np.float64)
        self.noise = point.noise(k, _scales(point.origin[k], 0.1), rng)

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
        return (UNCERTAIN if 10 * found.error > 0.01 * size and size > 0 else OK), expected, found, off - allowed

    def run(self) -> ParameterResult:
        result = ParameterResult(self.name, self.given.shape, "fast", "ok", gradient=self.gradient)
        x = self.point.origin[self.k]
        failed, codes = None, []
        for least in (0.1, 1e-3, 1.0):
            d = _scales(x, least) * _signs(x.shape, self.rng)
            verdict, expected, found, _ = self.compare(d)
            if verdict in (WRONG, UNCERTAIN):
                # A large step may have crossed a kink of some element: once more from close by.
                again = self.compare(d, 1e-7)
                if again[0] != WRONG or verdict == UNCERTAIN:
                    first = (verdict, expected, found, 0.0)
                    verdict, expected, found, _ = min((again, first), key=lambda r: r[2].error)
            if verdict == WRONG:
                element = self.locate(d)
                if element is not None:
                    result.entries.append(element)
                elif found.kind == "kink":
                    verdict = UNCERTAIN  # kinks of several elements at once: no element by itself is wrong
            codes.append(verdict)
            result.directions.append((expected, found.value, found.error, VERDICTS[verdict]))
            failed = failed or (verdict == WRONG)
            if failed:
                break  # one is enough: the evaluations go into locating
        if failed:
            self.survey(result)
        result.verdict = _overall(np.array(codes or [OK]))
        return result

    def locate(self, d: np.ndarray) -> Entry | None:
        """Halve the elements that d moves, keeping the half that is further off, until one is left."""
        indices = np.arange(d.size)
        flat = d.reshape(-1)
        while indices.size > 1:
            halves = []
            for half in np.array_split(indices, 2):
                part = np.zeros(d.size)
                part[half] = flat[half]
                verdict, *_, excess = self.compare(part.reshape(d.shape))
                halves.append((excess if verdict == WRONG else -math.inf, half))
            excess, indices = max(halves, key=lambda pair: pair[0])
            if excess == -math.inf:
                return None
        return self.element(int(indices[0]))

    def element(self, i: int) -> Entry | None:
        """Element i by itself; None if it is right."""
        scale = float(_scales(self.point.origin[self.k], 1e-3).reshape(-1)[i])
        phi, masks = self.point.element(self.k, i, scale)
        s = slope(phi, self.point.f0, self.noise, masks)
        columns = (s.value / scale, s.error / scale, s.kind, s.left / scale, s.right / scale, s.branches, scale)
        one = [np.full(1, column) for column in columns]
        index = tuple(int(j) for j in np.unravel_index(i, self.given.shape))
        verdict = judge(self.given[index].reshape(1), Differences(self.point.f0, *one), self.rtol)[0]
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


def check_arrays(
    f: Function,
    arrays: Sequence[Any],
    gradients: Sequence[Any],
    names: Sequence[str] | None = None,
    masks: Callable[[list[np.ndarray]], Any] | None = None,
    mode: str = "auto",
    seed: int = 0,
    rtol: float | None = None,
) -> CheckResult:
    """Check `gradients` of `f` at `arrays` against differences with an error estimate of their own.

    f          list of float64 arrays -> number. It is given copies; the caller's arrays are not touched
    gradients  one array per input, of its shape; float32 ones are held to float32's precision
    masks      list of arrays -> list of arrays that say which branch every relu, max, abs, ... takes there, or None
    mode       "full": every element; "fast": three random directions per parameter; "auto": full up to 1000 elements
    rtol       the relative error to accept beside the estimated one; default by each gradient's dtype (1e-8)

    ValueError for an unknown mode or if there is not one gradient per array.

    >>> x = np.array([1.0, 2.0])
    >>> bool(check_arrays(lambda a: np.sum(a[0] ** 3), [x], [3 * x**2]))
    True
    >>> print(check_arrays(lambda a: np.sum(a[0] ** 3), [x], [3 * x**2 * [1, 1.1]], names=["x"]).worst()[0].place)
    x[1]
    """
    if mode not in ("auto", "full", "fast"):
        raise ValueError(f"mode must be 'auto', 'full' or 'fast', got {mode!r}")
    if len(gradients) != len(arrays):
        raise ValueError(f"got {len(arrays)} arrays and {len(gradients)} gradients: give one gradient per array")
    names = list(names) if names is not None else [f"input {k}" for k in range(len(arrays))]
    point = _Point(f, arrays, masks)
    results = []
    for k, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
        given, shape = np.asarray(gradient), point.origin[k].shape
        if given.dtype.kind not in "fiu":
            given = given.astype(np.float64)
        rng = np.random.default_rng([seed, k])
        if given.shape != shape:
            problem = f"the gradient has shape {given.shape}, its parameter {shape}"
            results.append(ParameterResult(name, shape, "full", "wrong", given, problem=problem))
        elif not math.isfinite(point.f0):
            problem = f"f is {point.f0} at this point: it has no derivative there"
            results.append(ParameterResult(name, shape, "full", "uncertain", given, problem=problem))
        elif mode == "fast" or (mode == "auto" and given.size > FULL_SIZE):
            results.append(_Fast(point, k, name, given, rng, rtol).run())
        else:
            results.append(_full(point, k, name, given, rng, rtol))
    return CheckResult(results, point.evaluations, point.f0, point.notes)
