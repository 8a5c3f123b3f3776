"""From an experiment's description to the model, loss, optimizer and schedule that it describes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import nn, optim
from tinygrad_lab.experiments.config import ACTIVATIONS, OPTIMIZERS, WITH_BETAS, WITH_MOMENTUM, Experiment
from tinygrad_lab.experiments.regularisers import penalised
from tinygrad_lab.nn import functional
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["build_loss", "build_model", "build_optimizer", "build_schedule"]


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
    """The optimizer of the model's parameters; for proximal steps, those without penalties are a group of their own."""
    options: dict[str, Any] = {"lr": experiment.lr}
    if experiment.optimizer in WITH_MOMENTUM:
        options["momentum"] = experiment.momentum
    if experiment.proximal:
        weights = penalised(model, experiment.penalise_biases)
        others = [parameter for parameter in model.parameters() if all(parameter is not weight for weight in weights)]
        groups = [
            {"params": weights, "l1": experiment.l1, "l2": experiment.l2},
            *([{"params": others}] if others else []),
        ]
        return optim.ProximalSGD(groups, **options)
    options["weight_decay"] = experiment.weight_decay
    if experiment.optimizer in WITH_BETAS:
        options["betas"] = experiment.betas
    if experiment.nesterov:
        options["nesterov"] = True
    return getattr(optim, OPTIMIZERS[experiment.optimizer])(model.parameters(), **options)


def build_schedule(
    experiment: Experiment, optimizer: optim.Optimizer, steps_per_epoch: int
) -> tuple[optim.lr_scheduler.LRScheduler | None, bool]:
    """(schedule, or None for a constant rate; whether it goes on with each step instead of each epoch)."""
    kind, *numbers = experiment.schedule.split(":")
    schedules = optim.lr_scheduler
    if kind == "step":
        return schedules.StepLR(optimizer, int(float(numbers[0])), float(numbers[1])), False
    if kind == "inverse":
        decay = float(numbers[0])
        return schedules.LambdaLR(optimizer, lambda epoch: 1 / (1 + decay * epoch)), False
    if kind == "cosine":
        return schedules.CosineAnnealingLR(optimizer, experiment.epochs), False
    if kind == "onecycle":  # of the rate alone: momentum stays what the experiment says
        total = experiment.epochs * steps_per_epoch
        return schedules.OneCycleLR(optimizer, experiment.lr, total_steps=total, cycle_momentum=False), True
    return None, False


def build_loss(experiment: Experiment, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (logits (N, classes), labels (N,)) -> mean loss of a sample, without penalties.

    >>> from tinygrad_lab.creation import tensor
    >>> build_loss(Experiment(model="linear", loss="mse"), 2)(tensor([[0.5, 2.0]]), tensor([1])).item()
    1.25
    """
    if experiment.loss == "cross_entropy":
        return functional.cross_entropy
    one_hot = np.eye(classes, dtype=np.float32)
    softmax = experiment.model != "linear"

    def mse(logits: Tensor, labels: Tensor) -> Tensor:
        outputs = functional.softmax(logits, 1) if softmax else logits
        return functional.mse_loss(outputs, wrap(one_hot[labels.array]), reduction="sum") / len(labels)

    return mse
