"""Making tensors: from data, filled with a value, as ranges, and like another tensor."""

from __future__ import annotations

import builtins
import functools
from typing import Any

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.convert import check_device
from tinygrad_lab.random import finish, shape_of
from tinygrad_lab.tensor import Tensor, wrap

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def _read(data: Any, dtype: Any) -> np.ndarray:
    """The array that `data` describes: Python floats give the default dtype, ints int64; NumPy arrays keep theirs."""
    if isinstance(data, Tensor):
        array = data.array
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        kinds: set[Any] = set()
        if isinstance(data, (list, tuple)):
            data = _plain(data, kinds)
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise ValueError(f"tensor: the nested sequences do not form a rectangular array: {error}") from None
        if array.dtype == object or array.dtype.kind in "USO":
            raise TypeError(
                f"tensor: could not infer the dtype of {type(data).__name__}: tensors hold numbers and bools, got "
                f"{data!r:.60}"
            )
        if dtype is not None:
            dtypes.check_fits("tensor", array, dtypes.as_numpy(dtype))
        elif any(isinstance(kind, np.dtype) for kind in kinds):  # all are promoted, as the operands of an op are
            dtype = functools.reduce(
                dtypes.promote_types, [_default(None) if kind is float else kind for kind in kinds]
            )
        elif array.dtype.kind == "f" or array.size == 0:
            dtype = dtypes.get_default_dtype()
    if dtype is not None:
        array = array.astype(dtypes.as_numpy(dtype), copy=False)
    return dtypes.canonical(array)


def _plain(data: Any, kinds: set[Any]) -> Any:
    """Nested sequences with tensors as numbers or arrays; adds the elements' dtypes, or Python's types, to `kinds`."""
    found = set(map(type, data))
    if found <= {bool, int, float}:  # most are of numbers alone, and may be long
        kinds |= found
        return data
    return [_plain_item(item, kinds) for item in data]


def _plain_item(item: Any, kinds: set[Any]) -> Any:
    if isinstance(item, (list, tuple)):
        return _plain(item, kinds)
    array = item.array if isinstance(item, Tensor) else item
    kinds.add(array.dtype if isinstance(array, (np.ndarray, np.generic)) else type(array))
    return array.item() if isinstance(item, Tensor) and array.size == 1 else array


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf tensor with a copy of `data`: numbers, nested lists, an array or a tensor.

    Floats get the default dtype, ints int64, bools bool; NumPy arrays keep their dtype.
    TypeError for what is not numeric, ValueError for ragged lists, RuntimeError for integers with requires_grad.

    >>> tensor([[1, 2], [3, 4]]), tensor(0.5, requires_grad=True)
    (tensor([[1, 2],
            [3, 4]]), tensor(0.5, requires_grad=True))
    """
    check_device(device)
    made = wrap(np.array(_read(data, dtype), order="C"))
    return made.requires_grad_() if requires_grad else made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where possible: a tensor of that dtype is returned as it is, an array shared.

    >>> a = np.zeros(2)
    >>> as_tensor(a).numpy() is a
    True
    """
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return wrap(_read(data, dtype))


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array. TypeError for other types, and dtypes that tensors lack."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected np.ndarray (got {type(ndarray).__name__})")
    return wrap(dtypes.canonical(ndarray).view(np.ndarray))


def _default(dtype: Any) -> Any:
    return dtypes.get_default_dtype() if dtype is None else dtype


def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros; the shape as several ints, one tuple, or `size=` a tuple.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return finish(np.zeros(shape_of(sizes, size), dtypes.as_numpy(_default(dtype))), None, requires_grad, device)


def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    >>> ones(2, dtype=dtypes.int64)
    tensor([1, 1])
    """
    return finish(np.ones(shape_of(sizes, size), dtypes.as_numpy(_default(dtype))), None, requires_grad, device)


def empty(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose values are not set: whatever the memory held."""
    return finish(np.empty(shape_of(sizes, size), dtypes.as_numpy(_default(dtype))), None, requires_grad, device)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with `fill_value` everywhere; its dtype follows the value (int: int64, bool: bool) unless given.

    >>> full((2,), 7)
    tensor([7, 7])
    """
    value = _read(fill_value, dtype)
    return finish(np.full(shape_of((size,)), value, value.dtype), None, requires_grad, device)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix (m defaults to n) with ones on the diagonal.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    shape_of((n, n if m is None else m))
    return finish(np.eye(n, m, dtype=dtypes.as_numpy(_default(dtype))), None, requires_grad, device)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... up to but without `end`; `arange(end)` starts at 0. int64 if all are ints.

    >>> arange(1, 4)
    tensor([1, 2, 3])
    """
    if end is None:
        start, end = 0, start
    start, end, step = (value.item() if isinstance(value, Tensor) else value for value in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"arange: bounds {start} to {end} are inconsistent with step {step}")
    if dtype is None:
        dtype = (
            dtypes.int64
            if all(isinstance(value, (int, np.integer)) for value in (start, end, step))
            else _default(None)
        )
    size = builtins.max(int(np.ceil((end - start) / step)), 0)
    return finish(np.asarray(start + np.arange(size) * step), dtype, requires_grad, device)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` values from `start` to `end`, both included, evenly spaced.

    >>> linspace(0, 1, 3)
    tensor([0. , 0.5, 1. ])
    """
    if steps < 0:
        raise RuntimeError(f"linspace: number of steps must be non-negative, got {steps}")
    return finish(np.linspace(float(start), float(end), steps), _default(dtype), requires_grad, device)


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """base ** linspace(start, end, steps)."""
    return finish(np.logspace(float(start), float(end), steps, base=base), _default(dtype), requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape and dtype of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape and dtype of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Unset memory with the shape and dtype of `input`."""
    return empty(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere, with the shape and dtype of `input`."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


# Methods: a new tensor in the dtype of this one, unless another is given


def _new(make: Any) -> Any:
    def method(self: Tensor, *args: Any, dtype: Any = None, **options: Any) -> Tensor:
        return make(*args, dtype=dtype or self.dtype, **options)

    method.__name__ = method.__qualname__ = "new_tensor" if make is tensor else f"new_{make.__name__}"
    method.__doc__ = f"`{make.__name__}` with this tensor's dtype, unless `dtype` is given: not its values or history."
    return method


for _make in (tensor, zeros, ones, empty, full):
    _method = _new(_make)
    setattr(Tensor, _method.__name__, _method)
