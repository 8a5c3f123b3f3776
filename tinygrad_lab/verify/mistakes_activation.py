"""Mistakes at activation functions: masks left out, inverted, taken from elsewhere; wrong derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.verify.mistakes import mistake
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, Recording, times

__all__ = ["activation_input", "activations", "each_and_all", "is_activation", "is_relu"]

SMOOTH = ("sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "selu", "mish", "logsigmoid")


def is_relu(step: Step) -> bool:
    """relu(x), also written maximum(x, 0) or clamp(x, min=0)."""
    if step.op is None:
        return False
    name, operands = step.op.name, step.operands
    if name == "relu":
        return True
    if name in ("clamp", "clip", "clamp_min"):
        low, high = operands.get("min"), operands.get("max")
        return isinstance(low, (int, float, np.ndarray)) and np.ndim(low) == 0 and float(low) == 0.0 and high is None
    if name == "maximum":
        constants = [o for o in operands.values() if not isinstance(o, Step)]
        return len(constants) == 1 and np.ndim(constants[0]) == 0 and float(constants[0]) == 0.0
    return False


def is_activation(step: Step) -> bool:
    return step.op is not None and (is_relu(step) or step.op.name in SMOOTH or step.op.name == "leaky_relu")


def activation_input(step: Step) -> tuple[str, Step]:
    """(argument, operand) of an activation step."""
    return next(pair for pair in step.inputs)


def activations(recording: Recording) -> list[tuple[int, Step]]:
    """(layer number from 1, step) for the activations that data passes through, in order."""
    found = [s for s in recording.steps if is_activation(s) and recording.from_data[s.index] and s.inputs]
    return list(enumerate(found, 1))


def each_and_all(chosen: list[tuple[int, Step]], make: Callable[[Step], Callable[..., Any]]) -> Iterator[Edit]:
    """One edit for each layer, and one for all of them at once (the steps of a recurrent net, a habit of the
    student)."""
    for layer, step in chosen:
        yield Edit(rules={(step, activation_input(step)[0]): make(step)}, layer=str(layer))
    if len(chosen) > 1:
        rules = {(step, activation_input(step)[0]): make(step) for _, step in chosen}
        yield Edit(rules=rules, layer=", ".join(str(layer) for layer, _ in chosen))


def _relus(problem: Problem) -> list[tuple[int, Step]]:
    return [(layer, step) for layer, step in activations(problem.recording) if is_relu(step)]


@mistake("relu mask missing")
def relu_mask_missing(problem: Problem) -> Iterator[Edit]:
    yield from each_and_all(_relus(problem), lambda step: lambda g: g)


@mistake("relu mask inverted")
def relu_mask_inverted(problem: Problem) -> Iterator[Edit]:
    yield from each_and_all(_relus(problem), lambda step: lambda g, y: g * (y <= 0))


@mistake("relu value instead of mask")
def relu_value(problem: Problem) -> Iterator[Edit]:
    yield from each_and_all(_relus(problem), lambda step: lambda g, y: g * y)


@mistake("relu mask from the gradient")
def relu_gradient_mask(problem: Problem) -> Iterator[Edit]:
    yield from each_and_all(_relus(problem), lambda step: lambda g: g * (g > 0))


@mistake("relu mask and gradient mask", cost=1.5)
def relu_guided(problem: Problem) -> Iterator[Edit]:
    """Guided backpropagation: both masks."""
    yield from each_and_all(_relus(problem), lambda step: lambda g, y: g * (g > 0) * (y > 0))


@mistake("relu mask of another layer")
def relu_other_mask(problem: Problem) -> Iterator[Edit]:
    relus = _relus(problem)
    for layer, step in relus:
        for other_layer, other in relus:
            if other is not step and other.shape == step.shape:
                mask = problem.recording.value(other) > 0
                yield Edit(
                    rules={(step, activation_input(step)[0]): lambda g, mask=mask: g * mask},
                    layer=str(layer),
                    detail={"other": other_layer},
                )


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# Wrong derivatives, each with the formula that the report shows; x is the operand, y the value.
WRONG: dict[str, dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "sigmoid": {
        "y": lambda x, y: y,
        "1 - y": lambda x, y: 1 - y,
        "x (1 - x)": lambda x, y: x * (1 - x),
        "s(y) (1 - s(y))": lambda x, y: _logistic(y) * (1 - _logistic(y)),
        "y^2": lambda x, y: y * y,
        "1 - y^2": lambda x, y: 1 - y * y,
        "y (1 + y)": lambda x, y: y * (1 + y),
    },
    "tanh": {
        "y": lambda x, y: y,
        "1 - y": lambda x, y: 1 - y,
        "1 - x^2": lambda x, y: 1 - x * x,
        "1 - tanh(y)^2": lambda x, y: 1 - np.tanh(y) ** 2,
        "y (1 - y)": lambda x, y: y * (1 - y),
        "1 + y^2": lambda x, y: 1 + y * y,
        "(1 - y)^2": lambda x, y: (1 - y) ** 2,
        "y^2": lambda x, y: y * y,
        "1 - |y|": lambda x, y: 1 - np.abs(y),
        "x > 0": lambda x, y: (x > 0) * 1.0,
    },
}


def composed_sigmoids(recording: Recording) -> Iterator[tuple[Step, np.ndarray]]:
    """(x, sigmoid(x)) where a sigmoid was written out, such as 1 / (1 + exp(-x)) behind a single reader of x."""
    for step in recording.steps:
        readers = {use.user.index for use in recording.users[step.index]}
        if step.op is None or len(readers) != 1 or not recording.from_data[step.index]:
            continue
        first = recording.steps[next(iter(readers))]
        if first.op is None or first.op.name not in ("neg", "mul", "exp"):
            continue
        with np.errstate(over="ignore"):
            y = _logistic(recording.value(step))
        for later in recording.steps[step.index + 1 :]:
            if later.shape == step.shape and np.allclose(recording.value(later), y, rtol=1e-12, atol=1e-14):
                yield step, y
                break


@mistake("activation derivative missing")
def derivative_missing(problem: Problem) -> Iterator[Edit]:
    smooth = [(layer, step) for layer, step in activations(problem.recording) if not is_relu(step)]
    yield from each_and_all(smooth, lambda step: lambda g: g)
    for x, y in composed_sigmoids(problem.recording):
        yield Edit(cotangents={x: times(1 / (y * (1 - y)))}, layer=x.name)


@mistake("activation derivative wrong")
def derivative_wrong(problem: Problem) -> Iterator[Edit]:
    recording = problem.recording
    for op, formulas in WRONG.items():
        chosen = [(layer, step) for layer, step in activations(recording) if step.op.name == op]
        for text, formula in formulas.items():

            def make(step: Step, formula: Any = formula) -> Callable[..., Any]:
                slope = formula(recording.value(activation_input(step)[1]), recording.value(step))
                return lambda g, slope=slope: g * slope

            for edit in each_and_all(chosen, make):
                edit.detail["formula"] = text
                yield edit
    for x, y in composed_sigmoids(recording):
        for text, formula in WRONG["sigmoid"].items():
            factor = formula(recording.value(x), y) / (y * (1 - y))
            yield Edit(cotangents={x: times(factor)}, layer=x.name, detail={"formula": text})


@mistake("leaky slope left out")
def leaky_slope(problem: Problem) -> Iterator[Edit]:
    leaky = [(layer, step) for layer, step in activations(problem.recording) if step.op.name == "leaky_relu"]
    yield from each_and_all(leaky, lambda step: lambda g, input: g * (input > 0))
