"""Finding what explains the student's arrays: a best-first search over the catalogue.

What this file lets you do: `explain(problem, wrong)` returns every cheapest set of causes under which a replay of the
backward pass gives exactly the student's arrays, and the best partial one otherwise. It must not know any mistake.

Parameters are visited from the loss downward: the gradient of a late parameter depends on few edits, so what
explains it settles most of the pass before the earlier ones are looked at. A state is a set of edits made so far and
what was said of the arrays visited; its cost is that of its distinct causes, since the same slip made twice is
likelier than two slips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import numpy as np

from tinygrad_lab.verify.factors import Found, cost_of, everywhere, factors, multiple, name_of
from tinygrad_lab.verify.mistakes import ArrayView, catalogue, edits_of
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, Pass

__all__ = ["Cause", "Explanation", "explain"]

REPEATED = 0.15  # cost of a slip that was made already, at another array or layer
TIE = 0.3  # explanations whose costs differ by less are all reported
MOST = 5.0  # a costlier story is no explanation
EXPANSIONS = 400


@dataclass
class Cause:
    """One thing that went wrong. name: the mistake's stable name; arrays: those it made wrong; layer: where; detail:
    figures."""

    name: str
    arrays: list[str]
    layer: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "arrays": list(self.arrays), "layer": self.layer, "detail": dict(self.detail)}


@dataclass
class Explanation:
    """Causes that together give the student's arrays exactly. residual: largest relative difference left, per array."""

    causes: list[Cause]
    cost: float
    residual: dict[str, float] = field(default_factory=dict)

    @property
    def signature(self) -> Any:
        return tuple(sorted((cause.name, tuple(sorted(cause.arrays))) for cause in self.causes))


