"""Timing that survives a busy machine: interleaved blocks and medians; rows of the report; what the machine is.

This file knows nothing of what it times.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the report. `baseline` is what `limit` compares ours with; ours is to stay below `torch`, if given.

    >>> Row("a", "us", ours=11.0, baseline=10.0, limit=1.2, torch=10.5).verdict
    'FAIL'
    >>> Row("a", "us", ours=11.0, baseline=10.0, limit=1.2).verdict
    'pass'
    """

    name: str
    unit: str
    ours: float
    baseline: float | None = None
    limit: float | None = None
    torch: float | None = None
    difference: bool = False  # limit is on ours - baseline, not on ours / baseline
    tuned: float | None = None  # a faster version of the baseline, for information
    spread: tuple[float, float] | None = None  # quartiles of ours / baseline, or ours / torch, over the rounds

    @property
    def measured(self) -> float | None:
        """What the limit is on."""
        if self.baseline is None:
            return None
        return self.ours - self.baseline if self.difference else self.ours / self.baseline

    @property
    def verdict(self) -> str:
        """`pass`, `FAIL`, or `-` where nothing is asked."""
        checks = []
        if self.limit is not None and self.measured is not None:
            checks.append(self.measured <= self.limit)
        if self.torch is not None:
            checks.append(self.ours < self.torch)
        return "-" if not checks else "pass" if all(checks) else "FAIL"


def interleaved(
    makers: Mapping[str, Callable[[], Callable[[], Any]]], rounds: int, block_s: float
) -> dict[str, list[float]]:
    """Seconds per call in each round, by name: blocks A B C A B C ..., of about `block_s` each.

    Each block makes its function anew, so that every one starts from the same state and the luck of where its arrays
    lie averages out, and first calls it untimed, so that caches, thread pools and lazily made state are warm.
    """
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    calls: dict[str, int] = {}
    for _ in range(rounds):
        for name, maker in makers.items():
            function = maker()
            sleep(0.1)  # the thread pool of the block before stops spinning: OpenBLAS's takes 30 ms, OpenMP's 10
            warm, start, elapsed = 0, perf_counter(), 0.0
            while elapsed < block_s / 4 or (warm < 3 and elapsed < block_s):
                function()
                warm += 1
                elapsed = perf_counter() - start
            calls.setdefault(name, ceil(block_s * warm / elapsed))
            start = perf_counter()
            for _ in range(calls[name]):
                function()
            seconds[name].append((perf_counter() - start) / calls[name])
    return seconds


def quartiles(ours: list[float], other: list[float]) -> tuple[float, float] | None:
    """Lower and upper quartile of the ratio of neighbouring blocks."""
    if len(ours) < 2:
        return None
    low, _, high = quantiles([a / b for a, b in zip(ours, other, strict=True)], n=4)
    return low, high


def medians(seconds: Mapping[str, list[float]], per: float = 1e-6) -> dict[str, float]:
    """The median of each list, in units of `per` seconds."""
    return {name: median(values) / per for name, values in seconds.items()}


def machine() -> str:
    """One line: processor, cores, and the versions that matter."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    processor = names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    try:
        torch = f", torch {version('torch')}"
    except PackageNotFoundError:
        torch = ""
    return (
        f"{processor}, {cores} cores, {platform.system()}, Python {sys.version.split()[0]}, "
        f"NumPy {np.__version__} with {blas['name']} {blas['version']}{torch}"
    )
