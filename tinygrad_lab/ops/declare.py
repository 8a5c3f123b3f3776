"""The declaration of an op: from one forward function and its vjp rules follows everything else.

What this file lets you do: declare an op (`@op`) or a function composed of ops (`@composition`), look all of them up
(`registry`), list what each is made of, and run one rule alone (`Op.vjp`). It knows Tensor and graph, and no
particular op.

A declaration becomes a function whose text is generated for its signature, in the way of `dataclasses`: Python itself
then binds arguments and defaults, and a call does nothing that its op does not need. For `mul(input, other)` it reads

    def mul(input, other):
        is_tensor = False; mask = 0; input_edge = other_edge = None
        if isinstance(input, Tensor):
            is_tensor = True
            if input._requires_grad: mask |= 1; input_edge = ...   # its node, or the leaf itself
            input = input.array
        ...                                                         # the same for `other`
        y = forward(input, other)
        if not is_tensor: return y                                  # arrays in, array out
        if mask and grad_enabled():
            plan = plans[mask]                                      # which rules, which saved values: depends on mask only
            node = record(plan, (input_edge, other_edge), plan.keep(input, other, y), y)
        return wrap(y, node)

`print(op.source)` shows the text of any op.
"""

from __future__ import annotations

import functools
import inspect
import linecache
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lab import dtypes, graph
from tinygrad_lab.ops.samples import Sample
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Composition", "Op", "composition", "op", "registry"]

registry: dict[str, Op | Composition] = {}
"""Every declared op and composition by name, in order of declaration."""


class _Declared:
    """What ops and compositions have in common: a name, a function, its faces, a formula and samples."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        faces: str,
        formula: str,
        samples: Iterable[Sample],
        aliases: str,
        spread: str = "",
    ) -> None:
        self.name = function.__name__.rstrip("_") if function.__name__ in _SHADOWED else function.__name__
        self.faces = frozenset(faces.split())
        self.formula = formula
        self.samples = tuple(samples)
        self.aliases = tuple(aliases.split())
        self.spread = spread
        self.signature = inspect.signature(function)
        self.arguments = tuple(self.signature.parameters)
        self.__doc__ = function.__doc__
        self.function = function

    def publish(self) -> Callable[..., Any]:
        """Register, add the Tensor method, and return the public function."""
        for name in (self.name, *self.aliases):
            registry[name] = self  # type: ignore[assignment]
            if "method" in self.faces:
                setattr(Tensor, name, _spreading(self.function) if self.spread else self.function)
        return self.function

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}{self.signature}>"


def _spreading(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method form x.reshape(2, 3) of a function reshape(x, (2, 3))."""

    @functools.wraps(function)
    def method(self: Tensor, *sizes: Any, **named: Any) -> Any:
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
        return function(self, sizes, **named) if sizes or not named else function(self, **named)

    return method


# Forward functions that would hide a Python builtin in their file are declared with a trailing underscore.
_SHADOWED = {name + "_" for name in ("abs", "sum", "pow", "max", "min", "round", "all", "any", "sorted", "float", "bool")}


class Composition(_Declared):
    """A public function written with other ops: it has no rules of its own, its gradient follows from theirs."""


