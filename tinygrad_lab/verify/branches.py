"""Which branch every relu, max, abs, clamp, pooling, comparison took, read off a run.

What this file lets you do: run a function of Tensors and get the branches as arrays (`branches_of`): where they are the
same at two points, the function is smooth between them as far as these ops go. Ops that are not listed are covered if
something with integer or bool values decides them (indices of max and sort, comparisons, masks of pooling).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, graph
from tinygrad_lab.tensor import Tensor

__all__ = ["branches_of"]


def _sides(x: np.ndarray, *points: Any) -> np.ndarray:
    """On which side of the points, in order, every element is; being on one is a side too."""
    total = np.zeros(x.shape, np.int8)
    for point in points:
        if point is not None:
            total = total + np.sign(x - point).astype(np.int8)
    return total


def _largest(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def where(input: np.ndarray, dim: Any = None, **_: Any) -> np.ndarray:
        axis = tuple(dim) if isinstance(dim, (tuple, list)) else dim
        axis = None if axis == () else axis
        return np.equal(input, function(input, axis=axis, keepdims=True)) if input.size else np.zeros(0, bool)

    return where


RULES: dict[str, Callable[..., np.ndarray]] = {
    **{
        name: lambda input, **_: _sides(input, 0)
        for name in ("relu", "leaky_relu", "prelu", "elu", "celu", "selu", "abs", "sign")
    },
    **{name: lambda input, other, **_: _sides(input - other, 0) for name in ("maximum", "minimum", "fmax", "fmin")},
    "relu6": lambda input, **_: _sides(input, 0, 6),
    "hardtanh": lambda input, min_val=-1.0, max_val=1.0, **_: _sides(input, min_val, max_val),
    "hardsigmoid": lambda input, **_: _sides(input, -3, 3),
    "hardswish": lambda input, **_: _sides(input, -3, 3),
    "threshold": lambda input, threshold, **_: _sides(input, threshold),
    "clamp": lambda input, min=None, max=None, **_: _sides(input, min, max),
    "clamp_min": lambda input, min, **_: _sides(input, min),
    "clamp_max": lambda input, max, **_: _sides(input, max),
    "l1_loss": lambda input, target, **_: _sides(input - target, 0),
    "amax": _largest(np.max),
    "amin": _largest(np.min),
    "max_of_all": _largest(np.max),
    "min_of_all": _largest(np.min),
    **{name: lambda input, **_: np.floor(input) for name in ("floor", "ceil", "round", "trunc", "frac")},
}


class _Branches(graph.Observer):
    def __init__(self) -> None:
        self.found: list[np.ndarray] = []

    def forward(self, op: Any, arguments: dict[str, Any], output: Any, node: graph.Node | None) -> None:
        rule = RULES.get(op.name)
        if rule is not None:
            self.found.append(np.asarray(rule(**arguments)))
        elif isinstance(output, Tensor) and output.array.dtype.kind in "biu":
            self.found.append(output.array.copy())
        elif node is not None and node.saved is not None and op.residuals:
            saved = dict(zip(node.plan.names, node.saved, strict=True))
            for name in op.residuals:
                value = saved.get(name)
                if isinstance(value, np.ndarray) and value.dtype.kind in "biu":
                    self.found.append(value.copy())


def branches_of(function: Callable[[], Any]) -> list[np.ndarray]:
    """The branches that the ops of `function()` take, in order; its leaves must require gradients.

    >>> x = Tensor([-1.0, 2.0]).requires_grad_()
    >>> branches_of(lambda: x.relu().sum())
    [array([-1,  1], dtype=int8)]
    """
    observer = _Branches()
    graph.observers.append(observer)
    try:
        with grad_mode.enable_grad():
            function()
    finally:
        graph.observers.remove(observer)
    return observer.found
