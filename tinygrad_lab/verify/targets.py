"""What is to be checked, as something that can be called on other values: a function of several inputs, or a model.

What this file lets you do: find the inputs to check and their names, call f (or the model's loss) with arrays in their
place, and get automatic or hand-derived gradients in order. A model's parameters and buffers are lent for the time of
`borrowed()`, and the very same arrays are put back at its end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.frameworks import Ours, framework_of, outputs_of
from tinygrad_lab.verify.replay import call_recorded

__all__ = ["FunctionTarget", "ModelTarget", "target_of"]


def target_of(f: Callable[..., Any], inputs: Any) -> FunctionTarget:
    """The target for `f` at `inputs`: a module's parameters, a dict, several values, or one."""
    return ModelTarget(f, inputs) if hasattr(inputs, "named_parameters") else FunctionTarget(f, inputs)


class FunctionTarget:
    """f of one value, of several, or of a dict of them: which are checked, and how f is called on others."""

    def __init__(self, f: Callable[..., Any], inputs: Any) -> None:
        self.f, self.inputs = f, inputs
        if isinstance(inputs, Mapping):
            self.values = {str(key): value for key, value in inputs.items()}
        elif isinstance(inputs, (tuple, list)):
            self.values = {f"input {i}": value for i, value in enumerate(inputs)}
        else:
            self.values = {"input": inputs}
        self.framework = framework_of(list(self.values.values()))
        floating = [name for name, value in self.values.items() if self.is_checked(value)]
        wanted = [name for name in floating if getattr(self.values[name], "requires_grad", False)]
        self.checked = wanted or floating
        self.names = list(self.checked)
        read = [self.framework.read(self.values[name]) for name in self.checked]
        self.low = any(array.dtype != np.float64 for array in read)
        self.arrays = [np.array(array, np.float64) for array in read]

    def is_checked(self, value: Any) -> bool:
        return (
            isinstance(value, float)
            or hasattr(value, "dtype")
            or (not self.framework.automatic and isinstance(value, list))
        ) and self.framework.is_floating(value)

    def name(self, names: Sequence[str] | None) -> None:
        if names is not None:
            if len(names) != len(self.names):
                raise ValueError(f"got {len(names)} names for {len(self.names)} checked inputs, {self.names}")
            self.names = list(names)

    def _filled(self, values: Sequence[Any]) -> dict[str, Any]:
        return {**self.values, **dict(zip(self.checked, values, strict=True))}

    def apply(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """function at the inputs, with `values` in the place of those that are checked."""
        filled = self._filled(values)
        if isinstance(self.inputs, Mapping):
            return function(dict(zip(self.inputs, filled.values(), strict=True)))
        return function(*filled.values())

    def call(self, values: Sequence[Any]) -> Any:
        return self.apply(self.f, values)

    def outputs(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return outputs_of(self.call([self.framework.make(array, leaf=True) for array in arrays]), self.framework)

    def gradients(self, arrays: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self.framework.gradients(self.call, arrays, weights)

    def branches(self, arrays: Sequence[np.ndarray]) -> Any:
        return self.framework.branches(self.call, arrays)

    def by_hand(self, gradient: Any, arrays: Sequence[np.ndarray] | None) -> list[np.ndarray]:
        """The given gradient's arrays, one per checked input; computed at `arrays` if it is a function."""
        if callable(gradient):
            assert arrays is not None
            gradient = self.apply(gradient, [self.framework.make(array) for array in arrays])
        if isinstance(gradient, Mapping):
            found = [gradient[key] for key in self.inputs if str(key) in self.checked and key in gradient]
        elif isinstance(gradient, (tuple, list)) and isinstance(self.inputs, (tuple, list, Mapping)):
            found = list(gradient)
            if len(found) == len(self.values) != len(self.checked):
                found = [g for name, g in zip(self.values, found, strict=True) if name in self.checked]
        else:
            found = [gradient]
        if len(found) != len(self.checked):
            raise ValueError(f"gradcheck: got {len(found)} gradients for {len(self.checked)} inputs, {self.names}")
        return [self.framework.read(g) for g in found]

    def recorded(self) -> tuple[Any, dict[str, Tensor], Any]:
        """f at the inputs in their own dtype, recorded: (outputs, leaves by name, observer)."""
        leaves = [wrap(self.values[name].array.copy()).requires_grad_() for name in self.checked]
        result, observer = call_recorded(lambda: self.call(leaves))
        return result, dict(zip(self.names, leaves, strict=True)), observer

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        yield  # everything works on copies


class ModelTarget(FunctionTarget):
    """A model and a closure for its loss: parameters by name, replaced while the check runs."""

    def __init__(self, f: Callable[..., Any], model: Any) -> None:
        self.model = model
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.tensors = list(parameters.values())
        try:
            takes_model = any(
                parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
                for parameter in inspect.signature(f).parameters.values()
            )
        except ValueError:
            takes_model = False
        super().__init__((lambda: f(model)) if takes_model else f, parameters)
        self.slot = "array" if isinstance(self.framework, Ours) else "data"

    def is_checked(self, value: Any) -> bool:
        return True

    def apply(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        for tensor, value in zip(self.tensors, values, strict=True):
            setattr(tensor, self.slot, getattr(value, self.slot))
        return function() if function is self.f else function(dict(zip(self.names, values, strict=True)))

    def gradients(self, arrays: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        results = outputs_of(self.call([self.framework.make(array) for array in arrays]), self.framework)
        return self.framework.backward(results, self.tensors, weights)

    def outputs(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return outputs_of(self.call([self.framework.make(array) for array in arrays]), self.framework)

    def recorded(self) -> tuple[Any, dict[str, Tensor], Any]:
        for tensor, data in self.kept:
            setattr(tensor, self.slot, data.copy())
        result, observer = call_recorded(self.f)
        return result, dict(zip(self.names, self.tensors, strict=True)), observer

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Parameters and buffers are replaced by float64 copies; at the end the very same arrays are put back."""
        modules = [module for _, module in self.model.named_modules()]
        buffers = [(module, name, b) for module in modules for name, b in module._buffers.items() if b is not None]
        self.kept = [(t, getattr(t, self.slot)) for t in [*self.tensors, *(buffer for *_, buffer in buffers)]]
        try:
            for tensor, _ in self.kept:
                array = self.framework.read(tensor)
                copied = self.framework.make(array.astype(np.float64) if array.dtype.kind == "f" else array)
                setattr(tensor, self.slot, getattr(copied, self.slot))
            yield
        finally:
            for tensor, data in self.kept:
                setattr(tensor, self.slot, data)
            for module, name, buffer in buffers:
                if module._buffers.get(name) is not buffer:
                    setattr(module, name, buffer)
