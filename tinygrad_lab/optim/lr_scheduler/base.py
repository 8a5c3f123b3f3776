"""The base of all schedules, and what they share.

What this file lets you do: write a schedule by giving `_factor` or `get_lr`. It knows the Optimizer base only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

from tinygrad_lab.optim.optimizer import Optimizer


class LRScheduler:
    """Base of all schedules: subclasses give `_factor` or `get_lr`, which may use the attributes named here.

    last_epoch  number of steps made, 0 at first; the argument is for resuming: the epoch that was seen last
    base_lrs    each group's rate when its first schedule was created (`group["initial_lr"]`)

    Raises TypeError if `optimizer` is none; KeyError when resuming groups that have no "initial_lr".
    Source: https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
    """

    _not_saved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{number}] when resuming scheduler with "
                    f"last_epoch={last_epoch}: load the optimizer's state_dict first, or leave last_epoch at -1"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def step(self) -> None:
        """Go on by one epoch. Call it after `optimizer.step()`."""
        overrides_step = type(self.optimizer).step is not Optimizer.step  # then nobody notes that it was called
        if self._step_count == 1 and not self.optimizer._opt_called and not overrides_step:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: call them in the opposite order, "
                "otherwise the first learning rate of the schedule is skipped",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._apply(self.get_lr())

    def get_lr(self) -> list[float]:
        """The rates for `last_epoch`, one per group, from the current ones. Users read `get_last_lr()`."""
        factor = self._factor()
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule set last, one per group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on, but for the optimizer: save that too."""
        return {key: value for key, value in self.__dict__.items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` of a schedule made with the same arguments returned."""
        self.__dict__.update(state_dict)

    def _with_bases(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """(base rate, group) of each group. ValueError if groups were added to the optimizer since this was made."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__} was made for {len(self.base_lrs)} parameter groups, and the optimizer now has "
                f"{len(groups)}: make the scheduler after the last add_param_group"
            )
        return zip(self.base_lrs, groups, strict=True)

    def _factor(self) -> float:
        """What to multiply the current rates by on arriving at `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr")

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _restart(self) -> None:
        """Set the rates of epoch 0, whatever they are now: SequentialLR hands over to this schedule."""
        self._apply(self.base_lrs)
        self.last_epoch = 0
        self._is_initial = True
        self._apply(self.get_lr())
        self._is_initial = False

    def _apply(self, rates: Sequence[float]) -> None:
        groups = self.optimizer.param_groups
        for group, lr in zip(groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in groups]


def checked(candidate: Any) -> Optimizer:
    if not isinstance(candidate, Optimizer):
        raise TypeError(f"{type(candidate).__name__} is not an Optimizer")
    return candidate


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """`value` for each parameter group: itself if it is a list of the right length, else repeated."""
    groups = len(checked(optimizer).param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"{name} must have one value per parameter group: got {len(value)} values for {groups} groups")
    return list(value)


def positive_number(name: str, value: Any) -> float:
    """A number of epochs that need not be an int: a NumPy integer, which becomes an int, or a fraction."""
    if not isinstance(value, Real) or not float(value) > 0:
        raise ValueError(f"Expected positive number {name}, but got {value}")
    return int(value) if isinstance(value, Integral) else float(value)


def positive(name: str, value: int) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value
