"""The Module: what every layer and every model is.

What this file lets you do: compose a model of parameters, buffers and other modules by assigning them to attributes,
call it, switch between training and evaluation, convert and print it (walking through it is in `tree`, hooks are in
`hooked`, saving and loading in `stateful`). It knows Tensor and the graph's observers; no op and no layer.

A registered value is kept in two places: in the dict of its kind (`_parameters`, `_buffers`, `_modules`), which says
what there is and in which order, and as an ordinary attribute, because an attribute that Python finds by itself is read
ten times faster than one that `__getattr__` has to look up. Those dicts (`registered`) keep the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self
from weakref import ref

from tinygrad_lab import dtypes
from tinygrad_lab.graph import mark_mutated, numbers, observers
from tinygrad_lab.nn.hooked import Hooked
from tinygrad_lab.nn.parameter import Parameter
from tinygrad_lab.nn.registered import Registered
from tinygrad_lab.nn.stateful import Stateful
from tinygrad_lab.nn.tree import Tree
from tinygrad_lab.nn.whereabouts import add_layer_note
from tinygrad_lab.ops.convert import check_device
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Module"]

_KINDS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "child module"}


class Module(Hooked, Stateful, Tree):
    """Base class of all layers and models: assign parameters and other modules to attributes, and define `forward`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html

    >>> class Net(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = Parameter(Tensor([2.0]))
    ...     def forward(self, x):
    ...         return self.scale * x
    >>> Net()(Tensor([1.0, 3.0])).detach()
    tensor([2., 6.])
    >>> list(Net().state_dict())
    ['scale']
    """

    training: bool

    def __init__(self) -> None:
        self.training = True
        self._parameters: dict[str, Parameter | None] = Registered(self, {})
        self._buffers: dict[str, Tensor | None] = Registered(self, {})
        self._modules: dict[str, Module | None] = Registered(self, {})
        self._transient: set[str] = set()  # buffers that are no part of the state_dict
        self._hooks: dict[int, tuple[str, bool, Callable[..., Any]]] = {}

    # Calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, with hooks. An error gets a note that names this layer by its path in the outermost model."""
        try:
            first = next(numbers)
            if self._hooks or observers:
                output = self._call_watched(args, kwargs)
            elif len(args) == 1 and not kwargs:
                output = self.forward(args[0])  # takes Python half the time of a call with * and **
            else:
                output = self.forward(*args, **kwargs)
            if type(output) is not Tensor:
                self._mark(output, first)
            elif (node := output.node) is not None and node.number > first:  # else it was only handed on
                node.call = first, ref(self), type(self), node.call
            return output
        except Exception as error:
            add_layer_note(error, Module.__call__.__code__)
            raise

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it."""
        name = type(self).__name__
        raise NotImplementedError(
            f'Module [{name}] is missing the required "forward" function: define '
            f"`def forward(self, input)` in class {name}"
        )

    def graph(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward` on `inputs` and draw what was recorded: `viz.graph`, which tells of the options.

        >>> from tinygrad_lab import nn
        >>> print(nn.Linear(2, 1).graph(Tensor([[1.0, 2.0]]), values=False).text())
        Linear: 1 step, 2 parameters with 3 numbers
        <BLANKLINE>
        input: input                         1x2
        weight: parameter                    1x2
        bias: parameter                      1
        <BLANKLINE>
        Linear (3 parameters)
          t3 = linear(~input, weight, bias)  1x1
        <BLANKLINE>
        ~ no gradient flows to this operand
        <BLANKLINE>
        """
        from tinygrad_lab.viz.drawing.graph import graph_of_call

        return graph_of_call(self, inputs, **options)

    def summary(self, *inputs: Any, depth: int | None = None, **named: Any) -> Any:
        """The table of layers: output shapes for these inputs, parameters, multiply-adds and memory, with totals.

        One forward pass runs on `inputs`, in evaluation mode and unrecorded; training flags, running statistics and
        random numbers are left as they were. Without inputs the table has the parameters only. `depth` folds what is
        deeper. Multiply-adds are counted at the ops (linear, matrix products, convolutions, einsum), wherever they are
        called; as in torchinfo, an added bias counts as one. Plain data: `.rows`, `.to_dict()`.

        >>> print(Module().summary())  # doctest: +ELLIPSIS
        Layer (type)  Parameters
        ...
        """
        from tinygrad_lab.viz.summary import summarize

        return summarize(self, inputs, depth, **named)

    def _mark(self, output: Any, first: int) -> None:
        """Note in the graph that the Tensors in `output` (a tuple, list or dict of them) are what this call made."""
        for item in (
            output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
        ):
            if not isinstance(item, Tensor):
                self._mark(item, first)
            elif (node := item.node) is not None and node.number > first:
                node.call = first, ref(self), type(self), node.call

    # Registration

    def _hold(self, kind: str, name: str, value: Any) -> None:
        """Make `value` the registered value `name` of this kind, and of no other kind."""
        own = self.__dict__
        for other in _KINDS:
            if other != kind and name in own[other]:
                del own[other][name]
        own["_transient"].discard(name)
        own[kind][name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            kind, called = ("_parameters", "parameters") if isinstance(value, Parameter) else ("_modules", "module")
            if kind not in own:
                raise AttributeError(
                    f"cannot assign {called} before Module.__init__() call: "
                    f"{type(self).__name__}.__init__ must begin with super().__init__()"
                )
            self._hold(kind, name, value)
            return
        for kind, called in _KINDS.items():
            if name in own.get(kind, ()):
                if value is not None and not (kind == "_buffers" and isinstance(value, Tensor)):
                    expected = {"_parameters": "nn.Parameter", "_buffers": "Tensor", "_modules": "nn.Module"}[kind]
                    remedy = ""
                    if kind == "_parameters" and isinstance(value, Tensor):
                        remedy = f": wrap it in nn.Parameter, or under no_grad() copy its values, {name}.copy_(...)"
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {called} '{name}' ({expected} or None expected)"
                        f"{remedy}"
                    )
                own[kind][name] = value
                return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__.get("_transient", set()).discard(name)
        for kind in _KINDS:
            if name in self.__dict__.get(kind, ()):
                del self.__dict__[kind][name]
                return
        object.__delattr__(self, name)

    def __getattr__(self, name: str) -> Any:  # only reached when there is no such attribute
        cls = type(self).__name__
        if "_modules" not in self.__dict__ and (name in _KINDS or name in ("_hooks", "_transient")):
            raise AttributeError(f"{cls}.__init__ must begin with super().__init__(), and did not call it")
        for kind in _KINDS:  # for wrappers that override this method, and ask it first
            if name in self.__dict__.get(kind, ()):
                return self.__dict__[kind][name]
        raise AttributeError(f"'{cls}' object has no attribute '{name}'")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy or a pickle. A shallow copy shares its values with the original, but not the list of them."""
        self.__dict__.update(state)
        for name in _KINDS:
            self.__dict__[name] = Registered(self, state[name])
        for name in ("_transient", "_hooks"):
            self.__dict__[name] = state[name].copy()

    def _check_name(self, kind: str, name: Any) -> None:
        called = _KINDS[kind].removeprefix("child ")
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {called} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{called} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{called} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{called} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name. KeyError for an unusable name, TypeError if it is not a Parameter or None."""
        self._check_name("_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (nn.Parameter or None required)"
            )
        self._hold("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; `persistent=False` leaves it out of the state_dict."""
        self._check_name("_buffers", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._hold("_buffers", name, tensor)
        if not persistent:
            self._transient.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name. TypeError if it is not a Module or None."""
        if module is not None:
            check_module(name, module)
        self._check_name("_modules", name)
        self._hold("_modules", name, module)

    register_module = add_module

    # Modes and conversions

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below to training (dropout on, batch statistics) or evaluation. Returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)  # not only the flag: a child may keep a part of itself in evaluation
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Want gradients for all parameters, or (False: freeze them) for none. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or overwrite them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter._grad = None
            elif (gradient := parameter.grad) is not None:
                gradient.detach_().array.fill(0)
                mark_mutated(gradient.array)

    def to(self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False) -> Self:
        """Convert floating parameters and buffers, in place, to `dtype` (or that of a tensor); `device` may be "cpu".

        TypeError for a dtype that is not floating, RuntimeError for another device. Returns self.
        """
        for value in args:
            if isinstance(value, Tensor):
                dtype = value.dtype
            elif isinstance(value, (dtypes.dtype, type)):  # Python's float, too
                dtype = value
            elif not isinstance(value, bool):
                device = value
        check_device(device)
        if dtype is None:
            return self
        chosen = dtypes.as_numpy(dtype)
        if chosen.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={chosen}")
        for parameter in self.parameters():
            if not parameter.is_floating_point():
                continue
            parameter.array = parameter.array.astype(chosen, copy=False)
            if (gradient := parameter.grad) is not None:
                parameter._grad = wrap(gradient.array.astype(chosen, copy=False))
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    setattr(module, name, buffer.to(dtype))
        return self

    def float(self) -> Self:
        """All floating parameters and buffers to float32. Returns self."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """All floating parameters and buffers to float64. Returns self."""
        return self.to(dtypes.float64)

    def half(self) -> Self:
        """All floating parameters and buffers to float16. Returns self."""
        return self.to(dtypes.float16)

    def cpu(self) -> Self:
        """Self: there is no other device."""
        return self

    def cuda(self, device: Any = "cuda") -> Self:
        """RuntimeError: there is no other device."""
        return self.to(device=device)

    # Printing

    def extra_repr(self) -> str:
        """What `repr` shows in the brackets beside the children; layers override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{type(self).__name__}({extra})"
        lines += [f"({name}): {module!r}" for name, module in self._modules.items()]
        return f"{type(self).__name__}({indented(lines)})"


def indented(lines: list[str]) -> str:
    """The inside of a nested repr: each entry on lines of its own, two spaces in; nothing for no entries."""
    return "\n  " + "\n".join(lines).replace("\n", "\n  ") + "\n" if lines else ""


def check_module(name: str, value: Any) -> None:
    """TypeError unless `value`, given as the child `name`, is a Module."""
    if not isinstance(value, Module):
        remedy = ""
        if isinstance(value, type):
            remedy = f": {value.__name__} is a class, write {value.__name__}(...)"
        elif isinstance(value, (list, tuple)):
            remedy = ": unpack it, Sequential(*layers)"
        elif callable(value):
            remedy = ": call a function in forward(), or use the layer of that name (nn.ReLU() for F.relu)"
        raise TypeError(f"{type(value).__name__} is not a Module subclass, given as module '{name}'{remedy}")
