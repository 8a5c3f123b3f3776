"""What a correct derivation may contain: every value, gradient and part of one, and the usual helpers, by number.

What this file lets you do: ask what an array is (`Facts.match`): the value of a step of the graph, the gradient of one,
one use's share of it, a mask, a one-hot matrix, an exponential, maybe transposed or times a known constant. It must not
know where the array comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.verify.mistakes import ArrayView
from tinygrad_lab.verify.mistakes_activation import activation_input, activations, composed_sigmoids, is_relu
from tinygrad_lab.verify.mistakes_loss import heads, targets_of
from tinygrad_lab.verify.problem import Problem

__all__ = ["Fact", "Facts"]


@dataclass(eq=False)
class Fact:
    """An array with a meaning. kind: "value", "gradient", "part" (of a gradient), "helper", "data". of: a step's or
    parameter's name."""

    kind: str
    of: str
    array: np.ndarray
    index: int = -1  # of the step
    size: float = 0.0  # sum of the absolute values, which transposing leaves alone

    def __str__(self) -> str:
        return _SAID.get(self.kind, "{}").format(self.of)  # a helper says itself what it is


_SAID = {
    "value": "the value of {}",
    "gradient": "the gradient of {}",
    "part": "part of the gradient of {}",
    "row": "a row of {}",
    "scaled": "N times the gradient of {}",
}

_JOINING = ("add", "sub", "mul", "div", "matmul", "linear", "relu", "tanh", "sigmoid", "maximum", "clamp", "where")


def _key(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(size for size in shape if size != 1))


