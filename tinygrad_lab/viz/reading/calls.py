"""Which nodes which module calls made, read from the marks that `Module.__call__` leaves on a graph.

What this file lets you do: turn those marks into the nested `ModuleCall`s of a picture, and find the innermost call of
every node. Nodes are numbered as they are made, so a call is a range of numbers; two ranges are nested or apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from tinygrad_lab import graph
from tinygrad_lab.viz.picture import ModuleCall

__all__ = ["Calls"]


class _Span:
    """One call: it made the nodes numbered above `first` up to `last`. `module` is None if it has died since."""

    def __init__(self, first: int, last: int, reference: Any, kind: type) -> None:
        self.first, self.last = first, last
        self.reference, self.module = reference, reference()  # one module has one weak reference, also when it is dead
        self.call = ModuleCall("", "", kind.__name__)
        self.parent: _Span | None = None

    def is_outermost(self) -> bool:
        """Whether it ran in no module that still lives."""
        return self.parent is None or (self.parent.module is None and self.parent.is_outermost())


class Calls:
    """The module calls that made `nodes` (oldest first).

    model      the Module whose paths are used; default: the only one with parameters among those that were called
    names      {name: Module}, other entries are passed over: prefixes of the paths in the other outermost modules
    calls      ModuleCalls, each after the one it ran in
    innermost  {node: id of its innermost call}, without the nodes that no module made
    Of modules that have died since only the class is known; their paths are its name, with a number where it is taken.
    models     (prefix of its paths, Module) of the outermost modules; "" for `model`
    """

    def __init__(self, nodes: list[graph.Node], model: Any = None, names: Mapping[str, Any] | None = None) -> None:
        spans: dict[int, _Span] = {}
        for node in nodes:
            mark = node.call
            while mark is not None:
                first, reference, kind, mark = mark
                span = spans.setdefault(first, _Span(first, node.number, reference, kind))
                span.last = node.number
        ordered = sorted(spans.values(), key=lambda span: span.first)
        inside = _nest(ordered, nodes)
        variables = {
            id(module): str(name) for name, module in (names or {}).items() if hasattr(module, "named_modules")
        }
        self.models = _models(ordered, model, variables)
        self.calls = _named(ordered, self.models)
        self.innermost = {node: span.call.id for node, span in inside.items()}


def _nest(ordered: list[_Span], nodes: list[graph.Node]) -> dict[graph.Node, _Span]:
    """Give every span its parent, and return the innermost span of every node."""
    inside: dict[graph.Node, _Span] = {}
    stack: list[_Span] = []
    following = 0
    for node in nodes:
        while following < len(ordered) and ordered[following].first < node.number:
            span = ordered[following]
            following += 1
            while stack and stack[-1].last < span.first:
                stack.pop()
            span.parent = stack[-1] if stack else None
            for outer in stack:  # a call that began inside another ran inside it, also if the outer one returned first
                outer.last = max(outer.last, span.last)
            stack.append(span)
        while stack and stack[-1].last < node.number:
            stack.pop()
        if stack:
            inside[node] = stack[-1]
    return inside


def _models(ordered: list[_Span], model: Any, variables: dict[int, str]) -> list[tuple[str, Any]]:
    """The outermost modules with the prefixes of their paths: the name of a variable, else of the class."""
    outermost = _distinct(span.module for span in ordered if span.module is not None and span.is_outermost())
    parts = {part for module in outermost for part in module.modules() if part is not module}
    roots = [module for module in outermost if module not in parts]
    if not hasattr(model, "named_modules"):
        trained = [module for module in roots if any(True for _ in module.parameters())]
        model = trained[0] if len(trained) == 1 else None
    named = [] if model is None else [("", model)]
    within = set() if model is None else set(model.modules())
    met: dict[str, int] = {}
    for module in roots:
        if module not in within:
            name = variables.get(id(module)) or type(module).__name__
            met[name] = met.get(name, 0) + 1
            named.append((name if met[name] == 1 else f"{name}_{met[name]}", module))
    return named


def _named(ordered: list[_Span], models: list[tuple[str, Any]]) -> list[ModuleCall]:
    """The calls of the spans, with ids, parents, paths and sizes."""
    paths: dict[Any, str] = {}
    for prefix, model in models:
        for path, module in model.named_modules(prefix=prefix):
            paths.setdefault(module, path)
    taken = {path or type(module).__name__ for module, path in paths.items()}
    sizes: dict[Any, int] = {}
    for number, span in enumerate(ordered):
        call, module = span.call, span.module
        call.id = f"c{number}"
        call.parent = None if span.parent is None else span.parent.call.id
        if module is None:
            key = id(span.reference)
            if key not in paths:
                paths[key] = _untaken(call.type, taken)
                taken.add(paths[key])
            call.path, call.parameters = paths[key], None
            continue
        call.path = paths.get(module) or call.type
        if module not in sizes:
            sizes[module] = sum(parameter.numel() for parameter in module.parameters())
        call.parameters = sizes[module]
    return [span.call for span in ordered]


def _untaken(name: str, taken: set[str]) -> str:
    return next(text for i in count(1) if (text := name if i == 1 else f"{name}_{i}") not in taken)


def _distinct(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
