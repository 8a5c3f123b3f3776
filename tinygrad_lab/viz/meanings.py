r"""What the symbols and words of an op's formula stand for in one call of it.

What this file lets you do: `meaning(op, values)` says which argument a symbol is, over which dimensions a sum runs, how
many numbers a mean is over, and what \mathrm{reshape} or \mathrm{onehot} do in this call, so that `viz.evaluate` can
read the formula. `formula_of` and `rule_of` give the formulas themselves, in the variant that the options ask for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.viz import formula as f
from tinygrad_lab.viz.evaluate import FUNCTIONS

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
    "d": "decimals",
    "u": "max_val max",
    "k": "diagonal offset index",
    "i": "index",
    "s": "shifts",
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
        r"y = s\,c,\; s = 1 / \sqrt{\overline{c^2} + \epsilon},\; c = a - \overline{a}",
        {
            "input": r"\bar a = s\,(\bar y - \overline{\bar y} - \hat a \odot \overline{\bar y \odot \hat a}),\; "
            r"\hat a = s\,(a - \overline{a})"
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
    if op.name == "contract":
        return contraction(values, None)
    found = _variant(op, values)
    return _parsed(found[0] if found else op.formula)


def rule_of(op: Any, argument: str, values: Mapping[str, Any]) -> f.Formula | None:
    """The formula of the rule for `argument` ("input", or "tensors[1]" of an op on a sequence); None as above."""
    if op.name == "contract":
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
        return f.parse(source) if source else None
    except f.FormulaError:  # of a user's own op
        return None


@functools.cache
def symbols_of(op: Any) -> dict[str, str]:
    r"""{symbol: argument} for an op's formulas.

    >>> from tinygrad_lab.ops.declare import registry
    >>> symbols_of(registry["linear"]), symbols_of(registry["leaky_relu"])
    ({'X': 'input', 'W': 'weight', 'b': 'bias'}, {'a': 'input', '\\alpha': 'negative_slope'})
    """
    rules = {argument: _parsed(source) for argument, source in op.vjp_formula.items()}
    found = {}
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
    target = values.get(base)
    if argument != base:
        made.values["k"] = int(argument[len(base) + 1 : -1])
        target = target[made.values["k"]] if isinstance(target, (list, tuple)) else None
    goal = np.shape(target if argument else values["y"])
    _common(made, values, goal)
    for names, how in _BY_OP:
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
    return tuple(sorted(dim % ndim for dim in ((dims,) if isinstance(dims, (int, np.integer)) else dims)))


def summed_to(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the copies that broadcasting `shape` to the shape of `x` makes."""
    x = np.asarray(x)
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, size in enumerate(shape) if size == 1 and x.shape[i + extra] != 1))
    return np.asarray(x.sum(axis=axes, keepdims=True)).reshape(shape)


# Ops one by one


def _matmul(made: Meaning, values: Mapping[str, Any]) -> None:
    """Vectors as the matrices that they act as: a row on the left, a column on the right."""
    a, b = np.asarray(values["input"]), np.asarray(values["other"])
    row, column = a.ndim == 1, b.ndim == 1
    made.values["A"] = a[None, :] if row else a
    made.values["B"] = b[:, None] if column else b
    for name in ("Y", r"\bar Y"):
        if made.values.get(name) is not None:
            y = np.asarray(made.values[name])
            y = y[..., None] if column else y
            made.values[name] = y[..., None, :] if row else y


def _linear(made: Meaning, values: Mapping[str, Any]) -> None:
    """All leading dimensions as rows."""
    for name in ("X", "Y", r"\bar Y"):
        if made.values.get(name) is not None:
            x = np.asarray(made.values[name])
            made.values[name] = x.reshape(-1, x.shape[-1])
    made.functions["sum_rows"] = lambda x: np.sum(x, axis=0)


def _sum_rows(made: Meaning, values: Mapping[str, Any]) -> None:
    made.functions["sum_rows"] = lambda x: np.sum(x, axis=0)


def _mean_of(made: Meaning, values: Mapping[str, Any]) -> None:
    """Losses between tensors: what is averaged over."""
    arrays = [np.shape(values[name]) for name in ("input", "target") if values.get(name) is not None]
    reduction = values.get("reduction", "mean")
    made.values["n"] = max(math.prod(np.broadcast_shapes(*arrays)), 1) if reduction == "mean" else 1
    made.sums, made.axes = reduction != "none", None


