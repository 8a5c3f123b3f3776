"""Losses of class labels: cross-entropy and negative log-likelihood.

Shapes are (N, C, d1, ...) for scores and (N, d1, ...) for labels; one sample without a batch has (C) and ().
"""

from __future__ import annotations

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.products import counting, ones
from tinygrad_lab.ops.reduce import mean, sum_
from tinygrad_lab.ops.samples import Sample, integers, normal, uniform
from tinygrad_lab.ops.shape import expand, reshape
from tinygrad_lab.ops.softmax import log_softmax, softmax
from tinygrad_lab.tensor import Tensor

__all__ = ["cross_entropy", "nll_loss"]

_UNSIGNED = {np.dtype(f"{sign}{size}"): np.dtype(f"u{size}") for sign in "iu" for size in (1, 2, 4, 8)}
_INT64 = np.dtype("int64")


def check_labels(name, input, target, weight, ignore_index):
    """Refuse labels of the wrong dtype, shape or range. Returns whether some are to be ignored."""
    shape = input.shape
    if len(shape) == 2:
        expected, classes = shape[:1], shape[1]
    else:
        expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
        classes = shape[_class_axis(shape)] if shape else 0
    wrong_weight = weight is not None and weight.shape != (classes,)
    if target.dtype.kind not in "iu" or target.shape != expected or not shape or wrong_weight:
        _refuse(name, input, target, weight, expected, classes)
    if not target.size:
        return False
    # As unsigned numbers negative labels are huge: one pass finds both kinds of label out of range. (argmax takes a
    # tenth of the time of max.)
    unsigned = target.view(_UNSIGNED[target.dtype])
    out_of_range = unsigned.item(unsigned.argmax()) >= classes
    if out_of_range:
        bad = target[((target < 0) | (target >= classes)) & (target != ignore_index)]
        if bad.size:
            raise IndexError(
                f"{name}: Target {bad.flat[0]} is out of bounds: labels must lie in [0, {classes - 1}] for an input of "
                f"shape {shape} (or equal ignore_index={ignore_index})"
            )
    return out_of_range or 0 <= ignore_index < classes


def _refuse(name, input, target, weight, expected, classes):
    """Raise the error for labels or weights that do not fit."""
    if input.ndim == 0:
        raise RuntimeError(
            f"{name}: the input must have a class dimension: shape (C), (N, C) or (N, C, d1, ...), got a scalar"
        )
    if target.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: expected integer class labels (int64), but the target is {target.dtype} with shape "
            f"{target.shape}: use target.long(), or give probabilities of the same shape as the input, {input.shape}"
        )
    if target.shape != expected:
        if target.ndim == input.ndim and target.shape == input.shape:
            hint = "; is it one-hot? Then give labels, target.argmax(1), or floating probabilities"
        elif target.shape[:1] != expected[:1]:
            raise ValueError(
                f"{name}: Expected input batch_size ({input.shape[0]}) to match target batch_size "
                f"({target.shape[0] if target.ndim else 0}): input {input.shape}, target {target.shape}"
            )
        else:
            hint = "; squeeze() removes a dimension of size 1"
        raise RuntimeError(
            f"{name}: the target must have shape {expected} for an input of shape {input.shape}, got "
            f"{target.shape}{hint}"
        )
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"{name}: weight must have one entry per class, shape ({classes},), got {weight.shape}")


