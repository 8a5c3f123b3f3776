"""The recorded graph: nodes, the backward pass over them and the mutation log.

What this file lets you do: record that an op ran (`Node`), run reverse-mode differentiation over what was recorded
(`run_backward`), notice arrays that changed after they were saved (`mark_mutated`),
and watch everything that happens (`observers`). It must not know what a Tensor or a particular op is: a leaf is any
object with `array`, `accumulate_grad` and no `plan`; an op's rules come to it as `plan.pull`.

Creation order is a topological order: whatever a node uses was made before it. So the backward pass always takes the
newest of the nodes that have received a cotangent: by then all of its users have run. A heap finds it, where there are
several.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import add_up
from tinygrad_lab.grad_mode import recording

__all__ = [
    "Node",
    "Observer",
    "mark_mutated",
    "observers",
    "run_backward",
]


class Node(list[Any]):
    """One recorded call of an op: what it was called on, and what its vjp rules need.

    A node *is* the list of its edges, one entry per differentiable operand: the Node that made it, the leaf Tensor
    itself, or None where no gradient goes. (A list, because then a node is one object to Python's cyclic garbage
    collector instead of two: long graphs are a third faster.) Beside them it holds

    plan    which rules will run and which values they need (`ops.declare.Plan`); `plan.op` is the op
    saved   the values that `plan.names` lists; None once a backward pass has freed them
    number  creation number: greater than that of everything this node depends on
    shape, dtype   of the output (NumPy's), which outlive the saved values
    watch   tensor hooks and retained gradient of the output, if anybody asked for them
    call    on what a module call returned: (number of when it began, weak reference to the module, its class, the call
            inside it that this node ends too, or None); else None. The call's nodes are those numbered from its begin
            to `number`. The class outlives what `nn.MSELoss()(x, y)` made

    A node never refers to the Tensor it produced, so a graph has no reference cycles and dies with its last user.
    """

    __slots__ = ("__weakref__", "call", "dtype", "number", "plan", "saved", "shape", "watch")

    plan: Any
    saved: tuple[Any, ...] | None
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    watch: Any
    call: tuple[int, weakref.ref[Any], type, Any] | None

    # Nodes are told apart by identity, not by their edges.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    @property
    def op(self) -> Any:
        return self.plan.op

    @property
    def edges(self) -> tuple[Any, ...]:
        return tuple(self)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """PyTorch's view of the edges: pairs (what produced the operand, 0)."""
        return tuple((edge, 0) for edge in self)

    def name(self) -> str:
        """PyTorch's name for such a node: `MulBackward`."""
        return "".join(part.capitalize() for part in self.op.name.split("_")) + "Backward"

    def __repr__(self) -> str:
        return f"<{self.name()}>"


# Numbers nodes and in-place changes alike, so that "changed after it was saved" is one comparison.
numbers = itertools.count(1)


def record(plan: Any, edges: tuple[Any, ...], saved: tuple[Any, ...], output: np.ndarray) -> Node:
    """A new node. Attributes are set one by one because an `__init__` would double the cost."""
    node = Node(edges)
    node.plan = plan
    node.saved = saved
    node.number = next(numbers)
    node.shape = output.shape
    node.dtype = output.dtype
    node.watch = node.call = None
    return node


# Observers


class Observer:
    """Is told of everything that happens while it is in `observers`: anomaly detection and profiling are some."""

    def forward(self, op: Any, arguments: dict[str, Any], output: Any, node: Node | None) -> None:
        """`op` ran on Tensors: its arguments (arrays), the Tensor that came out, and the node if it was recorded."""

    def backward(self, node: Node, cotangent: Any, contributions: Any) -> None:
        """`node`'s rules ran on `cotangent` and gave `contributions`, one per edge (None where no gradient goes)."""

    def line_of(self, node: Node) -> str:
        """Where the user's program made `node`, if this observer kept it."""
        return ""


observers: list[Observer] = []
"""Normally empty: absent observers cost one truth test per op."""


# Mutation log


class _Mutations:
    """When each buffer was last changed in place, in the numbering of the nodes."""

    __slots__ = ("latest", "log", "unrecorded")

    def __init__(self) -> None:
        self.latest = 0  # of any buffer: while no node is older than this, nothing needs to be looked up
        self.log: dict[int, list[Any]] = {}  # id of the buffer: [number, weak reference to it]
        self.unrecorded: dict[int, tuple[Any, Any]] = {}  # normally empty


mutations = _Mutations()


def _buffer(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory `array` looks into: views of one buffer share one entry in the log."""
    while type(array.base) is np.ndarray:
        array = array.base
    return array


def mark_mutated(*arrays: np.ndarray, number: int | None = None) -> None:
    """Log that the memory of `arrays` was just changed in place (by the node `number`, if the change was recorded)."""
    mutations.latest = number = number or next(numbers)
    log = mutations.log
    for array in arrays:
        entry = log.get(id(array))  # the usual case: an array that owns its memory, and was changed before
        if entry is None:
            buffer = _buffer(array)
            entry = log.get(id(buffer)) or _log(buffer)
        entry[0] = number


def _log(buffer: np.ndarray) -> list[Any]:
    """Begin an entry. Its weak reference drops it with the buffer, before the id can be used again."""
    key, log = id(buffer), mutations.log
    log[key] = entry = [0, weakref.ref(buffer, lambda _: log.pop(key, None))]
    return entry


def mark_unrecorded(array: np.ndarray, shared: bool) -> None:
    """Log that a recorded value was written into `array`, while others that have no history may look into its memory.

    They do if it is a view, or if it is `shared`: views of it, made before, exist.
    """
    if shared or type(array.base) is np.ndarray:
        buffer, log = _buffer(array), mutations.unrecorded
        key = id(buffer)
        log[key] = (weakref.ref(buffer, lambda _: log.pop(key, None)), weakref.ref(array))


def mark_recorded(array: np.ndarray) -> None:
    """Take back `mark_unrecorded`: the owner of `array`'s memory gets the history now."""
    mutations.unrecorded.pop(id(_buffer(array)), None)


def is_unrecorded(array: np.ndarray) -> bool:
    """Whether a recorded value was written into `array`'s memory through another: its gradient would be lost."""
    entry = mutations.unrecorded.get(id(_buffer(array)))
    return entry is not None and entry[1]() is not array  # what was written into, detached, is a constant as it should


def last_mutation(array: np.ndarray) -> int:
    """The number of the last in-place change to `array`'s memory, 0 if there was none."""
    entry = mutations.log.get(id(_buffer(array)))
    return 0 if entry is None else entry[0]


def _check_unchanged(node: Node, create_graph: bool) -> None:
    """Refuse to run `node`'s rules on values that changed since it saved them."""
    assert node.saved is not None
    used = node.plan.needs if create_graph else node.plan.asked
    for name, value in zip(node.plan.names, node.saved, strict=True):
        if name not in used:
            continue
        for array in value if type(value) is tuple else (value,):
            if isinstance(array, np.ndarray) and last_mutation(array) > node.number:
                what = "its output" if name == "y" else f"its argument '{name}'"
                raise RuntimeError(
                    f"{node.op.name}: backward needs {what} (shape {array.shape}), which was changed by an in-place "
                    f"operation after the forward pass saved it, so the gradient would be wrong. Use the out-of-place "
                    f"form (x = x + 1 instead of x += 1), or change it after backward(){_origin(node)}"
                )


def _check_not_freed(node: Node) -> None:
    if node.saved is None and node.plan.needs:
        raise RuntimeError(
            f"{node.op.name}: trying to go backward through this node a second time, but the values that it saved "
            f"(output shape {node.shape}) were freed by the first backward pass. Pass retain_graph=True to the first "
            f"one, or run the forward pass again: often a tensor computed once, before the training loop, is used "
            f"inside it{_origin(node)}"
        )


def _origin(node: Node) -> str:
    """Where the user's program made `node`, if an observer kept that (anomaly mode does)."""
    for observer in observers:
        line = observer.line_of(node)
        if line:
            return f". The operation was called at {line}"
    return ""


# Backward


def walk(roots: Iterable[Any]) -> list[Node]:
    """Every node reachable from `roots` (nodes; anything else is skipped), oldest first. Iterative and linear."""
    found = {root for root in roots if type(root) is Node}
    stack = list(found)
    while stack:
        for edge in stack.pop():
            if type(edge) is Node and edge not in found:
                found.add(edge)
                stack.append(edge)
    return sorted(found, key=lambda node: node.number)


def _leading_to(targets: set[Any], roots: Iterable[Any]) -> set[Node]:
    """The nodes below `roots` from which some target can be reached by going on backward."""
    needed: set[Node] = set()
    for node in walk(roots):  # oldest first: a node's operands are settled before it
        if any(edge is not None and (edge in targets or edge in needed) for edge in node):
            needed.add(node)
    return needed


def fit(contribution: Any, shape: tuple[int, ...], dtype: np.dtype[Any], op: Any) -> Any:
    """Bring a rule's result to its operand's shape and dtype: the adjoint of broadcasting is summing.

    The only place where shapes and dtypes of operands are restored; no rule mentions either.
    """
    if contribution.shape != shape:
        extra = len(contribution.shape) - len(shape)
        kept = tuple(contribution.shape)[max(extra, 0) :]
        if extra < 0 or any(size not in (1, total) for size, total in zip(shape, kept, strict=True)):
            raise RuntimeError(
                f"{op.name}: its backward returned a gradient of shape {tuple(contribution.shape)} for an operand of "
                f"shape {shape}; a gradient has the shape of its operand, or one that broadcasting could make of it"
            )
        if isinstance(contribution, (np.ndarray, np.generic)):
            axes = (*range(extra), *(i + extra for i, size in enumerate(shape) if size == 1 and kept[i] != 1))
            contribution = add_up(contribution, axes, True).reshape(shape)
        else:
            contribution = contribution.sum_to_size(shape)
    if isinstance(contribution, (np.ndarray, np.generic)):
        return contribution if contribution.dtype is dtype else contribution.astype(dtype)
    return contribution if contribution.array.dtype is dtype else contribution.to(dtype)


def run_backward(
    roots: list[tuple[Any, Any]],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    targets: set[Any] | None = None,
    rules: Callable[[Node], Callable[..., Any] | None] | None = None,
) -> dict[Any, Any]:
    """Propagate cotangents from `roots`, pairs (edge, cotangent), and return what arrived.

    Returns {leaf: gradient} for every leaf reached; with `targets` (nodes or leaves), only {target: gradient}, and only
    rules on a path to a target run. Gradients are arrays that nobody else refers to; with `create_graph` cotangents are
    Tensors and what the rules compute is recorded. `rules(node)` may return a function that runs instead of
    `node.plan.pull` (called with the cotangent and the node), or None: that is how one pass uses a different rule.
    """
    before = recording.set(create_graph)  # under create_graph what the rules compute is recorded in its turn
    try:
        return _propagate(roots, retain_graph, create_graph, targets, rules)
    finally:
        recording.reset(before)


def _propagate(
    roots: list[tuple[Any, Any]],
    retain_graph: bool,
    create_graph: bool,
    targets: set[Any] | None,
    rules: Callable[[Node], Callable[..., Any] | None] | None,
) -> dict[Any, Any]:
    needed = None if targets is None else _leading_to(targets, [edge for edge, _ in roots])
    arrived: dict[Any, Any] = {}  # leaves and targets: their gradients so far
    pending: dict[Node, Any] = {}  # nodes whose users have not all run: the cotangent so far
    owned: set[Node] = set()  # pending nodes whose cotangent is a sum that this pass allocated: added to in place
    heap: list[tuple[int, Node]] = []  # the pending nodes by age, but for
    unsorted: list[Node] = []  # those that came last. In a chain one node is pending at a time, and needs neither
    # The loop body serves the roots too: they are the edges of a virtual newest node.
    op, g, ours = None, None, False
    saved: Any = None
    edges: Iterable[Any]
    contributions: Iterable[Any]
    edges, contributions = zip(*roots, strict=True) if roots else ((), ())
    while True:
        for edge, contribution in zip(edges, contributions, strict=True):
            if edge is None or contribution is None:
                continue
            if type(edge) is Node:
                if needed is not None and edge not in needed and edge not in targets:  # type: ignore[operator]
                    continue
                if create_graph or contribution.shape != edge.shape or contribution.dtype is not edge.dtype:
                    contribution = fit(contribution, edge.shape, edge.dtype, op)
                if edge not in pending:
                    if pending:
                        unsorted.append(edge)
                    pending[edge] = contribution
                elif edge in owned:
                    pending[edge] += contribution
                else:
                    pending[edge] = total = pending[edge] + contribution
                    if type(total) is np.ndarray:
                        owned.add(edge)
            elif targets is None or edge in targets:
                array = edge.array
                if create_graph or contribution.shape != array.shape or contribution.dtype is not array.dtype:
                    contribution = fit(contribution, array.shape, array.dtype, op)
                if edge not in arrived:
                    # What one of our rules just allocated becomes the leaf's gradient as it is. Not so the incoming
                    # cotangent (the user's own, at the roots), a view, a saved value, or what another's rule returned.
                    fresh = create_graph or (
                        ours
                        and contribution is not g
                        and type(contribution) is np.ndarray
                        and type(contribution.base) is not np.ndarray
                    )
                    for value in saved or ():  # by identity: `in` would compare elements
                        if value is contribution:
                            fresh = False
                    arrived[edge] = contribution if fresh else np.array(contribution)
                elif create_graph:
                    arrived[edge] = arrived[edge] + contribution
                else:
                    total = arrived[edge]
                    total += contribution
        if len(pending) == 1:
            node, g = pending.popitem()
            if heap:
                heap.clear()
        elif pending:
            for newcomer in unsorted if heap else pending:
                heappush(heap, (-newcomer.number, newcomer))
            unsorted.clear()
            node = heappop(heap)[1]
            g = pending.pop(node)
        else:
            return arrived
        if owned:
            owned.discard(node)
        if node.watch is not None:
            g = node.watch.see(g)
        if needed is not None:
            if node in targets:  # type: ignore[operator]
                arrived[node] = g if create_graph else np.array(g)
            if node not in needed:
                edges = contributions = ()
                continue
        plan, saved, edges = node.plan, node.saved, node
        op = plan.op
        ours = not op.may_alias
        if saved is None:
            _check_not_freed(node)
        elif node.number < mutations.latest:
            _check_unchanged(node, create_graph)
        if rules is not None and (override := rules(node)) is not None:
            contributions = override(g, node)
        elif create_graph:
            contributions = plan.pull(g, plan.tensors(node))
        else:
            contributions = plan.pull(g, saved)
        if plan.holds and not retain_graph:
            node.saved = None
        if observers:
            for observer in observers:
                observer.backward(node, g, contributions)
