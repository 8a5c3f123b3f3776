"""The dicts in which a module keeps its parameters, buffers and children, each a mirror of the module's attributes.

What this file lets you do: write to such a dict, as programs do that replace layers (`model._modules[name] = other`),
and have the module use what was written. It must not know Module: a module is here any object with a `__dict__`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any
from weakref import ref

__all__ = ["Registered"]


class Registered(dict[str, Any]):
    """The values of one kind by name: what is written to it, or deleted, changes the module's attribute too.

    Copies are plain dicts, of which a copied module makes its own (`Module.__setstate__`).
    """

    def __init__(self, module: Any, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.module = ref(module)  # weak: models are freed when nobody uses them, without the garbage collector

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        if (module := self.module()) is not None:
            module.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str, *default: Any) -> Any:
        if name in self and (module := self.module()) is not None:
            module.__dict__.pop(name, None)
        return super().pop(name, *default)

    # Those of dict would pass the methods above by.
    popitem, clear = MutableMapping.popitem, MutableMapping.clear
    update, setdefault = MutableMapping.update, MutableMapping.setdefault

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (), None, None, iter(self.items())
