"""`python -m benchmarks [NAME ...] [--quick] [--json FILE]`: measure, print one Markdown table, judge by the limits.

Names: steps (or part of a step's name, such as 784-10), chain, import, memory; all without a name. Run it on an idle
machine; the limits hold for two cores (`taskset -c 0,1 python -m benchmarks` on a larger one). Exits with 1 where a
limit is missed.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import chain, import_time, memory, steps
from benchmarks.timing import Row, interleaved, machine, medians, quartiles

HAS_TORCH = find_spec("torch") is not None


def step_rows(names: list[str], rounds: int, block_s: float) -> Iterator[Row]:
    """One row for each chosen case; raises AssertionError where the three disagree on a loss."""
    for case in steps.CASES:
        if not any(name in ("steps", case.name) or case.name.startswith(f"{name} ") for name in names):
            continue
        steps.check_equal_losses(case)
        makers = {name: partial(maker, case) for name, maker in steps.makers()}
        seconds = interleaved(makers, rounds, block_s)
        us = medians(seconds)
        spread = quartiles(seconds["ours"], seconds["NumPy"])
        torch, tuned = us.get("PyTorch"), us["tuned NumPy"]
        yield Row(case.name, "us a step", us["ours"], us["NumPy"], case.limit, torch, tuned=tuned, spread=spread)


def chain_rows(quick: bool, rounds: int, block_s: float) -> Iterator[Row]:
    """Time per op: against PyTorch's, and in a ten times longer graph; the memory of a very long one."""
    short, long, very_long = (2_000, 20_000, 100_000) if quick else (20_000, 200_000, 1_000_000)
    makers = {"ours": partial(chain.chain, "tinygrad_lab", short)}
    if HAS_TORCH:
        makers["PyTorch"] = partial(chain.chain, "torch", short)
    seconds = {name: [t / short for t in times] for name, times in interleaved(makers, rounds, block_s).items()}
    us = medians(seconds)
    spread = quartiles(seconds["ours"], seconds["PyTorch"]) if HAS_TORCH else None
    yield Row(f"chain of {short:,} ops", "us an op", us["ours"], torch=us.get("PyTorch"), spread=spread)
    seconds = chain.scaling(short, long, rounds)
    us = medians(seconds)
    spread = quartiles(seconds["long"], seconds["short"])
    yield Row(f"chain of {long:,} ops over {short:,}", "us an op", us["long"], us["short"], 1.3, spread=spread)
    yield Row(f"chain of {very_long:,} ops, peak memory", "MiB", chain.peak_memory(very_long))


def import_rows(rounds: int) -> Iterator[Row]:
    """One row: milliseconds over NumPy's import."""
    ms = medians(import_time.import_times(rounds), per=1e-3)
    yield Row("import, over import numpy", "ms", ms["tinygrad_lab"], ms["numpy"], 60, difference=True)


def memory_rows() -> Iterator[Row]:
    """One row: the peak of a training step."""
    case = memory.LARGE_BATCH
    mib = {name: memory.peak_memory(maker, case) for name, maker in steps.makers() if name in ("ours", "NumPy")}
    yield Row(f"{case.name}, peak memory", "MiB", mib["ours"], mib["NumPy"], case.limit)


def table(rows: list[Row]) -> str:
    """The report in Markdown; the PyTorch columns only where PyTorch was measured."""
    torch = any(row.torch is not None for row in rows)
    heads = ["what", "unit", "ours", "baseline", "ours / baseline", "limit"]
    heads += ["PyTorch", "ours / PyTorch", "limit"] * torch + ["tuned NumPy", "middle half", "verdict"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        sign = "+" if row.difference else ""
        cells = [row.name, row.unit, number(row.ours), number(row.baseline)]
        cells += [sign + number(row.measured), sign + number(row.limit)]
        if torch:
            ratio = None if row.torch is None else row.ours / row.torch
            cells += [number(row.torch), number(ratio), "-" if row.torch is None else "< 1"]
        cells += [number(row.tuned), "-" if row.spread is None else " to ".join(map(number, row.spread)), row.verdict]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None) -> str:
    """Three digits or so: 0.123, 1.23, 12.3, 123."""
    if value is None:
        return "-"
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="steps, 784-10 and so on, chain, import, memory")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that it runs, not to believe")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    args = parser.parse_args()
    names = args.names or ["steps", "chain", "import", "memory"]
    known = {"steps", "chain", "import", "memory", *(case.name.split()[0] for case in steps.CASES)}
    if unknown := set(names) - known:
        parser.error(f"unknown name {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}")
    rounds, block_s = (3, 0.02) if args.quick else (20, 0.08)
    if HAS_TORCH:
        import torch

        torch.set_num_threads(2)

    busy = f"; load at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{machine()}{busy}\n", flush=True)
    rows: list[Row] = []
    rows += step_rows(names, rounds, block_s)
    if "chain" in names:
        rows += chain_rows(args.quick, min(rounds, 9), block_s)
    if "import" in names:
        rows += import_rows(rounds)
    if "memory" in names:
        rows += memory_rows()
    print(table(rows))
    print(
        "\nMedians. Baseline: careful hand-written NumPy (tuned: after much profiling, for information); for the long "
        "chain, ours at the shorter one; for the import, NumPy's.\nMiddle half: of the ratios to the baseline (of the "
        "chain, to PyTorch) over neighbouring blocks."
    )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return int(any(row.verdict == "FAIL" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
