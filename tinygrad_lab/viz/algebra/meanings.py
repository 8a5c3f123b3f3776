r"""What the symbols and words of an op's formula stand for in one call of it.

What this file lets you do: `meaning(op, values)` says which argument a symbol is, over which dimensions a sum runs, how
many numbers a mean is over, and what \mathrm{reshape} or \mathrm{onehot} do in this call, so that `algebra.evaluate`
can read the formula. `formula_of` and `rule_of` give the formulas themselves, in the variant that the options ask for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.formula import FormulaError, parse
from tinygrad_lab.viz.algebra.meanings_by_op import BY_OP

__all__ = ["Meaning", "formula_of", "meaning", "rule_of", "symbols_of"]

# The arguments that a symbol may stand for, beside those that the left sides of the rules name.
CONVENTIONS = {
    "t": "target threshold tensor input",
    "l": "min_val min",
    "w": "weight",
    "q": "pos_weight",
    "m": "mask",
    "c": "condition",
    "p": "p",
    "v": "value",
    "d": "decimals dilation",
    "u": "max_val max",
    "k": "diagonal offset index",
    "s": "shifts stride",
    "r": "padding",
    "a": "input",
    "b": "other",
    r"\alpha": "alpha negative_slope",
    r"\beta": "beta",
    r"\epsilon": "eps",
    r"\delta": "delta",
}
CONSTANTS = {"selu": {r"\lambda": 1.0507009873554805, r"\alpha": 1.6732632423543772}}
PERHAPS_NONE = {"weight", "pos_weight", "bias"}  # where None says 1, or of a bias 0


def _option(name: str, default: Any = None) -> Callable[[Mapping[str, Any]], Any]:
    return lambda values: values.get(name, default)


# (op, does it apply to these values, forward, rules): formulas of options that change them altogether.
VARIANTS: list[tuple[str, Callable[[Mapping[str, Any]], Any], str, dict[str, str]]] = [
    (
        "div",
        lambda values: values.get("rounding_mode") == "floor",
        r"y = \lfloor a / b\rfloor",
        {"input": r"\bar a = 0", "other": r"\bar b = 0"},
    ),
    (
        "div",
        _option("rounding_mode"),
        r"y = \mathrm{trunc}(a / b)",
        {"input": r"\bar a = 0", "other": r"\bar b = 0"},
    ),
    (
        "norm",
        lambda values: values.get("p") == -math.inf,
        r"y = \min |a|",
        {"input": r"\bar a = \bar y\,\mathrm{sign}(a)\,[|a| = y] / \textstyle\sum [|a| = y]"},
    ),
    (
        "norm",
        lambda values: values.get("p") == math.inf,
        r"y = \max |a|",
        {"input": r"\bar a = \bar y\,\mathrm{sign}(a)\,[|a| = y] / \textstyle\sum [|a| = y]"},
    ),
    ("norm", lambda values: values.get("p") == 0, r"y = \textstyle\sum [a \ne 0]", {"input": r"\bar a = 0"}),
    (
        "diagonal",
        lambda values: values.get("offset", 0) < 0,
        r"y_i = a_{i-k,\,i}",
        {"input": r"\bar a_{i-k,\,i} = \bar y_i"},
    ),
    (
        "on_diagonal",
        lambda values: values.get("offset", 0) < 0,
        r"y_{i-k,\,i} = a_i",
        {"input": r"\bar a_i = \bar y_{i-k,\,i}"},
    ),
    ("round", lambda values: not values.get("decimals"), r"y = \lfloor a \rceil", {}),
    (
        "binary_cross_entropy_with_logits",
        lambda values: values.get("pos_weight") is None,
        r"y = -\tfrac{1}{n}\textstyle\sum w\,(t \ln \sigma(a) + (1 - t)\ln(1 - \sigma(a)))",
        {
            "input": r"\bar a = \tfrac{\bar y}{n}\,w\,(\sigma(a) - t)",
            "target": r"\bar t = -\tfrac{\bar y}{n}\,w\,a",
        },
    ),
    (
        "linear",
        lambda values: values.get("bias") is None,
        r"Y = X W^{\mathsf T}",
        {"input": r"\bar X = \bar Y W", "weight": r"\bar W = \bar Y^{\mathsf T} X"},
    ),
    (
        "standardize",
        lambda values: values.get("bias") is None and values.get("weight") is None,
        r"y = s\,c,\; s = 1 / \sqrt{\mathrm{mean}(c^2) + \epsilon},\; c = a - \mathrm{mean}(a)",
        {
            "input": r"\bar a = s\,(\bar y - \mathrm{mean}(\bar y) - \hat a \odot \mathrm{mean}(\bar y \odot \hat a)),"
            r"\; \hat a = s\,(a - \mathrm{mean}(a))"
        },
    ),
]


def _variant(op: Any, values: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    for name, applies, forward, rules in VARIANTS:
        if name == op.name and applies(values):
            return forward, rules
    return None


def formula_of(op: Any, values: Mapping[str, Any]) -> f.Formula | None:
    """The forward formula of a call; None for an op without one (a user's Function), or with one we cannot read."""
    if op.name == "contract" and "subscripts" in values:
        return contraction(values, None)
    found = _variant(op, values)
    return _parsed(found[0] if found else op.formula)


def rule_of(op: Any, argument: str, values: Mapping[str, Any]) -> f.Formula | None:
    """The formula of the rule for `argument` ("input", or "tensors[1]" of an op on a sequence); None as above."""
    if op.name == "contract" and "subscripts" in values:
        return contraction(values, int(argument.partition("[")[2].rstrip("]") or 0))
    found = _variant(op, values)
    rules = {**op.vjp_formula, **(found[1] if found else {})}
    return _parsed(rules.get(argument.partition("[")[0], ""))


def operand_letters(count: int) -> list[str]:
    """A, B, C, ... without Y, which is the output."""
    return [chr(ord("A") + i) for i in range(min(count, 24))]


def contraction(values: Mapping[str, Any], k: int | None) -> f.Formula | None:
    """The formula of an einsum, or of its rule for operand `k`, with the subscripts of this call."""
    letters = operand_letters(len(values["subscripts"]))
    parts = dict(zip(letters, values["subscripts"], strict=False)) | {"Y": values["output"]}
    left = "Y" if k is None else letters[k]
    right = [*letters] if k is None else ["Y", *(letter for letter in letters if letter != left)]
    summed = sorted({index for letter in right for index in parts[letter]} - set(parts[left]))

    def written(letter: str) -> str:
        name = letter if k is None or letter not in (left, "Y") else rf"\bar {letter}"
        return f"{name}_{{{parts[letter]}}}" if parts[letter] else name

    indices = "".join(summed)
    over = rf"\textstyle\sum_{{{indices}}} " if summed else ""
    product = r"\, ".join(map(written, right))
    return _parsed(f"{written(left)} = {over}{product}")


def _parsed(source: str) -> f.Formula | None:
    try:
        return parse(source) if source else None
    except FormulaError:  # of a user's own op
        return None


@functools.cache
def symbols_of(op: Any) -> dict[str, str]:
    r"""{symbol: argument} for an op's formulas.

    >>> from tinygrad_lab.ops.declare import registry
    >>> symbols_of(registry["linear"]), symbols_of(registry["leaky_relu"])
    ({'X': 'input', 'W': 'weight', 'b': 'bias'}, {'a': 'input', '\\alpha': 'negative_slope'})
    """
    rules = {argument: _parsed(source) for argument, source in op.vjp_formula.items()}
    found = {"i": "index"} if op.name in ("getitem", "setitem", "add_at") else {}
    for argument, tree in rules.items():
        if tree is not None:
            left = tree.left
            while isinstance(left, (f.Index, f.Power)):
                left = left.base
            if isinstance(left, f.Accent) and isinstance(left.body, f.Symbol):
                found[left.body.name] = argument
    trees = [_parsed(op.formula), *rules.values()]
    parts = [part for tree in trees if tree is not None for part in f.walk(tree)]
    defined = {equation.items[0] for tree in trees if tree is not None for equation in tree.more}
    for part in parts:
        if isinstance(part, f.Symbol) and part not in defined and part.name not in found:
            for argument in CONVENTIONS.get(part.name, "").split():
                if argument in op.arguments and argument not in found.values():
                    found[part.name] = argument
                    break
    return found


@dataclass
class Meaning:
    """symbols {symbol: argument}; values {symbol: array or number}; axes that sums run over; functions by name;
    sums: whether a sum without an index sums anything (reduction="none" does not); shapes {argument: shape}; fits the
    result of the forward formula and of rules to the shapes that they have in the program."""

    op: Any
    symbols: dict[str, str]
    values: dict[str, Any]
    axes: tuple[int, ...] | None = None
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    sums: bool = True


def meaning(op: Any, values: Mapping[str, Any], cotangent: Any = None, argument: str = "") -> Meaning:
    """What the formulas of `op` say in the call with these `values` (`Trace.values_for_rules`).

    cotangent   of the output, for rules
    argument    the one whose rule is meant ("tensors[1]" of an op on a sequence)
    """
    made = Meaning(op, symbols_of(op), dict(CONSTANTS.get(op.name, {})))
    for symbol, name in made.symbols.items():
        value = values.get(name)
        missing = 0 if name == "bias" else 1
        made.values[symbol] = missing if value is None and name in PERHAPS_NONE else value
    for letter in ("y", "Y"):
        made.values[letter] = values.get("y")
        if cotangent is not None:
            made.values[rf"\bar {letter}"] = np.asarray(cotangent)
    base = argument.partition("[")[0]
    target: Any = values.get(base)
    if argument != base:
        k = int(argument[len(base) + 1 : -1])
        target = target[k] if isinstance(target, (list, tuple)) else None
        made.values |= {"k": k} if op.name != "contract" else {}  # there k may be an index
    goal = np.shape(target if argument else values["y"])
    _common(made, values, goal)
    for names, how in BY_OP:
        if op.name in names.split():
            how(made, values)
    return made


def _common(made: Meaning, values: Mapping[str, Any], goal: tuple[int, ...]) -> None:
    """Dimensions of reductions, numbers of elements, and the functions that mean the same in all ops.

    goal   the shape of the output, or for a rule of the argument
    """
    y = np.asarray(values["y"])
    made.functions |= {
        "expand": lambda x: np.broadcast_to(x, goal),
        "sum_copies": lambda x: summed_to(x, goal),
        "reshape": lambda x: np.reshape(x, goal),
        "view": lambda x: np.reshape(x, goal),
    }
    dims = values.get("dim", values.get("dims"))
    x = values.get("input")
    if not isinstance(x, (np.ndarray, np.generic)) or made.op.name in ("flip", "roll", "permute"):
        return
    x = np.asarray(x)
    if "dim" in values or "dims" in values:
        made.axes = _axes(dims, x.ndim)
        kept = tuple(1 if i in made.axes else size for i, size in enumerate(x.shape))
        if y.size == math.prod(kept) and y.ndim <= x.ndim and y.shape != x.shape:
            for name in ("y", r"\bar y"):
                if name in made.values:
                    made.values[name] = np.reshape(made.values[name], kept)
    axes = range(x.ndim) if made.axes is None else made.axes
    made.values.setdefault("n", math.prod(x.shape[i] for i in axes))


def _axes(dims: Any, ndim: int) -> tuple[int, ...]:
    if dims is None or dims == () or dims == [] or not ndim:
        return tuple(range(ndim))
    return tuple(sorted(int(dim) % ndim for dim in ((dims,) if isinstance(dims, (int, np.integer)) else dims)))


def summed_to(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the copies that broadcasting `shape` to the shape of `x` makes."""
    x = np.asarray(x)
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, size in enumerate(shape) if size == 1 and x.shape[i + extra] != 1))
    return np.asarray(x.sum(axis=axes, keepdims=True)).reshape(shape)
