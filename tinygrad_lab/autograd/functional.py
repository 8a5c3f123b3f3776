"""Derivatives of functions: vjp, jvp, jacobian, hessian, vhp and hvp, in PyTorch's signatures.

Each takes a function of Tensors and its inputs (one Tensor or a tuple), and leaves the inputs and their `.grad` alone.
Source: https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode
from tinygrad_lab.autograd.gradients import grad
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _as_tuple(value: Any, what: str) -> tuple[Tensor, ...]:
    items = value if isinstance(value, tuple) else tuple(value) if isinstance(value, list) else (value,)
    for item in items:
        if not isinstance(item, Tensor):
            raise TypeError(f"{what} must be a Tensor or a tuple of Tensors, got {type(item).__name__}")
    return items


def _run(
    func: Callable[..., Any], inputs: Any, create_graph: bool
) -> tuple[tuple[Tensor, ...], Any, tuple[Tensor, ...]]:
    """(inputs as differentiable tensors, outputs as func returned them, outputs as a tuple)."""
    fresh = tuple(
        tensor.view_as(tensor) if create_graph and tensor.requires_grad else tensor.detach().requires_grad_()
        for tensor in _as_tuple(inputs, "the inputs")
    )
    outputs = func(*fresh)
    return fresh, outputs, _as_tuple(outputs, "the outputs of the function")


def _cotangents(v: Any, outputs: tuple[Tensor, ...], what: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the {what} is a single Tensor with one element; here it has shapes "
                f"{[tuple(tensor.shape) for tensor in outputs]}: give v with the same shapes"
            )
        return (wrap(np.ones(outputs[0].shape, outputs[0].array.dtype)),)
    vectors = _as_tuple(v, "v")
    shapes, wanted = [tensor.shape for tensor in vectors], [tensor.shape for tensor in outputs]
    if shapes != wanted:
        raise RuntimeError(f"v must have the shapes of the {what}, {wanted}, got {shapes}")
    return vectors


def _gradients(outputs: Any, inputs: Any, v: Any, create_graph: bool, strict: bool) -> tuple[Tensor, ...]:
    """`grad` with zeros for what does not depend, or an error under `strict`."""
    pairs = [(output, vector) for output, vector in zip(outputs, v, strict=True) if output.requires_grad]
    if strict and len(pairs) < len(outputs):
        raise RuntimeError("an output of the function is independent of its inputs; this is not allowed in strict mode")
    if not pairs:
        return tuple(wrap(np.zeros(tensor.shape, tensor.array.dtype)) for tensor in inputs)
    return grad(
        [output for output, _ in pairs],
        inputs,
        [vector for _, vector in pairs],
        retain_graph=True,
        create_graph=create_graph,
        materialize_grads=not strict,
    )


def _like(value: Any, results: tuple[Any, ...]) -> Any:
    return results if isinstance(value, (tuple, list)) else results[0]


def _finished(value: Any, create_graph: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_finished(item, create_graph) for item in value)
    return value if create_graph else value.detach()


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), v^T J): one backward pass with cotangent `v`, which has the shape of the output.

    >>> vjp(lambda x: x**2, Tensor([1.0, 2.0]), Tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with grad_mode.enable_grad():
        fresh, outputs, flat = _run(func, inputs, create_graph)
        result = _gradients(flat, fresh, _cotangents(v, flat, "output"), create_graph, strict)
    return _finished(outputs, create_graph), _finished(_like(inputs, result), create_graph)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), J v): the directional derivative along `v`, which has the shape of the inputs.

    The vjp is linear in its cotangent u, so the vjp of that map, taken at v, is J v: two backward passes.

    >>> jvp(lambda x: x**2, Tensor([1.0, 2.0]), Tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with grad_mode.enable_grad():
        fresh, outputs, flat = _run(func, inputs, create_graph)
        vectors = _cotangents(v, fresh, "input")
        u = tuple(wrap(np.zeros(tensor.shape, tensor.array.dtype)).requires_grad_() for tensor in flat)
        transposed = _gradients(flat, fresh, u, True, strict)
        result = _gradients(transposed, u, vectors, create_graph, False)
    return _finished(outputs, create_graph), _finished(_like(outputs, result), create_graph)


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """The matrix of all partial derivatives: shape output.shape + input.shape, one backward pass per output element.

    A tuple per output and input where the function has several.

    >>> jacobian(lambda x: x**2, Tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    from tinygrad_lab.ops.joining import stack

    with grad_mode.enable_grad():
        fresh, outputs, flat = _run(func, inputs, create_graph)
        per_output = []
        for output in flat:
            rows: list[tuple[Tensor, ...]] = []
            for i in range(output.numel()):
                unit = np.zeros(output.numel(), output.array.dtype)
                unit[i] = 1
                rows.append(_gradients((output,), fresh, (wrap(unit.reshape(output.shape)),), create_graph, strict))
            blocks = []
            for j, tensor in enumerate(fresh):
                shape = (*output.shape, *tensor.shape)
                if rows:
                    blocks.append(stack([row[j] for row in rows]).reshape(shape))
                else:
                    blocks.append(wrap(np.zeros(shape, tensor.array.dtype)))
            per_output.append(_like(inputs, tuple(blocks)))
    return _finished(_like(outputs, tuple(per_output)), create_graph)


def _scalar(func: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*inputs: Tensor) -> Tensor:
        output = func(*inputs)
        if not isinstance(output, Tensor) or output.numel() != 1:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise RuntimeError(
                f"the function must return a single Tensor with one element, got {shape}: sum or mean it"
            )
        return output.reshape(())

    return checked


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """The matrix of second derivatives of a scalar function: shape input.shape + input.shape.

    >>> hessian(lambda x: (x**3).sum(), Tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*fresh: Tensor) -> Any:
        output = _scalar(func)(*fresh)
        return _like(inputs, _gradients((output,), fresh, (wrap(np.ones((), output.array.dtype)),), True, strict))

    return jacobian(gradient, inputs, create_graph, strict)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), v^T H) of a scalar function, without forming the Hessian: two backward passes."""
    with grad_mode.enable_grad():
        fresh, outputs, flat = _run(_scalar(func), inputs, create_graph)
        vectors = _cotangents(v, fresh, "input")
        first = _gradients(flat, fresh, (wrap(np.ones((), flat[0].array.dtype)),), True, strict)
        result = _gradients(first, fresh, vectors, create_graph, strict)
    return _finished(outputs, create_graph), _finished(_like(inputs, result), create_graph)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(inputs), H v) of a scalar function. The Hessian is symmetric, so this is `vhp`.

    >>> hvp(lambda x: (x**3).sum(), Tensor([1.0, 2.0]), Tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)
