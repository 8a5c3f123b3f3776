"""What the tests of ops share: every sample of every registry entry as a case, and its gradients for fixed cotangents.

Knows the registry, Tensor and graph; no particular op.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, graph
from tinygrad_lab.autograd.gradients import seeds
from tinygrad_lab.ops.declare import Composition, Op
from tinygrad_lab.tensor import Tensor, edge_of
from tinygrad_lab.verify.op_samples import Call, entries, flat, op_samples
from tinygrad_lab.verify.op_samples import OpSample as Case

__all__ = ["Call", "Case", "cases", "cotangents", "entries", "flat", "gradients", "recorded", "value_and_gradients"]

Path = tuple[Any, ...]


def cases(kinds: tuple[type, ...] = (Op, Composition)) -> list[Case]:
    return op_samples(kinds=kinds)


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
    with grad_mode.set_grad_enabled(create_graph):
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
