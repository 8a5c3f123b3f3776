"""From an experiment's description to the model, the optimizer and the schedule that it describes."""

from __future__ import annotations

import itertools
from typing import Any

from tinygrad_lab import nn, optim
from tinygrad_lab.experiments.config import ACTIVATIONS, OPTIMIZERS, WITH_BETAS, WITH_MOMENTUM, Experiment

__all__ = ["build_model", "build_optimizer"]


def build_model(experiment: Experiment, features: int, classes: int) -> nn.Sequential:
    """The model, initialised from the global generator: (N, features) to (N, classes) logits.

    >>> build_model(Experiment(model="mlp", hidden=(64,), batch_norm=True, dropout=0.5), features=784, classes=10)
    Sequential(
      (0): Linear(in_features=784, out_features=64, bias=True)
      (1): BatchNorm1d(64, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
      (3): Dropout(p=0.5, inplace=False)
      (4): Linear(in_features=64, out_features=10, bias=True)
    )
    """
    widths = [features, *experiment.hidden, classes]
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        if i:
            if experiment.batch_norm:
                layers.append(nn.BatchNorm1d(fan_in))
            layers.append(getattr(nn, ACTIVATIONS[experiment.activation])())
            if experiment.dropout:
                layers.append(nn.Dropout(experiment.dropout))
        layers.append(nn.Linear(fan_in, fan_out))
    return nn.Sequential(*layers)


def build_optimizer(experiment: Experiment, model: nn.Module) -> optim.Optimizer:
    """The optimizer of the model's parameters."""
    options: dict[str, Any] = {"lr": experiment.lr, "weight_decay": experiment.weight_decay}
    if experiment.optimizer in WITH_MOMENTUM:
        options["momentum"] = experiment.momentum
    if experiment.optimizer in WITH_BETAS:
        options["betas"] = experiment.betas
    if experiment.nesterov:
        options["nesterov"] = True
    return getattr(optim, OPTIMIZERS[experiment.optimizer])(model.parameters(), **options)
