"""Histograms of a model's weights, activations and gradients while it trains.

What this file lets you do: attach a `HistogramRecorder` to a model, `record()` now and then, and store what it saw. It
knows modules and their hooks; nothing of training loops or figures.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab.nn import Module
from tinygrad_lab.tensor import Tensor

__all__ = ["HistogramRecorder"]


def _histogram(values: np.ndarray, bins: int) -> dict[str, Any]:
    """Counts of equal bins from the smallest to the largest finite value; how many values are not finite is kept."""
    good = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    if high - low > 1e-9 * max(abs(low), abs(high)):
        counts = np.histogram(good, bins, (low, high))[0].tolist()
    else:  # no bins fit between two equal numbers
        high, counts = low, [good.size, *[0] * (bins - 1)]
    return {"low": low, "high": high, "counts": counts, "not_finite": values.size - good.size}


class HistogramRecorder:
    """Records histograms of parameters, their gradients, and outputs of the layers in training.

    Each `record()` looks at what is there at that moment: parameters, their `.grad`, and what each layer without
    children put out in its last call in training mode. Between calls it costs one stored reference per layer.

    Args:
        model: the model to watch; hooks are attached to its layers until `remove()`, or the end of a `with` block.
        bins: number of bins of each histogram.

    Attributes:
        records: one dict per `record()`: {"at": epoch, "weight": {name: histogram}, "gradient": …, "activation": …}.
            A histogram is {"low", "high", "counts", "not_finite"}; an activation's name has its layer's class.

    >>> import tinygrad_lab as torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> with HistogramRecorder(model, bins=4) as recorder:
    ...     model(torch.ones(5, 2)).sum().backward()
    ...     recorder.record(1)
    >>> {kind: list(found) for kind, found in recorder.records[0].items() if kind != "at"}
    {'weight': ['0.weight', '0.bias'], 'gradient': ['0.weight', '0.bias'], 'activation': ['0 Linear', '1 ReLU']}
    >>> sum(recorder.records[0]["activation"]["1 ReLU"]["counts"])
    15
    """

    def __init__(self, model: Module, bins: int = 60) -> None:
        self.model, self.bins = model, bins
        self.records: list[dict[str, Any]] = []
        self._outputs: dict[str, np.ndarray] = {}
        self._handles = [
            layer.register_forward_hook(self._watch(f"{name} {type(layer).__name__}".strip()))
            for name, layer in model.named_modules()
            if not list(layer.children())
        ]

    def _watch(self, name: str) -> Any:
        def hook(layer: Module, args: Any, output: Any) -> None:
            if layer.training and isinstance(output, Tensor):
                self._outputs[name] = output.array

        return hook

    def record(self, at: float) -> None:
        """Add histograms of the present state, under the epoch (or step) `at`."""
        parameters = dict(self.model.named_parameters())
        arrays = {
            "weight": {name: parameter.array for name, parameter in parameters.items()},
            "gradient": {name: p.grad.array for name, p in parameters.items() if p.grad is not None},
            "activation": self._outputs,
        }
        record: dict[str, Any] = {"at": at}
        for kind, found in arrays.items():
            record[kind] = {name: _histogram(array, self.bins) for name, array in found.items()}
        self.records.append(record)

    def remove(self) -> None:
        """Take the hooks away and let go of the outputs; the records stay."""
        for handle in self._handles:
            handle.remove()
        self._outputs.clear()

    def __enter__(self) -> HistogramRecorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the records as JSON, whole or not at all."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(self.records), encoding="utf-8")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
