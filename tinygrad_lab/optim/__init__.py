"""Optimizers and learning-rate schedules with PyTorch's names, defaults and semantics.

What this room lets you do: change parameters in place from their gradients, and change learning rates over time. It
knows Tensor and NumPy; nothing in it records operations.
"""

from tinygrad_lab.absent import absent
from tinygrad_lab.optim import lr_scheduler
from tinygrad_lab.optim.adam import Adam, Adamax, AdamW, NAdam
from tinygrad_lab.optim.adaptive import Adadelta, Adagrad, RMSprop
from tinygrad_lab.optim.optimizer import Optimizer
from tinygrad_lab.optim.proximal import ProximalSGD
from tinygrad_lab.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "ProximalSGD",
    "RMSprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> object:  # only reached when there is no such name
    raise absent(__name__, name, __all__, listed=True)
