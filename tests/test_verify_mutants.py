"""The tester, tested: every vjp rule of every op is spoiled in six ways, and the checker must find each of them.

The differences of an op are measured once per sample; the gradients of the right rule and of its mutants are judged by
them. The default run takes one sample per rule, `-m slow` all of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from op_cases import Case, cotangents, entries, flat, gradients

from tinygrad_lab.ops.declare import Op
from tinygrad_lab.verify.branches import RULES as BRANCHES
from tinygrad_lab.verify.checking import differences
from tinygrad_lab.verify.judging import judge
from tinygrad_lab.verify.results import WRONG

Change = Callable[[np.ndarray, Any, tuple[int, ...]], np.ndarray]


def transposed(part: np.ndarray, g: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.swapaxes(part, -1, -2).reshape(part.shape) if part.ndim >= 2 else part[..., ::-1] if part.ndim else part


def not_unbroadcast(part: np.ndarray, g: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Where the engine would sum over broadcast dimensions, the first entry only."""
    while part.ndim > len(shape):
        part = part[0]
    for axis, size in enumerate(shape):
        if part.shape[axis] != size:
            part = part.take([0], axis)
    return part


def without_mask(part: np.ndarray, g: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(g) if np.shape(g) == part.shape else part


def one_element(part: np.ndarray, g: Any, shape: tuple[int, ...]) -> np.ndarray:
    if part.size == 0:
        return part
    part = np.array(part)
    part.reshape(-1)[int(np.argmax(np.abs(part)))] *= 1.1
    return part


MUTATIONS: dict[str, Change] = {
    "sign": lambda part, g, shape: -part,
    "x1.001": lambda part, g, shape: part * 1.001,
    "transposed": transposed,
    "missing unbroadcast": not_unbroadcast,
    "missing mask": without_mask,
    "one element": one_element,
}


class Measured:
    """One call of an op, and the differences of its weighted outputs."""

    def __init__(self, case: Case) -> None:
        self.op, self.call = case.entry, case.call()
        self.leaves = self.call.tensors(self.call.operands)
        (self.output,) = flat(self.call(self.leaves))
        (self.weights,) = cotangents([self.output])
        found = gradients([self.output], [self.weights], self.leaves) if self.output.requires_grad else {}
        self.paths = list(found)

    @functools.cached_property
    def found(self) -> dict[Any, Any]:
        def value(arrays: list[np.ndarray]) -> float:
            (y,) = flat(self.call(dict(zip(self.paths, arrays, strict=True))))
            return float(np.sum(self.weights * np.asarray(y, np.float64)))

        measured = differences(value, [self.call.arrays[path] for path in self.paths])
        return dict(zip(self.paths, measured, strict=True))

    def gradients(self, op: Op | None = None) -> dict[Any, np.ndarray]:
        """The gradients of the operands, by the rules of the op or of a mutant of it."""
        leaves = self.call.tensors(self.call.operands)
        (y,) = flat(self.call(leaves, None if op is None else op.function))
        found = gradients([y], [self.weights], leaves)
        return {path: found.get(path, np.zeros(self.call.arrays[path].shape)) for path in self.paths}

    def mutant(self, argument: str, change: Change) -> Op:
        """A copy of the op, not registered, with `change` made to what its rule for `argument` returns."""
        op, rule = self.op, self.op.rules[argument]
        shapes = [self.call.arrays[path].shape for path in self.call.operands if path[0] == argument]

        def changed(g: Any, part: Any) -> Any:
            if op.sequence:
                return [change(np.asarray(p), g, shape) for p, shape in zip(part, shapes, strict=True)]
            return change(np.asarray(part), g, shapes[0])

        names = list(inspect.signature(rule).parameters)
        text = ", ".join(names)
        wrong = eval(f"lambda {text}: changed({names[0]}, rule({text}))", {"changed": changed, "rule": rule})
        options = {name: " ".join(getattr(op, name)) for name in ("arrays", "promotes", "floats")}
        return Op(
            op.forward,
            {**op.rules, argument: wrong},
            residuals=op.residuals,
            sequence=op.sequence,
            view=op.view,
            faces="",
            formula="",
            samples=(),
            aliases="",
            **options,
        )

    def verdicts(self, gradients: dict[Any, np.ndarray]) -> np.ndarray:
        return np.concatenate(
            [judge(gradients[path], self.found[path]).ravel() for path in self.paths] or [np.zeros(0, int)]
        )


def same(a: dict[Any, np.ndarray], b: dict[Any, np.ndarray]) -> bool:
    """Whether a mutant is no mutant: a symmetric matrix transposed, a mask of ones left out."""
    return all(np.allclose(a[p], b[p], rtol=1e-7, atol=1e-9 * np.abs(b[p]).max(initial=0.0), equal_nan=True) for p in a)


def measured(op: Op) -> Iterator[Measured]:
    for i, sample in enumerate(op.samples):
        made = Measured(Case(op, sample, i))
        if made.paths and made.output.array.dtype.kind == "f" and made.output.array.size:
            yield made


def check(made: Measured, argument: str) -> int:
    """Judge the right gradient and every mutant of one rule at one sample. Returns how many mutants were killed."""
    right = made.gradients()
    verdicts = made.verdicts(right)
    assert WRONG not in verdicts, f"{made.op.name}{made.call.args}: the right gradient is called wrong"
    killed = 0
    for name, change in MUTATIONS.items():
        if name == "missing mask" and made.op.name not in BRANCHES:
            continue
        mutant = made.gradients(made.mutant(argument, change))
        if same(mutant, right):
            continue
        verdicts = made.verdicts(mutant)
        assert WRONG in verdicts, f"{made.op.name}, rule for '{argument}', sample {made.call.args}: {name} survives"
        killed += 1
    return killed


RULES = [(entry, argument) for entry in entries() if isinstance(entry, Op) for argument in entry.rules]
ZERO_GRADIENT = {"floor", "ceil", "round", "trunc", "sign"}  # their derivative is 0 wherever it exists
each_rule = pytest.mark.parametrize(("op", "argument"), RULES, ids=lambda value: getattr(value, "name", value))


def telling(made: Measured, argument: str) -> bool:
    """Whether the gradient of `argument` is not 0 here, and can be told by differences of its values."""
    right = made.gradients()
    return any(p[0] == argument and np.abs(right[p]).max(initial=0.0) > 1e-3 for p in made.paths)


@each_rule
def test_every_mutant_of_a_rule_is_killed(op: Op, argument: str) -> None:
    made = next((made for made in measured(op) if telling(made, argument)), None)
    if made is None:
        assert op.name in ZERO_GRADIENT, "no sample has a gradient other than 0 for this argument: its rule is untested"
        return
    assert check(made, argument) >= 3  # sign, x1.001 and one element always differ


@pytest.mark.slow
@each_rule
def test_every_mutant_of_a_rule_is_killed_at_every_sample(op: Op, argument: str) -> None:
    for made in measured(op):
        if any(path[0] == argument for path in made.paths):
            check(made, argument)
