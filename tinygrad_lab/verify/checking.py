"""The gradient check on plain arrays: every element where that is cheap, random directions and bisection where not.

What this file lets you do: check gradients of any function from a list of float64 arrays to a number (`check_arrays`).
It knows no Tensor, no model and no graph; `functions` brings those to it.

Full mode finds the slope along every element (`slopes.slope`) and judges each by its own error estimate. Fast mode
looks along three random directions per parameter (`fast`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.verify.fast import FastCheck
from tinygrad_lab.verify.judging import Differences, judge, overall
from tinygrad_lab.verify.point import Function, Point, natural_scales
from tinygrad_lab.verify.results import UNCERTAIN, VERDICTS, WRONG, CheckResult, Entry, ParameterResult
from tinygrad_lab.verify.slopes import slope

__all__ = ["check_arrays", "differences"]

FULL_SIZE = 1000  # the largest parameter that mode "auto" checks element by element


def _measure(point: Point, k: int, rng: np.random.Generator) -> Differences:
    x = point.origin[k]
    scales = natural_scales(x, 1e-3)
    noise = point.noise(k, scales, rng) if x.size else 0.0
    rms = float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0
    found = []
    for i, scale in enumerate(scales.reshape(-1).tolist()):
        phi, masks = point.element(k, i, scale)
        s = slope(phi, point.f0, noise, masks)
        if s.kind == "smooth" and s.error > 1e-4 * abs(s.value) and noise:  # f is noisy: larger steps see through it
            s = min(s, slope(phi, point.f0, noise, masks, 0.3 * max(1.0, rms / scale)), key=lambda s: s.error)
        found.append(s)

    def column(name: str, dtype: Any = np.float64) -> np.ndarray:
        return np.array([getattr(s, name) for s in found], dtype).reshape(x.shape)

    value, error, left, right = (column(name) / scales for name in ("value", "error", "left", "right"))
    return Differences(point.f0, value, error, column("kind", "U7"), left, right, column("branches", np.int64), scales)


def differences(
    f: Function, arrays: Sequence[Any], masks: Callable[[list[np.ndarray]], Any] | None = None, seed: int = 0
) -> list[Differences]:
    """The slopes of f along every element of every array, with errors and kinks: full mode without verdicts."""
    point = Point(f, arrays, masks)
    return [_measure(point, k, np.random.default_rng([seed, k])) for k in range(len(point.origin))]


def _reach(x: np.ndarray, gradient: Any) -> float:
    """How far f moves, by this gradient, if the element that it is most sensitive to moves by its natural step."""
    given = np.asarray(gradient)
    if given.shape != x.shape or given.size == 0 or given.dtype.kind not in "fiu":
        return 0.0
    products = np.abs(given.astype(np.float64)) * natural_scales(x, 1e-3)
    return float(np.max(products, initial=0.0, where=np.isfinite(products)))


def _full(
    point: Point, k: int, name: str, given: np.ndarray, rng: Any, rtol: float | None, largest: float
) -> ParameterResult:
    found = _measure(point, k, rng)
    verdicts = judge(given, found, rtol, largest)
    gradient = given.astype(np.float64)
    result = ParameterResult(name, given.shape, "full", overall(verdicts), gradient, found.value, found.error, verdicts)
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
    point = Point(f, arrays, masks)
    largest = max((_reach(x, gradient) for x, gradient in zip(point.origin, gradients, strict=True)), default=0.0)
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
            results.append(FastCheck(point, k, name, given, rng, rtol, largest).run())
        else:
            results.append(_full(point, k, name, given, rng, rtol, largest))
    return CheckResult(results, point.evaluations, point.f0, point.notes)
