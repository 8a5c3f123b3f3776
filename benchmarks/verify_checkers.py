"""`python -m benchmarks.verify_checkers [--points N] [--json FILE]`: gradient checkers side by side, a Markdown table.

Each of 31 functions (23 ordinary, 8 hard: see `verify_cases`) is checked at N points (default 100) with its right
gradient, where "wrong" is a false alarm, and with one element times 1.1, where "ok" is a miss. Checkers: ours in full
and fast mode, PyTorch's `gradcheck` in both modes (if installed), and CS231n's rule: central differences at h = 1e-5,
wrong if the relative error is above 1e-4. Exits with 1 where ours does not keep what it promises.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_lab
from benchmarks.verify_cases import CASES, Case, correct, spoiled
from tinygrad_lab.verify import check_arrays

Checker = Callable[[Case, list[np.ndarray], list[np.ndarray], int], str]


def ours(mode: str) -> Checker:
    def check(case: Case, point: list[np.ndarray], gradients: list[np.ndarray], seed: int) -> str:
        function = case.function
        return check_arrays(lambda a: function(tinygrad_lab, *a), point, gradients, mode=mode, seed=seed).verdict

    return check


def pytorch(fast: bool) -> Checker:
    """PyTorch's gradcheck with its default tolerances, on a Function whose backward returns the given gradients."""
    import torch

    def check(case: Case, point: list[np.ndarray], gradients: list[np.ndarray], seed: int) -> str:
        class Given(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                return case.function(torch, *(x.detach() for x in inputs))

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return tuple(g * torch.from_numpy(gradient) for gradient in gradients)

        torch.manual_seed(seed)
        inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in point]
        try:
            torch.autograd.gradcheck(Given.apply, inputs, fast_mode=fast)
        except RuntimeError:
            return "wrong"
        return "ok"

    return check


def cs231n(case: Case, point: list[np.ndarray], gradients: list[np.ndarray], seed: int) -> str:
    """Fixed steps and the rule of thumb of https://cs231n.github.io/neural-networks-3/#gradcheck."""
    work = [array.copy() for array in point]
    with np.errstate(all="ignore"):
        for array, gradient in zip(work, gradients, strict=True):
            for index in np.ndindex(array.shape):
                x = array[index]
                values = []
                for h in (1e-5, -1e-5):
                    array[index] = x + h
                    values.append(float(case.function(tinygrad_lab, *work)))
                array[index] = x
                numerical = (values[0] - values[1]) / 2e-5
                size = max(abs(numerical), abs(gradient[index]))
                if size and not abs(numerical - gradient[index]) <= 1e-4 * size:
                    return "wrong"
    return "ok"


def checkers() -> dict[str, Checker]:
    found = {"ours, full": ours("full"), "ours, fast": ours("fast")}
    if find_spec("torch") is not None:
        found |= {"PyTorch": pytorch(False), "PyTorch, fast": pytorch(True)}
    return found | {"CS231n's rule": cs231n}


def count(checker: Checker, cases: list[Case], points: int) -> dict[str, int]:
    """False alarms and undecided ones on right gradients; missed ("ok") and undecided ones on spoiled ones."""
    totals = dict.fromkeys(("points", "alarms", "undecided", "missed", "undecided_wrong"), 0)
    for case in cases:
        for i, point in enumerate(case.points(points)):
            gradients = correct(case, point)
            right = checker(case, point, gradients, i)
            wrong = checker(case, point, spoiled(case, gradients, i), i)
            totals["points"] += 1
            totals["alarms"] += right == "wrong"
            totals["undecided"] += right == "uncertain"
            totals["missed"] += wrong == "ok"
            totals["undecided_wrong"] += wrong == "uncertain"
    return totals


def one_in_a_million(size: int = 1_000_000, tries: int = 3) -> list[bool]:
    """Is one element times 1.001 among a million found, and named?"""
    rng = np.random.default_rng(0)
    x, c = rng.standard_normal(size), rng.standard_normal(size)
    found = []
    for _ in range(tries):
        gradient = c * np.cos(x)
        i = int(rng.integers(size))
        gradient[i] *= 1.001
        result = check_arrays(lambda a: np.sum(c * np.sin(a[0])), [x], [gradient], mode="fast")
        found.append(result.verdict == "wrong" and [entry.index for entry in result.worst()] == [(i,)])
    return found


def rows(points: int) -> Iterator[dict[str, Any]]:
    ordinary, hard = ([case for case in CASES if case.hard == flag] for flag in (False, True))
    for name, checker in checkers().items():
        start = time.perf_counter()
        yield {
            "checker": name,
            "ordinary": count(checker, ordinary, points),
            "hard": count(checker, hard, points),
            "seconds": time.perf_counter() - start,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        "| checker | false alarms, ordinary | hard | missed x 1.1, ordinary | hard | undecided (right, wrong) | "
        "seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    table, good = [], True
    for row in rows(options.points):
        table.append(row)
        a, b = row["ordinary"], row["hard"]
        undecided = f"{a['undecided'] + b['undecided']}, {a['undecided_wrong'] + b['undecided_wrong']}"
        print(
            f"| {row['checker']} | {a['alarms']} of {a['points']} | {b['alarms']} of {b['points']} | {a['missed']} | "
            f"{b['missed']} | {undecided} | {row['seconds']:.0f} |",
            flush=True,
        )
        if row["checker"] == "ours, full":
            missed = a["missed"] + b["missed"] + a["undecided_wrong"] + b["undecided_wrong"]
            good &= a["alarms"] == 0 and b["alarms"] <= 0.005 * b["points"]
            good &= missed <= 0.02 * (a["points"] + b["points"])
        if row["checker"] == "ours, fast":
            good &= a["alarms"] == 0 and b["alarms"] <= 0.005 * b["points"]
    million = one_in_a_million()
    print(f"\none of 1,000,000 times 1.001, fast: found and named in {sum(million)} of {len(million)} tries")
    if options.json:
        options.json.write_text(json.dumps({"rows": table, "million": million}, indent=1))
    return 0 if good and all(million) else 1


if __name__ == "__main__":
    raise SystemExit(main())
