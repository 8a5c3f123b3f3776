"""The values of a graph's intermediates: what is still known somewhere, and the rest computed again.

What this file lets you do: collect every output that the graph, a trace or the user holds (`known_values`), and run the
ops forward for the others (`values_of`), leaving out what would come out differently from the first time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.autograd import Trace
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.reading.naming import Names
from tinygrad_lab.viz.reading.tracing import record_of

__all__ = ["known_values", "values_of"]


def known_values(nodes: list[graph.Node], outputs: list[Tensor], names: Names) -> dict[Any, np.ndarray]:
    """{node: output} for those that something holds: not copied."""
    found: dict[Any, np.ndarray] = {}

    def note(node: Any, array: Any) -> None:
        whole = isinstance(array, np.ndarray) and array.shape == node.shape and array.dtype == node.dtype
        if whole and not _changed_since(array, node.number):
            found.setdefault(node, array)

    for node in nodes:
        record = record_of(node)
        if record is not None and record.value is not None:
            found[node] = record.value
    for tensor in outputs:
        if tensor.node is not None:
            note(tensor.node, tensor.array)
    for node, array in names.computed():
        note(node, array)
    for node in nodes:
        saved = dict(zip(node.plan.names, node.saved or (), strict=False))
        note(node, saved.get("y"))
        for argument, edge in _single_operands(node):
            if type(edge) is graph.Node:
                note(edge, saved.get(argument))
    return found


def _single_operands(node: graph.Node) -> zip[tuple[str, Any]]:
    names = () if node.op.sequence else node.op.differentiable
    return zip(names, node, strict=False)


def _changed_since(array: np.ndarray, number: int) -> bool:
    return number < graph.mutations.latest and graph.last_mutation(array) > number


def values_of(trace: Trace, known: dict[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """{node: copy of its output} for every node whose output can be known.

    What follows from an operand that was changed in place since (a parameter after the optimizer's step) is left out:
    computed again it would not be what it was.
    """
    values: dict[Any, np.ndarray] = {}
    lost: set[Any] = set()
    for step in trace.steps:
        if step.is_leaf:
            continue
        node = step.source
        if node not in known and any(
            item.source in lost
            if not item.is_leaf and item.source not in known
            else _changed_since(item.source.array, node.number)
            for _, item in step.inputs
            if item.is_leaf or item.source not in known
        ):
            lost.add(node)
            continue
        if node not in known and any(
            isinstance(operand, np.ndarray) and _changed_since(operand, node.number)
            for operand in step.operands.values()
        ):
            lost.add(node)
            continue
        value = trace.value(step)
        if value is None:
            lost.add(node)
        else:
            values[node] = np.array(value)
    return values
