"""What the tests of ops share: every sample of every registry entry as a case, and calls with operands replaced.

A `Call` holds the arguments of one sample. A path names an array in them: ("input",), or ("tensors", 1) for an element
of a sequence. Knows the registry, Tensor and graph; no particular op.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_lab
from tinygrad_lab import graph
from tinygrad_lab.ops.declare import Composition, Op, registry
from tinygrad_lab.ops.samples import Sample
from tinygrad_lab.tensor import Tensor, edge_of, seeds, wrap

Path = tuple[Any, ...]

# Floating arguments of compositions that get no gradient although the value depends on them, as in PyTorch.
NOT_DIFFERENTIATED = {
    ("cross_entropy", "weight"),
    ("detach", "input"),
}


def entries() -> list[Op | Composition]:
    """Every op and composition once: aliases name the same entry."""
    return list({id(entry): entry for entry in registry.values()}.values())


@dataclass(frozen=True)
class Case:
    """One sample of one entry."""

    entry: Any
    sample: Sample
    index: int

    def __str__(self) -> str:
        return f"{self.entry.name}-{self.index}"

    def call(self, dtype: str = "float64") -> Call:
        args, kwargs = self.sample.make(np.random.default_rng(1000 + self.index), dtype)
        return Call(self.entry, args, kwargs)


def cases(kinds: tuple[type, ...] = (Op, Composition)) -> list[Case]:
    return [
        Case(entry, sample, i)
        for entry in entries()
        if isinstance(entry, kinds)
        for i, sample in enumerate(entry.samples)
    ]


class Call:
    """The arguments of one call, by name, and which of them are arrays."""

    def __init__(self, entry: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.entry, self.args, self.kwargs = entry, args, kwargs
        self.constants = NOT_DIFFERENTIATED
        self.bound = entry.signature.bind(*args, **kwargs)
        self.arrays: dict[Path, np.ndarray] = {}
        for name, value in self.bound.arguments.items():
            if isinstance(entry, Op) and name not in entry.arrays:
                continue
            if isinstance(value, (np.ndarray, np.generic)):
                self.arrays[(name,)] = np.asarray(value)
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, np.ndarray):
                        self.arrays[(name, i)] = item

    @property
    def operands(self) -> list[Path]:
        """Paths of arrays that may require a gradient: floating, and of an op only the differentiable arguments."""
        candidates = self.entry.differentiable if isinstance(self.entry, Op) else self.entry.arguments
        return [
            path
            for path, array in self.arrays.items()
            if array.dtype.kind == "f" and path[0] in candidates and (self.entry.name, path[0]) not in self.constants
        ]

    def __call__(self, values: dict[Path, Any], function: Any = None) -> Any:
        """Call the function (or another one with the same arguments) with `values` in the place of arrays."""
        arguments = dict(self.bound.arguments)
        for path, value in values.items():
            if len(path) == 1:
                arguments[path[0]] = value
            else:
                sequence = list(arguments[path[0]])
                sequence[path[1]] = value
                arguments[path[0]] = type(self.bound.arguments[path[0]])(sequence)
        bound = type(self.bound)(self.entry.signature, arguments)
        tinygrad_lab.manual_seed(0)  # ops that draw numbers draw the same ones every time
        return (function or self.entry.function)(*bound.args, **bound.kwargs)

    def tensors(self, requires: Any = (), arrays: dict[Path, np.ndarray] | None = None) -> dict[Path, Tensor]:
        """A fresh leaf for every array; those in `requires` require a gradient."""
        arrays = {**self.arrays, **(arrays or {})}
        return {path: wrap(array).requires_grad_(path in requires) for path, array in arrays.items()}


def flat(output: Any) -> list[Any]:
    """The outputs of a call as a list: most ops have one, some compositions return tuples."""
    return [item for part in output for item in flat(part)] if isinstance(output, (tuple, list)) else [output]


def recorded(output: Any) -> list[Tensor]:
    return [y for y in flat(output) if isinstance(y, Tensor) and y.requires_grad]


def cotangents(outputs: list[Any], seed: int = 7) -> list[np.ndarray]:
    """Fixed random cotangents, away from 0, in the dtypes of `outputs`."""
    rng = np.random.default_rng(seed)
    return [
        np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape), y.array.dtype) for y in outputs
    ]


def gradients(
    outputs: list[Tensor],
    weights: list[Any],
    leaves: dict[Path, Tensor],
    *,
    retain: bool = False,
    create_graph: bool = False,
) -> dict[Path, Any]:
    """{path: gradient} of sum(<weight, output>) for leaves that it reached: arrays, or Tensors with `create_graph`."""
    roots = seeds(outputs, weights, create_graph)
    edges = {path: edge_of(leaf) for path, leaf in leaves.items() if leaf.requires_grad}
    with graph.set_grad_enabled(create_graph):
        arrived = graph.run_backward(
            roots, retain_graph=retain or create_graph, create_graph=create_graph, targets=set(edges.values())
        )
    return {path: arrived[edge] for path, edge in edges.items() if edge in arrived}


def value_and_gradients(
    call: Call, arrays: dict[Path, np.ndarray] | None = None, requires: Any = None
) -> tuple[Any, dict[Path, Any]]:
    """Outputs and gradients of one call, with the fixed cotangents; only operands that a gradient reached."""
    leaves = call.tensors(call.operands if requires is None else requires, arrays)
    outputs = flat(call(leaves))
    floating = [y for y in outputs if isinstance(y, Tensor) and y.array.dtype.kind == "f"]
    weighted = [(y, w) for y, w in zip(floating, cotangents(floating), strict=True) if y.requires_grad]
    found = gradients([y for y, _ in weighted], [w for _, w in weighted], leaves) if weighted else {}
    return outputs, found
