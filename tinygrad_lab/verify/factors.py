"""Factors: the gradient, or one of its terms, times a constant that was forgotten or repeated.

What this file lets you do: say that a student's array is the gradient times N, or its penalty times 2 (`factors`). A
term is the contribution of one step that reads the parameter: the data's, the penalty's, one time step's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.verify.mistakes import ArrayView, Mistake
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, times

__all__ = ["Found", "cost_of", "everywhere", "factors", "multiple"]


@dataclass
class Found:
    """One thing that is wrong with one array. `key` says what counts as the same slip when it happens in several
    arrays."""

    name: str
    key: Any
    cost: float
    detail: dict[str, Any] = field(default_factory=dict)


def multiple(view: ArrayView, array: np.ndarray) -> tuple[float, list[str]] | None:
    """(c, names of c) if the student's array is c times `array`, c not 1."""
    size = float((array * array).sum())
    if view.hand.shape != array.shape or size <= view.problem.floor**2:
        return None
    c = float((view.hand * array).sum()) / size
    if c == 0 or not view.problem.same(view.hand, c * array, view.name):
        return None
    return c, view.problem.constant(c)


SIMPLE = ("-1", "2", "1/2", "N", "1/N", "C", "1/C", "N C", "1/(N C)", "D", "1/D", "255", "1/255")


def cost_of(factor: str) -> float:
    """A factor that is itself made of two is less likely than one."""
    return 1.0 if factor in SIMPLE else 1.35


def name_of(factor: str) -> str:
    return "sign" if factor == "-1" else f"times {factor}"


def factors(view: ArrayView) -> Iterator[list[Found]]:
    """Every way to get the student's array from the gradient's terms by known factors; each is a list of slips."""
    entries = int((np.abs(view.gradient) > 1e-6 * np.abs(view.gradient).max(initial=0)).sum())
    found = multiple(view, view.gradient)
    if found is not None:
        c, names = found
        for name in names[:2]:
            yield [Found(name_of(name), ("factor", name), cost_of(name), {"factor": c})]
        if not names and entries > 3:
            yield [Found("times a constant", ("factor", round(c, 6)), 1.8, {"factor": c})]
    if view.hand.shape != view.gradient.shape:
        return
    groups = view.groups
    penalties = [c for kind, _, c in groups if kind == "penalty"]
    data = [c for kind, _, c in groups if kind == "data"]
    if penalties and data:
        yield from _terms(view, [("data", sum(data)), ("penalty", sum(penalties))], entries)
    if len(data) > 1:
        terms: list[tuple[str, Any]] = [(f"use {i}", c) for i, c in enumerate(data, 1)]
        yield from _terms(view, terms + ([("penalty", sum(penalties))] if penalties else []), entries)


def _terms(view: ArrayView, terms: list[tuple[str, Any]], entries: int) -> Iterator[list[Found]]:
    if entries <= len(terms) or len(terms) > 12:
        return
    columns = np.stack([np.ravel(term) for _, term in terms], axis=1)
    sizes = np.sqrt((columns * columns).sum(0))
    if not sizes.all() or np.linalg.svd(columns / sizes, compute_uv=False)[-1] < 1e-6:
        return  # terms that are multiples of each other cannot be told apart
    solved, *_ = np.linalg.lstsq(columns / sizes, view.hand.ravel(), rcond=None)
    weights = solved / sizes
    if not view.problem.same(view.hand, (columns @ weights).reshape(view.hand.shape), view.name):
        return
    changed = [
        (label, float(w)) for (label, _), w in zip(terms, weights, strict=True) if abs(w - 1) > 20 * view.problem.rtol
    ]
    if not changed or (
        len(changed) == len(terms) > 1 and max(w for _, w in changed) - min(w for _, w in changed) < 1e-6
    ):
        return  # nothing, or one factor for all: not a matter of terms
    slips = []
    for label, w in changed:
        slip = _slip(view, label, w)
        if slip is None:
            return
        slips.append(slip)
    yield slips


def _slip(view: ArrayView, label: str, weight: float) -> Found | None:
    detail = {"factor": weight, "term": label}
    if abs(weight) < 1e-6:
        name = {"penalty": "missing penalty", "data": "missing data term"}.get(label, "use missing")
        return Found(name, name, 1.0, detail)
    names = view.problem.constant(weight)
    if label == "penalty":
        shown = (
            "sign of the penalty"
            if names[:1] == ["-1"]
            else f"penalty times {names[0]}"
            if names
            else "penalty times a constant"
        )
        return Found(shown, shown, cost_of(names[0]) if names else 1.8, detail)
    if not names:
        return None
    if label == "data":
        shown = "sign of the data term" if names[0] == "-1" else f"data term times {names[0]}"
        return Found(shown, ("factor", names[0]), cost_of(names[0]), detail)
    shown = "use negated" if names[0] == "-1" else "use doubled" if names[0] == "2" else f"use times {names[0]}"
    return Found(shown, shown, cost_of(names[0]), detail)


def everywhere(problem: Problem) -> Iterator[Edit]:
    """The whole pass times a known factor: forgotten or repeated once, where the pass begins."""
    for name, value in problem.constants.items():
        edit = Edit(cotangents={problem.recording.output: times(np.asarray(value))}, detail={"factor": value})
        edit.mistake = Mistake(name_of(name), "pass", lambda problem: iter(()), cost_of(name))
        yield edit
