"""`tinygrad-lab reproduce`: the experiments of the five lab reports, run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinygrad_lab.commands.application import app, tell
from tinygrad_lab.experiments.reproduce import REPORTS, reproduce


@app.command(name="reproduce")
def reproduce_command(
    report: Annotated[str, typer.Argument(metavar="000|001|002|003|004|all", help="Which of the lab reports.")],
    quick: Annotated[bool, typer.Option(help="All on 8x8 digits for two epochs: shows that it runs.")] = False,
    data: Annotated[
        Path, typer.Option(help="Folder with the data sets' files, in it or in folders mnist, cifar10, ...")
    ] = Path("data"),
    jobs: Annotated[int, typer.Option(help="Experiments at a time, one thread each.")] = 2,
    out: Annotated[Path, typer.Option(help="Finished runs are kept here and not run again.")] = Path("runs/reproduce"),
    document: Annotated[
        Path | None, typer.Option(help="The page [default: docs/reproduction.md; OUT/quick/reproduction.md if quick].")
    ] = None,
    note: Annotated[str, typer.Option(help="A sentence about the data, for the page.")] = "",
) -> int:
    """Run a lab report's experiments; write the report's figures and ours to a page. Exit code 1 if a row failed.

    Stopped and started again, it runs only what is missing.
    """
    numbers = list(REPORTS) if report == "all" else [report]
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    page = document or (out / "quick" / "reproduction.md" if quick else Path("docs") / "reproduction.md")
    try:
        found = reproduce(numbers, data, out, page, jobs=jobs, quick=quick, note=note, tell=tell)
    except KeyboardInterrupt:
        tell(f"\ninterrupted; finished runs are in {out}: the same command goes on with the others")
        raise
    bad = [line for lines in found.values() for line in lines if line.verdict.startswith(("failed", "wrong", "differ"))]
    for line in bad:
        tell(f"{line.name}: {line.what}: {line.verdict}: {line.ours}")
    return 1 if bad else 0
