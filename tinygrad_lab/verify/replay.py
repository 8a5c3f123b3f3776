"""The graph of one loss as data, in float64, and backward passes over it in which something is done wrongly.

What this file lets you do: record a loss (`Recording`), ask for the value of every step, its users, the parameters it
leads to and the line that made it, and replay the backward pass with an `Edit`: other rules on some edges, another
cotangent at some steps. A replay recomputes only what the edit changes. It must not know any particular mistake.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, graph
from tinygrad_lab.autograd import Step, Trace
from tinygrad_lab.callers import user_frame
from tinygrad_lab.tensor import Tensor

__all__ = ["Edit", "Pass", "Recording", "Use", "call_recorded", "times"]

_FLOAT = np.dtype(np.float64)


class _Lines(graph.Observer):
    """Keeps, for every recorded op, its output and the line of the user's program that called it."""

    def __init__(self) -> None:
        self.outputs: dict[graph.Node, np.ndarray] = {}
        self.lines: dict[graph.Node, tuple[str, int]] = {}

    def forward(self, op: Any, arguments: dict[str, Any], output: Tensor, node: graph.Node | None) -> None:
        if node is None:
            return
        self.outputs[node] = output.array
        frame = user_frame()
        if frame is not None:
            self.lines[node] = (frame.f_code.co_filename, frame.f_lineno)


def call_recorded(loss_fn: Callable[[], Tensor]) -> tuple[Any, _Lines]:
    """What `loss_fn()` returns, and what an observer saw of it."""
    observer = _Lines()
    graph.observers.append(observer)
    try:
        with grad_mode.enable_grad():
            return loss_fn(), observer
    finally:
        graph.observers.remove(observer)


@dataclass(frozen=True)
class Use:
    """One edge of the graph: `user` reads `operand` as `argument` (the `position`-th of a sequence, else 0)."""

    user: Step
    argument: str
    operand: Step
    position: int = 0

    @property
    def key(self) -> tuple[int, str, int]:
        return self.user.index, self.argument, self.position


