"""Reading a recorded graph: every step with its name, op, operands, value and gradient, and passes with other rules.

What this file lets you do, from outside the core: follow a loss from node to node (`Trace`), recompute any value, get
the gradient of every intermediate without touching `.grad`, run one rule alone, and run a whole backward pass in which
some rule is replaced. Checking, diagnosis and drawing are built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.autograd.gradients import seeds
from tinygrad_lab.ops.declare import parameter_names
from tinygrad_lab.tensor import Tensor, edge_of

__all__ = ["Step", "Trace"]


class Step:
    """One node of a traced graph, or one leaf.

    index      place in `trace.steps`, operands before users      name       a given name, else "t0", "t1", ...
    op         the declared op; None for a leaf                   source     the graph.Node or the leaf Tensor
    operands   {argument: Step, or a constant (number, array, shape ...)}; a tuple of them for an op on a sequence
    shape, dtype   of the output (NumPy's)
    """

    def __init__(self, index: int, name: str, source: Any) -> None:
        self.index, self.name, self.source = index, name, source
        self.is_leaf = not isinstance(source, graph.Node)
        self.op: Any = None if self.is_leaf else source.op
        self.shape: tuple[int, ...] = source.shape
        self.dtype = source.array.dtype if self.is_leaf else source.dtype
        self.operands: dict[str, Any] = {}

    @property
    def inputs(self) -> list[tuple[str, Step]]:
        """(argument, Step) for every operand that is a step, in order; repeated operands appear repeatedly."""
        found = []
        for argument, operand in self.operands.items():
            for i, item in enumerate(operand if isinstance(operand, tuple) else (operand,)):
                if isinstance(item, Step):
                    found.append((f"{argument}[{i}]" if isinstance(operand, tuple) else argument, item))
        return found

    def __repr__(self) -> str:
        if self.op is None:
            return f"{self.name}: leaf {self.shape}"
        return f"{self.name} = {self.op.name}({', '.join(step.name for _, step in self.inputs)}) {self.shape}"


class Trace:
    """The graph behind one or several tensors, as plain data.

    names   {name: tensor} for leaves or intermediates, for example dict(model.named_parameters())
    values  {node: array} that the caller knows, so that they need not be computed

    Values of intermediates are not kept by the graph, so they are recomputed from the leaves by running the ops forward
    again; after a backward pass has freed the constants that this takes, `value` returns None.

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> trace = Trace((x * x).sum(), names={"x": x})
    >>> trace.steps
    [x: leaf (2,), t1 = mul(x, x) (2,), t2 = sum(t1) ()]
    >>> trace.value(trace.steps[1]), trace.gradients()[trace.steps[0]]
    (array([1., 4.], dtype=float32), array([2., 4.], dtype=float32))
    """

    def __init__(
        self,
        outputs: Tensor | Iterable[Tensor],
        names: Mapping[str, Tensor] | None = None,
        values: Mapping[graph.Node, np.ndarray] | None = None,
    ) -> None:
        self.outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        roots = [edge_of(tensor) for tensor in self.outputs]
        given = {edge_of(tensor): name for name, tensor in (names or {}).items()}
        self.steps: list[Step] = []
        self._of: dict[Any, Step] = {}
        for node in graph.walk(roots):
            for edge in node:
                if edge is not None and not isinstance(edge, graph.Node):
                    self._add(edge, given)
            self._add(node, given)
        for root in roots:
            self._add(root, given)
        self._given = values or {}
        self._values: dict[Step, Any] = {}

    def _add(self, source: Any, given: Mapping[Any, str]) -> None:
        if source in self._of:
            return
        index = len(self.steps)
        step = self._of[source] = Step(index, given.get(source, f"t{index}"), source)
        self.steps.append(step)
        if isinstance(source, graph.Node):
            step.operands = self._operands(source)

    def _operands(self, node: graph.Node) -> dict[str, Any]:
        edges = tuple(None if edge is None else self._of[edge] for edge in node)
        op, saved = node.op, dict(zip(node.plan.names, node.saved or (), strict=False))
        if op.sequence:
            constants = saved.get(op.differentiable[0]) or (None,) * len(edges)
            steps: Any = tuple(constants[i] if edge is None else edge for i, edge in enumerate(edges))
            return {name: steps if name == op.differentiable[0] else saved.get(name) for name in op.arguments}
        connected = {name: edge for name, edge in zip(op.differentiable, edges, strict=False) if edge is not None}
        return {name: connected.get(name, saved.get(name)) for name in op.arguments}

    def step(self, tensor: Tensor) -> Step:
        """The step of a tensor. KeyError if it is not in this graph."""
        return self._of[edge_of(tensor)]

    def value(self, step: Step) -> np.ndarray | None:
        """The step's output, recomputed where the graph does not hold it; None if what that takes was freed."""
        while len(self._values) <= step.index:  # in order, each once: no recursion, and linear for the whole graph
            following = self.steps[len(self._values)]
            self._values[following] = self._compute(following)
        return self._values[step]

    def _compute(self, step: Step) -> Any:
        if step.op is None:
            return step.source.array
        if step.source in self._given:
            return self._given[step.source]
        known = dict(zip(step.source.plan.names, step.source.saved or (), strict=False))
        if isinstance(known.get("y"), np.ndarray):
            return known["y"]
        result = self._rerun(step)
        return None if result is None else result["y"]

    def _rerun(self, step: Step) -> dict[str, Any] | None:
        """All that a rule of this step may ask for: arguments, output, residuals, shapes; None if it was freed."""
        op, node = step.op, step.source
        if node.saved is None and node.plan.names:
            return None
        if not hasattr(op, "forward"):  # a user's Function: its forward is not ours to run again
            return None

        # A function among the arguments is there for a side effect (running statistics), which happened once already.
        values = {name: None if callable(operand) else self._plain(operand) for name, operand in step.operands.items()}
        if any(values[name] is None for name, operand in step.operands.items() if isinstance(operand, Step)):
            return None
        function = op.function if not op.residuals else None
        if function is not None:
            values["y"] = np.asarray(function(**values))
        else:
            results = op.forward(**values)
            values["y"] = np.asarray(results[0])
            values.update(zip(op.residuals, results[1:], strict=True))
        for name in op.arrays:
            array = values.get(name)
            if array is not None:
                values[f"{name}_shape"] = (
                    [np.shape(a) for a in array] if op.sequence and name in op.rules else np.shape(array)
                )
        return values

    def _plain(self, operand: Any) -> Any:
        """An operand with values in the place of steps."""
        if isinstance(operand, tuple) and any(isinstance(item, Step) for item in operand):
            return tuple(self._plain(item) for item in operand)
        return self._values.get(operand, None) if isinstance(operand, Step) else operand

    def values_for_rules(self, step: Step) -> dict[str, Any]:
        """All that a vjp rule of this step may ask for, by name. RuntimeError if it was freed."""
        self.value(step)
        found = self._rerun(step)
        if found is None:
            raise RuntimeError(
                f"{step}: the values it needs were freed by a backward pass; use retain_graph=True or trace before it"
            )
        return found

    def gradients(
        self,
        gradient: Any = None,
        rules: Mapping[Any, Callable[..., Any]] | None = None,
    ) -> dict[Step, np.ndarray]:
        """The gradient of the outputs with respect to every step, from one backward pass that changes nothing.

        gradient  cotangent of the output (default 1 for a scalar)
        rules     replacements for this pass: {(op name or Step, argument): rule}. A rule is called with the cotangent
                  and, by parameter name, whatever it asks for of the op's arguments, `y`, residuals and `NAME_shape`.

        >>> x = Tensor([-1.0, 2.0]).requires_grad_()
        >>> trace = Trace((x * x).sum())
        >>> trace.gradients(rules={("mul", "input"): lambda g, other: -g * other})[trace.steps[0]]
        array([0., 0.], dtype=float32)
        """
        replaced = dict(rules or {})
        known = {key[0] if isinstance(key[0], str) else key[0].op.name for key in replaced}
        if unknown := known - {step.op.name for step in self.steps if step.op is not None}:
            raise KeyError(f"no step of this graph runs {sorted(unknown)}")

        def override(node: graph.Node) -> Callable[..., Any] | None:
            step = self._of[node]
            chosen = {
                argument: replaced.get((step, argument), replaced.get((node.op.name, argument)))
                for argument in node.op.differentiable
            }
            if all(rule is None for rule in chosen.values()):
                return None

            def pull(g: Any, node: graph.Node) -> tuple[Any, ...]:
                values = self.values_for_rules(step)

                def run(argument: str) -> Any:
                    rule = chosen[argument] or node.op.rules[argument]
                    return rule(g, **{name: values[name] for name in parameter_names(rule)[1:]})

                if node.op.sequence:
                    results = run(node.op.differentiable[0])
                else:
                    pairs = zip(node.op.differentiable, node, strict=True)
                    results = [None if edge is None else run(argument) for argument, edge in pairs]
                return tuple(None if result is None else np.asarray(result) for result in results)

            return pull

        roots = seeds(self.outputs, [gradient] * len(self.outputs), False)
        watches = [(step.source, step.source.watch) for step in self.steps if not step.is_leaf]
        try:
            for node, _ in watches:  # hooks and retained gradients are the user's, not this pass's
                node.watch = None
            arrived = graph.run_backward(
                roots, retain_graph=True, targets=set(self._of), rules=override if replaced else None
            )
        finally:
            for node, watch in watches:
                node.watch = watch
        # A Function with several outputs has no gradient of its own: its outputs, which are steps too, have.
        return {self._of[source]: array for source, array in arrived.items() if array.dtype != object}


def _graph(self: Tensor, **options: Any) -> Any:
    """Draw the graph that computed this tensor: `viz.graph(self, **options)`, which tells of the options.

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> (x * x).sum().graph(names={"x": x}).save("graph.svg")  # doctest: +SKIP
    """
    from tinygrad_lab import viz

    return viz.graph(self, **options)


_graph.__name__ = _graph.__qualname__ = "graph"
setattr(Tensor, "graph", _graph)  # declared in Tensor, the name would hide the module `graph` there  # noqa: B010
