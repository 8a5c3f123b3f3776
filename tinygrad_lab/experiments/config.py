"""What a training run is: its configuration, checked field by field, and the model and optimizer it describes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tinygrad_lab import nn, optim

__all__ = ["DATASETS", "MODELS", "OPTIMIZERS", "TrainingConfig"]

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10")
MODELS = ("softmax", "mlp")
OPTIMIZERS: dict[str, Any] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "adamax": optim.Adamax,
    "nadam": optim.NAdam,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
}
_WITH_MOMENTUM = ("sgd", "rmsprop")


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. ValueError names the first field that cannot be used, and what it may be.

    hidden    widths of the hidden layers of an "mlp"; "softmax" (softmax regression) has none
    momentum  for sgd and rmsprop only

    >>> TrainingConfig(model="mlp", hidden=(64,)).build_model(features=64, classes=10)
    Sequential(
      (0): Linear(in_features=64, out_features=64, bias=True)
      (1): ReLU()
      (2): Linear(in_features=64, out_features=10, bias=True)
    )
    """

    dataset: str = "digits"
    model: str = "softmax"
    hidden: tuple[int, ...] = field(default=())
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 100
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        self._require_one_of("dataset", DATASETS)
        self._require_one_of("model", MODELS)
        self._require_one_of("optimizer", tuple(OPTIMIZERS))
        self._require("lr", 0 < self.lr < math.inf, "a positive number")
        self._require("momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        if self.momentum and self.optimizer not in _WITH_MOMENTUM:
            raise ValueError(
                f"momentum is an option of {' and '.join(_WITH_MOMENTUM)}, not of {self.optimizer}: leave it at 0"
            )
        self._require("weight_decay", 0 <= self.weight_decay < math.inf, "a number that is not negative")
        self._require("batch_size", self.batch_size >= 1, "at least 1")
        self._require("epochs", self.epochs >= 1, "at least 1")
        self._require("hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        if self.model == "mlp" and not self.hidden:
            raise ValueError("hidden must name at least one width for the model mlp, for example 256,30")
        if self.model == "softmax" and self.hidden:
            raise ValueError(
                f"hidden is for the model mlp; softmax regression has no hidden layers, got {list(self.hidden)}"
            )

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise ValueError(f"{name} must be {wanted}, got {list(value) if isinstance(value, tuple) else value}")

    def _require_one_of(self, name: str, allowed: Iterable[str]) -> None:
        self._require(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data, for JSON and checkpoints."""
        return {**asdict(self), "hidden": list(self.hidden)}

    def build_model(self, features: int, classes: int) -> nn.Sequential:
        """The model, initialised from the global generator."""
        widths = [features, *self.hidden, classes]
        layers: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            if i:
                layers.append(nn.ReLU())
            layers.append(nn.Linear(fan_in, fan_out))
        return nn.Sequential(*layers)

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """The optimizer of the model's parameters."""
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.optimizer in _WITH_MOMENTUM:
            options["momentum"] = self.momentum
        return OPTIMIZERS[self.optimizer](model.parameters(), **options)
