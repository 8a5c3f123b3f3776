"""A sweep as one HTML page: its table, its figure, the curves of its runs, and how to get the same again.

What this file lets you do: read a sweep back from its folder (`read_sweep`), and report it. Single runs are `report`'s.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shlex
from pathlib import Path
from typing import Any

from tinygrad_lab.experiments import figures
from tinygrad_lab.experiments.config import Experiment, parse_field
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.experiments.page import Page
from tinygrad_lab.experiments.tables import MEASURES, Outcome, SweepResult, field_text

__all__ = ["data_option", "read_sweep", "report_sweep", "toml"]

_CURVES = 12  # more lines cannot be told apart


def read_sweep(folder: str | os.PathLike[str]) -> SweepResult:
    """The result of the sweep that last wrote its tables to the folder.

    Raises:
        ValueError: there is no runs.csv.
        RuntimeError: runs.csv is damaged, or a run that it names is not there any more.
    """
    path = Path(folder) / "runs.csv"
    try:
        header, *lines = csv.reader(path.read_text(encoding="utf-8").splitlines())
        fields = header[: header.index("seed")]
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        points = list(dict.fromkeys(tuple(parse_field(name, row[name]) for name in fields) for row in rows))
        seeds = list(dict.fromkeys(int(row["seed"]) for row in rows))
        if len(rows) != len(points) * len(seeds) or not rows:
            raise ValueError(f"{len(rows)} runs for {len(points)} combinations and {len(seeds)} seeds")
        runs = {row["key"]: None if row["error"] else Run.load(path.parent / row["key"]) for row in rows}
    except OSError:
        raise ValueError(f"{folder} holds no sweep: runs.csv") from None
    except (ValueError, KeyError) as error:
        raise RuntimeError(f"{path} cannot be read: {error}") from None
    base = next((run.experiment for run in runs.values() if run is not None), Experiment())
    outcomes = []
    for index, row in enumerate(rows):
        run, point = runs[row["key"]], dict(zip(fields, points[index // len(seeds)], strict=True))
        experiment = base.replace(**point, seed=int(row["seed"])) if run is None else run.experiment
        outcomes.append(Outcome(experiment, None if run is None else run.history, row["error"]))
    return SweepResult(fields, points, seeds, outcomes)


def report_sweep(folder: str | os.PathLike[str], data: str | os.PathLike[str] = "data") -> Path:
    """Write `report.html` into a sweep's folder; raises as `read_sweep`. The command at its end names `data`."""
    result = read_sweep(folder)
    base, name = result.outcomes[0].experiment, Path(folder).resolve().name
    seeds = "one seed each" if len(result.seeds) == 1 else f"{len(result.seeds)} seeds each"
    page = Page(
        f"Sweep {name}",
        f"{len(result.points)} combinations of {', '.join(result.fields)}, {seeds}, on {base.dataset}",
    )
    facts: list[tuple[str, object]] = [("runs", len(result.outcomes)), ("failed", len(result.failures))]
    measure = (
        "validation_accuracy" if any(m is not None for m in result.means("validation_accuracy")) else "test_accuracy"
    )
    known = [(mean, -i) for i, mean in enumerate(result.means(measure)) if mean is not None]
    best = -max(known)[1] if known else None
    if best is not None:
        tested = result.means("test_accuracy")[best]
        facts.insert(0, ("best " + measure.replace("_", " "), f"{max(known)[0]:.4f}"))
        facts.insert(1, ("its test accuracy", "" if tested is None else f"{tested:.4f}"))
    facts.append(("time of all runs", f"{sum(o.history.seconds for o in result.outcomes if o.history):.1f} s"))
    page.facts(facts)
    page.section("Results")
    figure = result.draw()
    if figure is not None:
        page.figure(figure, f"{measure.replace('_', ' ')} by {' and '.join(result.fields)}")
    _table(page, result, best)
    page.section("Curves")
    _curves(page, result)
    if result.failures:
        page.section("Failed runs")
        page.table(
            [*result.fields, "seed", "error"],
            [
                [*(field_text(getattr(o.experiment, f)) for f in [*result.fields, "seed"]), o.error]
                for o in result.failures
            ],
        )
    page.section("How to reproduce it")
    _reproduce(page, result, base, data)
    return page.write(Path(folder) / "report.html")


