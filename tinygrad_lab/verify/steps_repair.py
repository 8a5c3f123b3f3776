"""Which one line, put right, would put every gradient right: found by running the function again with that line
corrected.

What this file lets you do: `Rerun(function, params)` runs a function with the result of one line replaced, and
`repairs` lists the lines for which some fact of the graph, put in the place of what the line computed, makes all
gradients correct. A line that runs several times (a loop over rows or time steps) is given a sequence of facts.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.verify.facts import Fact, Facts
from tinygrad_lab.verify.mistakes import ArrayView
from tinygrad_lab.verify.mistakes_activation import activation_input, activations
from tinygrad_lab.verify.problem import Problem, hand_arrays
from tinygrad_lab.verify.steps_trace import Source, is_read

__all__ = ["Repair", "Rerun", "repairs"]

RUNS = 4000  # of the student's function, at most


@dataclass
class Repair:
    """`variable`, computed in `line`, should be `what`; `plain` if that is the loss's own value or gradient, not a
    multiple."""

    line: int
    variable: str
    what: str
    plain: bool
    array: np.ndarray
    odd: int = 0  # how many lines of the repaired run still compute nothing that the graph knows


class _Instrument(ast.NodeTransformer):
    """Adds `x = __fix__(line, "x", x)` after every statement that makes or changes x."""

    def __init__(self, made: dict[int, list[str]]) -> None:
        self.made = made

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name, body in ast.iter_fields(node):
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                following: list[ast.stmt] = []
                for statement in body:
                    following.append(statement)
                    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)):
                        for variable in self.made.get(statement.lineno, ()):
                            text = f"{variable} = __fix__({statement.lineno}, {variable!r}, {variable})"
                            following += ast.parse(text).body
                setattr(node, name, following)
        return node


class Rerun:
    """A function of the parameters that can be run again with one line's result replaced. `calls` counts how often
    each ran."""

    def __init__(
        self, function: Callable[..., Any], made: dict[int, list[str]], params: Callable[[], Any], names: list[str]
    ) -> None:
        function = inspect.unwrap(function)
        code = function.__code__
        try:
            lines, first = inspect.getsourcelines(code)
        except OSError:
            lines, first = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :], code.co_firstlineno
        tree = ast.parse(textwrap.dedent("".join(lines)))
        ast.increment_lineno(tree, first - 1)
        definition = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == code.co_name)
        definition.decorator_list = []
        module = ast.Module([definition], [])
        module = ast.fix_missing_locations(_Instrument(made).visit(module))
        closure = inspect.getclosurevars(function)
        namespace = {**function.__globals__, **closure.nonlocals, "__fix__": self._fix}
        exec(compile(module, code.co_filename, "exec"), namespace)
        self.function, self.params, self.names = namespace[definition.name], params, names
        self.calls: dict[tuple[int, str], int] = {}
        self.active: tuple[int, str, list[np.ndarray | None]] | None = None
        self.trail: list[tuple[int, str, Any]] = []
        self.keeping = False
        self.runs = 0

    def _fix(self, line: int, variable: str, value: Any) -> Any:
        key = line, variable
        if self.keeping:
            self.trail.append(
                (line, variable, np.array(value) if isinstance(value, (np.ndarray, float, np.generic)) else value)
            )
        count = self.calls[key] = self.calls.get(key, 0) + 1
        if self.active is None or self.active[:2] != key or count > len(self.active[2]):
            return value
        replaced = self.active[2][count - 1]
        if replaced is None:
            return value
        if self.keeping:
            self.trail[-1] = line, variable, replaced
        return replaced.copy()

    def run(self, active: tuple[int, str, list[np.ndarray | None]] | None = None) -> dict[str, np.ndarray] | None:
        """The gradients by name, with the override `active` (line, variable, one array for each time); None if it
        fails."""
        self.calls, self.active, self.trail = {}, active, []
        self.runs += 1
        try:
            with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                return {
                    k: np.asarray(a, np.float64)
                    for k, a in hand_arrays(self.function(self.params()), self.names)[0].items()
                }
        except Exception:
            return None


@dataclass
class _Line:
    """One line and one variable that it makes (or could have made), from a run of the function as it is."""

    line: int
    variable: str
    values: list[Any]
    does_nothing: bool
    matches: list[Fact]
    starts: bool = False  # zeros, to be added to

    @property
    def vouched(self) -> bool:
        """The graph knows what the line computes, and the line does compute something."""
        return self.starts or (bool(self.matches) and not self.does_nothing)


def repairs(
    problem: Problem, facts: Facts, rerun: Rerun, source: Source, suspects: set[int], own: dict[int, str]
) -> list[Repair]:
    """The repairs that work, for the lines in `suspects`.

    What the graph does not know is replaced by every fact; what it does know only by its neighbours in the graph (a
    bias or a mask left out), unless nothing else helps. `own` names the variable that a statement changes in place:
    if that came out as it should, the line is not suspected of having missed another one.
    """
    rerun.keeping = True
    if rerun.run() is None:
        return []
    n = problem.sizes.get("N", 0)
    if n > 1 and any(count == n for count in rerun.calls.values()):
        facts.add_rows()
    families = list(_families(problem))
    if n > 1 and any(count == n for count in rerun.calls.values()):
        for fact, sequence in families:
            for array in sequence:
                facts.add("part", fact.of, array)
    lines = _lines(facts, rerun.trail, source)
    known = {(entry.line, entry.variable) for entry in lines if entry.matches}
    settled = {entry.line for entry in lines if entry.vouched and entry.variable == own.get(entry.line)}
    found: list[Repair] = []
    for everything in (False, True):
        for entry in lines:
            if entry.line not in suspects or (entry.line in settled and entry.variable != own[entry.line]):
                continue
            works = 0
            for fact, sequence in _candidates(problem, facts, families, entry, everything):
                if rerun.runs > RUNS or works == 3:
                    break
                after = rerun.run((entry.line, entry.variable, sequence))
                if after is None or not all(
                    problem.same(after[n], problem.truth[n], n, 10 * problem.rtol) for n in problem.params
                ):
                    continue
                works += 1
                shown = sequence[0] if len(sequence) == 1 and sequence[0] is not None else np.zeros(0)
                odd = _odd(facts, rerun.trail, source, known)
                found.append(Repair(entry.line, entry.variable, str(fact), fact.kind != "scaled", shown, odd))
        if found:
            break
    return found


def _repeats(line: int, variable: str, value: Any, current: dict[str, Any], source: Source) -> bool:
    """Whether a line's result is that of something it reads, or what its variable was before."""
    names, copies = source.reads(line)
    before = current.get(variable)
    if isinstance(before, np.ndarray) and before.shape == value.shape and np.array_equal(before, value):
        return True
    return any(
        isinstance(other, np.ndarray)
        and other.shape == value.shape
        and is_read(name, names)
        and np.array_equal(other, value)
        for name, other in current.items()
    ) and not (copies and ".copy(" in source.text(line))


