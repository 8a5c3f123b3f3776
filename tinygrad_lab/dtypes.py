"""Data types: the seven dtypes, the default one, and PyTorch's rule for mixing them.

What this file lets you do: name a dtype (`float32`), turn anything that names one into a NumPy dtype (`as_numpy`),
set the default floating dtype, and promote two operands as PyTorch does. It knows NumPy only: not tensors, not graphs.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

__all__ = [
    "add_up",
    "as_numpy",
    "bool_",
    "check_fits",
    "constant",
    "dtype",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "int32",
    "int64",
    "promote",
    "promote_types",
    "result_type",
    "set_default_dtype",
    "uint8",
]


class dtype:
    """A tensor's element type, printed and compared as PyTorch's `torch.dtype`.

    NumPy accepts it wherever it takes a dtype (`np.zeros(3, dtype=tinygrad_lab.float32)`).

    >>> float32.is_floating_point, float32.itemsize, int64.is_floating_point
    (True, 4, False)
    """

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = self.numpy.kind == "f"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype, under the name that NumPy looks for."""
        return self.numpy

    @property
    def is_complex(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"tinygrad_lab.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.name,)


def _named(name: str) -> dtype:
    """The dtype of that name: what a pickled one is read by."""
    return _by_name[name]


_by_name = {name: dtype(name) for name in ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")}
float32, float64, float16, int64, int32, uint8, bool_ = _by_name.values()

# What may name a dtype: ours, NumPy's, Python's types and strings. Python's `float` means the default dtype, as in
# PyTorch.
_from_numpy = {each.numpy: each for each in _by_name.values()}
_default = float32
_KIND_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


def of_array(array: np.ndarray) -> dtype:
    """The dtype of an array; TypeError names one that tensors do not have (complex, strings, objects, int16, ...)."""
    found = _from_numpy.get(array.dtype)
    if found is None:
        raise TypeError(
            f"a tensor cannot hold NumPy dtype {array.dtype}; supported are {', '.join(_by_name)}: "
            f"convert first, for example with array.astype('float32')"
        )
    return found


def is_supported(array: np.ndarray) -> bool:
    """Whether a Tensor can hold the array's dtype."""
    return array.dtype in _from_numpy


def canonical(array: np.ndarray) -> np.ndarray:
    """The same memory under NumPy's own dtype object. TypeError as `of_array`.

    An unpickled array has a dtype object of its own, equal to NumPy's but not the same; ops compare by identity.
    """
    kind = of_array(array).numpy
    return array if array.dtype is kind else array.view(kind)


def as_numpy(spec: Any) -> np.dtype[Any]:
    """The NumPy dtype that `spec` names: one of ours or of NumPy, a string, or a type of Python (float: 64 bits)."""
    if isinstance(spec, dtype):
        return spec.numpy
    try:
        found = np.dtype(spec)
    except TypeError:
        found = None
    if spec is None or found not in _from_numpy:
        raise TypeError(f"unknown dtype {spec!r}; supported are {', '.join(_by_name)}")
    return found


def get_default_dtype() -> dtype:
    """The floating dtype of new tensors: `float32` unless `set_default_dtype` changed it."""
    return _default


def set_default_dtype(d: Any) -> None:
    """Make `d` (float16, float32 or float64) the dtype that Python floats and creation functions get.

    Raises TypeError for anything that is not a floating dtype.
    """
    global _default
    chosen = _from_numpy[as_numpy(d)]
    if not chosen.is_floating_point:
        raise TypeError(
            f"set_default_dtype: only floating dtypes can be the default (float16, float32, float64), got {chosen}"
        )
    _default = chosen


def promote_types(type1: Any, type2: Any) -> dtype:
    """The dtype that operands of `type1` and `type2` are computed in: PyTorch's table.

    >>> promote_types(int64, float32)     # NumPy would say float64
    tinygrad_lab.float32
    """
    a, b = as_numpy(type1), as_numpy(type2)
    if a.kind != b.kind and "f" in (a.kind, b.kind):  # a float meets an integer or bool: the float decides
        return _from_numpy[a if a.kind == "f" else b]
    return _from_numpy[np.promote_types(a, b)]


def promote(*operands: Any) -> tuple[Any, ...]:
    """The operands of an elementwise op, brought to one dtype by PyTorch's rule; Python numbers stay as they are.

    A dtype of a higher category (bool < integer < float) wins. Within a category, operands with dimensions outrank
    0-d ones, and these outrank Python numbers. Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html
    """
    # Best dtype and its category among operands with dimensions, 0-d ones, and Python numbers, in this order of rank.
    best: list[tuple[int, Any]] = [(-1, None)] * 3
    # NumPy's scalars count as Python numbers (np.float64 is a Python float too).
    operands = tuple(operand.item() if isinstance(operand, np.generic) else operand for operand in operands)
    for operand in operands:
        if type(operand) is float:
            kind, candidate, priority = 2, _default.numpy, 2
        elif type(operand) is bool:
            kind, candidate, priority = 0, bool_.numpy, 2
        elif type(operand) is int:
            kind, candidate, priority = 1, int64.numpy, 2
        elif not isinstance(operand, np.ndarray):
            raise TypeError(
                f"operands must be Tensors or numbers, not {type(operand).__name__}; convert it with torch.tensor(...)"
            )
        else:
            candidate = operand.dtype
            kind, priority = _KIND_RANK[candidate.kind], 0 if operand.ndim else 1
        previous_kind, previous = best[priority]
        if previous is not None and previous is not candidate:
            candidate = promote_types(previous, candidate).numpy
        best[priority] = (max(kind, previous_kind), candidate)
    common_kind, common = best[0]
    for kind, candidate in best[1:]:
        if kind > common_kind:
            common_kind, common = kind, candidate
    # A Python number never needs a cast when it is of no higher category: NumPy treats it as weak too.
    return tuple(
        operand.astype(common) if isinstance(operand, np.ndarray) and operand.dtype is not common else operand
        for operand in operands
    )


def result_type(*operands: Any) -> dtype:
    """The dtype of an elementwise op on these tensors and numbers.

    >>> result_type(np.zeros(3, dtype="int64"), 1.5)
    tinygrad_lab.float32
    """
    arrays = [getattr(operand, "array", operand) for operand in operands]
    return _from_numpy[np.result_type(*promote(*arrays))]


def to_floating(array: Any) -> Any:
    """`array` itself if it is floating, else converted to the default dtype (PyTorch's rule for exp of ints)."""
    return array if array.dtype.kind == "f" else array.astype(_default.numpy)


def add_up(array: Any, axis: Any, keepdims: Any) -> Any:
    """The sum along `axis`, in the array's dtype. Halves are added as float32: in halves, 2048 + 1 is 2048."""
    if array.dtype.char == "e":
        return np.add.reduce(array, axis=axis, keepdims=keepdims, dtype=np.float32).astype(np.float16)
    return np.add.reduce(array, axis=axis, keepdims=keepdims)


def widened(array: Any) -> Any:
    """`array` itself, or halves as float32: what sums of squares are computed in, which overflow halves at 65504."""
    return array.astype(np.float32) if array.dtype.char == "e" else array


def check_fits(name: str, numbers: Any, dtype: np.dtype[Any]) -> None:
    """RuntimeError if one of these numbers lies outside of `dtype`'s range: 300 is no uint8, inf no int64.

    As in PyTorch, -1 is a uint8 (255), an infinity is a float of any size, and every number is a bool.
    """
    numbers = np.asarray(numbers)
    if dtype.kind == "b" or numbers.dtype is dtype:
        return
    if dtype.kind == "f":
        fits = ~np.isfinite(numbers) | (np.abs(numbers) <= float(np.finfo(dtype).max))
    else:
        limits = np.iinfo(dtype)
        fits = (numbers >= (limits.min or -limits.max)) & (numbers <= limits.max)
    if not fits.all():
        raise RuntimeError(
            f"{name}: value {numbers[~fits].flat[0]} cannot be converted to {dtype} without overflow: use another "
            f"dtype, or clamp it"
        )


@functools.lru_cache(256)
def constant(value: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """A number as a 0-d array, read-only: it keeps float32 arrays float32, and ufuncs take it at no cost.

    (They take longer to convert a Python number than to add a thousand elements.)
    """
    made = np.array(value, dtype)
    made.flags.writeable = False
    return made


def finfo(type: Any = None) -> Any:
    """Machine limits of a floating dtype as Python numbers: `eps`, `max`, `min`, `tiny`, ...; TypeError for others.

    >>> finfo(float16).max, 2 * finfo(float16).max
    (65504.0, 131008.0)
    """
    kind = as_numpy(_default if type is None else type)
    if kind.kind != "f":
        raise TypeError(f"finfo: expected a floating dtype, got {kind}: for integers there is iinfo")
    limits = np.finfo(kind)
    names = ("eps", "max", "min", "tiny", "smallest_normal", "resolution")
    return types.SimpleNamespace(
        bits=limits.bits, dtype=kind.name, **{name: float(getattr(limits, name)) for name in names}
    )


def iinfo(type: Any) -> Any:
    """Machine limits of an integer dtype, as `np.iinfo` of it. TypeError for others."""
    kind = as_numpy(type)
    if kind.kind not in "iu":
        raise TypeError(f"iinfo: expected an integer dtype, got {kind}: for floating ones there is finfo")
    return np.iinfo(kind)
