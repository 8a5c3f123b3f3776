"""What tensors are called: paths in a model, and names that the user gave.

What this file lets you do: ask for the names of a leaf, of a node or of an array (a constant operand is known to the
graph as an array only: it is recognised by its memory). It must not know what a picture is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lab.tensor import Tensor, edge_of

__all__ = ["Known", "Names", "memory_of"]


def memory_of(array: np.ndarray) -> Any:
    """A key that is equal for two array objects that are the same numbers in the same memory."""
    if array.size == 0:
        return id(array)
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


class Known:
    """A tensor that has names. `role` is "parameter" or "buffer" if a model has it under them."""

    def __init__(self, tensor: Any, role: str) -> None:
        self.tensor, self.role = tensor, role
        self.names: list[str] = []


class Names:
    """Everything that has a name. Of several sources the first to name a tensor is heard.

    params  a Module, a dict or (name, tensor) pairs, or a list of tensors
    models  (prefix, Module) of what was called: names for what `params` does not name
    names   {name: tensor or array}, for example locals(): other entries are passed over
    """

    def __init__(
        self, params: Any = None, models: Iterable[tuple[str, Any]] = (), names: Mapping[str, Any] | None = None
    ) -> None:
        self._of_edge: dict[Any, Known] = {}
        self._of_memory: dict[Any, Known] = {}
        self._add(_named(params), "parameter")
        for prefix, model in (("", params), *models):
            if hasattr(model, "named_parameters"):
                self._add(model.named_parameters(prefix, remove_duplicate=False), "parameter")
                self._add(model.named_buffers(prefix), "buffer")
        for name, tensor in (names or {}).items():
            if isinstance(tensor, (Tensor, np.ndarray)) and not str(name).startswith("_"):
                self._add([(str(name), tensor)], "")

    def _add(self, pairs: Iterable[tuple[str, Any]], role: str) -> None:
        fresh: list[Known] = []
        for name, tensor in pairs:
            is_tensor = isinstance(tensor, Tensor)
            known = self._of_edge.get(edge_of(tensor)) if is_tensor else self._of_memory.get(memory_of(tensor))
            if known is None:
                known = Known(tensor, role)
                fresh.append(known)
                if is_tensor:
                    self._of_edge[edge_of(tensor)] = known
                if not is_tensor or tensor.node is None:
                    self._of_memory.setdefault(memory_of(tensor.array if is_tensor else tensor), known)
            if known in fresh:
                known.names.append(name)

    def of(self, source: Any) -> Known | None:
        """What is known of a leaf Tensor, a node, or the array of a constant operand."""
        return self._of_memory.get(memory_of(source)) if isinstance(source, np.ndarray) else self._of_edge.get(source)

    def parameters(self) -> list[Known]:
        """Every tensor that `params` or a model has under a name."""
        return [known for known in self._of_edge.values() if known.role == "parameter" and known.tensor.node is None]

    def computed(self) -> Iterator[tuple[Any, np.ndarray]]:
        """(node, value) of every named tensor that an op made."""
        return ((edge, known.tensor.array) for edge, known in self._of_edge.items() if edge is not known.tensor)


def _named(params: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of whatever but a Module may be given as `params`. TypeError for anything else."""
    if params is None or hasattr(params, "named_parameters"):
        return
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(
            f"params must be a Module, a dict of tensors, or a list of them, got {type(params).__name__}: "
            f"write params={{'W': W}}"
        )
    entries = params.items() if isinstance(params, Mapping) else params
    for i, entry in enumerate(entries):
        name, tensor = entry if isinstance(entry, tuple) and len(entry) == 2 else (f"params[{i}]", entry)
        if not isinstance(tensor, Tensor):
            raise TypeError(f"params must hold tensors, '{name}' is {type(tensor).__name__}")
        yield str(name), tensor
