"""Ops of one's own, written as a class with `forward` and `backward`, as `torch.autograd.Function`.

For an op with a rule per argument, `ops.declare.op` is shorter; this is PyTorch's form, where one `backward` returns
all gradients and keeps what it needs on a context.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, graph
from tinygrad_lab.tensor import Tensor, edge_of, wrap

__all__ = ["Function", "FunctionContext", "once_differentiable"]


class FunctionContext:
    """What `forward` leaves for `backward`: saved tensors, and any attributes."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Any, ...] = ()
        self._not_differentiable: tuple[Tensor, ...] = ()
        self._materialize = True
        self._saved: tuple[Any, ...] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or intermediate tensors; they are freed with the graph and guarded against mutation."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but an argument is of type {type(tensor).__name__}: "
                    f"keep other values as attributes (ctx.n = n)"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given; only inside `backward`."""
        if self._saved is None:
            raise RuntimeError("ctx.saved_tensors is there during backward only")
        return self._saved

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Outputs that require no gradient, such as indices."""
        self._not_differentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for an output that nothing used."""
        self._materialize = value

    def mark_dirty(self, *inputs: Tensor) -> None:
        raise NotImplementedError(
            "ctx.mark_dirty: functions that change their inputs in place are not supported: return a new tensor"
        )


class _FunctionOp:
    """What graph readers expect of an op, for a Function class."""

    may_alias = True  # a user's backward may return anything, its own saved tensors too
    view = False
    sequence = False
    formula = ""
    vjp_formula: dict[str, str] = {}  # noqa: RUF012
    rules: dict[str, Any] = {}  # noqa: RUF012
    residuals: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, name: str, arguments: tuple[str, ...] = ()) -> None:
        self.name = name
        self.arguments = self.differentiable = arguments


class _Outputs:
    """The cotangents of a function with several outputs, while the backward pass collects them."""

    shape: Any = "outputs"
    dtype: Any = None

    def __init__(self, cotangents: dict[int, Any]) -> None:
        self.cotangents = cotangents
        self.array = self

    def __add__(self, other: _Outputs) -> _Outputs:
        merged = dict(self.cotangents)
        for index, cotangent in other.cotangents.items():
            merged[index] = merged[index] + cotangent if index in merged else cotangent
        return _Outputs(merged)


class _OutputPlan:
    """The plan of a node that is one of several outputs: it hands its cotangent on, labelled with its place."""

    names: tuple[str, ...] = ()
    asked: frozenset[str] = frozenset()
    needs = asked
    holds = False
    op = _FunctionOp("function_output", ("function",))

    def __init__(self, index: int) -> None:
        self.index = index

    def pull(self, g: Any, saved: Any) -> tuple[Any]:
        return (_Outputs({self.index: g}),)

    def tensors(self, node: graph.Node) -> tuple[Any, ...]:
        return ()


class _CallPlan:
    """The plan of one call of a Function: how to run its `backward`."""

    holds = True

    def __init__(
        self, function: type[Function], ctx: FunctionContext, inputs: tuple[Any, ...], outputs: list[Tensor]
    ) -> None:
        self.function, self.ctx = function, ctx
        self.op = _FunctionOp(function.__name__, tuple(f"input{i}" for i in range(len(inputs))))
        self.single = len(outputs) == 1
        self.outputs = [(tensor.shape, tensor.array.dtype) for tensor in outputs]
        # Where each saved tensor came from: an edge, the place of an output, or None.
        self.origins: list[Any] = []
        for tensor in ctx._to_save:
            place = next((i for i, output in enumerate(outputs) if output is tensor), None)
            if place is not None:
                self.origins.append(place)
            elif tensor is not None and tensor._requires_grad:
                self.origins.append(edge_of(tensor))
            else:
                self.origins.append(None)
        self.names = tuple(f"saved tensor {i}" for i in range(len(self.origins)))
        self.asked = self.needs = frozenset(self.names)

    def tensors(self, node: graph.Node) -> tuple[Any, ...]:
        """The saved tensors with their history, for a pass that is recorded."""
        restored: list[Tensor | None] = []
        for array, origin in zip(node.saved or (), self.origins, strict=True):
            if array is None:
                restored.append(None)
            elif isinstance(origin, Tensor):
                restored.append(origin)
            elif isinstance(origin, graph.Node):
                restored.append(wrap(array, origin))
            elif origin is None:
                restored.append(wrap(array))
            else:
                child = node if self.single else graph.record(_OutputPlan(origin), (node,), (), array)
                restored.append(wrap(array, child))
        return tuple(restored)

    def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
        recorded = grad_mode.grad_enabled()
        cotangents = g.cotangents if isinstance(g, _Outputs) else {0: g}
        grads: list[Any] = []
        for i, (shape, dtype) in enumerate(self.outputs):
            cotangent = cotangents.get(i)
            if cotangent is None and self.ctx._materialize:
                cotangent = np.zeros(shape, dtype)
            grads.append(wrap(np.asarray(cotangent)) if isinstance(cotangent, (np.ndarray, np.generic)) else cotangent)
        saved = () if saved is None else saved
        self.ctx._saved = tuple(wrap(value) if isinstance(value, np.ndarray) else value for value in saved)
        try:
            results = self.function.backward(self.ctx, *grads)
        finally:
            self.ctx._saved = None
        results = results if isinstance(results, tuple) else tuple(results) if isinstance(results, list) else (results,)
        wanted = len(self.ctx.needs_input_grad)
        if len(results) < wanted or any(result is not None for result in results[wanted:]):
            raise RuntimeError(
                f"function {self.op.name} returned an incorrect number of gradients (expected {wanted}, got "
                f"{len(results)}): backward returns one per argument of forward, None for those without"
            )
        contributions: list[Any] = []
        for i, (result, needed) in enumerate(zip(results, self.ctx.needs_input_grad, strict=False)):
            if result is not None and not isinstance(result, Tensor):
                raise TypeError(
                    f"function {self.op.name}: backward must return Tensors or None, got {type(result).__name__} at {i}"
                )
            if result is None or not needed:
                contributions.append(None)
            else:
                contributions.append(result if recorded else result.array)
        return tuple(contributions)


class Function:
    """Base class of user-defined differentiable functions: write static `forward` and `backward`, call `apply`.

    `forward(ctx, *args)` (or `forward(*args)` with a static `setup_context(ctx, inputs, output)`) computes on Tensors
    without recording. `backward(ctx, *grad_outputs)` returns one gradient per argument of forward, None where there is
    none; written with ops, it can be differentiated again.
    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function

    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad_output
    >>> x = Tensor([3.0]).requires_grad_()
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor([6.])
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *grad_outputs)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        raise NotImplementedError

    def __init__(self) -> None:
        raise RuntimeError(f"{type(self).__name__} is not instantiated: call {type(self).__name__}.apply(...)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and record it. Takes positional arguments only, tensors and others."""
        needs = tuple(isinstance(arg, Tensor) and arg._requires_grad for arg in args)
        ctx = FunctionContext(needs)
        separate = cls.setup_context is not Function.setup_context
        with grad_mode.no_grad():
            result = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate:
                cls.setup_context(ctx, args, result)
        several = isinstance(result, (tuple, list))
        returned = list(result) if several else [result]
        outputs = [output for output in returned if isinstance(output, Tensor)]
        if not outputs:
            got = f"{type(result).__name__} of {[type(item).__name__ for item in returned]}" if several else ""
            raise TypeError(
                f"{cls.__name__}.forward: expected to return a Tensor, or a tuple with at least one, got "
                f"{got or type(result).__name__}"
            )
        if not (any(needs) and grad_mode.grad_enabled()):
            return result
        plan = _CallPlan(cls, ctx, args, outputs)
        saved = tuple(None if tensor is None else tensor.array for tensor in ctx._to_save)
        skipped = [id(tensor) for tensor in ctx._not_differentiable]
        ctx._to_save = ctx._not_differentiable = ()  # tensors kept here would keep their own graph alive
        edges = tuple(edge_of(arg) if needed else None for arg, needed in zip(args, needs, strict=True))
        node = graph.record(plan, edges, saved, outputs[0].array)
        if not plan.single:
            node.shape, node.dtype = _Outputs.shape, _Outputs.dtype
        made: list[Any] = []
        place = 0
        for output in returned:
            if not isinstance(output, Tensor):
                made.append(output)
                continue
            differentiable = output.is_floating_point() and id(output) not in skipped
            child = node if plan.single else graph.record(_OutputPlan(place), (node,), (), output.array)
            made.append(wrap(output.array, child if differentiable else None))
            place += 1
        for observer in tuple(graph.observers):
            arguments = {f"input{i}": arg.array if isinstance(arg, Tensor) else arg for i, arg in enumerate(args)}
            for output in made:
                if isinstance(output, Tensor):
                    observer.forward(plan.op, arguments, output, output.node)
        return tuple(made) if several else made[0]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that is not written with differentiable ops: a pass under create_graph is refused."""

    @functools.wraps(backward)
    def checked(ctx: Any, *grad_outputs: Any) -> Any:
        if grad_mode.grad_enabled():
            raise RuntimeError(
                "trying to differentiate twice a function that was marked with @once_differentiable: its backward is "
                "not recorded"
            )
        return backward(ctx, *grad_outputs)

    return checked
