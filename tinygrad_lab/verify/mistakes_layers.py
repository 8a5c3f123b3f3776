"""Mistakes between layers: weights used wrongly going back, values of the wrong step, paths left out, `=` for `+=`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.verify.mistakes import VIEWS, mistake
from tinygrad_lab.verify.mistakes_activation import activation_input, activations, is_activation
from tinygrad_lab.verify.mistakes_loss import heads
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, Recording, Use

__all__ = ["weight_edges"]


def parameter_behind(recording: Recording, step: Step) -> str | None:
    """The name of the parameter that `step` is, maybe transposed or reshaped; None for anything else."""
    names = {leaf.index: name for name, leaf in recording.parameters.items()}
    while step.index not in names:
        if step.op is None or step.op.name not in VIEWS:
            return None
        step = recording.uses[step.index][0].operand
    return names[step.index]


def weight_edges(recording: Recording) -> Iterator[tuple[Use, str, str]]:
    """(edge that carries the cotangent on, weight's parameter name, name of the argument that holds the weight)."""
    for step in recording.steps:
        if step.op is None or step.op.name not in ("matmul", "linear"):
            continue
        uses = recording.uses[step.index]
        for use in uses:
            other = next((u for u in uses if u.argument != use.argument and u.argument != "bias"), None)
            if other is None or parameter_behind(recording, use.operand) is not None:
                continue
            weight = parameter_behind(recording, other.operand)
            if weight is not None and recording.leads_to[use.operand.index]:
                yield use, weight, other.argument


def _by_weight(recording: Recording) -> dict[str, list[tuple[Use, str]]]:
    found: dict[str, list[tuple[Use, str]]] = {}
    for use, weight, argument in weight_edges(recording):
        found.setdefault(weight, []).append((use, argument))
    return found


def _all_uses(
    edges: list[tuple[Use, str]], weight: str, make: Callable[[Use, str], Any], detail: Any = None
) -> Iterator[Edit]:
    rules = {}
    for use, argument in edges:
        rule = make(use, argument)
        if rule is None:
            return
        rules[use.user, use.argument] = rule
    yield Edit(rules=rules, layer=weight, detail=dict(detail or {}))


@mistake("weight not transposed")
def weight_not_transposed(problem: Problem) -> Iterator[Edit]:
    recording = problem.recording
    for weight, edges in _by_weight(recording).items():

        def make(use: Use, argument: str) -> Any:
            w = recording.known[use.user.index][argument]
            if w.ndim != 2 or w.shape[0] != w.shape[1]:
                return None
            return recording.using(use, **{argument: w.T})

        yield from _all_uses(edges, weight, make)


@mistake("weight missing")
def weight_missing(problem: Problem) -> Iterator[Edit]:
    recording = problem.recording
    for weight, edges in _by_weight(recording).items():

        def make(use: Use, argument: str) -> Any:
            return (lambda g: g) if use.operand.shape == use.user.shape else None

        yield from _all_uses(edges, weight, make)


@mistake("weight of another layer")
def weight_of_another_layer(problem: Problem) -> Iterator[Edit]:
    recording = problem.recording
    for weight, edges in _by_weight(recording).items():
        for other, value in problem.params.items():
            if other == weight:
                continue

            def make(use: Use, argument: str, value: Any = value) -> Any:
                w = recording.known[use.user.index][argument]
                for candidate in (value, value.T):
                    if candidate.shape == w.shape:
                        return recording.using(use, **{argument: candidate})
                return None

            yield from _all_uses(edges, weight, make, {"other": other})


@mistake("weight already updated")
def weight_updated(problem: Problem) -> Iterator[Edit]:
    """The step was taken before the cotangent was carried on: W - rate dW in place of W, with the student's dW."""
    recording = problem.recording
    for weight, edges in _by_weight(recording).items():
        update = problem.hand[weight]
        if update.shape != problem.params[weight].shape or not np.isfinite(update).all() or not update.any():
            continue

        def make(rate: float, weight: str = weight, edges: Any = edges, update: np.ndarray = update) -> Edit:
            rules = dict(_updated_rules(recording, edges, update, rate))
            return Edit(rules=rules, layer=weight, detail={"rate": rate})

        unit = make(1.0)
        unit.fitted = make
        yield unit


def _updated_rules(
    recording: Recording, edges: list[tuple[Use, str]], update: np.ndarray, rate: float
) -> Iterator[Any]:
    for use, argument in edges:
        w = recording.known[use.user.index][argument]
        step = update if update.shape == w.shape else update.T
        if step.shape == w.shape:
            yield (use.user, use.argument), recording.using(use, **{argument: w - rate * step})


# The value that a rule multiplies with


def _substitutes(recording: Recording, step: Step, value: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """(mistake, where it comes from, value) of what could have been used in the place of an operand's value."""
    if is_activation(step):
        yield "pre-activation", step.name, recording.value(activation_input(step)[1])
    seen = [value]
    for _, other in activations(recording):
        if other is not step and other.shape == value.shape:
            yield "another layer's activation", other.name, recording.value(other)
            seen.append(recording.value(other))
    for other in recording.steps:
        for _, array in [
            *recording.constants(other),
            *([("y", recording.value(other))] if not is_activation(other) else []),
        ]:
            before = is_activation(step) and other is activation_input(step)[1]
            fits = array.shape == value.shape and array.dtype.kind == "f" and not before
            if fits and not any(array is a or np.array_equal(array, a) for a in seen):
                seen.append(array)
                yield "another layer's activation", other.name, array


def _value_edits(problem: Problem, wanted: str) -> Iterator[Edit]:
    recording = problem.recording
    for name in recording.parameters:
        found: dict[str, list[Any]] = {}
        for step in recording.steps:
            for use in recording.uses[step.index]:
                if (
                    parameter_behind(recording, use.operand) != name
                    or step.op.name in VIEWS
                    or not getattr(step.op, "rules", None)
                ):
                    continue
                for needed in step.op.needs[use.argument]:
                    operand, value = step.operands.get(needed), recording.known[step.index][needed]
                    if not isinstance(operand, Step) or not recording.from_data[operand.index]:
                        continue
                    for kind, where, other in _substitutes(recording, operand, value):
                        if kind == wanted:
                            rule = recording.using(use, **{needed: other})
                            found.setdefault(where, []).append(((use.user, use.argument), rule))
        for where, rules in found.items():
            if len(rules) == 1:
                yield Edit(rules=dict(rules), layer=name, detail={"other": where})
        if len(found) > 1 and wanted == "pre-activation":  # a weight shared by several steps: the same slip at each
            yield Edit(rules={key: rule for rules in found.values() for key, rule in rules}, layer=name)


@mistake("pre-activation")
def pre_activation(problem: Problem) -> Iterator[Edit]:
    yield from _value_edits(problem, "pre-activation")


@mistake("another layer's activation", cost=1.3)
def other_activation(problem: Problem) -> Iterator[Edit]:
    yield from _value_edits(problem, "another layer's activation")


# Paths


def _zero(recording: Recording, user: Step, operand: Step) -> dict[tuple[Step, str], Any]:
    """Rules under which nothing goes from `user` back to `operand`."""
    arguments = {use.argument for use in recording.uses[user.index] if use.operand is operand}
    return {(user, a): (lambda g, shape=operand.shape: np.zeros(shape)) for a in arguments if not user.op.sequence}


@mistake("path dropped", cost=1.25)
def path_dropped(problem: Problem) -> Iterator[Edit]:
    """A value is used twice, and only one of the uses is differentiated."""
    recording = problem.recording
    roles: dict[Any, dict[Any, Any]] = {}
    weights = {use.key: weight for use, weight, _ in weight_edges(recording)}
    for step in recording.steps:
        users = {use.user.index: use.user for use in recording.users[step.index]}
        if step.is_leaf or not recording.leads_to[step.index] or not recording.from_data[step.index]:
            continue
        for user in users.values():
            rules = _zero(recording, user, step)
            shared = [weights[u.key] for u in recording.uses[user.index] if u.operand is step and u.key in weights]
            if rules and len(users) > 1:
                yield Edit(rules=rules, layer=step.name, detail={"user": user.op.name})
            if rules and (len(users) > 1 or shared):
                roles.setdefault((user.op.name, *sorted(a for _, a in rules), step.shape, *shared), {}).update(rules)
    for (op, *_), rules in roles.items():
        if len({user for user, _ in rules}) > 1:
            yield Edit(rules=rules, layer=op, detail={"user": op})


@mistake("batch statistics taken as constants")
def statistics_constant(problem: Problem) -> Iterator[Edit]:
    """Mean and variance depend on the batch too: nothing is sent back through them, or through one of them only."""
    recording = problem.recording
    rules: dict[tuple[Step, str], Any] = {}
    for step in recording.steps:
        if step.op is None or not recording.from_data[step.index]:
            continue
        if step.op.name == "standardize":
            yield Edit(
                rules={(step, "input"): lambda g, weight, scale: (g if weight is None else g * weight) * scale},
                layer=step.name,
            )
        if step.op.name in ("mean", "sum", "var", "std") and step.shape and step is not recording.output:
            operand = recording.uses[step.index][0].operand
            if len(operand.shape) < 2 or step.shape[-1] != operand.shape[-1]:
                continue  # not a statistic of each column
            one = _zero(recording, step, operand)
            readers = {use.user.index for use in recording.users[operand.index]}
            if len(readers) == 1:  # mean((x - m)**2): the square is read by the mean alone
                one = {
                    key: rule
                    for use in recording.uses[operand.index]
                    for key, rule in _zero(recording, operand, use.operand).items()
                }
            yield Edit(rules=one, layer=step.name)
            rules |= one
    if len({step for step, _ in rules}) > 1:
        yield Edit(rules=rules, layer=", ".join(dict.fromkeys(step.name for step, _ in rules)))


# One for all


@mistake("= for +=")
def overwritten(problem: Problem) -> Iterator[Edit]:
    """A loop assigns where it should add: of all rows, or of all readings of one row, only the last (first) counts."""
    recording = problem.recording
    for step in recording.steps:
        if step.op is None or step.op.name not in ("getitem", "embedding", "index_select"):
            continue
        (use, *_) = recording.uses[step.index]
        argument = {"getitem": "index", "embedding": "input", "index_select": "index"}[step.op.name]
        index = recording.known[step.index][argument]
        if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu":
            continue
        axis = recording.known[step.index].get("dim", 0)
        for last in (True, False):

            def assigned(
                g: np.ndarray, index: Any = index, shape: Any = use.operand.shape, last: bool = last, axis: int = axis
            ) -> Any:
                out = np.zeros(shape)
                target, rows = np.moveaxis(out, axis, 0), np.moveaxis(g, axis, 0) if axis else g
                flat, rows = index.reshape(-1), rows.reshape(index.size, *target.shape[1:])
                for i in range(len(flat)) if last else range(len(flat) - 1, -1, -1):
                    target[flat[i]] = rows[i]
                return out

            yield Edit(
                rules={(step, use.argument): assigned}, layer=step.name, detail={"kept": "last" if last else "first"}
            )
    for head in heads(problem)[:1]:
        for kept in (-1, 0):

            def row(g: np.ndarray, kept: int = kept) -> np.ndarray:
                out = np.zeros_like(g)
                out[kept] = g[kept]
                return out

            yield Edit(cotangents={head.step: row}, layer=head.step.name, detail={"kept": "last" if kept else "first"})
