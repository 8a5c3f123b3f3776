"""Backward passes: `backward` leaves gradients in `.grad`, `grad` returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.tensor import Tensor, edge_of, wrap

__all__ = ["backward", "grad", "seeds"]


def seeds(tensors: list[Tensor], gradients: list[Any], create_graph: bool) -> list[tuple[Any, Any]]:
    """The roots of a backward pass: (edge, cotangent) pairs, checked, with 1 for a missing scalar cotangent."""
    roots = []
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if not tensor._requires_grad:
            raise RuntimeError(
                f"element 0 of tensors does not require grad and does not have a grad_fn: nothing was recorded for "
                f"this tensor of shape {tensor.shape}. Make the parameters with requires_grad=True, and compute the "
                f"loss outside no_grad() and without detach() or numpy()"
            )
        if gradient is None:
            if tensor.array.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, this one has shape {tensor.shape}: "
                    f"reduce it (.sum() or .mean()) or pass gradient=, a tensor of that shape"
                )
            gradient = np.array(1, tensor.array.dtype)  # a new one each time: hooks may change it in place
            if tensor.array.ndim:
                gradient = gradient.reshape(tensor.shape)
        else:
            if not isinstance(gradient, (Tensor, np.ndarray)):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(gradient).__name__}")
            if gradient.shape != tensor.shape:
                raise RuntimeError(
                    f"Mismatch in shape: the gradient has shape {gradient.shape} and the output has shape "
                    f"{tensor.shape}; they must be equal"
                )
            gradient = gradient if create_graph or isinstance(gradient, np.ndarray) else gradient.array
        if create_graph and isinstance(gradient, np.ndarray):
            gradient = wrap(gradient)
        roots.append((edge_of(tensor), gradient))
    return roots


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """`Tensor.backward` for several outputs at once: gradients of the sum of `tensors`, each weighted by its cotangent.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if grad_tensors is None:
        grad_tensors = [None] * len(tensors)
    elif not isinstance(grad_tensors, (list, tuple)):
        grad_tensors = [grad_tensors]
    targets = None
    if inputs is not None:
        chosen = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not chosen:
            raise RuntimeError("'inputs' argument to backward() cannot be empty")
        for leaf in chosen:
            if leaf.node is not None or not leaf._requires_grad:
                why = "has requires_grad=False" if leaf.node is None else f"was computed by {leaf.node.op.name}"
                raise RuntimeError(
                    f"backward(inputs=...) accumulates into leaves that require a gradient; one of shape {leaf.shape} "
                    f"{why}. For others use autograd.grad(outputs, inputs)"
                )
        targets = set(chosen)
    roots = seeds(tensors, grad_tensors, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    arrived = graph.run_backward(roots, retain_graph=retain, create_graph=create_graph, targets=targets)
    for leaf, gradient in arrived.items():
        leaf.accumulate_grad(gradient)


def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Compute the gradient of this tensor with respect to every leaf it depends on, and add it to their `.grad`.

    gradient      cotangent, same shape as this tensor; may be left out for a tensor with one element (it is 1)
    retain_graph  keep saved values, so that a second pass may follow; default: the value of `create_graph`
    create_graph  record the pass itself, so that gradients can be differentiated again
    inputs        accumulate into these leaves only

    RuntimeError if nothing was recorded, if `gradient` is missing or misshapen, if saved values were freed by an
    earlier pass or changed in place.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html
    """
    backward(self, gradient, retain_graph, create_graph, inputs)


_backward.__name__ = _backward.__qualname__ = "backward"
Tensor.backward = _backward


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradient of the sum of `outputs` with respect to each of `inputs`, as a tuple; no `.grad` is touched.

    outputs       tensors to differentiate; those with more than one element need a cotangent in `grad_outputs`
    inputs        leaves or intermediate tensors; only rules on a path to one of them run
    create_graph  record the pass, so that the result can be differentiated again; retain_graph defaults to it
    allow_unused  give None for an input that the outputs do not depend on, instead of raising
    materialize_grads   give zeros instead of None
    only_inputs   always True, as in PyTorch

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
