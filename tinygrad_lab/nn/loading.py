"""Loading a state_dict: check everything first, then copy, so that a bad file leaves the model as it was.

It knows tensors by name, not modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.tensor import Tensor

__all__ = ["IncompatibleKeys", "load_state"]


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it did not use."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _problem(name: str, target: Tensor, value: Any) -> str:
    """Why `value` cannot be loaded into `target`, "" if it can."""
    array = value.array if isinstance(value, Tensor) else value
    if not hasattr(array, "__array__") or np.asarray(array).dtype.kind not in "fiub":
        return (
            f'While copying the parameter named "{name}", expected torch.Tensor or Tensor-like object from checkpoint '
            f"but received {type(value)}"
        )
    if tuple(array.shape) != target.shape:
        return (
            f"size mismatch for {name}: copying a param with shape {tuple(array.shape)} from checkpoint, the shape in "
            f"current model is {target.shape}."
        )
    if not target.array.flags.writeable:
        return (
            f"{name} is in read-only memory (an expanded tensor or a read-only array): nothing can be loaded into it."
        )
    return ""


def load_state(
    model: str, targets: dict[str, Tensor], state_dict: Mapping[str, Any], strict: bool = True
) -> IncompatibleKeys:
    """Copy the values of `state_dict` into the tensors of the same names: all, or none if RuntimeError is raised.

    model       what to call the model in an error
    state_dict  tensors or arrays (anything with `shape` and `__array__`), cast to the target's dtype
    strict      also refuse missing and unexpected names
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing = [name for name in targets if name not in state_dict]
    unexpected = [name for name in state_dict if name not in targets]
    found = {name: (target, state_dict[name]) for name, target in targets.items() if name in state_dict}
    problems = [problem for name, (target, value) in found.items() if (problem := _problem(name, target, value))]
    if strict:
        for kind, names in (("Unexpected", unexpected), ("Missing", missing)):
            if names:
                quoted = ", ".join(f'"{name}"' for name in names)
                problems.insert(0, f"{kind} key(s) in state_dict: {quoted}. ")
    if problems:
        raise RuntimeError(f"Error(s) in loading state_dict for {model}:\n\t" + "\n\t".join(problems))
    for target, value in found.values():
        np.copyto(target.array, value.array if isinstance(value, Tensor) else np.asarray(value), casting="unsafe")
        mark_mutated(target.array)
    return IncompatibleKeys(missing, unexpected)
