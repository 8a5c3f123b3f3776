"""What a call of an op does: the function that is generated for each declaration, and what it calls.

A declaration becomes a function whose text is generated for its signature, in the way of `dataclasses`: Python itself
then binds arguments and defaults, and a call does nothing that its op does not need. For `mul(input, other)` it reads

    def mul(input, other):
        is_tensor = False; wanted = 0; input_edge = other_edge = None
        if isinstance(input, Tensor):
            is_tensor = True
            if input._requires_grad: wanted |= 1; input_edge = ...   # its node, or the leaf itself
            input = input.array
        ...                                                         # the same for `other`
        y = forward(input, other)
        if not is_tensor: return y                                  # arrays in, array out
        if wanted and grad_enabled():
            plan = plans[wanted]                                    # which rules, which saved values
            node = Node((input_edge, other_edge)); node.saved = plan.keep(input, other, y); ...
        output = ...                                                # a Tensor of y and node
        return output

The text is generated and compiled at an op's first call: importing two hundred ops costs little, and a program pays for
those that it uses. `print(registry["mul"].source)` shows it. This file knows Tensor, graph and dtypes, and no op.
"""

from __future__ import annotations

import inspect
import linecache
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_lab import dtypes, grad_mode, graph
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["public_function", "registry", "source_of"]

registry: dict[str, Any] = {}
"""Every declared op and composition by name and alias, in order of declaration."""


def check_current(op_name: str, argument: str, tensor: Tensor) -> None:
    """Refuse a computed tensor whose memory was changed through another: its history no longer gives its value."""
    node = tensor.node
    changed = graph.last_mutation(tensor.array)
    if node is not None and changed > node.number:
        raise RuntimeError(
            f"{op_name}: its argument '{argument}' (computed by {node.op.name}, shape {tensor.shape}) was changed in "
            f"place through another tensor that shares its memory (a view, .data or detach()), so its recorded history "
            f"no longer gives its value. Change the tensor itself (x[0] = ..., x.mul_(2)), or change a clone()"
        )


def check_recorded(op_name: str, argument: str, tensor: Tensor) -> None:
    """Refuse a tensor without history whose memory got a recorded value through another: its gradient would be lost."""
    if grad_mode.grad_enabled() and not tensor._requires_grad and graph.is_unrecorded(tensor.array):
        raise RuntimeError(
            f"{op_name}: its argument '{argument}' (shape {tensor.shape}) has no history, but a value that requires a "
            f"gradient was written into its memory through another tensor: through a view of it (x[0][1] = v, "
            f"x[0].add_(v), x.T.copy_(v)), or it is a view made before (old = x[0]; x.add_(v)). The gradient would be "
            f"lost. Write into the tensor itself (x[0, 1] = v, x[0] += v) and take views afterwards; for the values "
            f"alone clone() it before the change, or read it under no_grad()"
        )


def refuse_gradient(op_name: str, argument: str) -> None:
    """Say that no gradient reaches `argument`: going on would leave its `.grad` at None without a word."""
    raise RuntimeError(f"{op_name}: the result is not differentiable with respect to '{argument}': detach() it")


def _told(value: Any) -> str:
    """An argument in an error message: arrays by dtype and shape, never by their elements."""
    value = getattr(value, "array", value)
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, (list, tuple)) and any(hasattr(item, "shape") for item in value):
        return f"[{', '.join(map(_told, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    return f"{value!r:.60}"


def explain(op: Any, values: tuple[Any, ...], error: Exception) -> Exception:
    """The exception to raise for `error` inside `op.forward`: PyTorch's class, the op's name and the operands."""
    text = str(error)
    said_by = text.partition(":")[0]
    if said_by == op.name or (said_by in registry and "gufunc" not in text):
        return error  # one of ours, maybe of an op inside this one
    kind: type[Exception] = type(error)
    if isinstance(error, np.exceptions.AxisError):
        kind = IndexError
        if error.ndim is not None:
            ndim = max(error.ndim, 1)
            text = f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {error.axis})"
    elif kind is ValueError or isinstance(error, np.linalg.LinAlgError):
        kind = RuntimeError
    elif isinstance(error, (np.exceptions.DTypePromotionError, TypeError)):
        kind = RuntimeError if "numpy boolean" in text else TypeError
    elif kind not in (IndexError, RuntimeError, OverflowError, NotImplementedError):
        return error
    operands = [
        f"{name}: {_told(value)}"
        for name, value in zip(op.arguments, values, strict=True)
        if value is not op.signature.parameters[name].default and not inspect.isfunction(value)
    ]
    if "could not be broadcast" in text:
        text = (
            "shapes do not broadcast: compared from the last dimension backward, two sizes must be equal or one of "
            "them 1; reshape or unsqueeze one operand"
        )
    return kind(f"{op.name}: {text} ({', '.join(operands)})")