class Op(_Declared):
    """A primitive op: a forward function on arrays and one vjp rule per differentiable argument.

    arguments   names of all arguments        rules      {argument: rule}
    arrays      arguments that are arrays     residuals  names of values that forward returns beside its output
    """

    may_alias = False  # True for rules we did not write (autograd.Function): their results may be anybody's arrays

    def __init__(
        self,
        forward: Callable[..., Any],
        rules: Mapping[str, Callable[..., Any]],
        *,
        vjp_formula: Mapping[str, str] | None = None,
        arrays: str = "",
        residuals: Mapping[str, Callable[..., Any] | None] | None = None,
        promotes: str = "",
        floats: str = "",
        sequence: bool = False,
        view: bool = False,
        **declared: Any,
    ) -> None:
        super().__init__(forward, **declared)
        self.forward = forward
        self.rules = dict(rules)
        self.vjp_formula = dict(vjp_formula or {})
        self.arrays = tuple(name for name in self.arguments if name in {*self.rules, *arrays.split()})
        self.residuals = dict(residuals or {})
        self.promotes = tuple(promotes.split())
        self.floats = tuple(floats.split())
        self.sequence = sequence
        self.view = view
        self.differentiable = tuple(name for name in self.arguments if name in self.rules)
        self.needs = {name: tuple(inspect.signature(rule).parameters)[1:] for name, rule in self.rules.items()}
        self._check()
        self.plans: list[Plan | None] = [None] * 2 ** len(self.differentiable)
        self.function, self.source = _compile(self)

    def _check(self) -> None:
        """Refuse a declaration with a misspelt name, when it is imported."""
        known = {*self.arguments, *self.residuals, "y", *(f"{name}_shape" for name in self.arrays)}
        for argument, names in self.needs.items():
            unknown = set(names) - known
            if argument not in self.arguments or unknown:
                raise TypeError(
                    f"op {self.name}: the rule for '{argument}' asks for {sorted(unknown)}; "
                    f"known names are {sorted(known)}"
                )
        if self.sequence and len(self.differentiable) != 1:
            raise TypeError(f"op {self.name}: an op on a sequence of tensors has exactly one differentiable argument")

    def plan(self, mask: int) -> Plan:
        """The plan for calls whose differentiable arguments require gradients as the bits of `mask` say."""
        found = self.plans[mask]
        if found is None:
            found = self.plans[mask] = Plan(self, mask)
        return found

    def vjp(self, argument: str, g: Any, **values: Any) -> Any:
        """Run one rule alone: the contribution to `argument`'s gradient for cotangent `g` of the output.

        `values` are the names that the rule asks for (`op.needs[argument]`): inputs, `y`, residuals, `NAME_shape`.

        >>> registry["exp"].vjp("input", np.ones(2), y=np.array([1.0, 2.0]))
        array([1., 2.])
        """
        if argument not in self.rules:
            raise KeyError(f"{self.name} has no rule for '{argument}'; it has rules for {list(self.rules)}")
        missing = set(self.needs[argument]) - set(values)
        if missing:
            raise TypeError(f"{self.name}: the rule for '{argument}' also needs {sorted(missing)}")
        return self.rules[argument](g, **{name: values[name] for name in self.needs[argument]})


