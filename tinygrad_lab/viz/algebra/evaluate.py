r"""Formulas as numbers: what a tree of `algebra.formula` is worth for given arrays.

What this file lets you do: `evaluate(parse(r"y = \max(a, 0)").right, {"a": x})`. What a symbol or a word means in one
call of one op (which dimensions a sum runs over, what \mathrm{reshape} gives) comes from outside, as `values`, `axes`
and `functions`; `algebra.meanings` finds it. It knows NumPy and the tree, and no op.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_lab.viz.algebra import trees as f

__all__ = ["NotEvaluable", "combine", "evaluate", "key"]


class NotEvaluable(ValueError):
    """The formula holds something that reading alone gives no value to: an index, an unknown symbol or function."""


_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, 1 / (1 + e), e / (1 + e))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "sign", "trunc", "hypot")},
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "atan2": np.arctan2,
    "ln": np.log,
    "clip": np.clip,
    "erf": _erf,
    "median": lambda x: np.sort(x, axis=None)[(np.size(x) - 1) // 2],
    "sigma": _sigmoid,
    "Phi": lambda x: (1 + _erf(x / math.sqrt(2))) / 2,
    "Phi'": lambda x: np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi),
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "le": operator.le,
    "ge": operator.ge,
    "ne": operator.ne,
}
_ADD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "wedge": np.logical_and,
    "vee": np.logical_or,
    "oplus": np.bitwise_xor,
    "bitand": np.bitwise_and,
    "bitor": np.bitwise_or,
}
_BIG: dict[str, Any] = {"sum": np.sum, "prod": np.prod, "bigwedge": np.all, "bigvee": np.any}
_CONSTANTS = {"e": math.e, r"\pi": math.pi, r"\infty": math.inf}


def key(tree: f.Tree) -> str:
    r"""The name by which `values` knows a symbol: "a", r"\bar a", r"\hat a", "w_t"; "" for other trees."""
    if isinstance(tree, (f.Symbol, f.Number)):
        return tree.name if isinstance(tree, f.Symbol) else tree.text
    if isinstance(tree, f.Accent) and isinstance(tree.body, f.Symbol):
        return rf"\{tree.kind} {tree.body.name}"
    if isinstance(tree, f.Index) and len(tree.indices) == 1 and key(tree.base) and key(tree.indices[0]):
        return f"{key(tree.base)}_{key(tree.indices[0])}"
    return ""


def is_matrix(tree: f.Tree) -> bool:
    """Capitals are matrices (N, a number of rows, is not), with a bar or transposed too."""
    while isinstance(tree, (f.Accent, f.Transpose)):
        tree = tree.body if isinstance(tree, f.Accent) else tree.base
    return isinstance(tree, f.Symbol) and len(tree.name) == 1 and tree.name.isupper() and tree.name != "N"


def evaluate(
    tree: f.Tree,
    values: Mapping[str, Any],
    axes: tuple[int, ...] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:
    r"""The value of a tree. Symbols are looked up in `values` by their `key`.

    axes        what sums and means run over, keeping the dimension (None: all)
    functions   beside the elementwise ones: {"reshape": ..., "T": what ^{\mathsf T} does, "sum_copies": ...}

    NotEvaluable for an index that `values` does not name, an unknown symbol or function.

    >>> from tinygrad_lab.viz.algebra.formula import parse
    >>> rule = parse(r"\bar a = \bar y \odot [a > 0]")
    >>> evaluate(rule.right, {"a": np.array([-1.0, 2.0]), r"\bar y": np.array([5.0, 5.0])})
    array([0., 5.])
    """
    with np.errstate(all="ignore"):
        return _Evaluator(values, axes, {**FUNCTIONS, **(functions or {})}).of(tree)


def combine(operation: str, left: Any, right: Any, matrices: bool = False) -> Any:
    """`left operation right` for the operators of products and sums."""
    with np.errstate(all="ignore"):
        if operation in _ADD:
            return _ADD[operation](left, right)
        if operation == "/":
            return left / right
        if operation == "bmod":
            return left % right
        return np.matmul(left, right) if matrices else left * right


def _softplus_of(tree: f.Tree) -> f.Tree | None:
    """x of 1 + e^x, whose logarithm would overflow if it were taken as it stands."""
    if isinstance(tree, f.Terms) and len(tree.terms) == 2 and tree.terms[0] == ("", f.Number("1")):
        sign, power = tree.terms[1]
        if sign == "+" and isinstance(power, f.Power) and power.base == f.Symbol("e"):
            return power.exponent
    return None


class _Evaluator:
    def __init__(self, values: Mapping[str, Any], axes: Any, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.values, self.axes, self.functions = values, axes, functions

    def of(self, tree: f.Tree) -> Any:
        name = key(tree)
        if name in self.values:
            return self.values[name]
        method = getattr(self, "_" + type(tree).__name__.lower(), None)
        if method is None:
            raise NotEvaluable(f"{tree} has no value of its own")
        return method(tree)

    def _number(self, tree: f.Number) -> Any:
        return float(tree.text) if "." in tree.text else int(tree.text)

    def _symbol(self, tree: f.Symbol) -> Any:
        if tree.name not in _CONSTANTS:
            raise NotEvaluable(f"no value for {tree.name}")
        return _CONSTANTS[tree.name]

    def _accent(self, tree: f.Accent) -> Any:
        raise NotEvaluable(f"no value for {key(tree)}")

    def mean(self, x: Any) -> Any:
        return np.mean(x, axis=self.axes, keepdims=True)

    def _terms(self, tree: f.Terms) -> Any:
        (sign, first), *rest = tree.terms
        total = -self.of(first) if sign == "-" else self.of(first)
        return functools.reduce(lambda left, item: combine(item[0], left, self.of(item[1])), rest, total)

    def _product(self, tree: f.Product) -> Any:
        (_, previous), *rest = tree.factors
        value = self.of(previous)
        for operation, factor in rest:
            matrices = operation in ("", "cdot") and is_matrix(previous) and is_matrix(factor)
            value = combine(operation, value, self.of(factor), matrices)
            previous = factor
        return value

    def _index(self, tree: f.Index) -> Any:
        if "at" not in self.functions or len(tree.indices) != 1:
            raise NotEvaluable("an index")
        return self.functions["at"](self.of(tree.base), self.of(tree.indices[0]))

    def _frac(self, tree: f.Frac) -> Any:
        return np.divide(self.of(tree.top), self.of(tree.bottom))

    def _root(self, tree: f.Root) -> Any:
        return np.sqrt(self.of(tree.body))

    def _power(self, tree: f.Power) -> Any:
        if tree.base == f.Symbol("e") and "e" not in self.values:
            return np.exp(self.of(tree.exponent))
        return np.power(np.asarray(self.of(tree.base), float), self.of(tree.exponent))

    def _transpose(self, tree: f.Transpose) -> Any:
        value = np.asarray(self.of(tree.base))
        return self.functions["T"](value) if "T" in self.functions else np.swapaxes(value, -1, -2)

    def _fence(self, tree: f.Fence) -> Any:
        (item,) = tree.items
        value = self.of(item)
        if tree.kind == "iverson":
            return np.asarray(value, bool)
        plain: dict[str, Callable[[Any], Any]] = {
            "abs": np.abs,
            "floor": np.floor,
            "ceil": np.ceil,
            "round": np.round,
            "paren": lambda x: x,
        }
        if tree.kind not in plain:
            raise NotEvaluable(f"{tree.kind} has no value")
        return plain[tree.kind](value)

    def _prefix(self, tree: f.Prefix) -> Any:
        value = self.of(tree.body)
        return np.logical_not(value) if tree.operator == "neg" else np.invert(value)

    def _if(self, tree: f.If) -> Any:
        return np.where(self.of(tree.condition), self.of(tree.then), self.of(tree.otherwise))

    def _relation(self, tree: f.Relation) -> Any:
        items = [self.of(item) for item in tree.items]
        found = [_COMPARE[how](left, right) for how, left, right in zip(tree.relations, items, items[1:], strict=False)]
        return functools.reduce(np.logical_and, found)

    def _big(self, tree: f.Big) -> Any:
        value = self.of(tree.body)
        if not tree.below:
            return _BIG[tree.kind](value, axis=self.axes, keepdims=True)
        words = tree.below[0].text if isinstance(tree.below[0], f.Text) else ""
        if f"{tree.kind}_{words}" not in self.functions:
            raise NotEvaluable(f"what {tree.kind} runs over is not known")
        return self.functions[f"{tree.kind}_{words}"](value)

    def _apply(self, tree: f.Apply) -> Any:
        name = tree.name
        if name == "ln" and (exponent := _softplus_of(tree.arguments[0])) is not None:
            return np.logaddexp(0, self.of(exponent))
        arguments = [self.of(argument) for argument in tree.arguments if argument != f.Text("…")]
        if name in ("max", "min") and not tree.below:
            if len(arguments) == 1:
                return (np.max if name == "max" else np.min)(arguments[0], axis=self.axes, keepdims=True)
            return (np.maximum if name == "max" else np.minimum)(*arguments)
        if name == "mean" and name not in self.functions:
            return self.mean(*arguments)
        if name == "log":
            return np.log(arguments[0]) / np.log(self.of(tree.below[0]))
        if tree.above is not None:  # permute^{-1}
            name += "^-1"
        if name not in self.functions:
            raise NotEvaluable(f"the function {name} is not known")
        return self.functions[name](*arguments, *(self.of(item) for item in tree.below))
