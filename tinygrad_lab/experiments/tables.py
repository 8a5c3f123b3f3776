"""What a sweep found, as tables (CSV, Markdown) and figures: each combination with mean and spread over its seeds.

Knows results of runs as numbers; it must not know how runs are made. No table holds times, so that the same sweep gives
the same bytes wherever and however often it runs.
"""

from __future__ import annotations

import csv
import io
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.history import History, write_text

__all__ = ["MEASURES", "Outcome", "SweepResult", "field_text", "markdown_table"]

MEASURES = {  # name in tables -> attribute of History
    "train_accuracy": "final_train_accuracy",
    "validation_accuracy": "final_validation_accuracy",
    "test_accuracy": "test_accuracy",
}


@dataclass(frozen=True)
class Outcome:
    """One run of a sweep: its history, or what went wrong."""

    experiment: Experiment
    history: History | None
    error: str = ""
    folder: Path | None = None

    def measured(self, measure: str) -> float | None:
        """A measure of `MEASURES`; None if the run failed or has no such thing."""
        return None if self.history is None else getattr(self.history, MEASURES[measure])


@dataclass(frozen=True)
class SweepResult:
    """Outcomes of a sweep, combination by combination in the grid's order, and within each seed by seed.

    fields    the swept fields
    points    of each combination the values of those fields
    seeds     those that each combination ran with
    outcomes  len(points) * len(seeds) of them
    """

    fields: list[str]
    points: list[tuple[Any, ...]]
    seeds: list[int]
    outcomes: list[Outcome]

    def of(self, point: int) -> list[Outcome]:
        """The outcomes of one combination, seed by seed."""
        return self.outcomes[point * len(self.seeds) : (point + 1) * len(self.seeds)]

    def values(self, measure: str = "test_accuracy") -> list[list[float | None]]:
        """Of each combination what its seeds measured: train_accuracy, validation_accuracy or test_accuracy.

        None stands for a run that failed, or had no validation images.
        """
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure}")
        return [[outcome.measured(measure) for outcome in self.of(i)] for i in range(len(self.points))]

    def means(self, measure: str = "test_accuracy") -> list[float | None]:
        """Of each combination the mean over its seeds; None if none of them finished."""
        return [_mean_and_spread(values)[0] for values in self.values(measure)]

    @property
    def failures(self) -> list[Outcome]:
        """The runs that failed."""
        return [outcome for outcome in self.outcomes if outcome.history is None]

    def best(self, measure: str = "validation_accuracy") -> Experiment:
        """The experiment, with its first seed, of the combination with the highest mean; the first of equals.

        RuntimeError if no run has that measure.
        """
        known = [(mean, -i) for i, mean in enumerate(self.means(measure)) if mean is not None]
        if not known:
            raise RuntimeError(f"no run of this sweep has a {measure}" + self._first_failure())
        return self.of(-max(known)[1])[0].experiment

    def _first_failure(self) -> str:
        return f"; the first failed with: {self.failures[0].error}" if self.failures else ""

    # Tables

    def rows(self) -> list[dict[str, Any]]:
        """One dict per combination: its values, how many seeds finished and failed, mean and standard deviation."""
        found = []
        for i, point in enumerate(self.points):
            row: dict[str, Any] = {name: field_text(value) for name, value in zip(self.fields, point, strict=True)}
            failed = sum(outcome.history is None for outcome in self.of(i))
            row |= {"finished": len(self.seeds) - failed, "failed": failed}
            for measure in MEASURES:
                values = [outcome.measured(measure) for outcome in self.of(i)]
                row[f"{measure}_mean"], row[f"{measure}_sd"] = _mean_and_spread(values)
            found.append(row)
        return found

    def csv(self) -> str:
        """`rows` as CSV; the standard deviation is that of a sample, empty for a single seed."""
        rows = self.rows()
        return _csv(list(rows[0]), [list(row.values()) for row in rows])

    def runs_csv(self) -> str:
        """One line per run: values, seed, key, what it measured, and the error if it failed."""
        lines = []
        for i, point in enumerate(self.points):
            for outcome in self.of(i):
                measured = [outcome.measured(measure) for measure in MEASURES]
                epochs = "" if outcome.history is None else outcome.history.epochs
                experiment = outcome.experiment
                lines.append([*map(_exactly, point), experiment.seed, experiment.key, epochs, *measured, outcome.error])
        return _csv([*self.fields, "seed", "key", "epochs", *MEASURES, "error"], lines)

    def markdown(self) -> str:
        """The table for people: mean ± standard deviation over the seeds, the best validation accuracy in bold."""
        means = [mean for mean in self.means("validation_accuracy") if mean is not None]
        lines = []
        for i, point in enumerate(self.points):
            cells = [field_text(value) for value in point]
            for measure in MEASURES:
                mean, spread = _mean_and_spread([outcome.measured(measure) for outcome in self.of(i)])
                cell = "" if mean is None else f"{mean:.4f}" + ("" if spread is None else f" ± {spread:.4f}")
                cells.append(
                    f"**{cell}**" if measure == "validation_accuracy" and means and mean == max(means) else cell
                )
            failed = sum(outcome.history is None for outcome in self.of(i))
            if self.failures:
                cells.append(f"{failed} of {len(self.seeds)}" if failed else "")
            lines.append(cells)
        header = [*self.fields, *(measure.removesuffix("_accuracy") for measure in MEASURES)]
        table = markdown_table([*header, *(["failed"] if self.failures else [])], lines)
        notes = [f"- {self._name(outcome)}: {outcome.error}" for outcome in self.failures]
        return table + ("\nFailed:\n\n" + "\n".join(notes) + "\n" if notes else "")

    def _name(self, outcome: Outcome) -> str:
        return ", ".join(f"{name} {field_text(getattr(outcome.experiment, name))}" for name in [*self.fields, "seed"])

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write table.csv, runs.csv, table.md and, for one or two swept fields, a figure; returns the paths."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        texts = {"table.csv": self.csv(), "runs.csv": self.runs_csv(), "table.md": self.markdown()}
        for name, text in texts.items():
            write_text(target / name, text)
        drawn = self.draw(target / "sweep.png")
        return [target / name for name in texts] + ([drawn] if drawn is not None else [])

    def draw(self, path: str | os.PathLike[str] | None = None, measure: str | None = None) -> Any:
        """Draw the measure (default: validation accuracy if there is one, else test accuracy) to a .png or .svg.

        One swept field gives a line, two fields a heat map of means, more (or no finished run) nothing. Returns the
        path, without one the matplotlib Figure, or None.
        """
        from tinygrad_lab.experiments.figures import plot_grid, plot_swept

        if measure is None:
            validated = any(mean is not None for mean in self.means("validation_accuracy"))
            measure = "validation_accuracy" if validated else "test_accuracy"
        means, label = self.means(measure), measure.replace("_", " ")
        if all(mean is None for mean in means):
            return None
        if len(self.fields) == 1:
            values = [_plotted(point[0]) for point in self.points]
            return plot_swept(self.fields[0], values, {label: self.values(measure)}, path, measure=label)
        if len(self.fields) != 2:
            return None
        rows, columns = (list(dict.fromkeys(point[axis] for point in self.points)) for axis in (0, 1))
        cells: list[list[float | None]] = [[None] * len(columns) for _ in rows]
        for (row, column), mean in zip(self.points, means, strict=True):
            cells[rows.index(row)][columns.index(column)] = mean
        names = (self.fields[0], self.fields[1])
        return plot_grid(
            names, [_plotted(row) for row in rows], [_plotted(c) for c in columns], cells, path, measure=label
        )


def markdown_table(header: Sequence[object], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(["lr", "test"], [[0.1, "0.9"]]), end="")
    | lr | test |
    |---|---|
    | 0.1 | 0.9 |
    """
    texts = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in (header, *lines)]
    rows = ["| " + " | ".join(line) + " |" for line in texts]
    return "\n".join([rows[0], "|" + "---|" * len(header), *rows[1:]]) + "\n"


def _mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """(mean, sample standard deviation) of the values that are there; None where there are too few."""
    known = [value for value in values if value is not None]
    mean = math.fsum(known) / len(known) if known else None
    return mean, statistics.stdev(known) if len(known) > 1 else None


def _csv(header: list[str], lines: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(
        ["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in line] for line in lines
    )
    return text.getvalue()


def field_text(value: Any) -> str:
    """A field's value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(field_text, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _exactly(value: Any) -> str:
    """As `field_text`, with all digits: runs.csv is read again."""
    if isinstance(value, tuple):
        return ",".join(map(_exactly, value)) or "none"
    text = field_text(value)
    return repr(value) if isinstance(value, float) and float(text) != value else text


def _plotted(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else field_text(value)
