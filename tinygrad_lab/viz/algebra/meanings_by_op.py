r"""What formulas mean in particular ops: matrices for vectors, class labels, paddings, parts of a sequence, options.

What this file lets you do: nothing by itself; `algebra.meanings` asks `BY_OP` after what holds for all ops. Each
function here is handed the `Meaning` of one call, to complete it, and the values of that call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_lab.viz.algebra.evaluate import FUNCTIONS

__all__ = ["BY_OP"]


def _matmul(made: Any, values: Mapping[str, Any]) -> None:
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


def _linear(made: Any, values: Mapping[str, Any]) -> None:
    """All leading dimensions together as rows."""
    for name in ("X", "Y", r"\bar Y"):
        if made.values.get(name) is not None:
            x = np.asarray(made.values[name])
            made.values[name] = x.reshape(-1, x.shape[-1])
    made.functions["sum_rows"] = lambda x: np.sum(x, axis=0)


def _sum_rows(made: Any, values: Mapping[str, Any]) -> None:
    made.functions["sum_rows"] = lambda x: np.sum(x, axis=0)


def _mean_of(made: Any, values: Mapping[str, Any]) -> None:
    """Losses between tensors: what is averaged over."""
    arrays = [np.shape(values[name]) for name in ("input", "target") if values.get(name) is not None]
    reduction = values.get("reduction", "mean")
    made.values["n"] = max(math.prod(np.broadcast_shapes(*arrays)), 1) if reduction == "mean" else 1
    made.sums, made.axes = reduction != "none", None


def _class_axis(shape: tuple[int, ...]) -> int:
    return 1 if len(shape) > 1 else 0


def _labels(made: Any, values: Mapping[str, Any]) -> None:
    """Losses of class labels: the softmax and one-hot over the class dimension, N, and the weights of the labels."""
    scores = values.get("input")
    scores = np.asarray(values["probabilities"] if scores is None else scores)
    target, axis = np.asarray(values["target"]), _class_axis(scores.shape)
    in_range = (target >= 0) & (target < scores.shape[axis])  # all but labels that are ignored
    at = np.expand_dims(np.where(in_range, target, 0), axis)

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


def _spread(made: Any, values: Mapping[str, Any]) -> None:
    """Variance and standard deviation."""
    correction = values.get("correction")
    if correction is None:
        correction = 0 if values.get("unbiased") is False else 1
    made.values["c"] = correction


def _padding(made: Any, values: Mapping[str, Any]) -> None:
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


def _permute(made: Any, values: Mapping[str, Any]) -> None:
    dims = [dim % max(len(values["dims"]), 1) for dim in values["dims"]]
    made.functions |= {
        "permute": lambda x: np.transpose(x, dims),
        "permute^-1": lambda x: np.transpose(x, np.argsort(dims)),
    }


def _transpose(made: Any, values: Mapping[str, Any]) -> None:
    made.functions["T"] = lambda x: np.swapaxes(x, values["dim0"], values["dim1"]) if x.ndim else x


def _rearrange(made: Any, values: Mapping[str, Any]) -> None:
    dims = values.get("dims")
    made.functions["flip"] = lambda x: np.flip(x, dims)

    def roll(x: Any, shift: Any) -> np.ndarray:
        if dims is None or dims == ():
            return np.roll(x.reshape(-1), shift).reshape(x.shape)
        return np.roll(x, shift, dims)

    made.functions["roll"] = roll
    if isinstance(values.get("shifts"), (tuple, list)):
        made.values["s"] = np.asarray(values["shifts"])


def _triangles(made: Any, values: Mapping[str, Any]) -> None:
    made.functions |= {"tril": lambda x, k: np.tril(x, k), "triu": lambda x, k: np.triu(x, k)}


def _join(made: Any, values: Mapping[str, Any]) -> None:
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


def _residuals(made: Any, values: Mapping[str, Any]) -> None:
    """standardize: its intermediate results are at hand."""
    made.values |= {r"\hat a": values.get("normalized"), "s": values.get("scale")}


def _gelu(made: Any, values: Mapping[str, Any]) -> None:
    if values.get("approximate") != "tanh":
        return
    c, d = math.sqrt(2 / math.pi), 0.044715

    def inner(x: Any) -> Any:
        return np.tanh(c * (x + d * x**3))

    made.functions |= {
        "Phi": lambda x: (1 + inner(x)) / 2,
        "Phi'": lambda x: (1 - inner(x) ** 2) / 2 * c * (1 + 3 * d * np.square(x)),
    }


def _norm(made: Any, values: Mapping[str, Any]) -> None:
    p = values.get("p")
    made.values["p"] = 2 if p in (None, "fro") else p


def _repeat(made: Any, values: Mapping[str, Any]) -> None:
    repeats, shape = tuple(values["repeats"]), np.shape(values["input"])
    old = (1,) * (len(repeats) - len(shape)) + shape
    made.functions["repeat"] = lambda x: np.tile(x, repeats)

    def summed(g: Any) -> np.ndarray:
        """Over the copies, which are whole tensors one after another, not elements."""
        split = np.reshape(g, tuple(size for pair in zip(repeats, old, strict=True) for size in pair))
        return split.sum(axis=tuple(range(0, split.ndim, 2))).reshape(shape)

    made.functions["sum_copies"] = summed


def _replacements(made: Any, values: Mapping[str, Any]) -> None:
    x = np.asarray(values["input"])
    limits = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
    plus, minus = values.get("posinf"), values.get("neginf")
    made.values["r"] = np.where(
        np.isnan(x),
        values.get("nan") or 0,
        np.where(x > 0, limits.max if plus is None else plus, limits.min if minus is None else minus),
    )


def _softplus(made: Any, values: Mapping[str, Any]) -> None:
    """Above the threshold the op is the identity: there the formula is it too, to the last digit but a few."""
    beta, threshold, x = values.get("beta", 1.0), values.get("threshold", 20.0), np.asarray(values["input"])
    made.functions["sigma"] = lambda z: np.where(x * beta > threshold, 1, FUNCTIONS["sigma"](z))


def _windows(made: Any, values: Mapping[str, Any]) -> None:
    """Stride, dilation and padding as numbers where they are the same in all dimensions; else their letters stay."""
    stride = values.get("stride")
    options = {"s": values.get("kernel_size") if stride is None else stride}
    options |= {"d": values.get("dilation", 1), "r": values.get("padding", 0)}
    for letter, option in options.items():
        sizes = {*option} if isinstance(option, (tuple, list)) else {option}
        made.values[letter] = next(iter(sizes)) if len(sizes) == 1 and not isinstance(option, str) else None


BY_OP: list[tuple[str, Callable[[Any, Mapping[str, Any]], None]]] = [
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
    (
        "conv2d conv2d_input conv2d_weight max_pool2d max_at place_max window_sum window_spread patches spread_patches",
        _windows,
    ),
]
