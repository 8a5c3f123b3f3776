"""The commands of `tinygrad-lab`, each one function. This room needs the `lab` extra; `cli.main` runs it.

To add a command, write a file here with `@app.command()` above a function, and import the file below. A command returns
its exit code (None: 0); what it raises becomes one line: ValueError with exit code 2, RuntimeError, OSError and
ImportError with 1.
"""

from tinygrad_lab.commands import drawing, experiments, gradients, predict, report, reproduce, training
from tinygrad_lab.commands.application import app

__all__ = ["app", "drawing", "experiments", "gradients", "predict", "report", "reproduce", "training"]
