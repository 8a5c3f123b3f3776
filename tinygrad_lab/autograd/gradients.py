"""Gradients as values: `grad` returns what `backward` would leave in `.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.tensor import Tensor, edge_of, seeds, wrap

__all__ = ["grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradient of the sum of `outputs` with respect to each of `inputs`, as a tuple; no `.grad` is touched.

    outputs       tensors to differentiate; those with more than one element need a cotangent in `grad_outputs`
    inputs        leaves or intermediate tensors; only rules on a path to one of them run
    create_graph  record the pass, so that the result can be differentiated again; retain_graph defaults to it
    allow_unused  give None for an input that the outputs do not depend on, instead of raising
    materialize_grads   give zeros instead of None

    RuntimeError for an input that does not require a gradient or was not used.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html

    >>> x = Tensor([3.0]).requires_grad_()
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> (second,) = grad(first, x)
    >>> first, second
    (tensor([27.], grad_fn=<MulBackward>), tensor([18.]))
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None or isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs] * (1 if grad_outputs is not None else len(outputs))
    if len(grad_outputs) != len(outputs):
        raise RuntimeError(
            f"got {len(outputs)} tensors and {len(grad_outputs)} gradients: give one cotangent per output"
        )
    for i, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise RuntimeError(
                f"One of the differentiated Tensors does not require grad: inputs[{i}] of shape {tensor.shape} has "
                f"requires_grad=False; call requires_grad_() on it before computing the outputs"
            )
    roots = seeds(outputs, list(grad_outputs), create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    edges = [edge_of(tensor) for tensor in inputs]
    arrived = graph.run_backward(roots, retain_graph=retain, create_graph=create_graph, targets=set(edges))
    results: list[Any] = []
    for i, (tensor, edge) in enumerate(zip(inputs, edges, strict=True)):
        found = arrived.get(edge)
        if found is None:
            if materialize_grads:
                found = np.zeros(tensor.shape, tensor.array.dtype)
            elif not allow_unused:
                raise RuntimeError(
                    f"One of the differentiated Tensors appears to not have been used in the graph: inputs[{i}] of "
                    f"shape {tensor.shape}. Set allow_unused=True if this is the desired behavior"
                )
            else:
                results.append(None)
                continue
        found = found if isinstance(found, Tensor) else wrap(found)
        if tensor.node is None and tensor._watch is not None:
            found = tensor._watch.see(found)
        results.append(found)
    return tuple(results)
