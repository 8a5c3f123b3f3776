"""What report 004 does with models: stores and loads them, trains several at once, and shows them handwriting.

What this file lets you do: measure those rows. It must not know how experiments are described for the reports.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.experiments.predict import predict
from tinygrad_lab.experiments.reproduce.drawn import STYLES, draw_digit
from tinygrad_lab.experiments.reproduce.rows import Group, Line
from tinygrad_lab.experiments.sweeping import sweep
from tinygrad_lab.experiments.training import evaluate
from tinygrad_lab.tensor import wrap
from tinygrad_lab.utils.data import TensorDataset

__all__ = ["best_optimizer", "handwriting", "in_parallel", "saved_and_loaded"]

Measure = Callable[[Any], list[Line]]


def best_optimizer(bases: Mapping[str, Experiment], batch_sizes: Sequence[int], rates: Sequence[float]) -> Measure:
    """Which optimizer is best at each batch size and each rate, of the report's experiments, by validation accuracy."""

    def measure(context: Any) -> list[Line]:
        lines = []
        for field, values in (("batch_size", batch_sizes), ("lr", rates)):
            groups = [Group(name, "", base, {field: values}) for name, base in bases.items()]
            outcomes = context.run(groups)
            said, wins = [], 0
            for i, value in enumerate(values):
                reached = {name: outcomes[name][i].measured("validation_accuracy") or 0.0 for name in bases}
                best = max(reached, key=lambda name: reached[name])
                wins += best == "Adam"
                said.append(f"{value:g} {best} ({', '.join(f'{name} {reached[name]:.4f}' for name in bases)})")
            words = field.replace("_", " ").replace("lr", "rate")
            lines.append(
                Line(
                    "004-best-optimizer",
                    f"the best optimizer by validation, at each {words}",
                    "Adam best",
                    "; ".join(said),
                    _said(context, f"Adam best at {wins} of {len(values)}"),
                    0.0,
                )
            )
        return lines

    return measure


def saved_and_loaded(experiment: Experiment) -> Measure:
    """The weights of a run, stored and loaded again, give the same test accuracy to the last digit."""

    def measure(context: Any) -> list[Line]:
        started = time.perf_counter()
        stored = context.finished(experiment)
        with tempfile.TemporaryDirectory() as folder:
            stored.save(Path(folder))
            loaded = Run.load(folder)
        test = context.splits("mnist").test
        features = wrap(np.ascontiguousarray(loaded.preprocessor(test.tensors[0].numpy())))
        accuracy = evaluate(loaded.model, TensorDataset(features, test.tensors[1]))[1]
        weights, again = stored.model.state_dict(), loaded.model.state_dict()
        same = all(np.array_equal(weights[name].numpy(), again[name].numpy()) for name in weights)
        right = same and accuracy == stored.history.test_accuracy
        return [
            Line(
                "004-saved-and-loaded",
                "weights saved, loaded into a new model, tested",
                "",
                f"{accuracy:.4f}, as before; weights {'equal to the bit' if same else 'differ'}",
                _said(context, "works" if right else "differs"),
                time.perf_counter() - started,
            )
        ]

    return measure


def in_parallel(base: Experiment) -> Measure:
    """Four models trained one after the other, and two at a time: the same table, to the byte, in less time."""

    def measure(context: Any) -> list[Line]:
        experiment = context.experiment(base)
        seconds, tables = [], []
        jobs = max(context.jobs, 1)
        for n_jobs in (1, jobs):
            started = time.perf_counter()
            data = context.root(experiment.dataset)
            result = sweep(experiment, {"lr": [3e-4, 1e-3, 3e-3, 1e-2]}, n_jobs=n_jobs, data=data, progress=False)
            seconds.append(time.perf_counter() - started)
            tables.append(result.csv())
        same = tables[0] == tables[1]
        return [
            Line(
                "004-in-parallel",
                f"four models, one after the other and {jobs} at a time",
                "",
                f"{seconds[0]:.1f} s and {seconds[1]:.1f} s; tables {'equal to the byte' if same else 'differ'}",
                _said(context, "works" if same else "differs"),
                sum(seconds),
            )
        ]

    return measure


def handwriting(experiment: Experiment) -> Measure:
    """Digits drawn by the program, in four styles by five hands each, through `predict`."""

    def measure(context: Any) -> list[Line]:
        started = time.perf_counter()
        run = context.finished(experiment)
        hands = 1 if context.quick else 5
        lines, all_right, all_shown = [], 0, 0
        with tempfile.TemporaryDirectory() as folder:
            for style in STYLES:
                drawn = [(digit, hand) for hand in range(hands) for digit in range(10)]
                paths = [
                    draw_digit(digit, style, Path(folder) / f"{style}-{digit}-{hand}.png", hand)
                    for digit, hand in drawn
                ]
                found = predict(run, paths)
                right = sum(p.index == digit for p, (digit, _) in zip(found, drawn, strict=True))
                wrong = [f"{d} as {p.label[0]}" for p, (d, _) in zip(found, drawn, strict=True) if p.index != d]
                all_right, all_shown = all_right + right, all_shown + len(drawn)
                lines.append(f"{style} {right}/{len(drawn)}" + (f" ({', '.join(wrong)})" if wrong else ""))
        return [
            Line(
                "004-handwriting",
                f"handwriting of one's own: {all_shown} digits drawn by the program, through predict",
                "",
                f"{all_right / all_shown:.3f}: {'; '.join(lines)}",
                _said(context, "no figure in the report"),
                time.perf_counter() - started,
            )
        ]

    return measure


def _said(context: Any, verdict: str) -> str:
    return "quick" if context.quick else verdict
