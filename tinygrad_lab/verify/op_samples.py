"""The samples of the ops, ready to be called: what a test that runs over all ops is parametrised with.

What this file lets you do: `op_samples()` lists every sample of every op, and of every composition, that the registry
holds; one can be called like a function of its differentiable inputs. Knows the registry and Tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab import manual_seed
from tinygrad_lab.ops.declare import Composition, Op, registry
from tinygrad_lab.ops.samples import Sample
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Call", "OpSample", "entries", "flat", "op_samples"]

Path = tuple[Any, ...]  # names an array among the arguments: ("input",), or ("tensors", 1) for an element of a sequence

# Floating arguments of compositions that get no gradient although the value depends on them, as in PyTorch.
NOT_DIFFERENTIATED = {
    ("cross_entropy", "weight"),
    ("detach", "input"),
}


def entries() -> list[Op | Composition]:
    """Every op and composition once: aliases name the same entry."""
    return list({id(entry): entry for entry in registry.values()}.values())


def flat(output: Any) -> list[Any]:
    """The outputs of a call as a list: most ops have one, some compositions return tuples."""
    return [item for part in output for item in flat(part)] if isinstance(output, (tuple, list)) else [output]


def op_samples(*names: str, kinds: tuple[type, ...] = (Op, Composition)) -> list[OpSample]:
    """The samples of the ops `names`, or of all. ValueError for a name that no op has.

    >>> first = op_samples("maximum")[0]
    >>> first, [tuple(x.shape) for x in first.inputs], tuple(first(*first.inputs).shape)
    (op_samples('maximum')[0], [(3, 4), (3, 4)], (3, 4))
    """
    for name in names:
        if name not in registry:
            raise ValueError(f"op_samples: there is no op '{name}'; tinygrad_lab.ops.declare.registry lists all")
    wanted: list[Op | Composition] = [registry[name] for name in names] if names else entries()
    return [
        OpSample(entry, sample, i)
        for entry in wanted
        if isinstance(entry, kinds)
        for i, sample in enumerate(entry.samples)
    ]


@dataclass(frozen=True, repr=False)
class OpSample:
    """One sample of one op. `sample(*sample.inputs)` calls the op; `str(sample)` is an id for a test."""

    entry: Any
    sample: Sample
    index: int

    def __str__(self) -> str:
        return f"{self.entry.name}-{self.index}"

    def __repr__(self) -> str:
        return f"op_samples('{self.entry.name}')[{self.index}]"

    def call(self, dtype: str = "float64") -> Call:
        """The arguments of this sample, all of them, with the arrays in `dtype`."""
        args, kwargs = self.sample.make(np.random.default_rng(1000 + self.index), dtype)
        return Call(self.entry, args, kwargs)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The differentiable inputs: float64 Tensors that require a gradient; no labels, masks or options."""
        call = self.call()
        return tuple(call.tensors(call.operands)[path] for path in call.operands)

    def __call__(self, *inputs: Any) -> Any:
        """The op's value at `inputs`, in the place of those of the sample."""
        call = self.call()
        return call({**call.tensors(), **dict(zip(call.operands, inputs, strict=True))})


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
        manual_seed(0)  # ops that draw numbers draw the same ones every time
        return (function or self.entry.function)(*bound.args, **bound.kwargs)

    def tensors(self, requires: Any = (), arrays: dict[Path, np.ndarray] | None = None) -> dict[Path, Tensor]:
        """A fresh leaf for every array; those in `requires` require a gradient."""
        arrays = {**self.arrays, **(arrays or {})}
        return {path: wrap(array).requires_grad_(path in requires) for path, array in arrays.items()}
