"""`tinygrad-lab demo` and `train`: one run, described on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tinygrad_lab import datasets
from tinygrad_lab.commands.application import DATA, DOWNLOAD, QUIET, RESUME, SET, app, changed_fields, show
from tinygrad_lab.commands.drawing import draw_run
from tinygrad_lab.experiments import Experiment, Run, run
from tinygrad_lab.experiments.figures import plot_curves


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for models, metrics and curves.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Train softmax regression and a two-layer MLP on the handwritten digits that scikit-learn brings along."""
    splits = datasets.load("digits")
    print(
        f"digits: {len(splits.train)} training, {len(splits.validation)} validation and {len(splits.test)} test images "
        "of 8x8 pixels"
    )
    configs = {
        "softmax": Experiment(lr=0.5, momentum=0.9, batch_size=32, epochs=40, seed=seed),
        "mlp": Experiment(
            model="mlp",
            hidden=(512,),
            optimizer="adam",
            lr=1e-3,
            weight_decay=1e-4,
            batch_size=32,
            epochs=60,
            seed=seed,
        ),
    }
    runs = {name: run(config, out / name, splits=splits, progress=not quiet) for name, config in configs.items()}
    histories = {name: finished.history for name, finished in runs.items()}
    for name, history in histories.items():
        show(name, history)
    curves = plot_curves(histories, out / "curves.png")
    picture, steps = draw_run(runs["mlp"], splits, out)
    print(f"models and metrics: {out / 'softmax'}, {out / 'mlp'}\ncurves: {curves}")
    print(f"the MLP, drawn: {picture}\nits backward pass, step by step (open it in a browser): {steps}")


@app.command(name="train")
def train_command(
    dataset: Annotated[str, typer.Argument(help="digits, mnist, fashion-mnist or cifar10.")] = "digits",
    model: Annotated[str, typer.Option(help="softmax, mlp or linear (with --set loss=mse).")] = "softmax",
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers of an mlp: 256,30.")] = "",
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, adamw, adamax, nadam, rmsprop, adagrad or adadelta.")
    ] = "sgd",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="For sgd and rmsprop.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty, as the optimizer defines it.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Samples per step, 0: the whole training set.")] = 100,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    changes: Annotated[list[str] | None, SET] = None,
    data: Annotated[Path, DATA] = Path("data"),
    download: Annotated[bool, DOWNLOAD] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of this run [default: runs/DATASET-MODEL].")] = None,
    resume: Annotated[bool, RESUME] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Train a classifier; store the model, metrics, curves and a checkpoint in the run's folder.

    --set gives any other field of an experiment: --set dropout=0.5 --set schedule=cosine --set preprocess=hog,pca:0.95
    """
    try:
        widths = tuple(int(width) for width in hidden.replace(",", " ").split())
    except ValueError:
        raise ValueError(f"hidden must be widths separated by commas, for example 256,30, got {hidden!r}") from None
    fields = {
        "dataset": dataset,
        "model": model,
        "hidden": widths,
        "optimizer": optimizer,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": seed,
    }
    experiment = Experiment.from_dict({**fields, **changed_fields(changes)})
    folder = out or Path("runs") / f"{dataset}-{model}"
    history = run_or_tell(experiment, folder, data=data, download=download, resume=resume, progress=not quiet).history
    show(model, history)
    print(f"model, metrics and curves: {folder}")
    plot_curves({model: history}, folder / "curves.png")


def run_or_tell(experiment: Experiment, folder: Path, **options: Any) -> Run:
    """`run`, which on Ctrl-C says how to go on; slow preprocessing is kept beside the run's folder."""
    try:
        return run(experiment, folder, cache=folder.parent / "cache", **options)
    except KeyboardInterrupt:
        kept = (folder / "checkpoint.safetensors").exists()  # not while it was still reading data
        how = f"the checkpoint is in {folder}: add --resume to go on" if kept else "there was nothing to keep yet"
        print(f"\ninterrupted; {how}", file=sys.stderr)
        raise
