"""Hypothesis strategies for tests of gradients: shapes that broadcast together, values off and on kinks.

What this file lets you do: `@given(broadcastable_arrays(2))` and the like. Hypothesis is imported when a strategy is
made; without it an ImportError says what to install. Knows NumPy arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["broadcastable_arrays", "broadcastable_shapes", "off_kinks", "on_kinks"]


def _hypothesis() -> Any:
    """(hypothesis.strategies, hypothesis.extra.numpy). ImportError that says what to install."""
    try:
        from hypothesis import strategies
        from hypothesis.extra import numpy
    except ImportError:
        raise ImportError("strategies need hypothesis: pip install 'tinygrad_lab[dev]'") from None
    return strategies, numpy


def broadcastable_shapes(count: int = 2, max_dims: int = 3, max_side: int = 3) -> Any:
    """A strategy for tuples of `count` shapes that broadcast together, as (3, 1) and (2,)."""
    _, arrays = _hypothesis()
    shapes = arrays.mutually_broadcastable_shapes(num_shapes=count, min_side=1, max_dims=max_dims, max_side=max_side)
    return shapes.map(lambda drawn: drawn.input_shapes)


def off_kinks(shape: Any = (3, 4), kinks: Sequence[float] = (0.0,), gap: float = 0.1, bound: float = 3.0) -> Any:
    """A strategy for float64 arrays in [-bound, bound], no value within `gap` of a kink: differences can check them.

    shape   a shape or a strategy for shapes          kinks   where the function has no derivative: 0 for relu and abs
    ValueError if the kinks leave no room.
    """
    marks, room = sorted(kinks), []
    for low, high in zip([-bound - gap, *marks], [*marks, bound + gap], strict=True):
        if high - low > 2 * gap:
            room.append((low + gap, high - gap))
    if not room:
        raise ValueError(f"off_kinks: no value in [-{bound}, {bound}] is further than {gap} from {list(kinks)}")
    strategies, arrays = _hypothesis()
    values = strategies.one_of(*(strategies.floats(low, high, allow_subnormal=False) for low, high in room))
    return arrays.arrays(np.float64, shape, elements=values)


def on_kinks(shape: Any = (3, 4), kinks: Sequence[float] = (0.0,), gap: float = 0.1, bound: float = 3.0) -> Any:
    """The same arrays with at least one value exactly on a kink: convention decides there, not differences.

    ValueError if there are no kinks. Arrays without elements stay empty.
    """
    if not kinks:
        raise ValueError("on_kinks: kinks is empty")
    strategies, _ = _hypothesis()

    @strategies.composite
    def drawn(draw: Any) -> np.ndarray:
        array = draw(off_kinks(shape, kinks, gap, bound))
        flat = array.reshape(-1)
        if flat.size:
            for i in draw(strategies.sets(strategies.integers(0, flat.size - 1), min_size=1)):
                flat[i] = draw(strategies.sampled_from(list(kinks)))
        return array

    return drawn()


def broadcastable_arrays(
    count: int = 2,
    kinks: Sequence[float] = (),
    gap: float = 0.1,
    bound: float = 3.0,
    max_dims: int = 3,
    max_side: int = 3,
) -> Any:
    """A strategy for lists of `count` float64 arrays whose shapes broadcast together, off the kinks."""
    strategies, _ = _hypothesis()
    return broadcastable_shapes(count, max_dims, max_side).flatmap(
        lambda shapes: strategies.tuples(*(off_kinks(shape, kinks, gap, bound) for shape in shapes)).map(list)
    )
