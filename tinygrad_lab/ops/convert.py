"""Conversion between dtypes (`x.to(float64)`, `x.long()`), and PyTorch's devices, of which only "cpu" exists."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.shape import clone, reshape, to_dtype, transpose
from tinygrad_lab.tensor import Tensor

__all__ = ["check_device", "device"]


class device:
    """PyTorch's `torch.device`, for programs that name one: only "cpu" exists here.

    >>> device("cpu")
    device(type='cpu')
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        check_device(type)
        self.type, self.index = "cpu", index

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __eq__(self, other: object) -> bool:
        return str(other) == "cpu" or isinstance(other, device)

    def __hash__(self) -> int:
        return hash("cpu")

    def __str__(self) -> str:
        return "cpu"


def check_device(name: Any) -> None:
    """RuntimeError for a device other than the CPU."""
    if name is not None and str(name).split(":")[0] != "cpu":
        raise RuntimeError(
            f"device {str(name)!r} is not available: tinygrad_lab computes on the CPU with NumPy; use device='cpu' "
            f"(torch.cuda.is_available() is False here)"
        )


def _names_dtype(value: Any) -> bool:
    """Whether an argument of `to` is a dtype, and not a device or a flag."""
    if isinstance(value, str):
        return value.split(":")[0] not in ("cpu", "cuda", "mps", "xpu", "meta")
    return isinstance(value, dtypes.dtype) or (not isinstance(value, int) and not hasattr(value, "index"))


def to(
    self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, non_blocking: bool = False
) -> Tensor:
    """This tensor in another dtype, given as `dtype`, or as that of another tensor; itself if nothing changes.

    Gradients flow through. `device` may be "cpu".

    >>> torch.tensor([1, 2]).to(torch.float64)
    tensor([1., 2.], dtype=float64)
    """
    for value in args:
        if isinstance(value, Tensor):
            dtype = value.dtype
        elif _names_dtype(value):
            dtype = value
        elif not isinstance(value, bool):
            device = value
    check_device(device)
    if dtype is None or dtypes.as_numpy(dtype) == self.array.dtype:
        return clone(self) if copy else self
    return _converted(self, dtypes.as_numpy(dtype))


def _converted(tensor: Tensor, target: np.dtype[Any]) -> Tensor:
    """In another dtype; integers and bools have no history, as no gradient comes through them."""
    converted: Tensor = to_dtype(tensor if target.kind == "f" else tensor.detach(), target)
    return converted


def _cast(name: str, target: str) -> Any:
    kind = np.dtype(target)

    def method(self: Tensor) -> Tensor:
        return self if self.array.dtype == kind else _converted(self, kind)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"This tensor as {target}; itself if it is already."
    return method


def type_(self: Tensor, dtype: Any = None) -> Any:
    """Without argument PyTorch's name of the type ("torch.FloatTensor"); with one, `to(dtype)`."""
    if dtype is not None:
        return to(self, dtype=dtype)
    names = {
        "float32": "Float",
        "float64": "Double",
        "float16": "Half",
        "int64": "Long",
        "int32": "Int",
        "uint8": "Byte",
        "bool": "Bool",
    }
    return f"torch.{names[self.dtype.name]}Tensor"


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of `other`."""
    return to(self, dtype=other.dtype)


for _name, _target in (
    ("float", "float32"),
    ("double", "float64"),
    ("half", "float16"),
    ("long", "int64"),
    ("int", "int32"),
    ("byte", "uint8"),
    ("bool", "bool"),
):
    setattr(Tensor, _name, _cast(_name, _target))

_cpu = device()
_others: dict[str, Any] = {
    "device": property(lambda self: _cpu, doc='Always `device("cpu")`, which equals "cpu".'),
    "to": to,
    "type": type_,
    "type_as": type_as,
    "T": property(lambda self: self.permute(tuple(range(self.ndim))[::-1]), doc="All dimensions reversed; a view."),
    "mT": property(lambda self: transpose(self, -1, -2), doc="The last two dimensions swapped; a view."),
    "cuda": lambda self, device="cuda": check_device(device),
    "contiguous": lambda self: self if self.array.flags.c_contiguous else clone(self),
    "view_as": lambda self, other: self.view(other.shape),
    "reshape_as": lambda self, other: reshape(self, other.shape),
    "expand_as": lambda self, other: self.expand(other.shape),
}
for _name, _method in _others.items():
    setattr(Tensor, _name, _method)