def notify(op: Any, values: tuple[Any, ...], output: Tensor, node: graph.Node | None) -> None:
    """Tell every observer that `op` ran."""
    arguments = dict(zip(op.arguments, values, strict=True))
    for observer in tuple(graph.observers):
        observer.forward(op, arguments, output, node)


def operand(argument: str, value: Any) -> np.ndarray:
    """An operand that is not a Tensor, checked: an ndarray passes, a NumPy or Python number becomes a 0-d array."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (np.generic, float, int)):
        return np.asarray(value)
    name = type(value).__name__
    remedy = f"call it first, as {name}(...)(x)" if callable(value) else "convert it with torch.tensor(...)"
    raise TypeError(f"argument '{argument}' must be Tensor, not {name}; {remedy}")


def unwrap_sequence(op_name: str, argument: str, tensors: Any) -> tuple[bool, int, tuple[Any, ...], tuple[Any, ...]]:
    """For an op on a sequence: (is any a Tensor, does any require a gradient, arrays, edges)."""
    if isinstance(tensors, (Tensor, np.ndarray)) or not isinstance(tensors, Iterable):
        raise TypeError(
            f"{op_name}: argument '{argument}' must be a tuple or list of Tensors, not {type(tensors).__name__}"
        )
    tensors = tuple(tensors)
    edges: list[Any] = [None] * len(tensors)
    is_tensor = False
    mask = 0
    arrays = []
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            arrays.append(operand(f"{argument}[{i}]", tensor))
            continue
        is_tensor = True
        arrays.append(tensor.array)
        if tensor._requires_grad:
            mask = 1
            edges[i] = tensor if tensor.node is None else tensor.node
            if tensor.node is not None and tensor.node.number < graph.mutations.latest:
                check_current(op_name, f"{argument}[{i}]", tensor)
        elif graph.mutations.unrecorded:
            check_recorded(op_name, f"{argument}[{i}]", tensor)
    return is_tensor, mask, tuple(arrays), tuple(edges)


def _required(op: Any, name: str) -> bool:
    return op.signature.parameters[name].default is not None


def _parameters(op: Any) -> str:
    """The signature's text, with defaults taken from the forward function."""
    parts, keyword_only = [], False
    for name, parameter in op.signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        parts.append(name if parameter.default is parameter.empty else f"{name}=defaults[{name!r}]")
    numpys = [f"{theirs}=None" for _, theirs in _numpys_names(op)]
    return ", ".join([*parts, *(["*"] if numpys and not keyword_only else []), *numpys])


def _numpys_names(op: Any) -> list[tuple[str, str]]:
    """(ours, NumPy's) names of optional arguments that PyTorch takes under either: `x.sum(axis=1, keepdims=True)`."""
    known = op.signature.parameters
    return [
        (ours, theirs)
        for ours, theirs in (("dim", "axis"), ("keepdim", "keepdims"))
        if ours in known and known[ours].default is not known[ours].empty
    ]


