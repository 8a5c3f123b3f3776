"""One backward pass written down: what every step received, what it handed on, and how gradients added up.

What this file lets you do: `record(loss)` runs a backward pass of its own and returns it as data. The program is left
as it was: `.grad` is not touched, hooks do not run, the graph is not freed, no random number is drawn. It must not know
how any of it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.autograd import Step, Trace
from tinygrad_lab.autograd.gradients import seeds
from tinygrad_lab.tensor import Tensor

__all__ = ["BackwardStep", "Contribution", "Recording", "record"]


@dataclass(eq=False)
class Contribution:
    """What one step adds to the gradient of one of its operands.

    raw      what the rule returned, before the sum over broadcast copies     value   in the operand's shape and dtype
    before   the operand's gradient until now, None for the first contribution        after   before + value
    last     whether the operand's gradient is complete with it
    """

    argument: str
    operand: Step
    raw: np.ndarray
    value: np.ndarray
    before: np.ndarray | None
    after: np.ndarray
    last: bool = False

    @property
    def copied(self) -> bool:
        """Whether the forward pass copied the operand to a larger shape, so that its gradient is a sum."""
        return self.raw.shape != self.value.shape


@dataclass(eq=False)
class BackwardStep:
    """One node's turn: the complete gradient of its output, and what its rules made of it.

    skipped   {argument: the array, number or Step} of operands that get no gradient
    """

    step: Step
    cotangent: np.ndarray
    contributions: list[Contribution] = field(default_factory=list)
    skipped: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Recording:
    """forward: the ops in the order in which they ran; backward: the same ops in the order of the backward pass;
    gradients of every step; hooked: the steps whose tensor has hooks, which this pass did not run."""

    trace: Trace
    loss: Step
    forward: list[Step]
    backward: list[BackwardStep]
    gradients: dict[Step, np.ndarray]
    hooked: list[Step]


class _Watcher(graph.Observer):
    """Keeps copies of what `graph.run_backward` tells of each node."""

    def __init__(self) -> None:
        self.seen: list[tuple[graph.Node, Any, tuple[Any, ...]]] = []

    def backward(self, node: graph.Node, cotangent: Any, contributions: Any) -> None:
        self.seen.append((node, _copy(cotangent), tuple(map(_copy, contributions))))


def _copy(value: Any) -> Any:
    """An array of our own; None, and what a Function with several outputs hands on for all of them, as they are."""
    return np.array(value) if isinstance(value, (np.ndarray, np.generic)) else value


@contextmanager
def _alone(observer: graph.Observer, nodes: list[graph.Node]) -> Iterator[None]:
    """`observer` is the only one, and no hook of `nodes` runs: both are the user's, and not for this pass."""
    others, watches = graph.observers[:], [node.watch for node in nodes]
    graph.observers[:] = [observer]
    for node in nodes:
        node.watch = None
    try:
        yield
    finally:
        graph.observers[:] = others
        for node, watch in zip(nodes, watches, strict=True):
            node.watch = watch


def record(loss: Tensor, names: Mapping[str, Tensor] | None = None) -> Recording:
    """Record a backward pass of the scalar `loss`.

    names   {name: tensor} for leaves or intermediates

    Raises RuntimeError if the loss is no scalar, has no history, or the values that its rules need were freed by an
    earlier backward().

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> recording = record((x * x).sum(), {"x": x})
    >>> [(turn.step.op.name, [part.value.tolist() for part in turn.contributions]) for turn in recording.backward]
    [('sum', [[1.0, 1.0]]), ('mul', [[1.0, 2.0], [1.0, 2.0]])]
    >>> recording.backward[1].contributions[1].before.tolist(), x.grad
    ([1.0, 2.0], None)
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"the loss must be a Tensor, not {type(loss).__name__}")
    roots = seeds([loss], [None], False)
    trace = Trace(loss, names=names)
    steps = {step.source: step for step in trace.steps}
    nodes = [step.source for step in trace.steps if not step.is_leaf]
    watcher = _Watcher()
    with _alone(watcher, nodes):
        try:
            graph.run_backward(roots, retain_graph=True, targets=set(steps))
        except RuntimeError as error:
            if "freed" in str(error):
                raise RuntimeError(
                    "an earlier backward() freed the values that the backward pass needs. Record the loss (viz.step, "
                    "viz.formulas) before loss.backward(), or use loss.backward(retain_graph=True)"
                ) from error
            raise
    root = trace.step(loss)
    gradients: dict[Step, Any] = {root: np.array(roots[0][1])}
    latest: dict[Step, Contribution] = {}
    backward = []
    for node, cotangent, parts in watcher.seen:
        turn = BackwardStep(steps[node], cotangent)
        for (argument, edge), raw in zip(_edges(node), parts, strict=True):
            if edge is None or raw is None:
                continue
            turn.contributions.append(_add(steps[edge], argument, raw, node.op, gradients))
            latest[steps[edge]] = turn.contributions[-1]
        reached = {part.argument for part in turn.contributions}
        turn.skipped = {argument: item for argument, item in _arrays(turn.step) if argument not in reached}
        backward.append(turn)
    for contribution in latest.values():
        contribution.last = True
    return Recording(
        trace=trace,
        loss=root,
        forward=[step for step in trace.steps if not step.is_leaf],
        backward=backward,
        gradients=gradients,
        hooked=[step for step in trace.steps if _has_hooks(step)],
    )


def _edges(node: graph.Node) -> list[tuple[str, Any]]:
    """(argument, edge) for the edges of a node, in order; elements of a sequence as "tensors[1]"."""
    if node.op.sequence:
        return [(f"{node.op.differentiable[0]}[{i}]", edge) for i, edge in enumerate(node)]
    return list(zip(node.op.differentiable, node, strict=True))


def _add(operand: Step, argument: str, raw: np.ndarray, op: Any, gradients: dict[Step, Any]) -> Contribution:
    """Add one contribution, in the order and with the roundings of `graph.run_backward`."""
    value = raw
    if isinstance(raw, np.ndarray):
        value = np.asarray(graph.fit(raw, operand.shape, operand.dtype, op))
    before = gradients.get(operand)
    after = value if before is None else before + value
    gradients[operand] = np.asarray(after) if isinstance(raw, np.ndarray) else after
    return Contribution(argument, operand, raw, value, before, gradients[operand])


def _arrays(step: Step) -> list[tuple[str, Any]]:
    """(argument, item) for the operands of a step that are arrays: steps, arrays and numbers, no options."""
    found: list[tuple[str, Any]] = []
    names = step.op.arrays if hasattr(step.op, "arrays") else step.op.differentiable
    for argument in names:
        operand = step.operands.get(argument)
        several = isinstance(operand, tuple)
        for i, item in enumerate(operand if isinstance(operand, tuple) else (operand,)):
            if item is not None:
                found.append((f"{argument}[{i}]" if several else argument, item))
    return found


def _has_hooks(step: Step) -> bool:
    """Whether the user hung hooks on a tensor (those by which `tracing` keeps gradients are ours)."""
    watch = step.source._watch if step.is_leaf else step.source.watch
    return watch is not None and any(
        not getattr(hook, "__module__", "").startswith("tinygrad_lab.") for hook in watch.hooks.values()
    )
