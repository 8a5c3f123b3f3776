"""The leaves of a picture: parameters, data, labels and numbers, one node for each, whatever uses it.

What this file lets you do: get the PictureNode of a leaf Tensor or of a constant operand, made when it is first met
with the kind and the name that fit it, and bring the gradients of leaves up to date.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinygrad_lab.nn.parameter import Parameter
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.picture import Picture, PictureNode
from tinygrad_lab.viz.reading.naming import Known, Names, memory_of

__all__ = ["Leaves"]

_TARGET_NAME = re.compile(r"(?i)(y|t|ys)(_?true|_?train|_?test|_?batch|\d*)|.*(target|label|truth)s?")
_NUMBERS = {"value", "min", "max"}  # arguments that are mostly numbers, as are those of ops that promote
_BOOKKEEPING = {"mask", "condition", "which"}  # arguments that hold what the library or the program computed aside


def _counts(array: np.ndarray) -> bool:
    """Whether `array` is arange(n)."""
    return array.dtype.kind in "iu" and array.ndim == 1 and np.array_equal(array, np.arange(array.size))


def _scales_and_drops(array: np.ndarray, argument: str, op: str) -> bool:
    """Whether `array` is what dropout multiplies by: 0 here, one number above 1 there."""
    if op != "mul" or argument != "other" or array.dtype.kind != "f" or array.size < 2:
        return False
    scale = array.max()
    return bool(scale > 1 and ((array == 0) | (array == scale)).all() and (array == 0).any())


class Leaves:
    """Makes and finds the leaves of `picture`.

    names   what is called how
    values  {graph node: output} as far as known, to tell a detached intermediate from data
    tensors the leaf Tensors of the graph, to tell a detached one from data
    keep    whether nodes hold values
    """

    def __init__(
        self, picture: Picture, names: Names, values: dict[Any, np.ndarray], tensors: list[Tensor], keep: bool
    ) -> None:
        self._picture, self._names, self._keep = picture, names, keep
        self._producers = {memory_of(array): node for node, array in values.items() if array.size}
        self._held = list(values.values())  # no other array may get their memory meanwhile
        self._leaf_at = {memory_of(tensor.array): tensor for tensor in reversed(tensors)}
        self._of: dict[Any, PictureNode] = {}
        self._tensors: list[tuple[PictureNode, Tensor]] = []
        self._counts: dict[str, int] = {}

    def drawn(self) -> list[Tensor]:
        """The leaf Tensors that have a node."""
        return [tensor for _, tensor in self._tensors]

    def producer(self, array: np.ndarray) -> Any:
        """The graph node whose output `array` is, or None."""
        return self._producers.get(memory_of(array)) if array.size else None

    def of_tensor(self, tensor: Tensor) -> PictureNode:
        """The node of a leaf Tensor."""
        found = self._of.get(tensor)
        if found is None:
            known = self._names.of(tensor)
            is_parameter = tensor.requires_grad or isinstance(tensor, Parameter)
            kind = "parameter" if is_parameter else self._kind(tensor.array, "", "", known)
            found = self._add(kind, tensor.array, known)
            found.requires_grad = tensor.requires_grad
            found.frozen = is_parameter and not tensor.requires_grad
            found.held = isinstance(tensor, Parameter)
            self._tensors.append((found, tensor))
            self._of[tensor] = found
        return found

    def of_constant(self, value: Any, argument: str, op: str, call: str | None) -> PictureNode:
        """The node of an operand that the graph holds as an array or a number; `call` is where it is used."""
        if not isinstance(value, np.ndarray):
            return self._add("constant", np.asarray(value), None, call=call, name=f"{value:.6g}")
        self._held.append(value)
        key = memory_of(value)
        if key in self._leaf_at:
            return self.of_tensor(self._leaf_at[key])
        found = self._of.get(key)
        if found is None:
            known = self._names.of(value)
            if known is not None and isinstance(known.tensor, Tensor) and known.role == "parameter":
                return self.of_tensor(known.tensor)
            kind = self._kind(value, argument, op, known)
            aside = argument if argument in _BOOKKEEPING else "mask" if _scales_and_drops(value, argument, op) else ""
            inside = call if kind == "constant" else None
            found = self._of[key] = self._add(kind, value, known, call=inside, name=aside)
        return found

    def forgotten(self, argument: str, op: Any, call: str | None) -> PictureNode:
        """A node for an operand of which only its existence is known: a backward pass freed the rest."""
        kind, name = ("target" if argument == "target" else "input"), ""
        if argument in _BOOKKEEPING or argument in op.promotes or argument in _NUMBERS:
            kind, name = "constant", argument if argument in _BOOKKEEPING else "?"
        node = self._add(kind, None, None, call=call if kind == "constant" else None, name=name)
        node.no_value = "value freed"
        return node

    @staticmethod
    def _kind(array: np.ndarray, argument: str, op: str, known: Known | None) -> str:
        if known is not None and known.role:
            return "constant"  # a buffer
        if array.ndim == 0 or argument in _BOOKKEEPING or array.dtype == np.bool_:
            return "constant"
        if known is None and _scales_and_drops(array, argument, op):
            return "constant"
        if argument == "target" or (known is not None and _TARGET_NAME.fullmatch(known.names[0])):
            return "target"
        if argument == "index" and array.dtype.kind in "iu":
            return "constant" if _counts(array) else "target"
        return "input" if array.size > 1 else "constant"

    def _add(
        self, kind: str, array: np.ndarray | None, known: Known | None, call: str | None = None, name: str = ""
    ) -> PictureNode:
        names = known.names if known is not None else [name or self._fresh_name(kind, array)]
        node = PictureNode(
            id=f"n{len(self._picture.nodes)}",
            kind=kind,
            op="",
            symbol="",
            name=names[0],
            shape=() if array is None else array.shape,
            dtype="" if array is None else array.dtype.name,
            requires_grad=False,
            call=call,
            shared=kind == "parameter" and len(names) > 1,
            value=np.array(array) if self._keep and array is not None else None,
            no_gradient="needs no grad",
        )
        if node.shared:
            node.note = "also " + ", ".join(names[1:])
        self._picture.nodes.append(node)
        return node

    def _fresh_name(self, kind: str, array: np.ndarray | None) -> str:
        if kind == "constant" and array is not None and array.size == 1:
            return f"{array.item():.6g}"
        if kind == "constant" and array is not None and _counts(array):
            return f"arange({array.size})"
        self._counts[kind] = count = self._counts.get(kind, 0) + 1
        return kind if count == 1 else f"{kind}{count}"

    def forget(self) -> None:
        """Let go of everything but what `refresh` needs."""
        self._producers, self._held, self._of, self._leaf_at = {}, [], {}, {}
        self._names = Names()

    def refresh(self) -> bool:
        """Read `.grad` of all leaves; whether any has one. What was read once stays when `.grad` is cleared."""
        arrived = False
        for node, tensor in self._tensors:
            if tensor.grad is not None:
                node.gradient, arrived = tensor.grad.array.copy(), True
            if tensor.requires_grad:
                node.no_gradient = "grad not computed"
        return arrived
