"""A chain of adds and multiplies on 10-vectors, forward and backward: what recording and replaying one small op costs.

This file knows nothing of the report.
"""

import json
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


def scaling(short: int, long: int, rounds: int) -> dict[str, list[float]]:
    """Seconds per op of ours in short and long chains, in turns, in a fresh interpreter.

    Fresh, because Python's cyclic garbage collector walks everything that is alive: with PyTorch's 150,000 objects
    beside them, long graphs would be charged for walking those.
    """
    program = (
        "import json, time\n"
        "from benchmarks.chain import chain\n"
        f"sizes = {{'short': {short}, 'long': {long}}}\n"
        "runs = {name: chain('tinygrad_lab', size) for name, size in sizes.items()}\n"
        "times = {name: [] for name in sizes}\n"
        f"for i in range({rounds} + 1):\n"
        "    for name, size in sizes.items():\n"
        "        start = time.perf_counter()\n"
        "        runs[name]()\n"
        "        if i: times[name].append((time.perf_counter() - start) / size)\n"
        "print(json.dumps(times))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    times: dict[str, list[float]] = json.loads(done.stdout)
    return times


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
