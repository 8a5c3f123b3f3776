"""A chain of adds and multiplies on 10-vectors, forward and backward: what recording and replaying one small op costs.

This file knows nothing of the report.
"""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def chain(library: str, ops: int) -> Callable[[], Any]:
    """A function that runs y = y * w and y = y + b in turn, `ops` ops in all, then backward to x, w and b."""
    lib: Any = import_module(library)
    x, w, b = (lib.full((10,), value, requires_grad=True) for value in (1.0, 0.999, 0.001))

    def run() -> Any:
        x.grad = w.grad = b.grad = None
        y = x
        for _ in range(ops // 2):
            y = y * w
            y = y + b
        y.sum().backward()
        return x.grad

    return run


def peak_memory(ops: int) -> float:
    """How far one run of ours raises the peak resident memory of a fresh interpreter, in MiB (on Linux)."""
    program = (
        "from benchmarks.chain import chain\n"
        # not getrusage's ru_maxrss: a child inherits its parent's peak there
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 2**10\n"
        "chain('tinygrad_lab', 1000)()\n"
        "before = peak()\n"
        f"chain('tinygrad_lab', {ops})()\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)
