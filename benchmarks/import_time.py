"""How long `import tinygrad_lab` takes beyond `import numpy`, each in fresh interpreters.

This file knows nothing of the report.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent


def import_seconds(module: str, bytecode: str) -> float:
    """Seconds that `import module` takes in a fresh interpreter; the interpreter's own start is not counted.

    `bytecode` is the folder of compiled modules: an installed package has them, so they are no part of the time.
    """
    program = f"from time import perf_counter as now; start = now(); import {module}; print(now() - start)"
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)


def import_times(rounds: int) -> dict[str, list[float]]:
    """Seconds in each round, by module, in turns, after one untimed round that compiles bytecode and warms files."""
    seconds: dict[str, list[float]] = {"tinygrad_lab": [], "numpy": []}
    with TemporaryDirectory() as bytecode:
        for round_ in range(rounds + 1):
            for module, times in seconds.items():
                taken = import_seconds(module, bytecode)
                if round_:
                    times.append(taken)
    return seconds
