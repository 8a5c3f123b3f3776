"""Where a derivation departs: `check_steps` compares what a student's backward function computes, line by line, with
the graph.

What this file lets you do: run somebody's function (or hand over its `locals()`), and learn the first line whose
value is no part of a correct derivation, though everything before it is.

A value is *vouched for* if it is a value, a gradient, a part or a usual helper of the recorded graph (`facts`), or if
something vouched for was computed from it. A variable named after a parameter or after its gradient (`dW1`) must be
that. The line named is the first that made something which a wrong gradient was computed from and nothing vouches for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.verify.diagnosis import Diagnosis, diagnose_problem
from tinygrad_lab.verify.facts import Fact, Facts
from tinygrad_lab.verify.problem import SPELLINGS, Problem, arrays_of, hand_arrays
from tinygrad_lab.verify.steps_repair import Rerun, repairs
from tinygrad_lab.verify.steps_trace import Source, Version, versions_of_locals, watch

__all__ = ["Departure", "check_steps"]


@dataclass
class Departure:
    """The outcome of `check_steps`. True if every gradient is right; else `line` (and its `text`) is the first that
    departs.

    variable, expected   what the line computed, and what its name or place asks for ("" if unknown)
    worst                (index, hand, true) of the entry that is furthest off, where the expected value is known
    matched              [(line, variable, what it is)] for the lines before, in order
    diagnosis            of the gradients themselves
    """

    line: int = 0
    text: str = ""
    variable: str = ""
    expected: str = ""
    worst: tuple[tuple[int, ...], float, float] | None = None
    matched: list[tuple[int, str, str]] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    file: str = ""

    def __bool__(self) -> bool:
        return bool(self.diagnosis)

    def __str__(self) -> str:
        from tinygrad_lab.verify.texts import explain_steps

        return explain_steps(self)

    def to_dict(self) -> dict[str, Any]:
        return {
            "line": self.line, "text": self.text, "variable": self.variable, "expected": self.expected,
            "worst": self.worst,
            "matched": [list(m) for m in self.matched],
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
        }  # fmt: skip


def check_steps(loss_fn: Callable[[Any], Any], params: Any, steps: Any) -> Departure:
    """The first line of a hand-written backward pass that departs from the gradient of `loss_fn` at `params`.

    loss_fn, params   as in `diagnose`
    steps   the student's function of `params` that returns the gradients, {name: array} or a list: it is run and
            watched line by line; or, called at the end of that function, its `locals()`: then only last values are
            seen, and gradients are found by their names (dW1 or grads["W1"] for W1)

    TypeError if the loss is no function of Tensors; ValueError if `locals()` holds no gradient.

    >>> import tinygrad_lab as torch
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0], [-1.0, 1.0]])
    >>> def grad(p):
    ...     z = x @ p["w"]
    ...     dz = z
    ...     dw = x.T @ dz
    ...     return {"w": dw}
    >>> found = check_steps(lambda p: ((torch.tensor(x) @ p["w"]) ** 2).sum(), {"w": np.array([1.0, -2.0])}, grad)
    >>> bool(found)
    False
    """
    if isinstance(steps, Mapping):
        frame = sys._getframe(1)
        source: Source | None = (
            Source(frame.f_code)
            if set(steps) <= {*frame.f_locals, *steps} and frame.f_code.co_name != "<module>"
            else None
        )
        versions = versions_of_locals(steps, source)
        problem = Problem(loss_fn, params, _gradients_in(steps, arrays_of(params)))
    else:
        kept: dict[str, Any] = {}

        def run(given: Any) -> Any:
            kept["result"], kept["versions"], kept["source"] = watch(steps, given)
            return kept["result"]

        problem = Problem(loss_fn, params, run)
        versions, source = kept["versions"], kept["source"]
    if not problem.has_graph:
        raise TypeError("check_steps: the loss must be a function of Tensors, so that there is a graph to compare with")
    found = Departure(diagnosis=diagnose_problem(problem), file=source.file if source else "")
    if not found.diagnosis:
        _locate(problem, versions, source, found, None if isinstance(steps, Mapping) else steps)
    return found


def _gradients_in(variables: Mapping[str, Any], params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The gradients among somebody's variables: in a dict with the parameters' names, or dW1 and the like."""
    for value in variables.values():
        if isinstance(value, Mapping):
            try:
                found = dict(hand_arrays(value, list(params))[0])
            except ValueError:
                continue
            if not all(np.array_equal(found[name], params[name]) for name in params):  # not the parameters themselves
                return found
    found = {}
    for name in params:
        spelling = next((s.format(name) for s in SPELLINGS[1:] if s.format(name) in variables), None)
        if spelling is None:
            raise ValueError(
                f"check_steps: no variable holds the gradient of '{name}': name it d{name}, or put it into a dict"
            )
        found[name] = variables[spelling]
    return found


