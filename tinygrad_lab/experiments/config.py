"""What an experiment is: a frozen dataclass of plain data, checked field by field, from Python, TOML or text.

What this file lets you do: describe a training run, vary it, read and write it, and compute the key under which its
result is remembered. It must not know how models are built or trained.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_lab.experiments import augmentation, steps

__all__ = ["ACTIVATIONS", "DATASETS", "LOSSES", "MODELS", "OPTIMIZERS", "Experiment", "parse_field"]

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10")
MODELS = ("softmax", "mlp", "linear")
LOSSES = ("cross_entropy", "mse")
SCHEDULES = ("constant", "step:EVERY:FACTOR", "inverse:DECAY", "cosine", "onecycle")
ACTIVATIONS = {  # name -> class in nn
    "relu": "ReLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
}
OPTIMIZERS = {  # name -> class in optim
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "adamax": "Adamax",
    "nadam": "NAdam",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
}
WITH_MOMENTUM = ("sgd", "rmsprop")
WITH_BETAS = ("adam", "adamw", "adamax", "nadam")
KEY_FORMAT = 1  # counts up when the same fields, or a default, come to mean another run: old results are no longer it


@dataclass(frozen=True)
class Experiment:
    """One training run as data. ValueError names the first field that cannot be used, and what it may be.

    dataset, validation   data set, and how many training images are kept for validation (None: its usual number)
    preprocess            steps in their order (`steps` explains them): scale, center, standardize, gray, hog, pca:0.95
    augment               changes of images drawn anew for each batch: shift:2 (up to so many pixels), flip
    model                 softmax: softmax regression; mlp: hidden layers of widths `hidden` below it; linear: least
                          squares, the same layer without softmax (its loss is mse)
    activation, batch_norm, dropout   of each hidden layer: linear, batch norm, activation, dropout
    loss                  cross_entropy, or mse: sum over classes of (probability - one-hot label)**2 (for `linear`:
                          output - one-hot label), mean over samples
    l1, l2                penalties l1 * sum |w| + l2 / 2 * sum w**2 over all weights; biases and batch norm are left
                          out unless `penalise_biases`. l2 does to sgd what weight_decay does, on its weights alone
    proximal              l1 and l2 as proximal steps after each step of sgd: with l1, weights become exactly 0
    max_norm              after each step, no unit's incoming weights are longer than this
    optimizer, lr         with momentum for sgd and rmsprop, nesterov for sgd, betas for adam and its kin
    weight_decay          as the optimizer defines it, on all parameters
    schedule              constant; step:EVERY:FACTOR (every so many epochs); inverse:DECAY (lr / (1 + DECAY * epoch));
                          cosine (to 0 over the epochs); onecycle (each step, of the rate alone)
    batch_size, epochs    samples per step, 0: the whole training set (gradient descent); passes over the training set
    patience              stop when validation accuracy has not risen for so many epochs
    keep_best             end with the weights of the epoch of the best validation accuracy
    train_accuracy_samples   after each epoch, training accuracy is measured on so many samples at least (every k-th of
                          the training set), 0: on all, which for small models takes as long as the training
    seed                  of weights, batches, dropout and augmentation; the validation images stay the same

    >>> base = Experiment(model="mlp", hidden=(64,), optimizer="adam", lr=1e-3)
    >>> base.replace(dropout=0.5).key != base.key == Experiment.from_dict(base.as_dict()).key
    True
    >>> base.replace(model="cnn")
    Traceback (most recent call last):
    ValueError: model must be one of softmax, mlp, linear, got cnn
    """

    dataset: str = "digits"
    model: str = "softmax"
    hidden: tuple[int, ...] = ()
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 100
    epochs: int = 10
    seed: int = 0
    preprocess: tuple[str, ...] = ("scale",)
    augment: tuple[str, ...] = ()
    validation: int | None = None
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    loss: str = "cross_entropy"
    l1: float = 0.0
    l2: float = 0.0
    penalise_biases: bool = False
    proximal: bool = False
    max_norm: float | None = None
    nesterov: bool = False
    betas: tuple[float, ...] = (0.9, 0.999)
    schedule: str = "constant"
    patience: int | None = None
    keep_best: bool = False
    train_accuracy_samples: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(field.name, str(field.type), getattr(self, field.name)))
        self._check_data()
        self._check_model()
        self._check_optimizer()
        self._check_length()

    def _check_data(self) -> None:
        self._require_one_of("dataset", DATASETS)
        for name, check in (("preprocess", steps.check), ("augment", augmentation.check)):
            try:
                check(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if self.augment and {"hog", "pca"} & {step.partition(":")[0] for step in self.preprocess}:
            raise ValueError("augment changes images: it cannot be used after the preprocess steps hog and pca")
        self._require("validation", self.validation is None or self.validation >= 0, "none or at least 0")

    def _check_model(self) -> None:
        self._require_one_of("model", MODELS)
        self._require_one_of("activation", ACTIVATIONS)
        self._require_one_of("loss", LOSSES)
        self._require("hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        self._require("dropout", 0 <= self.dropout < 1, "a number in [0, 1)")
        if self.model == "mlp" and not self.hidden:
            raise ValueError("hidden must name at least one width for the model mlp, for example 256,30")
        if self.model != "mlp":
            family = "softmax regression" if self.model == "softmax" else "a linear model"
            for name in ("hidden", "dropout", "batch_norm"):
                if getattr(self, name):
                    value = _shown(getattr(self, name))
                    raise ValueError(f"{name} is for the model mlp; {family} has no hidden layers, got {value}")
        if self.model == "linear" and self.loss != "mse":
            raise ValueError(
                f"loss must be mse for the model linear, got {self.loss}: set loss=mse, or use the model softmax"
            )

    def _check_optimizer(self) -> None:
        self._require_one_of("optimizer", OPTIMIZERS)
        self._require("lr", 0 < self.lr < math.inf, "a positive number")
        self._require("momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        self._only_for("momentum", WITH_MOMENTUM)
        self._require("betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two numbers in [0, 1)")
        self._only_for("betas", WITH_BETAS)
        self._only_for("nesterov", ("sgd",))
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        for name in ("weight_decay", "l1", "l2"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number that is not negative")
        self._require("max_norm", self.max_norm is None or 0 < self.max_norm < math.inf, "none or a positive number")
        self._only_for("proximal", ("sgd",))
        if self.proximal and not (self.l1 or self.l2):
            raise ValueError("proximal applies l1 and l2, and both are 0: give one of them")
        if self.proximal and (self.nesterov or self.weight_decay):
            other = "nesterov" if self.nesterov else "weight_decay"
            raise ValueError(
                f"proximal steps do not go with {other}: leave it out" + (", or use l2" * (other[0] == "w"))
            )
        self._require("schedule", _is_schedule(self.schedule), f"one of {', '.join(SCHEDULES)}")

    def _check_length(self) -> None:
        self._require("batch_size", self.batch_size >= 0, "at least 1, or 0 for the whole training set")
        if self.batch_norm and self.batch_size == 1:
            raise ValueError("batch_size must be at least 2 with batch_norm: one sample has no variance")
        self._require("epochs", self.epochs >= 1, "at least 1")
        self._require("patience", self.patience is None or self.patience >= 1, "none or at least 1")
        self._require("train_accuracy_samples", self.train_accuracy_samples >= 0, "at least 1, or 0 for all")
        if self.validation == 0 and (self.patience or self.keep_best):
            name = "patience" if self.patience else "keep_best"
            raise ValueError(f"{name} looks at validation accuracy, and validation is 0: keep images for it")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {wanted}, got {_shown(getattr(self, name))}")

    def _require_one_of(self, name: str, allowed: Iterable[str]) -> None:
        self._require(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")

    def _only_for(self, name: str, optimizers: tuple[str, ...]) -> None:
        value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
        if value != default and self.optimizer not in optimizers:
            raise ValueError(
                f"{name} is an option of {' and '.join(optimizers)}, not of {self.optimizer}: leave it at "
                f"{_shown(default)}"
            )

    # Reading, writing, varying

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data (lists for tuples), for JSON, TOML and checkpoints."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Experiment:
        """The experiment of these fields; what is left out has its default. ValueError for a name that is no field."""
        for name in values:
            _annotation(name)
        return Experiment(**values)

    @staticmethod
    def from_toml(path: str | os.PathLike[str]) -> Experiment:
        """The experiment that a TOML file describes; its table [sweep], if there is one, is for `sweep`.

        Raises ValueError, with the file's name: no such file, no TOML, a wrong field or value.
        """
        return read_toml(path)[0]

    def replace(self, **changes: Any) -> Experiment:
        """The same experiment with other values in some fields. ValueError for a name that is no field."""
        return self.from_dict({**self.as_dict(), **changes})

    @property
    def key(self) -> str:
        """16 hexadecimal digits that are equal for equal experiments, in every process and version.

        Only what differs from the defaults counts, so that a field which is added later changes no key.
        """
        defaults = Experiment().as_dict()
        told = {name: value for name, value in self.as_dict().items() if value != defaults[name]}
        text = json.dumps({"format": KEY_FORMAT, **told}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_toml(path: str | os.PathLike[str]) -> tuple[Experiment, dict[str, Any]]:
    """(experiment, its table [sweep]) from a TOML file. ValueError with the file's name if it cannot be read."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        swept = values.pop("sweep", {})
        if not isinstance(swept, dict):
            raise ValueError("sweep must be a table: [sweep], then lines such as lr = [0.1, 0.01]")
        return Experiment.from_dict(values), swept
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # also TOML's and UTF-8's
        raise ValueError(f"{path}: {error}") from None