def _lines(facts: Facts, trail: list[tuple[int, str, Any]], source: Source) -> list[_Line]:
    found: dict[tuple[int, str], _Line] = {}
    current: dict[str, Any] = {}
    for line, variable, value in trail:
        entry = found.setdefault((line, variable), _Line(line, variable, [], True, []))
        entry.values.append(value)
        entry.starts = entry.starts or (
            "zeros" in source.text(line) and isinstance(value, np.ndarray) and not value.any()
        )
        if isinstance(value, np.ndarray):
            entry.does_nothing &= bool(value.any()) and _repeats(line, variable, value, current, source)
            if len(entry.values) == 1 or entry.matches:
                matched = [fact for fact, _ in facts.match(value)]
                entry.matches = [] if any(fact.kind == "data" for fact in matched) else matched
        else:
            entry.does_nothing = False
        current[variable] = value
    return list(found.values())


def _odd(facts: Facts, trail: list[tuple[int, str, Any]], source: Source, known: set[tuple[int, str]]) -> int:
    """How often a run computes what the graph does not know, or does nothing but repeat what it reads."""
    odd = 0
    current: dict[str, Any] = {}
    for line, variable, value in trail:
        if isinstance(value, np.ndarray) and value.size > 1 and value.dtype.kind in "fb" and value.any():
            odd += _repeats(line, variable, value, current, source) or not facts.match(value)
        elif isinstance(value, np.ndarray) and value.size > 1 and not value.any():
            odd += (line, variable) in known  # it had a meaning before the repair
        current[variable] = value
    return odd


