"""Calls of a module with hooks: functions that users register to run before or after its forward or backward.

What this file lets you do: register hooks, and make a call that runs them. It must not know Module, whose base class it
is: it needs a `forward` and a dict `_hooks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_lab.graph import observers
from tinygrad_lab.hooks import RemovableHandle
from tinygrad_lab.nn.backward_hooks import Boundaries
from tinygrad_lab.nn.whereabouts import module_stack

__all__ = ["Hooked"]


class Hooked:
    """What a Module knows of hooks."""

    forward: Callable[..., Any]
    _hooks: dict[int, tuple[str, bool, Callable[..., Any]]]  # (when it runs, with_kwargs, hook)

    def _call_watched(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call with hooks, and with `module_stack` kept for observers."""
        token = module_stack.set((*module_stack.get(), self)) if observers else None
        try:
            for when, with_kwargs, hook in tuple(self._hooks.values()):
                if when == "before forward":
                    args, kwargs = _run_pre_hook(self, hook, with_kwargs, args, kwargs)
            bounds = self._boundaries()
            output = self.forward(*(bounds.inputs(args) if bounds else args), **kwargs)
            for when, with_kwargs, hook in tuple(self._hooks.values()):
                if when == "after forward":
                    changed = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
                    output = output if changed is None else changed
            return bounds.outputs(output) if bounds else output
        finally:
            if token is not None:
                module_stack.reset(token)

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args)` before every forward; what it returns, if not None, replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)`, and it returns None or a pair (args, kwargs).
        """
        return RemovableHandle(self._hooks, ("before forward", with_kwargs, hook))

    def register_forward_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args, output)` after every forward; what it returns, if not None, replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`. The handle's `remove()` takes the hook away.
        """
        return RemovableHandle(self._hooks, ("after forward", with_kwargs, hook))

    def _boundaries(self) -> Boundaries | None:
        """What runs this module's backward hooks for one call; None if there are none."""
        before, after = (
            [hook for when, _, hook in self._hooks.values() if when == wanted]
            for wanted in ("before backward", "after backward")
        )
        return Boundaries(self, before, after) if before or after else None

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of a call's inputs are known.

        Both are tuples, one entry per positional argument and per output: None where there is no gradient. What the
        hook returns, if not None, replaces grad_input. Outputs must be a Tensor or a tuple of them.
        RuntimeError, in the backward pass, for a replacement that does not fit.
        Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
        """
        return RemovableHandle(self._hooks, ("after backward", False, hook))

    def register_full_backward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the backward pass enters a call of this module.

        grad_output is a tuple, one entry per output; what the hook returns, if not None, replaces it.
        """
        return RemovableHandle(self._hooks, ("before backward", False, hook))


def _run_pre_hook(
    module: Any, hook: Callable[..., Any], with_kwargs: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after a hook that runs before forward."""
    if not with_kwargs:
        changed = hook(module, args)
        if changed is None:
            return args, kwargs
        return changed if isinstance(changed, tuple) else (changed,), kwargs
    changed = hook(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not (isinstance(changed, tuple) and len(changed) == 2):
        raise RuntimeError(f"forward pre-hook must return None or a tuple (args, kwargs), but got {changed!r:.60}")
    return changed
