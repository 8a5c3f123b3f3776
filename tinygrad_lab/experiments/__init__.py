"""Training runs as data: a configuration, the loop that runs it, its history and its figures."""

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.training import History, evaluate, train

__all__ = ["Experiment", "History", "evaluate", "train"]
