"""Modules that hold other modules: in a row that runs (Sequential), in a list, in a dict."""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinygrad_lab.nn.module import Module, check_module, indented

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Row(Module):
    """What Sequential and ModuleList share: children in order, reached by position."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _fill(self, modules: Mapping[str, Module]) -> None:
        """Make these the children, in this order. Nothing changes if one of them is no Module."""
        for name, module in modules.items():
            check_module(name, module)
        for name in tuple(self._modules):
            delattr(self, name)
        for name, module in modules.items():
            self.add_module(name, module)

    def _renumber(self, modules: Iterable[Module]) -> None:
        self._fill({str(i): module for i, module in enumerate(modules)})

    def _name_at(self, index: Any) -> str:
        """The name of the child at a position, which may count from the end. IndexError if there is none."""
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range: this {type(self).__name__} has {len(self)} modules")
        return tuple(self._modules)[position]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def append(self, module: Module) -> Any:
        """Add a module at the end. Returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end. Returns self."""
        for module in tuple(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before position `index`; those behind it move on by one. Returns self."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}, this {type(self).__name__} has {len(self)} modules")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take the module at a position out and return it."""
        module = self._modules[self._name_at(index)]
        del self[index]
        return module

    def __delitem__(self, index: int | slice) -> None:
        gone = tuple(self._modules)[index] if isinstance(index, slice) else (self._name_at(index),)
        self._renumber([module for name, module in self._modules.items() if name not in gone])

    def __getitem__(self, index: int | slice) -> Any:
        """The module at a position, or for a slice a new container with those modules."""
        if not isinstance(index, slice):
            return self._modules[self._name_at(index)]
        part = type(self)()
        if isinstance(self, Sequential):
            part._fill(dict(tuple(self._modules.items())[index]))
        else:
            part.extend(tuple(self)[index])
        return part


class Sequential(_Row):
    """Modules run one after the other, each on the output of the one before.

    `Sequential(a, b)`, or `Sequential(OrderedDict(first=a, second=b))` for names of one's own.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html

    >>> from tinygrad_lab import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))[1]
    Linear(in_features=3, out_features=1, bias=True)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], OrderedDict):
            self._fill(modules[0])
        else:
            self._renumber(modules)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def __add__(self, other: Any) -> Any:
        """A new Sequential that runs this one's modules, then `other`'s."""
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)


class ModuleList(_Row):
    """A list of modules that are registered, so that their parameters are trained and saved.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "Module [ModuleList] has no forward function of its own: call its modules in a loop, or use a Sequential"
        )

    def __repr__(self) -> str:
        """As PyTorch prints it: equal neighbours on one line, "(0-2): 3 x ReLU()"."""
        lines = []
        for text, group in itertools.groupby(enumerate(map(repr, self)), key=lambda entry: entry[1]):
            positions = [position for position, _ in group]
            if len(positions) == 1:
                lines.append(f"({positions[0]}): {text}")
            else:
                lines.append(f"({positions[0]}-{positions[-1]}): {len(positions)} x {text}")
        return f"{type(self).__name__}({indented(lines)})"


class ModuleDict(Module):
    """A dict of modules that are registered. Keys are strings without a point, and no names of methods.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleDict.html
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "Module [ModuleDict] has no forward function of its own: call the modules in it by key"
        )

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        """The names, in order."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules, in order."""
        return self._modules.values()

    def items(self) -> Any:
        """(name, module) pairs, in order."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in tuple(self):
            del self[key]

    def update(self, modules: Any) -> None:
        """Add or replace modules from a mapping or from (name, module) pairs."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"ModuleDict.update should be called with an iterable of key/value pairs, but got "
                f"{type(modules).__name__}"
            )
        for key, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self[key] = module
