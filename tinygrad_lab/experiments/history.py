"""What a training run leaves behind: its history, its model, and the folder from which both are read again.

A run's folder holds `metrics.json` (experiment, history, result), `model.safetensors` (the weights that were kept),
`preprocessing.safetensors` (what the preprocessing learnt), and `checkpoint.safetensors` (everything, to go on). Each
is replaced whole or not at all. This file must not know how a run is made.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_lab import random, serialization
from tinygrad_lab.experiments.building import build_model
from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.preprocessing import Preprocessor
from tinygrad_lab.nn import Module

__all__ = ["History", "Run", "write_text"]


@dataclass
class History:
    """What happened in a run. Lists have one entry per step or epoch; a run without validation has none of that.

    experiment                           the fields of the experiment
    step_loss                            of each step what is minimized: loss plus penalties
    train_loss                           of each epoch the mean loss of its batches, without penalties
    train_accuracy                       after each epoch, in evaluation mode, on `train_accuracy_samples` samples
    validation_loss, validation_accuracy after each epoch
    gradient_norm, learning_rate         of each epoch: mean over the steps; the rate of the first step
    sparsity                             after each epoch, with l1: share of the weights that are exactly 0
    kept_epoch                           the epoch whose weights were kept: the last, or with keep_best the best
    final_train_accuracy                 of the kept weights, on the whole training set
    test_loss, test_accuracy             of the kept weights; the test set is looked at once, at the end
    seconds                              time spent, over all interruptions
    """

    experiment: dict[str, Any]
    step_loss: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    sparsity: list[float] = field(default_factory=list)
    kept_epoch: int | None = None
    final_train_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs that are finished."""
        return len(self.train_loss)

    @property
    def best_epoch(self) -> int:
        """The first epoch (from 1) of the highest validation accuracy; 0 without validation."""
        accuracies = self.validation_accuracy
        return accuracies.index(max(accuracies)) + 1 if accuracies else 0

    @property
    def final_validation_accuracy(self) -> float | None:
        """Of the kept weights; None without validation, or while the run is not finished."""
        if self.kept_epoch is None or not self.validation_accuracy:
            return None
        return self.validation_accuracy[self.kept_epoch - 1]


@dataclass
class Run:
    """A finished run: the model with the weights that were kept, and what is needed to use and to explain it.

    classes        names of the classes
    preprocessor   maps raw features, as `datasets.load` gives them, to what the model takes
    folder         where all of it is stored; None if it was not
    """

    experiment: Experiment
    model: Module
    history: History
    classes: list[str]
    preprocessor: Preprocessor
    folder: Path | None = None

    def save(self, folder: Path) -> None:
        """Write model, preprocessing and metrics; the metrics, which mark the run as finished, come last."""
        serialization.save(self.model.state_dict(), folder / "model.safetensors")
        self.preprocessor.save(folder / "preprocessing.safetensors")
        metrics = {**vars(self.history), "classes": self.classes}
        write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Run:
        """Read a finished run. ValueError if the folder holds none; RuntimeError if a file of it is damaged."""
        path = Path(folder)
        try:
            metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
            weights = serialization.load(path / "model.safetensors")
            preprocessor = Preprocessor.load(path / "preprocessing.safetensors")
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(
                f"{path} holds no finished run: metrics.json, model and preprocessing .safetensors"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RuntimeError(f"{path / 'metrics.json'} is damaged: {error}") from None
        try:
            classes = list(metrics.pop("classes"))
            known = {entry.name for entry in dataclasses.fields(History)}
            history = History(**{name: value for name, value in metrics.items() if name in known})
            experiment = Experiment.from_dict(history.experiment)
            state = random.get_rng_state()  # building draws weights, which are then replaced
            model = build_model(experiment, math.prod(preprocessor.output_shape), len(classes))
            random.set_rng_state(state)
            model.load_state_dict(weights)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RuntimeError(f"{path} holds no run that this version can read: {error}") from None
        model.eval()
        return Run(experiment, model, history, classes, preprocessor, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is replaced as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
