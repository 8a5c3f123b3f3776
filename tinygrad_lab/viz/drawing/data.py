"""A picture as JSON: everything that it holds, large arrays as statistics. The same picture gives the same bytes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np

from tinygrad_lab.viz.picture import Picture

__all__ = ["to_json"]

_WHOLE = 64  # elements up to which an array is written in full


def to_json(picture: Picture, indent: int | None = None) -> str:
    """The picture as a JSON object with the lists nodes, edges, calls, outputs and remarks.

    An array is {"shape", "values"} up to 64 elements, and {"shape", "min", "max", "mean", "nan", "inf"} above. What is
    not finite is a text: "NaN", "Infinity", "-Infinity". ASCII only.
    """
    whole: dict[str, Any] = {"version": 1}
    for name in ("title", "nodes", "edges", "calls", "outputs", "remarks"):
        whole[name] = _plain(getattr(picture, name))
    return json.dumps(whole, indent=indent, separators=None if indent else (",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _array(array: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": list(array.shape)}
    if array.size <= _WHOLE:
        return {**found, "values": _finite(array.tolist())}
    good = array[np.isfinite(array)].astype(np.float64)
    if good.size:
        with np.errstate(all="ignore"):
            found |= {"min": good.min().item(), "max": good.max().item(), "mean": _finite(good.mean().item())}
    return {**found, "nan": int(np.isnan(array).sum()), "inf": int(np.isinf(array).sum())}


def _finite(value: Any) -> Any:
    """`value` with texts in the place of what JSON has no number for."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