def _class_axis(shape: tuple[int, ...]) -> int:
    return 1 if len(shape) > 1 else 0


def _labels(made: Meaning, values: Mapping[str, Any]) -> None:
    """Losses of class labels: the softmax and one-hot over the class dimension, N, and the weights of the labels."""
    scores = values.get("input")
    scores = np.asarray(values["probabilities"] if scores is None else scores)
    target, axis = np.asarray(values["target"]), _class_axis(scores.shape)
    at = np.expand_dims(np.maximum(target, 0), axis)

    def onehot(t: Any) -> np.ndarray:
        made = np.zeros(scores.shape, scores.dtype)
        np.put_along_axis(made, at, 1, axis)
        return made

    def softmax(x: Any) -> np.ndarray:
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    made.functions |= {"onehot": onehot, "softmax": softmax, "at": lambda x, t: np.take_along_axis(x, at, axis)}
    if made.op.name not in ("nll_loss", "label_cross_entropy"):
        return
    made.values["a_t"] = np.take_along_axis(scores, at, axis)
    counted = np.expand_dims(target, axis) != values.get("ignore_index", -100)
    weight, reduction = values.get("weight"), values.get("reduction", "mean")
    if weight is None:
        made.values["w_t"] = 1 if counted.all() else counted.astype(scores.dtype)
    else:
        made.values["w_t"] = np.asarray(weight)[at] * counted
    made.values["N"] = 1
    if reduction == "mean":
        made.values["N"] = np.sum(np.broadcast_to(made.values["w_t"], at.shape)) or 1
        made.values["N"] = made.values["N"].item() if hasattr(made.values["N"], "item") else made.values["N"]
    made.axes, made.sums = None, reduction != "none"
    if reduction == "none":
        for name in ("y", r"\bar y"):
            if made.values.get(name) is not None:
                made.values[name] = np.reshape(made.values[name], at.shape)


def _spread(made: Meaning, values: Mapping[str, Any]) -> None:
    """Variance and standard deviation."""
    correction = values.get("correction")
    if correction is None:
        correction = 0 if values.get("unbiased") is False else 1
    made.values["c"] = correction


def _padding(made: Meaning, values: Mapping[str, Any]) -> None:
    pad, x = values["pad"], np.asarray(values["input"])
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]

    def padded(x: Any) -> np.ndarray:
        fill = np.full(np.asarray(values["y"]).shape, values.get("value") or 0, x.dtype)
        inner = tuple(slice(max(before, 0), fill.shape[i] - max(after, 0)) for i, (before, after) in enumerate(widths))
        fill[inner] = x[cut(-1)]
        return fill

    def cut(sign: int) -> tuple[slice, ...]:
        """Where a side is cut off: a negative padding, or, for the way back, a positive one."""
        sizes = x.shape if sign < 0 else np.asarray(values["y"]).shape
        return tuple(
            slice(max(sign * before, 0), sizes[i] - max(sign * after, 0)) for i, (before, after) in enumerate(widths)
        )

    def cropped(g: Any) -> np.ndarray:
        back = np.zeros(x.shape, g.dtype)
        back[cut(-1)] = g[cut(1)]
        return back

    made.functions |= {"pad": padded, "crop": cropped}


def _permute(made: Meaning, values: Mapping[str, Any]) -> None:
    dims = [dim % max(len(values["dims"]), 1) for dim in values["dims"]]
    made.functions |= {
        "permute": lambda x: np.transpose(x, dims),
        "permute^-1": lambda x: np.transpose(x, np.argsort(dims)),
    }


def _transpose(made: Meaning, values: Mapping[str, Any]) -> None:
    made.functions["T"] = lambda x: np.swapaxes(x, values["dim0"], values["dim1"]) if x.ndim else x


def _rearrange(made: Meaning, values: Mapping[str, Any]) -> None:
    dims = values.get("dims")
    made.functions["flip"] = lambda x: np.flip(x, dims)

    def roll(x: Any, shift: Any) -> np.ndarray:
        if dims is None or dims == ():
            return np.roll(x.reshape(-1), shift).reshape(x.shape)
        return np.roll(x, shift, dims)

    made.functions["roll"] = roll
    if isinstance(values.get("shifts"), (tuple, list)):
        made.values["s"] = np.asarray(values["shifts"])


