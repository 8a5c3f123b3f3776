"""From a recorded graph to a picture: every op, every operand, with names, values, gradients and module calls.

What this file lets you do: `read` a loss into plain data that outlives the graph. Operands that need no gradient (the
data, the labels, numbers) are nodes too: the graph holds them as arrays, as long as no backward pass has freed them.
It must not know how a picture is drawn or folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.autograd import Step, Trace
from tinygrad_lab.tensor import Tensor, edge_of
from tinygrad_lab.viz.picture import Picture, PictureEdge, PictureNode
from tinygrad_lab.viz.reading.calls import Calls
from tinygrad_lab.viz.reading.leaves import Leaves
from tinygrad_lab.viz.reading.naming import Known, Names
from tinygrad_lab.viz.reading.tracing import Record, keep_gradient, record_of
from tinygrad_lab.viz.reading.values import known_values, values_of
from tinygrad_lab.viz.words import clean, index_text

__all__ = ["Reading", "read"]

SYMBOLS = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "product": "@", "pow": "**", "neg": "-"},
    **{"getitem": "[ ]", "setitem": "[ ] =", "remainder": "%", "label_cross_entropy": "cross_entropy"},
    **{"to_dtype": "to", "clamp_min": "max", "clamp_max": "min", "function_output": "output", "contract": "einsum"},
}
"""Headers of cards where the op's name is not what the user wrote."""

COMMUTATIVE = {"add", "mul", "maximum", "minimum", "hypot", "logaddexp"}

FREED, NOT_KEPT, NOT_COMPUTED, NOT_NEEDED = "value freed", "grad not kept", "grad not computed", "needs no grad"


def read(
    outputs: Tensor | Iterable[Tensor],
    params: Any = None,
    names: Mapping[str, Any] | None = None,
    *,
    values: bool = True,
) -> Picture:
    """The graph behind one or several tensors as a Picture.

    params  names of parameters: a Module, a dict of tensors or a list of them; default: the modules that were called
    names   names of any tensors, and of models where several were called: a dict such as locals(), of which those of
            this graph are taken
    values  False leaves values and gradients out

    TypeError if `outputs` holds anything but Tensors; ValueError if it is empty.

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> picture = read((x * x).sum(), names={"x": x})
    >>> [(node.name, node.symbol, node.value.tolist()) for node in picture.nodes]
    [('x', '', [1.0, 2.0]), ('t1', '*', [1.0, 4.0]), ('loss', 'sum', 5.0)]
    >>> [(edge.source, edge.target, edge.argument) for edge in picture.edges]
    [('n0', 'n1', 'input'), ('n0', 'n1', 'other'), ('n1', 'n2', 'input')]
    """
    return Reading(outputs, params, names, values=values).picture


