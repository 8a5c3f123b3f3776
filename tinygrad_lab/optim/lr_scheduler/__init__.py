"""Learning-rate schedules: change `group["lr"]` (and momentum, for OneCycleLR) of an optimizer from epoch to epoch.

What this room lets you do: create a schedule after the optimizer and call `scheduler.step()` once per epoch (or batch),
after `optimizer.step()`. It knows the Optimizer base only.

>>> from tinygrad_lab.optim import SGD, lr_scheduler
>>> from tinygrad_lab.tensor import Tensor
>>> optimizer = SGD([Tensor(3)], lr=0.5)
>>> scheduler = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
>>> for epoch in range(4):
...     optimizer.step()
...     scheduler.step()
>>> optimizer.param_groups[0]["lr"]
0.125
"""

from tinygrad_lab.optim.lr_scheduler.base import LRScheduler
from tinygrad_lab.optim.lr_scheduler.control import ReduceLROnPlateau, SequentialLR
from tinygrad_lab.optim.lr_scheduler.cycles import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR
from tinygrad_lab.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

_LRScheduler = LRScheduler  # the name in programs from before PyTorch 2.0

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
