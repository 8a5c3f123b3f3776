"""The state of a model in a dict by path, and loading it: first everything is checked, then copied.

So a bad file leaves the model as it was. What this file lets you do: save and load a module, and let a module have its
say in it (`get_extra_state`, `_save_to_state_dict`). It must not know Module, whose base class it is: it needs
`named_modules` and the dicts `_parameters`, `_buffers` and `_modules`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.tensor import Tensor

__all__ = ["IncompatibleKeys", "Stateful"]


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it did not use."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Stateful:
    """What a Module knows of its state."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: set[str]  # buffers that are no part of the state_dict
    named_modules: Callable[..., Any]
    _may_lack: tuple[str, ...] = ()  # what older files have not, and is then kept

    def _own_state(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers of this module alone."""
        kept = {name: buffer for name, buffer in self._buffers.items() if name not in self._transient}
        return {name: tensor for name, tensor in {**self._parameters, **kept}.items() if tensor is not None}

    def state_dict(
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by path: detached tensors that share the model's memory.

        `keep_vars` gives the parameters themselves; `destination` is a dict to add to. Children are asked through
        their own `state_dict`, with `destination` and a `prefix`.
        """
        state: dict[str, Any] = OrderedDict() if destination is None else destination
        self._save_to_state_dict(state, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Add what this module itself holds, without its children, to `destination`: a subclass may change what."""
        for name, tensor in self._own_state().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What a state_dict shall hold of this module beside tensors; a subclass that has it defines both methods."""
        raise RuntimeError(f"{type(self).__name__} defines no get_extra_state: its state is parameters and buffers")

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave; called by `load_state_dict` after the tensors were loaded."""
        raise RuntimeError(f"{type(self).__name__} defines no set_extra_state: its state is parameters and buffers")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the values of a state_dict (of tensors or arrays) into this model: all of them, or none if any is wrong.

        `strict=False` lets keys be missing or left over; the result names them. RuntimeError lists everything that
        does not fit: missing and unexpected keys, and shapes. TypeError if it is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        targets: dict[str, Tensor] = {}
        extra: dict[str, Any] = {}  # modules that take over something else
        required: list[str] = []
        for path, module in self.named_modules(remove_duplicate=False):
            if hasattr(module, "_load_from_state_dict"):
                raise NotImplementedError(
                    f"{type(module).__name__} defines _load_from_state_dict, which is not called here: change the "
                    f"dict before load_state_dict(), or define get_extra_state and set_extra_state"
                )
            prefix = f"{path}." if path else ""
            own = module._own_state()
            targets |= {prefix + name: tensor for name, tensor in own.items()}
            required += [prefix + name for name in own if name not in module._may_lack]
            if type(module).set_extra_state is not Stateful.set_extra_state:
                extra[prefix + _EXTRA] = module
                required.append(prefix + _EXTRA)

        missing = [name for name in required if name not in state_dict]
        unexpected = [name for name in state_dict if name not in targets and name not in extra]
        found = {name: (target, state_dict[name]) for name, target in targets.items() if name in state_dict}
        problems = [problem for name, (target, value) in found.items() if (problem := _problem(name, target, value))]
        if strict:
            for kind, names in (("Unexpected", unexpected), ("Missing", missing)):
                if names:
                    quoted = ", ".join(f'"{name}"' for name in names)
                    problems.insert(0, f"{kind} key(s) in state_dict: {quoted}. ")
        if problems:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(problems))
        for target, value in found.values():
            np.copyto(target.array, value.array if isinstance(value, Tensor) else np.asarray(value), casting="unsafe")
            mark_mutated(target.array)
        for name, module in extra.items():
            if name in state_dict:
                module.set_extra_state(state_dict[name])
        return IncompatibleKeys(missing, unexpected)


_EXTRA = "_extra_state"


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
