"""The steps of one loss as plain data: what a page shows, a text prints and a test reads.

What this file lets you do: `tell(loss, ...)` joins the picture of a graph, its recorded backward pass, the rules'
formulas, questions and finite differences into a `Story` of dicts, lists, texts and numbers. It must not know HTML.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.autograd.anomaly import BACKWARD_HINTS, FORWARD_HINTS
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.algebra import typeset
from tinygrad_lab.viz.algebra.equations import Equation, equation, forward_equation
from tinygrad_lab.viz.picture import Picture, PictureEdge, PictureNode
from tinygrad_lab.viz.reading.graphs import read
from tinygrad_lab.viz.reading.trimming import without
from tinygrad_lab.viz.stepping import quiz, sentences
from tinygrad_lab.viz.stepping.numbers import SLICE, Table, shape_text, shown, unseen
from tinygrad_lab.viz.stepping.recording import BackwardStep, Contribution, Recording, record
from tinygrad_lab.viz.stepping.slopes import Check, checks

__all__ = ["Story", "tell"]

Data = dict[str, Any]


@dataclass
class Story:
    """The picture with all values and gradients, and the page's data (JSON)."""

    picture: Picture
    data: Data


def tell(loss: Tensor, params: Any, names: Mapping[str, Any] | None, title: str, max_steps: int) -> Story:
    """The steps of `loss`. `params` and `names` as for `read`; see `viz.step`."""
    recording = record(loss)
    picture = read(loss, params, names)
    return _Teller(recording, picture, title, max_steps).story()