def check_reduction(name, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction: use 'mean', 'sum' or 'none'")


def _class_axis(shape):
    return 1 if len(shape) > 1 else 0


def _in_range(target, classes):
    """Class labels in [0, classes): 0 for labels outside, which are those to be ignored (-100, or 255 in images)."""
    return np.where((target >= 0) & (target < classes), target, 0)


def _label_index(target, shape):
    """(index, axis): where in scores of this `shape` each position's label is, for take_along_axis and its like."""
    axis = _class_axis(shape)
    return np.expand_dims(_in_range(target, shape[axis]), axis), axis


def _shares(dtype, target, weight, ignore_index, reduction):
    """How much each position's loss counts in the result: a number, or an array of the target's shape.

    The weight of its class, 0 where the label is ignored; in a mean divided by the sum of these.
    """
    ignored = target == ignore_index
    if weight is None and not ignored.any():
        return 1.0 if reduction != "mean" else 1.0 / target.size if target.size else np.nan
    counts = np.where(ignored, dtype.type(0), 1 if weight is None else weight[np.where(ignored, 0, target)])
    counts = counts.astype(dtype, copy=False)
    if reduction == "mean" and not ignored.all():  # the mean over nothing has the gradient 0
        counts /= counts.sum()
    return counts


def _per_position(values, shape):
    """Values of the positions (N, d1, ...), shaped to broadcast along the class dimension of `shape`."""
    return reshape(values, (shape[0], 1, *shape[2:]) if len(shape) > 1 else (1,))


def _spread(g, share, shape, reduction):
    """The cotangent of each position's own loss, broadcast along the class dimension or a scalar."""
    g = _per_position(g, shape) if reduction == "none" else g
    return g * (_per_position(share, shape) if isinstance(share, np.ndarray) else share)


def _total(losses, share, reduction, shape):
    """The losses of all positions, flat, weighted and reduced. `share` is a number or an array."""
    if isinstance(share, np.ndarray):
        losses = losses * share.reshape(-1)
    if reduction == "none":
        return losses.reshape(shape)
    total = ones(losses.size, losses.dtype).dot(losses)
    if not isinstance(share, np.ndarray):
        return losses.dtype.type(total.item() * share)  # NumPy takes longer to multiply scalars of its own
    return total if reduction != "mean" or share.any() else losses.dtype.type(np.nan)  # the mean over nothing: NaN


@op(
    {"probabilities": lambda g: g},
    formula=r"y = p - \mathrm{onehot}(t)",
    vjp_formula={"probabilities": r"\bar p = \bar y"},
    samples=[
        Sample(uniform(4, 3, low=0, high=1), integers(4, high=3)),
        Sample(uniform(2, 3, 4, low=0, high=1), integers(2, 4, high=3)),
    ],
    arrays="target",
    faces="",
)
def minus_one_hot(probabilities, target):
    """p - onehot(target): p (N, C, d1, ...), labels (N, d1, ...); one out of range (ignored) subtracts from class 0."""
    difference = probabilities.copy(order="K")
    at, axis = _label_index(target, probabilities.shape)
    np.put_along_axis(difference, at, np.take_along_axis(difference, at, axis) - 1, axis)
    return difference


def _label_slope(input, target, weight, ignore_index, reduction):
    """The derivative that `label_cross_entropy` keeps, differentiably: (softmax - onehot) times the share of each."""
    difference = minus_one_hot(softmax(input, _class_axis(input.shape)), target)
    share = _shares(input.array.dtype, target, weight, ignore_index, reduction)
    return difference * (_per_position(share, input.shape) if isinstance(share, np.ndarray) else share)


def _times_slope(g, input_shape, slope, reduction):
    """slope * g: `slope` itself where g is the 1 that a backward pass starts from, which saves a pass over it."""
    if reduction == "none":
        return slope * _per_position(g, input_shape)
    return slope if type(g) is np.ndarray and g.item() == 1 else slope * g


def _class_rows(input):
    """A copy of scores as a (classes, positions) array: of (N, C), `input.T.copy()`."""
    if input.ndim == 1:
        return input.reshape(-1, 1).copy()
    return input.swapaxes(0, 1).copy().reshape(input.shape[1], -1)


def _from_class_rows(rows, shape):
    """The inverse of `_class_rows`, as a view."""
    if len(shape) == 1:
        return rows.reshape(shape)
    return rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


@op(
    {"input": _times_slope},
    formula=r"y = -\tfrac{1}{N}\textstyle\sum w_t \ln \mathrm{softmax}(a)_t",
    vjp_formula={"input": r"\bar a = \tfrac{\bar y}{N}\,w_t\,(\mathrm{softmax}(a) - \mathrm{onehot}(t))"},
    samples=[
        Sample(normal(4, 3), integers(4, high=3)),
        Sample(normal(4, 3), integers(4, high=3), uniform(3, low=0.5, high=2)),
        Sample(normal(4, 3), integers(4, high=3), None, 1, "sum"),
        Sample(normal(2, 3, 4), integers(2, 4, high=3), None, -100, "none"),
        Sample(normal(3), integers(high=3)),
    ],
    arrays="target weight",
    residuals={"slope": _label_slope},
    floats="input",
    faces="",
)
def label_cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """`cross_entropy` for class labels, in one op. Its naive composition is nll_loss(log_softmax(input, 1), target)."""
    check_reduction("cross_entropy", reduction)
    ignores = check_labels("cross_entropy", input, target, weight, ignore_index)
    # (classes, positions): reductions over a short class axis are much faster so.
    z = input.T.copy() if input.ndim == 2 else _class_rows(input)
    classes, positions = z.shape
    elements = z.ravel()  # a view, in which a label is one index
    if ignores or weight is not None or not positions:
        share = _shares(input.dtype, target, weight, ignore_index, reduction)
        labels = _in_range(target, classes)
    else:
        share = 1.0 / positions if reduction == "mean" else 1.0
        labels = target
    at = labels.ravel() * constant(positions, _INT64)
    at += counting(positions)
    z -= np.maximum.reduce(z, axis=0, initial=-np.inf)
    picked = elements[at]
    np.exp(z, z)
    total = ones(classes, z.dtype).dot(z)
    value = _total(np.log(total) - picked, share, reduction, target.shape)
    # From here on z becomes the derivative: share * (softmax - onehot), which is all that the rule needs.
    if isinstance(share, np.ndarray):
        z /= total
        elements[at] -= 1
        z *= share.reshape(-1)
    else:
        total *= constant(1 / share, z.dtype)
        z /= total
        elements[at] -= constant(share, z.dtype)
    return value, z.T if input.ndim == 2 else _from_class_rows(z, input.shape)


@op(
    {
        "input": lambda g, input_shape, target, share, reduction: (
            -at_labels(expand(_spread(g, share, input_shape, reduction), input_shape), target)
        )
    },
    formula=r"y = -\tfrac{1}{N}\textstyle\sum w_t\,a_t",
    vjp_formula={"input": r"\bar a = -\tfrac{\bar y}{N}\,w_t\,\mathrm{onehot}(t)"},
    samples=[
        Sample(normal(4, 3), integers(4, high=3)),
        Sample(normal(4, 3), integers(4, high=3), uniform(3, low=0.5, high=2)),
        Sample(normal(4, 3), integers(4, high=3), None, ignore_index=1, reduction="sum"),
        Sample(normal(2, 3, 4), integers(2, 4, high=3), reduction="none"),
        Sample(normal(3), integers(high=3)),
    ],
    arrays="target weight",
    residuals={"share": None},
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
    if size_average is not None or reduce is not None:
        raise TypeError(
            "nll_loss: size_average and reduce are long deprecated in PyTorch: use reduction='mean', 'sum' or 'none'"
        )
    check_labels("nll_loss", input, target, weight, ignore_index)
    share = _shares(input.dtype, target, weight, ignore_index, reduction)
    at, axis = _label_index(target, input.shape)
    losses = -np.take_along_axis(input, at, axis).reshape(-1)
    return _total(losses, share, reduction, target.shape), share


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
    at, axis = _label_index(target, input.shape)
    kept = np.zeros(input.shape, input.dtype)
    np.put_along_axis(kept, at, np.take_along_axis(input, at, axis), axis)
    return kept


@composition(
    formula=r"y = -\tfrac{1}{N}\textstyle\sum w_t \ln \mathrm{softmax}(a)_t",
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
    """The cross-entropy of logits and targets: nll_loss(log_softmax(input, 1), target), reduced over positions.

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
        raise TypeError(
            "cross_entropy: size_average and reduce are long deprecated in PyTorch: use reduction='mean', 'sum' or "
            "'none'"
        )
    kind = target.array.dtype.kind if isinstance(target, Tensor) else np.asarray(target).dtype.kind
    if kind != "f" and label_smoothing == 0.0:
        return label_cross_entropy(input, target, weight, ignore_index, reduction)
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if kind == "f" and target.shape != input.shape:
        swapped = getattr(input, "array", input).dtype.kind in "iu"
        remedy = "are the two swapped? cross_entropy(logits, labels)" if swapped else "labels: use target.long()"
        raise RuntimeError(
            f"cross_entropy: a floating target holds class probabilities and must have the shape of the input, "
            f"{input.shape}, got {target.shape}; {remedy}"
        )
    axis = _class_axis(input.shape)
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
    share = _shares(getattr(input, "array", input).dtype, target, weights, ignore_index, "none")
    spread = where(target != ignore_index, -sum_(weighted, axis), 0.0)
    if reduction != "none":
        spread = sum_(spread)
    if reduction == "mean":
        spread = spread / (share.sum() if isinstance(share, np.ndarray) else target.size)
    return labels * (1 - label_smoothing) + spread * (label_smoothing / classes)