@dataclass(order=True)
class _State:
    cost: float
    serial: int
    visited: int = field(compare=False)
    made: Pass | None = field(compare=False)
    slips: tuple[tuple[Found, tuple[str, ...], str], ...] = field(compare=False)  # what, which arrays, layer
    residual: dict[str, float] = field(compare=False)


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.edits = edits_of(problem) + (list(everywhere(problem)) if problem.has_graph else [])
        self.edits = [edit for edit in self.edits if edit.steps]
        self.serial = itertools.count()
        self.passes: dict[tuple[int, ...], Pass] = {}
        self.influence = {id(edit): self._influence(edit) for edit in self.edits}
        self.order = self._order()
        self.views: dict[Pass | None, dict[str, list[tuple[float, list[Found], float]]]] = {}
        self.numbers: dict[str, list[tuple[float, list[Found], float]]] = {}
        self.made_edits: dict[tuple[int, float], Edit] = {}  # kept, so that their ids stay theirs
        self.use_numbers = False

    def _influence(self, edit: Edit) -> frozenset[str]:
        """The parameters whose gradient the edit changes (shifted labels leave a bias's alone, though they could
        reach it)."""
        recording = self.problem.recording
        made = self.replay(edit, recording.truth)
        changed = []
        for name in recording.influence(edit):
            index = recording.parameters[name].index
            before, after = recording.truth.cotangents[index], made.cotangents[index]
            if (before is None) != (after is None) or (
                before is not None and not self.problem.same(after, before, name)
            ):
                changed.append(name)
        return frozenset(changed)

    def _order(self) -> list[str]:
        """Parameters from the loss downward; those that fewer edits reach come first."""

        def depth(name: str) -> tuple[int, int, int]:
            reached = sum(name in influence for influence in self.influence.values())
            step = self.problem.recording.parameters.get(name) if self.problem.has_graph else None
            users = [] if step is None else self.problem.recording.users[step.index]
            return -max((use.user.index for use in users), default=0), reached, -self.problem.hand[name].size

        return sorted(self.problem.params, key=depth)

    # One array

    def local(self, made: Pass | None, name: str) -> list[tuple[float, list[Found], float]]:
        """Ways to get the student's array from the gradient under `made`: (cost, slips, residual), cheapest first."""
        known = self.views.setdefault(made, {})
        if name not in known:
            known[name] = sorted(self._local(made, name), key=lambda way: way[0])
        found = known[name]
        if self.use_numbers and (made is None or made is self._truth()):
            if name not in self.numbers:
                view = ArrayView(self.problem, name, made)
                self.numbers[name] = list(self._candidates(view, "numbers"))
            found = found + self.numbers[name]
        return found

    def _local(self, made: Pass | None, name: str) -> Iterator[tuple[float, list[Found], float]]:
        view = ArrayView(self.problem, name, made)
        if self.problem.same(view.hand, view.gradient, name):
            yield 0.0, [], _relative(view.hand, view.gradient)
            return
        if not np.isfinite(view.hand).all() or not np.isfinite(view.gradient).all():
            return
        for slips in factors(view):
            yield sum(slip.cost for slip in slips), slips, 0.0
        yield from self._candidates(view, "array")

    def _candidates(self, view: ArrayView, kind: str) -> Iterator[tuple[float, list[Found], float]]:
        for entry in catalogue.values():
            if entry.kind != kind:
                continue
            for candidate in entry.find(view):
                if candidate.array.shape != view.hand.shape:
                    continue
                slip = Found(entry.name, (entry.name, _fitted_key(candidate.detail)), entry.cost, candidate.detail)
                if self.problem.same(view.hand, candidate.array, view.name):
                    yield entry.cost, [slip], _relative(view.hand, candidate.array, view.gradient)
                elif kind == "array" and not candidate.fitted:
                    scaled = multiple(view, candidate.array)
                    if scaled is not None and scaled[1]:
                        factor = Found(
                            name_of(scaled[1][0]),
                            ("factor", scaled[1][0]),
                            cost_of(scaled[1][0]),
                            {"factor": scaled[0]},
                        )
                        yield entry.cost + factor.cost, [slip, factor], 0.0

    # The whole

    def _truth(self) -> Pass | None:
        return self.problem.recording.truth if self.problem.has_graph else None

    def replay(self, edit: Edit, base: Pass) -> Pass:
        key = (*(id(e) for e in base.edits), id(edit))
        if key not in self.passes:
            self.passes[key] = self.problem.recording.replay(edit, base)
        return self.passes[key]

    def run(self, deep: bool) -> tuple[list[Explanation], _State]:
        """All cheapest explanations, and the state that got furthest. `deep` also tries pairs and slips made in one
        array only."""
        start = _State(0.0, next(self.serial), 0, self._truth(), (), {})
        heap, best, furthest = [start], MOST, start
        found: list[Explanation] = []
        for _ in range(EXPANSIONS):
            if not heap or heap[0].cost > best + TIE:
                break
            state = heappop(heap)
            if state.visited > furthest.visited or (state.visited == furthest.visited and state.cost < furthest.cost):
                furthest = state
            if state.visited == len(self.order):
                best = min(best, state.cost)
                found.append(self._explanation(state))
                continue
            for following in self._next(state, deep):
                if following.cost <= best + TIE:
                    heappush(heap, following)
        return _distinct(found), furthest

    def _next(self, state: _State, deep: bool) -> Iterator[_State]:
        name = self.order[state.visited]
        ways = self.local(state.made, name)
        yield from (self._after(state, name, way, state.made, ()) for way in ways)
        if state.made is None or (ways and not ways[0][1]):  # right as it is
            return
        done = set(self.order[: state.visited])
        touched = set().union(*(edit.touches() for edit in state.made.edits))
        gap = [
            edit
            for edit in self.edits
            if name in self.influence[id(edit)]
            and not (self.influence[id(edit)] & done)
            and not (edit.touches() & touched)
        ]
        for listed in gap:
            edit = listed if listed.fitted is None else self._fit(listed, state.made, name)
            if edit is None:
                continue
            made = self.replay(edit, state.made)
            yield from (self._after(state, name, way, made, (edit,)) for way in self.local(made, name))
        if not deep:
            return
        gap = [edit for edit in gap if edit.fitted is None]
        for edit in self.edits:  # made for this array only: the cotangent that was carried on is right
            if (
                name in self.influence[id(edit)]
                and (self.influence[id(edit)] & done)
                and edit.fitted is None
                and not (edit.touches() & touched)
            ):
                made = self.replay(edit, state.made)
                for way in self.local(made, name):
                    if not way[1]:
                        yield self._after(state, name, way, state.made, (edit,), only=True)
        if len(gap) <= 90:
            for first, second in itertools.combinations(gap, 2):
                if first.touches() & second.touches() or first.mistake is second.mistake:
                    continue
                made = self.problem.recording.replay(second, self.replay(first, state.made))
                view = self.problem.recording.parameters[name]
                gradient = made.cotangents[view.index]
                if gradient is not None and self.problem.same(self.problem.hand[name], gradient, name):
                    yield self._after(state, name, (0.0, [], 0.0), made, (first, second))

    def _fit(self, unit: Edit, base: Pass, name: str) -> Edit | None:
        """The edit whose figure makes the gradient the student's, if there is one: the gradient is linear in the
        figure."""
        index = self.problem.recording.parameters[name].index
        before, after = base.cotangents[index], self.replay(unit, base).cotangents[index]
        hand = self.problem.hand[name]
        if before is None or after is None or hand.shape != before.shape or not np.isfinite(hand).all():
            return None
        slope = after - before
        size = float((slope * slope).sum())
        figure = float(((hand - before) * slope).sum()) / size if size else 0.0
        if figure <= 1e-9 or hand.size < 3 or not self.problem.same(hand, before + figure * slope, name):
            return None
        key = (id(unit), float(f"{figure:.6g}"))
        if key not in self.made_edits:
            edit = unit.fitted(figure)  # type: ignore[misc]
            edit.mistake = unit.mistake
            self.influence[id(edit)] = self.influence[id(unit)]
            self.made_edits[key] = edit
        return self.made_edits[key]

    def _after(
        self, state: _State, name: str, way: Any, made: Pass | None, edits: tuple[Edit, ...], only: bool = False
    ) -> _State:
        slips = list(state.slips)
        cost = state.cost + (0.4 if only else 0.0)
        keys = {slip.key for slip, _, _ in slips}
        for edit in edits:
            key, price = edit.mistake.name, edit.mistake.cost + edit.extra
            cost += REPEATED if key in keys else price
            keys.add(key)
            arrays = (name,) if only else tuple(n for n in self.order if n in self.influence[id(edit)])
            slips.append((Found(edit.mistake.name, key, price, edit.detail), arrays, edit.layer))
        for slip in way[1]:
            cost += REPEATED if slip.key in keys else slip.cost
            keys.add(slip.key)
            slips.append((slip, (name,), ""))
        residual = {**state.residual, name: way[2]}
        return _State(cost, next(self.serial), state.visited + 1, made, tuple(slips), residual)

    def _explanation(self, state: _State) -> Explanation:
        causes: dict[str, Cause] = {}
        for slip, arrays, layer in state.slips:
            cause = causes.setdefault(slip.name, Cause(slip.name, [], "", dict(slip.detail)))
            cause.arrays += [a for a in self.problem.params if a in arrays and a not in cause.arrays]
            layers = [part for part in (cause.layer, layer) if part]
            cause.layer = ", ".join(sorted(set(", ".join(layers).split(", ")))) if layers else ""
        for cause in causes.values():
            cause.arrays = [name for name in self.problem.params if name in cause.arrays]
        return Explanation(list(causes.values()), state.cost, state.residual)