def parse_field(name: str, text: str) -> Any:
    """The value of a field from the command line: 0.1, true, none, 256,30. ValueError if the field cannot hold it.

    >>> parse_field("hidden", "256,30"), parse_field("patience", "none"), parse_field("batch_norm", "true")
    ((256, 30), None, True)
    """
    kind = _annotation(name)
    if kind.startswith("tuple"):
        if text.strip().lower() == "none":
            return ()
        member = "int" if "int" in kind else "float" if "float" in kind else "str"
        return tuple(_parsed(name, member, part) for part in text.strip(" []()").replace(",", " ").split())
    if kind.endswith("None") and text.strip().lower() in ("none", ""):
        return None
    return _parsed(name, kind.removesuffix(" | None"), text)


def _parsed(name: str, kind: str, text: str) -> Any:
    text = text.strip()
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, got {text}")
        return text.lower() == "true"
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise ValueError(f"{name} must be {_KINDS[kind][0]}, got {text}") from None


_KINDS: dict[str, tuple[str, Any]] = {
    "str": ("text", str),
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "bool": ("true or false", bool),
}


def _typed(name: str, kind: str, value: Any) -> Any:
    """`value` as the field's type: tuples for lists, floats for whole numbers, so that equal experiments are equal."""
    if kind.startswith("tuple"):
        member = kind[len("tuple[") :].split(",")[0]
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"{name} must be a list, each member {_KINDS[member][0]}, got {value!r}")
        return tuple(_typed(name, member, part) for part in value)
    if value is None and kind.endswith("None"):
        return None
    kind = kind.removesuffix(" | None")
    wanted, types = _KINDS[kind]
    if hasattr(value, "item"):  # NumPy's numbers, from np.logspace and the like
        value = value.item()
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return float(value) if kind == "float" else value


def _annotation(name: str) -> str:
    fields = Experiment.__dataclass_fields__
    if name not in fields:
        raise ValueError(f"{name} is no field of an experiment; there are {', '.join(fields)}")
    return str(fields[name].type)


def _is_schedule(text: str) -> bool:
    name, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        return False
    if name == "step":
        return len(values) == 2 and values[0] >= 1 and values[0] == int(values[0]) and 0 < values[1] <= 1
    if name == "inverse":
        return len(values) == 1 and 0 <= values[0] < math.inf
    return name in ("constant", "cosine", "onecycle") and not values


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