class Plan:
    """For one op and one set of arguments that require gradients: what a node saves, and the rules it will run.

    names  what `saved` holds, in order: all plain arguments, the operands that some rule needs or that no node could
           recompute, then what the rules need beside them
    needs  those of them that a rule asks for
    keep   (arguments, y, residuals, edges) -> saved
    pull   (g, saved) -> one contribution per edge
    holds  whether anything in `saved` is an array, which a backward pass then frees
    """

    __slots__ = ("holds", "keep", "mask", "names", "needs", "op", "pull", "required")

    def __init__(self, op: Op, mask: int) -> None:
        self.op, self.mask = op, mask
        self.required = tuple(name for i, name in enumerate(op.differentiable) if mask >> i & 1)
        needed = {name for argument in self.required for name in op.needs[argument]}
        for residual in op.residuals:  # under create_graph a residual is computed again, from what its expression asks
            expression = op.residuals[residual]
            if residual in needed and expression is not None:
                needed.update(inspect.signature(expression).parameters)
        candidates = (*op.arguments, *(f"{name}_shape" for name in op.arrays), "y", *op.residuals)
        constants = set(op.arguments) - set(self.required) | ({*op.differentiable} if op.sequence else set())
        self.names = tuple(name for name in candidates if name in needed or name in constants)
        self.needs = frozenset(needed)
        self.holds = any(name in op.arrays or name == "y" or name in op.residuals for name in self.names)
        self.keep = eval(f"lambda {', '.join((*op.arguments, 'y', *op.residuals, 'edges'))}: ({self._kept()})")
        index = {name: f"saved[{i}]" for i, name in enumerate(self.names)}
        calls = {
            name: f"rule_{name}({', '.join(['g', *(index[needed] for needed in op.needs[name])])})"
            for name in self.required
        }
        if op.sequence:
            text = calls.get(op.differentiable[0], "()")
        else:
            text = "(" + "".join(calls.get(name, "None") + ", " for name in op.differentiable) + ")"
        rules = {f"rule_{name}": op.rules[name] for name in self.required}
        self.pull = eval(f"lambda g, saved: {text}", rules)

    def _kept(self) -> str:
        parts = []
        for name in self.names:
            array = name.removesuffix("_shape")
            if array != name and array in self.op.arrays and name not in self.op.arguments:
                parts.append(f"[a.shape for a in {array}]" if self.op.sequence else f"{array}.shape")
            elif self.op.sequence and name in self.op.differentiable and name not in self.needs:
                parts.append(f"tuple(a if e is None else None for a, e in zip({name}, edges))")
            else:
                parts.append(name)
        return "".join(part + ", " for part in parts)

    def tensors(self, node: graph.Node) -> tuple[Any, ...]:
        """`node.saved` with Tensors, connected to the graph, in the place of arrays: what a recorded pass runs on."""
        if node.saved is None:  # freed, and no rule needs it
            return (None,) * len(self.names)
        values = dict(zip(self.names, node.saved, strict=True))
        if self.op.sequence:
            name = self.op.differentiable[0]
            if name in values:
                values[name] = tuple(map(_connected, values[name], node))
        else:
            for name, edge in zip(self.op.differentiable, node, strict=True):
                if name in values:
                    values[name] = _connected(values[name], edge)
        if "y" in values:
            values["y"] = wrap(values["y"], node)
        for residual, expression in self.op.residuals.items():
            if residual in self.needs and expression is not None:
                values[residual] = expression(*(values[name] for name in inspect.signature(expression).parameters))
        return tuple(values.values())


def _connected(value: Any, edge: Any) -> Any:
    """The Tensor that an operand was: `value` with the history `edge`."""
    if edge is None or value is None:
        return value
    if type(edge) is graph.Node:
        return wrap(value, edge)
    if edge.array is value:
        return edge
    # The leaf was cast for this op, or has been given other values since: connect the values it had then.
    return wrap(value, graph.record(registry["to_dtype"].plan(1), (edge,), (None,), value))  # type: ignore[union-attr]


def check_current(op_name: str, argument: str, tensor: Tensor) -> None:
    """Refuse a computed tensor whose memory was changed through another tensor: its history no longer gives its value."""
    node = tensor.node
    changed = graph.last_mutation(tensor.array)
    if node is not None and changed > node.number:
        raise RuntimeError(
            f"{op_name}: its argument '{argument}' (computed by {node.op.name}, shape {tensor.shape}) was changed in place "
            f"through another tensor that shares its memory (a view, .data or detach()), so its recorded history no longer "
            f"gives its value. Change the tensor itself (x[0] = ..., x.mul_(2)), or change a clone()"
        )


def explain(op: Op, values: tuple[Any, ...], error: Exception) -> Exception:
    """The exception to raise for `error` inside `op.forward`: PyTorch's class, the op's name and the operands."""
    text = str(error)
    said_by = text.partition(":")[0]
    if said_by == op.name or (said_by in registry and "gufunc" not in text):  # one of ours, maybe of an op inside this one
        return error
    kind: type[Exception] = type(error)
    if isinstance(error, np.exceptions.AxisError):
        kind = IndexError
        text = f"Dimension out of range: {text}"
    elif kind is ValueError or isinstance(error, np.linalg.LinAlgError):
        kind = RuntimeError
    elif isinstance(error, (np.exceptions.DTypePromotionError, TypeError)):
        kind = RuntimeError if "numpy boolean" in text else TypeError
    elif kind not in (IndexError, RuntimeError, OverflowError, NotImplementedError):
        return error
    operands = [
        f"{name}: {value.dtype} {value.shape}" if isinstance(value, (np.ndarray, np.generic)) else f"{name}: {value!r}"
        for name, value in zip(op.arguments, values, strict=True)
        if value is not None and not inspect.isfunction(value)
    ]
    if "could not be broadcast" in text:
        text = (
            "shapes do not broadcast: compared from the last dimension backward, two sizes must be equal or one of them 1; "
            "reshape or unsqueeze one operand"
        )
    return kind(f"{op.name}: {text} ({', '.join(operands)})")


