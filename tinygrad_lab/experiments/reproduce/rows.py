"""What a row of the table is: experiments with the report's figures beside them, or a function that measures.

What this file lets you do: write the experiments of a report down as data (`Group`, `Task`, `Report`), and judge what
they reached. It must not know how runs are made, nor which reports there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.tables import Outcome, field_text

__all__ = ["Group", "Line", "Report", "Task", "judge", "quick_version"]

Figures = Mapping[str, float]  # "train", "validation" or "test" -> accuracy

_QUICK_EPOCHS = 2


@dataclass(frozen=True)
class Line:
    """A finished row. seconds: of the run itself; rows that ran side by side share the clock."""

    name: str
    what: str
    report: str
    ours: str
    verdict: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Group:
    """Experiments that show one thing: every combination of the grid's values in `base`, as in `sweep`.

    name       of its file in examples/reproduce, without .toml
    report     the report's figures: for each combination in order, or one for all; a number is test accuracy
    target     test accuracy that the best combination by validation is to reach beyond the report's
    best       the report's figure stands for the best combination by validation, not for each
    summary    only the best combination gets a row; the others are in the figure
    show       which accuracies a row shows beside those that the report gives
    fraction   which share of its steps was run, if not all
    diverges   the run is meant to be stopped: what is shown is the message
    draw       figures: curves, swept, grid, weights
    beside     names of groups that are drawn with this one: single experiments for curves, the same grid for swept
    """

    name: str
    what: str
    base: Experiment
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    report: Sequence[float | Figures | None] = ()
    target: float | None = None
    best: bool = False
    summary: bool = False
    show: tuple[str, ...] = ("test",)
    fraction: str = ""
    diverges: bool = False
    draw: str = ""
    beside: tuple[str, ...] = ()

    def experiments(self) -> list[tuple[str, Experiment]]:
        """(the combination in words, the experiment), in the grid's order, the last field varying fastest."""
        found = []
        for point in itertools.product(*self.grid.values()):
            experiment = self.base.replace(**dict(zip(self.grid, point, strict=True)))
            words = ", ".join(f"{name.replace('_', ' ')} {field_text(getattr(experiment, name))}" for name in self.grid)
            found.append((words, experiment))
        return found

    def figures(self) -> list[Figures]:
        """What the report says of each combination."""
        count = len(self.experiments())
        given: Sequence[float | Figures | None] = self.report or (None,)
        given = [given[0]] * count if len(given) == 1 else given
        if len(given) != count:
            raise ValueError(f"{self.name}: {len(given)} figures for {count} combinations")
        return [{} if one is None else {"test": one} if isinstance(one, float) else one for one in given]

    def lines(self, outcomes: Sequence[Outcome], quick: bool = False, real_fashion: bool = True) -> list[Line]:
        """The rows, from the outcomes of `experiments()` in their order.

        Without `real_fashion` the files of Fashion-MNIST hold other images, so nothing is judged by them.
        """
        judged = self.best_of(outcomes)
        lines = []
        for i, ((words, _), outcome, figures) in enumerate(
            zip(self.experiments(), outcomes, self.figures(), strict=True)
        ):
            if self.summary and i != judged:
                continue
            what = self.what + (f": {words}" if words else "")
            if self.summary:
                what = f"{self.what}: the best by validation of {len(outcomes)}, {words}"
            what += f" (ran {self.fraction})" if self.fraction else ""
            wanted = figures if not self.best or i == judged else {}
            target = self.target if i == judged else None
            line = self._line(what, outcome, wanted, target)
            if self.summary:
                line = replace(line, seconds=sum(other.history.seconds for other in outcomes if other.history))
            if self.base.dataset == "fashion-mnist" and not real_fashion:
                line = replace(line, verdict="runs; the files hold MNIST's images, so no comparison")
            lines.append(replace(line, verdict="quick") if quick and outcome.history else line)
        return lines

    def best_of(self, outcomes: Sequence[Outcome]) -> int:
        """Index of the highest validation accuracy (test accuracy only where there is no validation)."""
        known = [outcome.measured("validation_accuracy") for outcome in outcomes]
        if all(value is None for value in known):
            known = [outcome.measured("test_accuracy") for outcome in outcomes]
        return max(range(len(known)), key=lambda i: (known[i] is not None, known[i] or 0.0, -i))

    def _line(self, what: str, outcome: Outcome, figures: Figures, target: float | None) -> Line:
        if outcome.history is None:
            stopped = outcome.error.partition(": ")[2] if self.diverges else outcome.error
            verdict = "stops with this message" if self.diverges and "Diverged" in outcome.error else "failed"
            return Line(self.name, what, "overflows to NaN" if self.diverges else "", stopped, verdict, 0.0)
        measures = [name for name in ("train", "validation", "test") if name in figures or name in self.show]
        ours = {name: outcome.measured(f"{name}_accuracy") for name in measures}
        text = _in_words({name: value for name, value in ours.items() if value is not None})
        if outcome.history.sparsity:
            text += f", {outcome.history.sparsity[-1]:.1%} of the weights exactly 0"
        verdict = "did not overflow" if self.diverges else judge(ours, figures, target)
        return Line(self.name, what, _in_words(figures), text, verdict, outcome.history.seconds)


@dataclass(frozen=True)
class Task:
    """Rows that no experiment gives: gradients checked, times taken, figures drawn. `measure` gets the context."""

    name: str
    measure: Callable[[Any], list[Line]]


@dataclass(frozen=True)
class Report:
    """A report's experiments. notes: what a reader must know to compare the figures, one paragraph each."""

    number: str
    title: str
    parts: Sequence[Group | Task]
    notes: Sequence[str] = ()

    @property
    def groups(self) -> list[Group]:
        """The parts that are experiments."""
        return [part for part in self.parts if isinstance(part, Group)]


def judge(ours: Mapping[str, float | None], figures: Figures, target: float | None = None) -> str:
    """What to say of accuracies beside the report's, compared as they are printed: in four digits.

    >>> judge({"test": 0.92084}, {"test": 0.9208}), judge({"test": 0.92}, {"test": 0.9208}, 0.925)
    ('reached', 'below by 0.0008; target 0.925 missed')
    """
    said = []
    gaps = {name: figure - round(ours.get(name) or 0.0, 4) for name, figure in figures.items()}
    if gaps:
        worst = max(gaps.values())
        said.append("reached" if worst < 5e-7 else f"below by {worst:.4f}")
    if target is not None:
        said.append(f"target {target:g} {'reached' if round(ours.get('test') or 0.0, 4) >= target else 'missed'}")
    return "; ".join(said) or "no figure in the report"


def _in_words(figures: Mapping[str, float]) -> str:
    if list(figures) == ["test"]:
        return f"{figures['test']:.4f}"
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def quick_version(experiment: Experiment) -> Experiment:
    """The same experiment on the 8x8 digits for two epochs: it shows that the code runs, and no figure.

    >>> quick_version(Experiment(dataset="mnist", batch_size=2000, epochs=1000)).as_dict()["epochs"]
    2
    """
    fashion = experiment.dataset == "fashion-mnist"
    return experiment.replace(
        dataset="fashion-mnist" if fashion else "digits",
        validation=60 if fashion else None,
        epochs=min(experiment.epochs, _QUICK_EPOCHS),
        batch_size=min(experiment.batch_size, 100) or 0,
        hidden=[min(width, 256) for width in experiment.hidden],
    )
