"""A finished run as one HTML page: configuration, results, figures, and how to get the same again.

What this file lets you do: `report` a run's folder, or a sweep's, which `sweep_report` does. How a page is put together
is in `page`, how figures are drawn in `figures`, what the model does with the test images in `examination`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from pathlib import Path

import numpy as np

import tinygrad_lab
from tinygrad_lab.experiments import figures
from tinygrad_lab.experiments.config import OPTIMIZERS, Experiment
from tinygrad_lab.experiments.examination import Examination, confusion_matrix, examine, first_weights
from tinygrad_lab.experiments.figures.style import number
from tinygrad_lab.experiments.history import History, Run
from tinygrad_lab.experiments.page import Page
from tinygrad_lab.experiments.sweep_report import data_option, report_sweep, toml

__all__ = ["report"]

_MODELS = {"softmax": "softmax regression", "mlp": "an MLP", "linear": "a linear model"}
_DATASETS = {"digits": "digits", "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
_LARGEST = 60  # units whose first-layer weights are shown


def report(folder: str | os.PathLike[str], data: str | os.PathLike[str] = "data") -> Path:
    """Write `report.html` into the folder of a run or a sweep: one page that holds its figures and needs nothing else.

    Args:
        folder: of a finished run, or of a sweep.
        data: folder of the data set's files, of which the test images are read; digits need none.

    Returns:
        The page's path.

    Raises:
        ValueError: the folder holds neither a finished run nor a sweep.
        RuntimeError: its files or the data set's are missing or damaged.
        ImportError: matplotlib, or a library that the run's preprocessing needs, is missing.
    """
    if (Path(folder) / "runs.csv").is_file() and not (Path(folder) / "metrics.json").exists():
        return report_sweep(folder, data)
    run = Run.load(folder)
    examined = examine(run, data)
    experiment, history = run.experiment, run.history
    page = Page(f"Run {Path(folder).resolve().name}", _lead(run))
    page.facts(_facts(run))
    page.section("Results")
    _results(page, history, examined)
    page.section("Curves")
    _curves(page, experiment, history)
    page.section("Confusions")
    _confusions(page, run, examined)
    page.section("Weights")
    _weights(page, run)
    page.section("Histograms")
    _histograms(page, Path(folder))
    page.section("Configuration")
    _configuration(page, experiment)
    page.section("How to reproduce it")
    _reproduce(page, experiment, data)
    return page.write(Path(folder) / "report.html")


def _lead(run: Run) -> str:
    experiment = run.experiment
    widths = "-".join(map(str, experiment.hidden))
    model = _MODELS[experiment.model] + (f" with hidden layers {widths}" if widths else "")
    features = ", ".join(experiment.preprocess) or "as they are"
    dataset, optimizer = _DATASETS[experiment.dataset], OPTIMIZERS[experiment.optimizer]
    lead = f"{model} on {dataset} (images: {features}), trained by {optimizer}"
    return lead[0].upper() + lead[1:]


def _facts(run: Run) -> list[tuple[str, object]]:
    history = run.history
    facts: list[tuple[str, object]] = []
    if history.test_accuracy is not None:
        facts.append(("test accuracy", f"{history.test_accuracy:.4f}"))
    if history.final_validation_accuracy is not None:
        facts.append(("validation accuracy", f"{history.final_validation_accuracy:.4f}"))
    facts.append(("epochs", history.epochs))
    facts.append(("training time", f"{history.seconds:.1f} s"))
    facts.append(("parameters", f"{sum(p.numel() for p in run.model.parameters()):,}"))
    return facts


def _results(page: Page, history: History, examined: Examination) -> None:
    kept = history.kept_epoch or history.epochs
    trained = history.final_train_accuracy
    rows: list[list[object]] = [
        ["training", history.train_loss[kept - 1], history.train_accuracy[kept - 1] if trained is None else trained],
        ["test", history.test_loss, history.test_accuracy],
    ]
    if history.validation_loss:
        rows.insert(1, ["validation", history.validation_loss[kept - 1], history.validation_accuracy[kept - 1]])
    page.table(["part", "loss", "accuracy"], rows)
    which = "the last" if kept == history.epochs else f"that of the best validation accuracy, of {history.epochs}"
    page.text(
        f"Of the weights of epoch {kept}, {which}. The training loss is the mean over that epoch's batches, while the "
        "weights changed. The test images were looked at once, at the end."
    )
    if history.test_accuracy is not None and abs(examined.accuracy - history.test_accuracy) > 1e-9:
        page.text(
            f"Note: for this page the test accuracy was computed again, and is {examined.accuracy:.4f}: the data are "
            "not those of the run, or the arithmetic of this machine rounds otherwise."
        )
    columns = {
        "training loss": history.train_loss,
        "training accuracy": history.train_accuracy,
        "validation loss": history.validation_loss,
        "validation accuracy": history.validation_accuracy,
        "gradient norm": history.gradient_norm,
        "sparsity": history.sparsity,
    }
    columns = {name: values for name, values in columns.items() if len(values) == history.epochs}
    table: list[list[object]] = [[e + 1, *(v[e] for v in columns.values())] for e in range(history.epochs)]
    page.table(["epoch", *columns], table, fold="All epochs as a table")


def _curves(page: Page, experiment: Experiment, history: History) -> None:
    page.figure(figures.plot_curves({"run": history}), "Loss and accuracy by epoch, training and validation")
    title = "Loss of each step" + (" (with its penalties)" if experiment.l1 or experiment.l2 else "")
    if len(history.step_loss) > history.epochs:
        page.figure(figures.plot_lines(title, {"loss": history.step_loss}, x_label="step"), title)
    others = {
        "Norm of the gradient": history.gradient_norm,
        "Learning rate": history.learning_rate if len(set(history.learning_rate)) > 1 else [],
        "Sparsity: share of the weights that are exactly 0": history.sparsity if any(history.sparsity) else [],
    }
    for name, values in others.items():
        if len(values) > 1:
            page.figure(figures.plot_lines(name, {name: values}), f"{name} by epoch")
    if history.sparsity and not any(history.sparsity):
        page.text("No weight is exactly 0: L1 as a term of the loss only makes them small; proximal steps make zeros.")


def _confusions(page: Page, run: Run, examined: Examination) -> None:
    names = _short(run.classes)
    counts = confusion_matrix(examined.labels, examined.predicted, len(names))
    page.figure(
        figures.plot_confusion(counts, names),
        "Confusion matrix of the test set as counts",
        "Each row holds the test images of one class; the columns say for which class they were taken.",
    )
    page.figure(figures.plot_confusion(counts, names, normalise=True), "Confusion matrix as shares of each class")
    of, taken, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    rows: list[list[object]] = [
        [name, int(of[i]), right[i] / of[i] if of[i] else None, right[i] / taken[i] if taken[i] else None]
        for i, name in enumerate(names)
    ]
    rows = [[float(cell) if isinstance(cell, np.floating) else cell for cell in row] for row in rows]
    page.table(["class", "test images", "recall", "precision"], rows)
    figure = figures.plot_misclassified(
        examined.images,
        examined.labels,
        examined.predicted,
        examined.scores,
        names,
        score="p" if examined.probabilistic else "output",
    )
    page.figure(
        figure,
        "Misclassified test images",
        "True class → predicted class, and " + ("its probability." if examined.probabilistic else "its output."),
    )


def _weights(page: Page, run: Run) -> None:
    weights = first_weights(run)
    if weights is None:
        count, steps = math.prod(run.preprocessor.output_shape), ", ".join(run.experiment.preprocess)
        page.text(
            f"None are shown as images: the model does not see pixels, but the {count:,} features that preprocessing "
            f"({steps}) makes of them."
        )
        return
    what = "unit" if run.experiment.model == "mlp" else "class"
    colours = f"Red adds to the score of the {what} where the image is bright, blue takes away. One scale for all."
    if weights.shape[1] == 3:
        colours = f"At each place the colour that adds most to the score of the {what}; grey is 0. One scale for all."
    if run.experiment.model == "mlp":
        title = f"First-layer weights: {len(weights)} units"
        if len(weights) > _LARGEST:
            title = f"First-layer weights: {_LARGEST} of {len(weights)} units, the largest first"
        figure = figures.plot_weights(weights, None, title=title, count=_LARGEST)
    else:
        title = "Template of each class"
        figure = figures.plot_weights(weights, _short(run.classes), title=title)
    page.figure(figure, title, colours)


def _histograms(page: Page, folder: Path) -> None:
    path = folder / "histograms.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        figure = figures.plot_histograms(records)
    except FileNotFoundError:
        page.text("None were recorded: tinygrad-lab run --histograms records them.")
        return
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RuntimeError(f"{path} is damaged: {error}") from None
    page.figure(
        figure,
        "Histograms of weights, activations and gradients over the epochs",
        "Epochs to the right, values upwards, darker where they are frequent in that epoch; the line is the median.",
    )


def _configuration(page: Page, experiment: Experiment) -> None:
    changed = [
        [field.name, number(getattr(experiment, field.name)), number(field.default)]
        for field in dataclasses.fields(experiment)
        if getattr(experiment, field.name) != field.default
    ]
    if changed:
        page.table(["field", "value", "default"], changed)
    page.text("All other fields are at their defaults; the file below has all of them." if changed else "All defaults.")


def _reproduce(page: Page, experiment: Experiment, data: str | os.PathLike[str]) -> None:
    page.text("Save this as experiment.toml:")
    page.code(toml(experiment))
    page.text("and run:")
    page.code("tinygrad-lab run experiment.toml" + data_option(experiment, data))
    page.text(
        f"Made with tinygrad_lab {tinygrad_lab.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}. The same versions on the same kind of processor give the same bits."
    )


def _short(classes: list[str]) -> list[str]:
    """Names of classes for axes: MNIST's "7 - seven" is 7."""
    short = [name.split(" - ")[0] for name in classes]
    return short if all(name.isdigit() for name in short) else classes