class Facts:
    """All facts about one problem, found by shape and size."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rtol = max(problem.rtol, 1e-7)
        self.buckets: dict[tuple[int, ...], list[Fact]] = {}
        self.everything: list[Fact] = []
        self.scalars = {*(float(n) for n in problem.sizes.values())}
        recording = problem.recording
        with np.errstate(all="ignore"):
            for step in recording.steps:
                g = recording.truth.cotangents[step.index]
                name = "the loss" if step is recording.output else step.name
                self.add("value", name, recording.value(step), step.index)
                if g is not None:
                    self.add("gradient", name, g, step.index)
                for _, array in recording.constants(step):
                    self.add("data", "data", array)
                for operand in step.operands.values():
                    if isinstance(operand, (int, float)) or (isinstance(operand, np.ndarray) and operand.ndim == 0):
                        self.scalars.add(abs(float(operand)))
                for use in recording.uses[step.index]:
                    part = recording.truth.contributions.get(use.key)
                    if part is not None:
                        self.add("part", use.operand.name, part, use.operand.index)
            for name in problem.params:
                self.add("gradient", name, problem.truth[name])
                self._shares(name)
            self._activations()
            self._heads()
            self._statistics()
        self.scalars.add(abs(problem.loss_value))

    def add(self, kind: str, of: str, array: Any, index: int = -1) -> None:
        array = np.asarray(array)
        if array.dtype.kind not in "fbiu" or array.size == 0:
            return
        array = array.astype(np.float64)
        if np.isfinite(array).all():
            fact = Fact(kind, of, array, index, float(np.abs(array).sum()))
            if kind != "data":
                self.everything.append(fact)
            if array.size > 1:
                self.buckets.setdefault(_key(array.shape), []).append(fact)

    def _shares(self, name: str) -> None:
        """One use's share of a parameter's gradient, their running sums in either direction, and the rows before
        they are added."""
        view = ArrayView(self.problem, name, self.problem.recording.truth)
        parts = [c for _, _, c in view.groups]
        for part in parts:
            self.add("part", name, part)
        for order in (parts, parts[::-1]):
            total: Any = 0.0
            for part in order:
                total = total + part
                self.add("part", name, total)
        for use, _ in view.uses:
            g = self.problem.recording.truth.cotangents[use.user.index]
            if g is not None and getattr(use.user.op, "rules", None) and use.user.op.name in ("mul", "add", "sub"):
                self.add("part", name, self.problem.recording.contribution(use.user, use.argument, g))

    def _activations(self) -> None:
        recording = self.problem.recording
        smooth = [(recording.value(s), s.op.name, activation_input(s)[1].name) for _, s in activations(recording)]
        smooth += [(y, "sigmoid", x.name) for x, y in composed_sigmoids(recording)]
        for _, step in activations(recording):
            if is_relu(step):
                mask = recording.value(step) > 0
                self.add("helper", f"[{step.name} > 0]", mask)
                for y in self._labels(step.shape):  # a hinge: the true class does not count
                    self.add("helper", f"[{step.name} > 0] of the wrong classes", mask * (1 - y))
                    self.add("helper", f"number of [{step.name} > 0]", (mask * (1 - y)).sum(-1))
        for y, op, name in smooth:
            if op == "sigmoid":
                for helper in (1 - y, y * (1 - y)):
                    self.add("helper", f"sigmoid'({name})", helper)
            if op == "tanh":
                for helper in (y * y, 1 - y * y):
                    self.add("helper", f"tanh'({name})", helper)
        for step in recording.steps:
            if step.op is not None and step.op.name == "sigmoid":
                self.add("helper", step.name, np.exp(-recording.value(activation_input(step)[1])))

    def _labels(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        for step in self.problem.recording.steps:
            if step.op is not None and step.shape == shape:
                yield from list(targets_of(self.problem.recording, step))[:1]
                return

    def _heads(self) -> None:
        for head in heads(self.problem):
            z = self.problem.recording.value(head.step)
            self.add("helper", "one-hot labels" if head.kind == "softmax" else "targets", head.y)
            self.add("helper", "probabilities" if head.kind != "identity" else "predictions", head.p)
            self.add("helper", "p - y", head.p - head.y)
            if head.kind == "softmax":
                top = z.max(-1, keepdims=True)
                for shift in (0.0, top):
                    self.add("helper", "exp(z)", np.exp(z - shift))
                    self.add("helper", "sum of exp(z)", np.exp(z - shift).sum(-1, keepdims=True))
                self.add("helper", "z - max z", z - top)
                self.add("helper", "max z", top)
                chosen = (head.p * head.y).sum(-1)
                self.add("helper", "p of the labels", chosen)
                self.add("helper", "log p of the labels", np.log(chosen))
                self.add("helper", "log p", np.log(head.p))
            if head.kind == "sigmoid":
                self.add("helper", "exp(-z)", np.exp(-z))
                self.add("helper", "1 + exp(-z)", 1 + np.exp(-z))
            if head.kind == "identity":
                self.add("helper", "squares", (head.p - head.y) ** 2)

    def _statistics(self) -> None:
        """Column means, variances and deviations of values that have them in the graph or are normalised there."""
        recording = self.problem.recording
        for step in recording.steps:
            if step.op is None or len(step.shape) < 2 or not recording.from_data[step.index]:
                continue
            users = {use.user.op.name for use in recording.users[step.index]}
            if not users & {"mean", "var", "std", "standardize"}:
                continue
            v = recording.value(step)
            for helper in (v.mean(0), v.var(0), v.std(0), v - v.mean(0), (v - v.mean(0)) ** 2):
                self.add("helper", f"statistics of {step.name}", helper)
        for step in recording.steps:
            g = recording.truth.cotangents[step.index]
            if step.op is None or g is None or len(step.shape) < 2 or not recording.from_data[step.index]:
                continue
            v = recording.value(step)
            if abs(v.mean(0)).max() < 1e-9 and abs(v.std(0) - 1).max() < 1e-2:  # normalised
                for use in recording.users[step.index]:
                    part = recording.truth.contributions.get(use.key)
                    if part is not None:
                        for helper in (
                            part.mean(0),
                            part.sum(0),
                            part * v,
                            (part * v).mean(0),
                            (part * v).sum(0),
                            v * (part * v).mean(0),
                        ):
                            self.add("helper", f"statistics of the gradient of {step.name}", helper)

    def neighbours(self, matched: list[Fact]) -> set[Fact]:
        """Facts one step of the graph away from `matched`: with the bias added, with the mask, the whole instead of
        a part."""
        recording = self.problem.recording
        near: dict[str, set[int]] = {"value": set(), "gradient": set()}
        names: set[str] = set()
        for fact in matched:
            if fact.kind in (*near, "row") and fact.index >= 0:
                step = recording.steps[fact.index]
                beside = {use.user.index for use in recording.users[step.index] if use.user.op.name in _JOINING}
                if step.op is not None and step.op.name in _JOINING:
                    beside |= {use.operand.index for use in recording.uses[step.index]}
                for kind in near:
                    if fact.kind in (kind, "row"):
                        near[kind] |= beside
            if fact.kind in ("part", "gradient"):
                names.add(fact.of)
        return {
            fact
            for fact in self.everything
            if fact.index in near.get(fact.kind, ()) or (fact.kind in ("part", "gradient") and fact.of in names)
        }

    def add_rows(self) -> None:
        """Single rows too, for a derivation that loops over them."""
        n = self.problem.sizes.get("N", 0)
        for fact in list(self.everything):
            if fact.array.ndim > 1 and fact.array.shape[0] == n and fact.array.size > n:
                for row in fact.array:
                    if fact.kind == "gradient":
                        self._add_row(fact, n * row)
                    self._add_row(fact, row)

    def _add_row(self, fact: Fact, row: np.ndarray) -> None:
        made = Fact("row", fact.of, row, fact.index, float(np.abs(row).sum()))
        self.buckets.setdefault(_key(row.shape), []).append(made)

    def shaped(self, shape: tuple[int, ...]) -> Iterator[tuple[Fact, np.ndarray]]:
        """(fact, array) for the facts that have a shape, or have it when transposed."""
        for fact in self.buckets.get(_key(shape), ()):
            for array in (fact.array, fact.array.squeeze(), fact.array.squeeze().T):
                if array.size and tuple(s for s in array.shape if s != 1) == tuple(s for s in shape if s != 1):
                    yield fact, array.reshape(shape)
                    break

    def match(self, value: np.ndarray) -> list[tuple[Fact, float]]:
        """(fact, factor) for everything that `value` is: factor 1 exactly, else one of the known constants."""
        value = np.asarray(value)
        if value.size < 2 or value.dtype.kind not in "fbiu":
            return []
        value = value.astype(np.float64)
        if not np.isfinite(value).all():
            return []
        key = _key(value.shape)
        size = float(np.abs(value).sum())
        found = []
        for fact in self.buckets.get(key, ()):
            if fact.size == 0 or size == 0:
                continue
            factor = size / fact.size
            if abs(factor - 1) < self.rtol:
                factor = 1.0
            elif fact.kind not in ("gradient", "part") or not self.problem.constant(factor):
                continue
            for sign in (1.0, -1.0) if fact.of not in self.problem.params else (1.0,):
                if self._equal(value, sign * factor * fact.array):
                    found.append((fact, sign * factor))
                    break
        return sorted(found, key=lambda pair: pair[1] != 1.0)

    def _equal(self, value: np.ndarray, array: np.ndarray) -> bool:
        squeezed = array.squeeze()
        for candidate in (array, squeezed, squeezed.T):
            if candidate.shape == value.shape or candidate.shape == value.squeeze().shape:
                difference = np.abs(value.reshape(candidate.shape) - candidate)
                scale = np.abs(candidate).max()
                if (difference <= self.rtol * scale).all():
                    return True
        return False
