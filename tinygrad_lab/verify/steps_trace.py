"""Watching a function run line by line: which line gave which variable which value, and from which variables.

What this file lets you do: `watch(function, *args)` runs a function and returns its result with a `Version` of every
array that every line made, also by writing into an array, in loops, or into a dict or list. It must not know gradients.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.tensor import Tensor

__all__ = ["Source", "Version", "versions_of_locals", "watch"]


@dataclass(eq=False)
class Version:
    """One value of one variable: made by `line` (0: an argument) from the versions in `reads`."""

    name: str
    value: np.ndarray
    line: int
    reads: list[Version] = field(default_factory=list)
    plain_copy: bool = False


class Source:
    """The statements of a function by line number of its file."""

    def __init__(self, code: Any) -> None:
        self.file, self.first = code.co_filename, code.co_firstlineno
        try:
            lines, first = inspect.getsourcelines(code)
        except (OSError, TypeError):
            lines, first = linecache.getlines(self.file)[self.first - 1 :], self.first
        self.statements: list[ast.stmt] = []
        self.lines = {first + i: line.rstrip("\n") for i, line in enumerate(lines)}
        try:
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except SyntaxError:
            return
        ast.increment_lineno(tree, first - 1)
        simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.For)
        self.statements = [node for node in ast.walk(tree) if isinstance(node, simple)]

    def statement(self, line: int) -> ast.stmt | None:
        """The innermost simple statement that covers a line."""
        covering = [s for s in self.statements if s.lineno <= line <= (s.end_lineno or s.lineno)]
        return max(covering, key=lambda s: s.lineno, default=None)

    def text(self, line: int) -> str:
        statement = self.statement(line)
        if statement is None or isinstance(statement, ast.For):
            return self.lines.get(line, "").strip()
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        return " ".join(self.lines.get(i, "").strip() for i in lines)

    def in_place(self) -> list[tuple[int, str]]:
        """(line, variable) of statements that change an array in place; "" for a call that may."""
        found = []
        for statement in self.statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                found.append((statement.lineno, ""))
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            for target in targets:
                if (
                    isinstance(target, ast.Subscript)
                    and isinstance(target.value, ast.Name)
                    and not isinstance(target.slice, ast.Constant)
                ):
                    found.append((statement.lineno, target.value.id))
        return found

    def start(self, line: int) -> int:
        statement = self.statement(line)
        return line if statement is None or isinstance(statement, ast.For) else statement.lineno

    def reads(self, line: int) -> tuple[set[str], bool]:
        """(names that the statement reads, whether it does nothing but copy one)."""
        statement = self.statement(line)
        if statement is None:
            return set(), False
        parts: list[ast.AST] = [statement]
        if isinstance(statement, ast.For):
            parts = [statement.iter]
        names = {name for part in parts for name in _names(part)}
        if isinstance(statement, ast.AugAssign):
            names |= set(_names(statement.target, stored=True))
        if isinstance(statement, ast.Assign):  # x[i] = ... keeps the rest of x, if x is an array
            names |= {
                t.value.id + "!"
                for t in statement.targets
                if isinstance(t, ast.Subscript) and isinstance(t.value, ast.Name)
            }
        value = getattr(statement, "value", None)
        if (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr in ("copy", "reshape", "ravel")
        ):
            value = value.func.value
        return names, isinstance(value, (ast.Name, ast.Subscript)) and not isinstance(statement, ast.AugAssign)


def _names(node: ast.AST, stored: bool = False) -> Iterator[str]:
    """The variables that an expression reads; items of dicts and lists with a constant key as `name[key]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
        if stored or isinstance(node.ctx, ast.Load):
            yield f"{node.value.id}[{node.slice.value!r}]"
            yield node.value.id + "!"
        return
    if isinstance(node, ast.Name) and (stored or isinstance(node.ctx, ast.Load)):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _names(child, stored and not isinstance(child, ast.expr_context))


def is_read(variable: str, names: set[str]) -> bool:
    """Whether a statement that reads `names` reads `variable`: "x" stands for x and all items of x, "x!" for x
    itself."""
    return variable in names or variable + "!" in names or variable.split("[")[0] in names


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, (np.ndarray, np.generic, float, int)) and not isinstance(value, bool):
        array = np.asarray(value)
        return array if array.dtype.kind in "fbiu" and array.size <= 5_000_000 else None
    return None


def flatten(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays and numbers by name; those inside of dicts, lists and tuples as `name[key]`."""
    found: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        array = _array(value)
        if array is not None:
            found[name] = array
        elif isinstance(value, Mapping):
            found |= {f"{name}[{key!r}]": a for key, v in list(value.items())[:200] if (a := _array(v)) is not None}
        elif isinstance(value, (list, tuple)):
            found |= {f"{name}[{i}]": a for i, v in enumerate(value[:200]) if (a := _array(v)) is not None}
    return found


class _Watch:
    def __init__(self, code: Any) -> None:
        self.code, self.source = code, Source(code)
        self.current: dict[str, Version] = {}
        self.versions: list[Version] = []
        self.line = 0
        self.result: Any = None

    def note(self, variables: Mapping[str, Any]) -> None:
        """What changed since the last line was begun is that line's work."""
        names, plain = self.source.reads(self.line) if self.line else (set(), False)
        reads = [v for key, v in self.current.items() if is_read(key, names)]
        made = []
        for name, array in flatten(variables).items():
            before = self.current.get(name)
            if (
                before is not None
                and before.value.shape == array.shape
                and np.array_equal(before.value, array, equal_nan=array.dtype.kind == "f")
            ):
                continue
            version = Version(
                name, np.array(array), self.source.start(self.line) if self.line else 0, list(reads), plain
            )
            made.append(version)
        for version in made:
            self.current[version.name] = version
            self.versions.append(version)

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is not self.code:
            return None
        self.note(frame.f_locals)
        if event == "line":
            self.line = frame.f_lineno
        elif event == "return":
            names, _ = self.source.reads(frame.f_lineno)
            reads = [v for key, v in self.current.items() if is_read(key, names)]
            for name, array in flatten({"returned": argument}).items():
                self.versions.append(Version(name, np.array(array), self.source.start(frame.f_lineno), reads))
        return self.trace


def watch(function: Callable[..., Any], *args: Any) -> tuple[Any, list[Version], Source]:
    """(result, versions in the order in which they were made, the function's source). Any tracer is put back
    afterwards."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"check_steps: {function!r} is no Python function whose lines can be followed")
    watching = _Watch(code)
    before = sys.gettrace()
    sys.settrace(watching.trace)
    try:
        result = function(*args)
    finally:
        sys.settrace(before)
    return result, watching.versions, watching.source


def versions_of_locals(variables: Mapping[str, Any], source: Source | None) -> list[Version]:
    """Versions for what is in `locals()` at the end: the last value of each variable, by the last line that assigns
    it."""
    arrays = flatten(variables)
    if source is None:
        return [Version(name, np.array(array), 0) for name, array in arrays.items()]
    assigned: dict[str, list[int]] = {}
    for statement in source.statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            for node in ast.walk(target) if target is not None else ():
                if isinstance(node, ast.Name):
                    assigned.setdefault(node.id, []).append(statement.lineno)
    made = []
    for name, array in arrays.items():
        lines = assigned.get(name.split("[")[0], [])
        made.append(Version(name, np.array(array), max(lines, default=0)))
    made.sort(key=lambda version: version.line)
    for version in made:
        names: set[str] = set()
        for line in assigned.get(version.name.split("[")[0], []):
            read, plain = source.reads(line)
            names |= read
            version.plain_copy = plain
        version.reads = [v for v in made if is_read(v.name, names) and v is not version and v.line <= version.line]
    return made
