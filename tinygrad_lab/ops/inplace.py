"""In-place forms: `x.add_(1)`, `x += 1`, `x[0] = 1`, `x.zero_()`.

Each computes its out-of-place op, so recording and errors are that op's, and writes the result into the memory of the
tensor, whose history is from then on the op's. PyTorch's rules hold: a leaf that requires a gradient cannot be changed
while recording is on, and values that a recorded op saved must not change before the backward pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, graph
from tinygrad_lab.dtypes import check_fits
from tinygrad_lab.ops.declare import Composition, Op, registry
from tinygrad_lab.ops.index import located, part_of, plain_index, setitem
from tinygrad_lab.ops.shape import to_dtype
from tinygrad_lab.random import Generator, rand, randn
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["assign", "inplace_of", "register_inplace"]


_clone: Any = registry["clone"]  # the identity: gives a tensor a new node without changing its gradient


def _check_writable(name: str, tensor: Tensor) -> None:
    """Refuse to change in place what a gradient is wanted of: a leaf, or a view of one."""
    if not (tensor._requires_grad and grad_mode.grad_enabled()):
        return
    source: Any = tensor if tensor.node is None else tensor.node
    while type(source) is graph.Node and source.op.view and source:
        source = source[0]
    if isinstance(source, Tensor) and np.may_share_memory(source.array, tensor.array):
        kind = (
            "a leaf Variable that requires grad" if source is tensor else "a view of a leaf Variable that requires grad"
        )
        raise RuntimeError(
            f"{name}: {kind} (shape {tensor.shape}) is being used in an in-place operation. To update a parameter do "
            f"it under torch.no_grad(); to compute with it use the out-of-place form"
        )


def _check_memory(name: str, array: np.ndarray) -> None:
    if not array.flags.writeable:
        raise RuntimeError(
            f"{name}: this tensor's memory is read-only or shared by several elements (an expanded tensor, or a "
            f"read-only array given to from_numpy): clone() it first"
        )


def _others(tensor: Tensor) -> int:
    """How many more objects refer to the array of a tensor without history: views of it, mostly.

    Python counts its references, but views do not say who they are. (2: the tensor's own, and the argument.)
    """
    return sys.getrefcount(tensor.array) - 2 if tensor.node is None else 0


def assign(name: str, target: Tensor, result: Tensor, shared: bool = False) -> Tensor:
    """Write `result` into `target`'s memory and give `target` its history. Returns `target`.

    `shared` says that `target` had no history, and others that look into its memory may exist.
    """
    _check_writable(name, target)
    if (
        result._requires_grad
        and target.node is None
        and target._requires_grad is False
        and target.array.dtype.kind != "f"
    ):
        raise RuntimeError(f"{name}: a {target.dtype.name} tensor cannot hold a value that requires a gradient")
    if result.shape != target.shape:
        raise RuntimeError(
            f"{name}: output with shape {target.shape} doesn't match the broadcast shape {result.shape}: an in-place "
            f"operation cannot change the shape; use the out-of-place form"
        )
    if not np.can_cast(result.array.dtype, target.array.dtype, "same_kind"):
        raise RuntimeError(
            f"{name}: result type {result.dtype.name} can't be cast to the desired output type {target.dtype.name}: "
            f"use the out-of-place form, or convert first"
        )
    _check_memory(name, target.array)
    if result.array.dtype is not target.array.dtype:
        result = to_dtype(result, target.array.dtype)
    if result.node is not None:
        _keep_overwritten(result.node, target.array)
    target.array[...] = result.array
    number = None
    if result.node is not None:
        if target.node is None:
            graph.mark_unrecorded(target.array, shared)
        _set_history(target, result.node)
        number = result.node.number  # so the new node itself is not older than the change
    elif grad_mode.grad_enabled() and target.node is not None:
        # Overwritten with something that needs no gradient: still a computed tensor, whose gradient goes nowhere.
        _set_history(target, graph.record(_clone.plan(0), (None,), (None,), target.array))
        number = target.node.number
    graph.mark_mutated(target.array, number=number)
    if number is None and target.node is not None:
        _renumber(target)
    return target


def _set_history(tensor: Tensor, node: graph.Node) -> None:
    """From now on `tensor` is what `node` computed. As in PyTorch `retain_grad` follows, hooks stay where they were."""
    before = None if tensor.node is None else tensor.node.watch
    tensor.node, tensor._requires_grad = node, True
    if before is not None and before.retains:
        before.retains = False
        tensor.retain_grad()


def _keep_overwritten(node: graph.Node, array: np.ndarray) -> None:
    """Give `node` copies of the saved values that live in `array`, which its own result is about to overwrite."""

    def kept(name: str, value: Any) -> Any:
        lost = name in node.plan.needs and isinstance(value, np.ndarray) and np.may_share_memory(value, array)
        return value.copy() if lost else value

    node.saved = tuple(map(kept, node.plan.names, node.saved or ()))


def _renumber(tensor: Tensor) -> None:
    """A computed tensor changed under no_grad keeps its history, as in PyTorch; its value is what it is now."""
    _set_history(tensor, graph.record(_clone.plan(1), (tensor.node,), (), tensor.array))


def inplace_of(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The in-place method of an op's function: `inplace_of(add)` is `Tensor.add_`."""
    name = function.__name__ + "_"

    composed = isinstance(function.op, Composition)  # type: ignore[attr-defined]

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        _check_writable(name, self)
        shared = _others(self) > 0  # before the op saves it
        # Any op of a composition may save what is about to be overwritten: those get a copy.
        operand = _clone.function(self) if composed and grad_mode.grad_enabled() else self
        return assign(name, self, function(operand, *args, **kwargs), shared)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{function.__name__}`, written into this tensor's own memory. Returns self."
    return method


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with the values of `src`, which is broadcast and cast as needed; its gradient flows to `src`."""
    shared = _others(self) > 0
    source = src if isinstance(src, Tensor) else wrap(np.asarray(src))
    if source.array.dtype is not self.array.dtype:
        source = source.to(self.array.dtype)
    return assign("copy_", self, source.expand(self.shape) if source.shape != self.shape else source.clone(), shared)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite every element with `value`, a number or a tensor without dimensions, to which its gradient flows."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"fill_: only supports a 0-dimensional value tensor, but got one of shape {value.shape}")
        return copy_(self, value)
    check_fits("fill_", value, self.array.dtype)
    return assign("fill_", self, wrap(np.full(self.shape, np.asarray(value).astype(self.array.dtype))))


def zero_(self: Tensor) -> Tensor:
    """Overwrite every element with 0."""
    return assign("zero_", self, wrap(np.zeros(self.shape, self.array.dtype)))


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with random values uniform in [low, high). RuntimeError if low > high, or for integers.

    >>> x = wrap(np.zeros(1000)).uniform_(2.0, 3.0)
    >>> bool(((x >= 2) & (x < 3)).all())
    True
    """
    if low > high:
        raise RuntimeError(f"uniform_: expects to return a [from, to) range, but found from={low} > to={high}")
    drawn = rand(self.shape, dtype=self.dtype, generator=generator).array
    return assign("uniform_", self, wrap(np.asarray(drawn * (high - low) + low)))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with random normal values. RuntimeError for a negative standard deviation, or for integers."""
    if std < 0:
        raise RuntimeError(f"normal_: expects std >= 0.0, but found std {std}")
    drawn = randn(self.shape, dtype=self.dtype, generator=generator).array
    return assign("normal_", self, wrap(np.asarray(drawn * std + mean)))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1 where a coin with probability `p` (a number, or a tensor that broadcasts) shows heads, else 0.

    RuntimeError for a probability outside of [0, 1].
    """
    probability = np.asarray(getattr(p, "array", p))
    if not ((probability >= 0) & (probability <= 1)).all():
        raise RuntimeError(f"bernoulli_: expects p to be in [0, 1], but got p={p}")
    heads = rand(self.shape, dtype=np.float64, generator=generator).array < probability
    return assign("bernoulli_", self, wrap(np.asarray(heads, self.array.dtype)))


def _leading_ones(shape: tuple[int, ...]) -> int:
    return next((dim for dim, size in enumerate(shape) if size != 1), len(shape))


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    _check_writable("setitem", self)
    others = _others(self)
    index = plain_index(index)
    array = self.array
    _check_memory("setitem", array)
    source = value if isinstance(value, Tensor) else wrap(np.asarray(value))
    if array.dtype.kind != "f":
        source = source.detach()  # no gradient comes through integers
        if not isinstance(value, Tensor):
            check_fits("setitem", source.array, array.dtype)
    recording = grad_mode.grad_enabled() and (self._requires_grad or source._requires_grad)
    if not recording:
        part, rest = located(array, index)
        values = source.array
        if values.ndim and len(values) == 1:  # NumPy does without leading ones too, but not for a number or a mask
            values = values.reshape(values.shape[_leading_ones(values.shape) :])
        try:
            part[rest] = values.astype(array.dtype, copy=False)
        except (ValueError, TypeError) as error:  # TypeError: more than one dimension for a mask
            raise RuntimeError(
                f"setitem: a value of shape {source.shape} does not fit into x[index] of shape {part[rest].shape}, x "
                f"of shape {array.shape}: {error}"
            ) from None
        graph.mark_mutated(array)
        if self.node is not None:
            _renumber(self)
        return
    # x[i] += v first changes the view x[i], whose memory is x's, and then assigns it: that one change is expected here.
    part = part_of(array, index)
    augmented = (
        source.node is not None
        and source.array.__array_interface__["data"] == part.__array_interface__["data"]
        and source.shape == part.shape
        and graph.last_mutation(array) == source.node.number
    )
    history = wrap(array, self.node) if self.node is not None else self
    if augmented and self.node is not None:
        history = wrap(array, graph.record(_clone.plan(1), (self.node,), (), array))
    elif augmented:
        graph.mark_recorded(array)
    if source.array.dtype is not array.dtype:
        source = to_dtype(source, array.dtype)
    if 0 < source.ndim - part.ndim <= (ones := _leading_ones(source.shape)):
        source = source.reshape(source.shape[ones:])
    assign("setitem", self, setitem(history, index, source), others > augmented)  # x[i] itself is one


def register_inplace(*names: str) -> None:
    """Give Tensor the in-place methods of these ops, and the augmented operators that belong to them."""
    augmented = {"add": "iadd", "sub": "isub", "mul": "imul", "div": "itruediv", "pow": "ipow", "remainder": "imod"}
    for name in names:
        method = inplace_of(registry[name].function)
        setattr(Tensor, name + "_", method)
        if name in augmented:
            setattr(Tensor, f"__{augmented[name]}__", method)


for _method in (copy_, fill_, zero_, uniform_, normal_, bernoulli_, __setitem__):
    setattr(Tensor, _method.__name__, _method)
register_inplace("add", "sub", "mul", "div", "pow", "remainder", "neg", "square", "sqrt", "rsqrt", "reciprocal")
register_inplace(
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sigmoid", "erf", "xlogy", "lerp", "addcmul", "addcdiv"
)
register_inplace("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "hypot")
register_inplace(
    "abs", "sign", "floor", "ceil", "trunc", "round", "frac", "nan_to_num", "clamp", "clip", "clamp_min", "clamp_max"
)
register_inplace("masked_fill", "scatter", "scatter_add", "index_add", "index_fill")
register_inplace(*(name for name, each in registry.items() if isinstance(each, Op) and "inplace" in each.arguments))
