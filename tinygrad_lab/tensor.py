"""The Tensor: a light handle on an array, its gradient, and the node that made it.

What this file lets you do: hold an array, ask what it is (shape, dtype, leaf or not), mark it as requiring a gradient,
read it out to NumPy or Python. Operations are not here: each is declared under `ops/`, and its declaration adds the
method; `backward` comes with `autograd.gradients`. This file knows `graph` and `dtypes`, and no op.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex

import numpy as np

from tinygrad_lab import dtypes, graph
from tinygrad_lab.hooks import RemovableHandle, Watch

__all__ = ["Tensor", "wrap"]


class Tensor:
    """An n-dimensional array that can record what is done to it. Make one with `tensor`, `zeros`, `randn`, ...

    `Tensor([1, 2])` gives the default floating dtype and `Tensor(2, 3)` zeros of that shape, as PyTorch's legacy
    constructor does (PyTorch leaves them uninitialised).

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # array           the values, always an ndarray (also when 0-d)
    # node            the graph.Node that made it; None for a leaf
    # _requires_grad  True for a leaf that wants a gradient and for whatever was recorded
    # _grad           a leaf's gradient: a Tensor, the array that a backward pass left and nobody asked for yet, or None
    # _watch          a leaf's hooks; a recorded tensor's live on its node
    __slots__ = ("__weakref__", "_grad", "_requires_grad", "_watch", "array", "node")

    __array_priority__ = 1000  # ndarray + Tensor asks Tensor.__radd__ first

    array: np.ndarray
    node: graph.Node | None
    _requires_grad: bool
    _grad: Any
    _watch: Watch | None

    # The operators, which come with their ops, for type checkers and editors. (Methods are Any to them: see
    # __getattr__.)
    backward: Callable[..., None]
    __getitem__: Callable[..., Tensor]
    __setitem__: Callable[..., None]
    __add__: Callable[..., Tensor]
    __radd__: Callable[..., Tensor]
    __sub__: Callable[..., Tensor]
    __rsub__: Callable[..., Tensor]
    __mul__: Callable[..., Tensor]
    __rmul__: Callable[..., Tensor]
    __truediv__: Callable[..., Tensor]
    __rtruediv__: Callable[..., Tensor]
    __floordiv__: Callable[..., Tensor]
    __rfloordiv__: Callable[..., Tensor]
    __mod__: Callable[..., Tensor]
    __rmod__: Callable[..., Tensor]
    __pow__: Callable[..., Tensor]
    __rpow__: Callable[..., Tensor]
    __matmul__: Callable[..., Tensor]
    __rmatmul__: Callable[..., Tensor]
    __neg__: Callable[..., Tensor]
    __pos__: Callable[..., Tensor]
    __abs__: Callable[..., Tensor]
    __invert__: Callable[..., Tensor]
    __and__: Callable[..., Tensor]
    __or__: Callable[..., Tensor]
    __xor__: Callable[..., Tensor]
    __lt__: Callable[..., Tensor]
    __le__: Callable[..., Tensor]
    __gt__: Callable[..., Tensor]
    __ge__: Callable[..., Tensor]
    __eq__: Callable[..., Tensor]  # type: ignore[assignment]
    __ne__: Callable[..., Tensor]  # type: ignore[assignment]

    def __init__(self, *data: Any) -> None:
        dtype = dtypes.get_default_dtype().numpy
        if len(data) == 1 and not isinstance(data[0], int):
            source = data[0].array if isinstance(data[0], Tensor) else data[0]
            self.array = np.array(source, dtype=dtype)
        else:
            self.array = np.zeros(data or 0, dtype)
        self.node = self._grad = self._watch = None
        self._requires_grad = False

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.of_array(self.array)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def itemsize(self) -> int:
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def is_sparse(self) -> bool:  # asked by nearly every optimizer that is written by hand
        return False

    def dim(self) -> int:
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension. IndexError if there is no such dimension."""
        if dim is None:
            return self.array.shape
        if not -max(self.ndim, 1) <= dim < max(self.ndim, 1) or self.ndim == 0:
            raise IndexError(f"size: dimension {dim} does not exist in a tensor of shape {self.shape}")
        return self.array.shape[dim]

    def numel(self) -> int:
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Elements (not bytes) from one entry to the next, per dimension."""
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        return bool(self.array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        return self.array.dtype.kind == "f"

    def is_complex(self) -> bool:
        return False

    def data_ptr(self) -> int:
        """The address of the first element: equal for two tensors that look into the same memory at the same place."""
        return int(self.array.ctypes.data)

    # Gradients

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether a gradient is wanted for this leaf; returns self.

        RuntimeError for integer and bool tensors, and for switching it off on a tensor that an op computed.
        """
        if requires_grad and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients, this one is {self.dtype.name} with shape "
                f"{self.shape}: convert it first with .float()"
            )
        if self.node is not None:
            if not requires_grad:
                raise RuntimeError(
                    f"you can only change requires_grad flags of leaf variables, and this one was computed by "
                    f"{self.node.op.name}. For the value without its history use x.detach()"
                )
            return self
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """True unless an op computed it from something that requires a gradient."""
        return self.node is None

    @property
    def grad_fn(self) -> graph.Node | None:
        """The recorded call that produced this tensor, None for a leaf."""
        return self.node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` left here: for leaves, and for others that called `retain_grad()` before."""
        if self.node is None:
            held: Tensor | None = self._grad
            if type(held) is np.ndarray:  # a backward pass leaves the array: most gradients only an optimizer sees
                held = self._grad = wrap(held)
            return held
        if self.node.watch is None or not self.node.watch.retains:
            warnings.warn(
                f"the .grad of a tensor that is not a leaf (here the output of {self.node.op.name}, shape "
                f"{self.shape}) is not kept during backward(). Call .retain_grad() on it before, or read .grad of a "
                "leaf",
                stacklevel=2,
            )
            return None
        return self.node.watch.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape or value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"grad must have the shape and dtype of its tensor: got {value.dtype.name} {value.shape} for "
                    f"{self.dtype.name} {self.shape}"
                )
        self._grad = value

    def retain_grad(self) -> None:
        """Have `backward` keep `.grad` of this computed tensor too (leaves always keep theirs)."""
        if not self._requires_grad:
            raise RuntimeError(
                "can't retain_grad on Tensor that has requires_grad=False: nothing computes its gradient"
            )
        if self.node is not None:
            self._watched().retains = True

    @property
    def retains_grad(self) -> bool:
        return self.node is not None and self.node.watch is not None and self.node.watch.retains

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` when this tensor's gradient is complete; what it returns, if not None, replaces it.

        Returns a handle with `remove()`. RuntimeError if the tensor does not require a gradient.
        """
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return RemovableHandle(self._watched().hooks, hook)

    def _watched(self) -> Watch:
        holder, name = (self, "_watch") if self.node is None else (self.node, "watch")
        found = getattr(holder, name)
        if found is None:
            found = Watch(wrap)
            setattr(holder, name, found)
        return found

    def accumulate_grad(self, gradient: Any) -> None:
        """Add what a backward pass computed for this leaf: an array that nobody else holds, or a recorded Tensor.

        Nothing is added to a leaf that was frozen after it was used.
        """
        if not self._requires_grad:
            return
        if self._grad is None and self._watch is None and type(gradient) is np.ndarray:  # as in most training steps
            self._grad = gradient
            return
        gradient = gradient if isinstance(gradient, Tensor) else wrap(gradient)
        if self._watch is not None:
            gradient = self._watch.see(gradient)
        held = self.grad
        if held is None:
            self._grad = _unshared(gradient)
        elif gradient._requires_grad or held._requires_grad:
            self._grad = held + gradient
        else:
            np.add(held.array, gradient.array, out=held.array)
            graph.mark_mutated(held.array)

    def detach(self) -> Tensor:
        """The same values in the same memory, without the history: a leaf that requires no gradient."""
        return wrap(self.array)

    def detach_(self) -> Tensor:
        """Cut this tensor from its history, in place."""
        self.node = None
        self._requires_grad = False
        return self

    @property
    def data(self) -> Tensor:
        """The values in the same memory, without the history. Assigning replaces the values (same shape and dtype)."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, got {type(value).__name__}")
        self.array = value.array

    # Reading it out

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as an array that shares this tensor's memory. RuntimeError if it requires a gradient."""
        if self._requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        """What NumPy's functions make of a tensor's values is a tensor again: `np.exp(x)`. Nothing is recorded."""
        return wrap(dtypes.canonical(array)) if dtypes.is_supported(array) else array

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number. RuntimeError for any other size."""
        if self.array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self.array.size} elements (shape {self.shape}) cannot be converted to a number: "
                f"reduce it first (.sum(), .mean()) or use .tolist()"
            )
        return self.array.item()

    def tolist(self) -> Any:
        """The values as nested Python lists (a number for a 0-d tensor)."""
        return self.array.tolist()

    def cpu(self) -> Tensor:
        return self

    def _number(self) -> Any:
        if self.array.size != 1:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars, this one has shape {self.shape}"
            )
        return self.array.item()

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __index__(self) -> int:
        if self.array.dtype.kind == "f":
            raise TypeError(
                f"only integer tensors of one element can be used as an index, this one is {self.dtype.name}"
            )
        return int(self.item())

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with more than one value is ambiguous (shape {self.shape}): use .any() or "
                ".all()"
                if self.array.size
                else "Boolean value of Tensor with no values is ambiguous"
            )
        return bool(self.array.item())

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self.array)))

    def __contains__(self, value: Any) -> bool:
        return bool((self.array == getattr(value, "array", value)).any())

    def __reversed__(self) -> Tensor:
        return self.flip(0) if self.array.ndim else self

    __hash__ = object.__hash__  # == compares elements, so tensors are told apart by identity in sets and dicts

    def __format__(self, spec: str) -> str:
        if self.array.ndim == 0 and (spec or type(self) is Tensor):  # f"{loss}" is the number, as in PyTorch
            return format(self.item(), spec)
        if spec:
            raise TypeError(
                f"unsupported format string {spec!r} passed to a tensor of shape {self.shape}: one number can "
                "be formatted; format .item() of one element, or str(tensor)"
            )
        return str(self)

    def __repr__(self) -> str:
        from tinygrad_lab.printing import tensor_text

        return tensor_text(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                "moment: copy x.detach() instead"
            )
        copied = _copy_leaf(type(self), self.array.copy(), self._requires_grad, self.grad)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.node is not None:
            raise RuntimeError("only leaf tensors can be pickled: pickle x.detach() instead")
        own = getattr(self, "__dict__", None)  # a Parameter's attributes
        return _copy_leaf, (type(self), self.array, self._requires_grad), own or None

    def __getattr__(self, name: str) -> Any:  # only reached when there is no such attribute
        hint = ": it is not an attribute or method of tinygrad_lab's Tensor"
        if name.startswith("__"):
            hint = ""
        raise AttributeError(f"'Tensor' object has no attribute '{name}'{hint}")


_new = object.__new__


def wrap(array: np.ndarray, node: graph.Node | None = None) -> Tensor:
    """A Tensor around `array` (no copy): the output of `node`, or without one a leaf that requires no gradient."""
    made: Tensor = _new(Tensor)
    made.array = array
    made.node = node
    made._requires_grad = node is not None
    made._grad = made._watch = None
    return made


def _copy_leaf(cls: type[Tensor], array: np.ndarray, requires_grad: bool, grad: Tensor | None = None) -> Tensor:
    made: Tensor = _new(cls)
    made.array, made.node, made._requires_grad, made._watch = dtypes.canonical(array), None, requires_grad, None
    made._grad = None if grad is None else wrap(grad.array.copy())
    return made


def _unshared(tensor: Tensor) -> Tensor:
    """`tensor` in memory of its own, with its history: a hook, another leaf or the user may hold `tensor` itself."""
    if tensor.node is None and tensor._requires_grad:
        copied: Tensor = tensor.clone()
        return copied
    return wrap(tensor.array.copy(), tensor.node)


def edge_of(tensor: Tensor) -> Any:
    """Where a gradient of `tensor` goes: to its node, or to itself if it is a leaf."""
    return tensor if tensor.node is None else tensor.node
