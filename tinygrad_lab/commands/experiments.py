"""`tinygrad-lab run`, `sweep` and `compare`: experiments in TOML files, grids of them, and runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tinygrad_lab.commands.application import (
    DATA,
    DOWNLOAD,
    QUIET,
    RESUME,
    SET,
    app,
    assignment,
    changed_fields,
    show,
    tell,
)
from tinygrad_lab.commands.training import run_or_tell
from tinygrad_lab.experiments import Experiment, Run, parse_field, read_toml, sweep
from tinygrad_lab.experiments.figures import plot_curves
from tinygrad_lab.experiments.tables import MEASURES, field_text, markdown_table

CONFIG = typer.Argument(metavar="CONFIG.toml", help="Fields of an experiment: model = 'mlp', hidden = [256, 30], ...")


@app.command(name="run")
def run_command(
    config: Annotated[Path, CONFIG],
    changes: Annotated[list[str] | None, SET] = None,
    data: Annotated[Path, DATA] = Path("data"),
    download: Annotated[bool, DOWNLOAD] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of this run [default: runs/CONFIG].")] = None,
    resume: Annotated[bool, RESUME] = False,
    histograms: Annotated[bool, typer.Option(help="Record weights, gradients and activations for the report.")] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Run the experiment that a TOML file describes; store the model, metrics, curves and a checkpoint."""
    experiment, _ = read_toml(config)
    experiment = experiment.replace(**changed_fields(changes))
    folder = out or Path("runs") / config.stem
    options: dict[str, Any] = {"data": data, "download": download, "resume": resume, "progress": not quiet}
    done = run_or_tell(experiment, folder, histograms=histograms, **options)
    show(config.stem, done.history)
    plot_curves({config.stem: done.history}, folder / "curves.png")
    tell(f"model, metrics and curves: {folder}")


@app.command(name="sweep")
def sweep_command(
    config: Annotated[Path, CONFIG],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE,VALUE",
            help="Values to try; may be given several times. Values with commas: hidden=[64,10],[256,30].",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds to run each combination with: 0,1,2 [default: the file's].")] = "",
    changes: Annotated[list[str] | None, SET] = None,
    data: Annotated[Path, DATA] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Folder of this sweep [default: runs/CONFIG-sweep].")] = None,
    jobs: Annotated[int, typer.Option(help="Processes, -1: as many as there are cores.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Run on the workers of this Dask scheduler.")
    ] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> int:
    """Run every combination of some fields' values; what has been run before is not run again.

    The grid stands in the file's table [sweep] (lr = [0.1, 0.01], and seeds = [0, 1]), or in --grid, which adds to it.
    Writes table.csv, table.md, runs.csv and a figure. Exit code 1 if a run failed.
    """
    base, swept = read_toml(config)
    base = base.replace(**changed_fields(changes))
    listed = swept.pop("seeds", None)
    if listed is not None and not isinstance(listed, list):
        raise ValueError(f"{config}: seeds in [sweep] must be a list, for example [0, 1, 2], got {listed!r}")
    for name, text in map(assignment, grid or []):
        swept[name] = [parse_field(name, value) for value in _values(text)]
    if not swept:
        raise ValueError("nothing to sweep over: give --grid lr=0.1,0.01, or a table [sweep] in the file")
    used = [parse_field("seed", seed) for seed in seeds.replace(",", " ").split()] or listed
    folder = out or Path("runs") / f"{config.stem}-sweep"
    try:
        result = sweep(base, swept, used, folder, n_jobs=jobs, dask=dask, data=data, progress=not quiet)
    except KeyboardInterrupt:
        tell(f"\ninterrupted; finished runs are in {folder}: the same command goes on with the others")
        raise
    paths = result.write(folder)
    tell(result.markdown())
    tell(f"written: {', '.join(map(str, paths))}")
    return 1 if result.failures else 0


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The figure, .png or .svg.")] = Path("runs/compare.png"),
) -> None:
    """Put runs side by side: a table of what differs between them and what they reached, and a figure of curves."""
    runs = dict(zip(_names(folders), map(Run.load, folders), strict=True))
    experiments = {name: done.experiment for name, done in runs.items()}
    differing = _differing(list(experiments.values()))
    lines = []
    for name, done in runs.items():
        results = [getattr(done.history, attribute) for attribute in MEASURES.values()]
        lines.append(
            [name, *(field_text(getattr(done.experiment, field)) for field in differing)]
            + ["" if value is None else f"{value:.4f}" for value in results]
            + [str(done.history.epochs), f"{done.history.seconds:.1f}"]
        )
    header = ["run", *differing, *(measure.removesuffix("_accuracy") for measure in MEASURES), "epochs", "seconds"]
    if "epochs" in differing:
        header[-2] = "epochs done"
    tell(markdown_table(header, lines))
    out.parent.mkdir(parents=True, exist_ok=True)
    tell(f"curves: {plot_curves({name: done.history for name, done in runs.items()}, out)}")


def _values(text: str) -> list[str]:
    """The values of a grid: '0.1,0.01' at its commas, '[64,10],[256,30]' at its brackets."""
    if "[" not in text:
        return [value for value in text.replace(",", " ").split()]
    values = [part.strip(" ,[") for part in text.split("]")]
    return values[:-1] if not values[-1] else values


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names; where two are alike, their whole paths."""
    names = [folder.resolve().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def _differing(experiments: Sequence[Experiment]) -> list[str]:
    values = [experiment.as_dict() for experiment in experiments]
    return [field for field in values[0] if any(other[field] != values[0][field] for other in values)]
