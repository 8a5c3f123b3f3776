"""Training runs as data: an experiment, the loop that runs it, its history, sweeps over its fields, and figures."""

from tinygrad_lab.experiments.config import Experiment, parse_field, read_toml
from tinygrad_lab.experiments.data import load_splits
from tinygrad_lab.experiments.history import History, Run
from tinygrad_lab.experiments.sweeping import sweep
from tinygrad_lab.experiments.tables import SweepResult
from tinygrad_lab.experiments.training import Diverged, evaluate, run

__all__ = [
    "Diverged",
    "Experiment",
    "History",
    "Run",
    "SweepResult",
    "evaluate",
    "load_splits",
    "parse_field",
    "read_toml",
    "run",
    "sweep",
]