@dataclass(eq=False)
class Edit:
    """A way in which a backward pass can go wrong, as data.

    rules       {(step, argument): rule} instead of the op's; a rule is called with the cotangent `g` and, by parameter
                name, whatever it asks for of the op's arguments, `y`, residuals and `NAME_shape`, as in
                `Trace.gradients`
    cotangents  {step: function of the step's complete cotangent, returning another}
    layer       where: a layer number, a parameter's name, or ""
    detail      figures for the report, such as {"factor": 2.0}
    extra       added to the mistake's cost: an unlikelier form of it
    fitted      for a mistake with an unknown figure in which gradients are linear: this edit is the one for 1, and
                `fitted(figure)` makes the edit for the figure that the search fits to the student's array
    """

    rules: Mapping[tuple[Step, str], Callable[..., Any]] = field(default_factory=dict)
    cotangents: Mapping[Step, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    layer: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    extra: float = 0.0
    fitted: Callable[[float], Edit] | None = None
    mistake: Any = None  # filled in by the catalogue

    @property
    def steps(self) -> set[int]:
        """The steps whose part of the pass differs."""
        return {step.index for step, _ in self.rules} | {step.index for step in self.cotangents}

    def touches(self) -> set[Any]:
        return {(step.index, argument) for step, argument in self.rules} | {step.index for step in self.cotangents}


class Pass:
    """One backward pass: the cotangent of every step and the contribution of every use, both None where nothing
    goes."""

    def __init__(
        self, cotangents: list[Any], contributions: dict[tuple[int, str, int], Any], edits: tuple[Edit, ...]
    ) -> None:
        self.cotangents, self.contributions, self.edits = cotangents, contributions, edits


class Recording:
    """The graph behind the scalar `loss`, recomputed in float64.

    steps, uses (of step by index: `users`), values, `parameters` {name: leaf Step}, truth: the correct `Pass`.
    """

    def __init__(self, loss: Tensor, names: Mapping[str, Tensor], observer: _Lines | None = None) -> None:
        used = {name: tensor for name, tensor in names.items() if tensor.requires_grad}
        self.trace = Trace(loss, names=used)
        self.steps: list[Step] = self.trace.steps
        self.output = self.trace.step(loss)
        self._seen = observer
        found = {id(step.source): step for step in self.steps if step.is_leaf}
        self.parameters: dict[str, Step] = {name: found[id(t)] for name, t in used.items() if id(t) in found}
        self.known: list[dict[str, Any]] = []
        self.values: list[Any] = []
        for step in self.steps:
            known = self._compute(step)
            self.known.append(known)
            self.values.append(known.get("y"))
        self.uses: list[list[Use]] = []  # of each step: the operands it reads
        self.users: list[list[Use]] = [[] for _ in self.steps]  # of each step: who reads it
        for step in self.steps:
            uses = []
            for argument, operand in step.operands.items():
                for position, item in enumerate(operand if isinstance(operand, tuple) else (operand,)):
                    if isinstance(item, Step):
                        use = Use(step, argument, item, position)
                        uses.append(use)
                        self.users[item.index].append(use)
            self.uses.append(uses)
        self.leads_to = self._reach()
        self.from_data = self._data()
        self.truth = self._correct()

    # Forward

    def _compute(self, step: Step) -> dict[str, Any]:
        """Everything a rule of this step may ask for, in float64."""
        if step.op is None:
            return {"y": np.asarray(step.source.array, _FLOAT if step.dtype.kind == "f" else None)}
        op = step.op
        known = {name: self._plain(operand) for name, operand in step.operands.items()}
        if (
            "observe" in known
        ):  # a callback that records running statistics: running the op again must not tell it again
            known["observe"] = None
        seen = None if self._seen is None else self._seen.outputs.get(step.source)
        if not hasattr(op, "forward") or any(
            known[name] is None for name, operand in step.operands.items() if isinstance(operand, Step)
        ):
            known["y"] = None if seen is None else seen.astype(_FLOAT)
            return known
        if op.name == "to_dtype" and np.dtype(step.dtype).kind == "f":
            known["y"] = np.asarray(known["input"], _FLOAT)
        elif op.residuals:
            results = op.forward(**known)
            known["y"] = np.asarray(results[0])
            known.update(zip(op.residuals, results[1:], strict=True))
        else:
            known["y"] = np.asarray(op.function(**known))
        for name in op.arrays:
            array = known.get(name)
            if array is not None:
                known[f"{name}_shape"] = (
                    [np.shape(a) for a in array] if op.sequence and name in op.rules else np.shape(array)
                )
        return known

    def _plain(self, operand: Any) -> Any:
        if isinstance(operand, Step):
            return self.values[operand.index]
        if isinstance(operand, tuple) and any(isinstance(item, Step) for item in operand):
            return tuple(self._plain(item) for item in operand)
        if isinstance(operand, (np.ndarray, np.generic)) and operand.dtype.kind == "f":
            return np.asarray(operand, _FLOAT)
        return operand

    def evaluate(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The recorded loss at other values of the parameters, in float64. Branches of the user's Python are not
        taken anew."""
        kept_values, kept_known = self.values, self.known
        given = {step.index: arrays[name] for name, step in self.parameters.items()}
        self.values, self.known = [], []
        try:
            for step in self.steps:
                known = {"y": given[step.index]} if step.index in given else self._compute(step)
                self.known.append(known)
                self.values.append(known.get("y"))
            return float(self.values[self.output.index].item())
        finally:
            self.values, self.known = kept_values, kept_known

    def value(self, step: Step) -> np.ndarray:
        return self.values[step.index]

    def line(self, step: Step) -> tuple[str, int] | None:
        """(file, line) of the user's program that called the step's op, if it was seen."""
        return None if self._seen is None or step.is_leaf else self._seen.lines.get(step.source)

    def constants(self, step: Step) -> list[tuple[str, np.ndarray]]:
        """(argument, array) for the operands of a step that are arrays and no steps."""
        if step.op is None:
            return []
        found = []
        for argument, operand in step.operands.items():
            for item in operand if isinstance(operand, tuple) else (operand,):
                if isinstance(item, np.ndarray) and item.ndim:
                    found.append((argument, item))
        return found

    # What leads where

    def _reach(self) -> list[frozenset[str]]:
        names = {step.index: name for name, step in self.parameters.items()}
        reach: list[frozenset[str]] = []
        for step in self.steps:
            own = {names[step.index]} if step.index in names else set()
            reach.append(frozenset(own.union(*(reach[use.operand.index] for use in self.uses[step.index]))))
        return reach

    def _data(self) -> list[bool]:
        """Of each step: whether it was computed from an array that is no parameter, that is from the data."""
        flags: list[bool] = []
        for step in self.steps:
            flags.append(bool(self.constants(step)) or any(flags[use.operand.index] for use in self.uses[step.index]))
        return flags

    def influence(self, edit: Edit) -> frozenset[str]:
        """The parameters whose gradients the edit can change."""
        found = [self.leads_to[step.index] for step in edit.cotangents]
        for step, argument in edit.rules:
            found += [self.leads_to[use.operand.index] for use in self.uses[step.index] if use.argument == argument]
        return frozenset().union(*found)

    # Backward

    def _correct(self) -> Pass:
        empty = Pass([None] * len(self.steps), {}, ())
        return self._run(empty, {}, {}, set(range(len(self.steps))), ())

    def replay(self, edit: Edit, base: Pass | None = None) -> Pass:
        """The pass with `edit` made on top of those of `base` (default: the correct pass)."""
        base = base or self.truth
        edits = (*base.edits, edit)
        rules: dict[tuple[int, str], Any] = {}
        cotangents: dict[int, Any] = {}
        for each in edits:
            rules.update({(step.index, argument): rule for (step, argument), rule in each.rules.items()})
            for step, function in each.cotangents.items():
                before = cotangents.get(step.index)
                cotangents[step.index] = function if before is None else (lambda g, a=before, b=function: b(a(g)))
        return self._run(base, rules, cotangents, edit.steps, edits)

    def _run(self, base: Pass, rules: Any, cotangents: Any, dirty: set[int], edits: tuple[Edit, ...]) -> Pass:
        made = Pass(list(base.cotangents), dict(base.contributions), edits)
        for index in range(max(dirty), -1, -1):
            if index not in dirty:
                continue
            step = self.steps[index]
            g = self._incoming(step, made)
            if g is not None and index in cotangents:
                g = np.asarray(cotangents[index](g), _FLOAT)
            made.cotangents[index] = g
            if step.op is None:
                continue
            self._pull(step, g, rules, made)
            dirty.update(use.operand.index for use in self.uses[index])
        return made

    def _incoming(self, step: Step, made: Pass) -> Any:
        if step is self.output:
            return np.ones(step.shape)
        total = None
        for use in self.users[step.index]:
            contribution = made.contributions.get(use.key)
            if contribution is not None:
                total = contribution if total is None else total + contribution
        return total

    def _pull(self, step: Step, g: Any, rules: Any, made: Pass) -> None:
        known, op = self.known[step.index], step.op
        if g is None:
            for use in self.uses[step.index]:
                made.contributions[use.key] = None
            return
        if not getattr(op, "rules", None):  # a user's Function: its own backward, on the values it saved
            with grad_mode.no_grad():
                results = dict(
                    zip(op.differentiable, step.source.plan.pull(g.astype(step.dtype), step.source.saved), strict=False)
                )
            for use in self.uses[step.index]:
                made.contributions[use.key] = _fit(results.get(use.argument), use.operand.shape, op)
            return
        for argument in {use.argument: None for use in self.uses[step.index]}:
            rule = rules.get((step.index, argument))
            result = self.contribution(step, argument, g) if rule is None else _call(rule, g, known)
            for use in self.uses[step.index]:
                if use.argument == argument:
                    part = result[use.position] if op.sequence else result
                    made.contributions[use.key] = _fit(part, use.operand.shape, op)

    def contribution(self, step: Step, argument: str, g: np.ndarray, **other: Any) -> Any:
        """What the op's own rule gives for the cotangent `g`, with some of the values it uses replaced by `other`."""
        known = self.known[step.index]
        return step.op.rules[argument](g, *(other.get(name, known[name]) for name in step.op.needs[argument]))

    def using(self, use: Use, **other: Any) -> Callable[[np.ndarray], Any]:
        """The rule of one use with other values in the place of those it uses, for an `Edit`."""
        return lambda g: self.contribution(use.user, use.argument, g, **other)

    def fitted(self, use: Use, g: np.ndarray) -> np.ndarray:
        """The contribution of one use for the cotangent `g` of its user, in the operand's shape."""
        result = self.contribution(use.user, use.argument, g)
        return _fit(result[use.position] if use.user.op.sequence else result, use.operand.shape, use.user.op)

    def gradients(self, made: Pass) -> dict[str, np.ndarray]:
        """The gradient of every parameter that the loss depends on."""
        return {
            name: np.zeros(step.shape) if made.cotangents[step.index] is None else made.cotangents[step.index]
            for name, step in self.parameters.items()
        }


def times(factor: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What an `Edit` does to a cotangent that is multiplied by `factor`."""
    return lambda g: g * factor


def _call(rule: Callable[..., Any], g: np.ndarray, known: Mapping[str, Any]) -> Any:
    wanted = tuple(inspect.signature(rule).parameters.values())[1:]
    names = [parameter.name for parameter in wanted if parameter.default is parameter.empty]
    return rule(g, **{name: known[name] for name in names})


def _fit(contribution: Any, shape: tuple[int, ...], op: Any) -> Any:
    return None if contribution is None else graph.fit(np.asarray(contribution, _FLOAT), tuple(shape), _FLOAT, op)