class _Teller:
    def __init__(self, recording: Recording, picture: Picture, title: str, max_steps: int) -> None:
        self.recording, self.picture = recording, picture
        self.table = Table()
        self._rerun: dict[Step, dict[str, Any] | None] = {}
        self.title = title or picture.title or "Backpropagation, step by step"
        ops = [node for node in picture.nodes if node.kind in ("op", "loss")]
        self.node: dict[Step, PictureNode] = dict(zip(recording.forward, ops, strict=True))
        self.operands: dict[str, list[PictureEdge]] = {node.id: [] for node in picture.nodes}
        for edge in picture.edges:
            self.operands[edge.target].append(edge)
        for step in recording.forward:
            for argument, operand in step.inputs:
                found = self.edge(step, argument)
                if found is not None:
                    self.node.setdefault(operand, picture.node(found.source))
        self.values = {step: node.value for step, node in self.node.items()}
        for node in picture.nodes:
            node.name = _short(node.name)
        self.node[recording.loss].name = "L"  # as in ∂L/∂x, which all steps speak of
        self.names = {step: node.name for step, node in self.node.items()}
        for step, gradient in recording.gradients.items():
            if isinstance(gradient, np.ndarray):
                self.node[step].gradient = gradient
        self.remarks = list(picture.remarks)
        self.steps_shown = self._shorten(max_steps)

    def edge(self, step: Step, argument: str) -> PictureEdge | None:
        return next((edge for edge in self.operands[self.node[step].id] if edge.argument == argument), None)

    def _shorten(self, max_steps: int) -> set[Step]:
        """The ops whose steps are told: all, or the first and the last ones."""
        ops = self.recording.forward
        if 2 * len(ops) + 1 <= max_steps:
            return set(ops)
        half = max((max_steps - 1) // 4, 1)
        left_out = len(ops) - 2 * half
        self.remarks.append(
            f"The graph has {len(ops)} ops. Shown are the first {half} and the last {half} before the loss; the "
            f"{left_out} between them are one card. max_steps={2 * len(ops) + 1} shows all of them."
        )
        return {*ops[:half], *ops[-half:]}

    def story(self) -> Story:
        shown_ops = self.steps_shown
        turns = [turn for turn in self.recording.backward if turn.step in shown_ops]
        found = checks(self.recording, turns)
        steps = [self._forward(step) for step in self.recording.forward if step in shown_ops]
        steps.append(self._seed())
        steps += [self._backward(turn, found) for turn in turns]
        hidden = {self.node[step].id for step in self.recording.forward if step not in shown_ops}
        picture = without(self.picture, hidden) if hidden else self.picture
        told = {use["node"] for step in steps for use in (step, *step.get("operands", ()), *step.get("blocks", ()))}
        drawn = {node.id for node in picture.nodes}
        listed = [*picture.nodes, *(node for node in self.picture.nodes if node.id in told - drawn)]
        nodes = {node.id: self._node(node, told | drawn) for node in listed}
        if "rest" in nodes:
            nodes["rest"]["after"] = next(i for i, step in enumerate(self.recording.forward) if step not in shown_ops)
        self._about_leaves()
        data: Data = {
            "title": self.title,
            "loss": self.node[self.recording.loss].id,
            "steps": steps,
            "nodes": nodes,
            "warnings": self._warnings(steps),
            "remarks": self.remarks,
            "arrays": self.table.data(),
        }
        return Story(picture, data)

    # Cards

    def _node(self, node: PictureNode, known: set[str]) -> Data:
        before = [edge.source for edge in self.operands.get(node.id, ())]
        after = [edge.target for edge in self.picture.edges if edge.source == node.id]
        data: Data = {
            "name": node.name,
            "kind": node.kind,
            "op": node.op,
            "shape": shape_text(node.shape) if node.kind != "fold" else "",
            "type": node.dtype,
            "value": self.table.add(node.value),
            "gradient": self.table.add(node.gradient),
            "from": [id if id in known else "rest" for id in before],
            "to": [id if id in known else "rest" for id in dict.fromkeys(after)],
            "where": self._where(node),
            "note": node.note,
        }
        if node.source is not None:
            data["line"] = f"{node.source.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{node.source.number}"
            data["code"] = node.source.text
        if node.saved and node.kind in ("op", "loss"):
            data["saved"] = list(node.saved)
        if node.kind not in ("op", "loss", "fold"):
            data["needs"] = node.requires_grad
            data["frozen"] = node.frozen
        return data

    def _where(self, node: PictureNode) -> str:
        """The path of the module call that a node was made in."""
        call = next((call for call in self.picture.calls if call.id == node.call), None)
        return "" if call is None else f"{call.path} ({call.type})" if call.path != call.type else call.type

    # Equations

    def _known(self, step: Step) -> dict[str, Any] | None:
        """What the rules of a step work on; None for a user's Function."""
        if not hasattr(step.op, "needs"):
            return None
        if step not in self._rerun:
            try:
                self._rerun[step] = self.recording.trace.values_for_rules(step)
            except RuntimeError:  # it depends on a user's Function, whose forward is not ours to run again
                self._rerun[step] = None
        return self._rerun[step]

    def _called(self, step: Step) -> dict[str, str]:
        """What the operands and the output of a step are called."""
        node = self.node[step]
        called = {edge.argument: self.picture.node(edge.source).name for edge in self.operands[node.id]}
        return {**called, "y": node.name}

    def _formula(self, step: Step, found: Equation, known: dict[str, Any]) -> list[Any]:
        """The right side of a forward formula, where its parts are what went in; else the page shows f(a, b)."""
        node = self.node[step]
        uses = {edge.argument: self.picture.node(edge.source) for edge in self.operands[node.id]}
        inputs = {self.table.add(use.value) for use in uses.values()}
        if step.op.name == "linear" and np.ndim(known["input"]) == 2:
            weight = self._factor(known["weight"].T, f"{uses['weight'].name}ᵀ")
            parts: list[Any] = [{"array": self.table.add(known["input"]), "label": uses["input"].name}, "·", weight]
            if known["bias"] is not None:
                parts += ["+", {"array": self.table.add(known["bias"]), "label": uses["bias"].name}]
            return parts
        terms = self._terms(found)
        return terms if all(isinstance(part, str) or part["array"] in inputs for part in terms) else []

    def _rule(self, turn: BackwardStep, part: Contribution, found: Equation) -> list[Any]:
        """The right side of a rule, with the incoming gradient in sight; empty where the page shows g → result."""
        incoming = f"∂L/∂{typeset.shown(self.names[turn.step])}"
        g = {"array": self.table.add(turn.cotangent), "label": incoming}
        parts = self._terms(found)
        labels = [term["label"] for term in parts if not isinstance(term, str)]
        if parts and turn.cotangent.size == 1 and not any(incoming in label for label in labels):
            return [g, "·", *parts]  # a factor 1 that was left out
        if len(parts) != 1 or parts[0]["array"] == g["array"]:
            combined = found.combined()
            return parts if combined is not None and combined.shape == part.raw.shape else []
        if labels[0].endswith(incoming) and not part.copied:  # one sum, or one rearrangement: of what?
            how = labels[0].removesuffix(incoming).replace("_", " ").strip()
            return [how, {**g, "more": unseen(turn.cotangent, part.raw)} if how.startswith("∑") else g]
        return []

    def _called_op(self, step: Step) -> str:
        """The op as the user knows it: matmul, cross_entropy."""
        symbol = self.node[step].symbol
        return symbol if symbol.isidentifier() else step.op.name

    def _terms(self, found: Equation) -> list[Any]:
        """The right side in parts: operators, and arrays with their labels.

        An array with "more" is summed over, and slices leave out so many of the summands of each number.
        """
        parts: list[Any] = []
        if found.exact:
            for term in found.terms:
                parts += [term.operator] if term.operator else []
                array = {"array": self.table.add(term.value), "label": term.text}
                parts.append(self._factor(term.value, term.text) if term.matrices else array)
        return parts

    def _factor(self, matrix: np.ndarray, label: str) -> Data:
        """What stands right of the dot in a product of matrices, whose sums run over its rows."""
        return {"array": self.table.add(matrix), "label": label, "more": max(matrix.shape[-2:][0] - SLICE, 0)}

    # Steps

    def _forward(self, step: Step) -> Data:
        node = self.node[step]
        edges = self.operands[node.id]
        known = self._known(step)
        told = forward_equation(step, known, names=self._called(step)) if known is not None else None
        return {
            "phase": "forward",
            "math": "" if told is None else told.mathml,
            "parts": [] if told is None or known is None else self._formula(step, told, known),
            "node": node.id,
            "title": f"{self._called_op(step)}: compute {node.name}",
            "why": sentences.forward(step.op),
            "inputs": [edge.source for edge in edges],
            "value": self.table.add(node.value),
            "operands": [{"node": edge.source, "argument": edge.argument} for edge in edges],
            "symbol": node.symbol,
            "edges": [edge.id for edge in edges],
            "questions": quiz.about_forward(step, node.name),
        }

    def _seed(self) -> Data:
        loss = self.recording.loss
        node = self.node[loss]
        return {
            "phase": "seed",
            "node": node.id,
            "title": f"∂{node.name}/∂{node.name} = 1",
            "why": "The backward pass starts at the loss L. Changing L by a little changes it by just that much: its "
            "own gradient is 1. From here on every step multiplies by one more local derivative.",
            "cotangent": self.table.add(np.ones(loss.shape, loss.dtype)),
            "edges": [],
            "questions": quiz.about_seed(loss, node.value, node.name),
        }

    def _backward(self, turn: BackwardStep, found: Mapping[Contribution, list[Check]]) -> Data:
        step, node = turn.step, self.node[turn.step]
        skipped = [entry for argument in turn.skipped if (entry := self._skipped(step, argument)) is not None]
        told = [entry["name"] for entry in skipped if entry["kind"] != "constant"]
        questions = quiz.about_backward(turn, self.names, told, self.values)
        blocks = [
            {**self._block(turn, part, found.get(part, [])), "questions": asked}
            for part, asked in zip(turn.contributions, questions, strict=True)
        ]
        return {
            "phase": "backward",
            "node": node.id,
            "title": f"{self._called_op(step)}: from ∂L/∂{node.name} to its inputs",
            "why": sentences.backward(step.op),
            "mistake": sentences.mistake(step.op),
            "cotangent": self.table.add(turn.cotangent),
            "edges": [block["edge"] for block in blocks],
            "blocks": blocks,
            "skipped": skipped,
        }

    def _skipped(self, step: Step, argument: str) -> Data | None:
        edge = self.edge(step, argument)
        if edge is None:
            return None
        node = self.picture.node(edge.source)
        why = {
            "parameter": "it is frozen (requires_grad is False)",
            "input": "it is data, and nobody asked how the loss depends on it",
            "target": "it is a label",
            "constant": "it is a constant",
        }.get(node.kind, "it was detached")
        return {"node": node.id, "name": node.name, "kind": node.kind, "why": why}

    def _block(self, turn: BackwardStep, part: Contribution, found: list[Check]) -> Data:
        operand = self.node[part.operand]
        edge = self.edge(turn.step, part.argument)
        block: Data = {
            "node": operand.id,
            "edge": "" if edge is None else edge.id,
            "argument": part.argument,
            "value": self.table.add(part.value),
            "after": self.table.add(part.after),
            "last": part.last,
            "leaf": part.operand.is_leaf,
        }
        if part.before is not None:
            block["before"] = self.table.add(part.before)
        if part.copied:
            block["raw"] = self.table.add(part.raw)
            block["copies"] = part.raw.size // max(part.value.size, 1)
            block["more"] = unseen(part.raw, part.value)
        known = self._known(turn.step)
        if known is not None and isinstance(part.raw, np.ndarray):
            called = self._called(turn.step)
            told = equation(turn.step, part.argument, turn.cotangent, known, names=called, result=part.raw)
            block["math"] = told.mathml
            block["parts"] = self._rule(turn, part, told)
        if found:
            block["checks"] = [
                {
                    "at": f"[{', '.join(map(str, check.index))}]" if check.index else "",
                    "rule": shown(check.gradient),
                    "slope": shown(check.slope),
                    "agrees": check.agrees,
                }
                for check in found
            ]
        return block

    # What deserves a warning

    def _warnings(self, steps: list[Data]) -> list[Data]:
        """The first step at which a value, and the first at which a gradient, is not finite."""
        found = []
        for step in self.recording.forward:
            value = self.values.get(step)
            if value is not None and _is_bad(value):
                place = self._place(steps, "forward", self.node[step].id)
                text = f"The first NaN or ∞ among the values is in {self._named(step)}, {_count(value)}."
                found.append(
                    {"step": place, "node": self.node[step].id, "text": f"{text} {_hint(FORWARD_HINTS, step)}"}
                )
                break
        for turn in self.recording.backward:
            bad = next((part for part in turn.contributions if _is_bad(part.after)), None)
            if bad is not None:
                place = self._place(steps, "backward", self.node[turn.step].id)
                text = (
                    f"The first NaN or ∞ among the gradients is in ∂L/∂{self.names[bad.operand]}, "
                    f"which {turn.step.op.name} hands on, {_count(bad.after)}."
                )
                hint = _hint(BACKWARD_HINTS, turn.step)
                found.append({"step": place, "node": self.node[bad.operand].id, "text": f"{text} {hint}"})
                break
        return found

    def _named(self, step: Step) -> str:
        return f"“{self.node[step].name}” ({step.op.name})"

    @staticmethod
    def _place(steps: list[Data], phase: str, id: str) -> int | None:
        return next((i for i, step in enumerate(steps) if step["phase"] == phase and step["node"] == id), None)

    def _about_leaves(self) -> None:
        """Say where .grad holds something already, and where hooks would change what is shown."""
        filled = [
            self.names[step]
            for step in self.recording.trace.steps
            if step.is_leaf and step in self.names and step.source.grad is not None
        ]
        if filled:
            several = len(filled) > 1
            self.remarks.append(
                f"{', '.join(filled[:4])}{' and others' if len(filled) > 4 else ''} {'have' if several else 'has'} a "
                f".grad from an earlier backward(), to which the next one adds (unless zero_grad() comes first). Here "
                f"every gradient starts anew."
            )
        if self.recording.hooked:
            named = ", ".join(self.names[step] for step in self.recording.hooked[:4])
            self.remarks.append(f"Hooks of {named} were not run: gradients are shown as the rules give them.")


def _short(name: str, limit: int = 48) -> str:
    """A name that fits a page and a terminal, and in which marks of direction reach no further than itself."""
    # Control characters, and halves of surrogate pairs, which no file can hold.
    name = "".join("\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character for character in name)
    if len(name) > limit:
        name = f"{name[: limit // 2]}…{name[-limit // 2 :]}"
    if any(unicodedata.bidirectional(character) in _TURNING for character in name):
        name = f"\u2068{name}\u2069"
    return name


# Letters written from right to left, and the marks that turn or embed directions.
_TURNING = {"R", "AL", "AN", "RLE", "RLO", "LRE", "LRO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _is_bad(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all()


def _count(array: np.ndarray) -> str:
    bad = array.size - int(np.isfinite(array).sum())
    return f"{bad} of {array.size} elements"


def _hint(hints: Mapping[str, str], step: Step) -> str:
    hint = hints.get(step.op.name, "")
    return f"{hint[:1].upper()}{hint[1:]}." if hint else ""
