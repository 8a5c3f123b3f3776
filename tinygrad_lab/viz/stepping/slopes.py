"""Finite differences for the steps of a page: is this contribution right, by moving one number a little?

What this file lets you do: `checks(recording)` compares, for each contribution of a backward pass, a few elements with
central differences of the loss, in float64, where the operand is moved at this one use only. Work is bounded by a count
of elements, not by time, so that the same graph gives the same answers. It must not know how they are shown.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.viz.stepping.recording import BackwardStep, Contribution, Recording

__all__ = ["Check", "checks"]

_FLOAT = np.dtype(np.float64)
BUDGET = 20_000_000  # elements read and written by all replays together
OVERHEAD = 2_000  # what an op costs beside its elements, in elements


@dataclass
class Check:
    """One element: its place in the operand, the gradient that the rule gave, the slope of the loss (NaN where the
    loss itself is not finite), and whether they agree."""

    index: tuple[int, ...]
    gradient: float
    slope: float
    agrees: bool


class _Replay:
    """The graph of a recording in float64, rerun from one step onward."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.spent = recording, 0
        self.values: dict[Step, Any] = {}
        for step in recording.trace.steps:
            if step.op is None:
                self.values[step] = np.asarray(step.source.array, _FLOAT)
            else:
                self.values[step] = self.run(step, self.values, {})

    def run(self, step: Step, values: Mapping[Step, Any], replaced: Mapping[str, Any]) -> Any:
        """The output of one op in float64, None where that is not known. `replaced` are operands by argument."""
        op = step.op
        if not hasattr(op, "forward"):  # a user's Function
            return None
        arguments = {}
        for name, operand in step.operands.items():
            # A function among the arguments is there for a side effect (running statistics), which happened once.
            value = None if callable(operand) else replaced[name] if name in replaced else _plain(operand, values)
            if value is None and (isinstance(operand, Step) or _holds_steps(operand)):
                return None
            arguments[name] = value
        if op.name == "to_dtype" and np.dtype(step.dtype).kind == "f":
            return np.asarray(arguments["input"], _FLOAT)
        self.spent += OVERHEAD + sum(np.size(value) for value in arguments.values() if isinstance(value, np.ndarray))
        result = op.forward(**arguments)[0] if op.residuals else op.function(**arguments)
        return np.asarray(result)

    def loss(self, step: Step, argument: str, value: np.ndarray) -> float | None:
        """The loss when `step` alone reads `value` as its `argument`, and everything else is as it was.

        None if an op on the way cannot be run again.
        """
        name, _, place = argument.partition("[")
        replacement: Any = value
        if place:
            row = list(_plain(step.operands[name], self.values))
            row[int(place[:-1])] = value
            replacement = tuple(row)
        moved: dict[Step, Any] = {step: self.run(step, self.values, {name: replacement})}
        values = ChainMap(moved, self.values)
        self.spent += 50 * (len(self.recording.trace.steps) - step.index)
        for later in self.recording.trace.steps[step.index + 1 :]:
            if any(operand in moved for _, operand in later.inputs):
                moved[later] = self.run(later, values, {})
        result = moved.get(self.recording.loss)
        return None if result is None else float(result.reshape(()))


def _holds_steps(operand: Any) -> bool:
    return isinstance(operand, tuple) and any(isinstance(item, Step) for item in operand)


def _plain(operand: Any, values: Mapping[Step, Any]) -> Any:
    """An operand in float64: of a step its value, of a constant itself. None if a value is not known."""
    if isinstance(operand, Step):
        return values[operand]
    if _holds_steps(operand):
        row = tuple(_plain(item, values) for item in operand)
        return None if any(item is None for item in row) else row
    if isinstance(operand, (np.ndarray, np.generic)) and operand.dtype.kind == "f":
        return np.asarray(operand, _FLOAT)
    return operand


def _elements(value: np.ndarray) -> list[tuple[int, ...]]:
    """Up to three elements worth looking at: the largest, and two on the way through the array."""
    magnitude = np.nan_to_num(np.abs(value)).ravel()
    places = dict.fromkeys([int(magnitude.argmax()), value.size // 3, 2 * value.size // 3])
    return [tuple(int(i) for i in np.unravel_index(place, value.shape)) for place in places]


def _largest(array: Any) -> float:
    """The largest magnitude among finite elements; 0 for what a user's Function with several outputs gets."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) if isinstance(array, np.ndarray) else 0.0


def checks(recording: Recording, shown: Iterable[BackwardStep]) -> dict[Contribution, list[Check]]:
    """{contribution: elements compared} for the steps `shown`; contributions that cost too much are left out."""
    with np.errstate(all="ignore"):
        replay = _Replay(recording)
        return {part: found for turn in shown for part in turn.contributions if (found := _compare(replay, turn, part))}


def _compare(replay: _Replay, turn: BackwardStep, part: Contribution) -> list[Check]:
    step, base = turn.step, replay.values[part.operand]
    if base is None or not isinstance(part.value, np.ndarray) or not part.value.size or replay.spent > BUDGET:
        return []
    # What float32 loses where terms of a sum cancel, and in the gradient that came in.
    tolerance = 1e-7 + 1e-6 * _largest(turn.cotangent) + 1e-4 * _largest(part.value)
    found = []
    for index in _elements(part.value):
        distance = 1e-5 * max(1.0, abs(float(base[index])))
        losses = []
        for sign in (1, -1):
            moved = base.copy()
            moved[index] += sign * distance
            loss = replay.loss(step, part.argument, moved)
            if loss is None:
                return []
            losses.append(loss)
        gradient, slope = float(part.value[index]), (losses[0] - losses[1]) / (2 * distance)
        found.append(Check(index, gradient, slope, bool(abs(gradient - slope) <= tolerance + 1e-3 * abs(slope))))
    return found
