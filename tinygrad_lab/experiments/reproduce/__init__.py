"""The five lab reports that this project grew from, each experiment run again, with the report's figure beside ours.

What this room lets you do: `reproduce` reports and write what came of it to a page. To add an experiment, add a Group
to its report's file and a TOML file of its name to examples/reproduce.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tinygrad_lab.experiments.history import write_text
from tinygrad_lab.experiments.reproduce import report_000, report_001, report_002, report_003, report_004
from tinygrad_lab.experiments.reproduce.context import Context
from tinygrad_lab.experiments.reproduce.document import Finished, page
from tinygrad_lab.experiments.reproduce.pictures import draw
from tinygrad_lab.experiments.reproduce.rows import Group, Line, Report, Task

__all__ = ["REPORTS", "Context", "Finished", "Group", "Line", "Report", "Task", "reproduce"]

REPORTS: dict[str, Report] = {
    module.REPORT.number: module.REPORT for module in (report_000, report_001, report_002, report_003, report_004)
}


def reproduce(
    numbers: Sequence[str],
    data: Path | str = "data",
    out: Path | str = "runs/reproduce",
    document: Path | str = "docs/reproduction.md",
    *,
    jobs: int = 2,
    quick: bool = False,
    note: str = "",
    tell: Callable[[str], None] = print,
) -> dict[str, list[Line]]:
    """Run the reports' experiments, and write the page after each report; what is in `out` is not run again.

    Args:
        numbers: "000" to "004".
        data: folder of the data sets' files, each in it directly or in a folder of its name (mnist, cifar10). Where
            there is no Fashion-MNIST, its files are made of MNIST's images.
        out: finished runs, by data set; one folder for one data folder. Quick ones lie apart.
        document: the page, Markdown; it also shows the reports that earlier calls left in `out`. Figures lie beside it
            in a folder of its name.
        jobs: experiments at a time, each with one thread.
        quick: all on the 8x8 digits for two epochs, which shows that it runs.
        note: a paragraph about the data, for the page.
        tell: is called with each line of progress.

    Returns:
        The rows of each report that was asked for.

    Raises:
        ValueError: no such report.
        RuntimeError: data are missing or damaged.
        ImportError: a library of the `lab` extra is missing.
    """
    for number in numbers:
        if number not in REPORTS:
            raise ValueError(f"no report is called {number}; there are {', '.join(REPORTS)} and all")
    target, place = Path(document), Path(out) / "quick" if quick else Path(out)
    context = Context(Path(data), place, target.with_suffix(""), jobs, quick, tell)
    context.check([group for number in numbers for group in REPORTS[number].groups])
    found: dict[str, list[Line]] = {}
    for number in numbers:
        report = REPORTS[number]
        started = time.perf_counter()
        tell(f"{number}: {report.title}")
        lines, pictures = _lines(report, context)
        found[number] = lines
        Finished(number, lines, pictures, time.perf_counter() - started).save(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, page(REPORTS, place, target.with_suffix("").name, jobs, quick, note))
        tell(f"{number}: {len(lines)} rows in {time.perf_counter() - started:.0f} s, written to {target}")
    return found


def _lines(report: Report, context: Context) -> tuple[list[Line], list[tuple[str, str]]]:
    """(rows, [(title, file name) of each picture]), in the report's order. Tasks come last: they use runs, and time."""
    outcomes = context.run(report.groups)
    lines: dict[str, list[Line]] = {}
    pictures = []
    for group in report.groups:
        lines[group.name] = group.lines(outcomes[group.name], context.quick, context.real_fashion)
        drawn = draw(group, outcomes, context.figures)
        if drawn is not None:
            pictures.append((f"{group.name[4:].replace('-', ' ')}: {group.what}", drawn.name))
    for part in report.parts:
        if isinstance(part, Task):
            lines[part.name] = context.measured(part)
    return [line for part in report.parts for line in lines[part.name]], pictures