def source_of(op: Any) -> str:
    """The text of the public function of `op`."""
    passed = ", ".join(
        f"{name}={name}" if parameter.kind is parameter.KEYWORD_ONLY else name
        for name, parameter in op.signature.parameters.items()
    )
    lines = []
    if op.arrays and not (op.sequence or op.residuals or op.promotes or op.floats):
        # Rules call ops on arrays all the time: nothing to unwrap, convert or record.
        plain = " and ".join(f"type({name}) is ndarray" for name in op.arrays if _required(op, name))
        absent = "".join(f" and {name} is None" for name in op.arrays if not _required(op, name))
        lines.append(f"if {plain}{absent}: return forward({passed})")
    lines.append("is_tensor = False")
    if op.rules:
        lines.append("wanted = 0")
    if op.sequence:
        name = op.differentiable[0]
        lines.append(f"is_tensor, wanted, {name}, edges = unwrap_sequence({op.name!r}, {name!r}, {name})")
    elif op.rules:
        lines.append(" = ".join(f"{name}_edge" for name in op.differentiable) + " = None")
    for name in op.arrays:
        if op.sequence and name in op.differentiable:
            continue
        lines += [f"if isinstance({name}, Tensor):", "    is_tensor = True"]
        if name in op.rules:
            lines += [
                f"    if {name}._requires_grad:",
                f"        wanted |= {1 << op.differentiable.index(name)}",
                f"        {name}_edge = {name}.node",
                f"        if {name}_edge is None: {name}_edge = {name}",
                f"        elif {name}_edge.number < mutations.latest: check_current({op.name!r}, {name!r}, {name})",
                f"    elif mutations.unrecorded: check_recorded({op.name!r}, {name!r}, {name})",
            ]
        elif op.rules:
            lines.append(f"    if {name}._requires_grad and grad_enabled(): refuse_gradient({op.name!r}, {name!r})")
        lines.append(f"    {name} = {name}.array")
        if name not in op.promotes:
            optional = "" if _required(op, name) else f" and {name} is not None"
            lines.append(f"elif type({name}) is not ndarray{optional}: {name} = operand({name!r}, {name})")
    if len(op.promotes) == 2:
        a, b = op.promotes
        lines.append(f"if not (type({a}) is ndarray and type({b}) is ndarray and {a}.dtype is {b}.dtype):")
        lines.append(f"    {a}, {b} = promote({a}, {b})")
    elif op.promotes:
        names = ", ".join(op.promotes)
        lines.append(f"{names}, = promote({names})")
    for name in op.floats:
        lines.append(f"if {name}.dtype.kind != 'f': {name} = to_floating({name})")
    results = ", ".join(("y", *op.residuals))
    lines.append(f"{results} = forward({passed})")
    every = ", ".join(op.arguments)
    body = [f"if {theirs} is not None: {ours} = {theirs}" for ours, theirs in _numpys_names(op)]
    if "inplace" in op.signature.parameters:  # PyTorch's F.relu(x, inplace=True) is the method x.relu_()
        options = [f"{name}={name}" for name in op.arguments[1:] if name != "inplace"]
        body.append(f"if inplace: return {op.arguments[0]}.{op.name}_({', '.join(options)})")
    body += ["try:", *("    " + line for line in lines)]
    body += ["except Exception as error:", f"    raise explain(op, ({every},), error) from None"]
    body += ["if not is_tensor: return y", "if type(y) is not ndarray: y = asarray(y)"]
    if op.rules:
        edges = "edges" if op.sequence else "(" + "".join(f"{name}_edge, " for name in op.differentiable) + ")"
        kept = ", ".join((every, results, "edges") if op.sequence else (every, results))
        body += [
            "if wanted and grad_enabled():",
            # `record` and `wrap`, written out: calling them takes as long as what they do.
            "    plan = plans[wanted] or op.plan(wanted)",
            f"    node = Node({edges})",
            "    node.plan = plan",
            f"    node.saved = plan.keep({kept})",
            "    node.number = next(numbers)",
            "    node.shape = y.shape",
            "    node.dtype = y.dtype",
            "    node.watch = node.call = None",
            "    output = new(Tensor)",
            "    output.array = y",
            "    output.node = node",
            "    output._requires_grad = True",
            "    output._grad = output._watch = None",
            "else:",
            "    node = None",
            "    output = wrap(y)",
        ]
    else:
        body += ["node = None", "output = wrap(y)"]
    body += [f"if observers: notify(op, ({every},), output, node)", "return output"]
    return f"def {op.name}({_parameters(op)}):\n" + "\n".join("    " + line for line in body) + "\n"


def _first_call(*args: Any, **kwargs: Any) -> Any:
    """What every public function is until it is first called; runs with the namespace of its op."""
    compile_function(op, shell)  # type: ignore[name-defined]  # noqa: F821
    return shell(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def public_function(op: Any) -> Callable[..., Any]:
    """The function that users call: an empty shell, filled by `compile_function` at its first call."""
    namespace: dict[str, Any] = {
        "__name__": op.forward.__module__,
        "Tensor": Tensor,
        "asarray": np.asarray,
        "compile_function": compile_function,
        "check_current": check_current,
        "check_recorded": check_recorded,
        "explain": explain,
        "forward": op.forward,
        "grad_enabled": grad_mode.grad_enabled,
        "mutations": graph.mutations,
        "ndarray": np.ndarray,
        "new": object.__new__,
        "Node": graph.Node,
        "numbers": graph.numbers,
        "notify": notify,
        "observers": graph.observers,
        "op": op,
        "operand": operand,
        "plans": op.plans,
        "promote": dtypes.promote,
        "refuse_gradient": refuse_gradient,
        "to_floating": dtypes.to_floating,
        "unwrap_sequence": unwrap_sequence,
        "wrap": wrap,
    }
    function = namespace["shell"] = types.FunctionType(_first_call.__code__, namespace, op.name)
    function.__doc__ = op.forward.__doc__
    function.__module__ = op.forward.__module__
    function.__qualname__ = op.name
    function.__wrapped__ = op.forward  # type: ignore[attr-defined]  # whose signature is this function's
    function.op = op  # type: ignore[attr-defined]
    return function


def compile_function(op: Any, shell: types.FunctionType) -> None:
    """Give `shell`, the public function of `op`, its code. The function object stays what others have imported."""
    source = source_of(op)
    filename = f"<tinygrad_lab op {op.name}>"
    # Tracebacks show the text.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    made: dict[str, Any] = {}
    shell.__globals__["defaults"] = {name: parameter.default for name, parameter in op.signature.parameters.items()}
    exec(compile(source, filename, "exec"), shell.__globals__, made)
    function = made[op.name]
    shell.__defaults__, shell.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    shell.__code__ = function.__code__
