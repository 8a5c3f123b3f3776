"""The Parameter: a tensor that a Module registers, trains and saves. Knows Tensor; not modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab.creation import empty
from tinygrad_lab.memory import empty_aligned
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf tensor that becomes a parameter of the Module it is assigned to. Shares the memory of `data`.

    It takes attributes of one's own (`p.no_decay = True`), which a Tensor, made by every op, does not.

    TypeError if `data` is not a Tensor, RuntimeError if it is not floating and `requires_grad` is left on.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html

    >>> from tinygrad_lab import ones
    >>> Parameter(ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        if data is None:
            data = Tensor(np.zeros(0))
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter data must be a Tensor, got {type(data).__name__}: use Parameter(torch.tensor(...)) or "
                f"Parameter(torch.from_numpy(...))"
            )
        self.array = data.array
        self.node = self._grad = self._watch = None
        self._requires_grad = False
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """Without the gradient, as in PyTorch, unlike a Tensor's: a copied model's first backward adds to none."""
        copied = memo[id(self)] = type(self)(wrap(self.array.copy()), self._requires_grad)
        return copied


def empty_parameter(*shape: int, dtype: Any = None, device: Any = None) -> Parameter:
    """A parameter whose values are not set yet: layers fill it in `reset_parameters`."""
    made = Parameter(empty(shape, dtype=dtype, device=device))
    made.array = empty_aligned(made.array.shape, made.array.dtype)
    return made