def notify(op: Op, values: tuple[Any, ...], output: Tensor, node: graph.Node | None) -> None:
    """Tell every observer that `op` ran."""
    arguments = dict(zip(op.arguments, values, strict=True))
    for observer in tuple(graph.observers):
        observer.forward(op, arguments, output, node)


def operand(argument: str, value: Any) -> np.ndarray:
    """An array operand that is not a Tensor, checked: an ndarray passes, a NumPy or Python number becomes a 0-d array."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (np.generic, float, int)):
        return np.asarray(value)
    raise TypeError(f"argument '{argument}' must be Tensor, not {type(value).__name__}; convert it with torch.tensor(...)")


def unwrap_sequence(op_name: str, argument: str, tensors: Any) -> tuple[bool, int, tuple[Any, ...], tuple[Any, ...]]:
    """For an op on a sequence: (is any a Tensor, does any require a gradient, arrays, edges)."""
    if isinstance(tensors, (Tensor, np.ndarray)) or not isinstance(tensors, Iterable):
        raise TypeError(f"{op_name}: argument '{argument}' must be a tuple or list of Tensors, not {type(tensors).__name__}")
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
    return is_tensor, mask, tuple(arrays), tuple(edges)


def _parameters(op: Op) -> str:
    """The signature's text, with defaults taken from the forward function."""
    parts, keyword_only = [], False
    for name, parameter in op.signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        parts.append(name if parameter.default is parameter.empty else f"{name}=defaults[{name!r}]")
    return ", ".join(parts)


def _compile(op: Op) -> tuple[Callable[..., Any], str]:
    """Generate and compile the public function of `op` (the module docstring shows one). Returns it and its text."""
    lines = ["is_tensor = False"]
    if op.rules:
        lines.append("mask = 0")
    if op.sequence:
        name = op.differentiable[0]
        lines.append(f"is_tensor, mask, {name}, edges = unwrap_sequence({op.name!r}, {name!r}, {name})")
    elif op.rules:
        lines.append(" = ".join(f"{name}_edge" for name in op.differentiable) + " = None")
        lines.append("edges = ()")
    for name in op.arrays:
        if op.sequence and name in op.differentiable:
            continue
        lines += [f"if isinstance({name}, Tensor):", "    is_tensor = True"]
        if name in op.rules:
            lines += [
                f"    if {name}._requires_grad:",
                f"        mask |= {1 << op.differentiable.index(name)}",
                f"        {name}_edge = {name}.node",
                f"        if {name}_edge is None: {name}_edge = {name}",
                f"        elif {name}_edge.number < mutations.latest: check_current({op.name!r}, {name!r}, {name})",
            ]
        lines.append(f"    {name} = {name}.array")
        default = op.signature.parameters[name].default
        if name not in op.promotes:
            optional = "" if default is not None else f" and {name} is not None"
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
    passed = [
        f"{name}={name}" if parameter.kind is parameter.KEYWORD_ONLY else name
        for name, parameter in op.signature.parameters.items()
    ]
    lines.append(f"{results} = forward({', '.join(passed)})")
    every = ", ".join(op.arguments)
    body = ["try:", *("    " + line for line in lines)]
    body += ["except Exception as error:", f"    raise explain(op, ({every},), error) from None"]
    body += ["if not is_tensor: return y", "if type(y) is not ndarray: y = asarray(y)"]
    if op.rules:
        edges = "edges" if op.sequence else "(" + "".join(f"{name}_edge, " for name in op.differentiable) + ")"
        body += [
            "if mask and grad_enabled():",
            "    plan = plans[mask] or op.plan(mask)",
            f"    node = record(plan, {edges}, plan.keep({every}, {results}, edges), y)",
            "else:",
            "    node = None",
            "output = wrap(y, node)",
        ]
    else:
        body += ["node = None", "output = wrap(y)"]
    body += [f"if observers: notify(op, ({every},), output, node)", "return output"]
    source = f"def {op.name}({_parameters(op)}):\n" + "\n".join("    " + line for line in body) + "\n"
    namespace: dict[str, Any] = {
        "__name__": op.forward.__module__,
        "Tensor": Tensor,
        "asarray": np.asarray,
        "check_current": check_current,
        "defaults": {name: parameter.default for name, parameter in op.signature.parameters.items()},
        "explain": explain,
        "forward": op.forward,
        "grad_enabled": graph.grad_enabled,
        "mutations": graph.mutations,
        "ndarray": np.ndarray,
        "notify": notify,
        "observers": graph.observers,
        "op": op,
        "operand": operand,
        "plans": getattr(op, "plans", None),
        "promote": dtypes.promote,
        "record": graph.record,
        "to_floating": dtypes.to_floating,
        "unwrap_sequence": unwrap_sequence,
        "wrap": wrap,
    }
    filename = f"<tinygrad_lab op {op.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)  # tracebacks show the text
    exec(compile(source, filename, "exec"), namespace)
    function = namespace[op.name]
    function.__doc__ = op.forward.__doc__
    function.__module__ = op.forward.__module__
    function.__qualname__ = op.name
    function.__signature__ = op.signature
    function.op = op
    return function, source