class _Judge:
    """What is vouched for, among the versions of one run."""

    def __init__(self, problem: Problem, versions: list[Version]) -> None:
        self.problem, self.versions = problem, versions
        self.facts = Facts(problem)
        self.what: dict[Version, tuple[Fact, float]] = {}
        self.expected: dict[Version, tuple[str, np.ndarray]] = {}
        self.good: set[Version] = set()
        for version in versions:
            self._judge(version)
        for version in reversed(versions):  # what led to something vouched for is vouched for
            if version in self.good and not version.name.startswith("returned"):  # a return reads everything
                self.good.update(self.behind(version))

    def behind(self, version: Version) -> set[Version]:
        found: set[Version] = set()
        stack = [version]
        while stack:
            for read in stack.pop().reads:
                if read not in found:
                    found.add(read)
                    stack.append(read)
        return found

    def _judge(self, version: Version) -> None:
        value = version.value
        if version.line == 0:
            self.good.add(version)
            return
        if value.size == 1:
            number = float(value.reshape(()))
            if (value.dtype.kind in "iu" and self._is_counter(version)) or (
                value.dtype.kind == "f" and any(abs(abs(number) - s) <= 1e-6 * s for s in self.facts.scalars)
            ):
                self.good.add(version)
            return
        if not np.isfinite(value).all() if value.dtype.kind == "f" else False:
            return
        if value.size and not value.any():  # zeros to add to
            self.good.add(version)
            return
        matches = self.facts.match(value)
        wanted = self._named(version)
        if wanted is not None:
            matches = [pair for pair in matches if self._is(pair, *wanted)]
        exact = [pair for pair in matches if pair[1] == 1.0]
        if exact:
            self.what[version] = exact[0]
            if not self.copies(version):
                self.good.add(version)
        elif matches:
            self.what[version] = matches[0]

    def _is_counter(self, version: Version) -> bool:
        number = float(version.value.reshape(()))
        return (version.name == "N" and number == self.problem.sizes.get("N")) or version.name != "N"

    def copies(self, version: Version) -> bool:
        """Whether the value is that of something it was computed from: evidence for that, not for this line."""
        return any(
            read.value.shape == version.value.shape and np.array_equal(read.value, version.value) and read.line > 0
            for read in version.reads
        )

    def _named(self, version: Version) -> tuple[str, str] | None:
        """("value" | "gradient", parameter) that the variable's name claims to be."""
        name = version.name
        if "[" in name and name.endswith("]"):
            inner = name[name.index("[") + 1 : -1].strip("'\"")
            outer = name[: name.index("[")]
            if inner in self.problem.params and outer not in ("params", "p", "P", "theta"):
                return "gradient", inner
        if name in self.problem.params:
            return "value", name
        for parameter in self.problem.params:
            if name in {s.format(parameter) for s in SPELLINGS[1:]}:
                return "gradient", parameter
        return None

    def _is(self, pair: tuple[Fact, float], kind: str, parameter: str) -> bool:
        fact = pair[0]
        leaf = self.problem.recording.parameters.get(parameter)
        same = fact.of == parameter or (leaf is not None and fact.index == leaf.index)
        if kind == "value":
            return same and fact.kind == "value"
        if same and fact.kind in ("gradient", "part"):
            return True
        step = self.problem.recording.steps[fact.index] if fact.index >= 0 else None
        return (
            step is not None
            and fact.kind == "gradient"
            and parameter in self.problem.recording.leads_to[step.index]
            and step.shape == fact.array.shape
            and self._passes_on(fact, parameter)
        )

    def _passes_on(self, fact: Fact, parameter: str) -> bool:
        """Whether the fact is the gradient of W.T or the like, which is the parameter's own."""
        truth = self.problem.truth[parameter]
        return fact.array.size == truth.size and abs(fact.size - np.abs(truth).sum()) <= 1e-9 * fact.size


