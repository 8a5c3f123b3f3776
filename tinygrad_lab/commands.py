"""The commands of `tinygrad-lab`, each one function. This file needs the `lab` extra; `cli.main` runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tinygrad_lab import datasets
from tinygrad_lab.experiments import Experiment, train
from tinygrad_lab.experiments.figures import plot_curves
from tinygrad_lab.verify.student import diagnose_file, gradcheck_file

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Learn, teach and verify backpropagation.",
)


def _show(name: str, history: Any) -> None:
    print(
        f"{name:>8}: train {history.train_accuracy[-1]:.4f}   validation {history.validation_accuracy[-1]:.4f}   "
        f"test {history.test_accuracy:.4f}   ({history.seconds:.1f} s)"
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for models, metrics and curves.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
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
    histories = {}
    for name, config in configs.items():
        _, histories[name] = train(config, splits, out / name, progress=not quiet)
    for name, history in histories.items():
        _show(name, history)
    curves = plot_curves(histories, out / "curves.png")
    print(f"models and metrics: {out / 'softmax'}, {out / 'mlp'}\ncurves: {curves}")


@app.command(name="train")
def train_command(
    dataset: Annotated[str, typer.Argument(help="digits, mnist, fashion-mnist or cifar10.")] = "digits",
    model: Annotated[str, typer.Option(help="softmax or mlp.")] = "softmax",
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers of an mlp: 256,30.")] = "",
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, adamw, adamax, nadam, rmsprop, adagrad or adadelta.")
    ] = "sgd",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="For sgd and rmsprop.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty, as the optimizer defines it.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 100,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    data: Annotated[Path, typer.Option(help="Folder with the data set's files.")] = Path("data"),
    download: Annotated[bool, typer.Option(help="Download the data set if it is not there.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of this run [default: runs/DATASET-MODEL].")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in the run's folder.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Train a classifier; store the model, metrics, curves and a checkpoint in the run's folder."""
    try:
        widths = tuple(int(width) for width in hidden.replace(",", " ").split())
    except ValueError:
        raise ValueError(f"hidden must be widths separated by commas, for example 256,30, got {hidden!r}") from None
    config = Experiment(
        dataset=dataset,
        model=model,
        hidden=widths,
        optimizer=optimizer,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
    )
    folder = out or Path("runs") / f"{dataset}-{model}"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder, {folder} is a file")
    splits = datasets.load(dataset, data, download=download)
    if batch_size > len(splits.train):
        raise ValueError(
            f"batch_size must be at most the {len(splits.train)} training samples of {dataset}, got {batch_size}"
        )
    try:
        _, history = train(config, splits, folder, resume=resume, progress=not quiet)
    except KeyboardInterrupt:
        print(f"\ninterrupted; the checkpoint is in {folder}: add --resume to go on", file=sys.stderr)
        raise
    _show(model, history)
    print(f"model, metrics and curves: {folder}")
    plot_curves({model: history}, folder / "curves.png")


SEED = typer.Option(help="Seed handed to make_params, and of the directions that are tried.")


def _tell(text: object) -> None:
    """Print, with ? in the place of what the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    print(str(text).encode(encoding, "replace").decode(encoding))


@app.command()
def gradcheck(
    target: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", help="FUNCTION is loss if it is left out.")],
    mode: Annotated[str, typer.Option(help="full: every element; fast: about 40 evaluations; auto: by size.")] = "auto",
    seed: Annotated[int, SEED] = 0,
) -> int:
    """Check a gradient against differences: the one derived by hand in the file, or else autograd's.

    The file defines params (or make_params(seed)), loss(params) and, if it was derived by hand, grad(params). Exit
    code 1 if an element is wrong or cannot be decided, 2 if the file does not load or has no such function.
    """
    result = gradcheck_file(target, mode, seed)
    _tell(result)
    return 0 if result else 1


@app.command()
def diagnose(
    path: Annotated[Path, typer.Argument(metavar="FILE.py", help="Defines params, loss(params) and grad(params).")],
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    seed: Annotated[int, SEED] = 0,
) -> int:
    """Say what is wrong with the gradient that a file derives by hand, and in which line.

    The file defines params (or make_params(seed)), loss(params) and grad(params). Exit code 1 if the gradient is wrong,
    2 if the file does not load or has no such function.
    """
    diagnosis, report = diagnose_file(path, language, seed)
    _tell(report)
    return 0 if diagnosis else 1
