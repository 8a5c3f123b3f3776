"""Losses between two tensors of equal shape: squared and absolute errors, divergence, cosine.

Those of class labels are in `cross_entropy`, those of a yes or no in `binary_losses`. Each is averaged, summed or left
per element, as `reduction` says. The errors are one op each because that is twice as fast as composing them.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from tinygrad_lab.callers import user_stacklevel
from tinygrad_lab.ops.arithmetic import maximum, minimum, where
from tinygrad_lab.ops.cross_entropy import check_reduction
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import exp, log, sqrt
from tinygrad_lab.ops.reduce import mean, sum_
from tinygrad_lab.ops.samples import Sample, normal, uniform
from tinygrad_lab.ops.shape import expand

__all__ = [
    "cosine_similarity",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]

PROBABILITIES = uniform(3, 4, low=0.1, high=0.9)


def check_options(name, reduction, size_average=None, reduce=None):
    if size_average is not None or reduce is not None:
        raise TypeError(
            f"{name}: size_average and reduce are long deprecated in PyTorch: use reduction='mean', 'sum' or 'none'"
        )
    check_reduction(name, reduction)


def _difference(name, input, target):
    """input - target. Warns of different shapes, which are more often a mistake than meant: (N, 1) - (N) is (N, N)."""
    shape, target_shape = np.shape(input), np.shape(target)
    if shape != target_shape:
        warnings.warn(
            f"{name}: using a target size {target_shape} that is different to the input size {shape}. They are "
            f"broadcast, which is rarely meant and gives a wrong loss: make them equal, for example with "
            f"input.squeeze(1) or target.reshape(input.shape)",
            UserWarning,
            stacklevel=user_stacklevel(),
        )
    return np.subtract(input, target)


def _require_floating(name, value, kind=RuntimeError):
    """`value`, which must be of a floating dtype."""
    dtype = getattr(getattr(value, "array", value), "dtype", None)
    if dtype is None:
        raise TypeError(f"{name}: input and target must be Tensors, got {type(value).__name__}: use torch.tensor(...)")
    if dtype.kind != "f":
        raise kind(f"{name}: expected a floating dtype, got {dtype}: convert with .float()")
    return value


def reduced(losses, reduction):
    if reduction == "none":
        return losses
    if losses.dtype.char == "e":
        return np.float16(reduced(losses.astype(np.float32), reduction))
    total = np.add.reduce(losses, axis=None)
    if reduction == "sum":
        return total
    return total / losses.dtype.type(losses.size or np.nan)


def share(g, shape, reduction):
    """The cotangent of each element's own loss."""
    return g * (1.0 / max(math.prod(shape), 1)) if reduction == "mean" else g


PAIRS = [
    Sample(normal(3, 4), normal(3, 4)),
    Sample(normal(3, 4), normal(3, 4), reduction="sum"),
    Sample(normal(2, 3), normal(2, 3), reduction="none"),
    Sample(normal(), normal()),
    Sample(normal(0, 3), normal(0, 3), reduction="sum"),
]


