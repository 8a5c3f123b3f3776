"""From slopes and their errors to verdicts: is this gradient right, wrong, at a kink, or can nobody tell?

What this file lets you do: judge a gradient against `Differences`. It evaluates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.verify.results import KINK, OK, UNCERTAIN, WRONG

__all__ = ["PRECISION", "Differences", "judge", "negligible", "overall"]

# What a gradient that was computed in this precision may be off by, relative to its size.
PRECISION = {"float64": 1e-8, "float32": 1e-5, "float16": 2e-2}


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


def judge(gradient: Any, found: Differences, rtol: float | None = None, largest: float = 0.0) -> np.ndarray:
    """The verdict on every element of a gradient, as numbers: 0 ok, 1 wrong, 2 kink (and acceptable), 3 uncertain.

    ok         |g - D| <= 10 err + rtol max(|D|, 1e-3 m), where m is the median of |D| that are not 0
    uncertain  10 err > 1% of max(|D|, |g|, rms(D) / 10): agreement would mean nothing
    kink       g lies between the one-sided slopes; outside it is wrong, or uncertain where several branches switch at
               once (then the slopes do not bound the subgradients)
    rtol       default by the gradient's dtype: 1e-8, for float32 1e-5, for float16 2e-2
    largest    of all gradients of f, times the natural step: what a gradient is small against (see `negligible`)
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
        zero = negligible(np.abs(g) * found.scales, error * found.scales, found.f0, largest)
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


def negligible(gradient: Any, error: Any, f0: float, largest: float) -> Any:
    """Zero for all that can be known: exactly, or (like a bias before batch norm) but for rounding of other gradients.

    Then the error estimate has nothing to be compared with: it is enough that it is small for f, or beside `largest`.
    """
    return ((gradient == 0) & (error <= 1e-9 * abs(f0))) | ((gradient <= 1e-12 * largest) & (error <= 1e-6 * largest))


def overall(verdicts: np.ndarray) -> str:
    return "wrong" if (verdicts == WRONG).any() else "uncertain" if (verdicts == UNCERTAIN).any() else "ok"
