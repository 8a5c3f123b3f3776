"""Schedules that decide when: in sequence, or on a plateau of a metric. They know the scheduler base only."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, SupportsFloat

from tinygrad_lab.optim.lr_scheduler.base import LRScheduler, checked, per_group
from tinygrad_lab.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """Schedules one after the other: the next one starts, from its own epoch 0, at each milestone.

    Raises ValueError unless there is one milestone less than schedules and all belong to `optimizer`.

    >>> from tinygrad_lab.optim import SGD
    >>> from tinygrad_lab.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> from tinygrad_lab.tensor import Tensor
    >>> optimizer = SGD([Tensor(3)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = []
    >>> for epoch in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.5, 1.0, 0.5]
    """

    _not_saved = ("optimizer", "_schedulers")

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler")
        for index, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"SequentialLR expects schedulers, but got {type(scheduler).__name__} at index {index}")
            if isinstance(scheduler, (ReduceLROnPlateau, SequentialLR)):
                raise ValueError(
                    f"SequentialLR does not support {type(scheduler).__name__} (at index {index}): "
                    "its step needs a metric, or it is a sequence itself, which can be written as one list"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"SequentialLR expects all schedulers to belong to the same optimizer, but "
                    f"{type(scheduler).__name__} at index {index} belongs to another one"
                )
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and number of milestones "
                f"{len(milestones)}"
            )
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Each schedule took its first step when it was made; only the one whose turn is first may have done so.
        for scheduler in schedulers:
            scheduler.last_epoch -= 1
        self._apply([group["initial_lr"] for group in optimizer.param_groups])
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Go on by one epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(saved)


class ReduceLROnPlateau(LRScheduler):
    """lr <- max(lr * factor, min_lr) when the metric passed to `step` has not improved for more than `patience` epochs.

    mode            "min" (a loss) or "max" (an accuracy)
    threshold       an improvement is relative (threshold_mode "rel": below best * (1 - threshold)) or absolute ("abs")
    cooldown        epochs after a reduction in which nothing is counted
    min_lr          a number, or one per group
    eps             smaller changes of the rate are not made

    Raises ValueError for factor >= 1, unknown modes, and a list of min_lr of another length than the groups.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if not factor < 1.0:
            raise ValueError(f"Factor should be < 1.0, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! It must be 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! It must be 'rel' or 'abs'")
        self.optimizer = checked(optimizer)
        self.min_lrs = per_group("min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Go on by one epoch in which the watched number was `metrics`."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            if len(rates) > len(self.min_lrs):  # groups were added
                if self.default_min_lr is None:
                    raise RuntimeError(
                        f"min_lr was given for {len(self.min_lrs)} parameter groups, and the optimizer now has "
                        f"{len(rates)}: append to the scheduler's min_lrs, or give one min_lr for all"
                    )
                self.min_lrs = [self.default_min_lr] * len(rates)
            lower = [max(lr * self.factor, least) for lr, least in zip(rates, self.min_lrs, strict=True)]
            self._apply([new if lr - new > self.eps else lr for lr, new in zip(rates, lower, strict=True)])
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, current: float) -> bool:
        change = -self.threshold if self.mode == "min" else self.threshold
        bound = self.best * (1 + change) if self.threshold_mode == "rel" else self.best + change
        return current < bound if self.mode == "min" else current > bound
