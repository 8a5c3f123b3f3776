"""The page on which the reports' figures and ours stand side by side: docs/reproduction.md, written by the command.

What this file lets you do: keep a report's rows, and make the page of all that are kept. It runs nothing.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab.experiments.history import write_text
from tinygrad_lab.experiments.reproduce.rows import Line, Report
from tinygrad_lab.experiments.tables import markdown_table

__all__ = ["Finished", "machine", "page"]


@dataclass(frozen=True)
class Finished:
    """The rows and pictures of a report. seconds: by the clock, of the longest call, which ran the most of them."""

    number: str
    lines: list[Line]
    pictures: list[tuple[str, str]]
    seconds: float

    def save(self, folder: Path) -> None:
        """Keep it in the folder, for pages written later."""
        folder.mkdir(parents=True, exist_ok=True)
        before = Finished.load(folder, self.number)
        data = {
            "lines": [line.as_dict() for line in self.lines],
            "pictures": self.pictures,
            "seconds": max(self.seconds, before.seconds if before else 0.0),
        }
        write_text(folder / f"report-{self.number}.json", json.dumps(data, indent=1) + "\n")

    @staticmethod
    def load(folder: Path, number: str) -> Finished | None:
        """What was kept; None if there is nothing that can be read."""
        try:
            data = json.loads((folder / f"report-{number}.json").read_text(encoding="utf-8"))
            pictures = [(str(title), str(name)) for title, name in data["pictures"]]
            return Finished(number, [Line(**line) for line in data["lines"]], pictures, float(data["seconds"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None


def machine() -> str:
    """What the times were taken on: processor, cores, Python, NumPy and its BLAS."""
    names = []
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return (
        f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{platform.system()}; Python {platform.python_version()}, NumPy {np.__version__} with "
        f"{blas.get('name', 'BLAS')} {blas.get('version', '')}".rstrip()
    )


def page(reports: Mapping[str, Report], folder: Path, figures: str, jobs: int, quick: bool, note: str = "") -> str:
    """The page, of every report that has left its rows in the folder."""
    found = [kept for number in reports if (kept := Finished.load(folder, number)) is not None]
    parts = [_head(found, jobs, quick, note)]
    parts += [_section(reports[kept.number], kept, figures) for kept in found]
    return "\n".join(parts)


def _head(found: list[Finished], jobs: int, quick: bool, note: str) -> str:
    rows = sum(len(kept.lines) for kept in found)
    lines = [line for kept in found for line in kept.lines]
    judged = [line for line in lines if line.verdict.startswith(("reached", "below"))]
    reached = [line for line in judged if line.verdict.startswith("reached")]
    targets = [line for line in lines if "target" in line.verdict]
    hit = [line for line in targets if line.verdict.endswith("reached") and "target" in line.verdict]
    work, clock = sum(line.seconds for line in lines), sum(kept.seconds for kept in found)
    each = ", ".join(f"{kept.number} {kept.seconds / 60:.1f}" for kept in found)
    text = [
        "# The lab reports, reproduced",
        "",
        "Written by `tinygrad-lab reproduce`; do not edit. Each row is an experiment of one of the five lab reports "
        "that this project grew from: the report's figure, ours, and what that comes to. Figures are test accuracy if "
        "nothing else is said. Each experiment is run once, with seed 0; the test set is looked at once, at its end. "
        "The runs can be repeated one by one: the row's name is that of a file in `examples/reproduce` "
        "(`tinygrad-lab run` or `sweep`).",
        "",
        "Verdicts compare figures as they are printed, in four digits: *reached* means at least the report's. A target "
        "is what we set ourselves beyond it.",
        "",
        f"- {rows} rows; of {len(judged)} with a figure of the report {len(reached)} reached it; "
        f"{len(hit)} of {len(targets)} targets reached",
        f"- machine: {machine()}",
        f"- time: {clock / 60:.0f} minutes by the clock for {work / 60:.0f} minutes of runs, {jobs} at a time with one "
        f"thread each ({each}); a row's seconds are its own",
    ]
    short = [line for line in lines if "below" in line.verdict or "missed" in line.verdict or "failed" in line.verdict]
    text += [f"- falls short: {line.name}, {line.what}: {line.verdict}" for line in short]
    if note:
        text.append(f"- data: {note}")
    if quick:
        text.append("- **quick: everything ran on 8x8 digits for two epochs, so no figure here means anything**")
    return "\n".join(text) + "\n"


def _section(report: Report, kept: Finished, figures: str) -> str:
    table = markdown_table(
        ["row", "what", "report", "ours", "verdict", "seconds"],
        [
            [line.name, line.what, line.report or "–", line.ours, line.verdict, f"{line.seconds:.1f}"]
            for line in kept.lines
        ],
    )
    notes = "".join(f"\n{note}\n" for note in report.notes)
    pictures = "".join(f"\n![{title}]({figures}/{name})\n" for title, name in kept.pictures)
    return f"## {report.number}: {report.title}\n\n{table}{notes}{pictures}"