class Reading:
    """A picture, and how to keep its gradients up to date (`refresh`) without holding the graph.

    With `watch`, backward passes from now on leave the gradients of intermediates for `refresh` to find.
    """

    def __init__(
        self,
        outputs: Tensor | Iterable[Tensor],
        params: Any = None,
        names: Mapping[str, Any] | None = None,
        *,
        values: bool = True,
        watch: bool = False,
    ) -> None:
        if not isinstance(outputs, Iterable) or isinstance(outputs, (str, np.ndarray)):
            hint = ": write model.graph(x)" if hasattr(outputs, "named_parameters") else ""
            raise TypeError(f"a graph is drawn from a Tensor or a list of them, got {type(outputs).__name__}{hint}")
        tensors = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if not tensors:
            raise ValueError("nothing to draw: an empty list of tensors")
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"a graph is drawn from Tensors, got {type(tensor).__name__}")
        if not isinstance(names, (Mapping, type(None))):
            raise TypeError(f"names must be a dict, such as {{'x': x}} or locals(), got {type(names).__name__}")
        self._with_values = values
        self._of: dict[Any, PictureNode] = {}  # by graph.Node
        self._passes = 0
        self._records: list[tuple[PictureNode, Record]] = []
        self._retained: list[tuple[PictureNode, Any]] = []  # (node, its Watch) where retain_grad() was called

        nodes = graph.walk(edge_of(tensor) for tensor in tensors)
        calls = Calls(nodes, params, names)
        self._calls = calls.innermost
        self.picture = Picture(title=_title(calls.models), calls=calls.calls)
        known = Names(params, calls.models, names)
        found = known_values(nodes, tensors, known)
        trace = Trace(tensors, values=found)
        computed = values_of(trace, found) if values else {}
        leaves = [step.source for step in trace.steps if step.is_leaf]
        self._leaves = Leaves(self.picture, known, found, leaves, values)
        self._freed = any(node.saved is None and node.plan.holds for node in nodes)
        for step in trace.steps:
            if not step.is_leaf:
                self._add_op(step, known, computed)
        for tensor in tensors:
            if tensor.node is None:
                self._leaves.of_tensor(tensor)
                if not tensor.requires_grad:
                    self.picture.remarks.append(
                        f"nothing was recorded for a tensor of shape {tensor.shape}: it requires no gradient"
                    )
        self._mark_outputs(tensors)
        forgotten = any(not node.dtype for node in self.picture.nodes if node.kind not in ("op", "loss"))
        self.picture.remarks += _absent(known.parameters(), self._leaves.drawn(), forgotten)
        self._retained += [(self._of[n], n.watch) for n in nodes if n.watch is not None and n.watch.retains]
        if watch and values:
            self._watch()
        self._of, self._calls = {}, {}  # from here on the graph may die
        self._leaves.forget()
        self.refresh()

    def _add_op(self, step: Step, known: Names, computed: dict[Any, np.ndarray]) -> None:
        source, op = step.source, step.op
        record = record_of(source)
        operands = list(self._operands(step, record))
        index = len(self.picture.nodes)
        name = known.of(source)
        several = not isinstance(step.shape, tuple)  # a Function with several outputs has no output of its own
        value = computed.get(source)
        node = self._of[source] = PictureNode(
            id=f"n{index}",
            kind="op",
            op=op.name,
            symbol=SYMBOLS.get(op.name, op.name),
            name=name.names[0] if name else f"t{index}",
            shape=() if several else step.shape,
            dtype="" if several else step.dtype.name,
            requires_grad=True,
            call=self._calls.get(source),
            value=value,
            saved=tuple(name for name in source.plan.names if name in source.plan.needs),
            source=None if record is None else record.source,
            note=_note(step, {} if record is None else record.arguments),
            no_value=FREED if self._freed else "value not kept",
        )
        self.picture.nodes.append(node)
        if record is not None:
            self._records.append((node, record))
        scaled = (step.operands.get("alpha") or (record and record.arguments.get("alpha")) or 1) != 1
        ordered = len(operands) > 1 and (op.name not in COMMUTATIVE or scaled)
        for position, (argument, operand, flows) in enumerate(operands):
            operand.uses += 1
            self.picture.edges.append(
                PictureEdge(
                    f"e{len(self.picture.edges)}",
                    operand.id,
                    node.id,
                    argument,
                    position,
                    ordered,
                    gradient_flows=flows,
                )
            )

    def _operands(self, step: Step, record: Record | None) -> Iterator[tuple[str, PictureNode, bool]]:
        """(argument, node, whether a gradient flows) of every operand in order; leaves are added as they are met."""
        op, arrays = step.op, getattr(step.op, "arrays", ())
        remembered = {} if record is None else record.arguments
        for argument in op.arguments:
            operand = step.operands.get(argument)
            if operand is None:
                operand = remembered.get(argument)
            several = isinstance(operand, tuple)
            for i, item in enumerate(operand if isinstance(operand, tuple) else (operand,)):
                label = f"{argument}[{i}]" if several else argument
                if item is None and several and argument in remembered:
                    item = remembered[argument][i]
                if isinstance(item, Step):
                    source = item.source
                    yield label, self._leaves.of_tensor(source) if item.is_leaf else self._of[source], True
                elif isinstance(item, np.ndarray) or (
                    argument in arrays and isinstance(item, (int, float, np.generic)) and not isinstance(item, bool)
                ):
                    yield label, self._constant(step, argument, item), False
                elif item is None and self._is_forgotten(step, argument):
                    yield label, self._leaves.forgotten(argument, op, self._calls.get(step.source)), False

    def _constant(self, step: Step, argument: str, value: Any) -> PictureNode:
        if isinstance(value, np.ndarray):
            producer = self._leaves.producer(value)
            if producer is not None and producer.number < step.source.number and producer in self._of:
                return self._of[producer]  # detached: the edge is dashed
        return self._leaves.of_constant(value, argument, step.op.name, self._calls.get(step.source))

    @staticmethod
    def _is_forgotten(step: Step, argument: str) -> bool:
        """Whether the op must have had this operand, of which the freed graph says nothing more."""
        op, node = step.op, step.source
        if node.saved is not None or argument not in getattr(op, "arrays", ()) or argument not in node.plan.names:
            return False
        return op.signature.parameters[argument].default is not None

    def _mark_outputs(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            node = self._of[tensor.node] if tensor.node is not None else self._leaves.of_tensor(tensor)
            if node.id in self.picture.outputs:
                continue
            self.picture.outputs.append(node.id)
            if node.kind == "op" and tensor.shape == ():
                node.kind = "loss"
                if node.name == f"t{node.id[1:]}":
                    node.name = "loss"

    # Gradients

    def _watch(self) -> None:
        traced = {id(node) for node, _ in self._records}
        for source, node in self._of.items():
            if id(node) not in traced and source.shape is node.shape:
                record = Record()
                keep_gradient(source, record)
                self._records.append((node, record))

    def refresh(self) -> None:
        """Bring gradients up to date: those of leaves from `.grad`, of the others from what watches kept.

        Once a backward pass through this graph was seen, only another one changes anything: what `.grad` is emptied of,
        or gets from other graphs, is not part of this picture.
        """
        passes = sum(record.passes for _, record in self._records)
        if not self._with_values or (passes and passes == self._passes):
            return
        self._passes = passes
        for node, record in self._records:
            if record.gradient is not None:
                node.gradient = record.gradient
        for node, watch in self._retained:
            if watch.grad is not None:
                node.gradient = watch.grad.array
        arrived = self._leaves.refresh()
        passed = self._freed or arrived or passes > 0
        for node in self.picture.nodes:
            if node.kind in ("op", "loss"):
                node.no_gradient = NOT_KEPT if passed else NOT_COMPUTED


def _title(models: list[tuple[str, Any]]) -> str:
    return next((type(model).__name__ for prefix, model in models if not prefix), "")


def _absent(parameters: list[Known], leaves: list[Tensor], forgotten: bool) -> list[str]:
    """Remarks on parameters of the model that no op of the graph uses.

    Frozen ones that stand before all others are used by ops that were not recorded. Of operands
    that are forgotten nobody knows whether they were some of these.
    """
    present = {id(leaf) for leaf in leaves}
    absent = [known for known in parameters if id(known.tensor) not in present]
    remarks = []
    for frozen, what in ((False, "not used"), (True, "frozen, and not used by any op that was recorded")):
        names = [clean(known.names[0]) for known in absent if known.tensor.requires_grad is not frozen]
        if names and not (frozen and forgotten):
            more = f" and {len(names) - 4} more" if len(names) > 5 else ""
            remarks.append(f"{what}: {', '.join(names[:4] if more else names)}{more}")
    return remarks


def _note(step: Step, remembered: Mapping[str, Any]) -> str:
    """The options of a call that tell what it did: "dim=1, keepdim=True", or an index that is not all arrays: "[::2]".

    A freed graph may have been remembered.
    """
    op = step.op
    if not hasattr(op, "signature"):
        return ""
    index = step.operands.get("index", remembered.get("index")) if op.name in ("getitem", "setitem") else None
    if index is not None and (text := index_text(index)).strip("…, "):
        return f"[{text}]"
    shown = []
    for name in op.arguments:
        value, default = step.operands.get(name), op.signature.parameters[name].default
        value = remembered.get(name) if value is None else value
        plain = isinstance(value, (bool, int, float, str)) or (
            isinstance(value, tuple) and len(value) <= 4 and all(isinstance(item, int) for item in value)
        )
        usual = (default, (default,) * len(value)) if isinstance(value, tuple) else (default,)
        if plain and name not in op.arrays and value not in usual and name != "index":
            shown.append(f"{name}={value!r}")
    return ", ".join(shown)
