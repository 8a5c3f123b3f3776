"""The comparison with PyTorch as a whole: every op, a table of misuses, and the report.

`python tests/conformance.py` prints the report; with `--write` it writes docs/conformance.md. Every difference that is
wanted is in `deviations.py`, with its reason; the tests fail on others, and on a listed one that no longer occurs.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import Comparison, attempt, error_class, same_class, told
from deviations import BEHAVIOURS, DEVIATIONS
from misuse import MISUSES
from op_cases import entries

import tinygrad_lab


@functools.cache
def compare(name: str) -> Comparison:
    """The comparison of one entry, once."""
    entry = next(entry for entry in entries() if entry.name == name)
    return Comparison(entry).run()


def faces(library: Any) -> tuple[Any, Any]:
    """The library and its nn.functional."""
    return library, importlib.import_module(f"{library.__name__}.nn.functional")


def misuse_outcome(call: Any, library: Any) -> Exception | None:
    return attempt(lambda: call(*faces(library)))[1]


def behaviour(call: Any, library: Any) -> str:
    """What a behaviour probe says of a library: the text of its result, or the class of its error."""
    result, error = attempt(lambda: call(*faces(library)))
    return f"{error_class(error).__name__}" if error else str(result)


def report() -> str:
    """The whole comparison as Markdown."""
    comparisons = [compare(entry.name) for entry in entries()]
    compared = [c for c in comparisons if c.function is not None]
    total: Counter[str] = Counter()
    for comparison in comparisons:
        total.update(comparison.counts)
    ours = {label: misuse_outcome(call, tinygrad_lab) for label, call in MISUSES.items()}
    theirs = {label: misuse_outcome(call, torch) for label, call in MISUSES.items()}
    agree = [x for x in MISUSES if theirs[x] and same_class(ours[x], theirs[x])]
    lines = [
        "# Conformance with PyTorch",
        "",
        "Written by `python tests/conformance.py --write`, with "
        f"PyTorch {torch.__version__.split('+')[0]} and NumPy {np.__version__}.",
        "",
        "| compared | number |",
        "|---|---|",
        f"| ops and compositions with a counterpart in PyTorch | {len(compared)} |",
        f"| internal ones, without | {sum(1 for c in comparisons if c.function is None and not c.entry.faces)} |",
        *(f"| {what} | {number} |" for what, number in sorted(total.items())),
        f"| misuses that raise an error of the same class | {len(agree)} of {len(MISUSES)} |",
        "",
        "## Deviations",
        "",
        "| where | what | reason |",
        "|---|---|---|",
    ]
    for comparison in comparisons:
        seen: dict[str, list[str]] = {}
        for deviation in comparison.deviations:
            seen.setdefault(deviation.key, []).append(deviation.text)
        for key, texts in seen.items():
            first = texts[0].replace("|", "\\|") + (f" (and {len(texts) - 1} more)" if len(texts) > 1 else "")
            lines.append(f"| {key} | {first} | {DEVIATIONS.get(key, '**not in the table**')} |")
    for label in MISUSES:
        if label not in agree:
            reason = DEVIATIONS.get(f"misuse: {label}", "**not in the table**")
            lines.append(f"| misuse: {label} | {told(ours[label])}; PyTorch: {told(theirs[label])} | {reason} |")
    for label, (call, reason) in BEHAVIOURS.items():
        lines.append(f"| {label} | {behaviour(call, tinygrad_lab)}; PyTorch: {behaviour(call, torch)} | {reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = report()
    print(text)
    if "--write" in sys.argv:
        page = Path(__file__).parent.parent / "docs" / "conformance.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(text)
    sys.exit(1 if "**not in the table**" in text else 0)