def _locate(problem: Problem, versions: list[Version], source: Source | None, found: Departure, function: Any) -> None:
    judge = _Judge(problem, versions)
    wrong = _wrong_outputs(problem, versions)
    judge.good -= set(wrong)
    suspects: set[Version] = set(wrong)
    for version in wrong:
        suspects |= judge.behind(version)
    order = {version: i for i, version in enumerate(versions)}
    ordered = sorted((v for v in suspects if v.line and not v.name.startswith("returned")), key=order.__getitem__)
    first = (
        None
        if function is None or source is None
        else _repaired(problem, judge, source, versions, ordered, found, function)
    )
    if first is None:
        first = next((v for v in ordered if v not in judge.good), None)
    if first is None:
        return
    found.line, found.variable = first.line, first.name
    found.text = source.text(first.line) if source else first.name
    for version in versions:
        if version in judge.what and 0 < version.line < first.line and order[version] < order.get(first, len(versions)):
            fact, factor = judge.what[version]
            what = str(fact) if factor == 1.0 else f"{fact}, times {factor:.6g}"
            found.matched.append((version.line, version.name, what))
    wanted = judge._named(first)
    if wanted is not None and not found.expected:
        found.expected = f"the gradient of {wanted[1]}" if wanted[0] == "gradient" else f"the parameter {wanted[1]}"
        true = problem.truth[wanted[1]] if wanted[0] == "gradient" else problem.params[wanted[1]]
        if true.shape == first.value.shape and true.size:
            at = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.abs(first.value - true))), true.shape))
            found.worst = at, float(first.value[at]), float(true[at])


def _repaired(
    problem: Problem,
    judge: _Judge,
    source: Source,
    versions: list[Version],
    ordered: list[Version],
    found: Departure,
    function: Any,
) -> Version | None:
    """The first line that only needs to be put right for all gradients to be right."""
    made: dict[int, list[str]] = {}
    for version in versions:  # what each line makes; an item of a list has a name of its own before it is put there
        if (
            version.line
            and (version.name.isidentifier() or version.name.endswith(("']", '"]')))
            and not version.name.startswith("returned")
        ):
            names = made.setdefault(version.line, [])
            if version.name not in names:
                names.append(version.name)
    in_place = source.in_place()
    own = {line: name or next(iter(made.get(line, [])), "") for line, name in in_place}
    for line, name in in_place:  # also if it changed nothing, or something else than it should
        arrays = [v.name for v in versions if v.value.ndim and v.name.isidentifier() and 0 < v.line < line]
        made[line] = list(dict.fromkeys([*([name] if name else []), *made.get(line, []), *arrays]))
    try:
        rerun = Rerun(function, made, lambda: problem.packed(problem.originals, copy=True), list(problem.params))
    except (OSError, SyntaxError, TypeError, StopIteration):
        return None
    suspects = {version.line for version in ordered} | {line for line, _ in in_place}
    working = repairs(problem, judge.facts, rerun, source, suspects, own)
    if not working:
        return None
    # The first of those after which least is left unexplained.
    chosen = min(working, key=lambda repair: (repair.odd, not repair.plain))
    found.expected = chosen.what
    departing = next((v for v in versions if (v.line, v.name) == (chosen.line, chosen.variable)), None)
    if departing is None:  # the line changed nothing, or another variable
        found.variable = chosen.variable
        return Version(chosen.variable, chosen.array, chosen.line)
    if chosen.array.shape == departing.value.shape and chosen.array.size:
        difference = np.abs(departing.value - chosen.array)
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), difference.shape))
        found.worst = at, float(departing.value[at]), float(chosen.array[at])
    return departing


def _wrong_outputs(problem: Problem, versions: list[Version]) -> list[Version]:
    """The last versions of the gradients that are wrong."""
    found = []
    for name in problem.params:
        if problem.same(problem.hand[name], problem.truth[name], name):
            continue
        hand = problem.hand[name]
        holders = [
            v for v in versions
            if v.value.shape == hand.shape and np.array_equal(np.asarray(v.value, np.float64), hand, equal_nan=True)
        ]  # fmt: skip
        found += [v for v in holders if not v.name.startswith("returned")][-1:] or holders[:1]
    return found
