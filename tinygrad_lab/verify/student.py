"""A file with somebody's loss and hand-derived gradient, checked or diagnosed without being changed.

What this file lets you do: `gradcheck_file` and `diagnose_file`, which the commands call. The file defines

    params = {"W": ..., "b": ...}       # or make_params(seed): arrays, Tensors, a list of them, or one
    def loss(params): ...               # a number; written with Tensor functions it can be replayed, else in NumPy
    def grad(params): ...               # gets NumPy arrays; {"W": ..., "b": ...}, or {"dW": ...}, or a list in order

The argument may have another name. Functions of other names take one likewise: `f(x)` is called with the file's `x` or
`make_x(seed)` (where it has neither, with its params), and its gradient is `grad_f` or `f_grad`. What goes wrong in the
file is told in one line, with the file's line number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.diagnosis import Diagnosis, diagnose
from tinygrad_lab.verify.functions import gradcheck
from tinygrad_lab.verify.problem import array_of, arrays_of, hand_arrays, one_number
from tinygrad_lab.verify.results import CheckResult
from tinygrad_lab.verify.steps import check_steps
from tinygrad_lab.verify.texts import explain, explain_steps
from tinygrad_lab.verify.userfile import UserFile, packed, split_target

__all__ = ["diagnose_file", "gradcheck_file"]


def gradcheck_file(target: str, mode: str = "auto", seed: int = 0) -> CheckResult:
    """Check the gradient of FILE.py:FUNCTION (default: loss): the file's own by hand, or autograd's if it has none.

    ValueError, in one line, for a file that does not load or lacks something; RuntimeError if its functions fail.
    """
    name, function_name = split_target(target, "loss")
    function_name = "loss" if function_name == "grad" else function_name
    file = _File(Path(name))
    f = file.function(function_name)
    hand = file.gradient_of(function_name)
    value = file.argument(function_name, seed)
    with file.telling():
        if hasattr(value, "named_parameters"):
            return _automatic(gradcheck(f, value, mode=mode, seed=seed), f"{file.name} has a model")
        arrays = arrays_of(value)
        result, _ = file.result(f, value)
        if function_name == "loss":
            one_number(result, f"{file.name}: loss")
        on_tensors, near = isinstance(result, Tensor) and result.requires_grad, file.near_miss(function_name)
        if hand is None and not on_tensors:
            raise ValueError(
                f"{file.name}: {function_name} is no function of Tensors, so autograd cannot differentiate it: define "
                f"grad_{function_name}({file.parameter(function_name)}), derived by hand{near}"
            )

        def called(*values: Any) -> Any:
            return f(packed(value, values))

        def by_hand(*values: Any) -> Any:
            given = hand(packed(value, [array_of(v) for v in values])) if callable(hand) else hand
            return list(hand_arrays(given, list(arrays))[0].values())

        inputs = tuple(wrap(a.copy()).requires_grad_() if on_tensors else a.copy() for a in arrays.values())
        options: dict[str, Any] = {"mode": mode, "names": list(arrays), "seed": seed}
        if hand is not None:
            return gradcheck(called, inputs, by_hand, **options)
        lacks = f"{file.name} has no {'grad' if function_name == 'loss' else f'grad_{function_name}'}{near}"
        return _automatic(gradcheck(called, inputs, **options), lacks)


def diagnose_file(path: Path, language: str = "en", seed: int = 0) -> tuple[Diagnosis, str]:
    """The diagnosis of FILE.py's `grad`, and its report, with the first line of `grad` that departs if that is known.

    Errors as of `gradcheck_file`; ValueError also for another language than "en" and "zh".
    """
    file = _File(path)
    loss, hand, value = file.function("loss"), file.gradient_of("loss"), file.argument("loss", seed)
    if hand is None:
        argument, near = file.parameter("loss"), file.near_miss("loss")
        raise ValueError(f"{file.name} has no function 'grad': define grad({argument}), the gradient of loss{near}")
    with file.telling():
        diagnosis = diagnose(loss, value, hand, seed=seed)
        report = explain(diagnosis, language)
        explained = diagnosis.verdict in ("explained", "unexplained") and inspect.isfunction(hand)
        if explained and ("no graph", {}) not in diagnosis.notes:
            departure = check_steps(loss, value, hand)
            if departure.line and departure.diagnosis is not None:
                departure.diagnosis = replace(departure.diagnosis, explanations=[])  # told above
                report += "\n" + explain_steps(departure, language)
    return diagnosis, report


class _File(UserFile):
    """A file with a loss, and perhaps its gradient derived by hand."""

    def function(self, name: str) -> Callable[..., Any]:
        found = self.names.get(name)
        if callable(found):
            self.parameter(name)
            return found
        there = [key for key, value in self.names.items() if inspect.isfunction(value) and key[0] != "_"]
        raise ValueError(f"{self.name} has no function '{name}'" + (f"; it has {', '.join(there)}" if there else ""))

    def gradient_of(self, name: str) -> Any:
        """The function (or the arrays) that hold the gradient of `name` by hand; None if there is none."""
        return next((self.names[s] for s in self.spellings(name) if s in self.names), None)

    def spellings(self, name: str) -> list[str]:
        """What the gradient of `name` by hand may be called."""
        return [f"grad_{name}", f"{name}_grad", *(["grad"] if name == "loss" else [])]

    def near_miss(self, name: str) -> str:
        """' (is gradd meant?)', where a function of the file is called almost like the gradient of `name`; else ''."""
        there = [key for key, value in self.names.items() if inspect.isfunction(value) and key != name]
        found = [key for spelling in self.spellings(name) for key in get_close_matches(spelling, there, 1, 0.65)]
        return f" (is {found[0]} meant?)" if found else ""


def _automatic(result: CheckResult, reason: str) -> CheckResult:
    """The result, which also says that the gradient checked is not one derived by hand, and why."""
    result.notes.insert(0, f"autograd's gradient was checked, none derived by hand: {reason}")
    return result
