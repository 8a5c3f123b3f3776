"""Hooks: functions that users register to be called later, and what a tensor's hooks do with its gradient.

It knows NumPy only: what a Tensor is comes to it as a function that makes one of an array.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["RemovableHandle", "Watch"]

_keys = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away; as a `with` block, at its end."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks = hooks
        self.key = next(_keys)
        hooks[self.key] = hook

    def remove(self) -> None:
        self.hooks.pop(self.key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Watch:
    """Hooks and retained gradient of one tensor. `wrap` makes a Tensor of an array."""

    def __init__(self, wrap: Callable[[np.ndarray], Any]) -> None:
        self.wrap = wrap
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.retains = False
        self.grad: Any = None

    def see(self, cotangent: Any) -> Any:
        """Run the hooks on a complete cotangent (array or Tensor), keep it if asked to, and return what goes on."""
        is_array = isinstance(cotangent, (np.ndarray, np.generic))
        gradient = self.wrap(np.asarray(cotangent)) if is_array else cotangent
        for hook in tuple(self.hooks.values()):
            replaced = hook(gradient)
            if replaced is not None:
                if type(replaced) is not type(gradient) or replaced.shape != gradient.shape:
                    got = getattr(replaced, "shape", type(replaced).__name__)
                    raise RuntimeError(
                        f"a tensor hook must return None or a Tensor of shape {gradient.shape}, got {got}"
                    )
                if replaced.array.dtype is not gradient.array.dtype:
                    raise RuntimeError(
                        f"a tensor hook must not change the dtype, here from {gradient.array.dtype} to "
                        f"{replaced.array.dtype}: convert it back with .to(grad.dtype)"
                    )
                gradient = replaced
        if self.retains:
            kept = gradient if gradient._requires_grad else self.wrap(gradient.array.copy())
            self.grad = kept if self.grad is None else self.grad + kept
        return gradient.array if is_array else gradient