def _triangles(made: Meaning, values: Mapping[str, Any]) -> None:
    made.functions |= {"tril": lambda x, k: np.tril(x, k), "triu": lambda x, k: np.triu(x, k)}


def _join(made: Meaning, values: Mapping[str, Any]) -> None:
    shapes, y, dim = values["tensors_shape"], np.asarray(values["y"]), values.get("dim", 0)
    stacked = made.op.name == "stack"

    def part(g: Any, k: Any) -> np.ndarray:
        if stacked:
            return np.take(g, k, dim)
        sizes = [shape[dim] if len(shape) == y.ndim else 0 for shape in shapes]
        start = sum(sizes[:k])
        piece = np.take(g, range(start, start + sizes[k]), dim)
        return piece if len(shapes[k]) == y.ndim else piece.reshape(shapes[k])

    def joined(*_: Any) -> np.ndarray:
        tensors = values["tensors"]
        if stacked:
            return np.stack(tensors, dim)
        return np.concatenate([x for x in tensors if np.shape(x) != (0,) or y.ndim == 1], dim)

    made.functions |= {"part": part, "cat": joined, "stack": joined}
    made.values |= {"a_1": None, "a_2": None}


def _residuals(made: Meaning, values: Mapping[str, Any]) -> None:
    """standardize: its intermediate results are at hand."""
    made.values |= {r"\hat a": values.get("normalized"), "s": values.get("scale")}


def _gelu(made: Meaning, values: Mapping[str, Any]) -> None:
    if values.get("approximate") != "tanh":
        return
    c, d = math.sqrt(2 / math.pi), 0.044715

    def inner(x: Any) -> Any:
        return np.tanh(c * (x + d * x**3))

    made.functions |= {
        "Phi": lambda x: (1 + inner(x)) / 2,
        "Phi'": lambda x: (1 - inner(x) ** 2) / 2 * c * (1 + 3 * d * np.square(x)),
    }


def _norm(made: Meaning, values: Mapping[str, Any]) -> None:
    p = values.get("p")
    made.values["p"] = 2 if p in (None, "fro") else p


def _repeat(made: Meaning, values: Mapping[str, Any]) -> None:
    repeats, shape = tuple(values["repeats"]), np.shape(values["input"])
    old = (1,) * (len(repeats) - len(shape)) + shape
    made.functions["repeat"] = lambda x: np.tile(x, repeats)

    def summed(g: Any) -> np.ndarray:
        """Over the copies, which are whole tensors one after another, not elements."""
        split = np.reshape(g, tuple(size for pair in zip(repeats, old, strict=True) for size in pair))
        return split.sum(axis=tuple(range(0, split.ndim, 2))).reshape(shape)

    made.functions["sum_copies"] = summed


def _replacements(made: Meaning, values: Mapping[str, Any]) -> None:
    x = np.asarray(values["input"])
    limits = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
    plus, minus = values.get("posinf"), values.get("neginf")
    made.values["r"] = np.where(
        np.isnan(x),
        values.get("nan") or 0,
        np.where(x > 0, limits.max if plus is None else plus, limits.min if minus is None else minus),
    )


def _softplus(made: Meaning, values: Mapping[str, Any]) -> None:
    """Above the threshold the op is the identity: there the formula is it too, to the last digit but a few."""
    beta, threshold, x = values.get("beta", 1.0), values.get("threshold", 20.0), np.asarray(values["input"])
    made.functions["sigma"] = lambda z: np.where(x * beta > threshold, 1, FUNCTIONS["sigma"](z))


_BY_OP: list[tuple[str, Callable[[Meaning, Mapping[str, Any]], None]]] = [
    ("matmul product", _matmul),
    ("linear", _linear),
    ("sum_rows", _sum_rows),
    ("mse_loss l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits", _mean_of),
    ("label_cross_entropy nll_loss minus_one_hot at_labels", _labels),
    ("std var", _spread),
    ("constant_pad", _padding),
    ("permute", _permute),
    ("transpose", _transpose),
    ("flip roll", _rearrange),
    ("tril triu", _triangles),
    ("cat stack", _join),
    ("standardize", _residuals),
    ("gelu", _gelu),
    ("norm", _norm),
    ("softplus", _softplus),
    ("repeat", _repeat),
    ("nan_to_num", _replacements),
]