def _candidates(
    problem: Problem, facts: Facts, families: list[tuple[Fact, list[Any]]], entry: _Line, everything: bool
) -> Iterator[tuple[Fact, list[Any]]]:
    """What could stand in the place of a line's values, unscaled facts of its shape first."""
    times, value = len(entry.values), np.asarray(entry.values[0])
    allowed = None if everything or not entry.vouched else facts.neighbours(entry.matches)
    if times > 1:
        for fact, sequence in families:
            if len(sequence) in (times, times - 1):
                padded = [*sequence, *[None] * (times - len(sequence))]
                if everything or not entry.vouched:
                    yield fact, padded
        if times == problem.sizes.get("N"):
            for fact in facts.everything:
                if fact.array.ndim and fact.array.shape[0] == times and (allowed is None or fact in allowed):
                    yield fact, list(fact.array)
        return
    fitting = list(facts.shaped(value.shape)) if value.size > 1 else []
    if allowed is None:
        fitting += [(fact, fact.array) for fact in facts.everything]
    seen: list[np.ndarray] = [value]
    scaled = []
    n = float(problem.sizes.get("N", 1))
    for fact, array in fitting:
        if allowed is not None and fact not in allowed:
            continue
        if any(a.shape == array.shape and np.array_equal(a, array) for a in seen):
            continue
        seen.append(array)
        yield fact, [array]
        if fact.kind in ("gradient", "part") and n > 1 and allowed is None:
            scaled.append((Fact("scaled", fact.of, n * array), [n * array]))
    yield from scaled


def _families(problem: Problem) -> Iterator[tuple[Fact, list[Any]]]:
    """Sequences of facts for a loop: over the steps of a recurrent net in either direction, or sums over rows as
    they grow."""
    recording = problem.recording
    chosen = [step for _, step in activations(recording)]
    if len(chosen) > 1:
        inputs = [activation_input(step)[1] for step in chosen]
        cotangents = recording.truth.cotangents
        for steps, what in ((chosen, "activations"), (inputs, "pre-activations")):
            values = [recording.value(s) for s in steps]
            gradients = [cotangents[s.index] for s in steps]
            for kind, arrays in (("value", values), ("gradient", gradients)):
                if all(a is not None for a in arrays):
                    fact = Fact(kind, f"the {what}", np.zeros(0))
                    yield from ((fact, list(sequence)) for sequence in (arrays, arrays[::-1], arrays[:-1][::-1]))
    n = problem.sizes.get("N", 0)
    for name in problem.params:
        view = ArrayView(problem, name, recording.truth)
        parts = [c for kind, _, c in view.groups if kind == "data"]
        shares = [parts, parts[::-1]] if len(parts) > 1 else []
        if len(view.uses) and n > 1:
            for use, _ in view.uses:
                rows = [row for i in range(n) if (row := view.rows(use, i)) is not None]
                if len(rows) == n:
                    shares += [rows, [n * row for row in rows]]
        for sequence in shares:
            fact = Fact("part", name, np.zeros(0))
            yield fact, list(sequence)
            yield fact, list(np.cumsum(sequence, axis=0))