@op(
    {
        "input": lambda g, difference, reduction: share(g * 2.0, difference.shape, reduction) * difference,
        "target": lambda g, difference, reduction: share(g * -2.0, difference.shape, reduction) * difference,
    },
    formula=r"y = \tfrac{1}{n}\textstyle\sum (a - t)^2",
    vjp_formula={"input": r"\bar a = \tfrac{2\bar y}{n}(a - t)", "target": r"\bar t = -\tfrac{2\bar y}{n}(a - t)"},
    samples=PAIRS,
    residuals={"difference": lambda input, target: input - target},
    promotes="input target",
    faces="functional",
)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """The squared error (input - target)**2, averaged, summed or per element. Shapes: equal; others warn and broadcast.

    NotImplementedError for integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    >>> F.mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    check_options("mse_loss", reduction, size_average, reduce)
    difference = _require_floating("mse_loss", _difference("mse_loss", input, target), NotImplementedError)
    return reduced(np.square(difference), reduction), difference


@op(
    {
        "input": lambda g, sign, reduction: share(g, sign.shape, reduction) * sign,
        "target": lambda g, sign, reduction: share(-g, sign.shape, reduction) * sign,
    },
    formula=r"y = \tfrac{1}{n}\textstyle\sum |a - t|",
    vjp_formula={
        "input": r"\bar a = \tfrac{\bar y}{n}\,\mathrm{sign}(a - t)",
        "target": r"\bar t = -\tfrac{\bar y}{n}\,\mathrm{sign}(a - t)",
    },
    samples=PAIRS,
    residuals={"sign": None},
    promotes="input target",
    faces="functional",
)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """The absolute error |input - target|, averaged, summed or per element. Its derivative where they are equal is 0.

    Shapes: equal; others warn and broadcast. RuntimeError for a mean of integers.

    >>> F.l1_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]), reduction="sum")
    tensor(2.)
    """
    check_options("l1_loss", reduction, size_average, reduce)
    difference = _difference("l1_loss", input, target)
    if reduction == "mean":
        _require_floating("l1_loss", difference)
    return reduced(np.abs(difference), reduction), np.sign(difference)


@op(
    {
        "input": lambda g, slope, reduction: share(g, slope.shape, reduction) * slope,
        "target": lambda g, slope, reduction: share(-g, slope.shape, reduction) * slope,
    },
    formula=r"y = \tfrac{1}{n}\textstyle\sum c\,(|a - t| - \tfrac{c}{2}),\; c = \min(|a - t|, \delta)",
    vjp_formula={
        "input": r"\bar a = \tfrac{\bar y}{n}\,\mathrm{clip}(a - t, -\delta, \delta)",
        "target": r"\bar t = -\tfrac{\bar y}{n}\,\mathrm{clip}(a - t, -\delta, \delta)",
    },
    samples=[*PAIRS, Sample(normal(3, 4), normal(3, 4), delta=0.3), Sample(normal(3, 4), normal(3, 4), "none", 2.5)],
    residuals={"slope": lambda input, target, delta: maximum(minimum(input - target, delta), -delta)},
    promotes="input target",
    faces="functional",
)
def huber_loss(input, target, reduction="mean", delta=1.0):
    """Half the squared error where that is below `delta`, else linear, delta * (|input - target| - delta / 2).

    Shapes: equal; others warn and broadcast. RuntimeError unless delta > 0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.huber_loss.html

    >>> F.huber_loss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 10.0]), reduction="none", delta=2.0)
    tensor([ 0.5, 18. ])
    """
    check_options("huber_loss", reduction)
    if not delta > 0:
        raise RuntimeError(f"huber_loss: does not support non-positive values for delta, got {delta}")
    difference = _require_floating("huber_loss", _difference("huber_loss", input, target), NotImplementedError)
    slope = np.clip(difference, -delta, delta)
    losses = (difference - 0.5 * slope) * slope
    return reduced(losses, reduction), slope


@composition(
    formula=r"y = \tfrac{1}{n}\textstyle\sum \tfrac{c}{\beta}\,(|a - t| - \tfrac{c}{2}),\; c = \min(|a - t|, \beta)",
    samples=[*PAIRS, Sample(normal(3, 4), normal(3, 4), beta=0.3), Sample(normal(3, 4), normal(3, 4), beta=0)],
    faces="functional",
)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """The absolute error, rounded off to a parabola where it is below `beta`: huber_loss(delta=beta) / beta.

    beta=0 is `l1_loss`. Shapes: equal; others warn and broadcast. RuntimeError for a negative beta.

    >>> F.smooth_l1_loss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 10.0]), reduction="none", beta=2.0)
    tensor([0.25, 9.  ])
    """
    check_options("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: does not support negative values for beta, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) * (1 / beta)


# Compositions


@composition(
    formula=r"y = \tfrac{1}{n}\textstyle\sum t\,(\ln t - a)",
    samples=[
        Sample(normal(3, 4), PROBABILITIES, reduction="batchmean"),
        Sample(normal(3, 4), PROBABILITIES, reduction="sum"),
        Sample(normal(3, 4), normal(3, 4), reduction="none", log_target=True),
        Sample(normal(3, 4), PROBABILITIES, reduction="none"),
    ],
    faces="functional",
)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """The Kullback-Leibler divergence of the distribution `target` from the one whose *logarithm* is `input`.

    reduction    "batchmean" (the divergence: the sum over the first size), "sum", "none", or "mean" over all elements
    log_target   the target, too, holds logarithms

    Shapes: equal or broadcasting. ValueError for another reduction.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html

    >>> F.kl_div(torch.log(torch.tensor([[0.5, 0.5]])), torch.tensor([[1.0, 0.0]]), reduction="batchmean")
    tensor(0.6931)
    """
    check_options("kl_div", "mean" if reduction == "batchmean" else reduction, size_average, reduce)
    for value in (input, target):
        _require_floating("kl_div", value)
    # t log t is 0 at t = 0, where the logarithm of 1 stands in.
    log_of_target = target if log_target else log(where(target == 0, 1.0, target))
    losses = (exp(target) if log_target else target) * (log_of_target - input)
    if reduction == "none":
        return losses
    if reduction == "mean":
        return mean(losses)
    return sum_(losses) if reduction == "sum" else sum_(losses) * (1 / input.shape[0])


@composition(
    formula=r"y = \frac{a \cdot b}{\max(\|a\|, \epsilon)\,\max(\|b\|, \epsilon)}",
    samples=[
        Sample(normal(3, 4), normal(3, 4)),
        Sample(normal(2, 3, 4), normal(3, 1), 1),
        Sample(normal(4), normal(4), dim=-1),
        Sample(normal(3, 4), normal(3, 4), dim=0, eps=3.0),
    ],
    faces="torch functional",
)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along `dim`: their inner product over the product of their lengths.

    Shapes broadcast; `dim` is removed. A length below `eps` counts as `eps`. IndexError if there is no such dimension.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html

    >>> F.cosine_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    if x1.shape != x2.shape:
        try:
            shape = np.broadcast_shapes(x1.shape, x2.shape)
        except ValueError:
            raise RuntimeError(
                f"cosine_similarity: shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not broadcast"
            ) from None
        x1, x2 = expand(x1, shape), expand(x2, shape)
    _require_floating("cosine_similarity", x1 if getattr(x1, "array", x1).dtype.kind == "f" else x2)
    # max(|a|, eps) as sqrt(max(|a|^2, eps^2)): then the square root is never differentiated at 0.
    length1, length2 = (sqrt(maximum(sum_(x * x, dim), eps * eps)) for x in (x1, x2))
    return sum_(x1 * x2, dim) / (length1 * length2)
