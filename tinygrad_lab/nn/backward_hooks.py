"""What a module's backward hooks see: the gradients that enter and leave one call of it on the way back.

What this file lets you do: put a boundary around the inputs of a call and one around its outputs, and run hooks when
the gradients of all tensors at a boundary are known. It must not know Module: a module is here what hooks are given.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_lab.autograd.function import Function
from tinygrad_lab.grad_mode import grad_enabled
from tinygrad_lab.tensor import Tensor

__all__ = ["Boundaries"]


class BackwardHook(Function):
    """The identity on several tensors at once; on the way back `see` gets all their gradients, and may replace them."""

    @staticmethod
    def forward(ctx: Any, see: Callable[[Sequence[Any]], Sequence[Any]], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.see = see
        outputs = tuple(tensor.detach() for tensor in tensors)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(y for y, x in zip(outputs, tensors, strict=True) if not x.requires_grad))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        return (None, *ctx.see(gradients))


def _bounded(values: Sequence[Any], see: Callable[[list[Any]], Sequence[Any]]) -> tuple[Any, ...] | None:
    """`values` with their tensors behind a boundary, whose `see` gets a gradient or None for each value; or None.

    None if there is nothing to differentiate.
    """
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not grad_enabled() or not any(values[i].requires_grad for i in places):
        return None

    def see_all(gradients: Sequence[Any]) -> list[Any]:
        everything: list[Any] = [None] * len(values)
        for place, gradient in zip(places, gradients, strict=True):
            everything[place] = gradient
        seen = see(everything)
        return [seen[place] for place in places]

    bounded = list(values)
    for place, tensor in zip(places, BackwardHook.apply(see_all, *(values[i] for i in places)), strict=True):
        bounded[place] = tensor
    return tuple(bounded)


class Boundaries:
    """The boundaries around one call of `module`, with hooks that run at the output's (`before`) and at the input's."""

    def __init__(self, module: Any, before: list[Callable[..., Any]], after: list[Callable[..., Any]]) -> None:
        self.module, self.before, self.after = module, before, after
        self.grad_output: tuple[Any, ...] | None = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of the call, behind a boundary."""
        self.no_gradients = (None,) * len(args)
        bounded = _bounded(args, self._leave) if self.after else None
        self.at_output = bool(self.after) and bounded is None  # no gradient will reach the inputs: hooks run earlier
        return args if bounded is None else bounded

    def outputs(self, output: Any) -> Any:
        """The output of the call, a Tensor or a tuple with Tensors, behind a boundary."""
        if not isinstance(output, (Tensor, tuple)):
            warnings.warn(
                f"For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(output).__name__} from {type(self.module).__name__}",
                stacklevel=4,
            )
            return output
        bounded = _bounded(output if isinstance(output, tuple) else (output,), self._enter)
        if bounded is None:
            return output
        if not isinstance(output, tuple):
            return bounded[0]
        return output._make(bounded) if hasattr(output, "_make") else bounded  # a namedtuple stays one

    def _enter(self, gradients: Sequence[Any]) -> Sequence[Any]:
        for hook in self.before:
            gradients = self._replaced(hook(self.module, tuple(gradients)), gradients, "grad_output")
        self.grad_output = tuple(gradients)
        if self.at_output:
            for hook in self.after:
                returned = hook(self.module, self.no_gradients, self.grad_output)
                if returned is not None and any(item is not None for item in returned):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        f"for all gradients, but one of {type(self.module).__name__} returned {returned!r:.60}"
                    )
        return gradients

    def _leave(self, gradients: Sequence[Any]) -> Sequence[Any]:
        if self.grad_output is not None:  # else the gradient came from an intermediate value, past the output
            for hook in self.after:
                returned = hook(self.module, tuple(gradients), self.grad_output)
                gradients = self._replaced(returned, gradients, "grad_input")
            self.grad_output = None
        return gradients

    def _replaced(self, returned: Any, gradients: Sequence[Any], what: str) -> Sequence[Any]:
        """What a hook returned in the place of `gradients`, checked; `gradients` if it returned None."""
        if returned is None:
            return gradients
        layer = type(self.module).__name__
        if not isinstance(returned, (tuple, list)) or len(returned) != len(gradients):
            got = len(returned) if isinstance(returned, (tuple, list)) else f"a {type(returned).__name__}"
            raise RuntimeError(
                f"Backward hook of {layer} returned an invalid number of {what}, got {got}, but expected a tuple of "
                f"{len(gradients)}"
            )
        for place, (new, old) in enumerate(zip(returned, gradients, strict=True)):
            if new is not None and not isinstance(new, Tensor):
                raise RuntimeError(
                    f"Backward hook of {layer}: {what} {place} that it returned must be a Tensor or None, got "
                    f"{type(new).__name__}"
                )
            if new is not None and old is not None and new.shape != old.shape:
                raise RuntimeError(
                    f"Backward hook of {layer} has changed the size of a {what} from {old.shape} to {new.shape}"
                )
        return returned
