"""How a tensor prints: its values as PyTorch shows them, then what is not obvious from them.

Knows Tensor and NumPy's array printer; not ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.tensor import Tensor

__all__ = ["set_printoptions", "tensor_text"]

_options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "max_line_width": 80}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
) -> None:
    """Digits after the point, size from which a tensor is summarised, entries shown at each edge, line width."""
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "max_line_width": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None})


def tensor_text(tensor: Tensor) -> str:
    """`tensor([1., 2.], requires_grad=True)`: values, then dtype (if not implied), and the node or requires_grad."""
    array = tensor.array
    name = "Parameter containing:\ntensor" if type(tensor) is not Tensor else "tensor"
    indent = "tensor("
    if array.size:
        values = np.array2string(array, separator=", ", prefix=indent, **_options)
    else:
        values = "[]" if array.ndim == 1 else f"[], size={array.shape}"
    notes = []
    implied = (dtypes.get_default_dtype().numpy, np.dtype("int64"), np.dtype("bool"))
    if array.dtype not in implied or (not array.size and array.dtype != implied[0]):
        notes.append(f"dtype={tensor.dtype.name}")
    if tensor.node is not None:
        notes.append(f"grad_fn={tensor.node!r}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    text = ", ".join([values, *notes])
    if notes and len(values.rsplit("\n", 1)[-1]) + len(indent) + len(", ".join(notes)) > _options["max_line_width"]:
        text = f"{values},\n{' ' * len(indent)}{', '.join(notes)}"
    return f"{name}({text})"