def _name(result: SweepResult, point: int) -> str:
    return ", ".join(f"{f} {field_text(v)}" for f, v in zip(result.fields, result.points[point], strict=True))


def _labels(result: SweepResult) -> list[str]:
    """Names of the combinations for a figure: the values alone if they are told apart by them and names are long."""
    names = [_name(result, i) for i in range(len(result.points))]
    short = [", ".join(map(field_text, point)) for point in result.points]
    return short if max(map(len, names)) > 26 and len(set(short)) == len(short) else names


def _table(page: Page, result: SweepResult, best: int | None) -> None:
    several = len(result.seeds) > 1
    rows: list[list[object]] = []
    for point, row in zip(result.points, result.rows(), strict=True):
        cells: list[object] = [field_text(value) for value in point]
        for measure in MEASURES:
            mean, spread = row[f"{measure}_mean"], row[f"{measure}_sd"]
            cells.append(mean if spread is None else f"{mean:.4f} ± {spread:.4f}")
        rows.append([*cells, f"{row['failed']} of {len(result.seeds)}" if row["failed"] else ""])
    head = [*result.fields, *(measure.replace("_", " ") for measure in MEASURES), "failed"]
    if not result.failures:
        head, rows = head[:-1], [row[:-1] for row in rows]
    marked = [] if best is None else [(best, column) for column in range(len(head))]
    page.table(head, rows, best=marked)
    chosen = "" if best is None else f"In bold the best combination by its mean: {_name(result, best)}."
    page.text(("Mean ± standard deviation over the seeds. " if several else "") + chosen)


def _curves(page: Page, result: SweepResult) -> None:
    firsts = {label: result.of(i)[0].history for i, label in enumerate(_labels(result))}
    shown = {name: history for name, history in firsts.items() if history is not None}
    if not shown:
        page.text("No run finished.")
        return
    ranked = sorted(shown, key=lambda name: -(shown[name].test_accuracy or 0))[:_CURVES]
    what = f"Runs with seed {result.seeds[0]}"
    if len(shown) > _CURVES:
        what += f": the {_CURVES} of {len(shown)} with the highest test accuracy"
    figure = figures.plot_curves({name: history for name, history in shown.items() if name in ranked})
    page.figure(figure, what, f"{what}, by {', '.join(result.fields)}.")


def toml(experiment: Experiment) -> str:
    """The experiment as a TOML file that `Experiment.from_toml` reads; fields that are None are left out.

    >>> import tomllib
    >>> Experiment.from_dict(tomllib.loads(toml(Experiment(model="mlp", hidden=(64, 10))))).hidden
    (64, 10)
    """
    fields = {name: value for name, value in experiment.as_dict().items() if value is not None}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())  # JSON's values are TOML's


def data_option(experiment: Experiment, data: str | os.PathLike[str]) -> str:
    """What a command needs to find the data."""
    return "" if experiment.dataset == "digits" else f" --data {shlex.quote(os.fspath(data))}"


def _reproduce(page: Page, result: SweepResult, base: Experiment, data: str | os.PathLike[str]) -> None:
    axes: dict[str, list[Any]] = {
        field: list(dict.fromkeys(point[i] for point in result.points)) for i, field in enumerate(result.fields)
    }
    whole = math.prod(map(len, axes.values())) == len(result.points)
    base = base.replace(seed=result.seeds[0])
    if whole and not any(None in values for values in axes.values()):
        table = "".join(f"{field} = {json.dumps(values)}\n" for field, values in axes.items())
        page.text("Save this as sweep.toml:")
        page.code(f"{toml(base)}\n[sweep]\n{table}seeds = {result.seeds}\n")
        page.text("and run:")
        page.code("tinygrad-lab sweep sweep.toml" + data_option(base, data))
        return
    points = [dict(zip(result.fields, point, strict=True)) for point in result.points]
    page.text("The combinations are no whole grid, so they are given one by one, in Python:")
    lines = ",\n    ".join(map(repr, points))
    changed = {name: value for name, value in vars(base).items() if value != getattr(Experiment(), name)}
    given = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    where = "" if base.dataset == "digits" else f", data={os.fspath(data)!r}"
    page.code(
        "from tinygrad_lab.experiments import Experiment, sweep\n\n"
        f"sweep(Experiment({given}), [\n    {lines},\n], seeds={result.seeds}, folder='runs/sweep'{where})"
    )
