"""The numbers that typical mistakes would give at one backward step: what predict mode offers beside the right answer.

What this file lets you do: `mistakes(turn, part, values)` lists wrong gradients of one operand, as arrays of its shape,
each with the sentence that explains what went wrong. All are computed from the numbers of this very step. It must not
know how questions are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.viz.stepping.recording import BackwardStep, Contribution

__all__ = ["mistakes", "operand_value"]

Wrong = tuple[np.ndarray, str]


def operand_value(step: Step, argument: str, values: Mapping[Step, Any]) -> Any:
    """The array that `step` read as `argument`; None if there is none, or it is not known."""
    operand = step.operands.get(argument)
    if isinstance(operand, Step):
        return values.get(operand)
    return np.asarray(operand) if isinstance(operand, (np.ndarray, np.generic, float, int)) else None


def mistakes(turn: BackwardStep, part: Contribution, values: Mapping[Step, Any]) -> list[Wrong]:
    """Wrong gradients of the operand of `part`, the likeliest first. If contributions meet there, with what was
    there before."""
    shape, found = part.value.shape, list[Wrong]()
    with np.errstate(all="ignore"):
        wrong = [*_about_copies(part), *_of_the_op(turn, part, values), *_of_any_op(turn, part)]
    for array, why in wrong:
        if np.shape(array) == shape:
            total = array if part.before is None else part.before + array
            found.append((np.asarray(total, np.float64), why))
    if part.before is not None:
        found.insert(0, (part.value, "that is this step's contribution alone: what was there before is added to it"))
        found.insert(1, (part.before, "that is what was there before: this step's contribution must be added to it"))
    return found


def _about_copies(part: Contribution) -> Iterator[Wrong]:
    if not part.copied:
        return
    size, shape = part.value.size, part.value.shape
    if not size or part.raw.size % size:
        return
    copies = part.raw.size // size
    yield part.value / copies, f"that is the mean over the {copies} copies: their gradients are summed"
    if part.raw.ndim > len(shape) and part.raw.shape[part.raw.ndim - len(shape) :] == shape:
        first = part.raw[(0,) * (part.raw.ndim - len(shape))]
        yield first, f"that is the gradient of the first copy alone: all {copies} must be summed"


def _of_any_op(turn: BackwardStep, part: Contribution) -> Iterator[Wrong]:
    value, g = part.value, turn.cotangent
    yield -value, "the sign is turned"
    if g.shape == value.shape:
        yield g, "that is the incoming gradient: the slope of this op was forgotten"
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield value.T, "row and column are exchanged: a transpose is missing, or one too many"
    yield 2 * value, "twice too much"
    yield np.zeros_like(value), "not 0: the loss does depend on this element"


def _of_the_op(turn: BackwardStep, part: Contribution, values: Mapping[Step, Any]) -> Iterator[Wrong]:
    rule = _RULES.get(turn.step.op.name)
    if rule is None:
        return
    known = {name: operand_value(turn.step, name, values) for name in turn.step.operands}
    known["y"] = values.get(turn.step)
    try:
        for array, why in rule(turn.cotangent, part, known):
            yield np.asarray(array), why
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError):
        return  # a value is not known, or shapes do not fit this mistake: it could not have been made here


def _matmul(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    a, b = known["input"], known["other"]
    if part.argument == "input":
        yield g @ b, "the other input must be transposed"
    else:
        yield a @ g, "the other input must be transposed"


def _linear(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    x, w = known["input"], known["weight"]
    if part.argument == "bias":
        yield g[0], "that is the first row alone: the bias was copied to every row, so all rows are summed"
        yield g.mean(0), "that is the mean over the batch: the copies' gradients are summed"
    elif part.argument == "input":
        yield g @ w.T, "in the forward pass W was transposed, so going back it is not"
    else:
        yield (g.T @ x).T, "row and column are exchanged"
        yield g.T @ x / len(x), "the 1/N of the loss is in the incoming gradient already"


def _mul(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    yield g * known[part.argument], "that is the gradient times its own value: it must be the OTHER input's"


def _relu(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    yield g, "the gate is closed here: the output is 0 whatever the input does, so nothing passes"
    yield g * known["input"], "the slope of an open gate is 1, not the input"
    yield np.where(known["y"] > 0, 0, g), "the gate was taken the wrong way round"


def _slope(wrong: Callable[..., Any], why: str) -> Callable[..., Iterator[Wrong]]:
    def rule(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
        yield wrong(g, known["input"], known["y"]), why

    return rule


def _scaled(factor: Callable[[int], float], why: str) -> Callable[..., Iterator[Wrong]]:
    """The right gradient times a factor; `n` is the number of elements of the operand over those of the output."""

    def rule(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
        yield part.value * factor(part.value.size // max(g.size, 1)), why

    return rule


def _losses(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    labels, n = known["target"], len(part.value)
    if g.ndim == 0:
        yield part.value * n, f"the 1/N of the mean over the batch is missing (N = {n})"
    if labels is not None and labels.dtype.kind in "iu":
        hot = np.eye(part.value.shape[1])[labels]
        yield part.value + g * hot / n, "that is p/N: at the right class 1 must be subtracted from p"
        yield part.value + g * (hot - np.roll(hot, 1, 1)) / n, "the 1 was subtracted at the wrong class"


def _squares(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    yield part.value / 2, "the 2 of the square's derivative is missing"
    if g.ndim == 0 and part.value.size > 1:
        yield part.value * part.value.size, "the 1/n of the mean is missing"


def _everywhere(g: np.ndarray, part: Contribution, known: Mapping[str, Any]) -> Iterator[Wrong]:
    yield np.broadcast_to(g, part.value.shape), "only the element that was picked gets the gradient"


_RULES: dict[str, Callable[..., Iterator[Wrong]]] = {
    "matmul": _matmul,
    "product": _matmul,
    "linear": _linear,
    "mul": _mul,
    "div": _slope(lambda g, x, y: g * y, "divide by the denominator, do not multiply"),
    "relu": _relu,
    "label_cross_entropy": _losses,
    "nll_loss": _losses,
    "mse_loss": _squares,
    "mean": _scaled(lambda n: n, "the 1/n of the mean is missing"),
    "sum": _scaled(lambda n: 1 / n, "that is the gradient of the mean: a sum does not divide by n"),
    "sigmoid": _slope(lambda g, x, y: g * x * (1 - x), "the slope is y(1 − y) with the output y, not the input"),
    "tanh": _slope(lambda g, x, y: g * (1 - y), "the slope is 1 − y²: the square is missing"),
    "exp": _slope(lambda g, x, y: g * x, "the slope of eˣ is the output y, not the input"),
    "log": _slope(lambda g, x, y: g * x, "the slope of ln a is 1/a: divide by the input"),
    "sqrt": _scaled(lambda n: 2, "the slope is 1/(2√a): the 2 is missing"),
    "square": _scaled(lambda n: 0.5, "the slope is 2a: the 2 is missing"),
    "softmax": _slope(lambda g, x, y: g * y * (1 - y), "y(1 − y) is the diagonal: all scores of a row are coupled"),
    "log_softmax": _slope(lambda g, x, y: g * (1 - np.exp(y)), "all scores of a row are coupled, not one alone"),
    "amax": _everywhere,
    "amin": _everywhere,
}
