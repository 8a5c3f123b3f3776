"""The declaration of an op: from one forward function and its vjp rules follows everything else.

What this file lets you do: declare an op (`@op`) or a function composed of ops (`@composition`), look all of them up
(`registry`), list what each is made of, and run one rule alone (`Op.vjp`). It knows Tensor and graph, and no
particular op.

What a declaration becomes when it is called stands in `ops.call`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinygrad_lab import graph
from tinygrad_lab.ops.call import public_function, registry, source_of
from tinygrad_lab.ops.samples import Sample
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Composition", "Op", "composition", "op", "registry"]


class _Declared:
    """What ops and compositions have in common: a name, a function, its faces, a formula and samples."""

    name: str
    arguments: tuple[str, ...]
    function: Callable[..., Any]

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
        self.arguments = parameter_names(function)
        self.__doc__ = function.__doc__
        self.function = function

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The signature of the public function."""
        return inspect.signature(self.function)

    def publish(self) -> Callable[..., Any]:
        """Register, add the Tensor method, and return the public function."""
        for name in (self.name, *self.aliases):
            registry[name] = self
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


def _with_numpys_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, that takes `axis` for its `dim` and `keepdims` for its `keepdim` too, as PyTorch's reductions do."""

    @functools.wraps(function)
    def reduction(*values: Any, axis: Any = None, keepdims: bool | None = None, **named: Any) -> Any:
        if axis is not None:
            named["dim"] = axis
        if keepdims is not None:
            named["keepdim"] = keepdims
        return function(*values, **named)

    return reduction


# Forward functions that would hide a Python builtin in their file are declared with a trailing underscore.
_SHADOWED = {
    name + "_" for name in ("abs", "sum", "pow", "max", "min", "round", "all", "any", "sorted", "float", "bool")
}


class Composition(_Declared):
    """A public function written with other ops: it has no rules of its own, its gradient follows from theirs."""


_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters. `inspect.signature` takes ten times as long, and there are 400 rules."""
    if hasattr(function, "op"):
        names: tuple[str, ...] = function.op.arguments
        return names
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__") or code.co_flags & _VARIADIC:
        return tuple(inspect.signature(function).parameters)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


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
        self.needs = {name: parameter_names(rule)[1:] for name, rule in self.rules.items()}
        self._check()
        self.plans: list[Plan | None] = [None] * 2 ** len(self.differentiable)
        self.function = public_function(self)

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

    @property
    def source(self) -> str:
        """The text of the public function that is generated for this op."""
        return source_of(self)

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
    asked  those of them that a rule asks for
    needs  those, and what a pass under create_graph computes residuals again from
    keep   (arguments, y, residuals; for a sequence also edges) -> saved
    pull   (g, saved) -> one contribution per edge
    holds  whether anything in `saved` is an array, which a backward pass then frees
    """

    __slots__ = ("asked", "holds", "keep", "mask", "names", "needs", "op", "pull", "required")

    def __init__(self, op: Op, mask: int) -> None:
        self.op, self.mask = op, mask
        self.required = tuple(name for i, name in enumerate(op.differentiable) if mask >> i & 1)
        needed = {name for argument in self.required for name in op.needs[argument]}
        self.asked = frozenset(needed)
        for residual in op.residuals:  # under create_graph a residual is computed again, from what its expression asks
            expression = op.residuals[residual]
            if residual in needed and expression is not None:
                needed.update(parameter_names(expression))
        candidates = (*op.arguments, *(f"{name}_shape" for name in op.arrays), "y", *op.residuals)
        constants = set(op.arguments) - {"inplace", *self.required} | ({*op.differentiable} if op.sequence else set())
        self.names = tuple(name for name in candidates if name in needed or name in constants)
        self.needs = frozenset(needed)
        self.holds = any(name in op.arrays or name == "y" or name in op.residuals for name in self.names)
        edges = ("edges",) if op.sequence else ()
        self.keep = eval(f"lambda {', '.join((*op.arguments, 'y', *op.residuals, *edges))}: ({self._kept()})")
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
                values[residual] = expression(*(values[name] for name in parameter_names(expression)))
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
    return wrap(value, graph.record(registry["to_dtype"].plan(1), (edge,), (None,), value))


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

    vjp          {argument: rule}; a rule is called with the cotangent `g` and, by parameter name, what it asks for:
                 arguments, the output `y`, residuals, or `NAME_shape`. It is written with operators and ops, which take
                 arrays and Tensors alike, because a pass under create_graph runs it on Tensors.
                 It need not undo broadcasting or casting.
    formula      LaTeX of the forward; `vjp_formula` gives {argument: LaTeX} of the rules
    samples      example calls for tests and documents
    faces        where it appears: "torch" (top level), "method" (of Tensor), "functional" (nn.functional)
    aliases      further names, separated by spaces
    arrays       further arguments that may be Tensors, but are not differentiated (indices, masks, labels)
    residuals    {name: expression or None}: values that forward returns after its output. The expression computes the
                 value again, differentiably, from arguments named by its parameters; None for values that are
                 locally constant
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
        if "keepdim" in parameter_names(function):
            function = _with_numpys_names(function)
        made = Composition(function, faces=faces, formula=formula, samples=samples, aliases=aliases, spread=spread)
        function.__name__ = function.__qualname__ = made.name
        function.op = made  # type: ignore[attr-defined]
        return made.publish()

    return declare
