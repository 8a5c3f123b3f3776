"""Softmax, its logarithm, and the cross-entropy of class labels, each one op and stable for logits of any size."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import exp
from tinygrad_lab.ops.reduce import mean, sum_
from tinygrad_lab.ops.samples import Sample, integers, normal, uniform
from tinygrad_lab.ops.shape import expand, reshape
from tinygrad_lab.tensor import Tensor

__all__ = ["cross_entropy", "log_softmax", "nll_loss", "softmax"]

ALONG = [Sample(normal(3, 4), 1), Sample(normal(2, 3, 4), 0), Sample(normal(2, 3, 4), -1), Sample(normal(5), 0)]


def _require_dim(name, dim):
    if not isinstance(dim, int):
        raise TypeError(f"{name}: dim must be an int, the dimension that holds the classes (usually 1 or -1), got {dim!r}")


@op(
    {"input": lambda g, y, dim: y * (g - sum_(g * y, dim, True))},
    formula=r"y_i = e^{a_i} / \textstyle\sum_j e^{a_j}",
    vjp_formula={"input": r"\bar a = y \odot (\bar y - \textstyle\sum_j \bar y_j y_j)"},
    samples=ALONG,
    floats="input",
    faces="torch method functional",
)
def softmax(input, dim=None, *, dtype=None):
    """exp(input) / sum(exp(input)) along `dim`: positive and summing to 1. Shape as `input`.

    The largest logit is subtracted first, so that nothing overflows.

    >>> torch.softmax(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), dim=1)
    tensor([[0.5, 0.5],
            [1. , 0. ]])
    """
    _require_dim("softmax", dim)
    e = np.subtract(input, np.max(input, axis=dim, keepdims=True, initial=-np.inf), dtype=dtype and dtype.numpy)
    np.exp(e, out=e)
    e /= np.add.reduce(e, axis=dim, keepdims=True)
    return e


@op(
    {"input": lambda g, y, dim: g - exp(y) * sum_(g, dim, True)},
    formula=r"y_i = a_i - \ln \textstyle\sum_j e^{a_j}",
    vjp_formula={"input": r"\bar a = \bar y - e^{y} \textstyle\sum_j \bar y_j"},
    samples=ALONG,
    floats="input",
    faces="torch method functional",
)
def log_softmax(input, dim=None, *, dtype=None):
    """log(softmax(input)) along `dim`, without the overflow and underflow of computing it in two steps. Shape as `input`.

    >>> torch.log_softmax(torch.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    _require_dim("log_softmax", dim)
    z = np.subtract(input, np.max(input, axis=dim, keepdims=True, initial=-np.inf), dtype=dtype and dtype.numpy)
    z -= np.log(np.add.reduce(np.exp(z), axis=dim, keepdims=True))
    return z


# Class labels: shapes (N, C, d1, ...) for scores and (N, d1, ...) for labels; one sample without a batch is (C) and ().


_UNSIGNED = {np.dtype(f"{sign}{size}"): np.dtype(f"u{size}") for sign in "iu" for size in (1, 2, 4, 8)}


def check_labels(name, input, target, weight, ignore_index):
    """Refuse labels of the wrong dtype, shape or range. Returns whether some are to be ignored."""
    classes_at = 1 if input.ndim > 1 else 0
    if input.ndim == 0:
        raise RuntimeError(f"{name}: the input must have a class dimension: shape (C), (N, C) or (N, C, d1, ...), got a scalar")
    classes = input.shape[classes_at]
    if target.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: expected integer class labels (int64), but the target is {target.dtype} with shape {target.shape}: use "
            f"target.long(), or give probabilities of the same shape as the input, {input.shape}"
        )
    expected = input.shape[:classes_at] + input.shape[classes_at + 1 :]
    if target.shape != expected:
        if target.ndim == input.ndim and target.shape == input.shape:
            hint = "; is it one-hot? Then give labels, target.argmax(1), or floating probabilities"
        elif target.shape[:1] != expected[:1]:
            raise ValueError(
                f"{name}: Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0] if target.ndim else 0}): "
                f"input {input.shape}, target {target.shape}"
            )
        else:
            hint = "; squeeze() removes a dimension of size 1"
        raise RuntimeError(f"{name}: the target must have shape {expected} for an input of shape {input.shape}, got {target.shape}{hint}")
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"{name}: weight must have one entry per class, shape ({classes},), got {weight.shape}")
    if not target.size:
        return False
    # As unsigned numbers negative labels are huge: one pass finds both kinds of label out of range.
    unsigned = target.view(_UNSIGNED[target.dtype])
    out_of_range = np.maximum.reduce(unsigned, axis=None) >= classes
    if out_of_range:
        bad = target[((target < 0) | (target >= classes)) & (target != ignore_index)]
        if bad.size:
            raise IndexError(
                f"{name}: Target {bad.flat[0]} is out of bounds: labels must lie in [0, {classes - 1}] for an input of shape "
                f"{input.shape} (or equal ignore_index={ignore_index})"
            )
    return out_of_range or 0 <= ignore_index < classes


