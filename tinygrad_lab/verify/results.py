"""What a gradient check found: per parameter, per element, as a report of at most 15 lines, as data and as a picture.

What this file lets you do: read, print, save and plot a result (`CheckResult`). It does not know how it was found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["KINK", "OK", "UNCERTAIN", "WRONG", "CheckResult", "Entry", "ParameterResult", "pyplot"]

OK, WRONG, KINK, UNCERTAIN = range(4)
VERDICTS = ("ok", "wrong", "kink", "uncertain")
LINES = 15  # of a report in a terminal


@dataclass
class Entry:
    """One element: where it is, the gradient that was given, and what differences say.

    For a kink `left` and `right` are the one-sided slopes; otherwise they are NaN.
    """

    parameter: str
    index: tuple[int, ...]
    gradient: float
    numerical: float
    error: float
    verdict: str
    left: float = math.nan
    right: float = math.nan

    @property
    def place(self) -> str:
        return self.parameter + (f"[{', '.join(map(str, self.index))}]" if self.index else "")

    def __str__(self) -> str:
        if not math.isnan(self.left):
            inside = min(self.left, self.right) <= self.gradient <= max(self.left, self.right)
            where = "between" if inside else "not between"
            sides = f"the slopes {self.left:.6g} (left) and {self.right:.6g} (right)"
            return f"{self.place}: {self.gradient:.6g} is {where} {sides} of a kink"
        text = f"{self.place}: gradient {self.gradient:.10g}, differences {self.numerical:.10g} ± {self.error:.1g}"
        if self.verdict == "wrong" and self.numerical and math.isfinite(self.gradient / self.numerical):
            text += f", ratio {self.gradient / self.numerical:.6g}"
        return text


@dataclass
class ParameterResult:
    """One parameter: every element in full mode; in fast mode three directions, and the elements they led to.

    numerical, error, verdicts   arrays of the parameter's shape (full mode), else None; verdicts are "ok", "wrong",
                                 "kink" and "uncertain" as numbers 0 to 3
    entries                      the elements that are not ok, worst first (fast mode: those that were located)
    directions                   fast mode: (analytic, numerical, error, verdict) for each direction
    problem                      what is wrong with the gradient as a whole (its shape), if anything
    """

    name: str
    shape: tuple[int, ...]
    mode: str
    verdict: str
    gradient: np.ndarray | None = None
    numerical: np.ndarray | None = None
    error: np.ndarray | None = None
    verdicts: np.ndarray | None = None
    entries: list[Entry] = field(default_factory=list)
    directions: list[tuple[float, float, float, str]] = field(default_factory=list)
    problem: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def counts(self) -> dict[str, int]:
        """How many elements (fast mode: directions) got each verdict; verdicts that nobody got are left out."""
        if self.verdicts is not None:
            numbers = np.bincount(self.verdicts.ravel(), minlength=4)
            return {name: int(n) for name, n in zip(VERDICTS, numbers, strict=True) if n}
        found = [verdict for *_, verdict in self.directions]
        return {name: found.count(name) for name in VERDICTS if name in found}

    def line(self) -> str:
        """This parameter in one line."""
        head = f"{self.name} {self.shape}: "
        if self.problem:
            return head + self.problem
        unit = "" if self.mode == "full" else " direction"
        counts = [f"{n}{unit}{'s' if unit and n != 1 else ''} {name}" for name, n in self.counts().items()]
        return head + (", ".join(counts) or "nothing to check")


@dataclass
class CheckResult:
    """The result of a gradient check. True only if every gradient was found right: neither wrong nor uncertain.

    verdict      "ok", "wrong" or "uncertain"      parameters   a ParameterResult for each, in order
    evaluations  how often f was called            value        f at the point
    notes        what else the reader should know

    `str(result)` is the report, `result.worst(5)` the worst elements, `result.to_dict()` plain data for JSON.
    """

    parameters: list[ParameterResult]
    evaluations: int
    value: float
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        found = {parameter.verdict for parameter in self.parameters}
        return next((verdict for verdict in ("wrong", "uncertain") if verdict in found), "ok")

    def __bool__(self) -> bool:
        return self.verdict == "ok"

    def __getitem__(self, name: str) -> ParameterResult:
        """The result for one parameter. KeyError if there is none of this name."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"no parameter '{name}' was checked; there are {[p.name for p in self.parameters]}")

    def worst(self, count: int = 5) -> list[Entry]:
        """The elements furthest off, wrong ones before uncertain ones, each parameter's worst before any second."""
        rounds: list[Entry] = []
        kinds = ("wrong", "uncertain")
        for kind in kinds:
            lists = [[e for e in parameter.entries if e.verdict == kind] for parameter in self.parameters]
            for i in range(max(map(len, lists), default=0)):
                rounds += [entries[i] for entries in lists if i < len(entries)]
        return rounds[:count]

    def report(self) -> str:
        """The result in at most 15 lines."""
        size = sum(parameter.size for parameter in self.parameters)
        modes = {parameter.mode for parameter in self.parameters}
        how = "full" if modes == {"full"} else "fast" if modes == {"fast"} else "full and fast"
        verdict = {"ok": "every gradient is right", "wrong": "WRONG GRADIENT", "uncertain": "NOT DECIDED"}[self.verdict]
        elements = f"{size:,} element{'s' if size != 1 else ''}"
        lines = [f"gradcheck: {verdict} ({elements}, {how} mode, {self.evaluations:,} evaluations)"]
        notes = self.notes[:3]
        entries = self.worst(5)
        room = LINES - len(lines) - len(entries) - bool(entries) - len(notes)
        order = sorted(self.parameters, key=lambda parameter: ("wrong", "uncertain", "ok").index(parameter.verdict))
        shown = order if len(order) <= room else order[: room - 1]
        lines += [f"  {parameter.line()}" for parameter in shown]
        if len(shown) < len(order):
            rest = order[len(shown) :]
            bad = sum(parameter.verdict != "ok" for parameter in rest)
            lines.append(f"  and {len(rest)} more parameters, {bad} of them not ok")
        if entries:
            lines.append("worst entries:")
            lines += [f"  {entry}" for entry in entries]
        lines += [f"note: {note}" for note in notes]
        return "\n".join(line if len(line) <= 160 else line[:157] + "..." for line in lines)

    __str__ = report

    def to_dict(self) -> dict[str, Any]:
        """Plain data: numbers, strings, lists and dicts only (NaN and infinity as strings), ready for JSON."""
        return {
            "verdict": self.verdict,
            "evaluations": self.evaluations,
            "value": _plain(self.value),
            "notes": list(self.notes),
            "parameters": [
                {
                    "name": parameter.name,
                    "shape": list(parameter.shape),
                    "mode": parameter.mode,
                    "verdict": parameter.verdict,
                    "problem": parameter.problem,
                    "counts": parameter.counts(),
                    "directions": [[_plain(item) for item in direction] for direction in parameter.directions],
                    "entries": [
                        {"index": list(entry.index)}
                        | {
                            key: _plain(getattr(entry, key))
                            for key in ("gradient", "numerical", "error", "verdict", "left", "right")
                        }
                        for entry in parameter.entries[:20]
                    ],
                }
                for parameter in self.parameters
            ],
        }

    def plot(self, axes: Any = None) -> Any:
        """Given gradient against differences, a point per element (fast mode: per direction), on the diagonal if right.

        Returns the matplotlib Axes. ImportError, naming the extra, without matplotlib.
        """
        axes = axes if axes is not None else pyplot().subplots(figsize=(6, 5.5), layout="constrained")[1]
        colours = ("#009e73", "#d55e00", "#56b4e9", "#e69f00")
        points = []
        for parameter in self.parameters:
            if parameter.verdicts is not None and parameter.gradient is not None and parameter.numerical is not None:
                columns = (parameter.numerical, parameter.gradient, parameter.verdicts)
                points += list(zip(*(column.ravel().tolist() for column in columns), strict=True))
            points += [(true, given, VERDICTS.index(verdict)) for given, true, _, verdict in parameter.directions]
        for code, (name, colour, marker) in enumerate(zip(VERDICTS, colours, "oXds", strict=True)):
            chosen = [(true, given) for true, given, verdict in points if verdict == code]
            if chosen:
                axes.plot(*zip(*chosen, strict=True), marker, color=colour, label=f"{name}: {len(chosen)}", alpha=0.8)
        axes.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
        axes.set_xlabel("differences", fontsize=12)
        axes.set_ylabel("gradient that was given", fontsize=12)
        axes.set_title(f"Gradient check: {self.verdict}", fontsize=14)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return axes


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else str(float(value))


def pyplot() -> Any:
    """matplotlib.pyplot. ImportError that says what to install."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'tinygrad_lab[lab]'") from None
    return pyplot
