"""What differs between our Tensors, PyTorch's, JAX's arrays and NumPy's: making, reading and differentiating them.

What this file lets you do: handle a function of any of them in the same way (`framework_of`). PyTorch and JAX are never
imported: whoever hands over one of their arrays has imported them, so they are found among the loaded modules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lab import random as generators
from tinygrad_lab.autograd import grad
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.branches import branches_of

__all__ = ["Framework", "framework_of", "outputs_of"]

Call = Callable[[list[Any]], Any]


class Framework:
    """NumPy, which has no gradient of its own; the base of the others."""

    name = "NumPy"
    automatic = False  # whether it differentiates by itself

    def make(self, array: np.ndarray, leaf: bool = False) -> Any:
        """A value of this framework, in float64 where the framework has that; a copy, so that f may write into it."""
        return array.copy()

    def read(self, value: Any) -> np.ndarray:
        return np.asarray(value)

    def is_floating(self, value: Any) -> bool:
        return self.read(value).dtype.kind == "f"

    def gradients(self, call: Call, arrays: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The gradient of sum(weights * outputs) with respect to each of the arrays."""
        leaves = [self.make(array, leaf=True) for array in arrays]
        return self.backward(outputs_of(call(leaves), self), leaves, weights)

    def backward(self, outputs: list[Any], leaves: list[Any], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        raise TypeError(
            "gradcheck: NumPy does not differentiate: give the gradient to check, gradcheck(f, inputs, gradient), as "
            "arrays "
            "or as a function of the inputs"
        )

    def branches(self, call: Call, arrays: Sequence[np.ndarray]) -> Any:
        """The branch masks at a point, or None where nobody sees them."""
        return None

    @contextmanager
    def repeatable(self) -> Iterator[Callable[[], None]]:
        """Yields what rewinds the framework's random numbers before a call; puts them back at the end."""
        yield lambda: None


class Ours(Framework):
    name = "tinygrad_lab"
    automatic = True

    def make(self, array: np.ndarray, leaf: bool = False) -> Any:
        made = wrap(array.copy())
        return made.requires_grad_() if leaf and array.dtype.kind == "f" else made

    def read(self, value: Any) -> np.ndarray:
        return value.array if isinstance(value, Tensor) else np.asarray(value)

    def backward(self, outputs: list[Any], leaves: list[Any], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        pairs = [
            (y, wrap(w.astype(y.array.dtype)))
            for y, w in zip(outputs, weights, strict=True)
            if getattr(y, "requires_grad", False)
        ]
        if not pairs:
            return [np.zeros(leaf.shape) for leaf in leaves]
        found = grad([y for y, _ in pairs], leaves, [w for _, w in pairs], materialize_grads=True)
        return [gradient.array for gradient in found]

    def branches(self, call: Call, arrays: Sequence[np.ndarray]) -> Any:
        return branches_of(lambda: call([self.make(array, leaf=True) for array in arrays]))

    @contextmanager
    def repeatable(self) -> Iterator[Callable[[], None]]:
        bits = generators.default_generator.numpy.bit_generator
        state = bits.state

        def rewind() -> None:
            bits.state = state

        try:
            yield rewind
        finally:
            rewind()


class Torch(Framework):
    name = "PyTorch"
    automatic = True

    def make(self, array: np.ndarray, leaf: bool = False) -> Any:
        made = sys.modules["torch"].from_numpy(array.copy())
        return made.requires_grad_() if leaf and array.dtype.kind == "f" else made

    def read(self, value: Any) -> np.ndarray:
        return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)

    def backward(self, outputs: list[Any], leaves: list[Any], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        torch = sys.modules["torch"]
        pairs = [(y, torch.as_tensor(w).to(y.dtype)) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
        if not pairs:
            return [np.zeros(tuple(leaf.shape)) for leaf in leaves]
        found = torch.autograd.grad([y for y, _ in pairs], leaves, [w for _, w in pairs], allow_unused=True)
        return [self.read(torch.zeros_like(x) if g is None else g) for g, x in zip(found, leaves, strict=True)]

    @contextmanager
    def repeatable(self) -> Iterator[Callable[[], None]]:
        torch = sys.modules["torch"]
        state = torch.get_rng_state()
        try:
            yield lambda: torch.set_rng_state(state)
        finally:
            torch.set_rng_state(state)


class Jax(Framework):
    """Runs in JAX's x64 mode, which otherwise computes in float32."""

    name = "JAX"
    automatic = True

    def make(self, array: np.ndarray, leaf: bool = False) -> Any:
        return sys.modules["jax"].numpy.asarray(array)

    def is_floating(self, value: Any) -> bool:
        return (value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype).kind == "f"  # also while traced

    @contextmanager
    def repeatable(self) -> Iterator[Callable[[], None]]:
        jax = sys.modules["jax"]
        x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
        with x64(True):
            yield lambda: None

    def gradients(self, call: Call, arrays: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        jax = sys.modules["jax"]

        def projected(*values: Any) -> Any:
            results = outputs_of(call(list(values)), self)
            return sum((y * jax.numpy.asarray(w)).sum() for y, w in zip(results, weights, strict=True))

        values = [self.make(array) for array in arrays]
        return [np.asarray(g) for g in jax.grad(projected, argnums=tuple(range(len(values))))(*values)]


def framework_of(values: Sequence[Any]) -> Framework:
    """The framework of the first value that has one other than NumPy."""
    for value in values:
        if isinstance(value, Tensor):
            return Ours()
        root = type(value).__module__.partition(".")[0]
        if root == "torch":
            return Torch()
        if root in ("jax", "jaxlib"):
            return Jax()
    return Framework()


def outputs_of(value: Any, framework: Framework) -> list[Any]:
    """The floating outputs in what a function returned: itself, or the elements of a tuple, list or dict, nested."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [output for item in value for output in outputs_of(item, framework)]
    if value is None:
        return []
    return [value] if framework.is_floating(value) else []
