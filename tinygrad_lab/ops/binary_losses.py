"""Losses of probabilities and logits of a yes or no: binary cross-entropies, one op each because that is stable."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.dtypes import promote
from tinygrad_lab.ops.activation import logsigmoid
from tinygrad_lab.ops.arithmetic import maximum
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.elementwise import log, sigmoid
from tinygrad_lab.ops.losses import PROBABILITIES, check_options, reduced, share
from tinygrad_lab.ops.samples import Sample, normal, uniform

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]


def _check_binary(name, input, target, weight):
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: the target size {target.shape} must be the same as the input size {input.shape}: "
            f"use input.squeeze(1) or target.reshape(input.shape)"
        )
    if input.dtype.kind != "f" or target.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: expected an input and a target of one floating dtype, got {input.dtype} and {target.dtype}: use "
            f"target.float() (targets are probabilities, not class labels)"
        )
    if weight is not None and np.broadcast_shapes(input.shape, weight.shape) != input.shape:
        raise RuntimeError(
            f"{name}: a weight of shape {weight.shape} does not broadcast to the input's shape {input.shape}"
        )


def _check_probabilities(name, what, values):
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        hint = "; for logits use binary_cross_entropy_with_logits" if what == "input" else ""
        raise RuntimeError(
            f"{name}: all elements of {what} should be between 0 and 1, got {values.min()} to {values.max()}{hint}"
        )


def _weighted(g, shape, reduction, weight):
    g = share(g, shape, reduction)
    return g if weight is None else g * weight


@op(
    {
        "input": lambda g, input, target, weight, reduction: (
            _weighted(g, input.shape, reduction, weight) * ((input - target) / maximum(input * (1 - input), 1e-12))
        ),
        "target": lambda g, input, weight, reduction: (
            _weighted(g, input.shape, reduction, weight) * (log(1 - input) - log(input))
        ),
    },
    formula=r"y = -\tfrac{1}{n}\textstyle\sum w\,(t \ln p + (1 - t)\ln(1 - p))",
    vjp_formula={
        "input": r"\bar p = \tfrac{\bar y}{n}\,w\,\frac{p - t}{p\,(1 - p)}",
        "target": r"\bar t = \tfrac{\bar y}{n}\,w\,(\ln(1 - p) - \ln p)",
    },
    samples=[
        Sample(PROBABILITIES, PROBABILITIES),
        Sample(PROBABILITIES, PROBABILITIES, uniform(4, low=0.5, high=2), reduction="sum"),
        Sample(PROBABILITIES, PROBABILITIES, uniform(3, 1, low=0.5, high=2)),
        Sample(PROBABILITIES, PROBABILITIES, reduction="none"),
        Sample(uniform(low=0.1, high=0.9), uniform(low=0.1, high=0.9)),
    ],
    arrays="weight",
    faces="functional",
)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(target log(input) + (1 - target) log(1 - input)) of probabilities, averaged, summed or per element.

    input    probabilities in [0, 1]; their logarithms are clamped at -100, so that a certain miss is a finite loss
    target   in [0, 1], of the input's shape and dtype
    weight   broadcast to the input's shape; a mean is divided by the number of elements

    ValueError if the shapes differ, RuntimeError for values out of range. For logits: binary_cross_entropy_with_logits.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html

    >>> F.binary_cross_entropy(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 1.0]), reduction="none")
    tensor([  0.6931, 100.    ])
    """
    name = "binary_cross_entropy"
    check_options(name, reduction, size_average, reduce)
    _check_binary(name, input, target, weight)
    _check_probabilities(name, "input", input)
    _check_probabilities(name, "target", target)
    with np.errstate(divide="ignore"):
        log_yes, log_no = np.maximum(np.log(input), -100), np.maximum(np.log1p(-input), -100)
    losses = (target - 1) * log_no - target * log_yes
    return reduced(losses if weight is None else losses * weight, reduction)


def _logit_slope(probabilities, target, pos_weight):
    if pos_weight is None:
        return probabilities - target
    return (1 + (pos_weight - 1) * target) * probabilities - pos_weight * target


@op(
    {
        "input": lambda g, input_shape, target, weight, reduction, pos_weight, probabilities: (
            _weighted(g, input_shape, reduction, weight) * _logit_slope(probabilities, target, pos_weight)
        ),
        "target": lambda g, input, weight, reduction, pos_weight, softplus: (
            _weighted(g, input.shape, reduction, weight)
            * (-input if pos_weight is None else (pos_weight - 1) * softplus - input)
        ),
    },
    formula=r"y = -\tfrac{1}{n}\textstyle\sum w\,(q\,t \ln \sigma(a) + (1 - t)\ln(1 - \sigma(a)))",
    vjp_formula={
        "input": r"\bar a = \tfrac{\bar y}{n}\,w\,((1 + (q - 1)\,t)\,\sigma(a) - q\,t)",
        "target": r"\bar t = \tfrac{\bar y}{n}\,w\,((1 - q)\ln\sigma(a) - a)",
    },
    samples=[
        Sample(normal(3, 4), PROBABILITIES),
        Sample(normal(3, 4), PROBABILITIES, uniform(3, 1, low=0.5, high=2), reduction="sum"),
        Sample(normal(3, 4), PROBABILITIES, reduction="none", pos_weight=uniform(4, low=0.5, high=2)),
        Sample(normal(3, 4), PROBABILITIES, uniform(4, low=0.5, high=2), pos_weight=uniform(4, low=0.5, high=2)),
        Sample(normal(), uniform(low=0.1, high=0.9)),
    ],
    arrays="weight pos_weight",
    residuals={"probabilities": lambda input: sigmoid(input), "softplus": lambda input: -logsigmoid(input)},
    faces="functional",
)
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """binary_cross_entropy(sigmoid(input), target) without overflow, for logits of any size.

    input        logits
    target       of the input's shape, floating, usually in [0, 1]
    weight       broadcast to the input's shape; a mean is divided by the number of elements
    pos_weight   what a positive target counts for, broadcast to the input's shape

    ValueError if the shapes differ, RuntimeError for integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html

    >>> F.binary_cross_entropy_with_logits(torch.tensor([0.0, 100.0]), torch.tensor([1.0, 0.0]), reduction="none")
    tensor([  0.6931, 100.    ])
    """
    name = "binary_cross_entropy_with_logits"
    check_options(name, reduction, size_average, reduce)
    if target.dtype is not input.dtype and target.dtype.kind == input.dtype.kind == "f":
        input, target = promote(input, target)
    _check_binary(name, input, target, weight)
    if pos_weight is not None and np.broadcast_shapes(input.shape, pos_weight.shape) != input.shape:
        raise RuntimeError(
            f"{name}: pos_weight of shape {pos_weight.shape} does not broadcast to the input's shape {input.shape}"
        )
    small = np.exp(-np.abs(input))  # never overflows
    softplus = np.log1p(small) + np.maximum(-input, 0)  # log(1 + e**-input) = -log sigmoid(input)
    losses = (1 - target) * input
    losses += softplus if pos_weight is None else (1 + (pos_weight - 1) * target) * softplus
    probabilities = np.where(input >= 0, input.dtype.type(1), small) / (1 + small)
    return reduced(losses if weight is None else losses * weight, reduction), probabilities, softplus
