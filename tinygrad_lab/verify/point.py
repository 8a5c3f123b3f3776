"""A function at a point and along lines through it, on copies, with every element put back.

What this file lets you do: evaluate f where one element or a whole array of its arguments is moved (`Point`). It knows
plain arrays only. The caller's arrays are never written to, so nothing that f raises can leave them changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.verify.slopes import noise_of

__all__ = ["Point", "natural_scales", "random_signs"]

Function = Callable[[list[np.ndarray]], float]


class Point:
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
        phi, _ = self.direction(k, scales * random_signs(scales.shape, rng))
        return max(noise_of(phi, self.f0, rng), self.scatter)


def random_signs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random signs times magnitudes in [0.5, 1.5): nothing gets little weight, and equal errors do not cancel."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def natural_scales(x: np.ndarray, least: float) -> np.ndarray:
    """How far it is natural to move each element: its size, but at least `least` times the rms (1 if all are 0)."""
    finite = x[np.isfinite(x)]
    rms = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
    return np.maximum(np.abs(x), least * rms if rms > 0 else 1.0)