def _fitted_key(detail: dict[str, Any]) -> Any:
    """What distinguishes two occurrences of one mistake: its fitted figures, which must be the same for one habit."""
    return tuple(
        (
            k,
            round(v, 6)
            if isinstance(v, float) and abs(v) > 1e-4
            else v
            if not isinstance(v, float)
            else float(f"{v:.3g}"),
        )
        for k, v in detail.items()
        if k in ("lambda", "rate", "h")
    )


def _relative(hand: np.ndarray, replayed: np.ndarray, truth: np.ndarray | None = None) -> float:
    """The residual, relative to the replayed array or to the right gradient: a replay may be all zeros."""
    scale = max(np.abs(a).max(initial=0.0) for a in (replayed, truth) if a is not None)
    return float(np.abs(hand - replayed).max(initial=0.0) / scale) if scale else 0.0


def _distinct(found: list[Explanation]) -> list[Explanation]:
    found = sorted(found, key=lambda e: e.cost)
    kept: dict[Any, Explanation] = {}
    for explanation in found:
        kept.setdefault(explanation.signature, explanation)
    return [e for e in kept.values() if e.cost <= found[0].cost + TIE]


def explain(problem: Problem) -> tuple[list[Explanation], list[Cause], list[str]]:
    """(explanations, best partial causes, arrays that the partial ones cover).

    First single slips per layer; then measured gradients; then pairs in one layer and slips made for one array only.
    """
    search = _Search(problem)
    found, furthest = search.run(deep=False)
    if not found:
        search.use_numbers = True
        found, furthest = search.run(deep=False)
    if not found and problem.has_graph:
        search.use_numbers = False
        found, furthest = search.run(deep=True)
    partial = search._explanation(furthest)
    return found, partial.causes, search.order[: furthest.visited]
