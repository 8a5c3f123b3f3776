"""Questions for predict mode: what shape, which number, which inputs? Wrong answers come from the step itself.

What this file lets you do: `about_backward`, `about_forward` and `about_seed` make the questions of one step as plain
data: what to ask, and options with an explanation each. The order of options is fixed by the step, so that the same
graph gives the same page. It must not know how they are shown.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.viz.stepping.mistakes import mistakes
from tinygrad_lab.viz.stepping.numbers import WHOLE, shape_text, shown
from tinygrad_lab.viz.stepping.recording import BackwardStep, Contribution

__all__ = ["about_backward", "about_forward", "about_seed"]

Question = dict[str, Any]

# One number depends on numbers at the same place only, so that it can be predicted in an array of any size.
_ELEMENTWISE = {
    *("add", "sub", "mul", "div", "neg", "pow", "square", "sqrt", "exp", "log", "sin", "cos", "reciprocal", "abs"),
    *("relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "softplus", "sigmoid", "tanh", "hardtanh"),
    *("where", "masked_fill", "clamp_min", "clamp_max", "maximum", "minimum"),
}
_CHOICES = 4


def _question(ask: str, right: tuple[str, str], wrong: Iterable[tuple[str, str]], seed: str) -> Question | None:
    """A question with up to four options, in an order that `seed` decides; None without a wrong answer."""
    options = {right[0]: right[1]}
    for text, why in wrong:
        if len(options) < _CHOICES:
            options.setdefault(text, why)
    if len(options) < 2:
        return None
    order = sorted(options, key=lambda text: zlib.crc32(f"{seed}|{text}".encode()))
    return {
        "ask": ask,
        "options": [{"text": text, "right": text == right[0], "why": options[text]} for text in order],
    }


def about_seed(loss: Step, value: Any, name: str) -> list[Question]:
    """What is the derivative of the loss with respect to itself?"""
    wrong = [("0", "a change of the loss changes the loss: the derivative is not 0")]
    if value is not None and np.isfinite(value).all():
        wrong.insert(0, (shown(np.reshape(value, ())), "that is the loss itself; its derivative by itself is 1"))
    made = _question(f"What is ∂{name}/∂{name}?", ("1", "dL/dL = 1 starts the backward pass"), wrong, "seed")
    return [] if made is None else [made]


def about_forward(step: Step, name: str) -> list[Question]:
    """Which shape does the output have?"""
    shapes = [operand.shape for _, operand in step.inputs]
    shapes += [np.shape(operand) for operand in step.operands.values() if isinstance(operand, np.ndarray)]
    made = _question(
        f"Which shape does {name} have?",
        (shape_text(step.shape), ""),
        _other_shapes(step.shape, shapes),
        f"forward{step.index}",
    )
    return [] if made is None else [made]


def _other_shapes(right: tuple[int, ...], shapes: Iterable[tuple[int, ...]]) -> list[tuple[str, str]]:
    wrong = [(shape_text(shape), "that is the shape of an input") for shape in shapes]
    if len(right) == 2:
        wrong.insert(0, (shape_text(right[::-1]), "rows and columns are exchanged"))
    return [entry for entry in wrong if entry[0] != shape_text(right)]


def about_backward(
    turn: BackwardStep, names: Mapping[Step, str], skipped: list[str], values: Mapping[Step, Any]
) -> list[list[Question]]:
    """Questions for each contribution of a step; the first of them also asks which inputs get a gradient."""
    found: list[list[Question]] = []
    for i, part in enumerate(turn.contributions):
        if not isinstance(part.value, np.ndarray) or not isinstance(turn.cotangent, np.ndarray):
            found.append([])
            continue
        seed = f"backward{turn.step.index}.{i}"
        made = [_shape(turn, part, names, seed), _number(turn, part, names, values, seed)]
        if i == 0:
            made.insert(0, _which(turn, names, skipped))
        found.append([question for question in made if question is not None])
    return found


def _which(turn: BackwardStep, names: Mapping[Step, str], skipped: list[str]) -> Question | None:
    reached = list(dict.fromkeys(names[part.operand] for part in turn.contributions))
    skipped = [name for name in dict.fromkeys(skipped) if name not in reached]
    if not skipped:
        return None

    def said(listed: list[str]) -> str:
        return " and ".join(listed) if len(listed) < 3 else ", ".join(listed[:-1]) + " and " + listed[-1]

    why = f"{said(skipped)} {'needs' if len(skipped) == 1 else 'need'} no gradient, so its rule does not even run"
    wrong = [(said(sorted({*reached, *skipped}, key=[*reached, *skipped].index)), why), (said(skipped), why)]
    if len(reached) > 1:
        wrong.append((f"only {reached[0]}", f"{said(reached)} all need one"))
    return _question("Which inputs get a gradient?", (said(reached), why), wrong, f"which{turn.step.index}")


def _shape(turn: BackwardStep, part: Contribution, names: Mapping[Step, str], seed: str) -> Question | None:
    right = part.value.shape
    why = f"a gradient has the shape of what it belongs to, and {names[part.operand]} is {shape_text(right)}"
    wrong = [(shape_text(part.raw.shape), f"that is before the sum over the copies: {why}")] if part.copied else []
    wrong += [(shape_text(turn.cotangent.shape), f"that is the incoming gradient's shape: {why}")]
    wrong += [(text, why) for text, _ in _other_shapes(right, [operand.shape for _, operand in turn.step.inputs])]
    wrong = [entry for entry in wrong if entry[0] != shape_text(right)]
    if wrong and right:
        wrong += [(shape_text(right[:-1]), why)]
    return _question(f"Which shape has the gradient of {names[part.operand]}?", (shape_text(right), why), wrong, seed)


def _number(
    turn: BackwardStep, part: Contribution, names: Mapping[Step, str], values: Mapping[Step, Any], seed: str
) -> Question | None:
    """Ask for the element at which the most mistakes give different numbers."""
    arrays = [turn.cotangent, part.value, *(values.get(operand) for _, operand in turn.step.inputs)]
    small = all(array is None or array.size <= WHOLE for array in arrays)
    if not part.value.size or not (small or turn.step.op.name in _ELEMENTWISE):
        return None
    wrong = mistakes(turn, part, values)
    flat = [array.ravel() for array, _ in wrong]
    right = np.asarray(part.after).ravel()
    telling = flat[:-2]  # the last two are last resorts
    best: tuple[bool, int, float, int] | None = None
    for place in dict.fromkeys(np.linspace(0, right.size - 1, min(right.size, 48)).astype(int).tolist()):
        if np.isfinite(right[place]):
            others = [shown(array[place]) for array in telling]
            different = {text for text in others if text not in (shown(right[place]), "NaN")}
            likeliest = bool(others) and others[0] in different
            score = (likeliest, len(different), abs(float(right[place])), -place)
            best = max(best or score, score)
    if best is None:
        return None
    place = -best[3]
    index = tuple(int(i) for i in np.unravel_index(place, part.value.shape))
    options = [(shown(array[place]), why) for array, (_, why) in zip(flat, wrong, strict=True)]
    options = [option for option in options if option[0] not in (shown(right[place]), "NaN", "∞", "−∞")]
    at = f"[{', '.join(map(str, index))}]" if index else ""
    given = _given(turn, part, index, names, values)
    asked = f"the gradient of {names[part.operand]}{at}"
    if part.before is not None:
        ask = f"{given}What is {asked}, with this added?"
    else:
        ask = f"{given}What is {asked}?" if part.last else f"{given}What does this use add to {asked}?"
    return _question(ask, (shown(right[place]), ""), options, f"{seed}.number")


def _given(
    turn: BackwardStep,
    part: Contribution,
    index: tuple[int, ...],
    names: Mapping[Step, str],
    values: Mapping[Step, Any],
) -> str:
    """The numbers at one place that an elementwise step needs: "With ∂L/∂h[0, 1] = 0.5, x[0, 1] = 2. " """
    shape = part.value.shape
    if turn.step.op.name not in _ELEMENTWISE or turn.cotangent.shape != shape:
        return ""
    at = f"[{', '.join(map(str, index))}]" if index else ""
    said = [f"∂L/∂{names[turn.step]}{at} = {shown(turn.cotangent[index])}"]
    for operand in dict.fromkeys(operand for _, operand in turn.step.inputs):
        value = values.get(operand)
        if value is not None and value.shape == shape:
            said.append(f"{names[operand]}{at} = {shown(value[index])}")
    y = values.get(turn.step)
    if y is not None and "y" in turn.step.op.needs.get(part.argument, ()):
        said.append(f"{names[turn.step]}{at} = {shown(y[index])}")
    if part.before is not None:
        said.append(f"{shown(part.before[index])} there already")
    return f"With {', '.join(said)}: "