def op(
    vjp: Mapping[str, Callable[..., Any]] | None = None,
    *,
    formula: str = "",
    samples: Iterable[Sample] = (),
    faces: str = "torch method",
    aliases: str = "",
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a primitive op by decorating its forward function on arrays.

    vjp          {argument: rule}; a rule is called with the cotangent `g` and, by parameter name, just what it asks for:
                 arguments, the output `y`, residuals, or `NAME_shape`. It is written with operators and ops, which take
                 arrays and Tensors alike, because a pass under create_graph runs it on Tensors.
                 It need not undo broadcasting or casting.
    formula      LaTeX of the forward; `vjp_formula` gives {argument: LaTeX} of the rules
    samples      example calls for tests and documents
    faces        where it appears: "torch" (top level), "method" (of Tensor), "functional" (nn.functional)
    aliases      further names, separated by spaces
    arrays       further arguments that may be Tensors, but are not differentiated (indices, masks, labels)
    residuals    {name: expression or None}: values that forward returns after its output. The expression computes the value
                 again, differentiably, from arguments named by its parameters; None for values that are locally constant
    promotes     arguments brought to one dtype first (PyTorch's promotion); they may be Python numbers
    floats       arguments converted to the default dtype if they are integers
    sequence     the differentiable argument is a sequence of tensors; its rule returns one contribution for each
    view         the output shares memory with the input
    spread       the argument that the method takes as several: x.reshape(2, 3) for reshape(x, (2, 3))
    """

    def declare(forward: Callable[..., Any]) -> Callable[..., Any]:
        made = Op(forward, vjp or {}, formula=formula, samples=samples, faces=faces, aliases=aliases, **options)
        return made.publish()

    return declare


def composition(
    *,
    formula: str = "",
    samples: Iterable[Sample] = (),
    faces: str = "torch method",
    aliases: str = "",
    spread: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a public function that is written with other ops, so that it is tested and documented like an op."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        made = Composition(function, faces=faces, formula=formula, samples=samples, aliases=aliases, spread=spread)
        function.__name__ = function.__qualname__ = made.name
        function.op = made  # type: ignore[attr-defined]
        return made.publish()

    return declare
