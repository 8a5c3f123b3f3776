"""What the rules of optimizers are written with: cache-sized pieces, state of their own, checks of options.

It knows Tensor and NumPy only; the optimizer, which calls the rules, stands in `optimizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_lab.dtypes import float64, get_default_dtype
from tinygrad_lab.memory import empty_aligned
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["SMALL", "Update", "advance", "blocks", "check", "check_betas", "counter", "penalized", "zeros_like"]

# An update makes up to a dozen passes over the same few arrays; in pieces of this many elements (256 KiB in float32)
# most of them come from the nearest large cache. Measured on (2048, 784) with 2 MiB of L2: Adam takes 0.65 of the time
# in one piece, plain SGD 0.65. In pieces of 262144 it is 0.78 and 0.84, of 16384, where calls and broken streams cost
# more than the cache saves, 0.70 and 0.77.
BLOCK = 65536
# Up to this many elements, memory for an intermediate result costs less than looking up a scratch array.
SMALL = 8192

Update = Callable[[Tensor, np.ndarray, np.ndarray], None]
"""What `_rule` returns: `update(param, values, grad)`."""


def blocks(
    kept: dict[np.dtype[Any], list[np.ndarray]], p: np.ndarray, g: np.ndarray, *state: np.ndarray
) -> Sequence[tuple[Any, ...]]:
    """The parameter, its gradient and state arrays in cache-sized pieces, each with two scratch arrays.

    Returns tuples (p, g, *state, s, t); scratch memory stays in `kept`. A small parameter is one piece as it is, with
    None for s and t: as the last argument of a ufunc None means a new array, so rules are written
    `s = np.multiply(g, g, s)` for both cases.
    """
    if p.size <= SMALL:
        # NumPy turns results of 0-d operands into scalars, which cannot be written to; so they become 1-d.
        return ((p, g, *state, None, None) if p.ndim else (*(a.reshape(1) for a in (p, g, *state)), None, None),)
    arrays: tuple[np.ndarray, ...] = (p, g, *state)
    if not p.flags.c_contiguous and p.flags.f_contiguous:
        arrays = tuple(array.T for array in arrays)
    if not all(array.flags.c_contiguous for array in arrays[:1] + arrays[2:]):
        return ((*arrays, None, None),)  # no 1-d view exists
    flat = [array.reshape(-1) for array in arrays]  # copies a gradient whose layout is not the parameter's
    scratch = kept.get(p.dtype)
    if scratch is None:
        scratch = kept[p.dtype] = [empty_aligned((BLOCK,), p.dtype), empty_aligned((BLOCK,), p.dtype)]
    if p.size <= BLOCK:
        return ((*flat, scratch[0][: p.size], scratch[1][: p.size]),)
    return [
        (*[array[i : i + BLOCK] for array in flat], *[array[: p.size - i] for array in scratch])
        for i in range(0, p.size, BLOCK)
    ]


def zeros_like(p: np.ndarray) -> Tensor:
    """A state tensor for the parameter array `p`: its shape, dtype and memory layout."""
    if not p.flags.c_contiguous:
        return wrap(np.zeros_like(p))
    state = empty_aligned(p.shape, p.dtype)
    state.fill(0)
    return wrap(state)


def counter(value: float = 0.0) -> Tensor:
    """A 0-d state tensor: float32 as PyTorch's, exact up to 16 million steps, or float64 if that is the default."""
    return wrap(np.array(value, "float64" if get_default_dtype() is float64 else "float32"))


def advance(state: dict[str, Any]) -> float:
    """Count one step; returns its number, the first being 1."""
    array = state["step"].array
    step = array.item() + 1.0
    array[()] = step
    return step


def penalized(p: Any, g: Any, decay: np.ndarray | None, maximize: bool, t: Any) -> Any:
    """The gradient of what is minimized: `g`, negated to maximize, plus `decay * p`; in scratch `t` unless just `g`."""
    if decay is None:
        return np.negative(g, t) if maximize else g
    t = np.multiply(p, decay, t)
    return np.subtract(t, g, t) if maximize else np.add(t, g, t)


def check(name: str, value: Any, label: str, below: float = inf, up_to: float = inf) -> None:
    """Raise unless `value` is a number in [0, below) and at most `up_to`. The wording is PyTorch's, the remedy ours."""
    if not isinstance(value, Real):
        hint = ": use its .item()" if isinstance(value, Tensor) else ""
        raise TypeError(f"{name} must be a number, got {type(value).__name__}{hint}")
    number = float(value)
    if not (0.0 <= number <= up_to and (number < below or below == inf)):
        top = f" and below {below:g}" if below < inf else f" and at most {up_to:g}" if up_to < inf else ""
        raise ValueError(f"Invalid {label}: {value} ({name} must be at least 0{top})")


def check_betas(betas: Any) -> None:
    """Raise unless `betas` are two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers such as (0.9, 0.999), got {betas!r}")
    for index, beta in enumerate(betas):
        check(f"betas[{index}]", beta, f"beta parameter at index {index}", below=1.0)
