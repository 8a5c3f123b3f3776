"""Sample inputs of ops: what a declaration lists, and every test, drawing and document draws from.

What this file lets you do: describe an input (`normal(3, 4)`, `integers(5, high=3)`) and a call (`Sample(...)`), and
make the arrays from a seed. Knows NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Draw", "Sample", "booleans", "distinct", "integers", "normal", "uniform"]


@dataclass(frozen=True)
class Draw:
    """A random array: its shape, how it is drawn, and parameters of that."""

    kind: str
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, rng: np.random.Generator, dtype: Any) -> np.ndarray:
        """The array; floating kinds come in `dtype`."""
        if self.kind == "integers":
            return rng.integers(self.options["low"], self.options["high"], self.shape)
        if self.kind == "booleans":
            return rng.random(self.shape) < 0.5
        if self.kind == "distinct":
            size = int(np.prod(self.shape))
            return ((rng.permutation(size) - size / 2 + 0.25) * 0.5).reshape(self.shape).astype(dtype)
        if self.kind == "uniform":
            values = rng.uniform(self.options["low"], self.options["high"], self.shape)
        else:
            values = rng.standard_normal(self.shape)
        for point in self.options.get("away_from", ()):
            near = np.abs(values - point) < 0.1
            values = np.where(near, point + np.where(values < point, -0.1, 0.1) + (values - point), values)
        return np.asarray(values, dtype)


def normal(*shape: int, away_from: tuple[float, ...] = ()) -> Draw:
    """Standard normal values; `away_from` lists kinks that no value comes within 0.1 of."""
    return Draw("normal", shape, {"away_from": away_from})


def uniform(*shape: int, low: float, high: float, away_from: tuple[float, ...] = ()) -> Draw:
    """Values uniform in [low, high), for functions with a domain."""
    return Draw("uniform", shape, {"low": low, "high": high, "away_from": away_from})


def distinct(*shape: int) -> Draw:
    """Shuffled values at least 0.5 apart, none of them 0: no ties for max, sort or pooling, no kinks at 0."""
    return Draw("distinct", shape)


def integers(*shape: int, low: int = 0, high: int) -> Draw:
    """int64 values in [low, high): labels, indices."""
    return Draw("integers", shape, {"low": low, "high": high})


def booleans(*shape: int) -> Draw:
    """A random mask."""
    return Draw("booleans", shape)


class Sample:
    """One call of an op, by example: positional and keyword arguments, with a Draw for each array.

    `smooth=False` marks a call whose second derivative finite differences cannot check (a kink, or a rule that is only
    piecewise smooth at the sampled point).

    >>> args, kwargs = Sample(normal(2, 3), dim=1).make(np.random.default_rng(0), "float32")
    >>> args[0].shape, kwargs
    ((2, 3), {'dim': 1})
    """

    def __init__(self, *args: Any, smooth: bool = True, **kwargs: Any) -> None:
        self.args, self.kwargs, self.smooth = args, kwargs, smooth

    def make(self, rng: np.random.Generator | None = None, dtype: Any = "float64") -> tuple[list[Any], dict[str, Any]]:
        """The arguments with every Draw (also inside lists and tuples) replaced by an array."""
        rng = rng or np.random.default_rng(0)

        def made(value: Any) -> Any:
            if isinstance(value, Draw):
                return value.make(rng, dtype)
            if isinstance(value, (list, tuple)):
                return type(value)(made(item) for item in value)
            return value

        return [made(value) for value in self.args], {name: made(value) for name, value in self.kwargs.items()}

    def __repr__(self) -> str:
        def text(value: Any) -> str:
            if isinstance(value, Draw):
                return "x".join(map(str, value.shape)) or "0d"
            if isinstance(value, (list, tuple)) and any(isinstance(item, Draw) for item in value):
                return "[" + ", ".join(text(item) for item in value) + "]"
            return repr(value)

        parts = [text(value) for value in self.args] + [f"{name}={text(v)}" for name, v in self.kwargs.items()]
        return f"({', '.join(parts)})"
