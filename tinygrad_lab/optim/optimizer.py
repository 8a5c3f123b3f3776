"""The Optimizer base: parameter groups, state, checkpoints, and the loop that updates each parameter in place.

What this file lets you do: write an optimizer by giving `_validate` (which option values are legal) and `_rule` (how
one parameter changes); everything else is inherited. It knows Tensor, and of the graph only that changed memory is
reported to it. It must not know ops or modules: updates run on raw arrays, so there is nothing to record.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_lab.grad_mode import enable_grad
from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.optim.bundle import COUNTS, Bundle, Member
from tinygrad_lab.optim.rules import SMALL, Update, blocks, counter, zeros_like
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Optimizer"]


class Optimizer:
    """Base of all optimizers, with PyTorch's interface.

    params    tensors, (name, tensor) pairs, or dicts with the key "params" and options that override `defaults` for
              that group
    defaults  options of the groups that do not give their own

    `param_groups` may be changed between steps (`optimizer.param_groups[0]["lr"] = 0.01`); `state[param]` holds what
    the optimizer remembers of a parameter.

    Raises TypeError for a single tensor, a set, or entries that are not tensors; ValueError for no parameters, illegal
    option values, non-leaf tensors, and tensors in two groups.
    Source: https://docs.pytorch.org/docs/stable/optim.html
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got a single "
                f"Tensor of shape {params.shape}: put it in a list, [tensor]"
            )
        if not isinstance(params, Iterable):
            remedy = ": pass its .parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}{remedy}"
            )
        _refuse_unordered(params)
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._opt_called = False  # schedulers warn if they are stepped before the optimizer
        self._blocks = functools.partial(blocks, {})
        self._rules: dict[Any, tuple[dict[str, Any], Update]] = {}
        self._bundles: dict[int, tuple[Bundle, Optimizer]] = {}
        owner = next(cls for cls in type(self).__mro__ if "_rule" in vars(cls))
        self._joins = vars(owner).get("elementwise", False)
        self._validate(defaults)
        groups = list(params)
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list: model.parameters() of a model without parameters (layers in "
                "a list are seen only if it is an nn.ModuleList), or a generator that was already used up?"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # What an optimizer defines

    elementwise = False
    """True beside a `_rule` of many NumPy calls that treats each element alone: small parameters then share them."""

    def _validate(self, options: dict[str, Any]) -> None:
        """Raise ValueError or TypeError if an option is illegal; called with the defaults and with every group."""

    def _rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        """The function `update(param, values, grad)` that changes the array `values` of `param` in place.

        Called again only when an option of the group has changed, so it is the place to read options. Numbers that meet
        arrays are made 0-d arrays of `dtype` (`dtypes.constant`): NumPy takes longer to convert a Python float than to
        add a thousand elements. The function refers to `self.state` and `self._blocks`, not to the optimizer, which
        keeps it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _rule (how one parameter is updated) or step")

    # What users call

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        closure  does zero_grad, forward and backward, and returns the loss, which `step` then returns
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._opt_called = True
        joins, changed = self._joins, []
        try:
            for group in self.param_groups:
                dtype, small = None, []
                for param in group["params"]:
                    grad = param._grad  # parameters are leaves: the slot itself, without the property's checks
                    if grad is None:
                        continue
                    if type(grad) is not np.ndarray:
                        grad = grad.array
                    p = param.array
                    changed.append(p)
                    if joins and p.size <= SMALL:
                        small.append((param, p, grad, self.state[param]))
                        continue
                    if p.dtype is not dtype:
                        dtype = p.dtype
                        update = self._current_rule(group, dtype)
                    update(param, p, grad)
                if small:
                    self._update_small(group, small)
        finally:
            mark_mutated(*changed)
        return loss

    def _update_small(self, group: dict[str, Any], members: list[Member]) -> None:
        """Update small parameters of one group: together, where that changes no result."""
        bundle, joined = self._bundles.get(id(group), (None, self))
        if bundle is None or not bundle.fits(members):
            if not Bundle.possible(members):
                for param, values, grad, _ in members:
                    self._current_rule(group, values.dtype)(param, values, grad)
                return
            bundle, joined = Bundle(members), copy.copy(self)  # the same rule, on state of its own
            joined.state = defaultdict(dict, {bundle: bundle.state})
            self._bundles[id(group)] = bundle, joined
        bundle.update(members, joined._current_rule(group, bundle.values.dtype))

    def _current_rule(self, group: dict[str, Any], dtype: np.dtype[Any]) -> Update:
        """`_rule` for the group's options as they are now."""
        key = id(group), id(self.state), dtype
        known = self._rules.get(key)
        if known is None or known[0] != group:
            # Lists are copied (betas may be one), so that a change inside of them is seen.
            options = {name: v[:] if type(v) is list and name != "params" else v for name, v in group.items()}
            known = self._rules[key] = options, self._rule(group, dtype)
        return known[1]

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: rules are functions over this very optimizer's state."""
        return {**vars(self), "_rules": {}, "_bundles": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over attributes: of a copy, of a pickle, and what was loaded. Optimizers add options of theirs here."""
        vars(self).update(state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with `set_to_none=False` fill them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param._grad = None
                elif (grad := param.grad) is not None:
                    if grad.requires_grad:  # it belongs to a graph that still needs its values (create_graph=True)
                        param.grad = zeros_like(grad.array)
                    else:
                        grad.array.fill(0)
                        mark_mutated(grad.array)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options, for example layers unfrozen during training.

        >>> from tinygrad_lab.optim import SGD
        >>> optimizer = SGD([Tensor(2, 3)], lr=0.1)
        >>> optimizer.add_param_group({"params": [Tensor(3)], "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise KeyError(f"param_group needs the key 'params', got only {sorted(param_group)}")
        group = {**self.defaults, **param_group}
        params = group["params"]
        _refuse_unordered(params)
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in params if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
        if names and len(names) != len(params):
            raise ValueError(
                f"all optimizer params should be with/without names. Some param names are missing: {len(names)} names "
                f"for {len(params)} parameters"
            )
        for position, param in enumerate(params):
            if not isinstance(param, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__} "
                    f"(number {position} of its group)"
                )
            if not (param.is_leaf or param.retains_grad):
                raise ValueError(
                    f"can't optimize a non-leaf Tensor: parameter {position} (shape {param.shape}) was computed by an "
                    f"op. Optimize the tensor it was computed from, or a leaf made of it: x.detach().requires_grad_()"
                )
        group["params"] = params
        if names:
            group["param_names"] = names
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError(
                f"all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if names else 'without'} names to the optimizer"
            )
        self._validate(group)
        if len(set(params)) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; they are updated twice per step",
                stacklevel=3,
            )
        taken = {param for other in self.param_groups for param in other["params"]}
        shared = [position for position, param in enumerate(params) if param in taken]
        if shared:
            raise ValueError(
                f"some parameters appear in more than one parameter group: parameter {shared[0]} (shape "
                f"{params[shared[0]].shape}) of group {len(self.param_groups)}"
            )
        self.param_groups.append(group)

    def state_dict(self) -> dict[str, Any]:
        """Options and state, in PyTorch's layout: parameters are named by their position, counted over all groups."""
        position: dict[Any, int] = {}
        for group in self.param_groups:
            for param in group["params"]:
                position.setdefault(param, len(position))
        groups = [
            {**{k: v for k, v in group.items() if k != "params"}, "params": [position[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": {position.get(param, param): s for param, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and a copy of the state that `state_dict()` returned, cast to the parameters' dtypes.

        Create schedulers before loading: creating one sets learning rates.
        Raises ValueError if the groups, their sizes or the shapes do not match this optimizer's.
        """
        saved = copy.deepcopy(state_dict["param_groups"])
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved]
        if len(sizes) != len(saved_sizes):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved_sizes)}, the optimizer has "
                f"{len(sizes)}"
            )
        if sizes != saved_sizes:
            raise ValueError(
                f"loaded state dict contains a parameter group that doesn't match the size of optimizer's group: sizes "
                f"are {saved_sizes} in the state dict, {sizes} in the optimizer"
            )
        params = {
            key: param
            for group, own in zip(saved, self.param_groups, strict=True)
            for key, param in zip(group["params"], own["params"], strict=True)
        }
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, values in state_dict["state"].items():
            if key not in params:
                state[key] = copy.deepcopy(values)
                continue
            param = params[key]
            state[param] = {name: _fitted(param.array, value, name, key) for name, value in values.items()}
        param_groups = [
            {**self.defaults, **({"param_names": own["param_names"]} if "param_names" in own else {}), **group}
            | {"params": own["params"]}
            for group, own in zip(saved, self.param_groups, strict=True)
        ]
        self._rules, self._bundles = {}, {}
        self.__setstate__({"state": state, "param_groups": param_groups})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _refuse_unordered(params: Any) -> None:
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
            "will change between runs. Please use a list instead."
        )


def _fitted(p: np.ndarray, value: Any, name: str, key: Any) -> Any:
    """A copy of one loaded state value, with the dtype and memory layout of its parameter."""
    if name in COUNTS and isinstance(value, Real):  # as PyTorch wrote them before 1.12
        return counter(float(value))
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if name in COUNTS:
        return wrap(value.array.copy())
    if value.shape != p.shape:
        raise ValueError(
            f"loaded state dict does not fit: {name!r} of parameter {key} has shape {value.shape}, the parameter has "
            f"shape {p.shape}. Were the parameters given in another order?"
        )
    fitted = np.empty_like(p)
    np.copyto(fitted, value.array, casting="unsafe")
    return wrap(fitted)