def check_reduction(name, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction: use 'mean', 'sum' or 'none'")


def position_weights(dtype, target, weight, ignore_index):
    """What each position counts for: its class's weight, 0 where the label is ignored."""
    kept = target != ignore_index
    weights = kept.astype(dtype) if weight is None else np.where(kept, weight[np.where(kept, target, 0)], dtype.type(0))
    return weights


def _class_rows(input):
    """A copy of scores as a (classes, positions) array: reductions over a short class axis are several times faster so."""
    if input.ndim == 2:
        return np.array(input.T, order="C")
    if input.ndim == 1:
        return input.reshape(-1, 1).copy()
    return np.array(input.swapaxes(0, 1), order="C").reshape(input.shape[1], -1)


def _from_class_rows(rows, shape):
    """The inverse of `_class_rows`, as a view."""
    if len(shape) == 2:
        return rows.T
    if len(shape) == 1:
        return rows.reshape(shape)
    return rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


def _reduced(losses, weights, reduction, shape):
    if weights is not None:
        losses *= weights.reshape(-1)
    if reduction == "none":
        return losses.reshape(shape)
    total = np.add.reduce(losses)
    if reduction == "sum":
        return total
    # A mean over nothing is NaN, as in PyTorch.
    return total / (losses.dtype.type(losses.size) if weights is None else np.add.reduce(weights, axis=None))


def _label_cotangent(g, input_shape, weights, reduction):
    """The cotangent of each position's own loss, shaped to broadcast along the class dimension."""
    if reduction == "none":
        g = reshape(g, (input_shape[0], 1, *input_shape[2:]) if len(input_shape) > 1 else (1,))
    if weights is not None:
        weights = weights.reshape((input_shape[0], 1, *input_shape[2:]) if len(input_shape) > 1 else (1,))
    if reduction == "mean":
        positions = math.prod(input_shape) // input_shape[1 if len(input_shape) > 1 else 0]
        g = g * (1.0 / max(positions, 1)) if weights is None else g / weights.sum()
    return g if weights is None else g * weights


@op(
    {"probabilities": lambda g: g},
    formula=r"y = p - \mathrm{onehot}(t)",
    vjp_formula={"probabilities": r"\bar p = \bar y"},
    samples=[Sample(uniform(4, 3, low=0, high=1), integers(4, high=3)), Sample(uniform(2, 3, 4, low=0, high=1), integers(2, 4, high=3))],
    arrays="target",
    faces="",
)
def minus_one_hot(probabilities, target):
    """p - onehot(target): p (N, C, d1, ...), labels (N, d1, ...); a label below 0 (ignored) subtracts from class 0."""
    difference = probabilities.copy(order="K")
    at = np.expand_dims(np.maximum(target, 0), 1 if probabilities.ndim > 1 else 0)
    axis = 1 if probabilities.ndim > 1 else 0
    np.put_along_axis(difference, at, np.take_along_axis(difference, at, axis) - 1, axis)
    return difference


@op(
    {
        "input": lambda g, input_shape, difference, weights, reduction: (
            difference * _label_cotangent(g, input_shape, weights, reduction)
        )
    },
    formula=r"y = -\tfrac{1}{N}\textstyle\sum_n \ln \mathrm{softmax}(a_n)_{t_n}",
    vjp_formula={"input": r"\bar a = \tfrac{\bar y}{N}\,(\mathrm{softmax}(a) - \mathrm{onehot}(t))"},
    samples=[
        Sample(normal(4, 3), integers(4, high=3)),
        Sample(normal(4, 3), integers(4, high=3), uniform(3, low=0.5, high=2)),
        Sample(normal(4, 3), integers(4, high=3), None, 1, "sum"),
        Sample(normal(2, 3, 4), integers(2, 4, high=3), None, -100, "none"),
        Sample(normal(3), integers(high=3)),
    ],
    arrays="target weight",
    residuals={
        "difference": lambda input, target: minus_one_hot(softmax(input, 1 if input.ndim > 1 else 0), target),
        "weights": None,
    },
    floats="input",
    faces="",
)
def label_cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """`cross_entropy` for class labels, in one op. Its naive composition is nll_loss(log_softmax(input, 1), target)."""
    check_reduction("cross_entropy", reduction)
    ignores = check_labels("cross_entropy", input, target, weight, ignore_index)
    weights = position_weights(input.dtype, target, weight, ignore_index) if ignores or weight is not None else None
    z = _class_rows(input)
    flat = (np.maximum(target, 0) if ignores else target).reshape(-1) * z.shape[1] + np.arange(z.shape[1])
    z -= np.maximum.reduce(z, axis=0, initial=-np.inf)
    picked = z.take(flat)
    np.exp(z, out=z)
    total = np.add.reduce(z, axis=0)
    losses = np.log(total) - picked
    z /= total
    z.put(flat, z.take(flat) - 1)  # softmax - onehot, all that the rule needs
    return _reduced(losses, weights, reduction, target.shape), _from_class_rows(z, input.shape), weights


@op(
    {
        "input": lambda g, input_shape, target, weights, reduction: -at_labels(
            expand(_label_cotangent(g, input_shape, weights, reduction), input_shape), target
        )
    },
    formula=r"y = -\tfrac{1}{N}\textstyle\sum_n a_{n, t_n}",
    vjp_formula={"input": r"\bar a = -\tfrac{\bar y}{N}\,\mathrm{onehot}(t)"},
    samples=[
        Sample(normal(4, 3), integers(4, high=3)),
        Sample(normal(4, 3), integers(4, high=3), uniform(3, low=0.5, high=2)),
        Sample(normal(4, 3), integers(4, high=3), None, ignore_index=1, reduction="sum"),
        Sample(normal(2, 3, 4), integers(2, 4, high=3), reduction="none"),
        Sample(normal(3), integers(high=3)),
    ],
    arrays="target weight",
    residuals={"weights": None},
    faces="functional",
)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """The negative log-likelihood of class labels, -input[n, target[n]], averaged, summed, or per position.

    input    log-probabilities (N, C), (N, C, d1, ...) or (C); see `log_softmax`
    target   integer labels in [0, C), shape (N), (N, d1, ...) or ()
    weight   what each class counts for, (C); a mean is divided by the sum of the weights
    ignore_index   label of positions that do not count

    IndexError for a label out of range, RuntimeError for a wrong dtype or shape, ValueError for different batch sizes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html

    >>> F.nll_loss(torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]), torch.tensor([0, 1]))
    tensor(2.5)
    """
    check_reduction("nll_loss", reduction)
    ignores = check_labels("nll_loss", input, target, weight, ignore_index)
    weights = position_weights(input.dtype, target, weight, ignore_index) if ignores or weight is not None else None
    axis = 1 if input.ndim > 1 else 0
    at = np.expand_dims(np.maximum(target, 0) if ignores else target, axis)
    losses = -np.take_along_axis(input, at, axis).reshape(-1)
    return _reduced(losses, weights, reduction, target.shape), weights


@op(
    {"input": lambda g, target: at_labels(g, target)},
    formula=r"y = a \odot \mathrm{onehot}(t)",
    vjp_formula={"input": r"\bar a = \bar y \odot \mathrm{onehot}(t)"},
    samples=[Sample(normal(4, 3), integers(4, high=3))],
    arrays="target",
    faces="",
)
def at_labels(input, target):
    """`input` (N, C, d1, ...) at each position's label, 0 elsewhere: its own adjoint."""
    axis = 1 if input.ndim > 1 else 0
    at = np.expand_dims(np.maximum(target, 0), axis)
    kept = np.zeros(input.shape, input.dtype)
    np.put_along_axis(kept, at, np.take_along_axis(input, at, axis), axis)
    return kept


@composition(
    formula=r"y = -\tfrac{1}{N}\textstyle\sum_n \ln \mathrm{softmax}(a_n)_{t_n}",
    samples=[
        Sample(normal(4, 3), integers(4, high=3)),
        Sample(normal(4, 3), integers(4, high=3), uniform(3, low=0.5, high=2), label_smoothing=0.1),
        Sample(normal(4, 3), uniform(4, 3, low=0, high=1)),
        Sample(normal(2, 3, 4), integers(2, 4, high=3), ignore_index=1),
    ],
    faces="functional",
)
def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):
    """The cross-entropy of logits and targets: nll_loss(log_softmax(input, 1), target), averaged, summed or per position.

    input    logits (N, C), (N, C, d1, ...) or (C), floating: not probabilities, the softmax is part of the loss
    target   integer labels (N), (N, d1, ...) or (), in [0, C); or floating class probabilities of the input's shape
    weight   what each class counts for, (C); a mean over labels is divided by the sum of the weights
    ignore_index      label of positions that do not count
    label_smoothing   in [0, 1]: how much of each target is spread evenly over all classes

    IndexError for a label out of range, RuntimeError for a wrong dtype or shape, ValueError for different batch sizes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html

    >>> F.cross_entropy(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1]))
    tensor(0.1269)
    """
    if size_average is not None or reduce is not None:
        raise TypeError("cross_entropy: size_average and reduce are long deprecated in PyTorch: use reduction='mean', 'sum' or 'none'")
    kind = target.array.dtype.kind if isinstance(target, Tensor) else np.asarray(target).dtype.kind
    if kind != "f" and label_smoothing == 0.0:
        return label_cross_entropy(input, target, weight, ignore_index, reduction)
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if kind == "f" and target.shape != input.shape:
        raise RuntimeError(
            f"cross_entropy: a floating target holds class probabilities and must have the shape of the input, "
            f"{input.shape}, got {target.shape}; labels must be integers: use target.long()"
        )
    axis = 1 if len(input.shape) > 1 else 0
    classes = input.shape[axis]
    log_probabilities = log_softmax(input, axis)
    weighted = log_probabilities
    if weight is not None:
        weighted = log_probabilities * reshape(weight, (classes, *[1] * (len(input.shape) - axis - 1)))
    if kind == "f":
        losses = -sum_(weighted * (target * (1 - label_smoothing) + label_smoothing / classes), axis)
        return losses if reduction == "none" else sum_(losses) if reduction == "sum" else mean(losses)
    # Labels: a share of the loss goes to all classes alike, with the normalisation of nll_loss.
    labels = nll_loss(log_probabilities, target, weight, None, ignore_index, None, reduction)
    target = target.array if isinstance(target, Tensor) else target
    weights = None if weight is None else getattr(weight, "array", weight)
    counts = position_weights(getattr(input, "array", input).dtype, target, weights, ignore_index)
    spread = where(target != ignore_index, -sum_(weighted, axis), 0.0)
    if reduction != "none":
        spread = sum_(spread)
    if reduction == "mean":
        spread = spread / counts.sum()
    return labels * (1 - label_smoothing) + spread * (label_smoothing / classes)
