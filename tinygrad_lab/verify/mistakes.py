"""The catalogue of mistakes, and the decorator with which a mistake enters it.

What this file lets you do: register a mistake (`@mistake`), list all of them (`catalogue`). The mistakes themselves
stand in `mistakes_*.py`, by family. A mistake comes in one of three kinds:

"pass"     a function of the `Problem` that yields `Edit`s: ways to run the backward pass wrongly
"array"    a function of one `ArrayView` that yields `Candidate`s: what could have been written down for that array
"numbers"  the same, but costly (it calls the loss again and again), and so tried only where nothing else fits

A teacher's own mistake is registered in the same way:

    @mistake("tanh derivative of the value squared")
    def squared(problem):
        for step in problem.recording.steps:
            if step.op is not None and step.op.name == "tanh":
                yield Edit(rules={(step, "input"): lambda g, y: g * y * y}, layer=step.name)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, Pass, Use

VIEWS = ("transpose", "permute", "reshape", "expand", "squeeze", "unsqueeze", "flatten", "t", "to_dtype", "clone")

__all__ = ["VIEWS", "ArrayView", "Candidate", "Mistake", "catalogue", "edits_of", "mistake"]


@dataclass(frozen=True)
class Mistake:
    """One entry of the catalogue. A higher cost makes it a less likely explanation; 1 is an ordinary slip."""

    name: str
    kind: str
    find: Callable[[Any], Iterator[Any]]
    cost: float = 1.0
    says: Mapping[str, tuple[str, str]] = field(default_factory=dict)


catalogue: dict[str, Mistake] = {}
"""Every registered mistake by name, in order of registration."""


def mistake(
    name: str, *, kind: str = "pass", cost: float = 1.0, says: Mapping[str, tuple[str, str]] | None = None
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a mistake under a stable name. ValueError for an unknown kind; a name that exists is replaced.

    says   {"en": (what it means, the line to try), "zh": ...} for the report; those of the package stand in `sayings`
    """
    if kind not in ("pass", "array", "numbers"):
        raise ValueError(f"mistake {name!r}: kind must be 'pass', 'array' or 'numbers', got {kind!r}")

    def register(find: Callable[[Any], Any]) -> Callable[[Any], Any]:
        catalogue[name] = Mistake(name, kind, find, cost, dict(says or {}))
        return find

    return register


@dataclass
class Candidate:
    """An array that a mistake would have produced. fitted: a number in it was fitted to the student's array."""

    array: np.ndarray
    detail: dict[str, Any] = field(default_factory=dict)
    fitted: bool = False


class ArrayView:
    """What an array mistake may look at: one parameter's gradient under some pass, and the student's array.

    name, value (the parameter), hand (the student's array), gradient, uses [(Use, contribution)], problem
    """

    def __init__(self, problem: Problem, name: str, made: Pass | None) -> None:
        self.problem, self.name = problem, name
        self.value, self.hand = problem.params[name], problem.hand[name]
        self._made = made
        self.uses: list[tuple[Use, np.ndarray]] = []
        self.gradient = problem.truth[name]
        if made is None:
            return
        recording = problem.recording
        step = recording.parameters.get(name)
        if step is None:
            return
        g = made.cotangents[step.index]
        self.gradient = np.zeros(step.shape) if g is None else g
        chain: list[Use] = []  # W.T, W.reshape(...) only pass the parameter on: its uses are those of the view
        users = recording.users[step.index]
        while len(users) == 1 and users[0].user.op.name in VIEWS:
            chain.append(users[0])
            users = recording.users[users[0].user.index]
        for use in users:
            contribution = made.contributions.get(use.key)
            if contribution is not None:
                for outer in reversed(chain):
                    contribution = recording.fitted(outer, contribution)
                self.uses.append((use, contribution))

    @cached_property
    def groups(self) -> list[tuple[str, Use, np.ndarray]]:
        """(kind, a use, contribution) for steps reading the parameter; kind is "data", or "penalty" if none enters."""
        found: dict[int, tuple[str, Use, np.ndarray]] = {}
        for use, contribution in self.uses:
            index = use.user.index
            kind = "data" if self.problem.recording.from_data[index] else "penalty"
            total = contribution if index not in found else found[index][2] + contribution
            found[index] = kind, use, total
        return list(found.values())

    def rows(self, use: Use, keep: Any) -> np.ndarray | None:
        """The contribution of `use` with only the rows `keep` of the cotangent; None if it cannot be cut into rows."""
        recording = self.problem.recording
        g = None if self._made is None else self._made.cotangents[use.user.index]
        if g is None or g.ndim == 0 or g.shape[0] != self.problem.sizes.get("N"):
            return None
        cut = np.zeros_like(g)
        cut[keep] = g[keep]
        row = recording.fitted(use, cut)
        return row if row.shape == self.gradient.shape else None

    def cotangent(self, use: Use) -> np.ndarray | None:
        return None if self._made is None else self._made.cotangents[use.user.index]


def edits_of(problem: Problem) -> list[Edit]:
    """Every edit that the catalogue proposes for this problem."""
    found = []
    if not problem.has_graph:
        return []
    for entry in catalogue.values():
        if entry.kind == "pass":
            for edit in entry.find(problem):
                edit.mistake = entry
                found.append(edit)
    return found
