"""Random graphs over all ops that have rules, which the tests of drawings, pages and formulas share.

`random_graphs(50)` deals every sample of every op out over fifty graphs. In each of them a chain runs through the
calls: one operand of a call depends on the outputs of those before it, operands of equal shape are at times the same
leaf, and earlier intermediates come back, so that gradients meet. Everything is float64 and seeded.

`named` and `edges_of` find their way in pictures.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab import Tensor
from tinygrad_lab.ops.declare import Op
from tinygrad_lab.verify.op_samples import Call, OpSample, flat, op_samples
from tinygrad_lab.viz.picture import Picture, PictureNode

__all__ = ["RandomGraph", "edges_of", "named", "op_case_list", "random_graph", "random_graphs"]

# Ops whose operands may be equal: that is no kink of theirs and inside their domain.
MAY_SHARE = {"add", "sub", "mul", "matmul", "product", "hypot", "logaddexp", "cat", "stack", "lerp", "contract"}


@dataclass
class RandomGraph:
    """A scalar loss and its leaves by name; `build()` makes the same graph anew."""

    seed: int
    cases: list[OpSample]
    loss: Tensor | None = None
    leaves: dict[str, Tensor] = field(default_factory=dict)

    def build(self) -> RandomGraph:
        return _build(self.seed, self.cases)

    def __str__(self) -> str:
        return f"{self.seed}-{'-'.join(case.entry.name for case in self.cases[:3])}"


@functools.cache
def op_case_list() -> list[OpSample]:
    """Every sample of every op with rules whose operands hold something."""
    found = []
    for case in op_samples(kinds=(Op,)):
        call = case.call()
        if call.operands and all(array.size for array in call.arrays.values()):
            found.append(case)
    return found


def random_graphs(count: int = 50, seed: int = 0) -> list[RandomGraph]:
    """`count` graphs, described but not built, that hold every sample of every op once between them."""
    order = np.random.default_rng(seed).permutation(len(op_case_list()))
    cases = [op_case_list()[i] for i in order]
    return [RandomGraph(seed + i, cases[i::count]) for i in range(count)]


def random_graph(seed: int = 0, size: int = 8) -> RandomGraph:
    """One built graph of `size` calls of ops."""
    picked = np.random.default_rng(seed).choice(len(op_case_list()), size, replace=False)
    return _build(seed, [op_case_list()[i] for i in picked])


def _build(seed: int, cases: list[OpSample]) -> RandomGraph:
    rng = np.random.default_rng(seed)
    made = RandomGraph(seed, cases)
    state = made.leaves["start"] = torch.tensor(0.3, dtype=torch.float64).requires_grad_()
    earlier = [state]
    for i, case in enumerate(cases):
        call = case.call()
        outputs = flat(call(_operands(made, i, call, earlier, rng)))
        for y in outputs:
            if y.requires_grad and y.numel():
                share = (y.double() * torch.tensor(rng.uniform(0.05, 0.15, tuple(y.shape)))).mean()
                state = state + share
                earlier.append(state)
    made.loss = state
    return made


def _operands(made: RandomGraph, i: int, call: Call, earlier: list[Tensor], rng: np.random.Generator) -> dict:
    """Leaves for a call's arrays: some twice the same, one of them moved a little by what was computed before."""
    name = call.entry.name
    leaves = call.tensors(call.operands)
    linked = call.operands[rng.integers(len(call.operands))]
    previous = earlier[-1] if rng.random() < 0.7 else earlier[rng.integers(len(earlier))]
    for path in call.operands:
        twin = next((p for p in _twins(leaves, path) if p in call.operands), None)
        if twin is not None and rng.random() < 0.15 and name in MAY_SHARE:
            leaves[path] = leaves[twin]
            continue
        made.leaves[f"{name}{i}.{'.'.join(map(str, path))}"] = leaves[path]
    leaves[linked] = leaves[linked] + torch.tanh(previous) * 0.01
    return leaves


def _twins(leaves: dict, path: tuple) -> list:
    """Paths before `path` whose leaves have its shape."""
    order = list(leaves)
    return [p for p in order[: order.index(path)] if leaves[p].shape == leaves[path].shape]


def named(picture: Picture, name: str) -> PictureNode:
    """The one node of that name."""
    (found,) = [node for node in picture.nodes if node.name == name]
    return found


def edges_of(picture: Picture, name: str) -> list[tuple[str, str, bool]]:
    """(operand, argument, whether a gradient flows) of the node `name`, in order."""
    target = named(picture, name).id
    return [(picture.node(e.source).name, e.argument, e.gradient_flows) for e in picture.edges if e.target == target]
