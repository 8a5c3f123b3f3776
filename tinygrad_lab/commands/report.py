"""`tinygrad-lab report`: a run, or a sweep, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinygrad_lab.commands.application import app, tell
from tinygrad_lab.experiments.report import report


@app.command(name="report")
def report_command(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or of a sweep.")],
    data: Annotated[Path, typer.Option(help="Folder with the data set's files.")] = Path("data"),
) -> None:
    """Write RUN/report.html: configuration, tables and figures in one page that needs no network."""
    tell(f"report: {report(folder, data)}")
