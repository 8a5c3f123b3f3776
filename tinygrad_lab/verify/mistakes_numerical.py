"""Gradients that are not derived but measured, badly: a step too large or too small, or never taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tinygrad_lab.verify.mistakes import ArrayView, Candidate, mistake

__all__: list[str] = []

STEPS = [m * 10.0**-k for k in range(1, 8) for m in (1.0, 5.0, 2.0)]
PROBED = 3  # entries computed before the whole array is

Loss = Callable[[], float]


def _difference(kind: str, loss: Loss, x: np.ndarray, index: tuple[int, ...], h: float) -> float:
    """One entry as the student's loop computes it. Forms that never reset leave `x` changed."""
    kept = x[index]
    if kind in ("forward", "central", "backward"):
        x[index] = kept + (h if kind != "backward" else 0)
        above = loss()
        x[index] = kept - (h if kind != "forward" else 0)
        below = loss()
        x[index] = kept
        return (above - below) / (2 * h if kind == "central" else h)
    before = loss() if kind == "forward, no reset" else 0.0
    x[index] = kept + h
    above = loss()
    if kind == "forward, no reset":
        return (above - before) / h
    x[index] = kept - h
    below = loss()
    x[index] = kept + h if kind == "central, stays above" else kept - h
    return (above - below) / (2 * h)


def _replay(view: ArrayView, kind: str, h: float, corrupted: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
    """The whole array, after the first entries have been seen to agree."""
    problem = view.problem
    arrays = {name: value.copy() for name, value in problem.params.items()}
    for name in corrupted:
        arrays[name] += h
    x = arrays[view.name]
    out = np.zeros(x.shape)
    first = problem.loss(arrays) if kind == "no reset, one base" else 0.0
    scale = np.abs(view.hand).max()
    for i, index in enumerate(np.ndindex(x.shape)):
        if kind == "no reset, one base":
            x[index] += h
            out[index] = (problem.loss(arrays) - first) / h
        else:
            out[index] = _difference(kind, lambda: problem.loss(arrays), x, index, h)
        if i < PROBED and abs(out[index] - view.hand[index]) > 1e-5 * abs(view.hand[index]) + 1e-6 * scale:
            return
    yield out


def _applies(view: ArrayView) -> bool:
    return view.hand.shape == view.value.shape and 2 < view.value.size <= 5000 and bool(np.isfinite(view.hand).all())


@mistake("numerical gradient, truncation", kind="numbers")
def truncation(view: ArrayView) -> Iterator[Candidate]:
    """Differences whose step h is too large: the error is h f''/2 (one-sided) or h^2 f'''/6 (central)."""
    if _applies(view):
        for kind in ("forward", "backward", "central"):
            for h in STEPS:
                for out in _replay(view, kind, h):
                    yield Candidate(out, {"h": h, "form": kind})


@mistake("numerical gradient, no reset", kind="numbers")
def no_reset(view: ArrayView) -> Iterator[Candidate]:
    """h is added to each entry and never taken off, so that each derivative is taken at another point."""
    if not _applies(view):
        return
    before = tuple(view.problem.params)[: list(view.problem.params).index(view.name)]
    for corrupted in dict.fromkeys([(), before]):
        for kind in ("forward, no reset", "no reset, one base", "central, stays above", "central, stays below"):
            for h in STEPS:
                for out in _replay(view, kind, h, corrupted):
                    yield Candidate(out, {"h": h, "form": kind})


@mistake("numerical gradient, rounding", kind="numbers")
def rounding(view: ArrayView) -> Iterator[Candidate]:
    """h so small that few digits of the loss differ: every entry is a multiple of the loss's last digit over h."""
    if not _applies(view):
        return
    last = np.spacing(abs(view.problem.loss_value)) / 2
    for exponent in range(9, 17):
        for factor in (1, 2):
            unit = last / (factor * 10.0**-exponent)
            multiples = view.hand / unit
            whole = np.round(multiples)
            error = np.abs(view.hand - view.gradient).max()
            if unit > 1e-9 * np.abs(view.hand).max() and error <= 50 * unit and np.abs(multiples - whole).max() < 1e-3:
                yield Candidate(whole * unit, {"h": 10.0**-exponent})
