"""Activation functions. (tanh stands with the hyperbolic functions, sigmoid with exp, softmax in a file of its own.)

Where PyTorch's function takes `inplace=True`, so does ours: the input's memory then gets the result, as by `relu_`.
Slopes at kinks are PyTorch's. Masks multiply instead of selecting, which is ten times faster for unpredictable signs;
so an infinite cotangent gives NaN where the slope is 0.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.dtypes import constant
from tinygrad_lab.ops.arithmetic import kept, minimum, where
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import abs_, exp, sigmoid
from tinygrad_lab.ops.samples import Sample, normal, uniform
from tinygrad_lab.ops.shape import reshape
from tinygrad_lab.ops.special import erf
from tinygrad_lab.ops.trigonometric import tanh

__all__ = ["elu", "gelu", "leaky_relu", "logsigmoid", "relu", "silu", "softplus"]

SMOOTH = [Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 3))]
KINK_AT_0 = [Sample(normal(3, 4, away_from=(0.0,))), Sample(uniform(low=0.5, high=1)), Sample(normal(0, 3))]
KINKS_AT_3 = [Sample(uniform(3, 4, low=-5, high=5, away_from=(-3.0, 3.0))), Sample(uniform(low=-2, high=2))]


def _refuse_bools(name, input):
    if input.dtype.kind == "b":
        raise RuntimeError(f"{name}: Boolean inputs not supported for {name}: convert with .float()")


@op(
    {"input": lambda g, y: kept(g, y > constant(0, y.dtype))},
    formula=r"y = \max(a, 0)",
    vjp_formula={"input": r"\bar a = \bar y \odot [y > 0]"},
    samples=KINK_AT_0,
    faces="torch method functional",
)
def relu(input, inplace=False):
    """max(input, 0); the gradient at 0 is 0. Same dtype. RuntimeError for bools.

    >>> torch.relu(torch.tensor([-1.5, 2.0]))
    tensor([0., 2.])
    """
    _refuse_bools("relu", input)
    return np.maximum(input, constant(0, input.dtype))


@op(
    {"input": lambda g, input, min_val, max_val: kept(g, (input > min_val) & (input < max_val))},
    formula=r"y = \min(\max(a, l), u)",
    vjp_formula={"input": r"\bar a = \bar y \odot [l < a < u]"},
    samples=[
        Sample(normal(3, 4, away_from=(-1.0, 1.0))),
        Sample(uniform(3, 4, low=-2, high=3, away_from=(-0.5, 2.0)), -0.5, 2.0),
        Sample(uniform(low=-0.5, high=0.5)),
    ],
    faces="functional",
)
def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """`input` limited to [min_val, max_val]; at the limits the gradient is 0. Same dtype.

    ValueError if min_val > max_val, RuntimeError for bools.

    >>> F.hardtanh(torch.tensor([-2.0, 0.5, 2.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}")
    _refuse_bools("hardtanh", input)
    return np.clip(input, input.dtype.type(min_val), input.dtype.type(max_val))


@op(
    {"input": lambda g, input: kept(g, (input > 0) & (input < 6))},
    formula=r"y = \min(\max(a, 0), 6)",
    vjp_formula={"input": r"\bar a = \bar y \odot [0 < a < 6]"},
    samples=[Sample(uniform(3, 4, low=-3, high=9, away_from=(0.0, 6.0))), Sample(uniform(low=1, high=5))],
    faces="functional",
)
def relu6(input, inplace=False):
    """`input` limited to [0, 6]; at the limits the gradient is 0. Same dtype. RuntimeError for bools.

    >>> F.relu6(torch.tensor([-1.5, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    _refuse_bools("relu6", input)
    return np.clip(input, 0, 6)


@op(
    {"input": lambda g, input, negative_slope: g * (input > 0) + g * negative_slope * (input <= 0)},
    formula=r"y = \max(a, 0) + \alpha \min(a, 0)",
    vjp_formula={"input": r"\bar a = \bar y \odot ([a > 0] + \alpha [a \le 0])"},
    samples=[*KINK_AT_0, Sample(normal(3, 4, away_from=(0.0,)), 0.2), Sample(normal(4, away_from=(0.0,)), -1.5)],
    floats="input",
    faces="functional",
)
def leaky_relu(input, negative_slope=0.01, inplace=False):
    """`input` above 0, negative_slope * input up to 0; the gradient at 0 is negative_slope.

    >>> F.leaky_relu(torch.tensor([-2.0, 2.0]), 0.1)
    tensor([-0.2,  2. ])
    """
    if 0 <= negative_slope <= 1:
        return np.maximum(input, input * negative_slope)
    return np.where(input > 0, input, input * negative_slope)


def _elu(x, alpha, scale, input_scale):
    """scale * (x above 0, alpha * (e^(input_scale * x) - 1) below)."""
    return scale * (np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) * input_scale))


def _elu_slope(x, alpha, scale, input_scale):
    # From x, not from the value: y + alpha would lose its digits where y comes near -alpha.
    below = exp(minimum(x, 0.0) * input_scale) * (alpha * input_scale)
    return (below * (x <= 0) + (x > 0)) * scale


@op(
    {"input": lambda g, input, alpha: g * _elu_slope(input, alpha, 1.0, 1.0)},
    formula=r"y = a \text{ if } a > 0 \text{ else } \alpha (e^a - 1)",
    vjp_formula={"input": r"\bar a = \bar y \odot ([a > 0] + \alpha e^a [a \le 0])"},
    samples=[*KINK_AT_0, Sample(normal(3, 4, away_from=(0.0,)), 0.5)],
    floats="input",
    faces="functional",
)
def elu(input, alpha=1.0, inplace=False):
    """`input` above 0, alpha * (exp(input) - 1) up to 0; the gradient at 0 is alpha.

    >>> F.elu(torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.    ])
    """
    return _elu(input, alpha, 1.0, 1.0)


_SELU = (1.6732632423543772, 1.0507009873554805)  # alpha, scale


@op(
    {"input": lambda g, input: g * _elu_slope(input, *_SELU, 1.0)},
    formula=r"y = \lambda a \text{ if } a > 0 \text{ else } \lambda \alpha (e^a - 1)",
    vjp_formula={"input": r"\bar a = \lambda \bar y \odot ([a > 0] + \alpha e^a [a \le 0])"},
    samples=KINK_AT_0,
    floats="input",
    faces="torch functional",
)
def selu(input, inplace=False):
    """1.0507 * elu(input, 1.6733), whose constants keep mean 0 and variance 1 from layer to layer.

    Source: Klambauer et al., Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515

    >>> F.selu(torch.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return _elu(input, *_SELU, 1.0)


@op(
    {"input": lambda g, input, alpha: g * _elu_slope(input, alpha, 1.0, 1.0 / alpha)},
    formula=r"y = a \text{ if } a > 0 \text{ else } \alpha (e^{a / \alpha} - 1)",
    vjp_formula={"input": r"\bar a = \bar y \odot ([a > 0] + e^{a / \alpha} [a \le 0])"},
    samples=[*KINK_AT_0, Sample(normal(3, 4, away_from=(0.0,)), 0.5)],
    floats="input",
    faces="torch functional",
)
def celu(input, alpha=1.0, inplace=False):
    """`input` above 0, alpha * (exp(input / alpha) - 1) up to 0; the gradient at 0 is 1. RuntimeError for alpha = 0.

    >>> F.celu(torch.tensor([-1.0, 2.0]), 2.0)
    tensor([-0.7869,  2.    ])
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0 for CELU: it divides the input")
    return _elu(input, alpha, 1.0, 1.0 / alpha)


_CUBIC = 0.044715


def _gelu_cdf(input, approximate):
    """P(Z <= input) for a standard normal Z, or its approximation by tanh."""
    if approximate == "tanh":
        return (tanh((input + input * input * input * _CUBIC) * math.sqrt(2 / math.pi)) + 1) * 0.5
    return (erf(input * math.sqrt(0.5)) + 1) * 0.5


def _gelu_slope(x, cdf, approximate):
    if approximate == "tanh":
        return cdf + x * cdf * (1 - cdf) * ((1 + x * x * (3 * _CUBIC)) * (2 * math.sqrt(2 / math.pi)))
    return cdf + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


@op(
    {"input": lambda g, input, cdf, approximate: g * _gelu_slope(input, cdf, approximate)},
    formula=r"y = a\,\Phi(a)",
    vjp_formula={"input": r"\bar a = \bar y \odot (\Phi(a) + a\,\Phi'(a))"},
    samples=[*SMOOTH, Sample(normal(3, 4), approximate="tanh"), Sample(normal(), approximate="tanh")],
    residuals={"cdf": _gelu_cdf},
    floats="input",
    faces="functional",
)
def gelu(input, *, approximate="none"):
    """input * P(Z <= input) for a standard normal Z; with approximate="tanh" by the usual formula with tanh.

    RuntimeError for another `approximate`.
    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, https://arxiv.org/abs/1606.08415

    >>> F.gelu(torch.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")
    cdf = _gelu_cdf(input, approximate)
    return input * cdf, cdf


@op(
    {"input": lambda g, input, gate: g * (gate * (1 + input * (1 - gate)))},
    formula=r"y = a\,\sigma(a)",
    vjp_formula={"input": r"\bar a = \bar y \odot \sigma(a)\,(1 + a\,(1 - \sigma(a)))"},
    samples=SMOOTH,
    residuals={"gate": lambda input: sigmoid(input)},
    floats="input",
    faces="functional",
)
def silu(input, inplace=False):
    """input * sigmoid(input), also called swish.

    >>> F.silu(torch.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    gate = sigmoid(input)
    return input * gate, gate


def _log1p_exp(x):
    """log(1 + e^x): the exponent is never positive."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@op(
    {"input": lambda g, input, beta, threshold: where(input * beta > threshold, g, g * sigmoid(input * beta))},
    formula=r"y = a \text{ if } \beta a > t \text{ else } \tfrac1\beta \ln(1 + e^{\beta a})",
    vjp_formula={"input": r"\bar a = \bar y \odot \sigma(\beta a)"},
    samples=[*SMOOTH, Sample(normal(3, 4), 2.0), Sample(uniform(3, 4, low=-3, high=3, away_from=(1.0,)), 1.0, 1.0)],
    floats="input",
    faces="functional",
)
def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * input)) / beta, a smooth relu; where beta * input > threshold, the input itself.

    >>> F.softplus(torch.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.0000e+00, 6.9315e-01, 1.0000e+03])
    """
    scaled = input * beta
    return np.where(scaled > threshold, input, _log1p_exp(scaled) / beta)


@op(
    {"input": lambda g, input: g * sigmoid(-input)},
    formula=r"y = \ln \sigma(a)",
    vjp_formula={"input": r"\bar a = \bar y \odot \sigma(-a)"},
    samples=SMOOTH,
    floats="input",
    faces="functional",
)
def logsigmoid(input):
    """log(sigmoid(input)), without the underflow of computing it in two steps.

    >>> F.logsigmoid(torch.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return -_log1p_exp(-input)


@op(
    {"input": lambda g, input, gate: g * (gate + input * sigmoid(input) * (1 - gate * gate))},
    formula=r"y = a \tanh(\ln(1 + e^a))",
    vjp_formula={"input": r"\bar a = \bar y \odot (t + a\,\sigma(a)(1 - t^2)),\; t = \tanh(\ln(1 + e^a))"},
    samples=SMOOTH,
    residuals={"gate": lambda input: tanh(softplus(input))},
    floats="input",
    faces="functional",
)
def mish(input, inplace=False):
    """input * tanh(softplus(input)).

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function, https://arxiv.org/abs/1908.08681

    >>> F.mish(torch.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.944 ])
    """
    gate = np.tanh(_log1p_exp(input))
    return input * gate, gate


@op(
    {"input": lambda g, input: kept(g, (input > -3) & (input < 3)) / 6},
    formula=r"y = \min(\max(a/6 + 1/2, 0), 1)",
    vjp_formula={"input": r"\bar a = \tfrac16 \bar y \odot [-3 < a < 3]"},
    samples=KINKS_AT_3,
    floats="input",
    faces="functional",
)
def hardsigmoid(input, inplace=False):
    """input / 6 + 1/2 limited to [0, 1]: a sigmoid of straight pieces; at -3 and 3 the gradient is 0.

    >>> F.hardsigmoid(torch.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    return np.clip(input + 3, 0, 6) / 6


@op(
    {"input": lambda g, input: where(input >= 3, g, where(input > -3, g * (input / 3 + 0.5), 0.0))},
    formula=r"y = a \min(\max(a/6 + 1/2, 0), 1)",
    vjp_formula={"input": r"\bar a = \bar y \odot ([a \ge 3] + (a/3 + 1/2)[-3 < a < 3])"},
    samples=KINKS_AT_3,
    floats="input",
    faces="functional",
)
def hardswish(input, inplace=False):
    """input * hardsigmoid(input); the gradient is 0 at -3 and 1 at 3.

    Source: Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244

    >>> F.hardswish(torch.tensor([-4.0, 1.0, 4.0]))
    tensor([-0.    ,  0.6667,  4.    ])
    """
    return input * np.clip(input + 3, 0, 6) / 6


@op(
    {"input": lambda g, input, threshold: kept(g, input > threshold)},
    formula=r"y = a \text{ if } a > t \text{ else } v",
    vjp_formula={"input": r"\bar a = \bar y \odot [a > t]"},
    samples=[Sample(normal(3, 4, away_from=(0.5,)), 0.5, -2.0), Sample(uniform(low=1, high=2), 0.5, 0.0)],
    faces="torch functional",
)
def threshold(input, threshold, value, inplace=False):
    """`input` where it is above `threshold`, `value` elsewhere. Same dtype.

    >>> F.threshold(torch.tensor([0.1, 2.0]), 0.5, 20.0)
    tensor([20.,  2.])
    """
    return np.where(input <= threshold, np.asarray(value, input.dtype), input)


@composition(formula=r"y = a / (1 + |a|)", samples=KINK_AT_0, faces="functional")
def softsign(input):
    """input / (1 + |input|), between -1 and 1.

    >>> F.softsign(torch.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return input / (abs_(input) + 1)


@composition(
    formula=r"y = \max(a, 0) + w \min(a, 0)",
    samples=[
        Sample(normal(3, 4, away_from=(0.0,)), normal(1)),
        Sample(normal(2, 3, 4, away_from=(0.0,)), normal(3)),
        Sample(normal(4, away_from=(0.0,)), normal()),
    ],
    faces="torch method functional",
)
def prelu(input, weight):
    """leaky_relu with learned slopes: weight (1), one for all, or weight (C), one per channel of input (N, C, ...).

    RuntimeError if the number of slopes fits neither.

    >>> F.prelu(torch.tensor([[-2.0, -2.0]]), torch.tensor([0.5, 0.1]))
    tensor([[-1. , -0.2]])
    """
    if math.prod(weight.shape) == 1:
        weight = reshape(weight, ())
    else:
        channels = input.shape[1] if len(input.shape) > 1 else 1
        if tuple(weight.shape) != (channels,):
            raise RuntimeError(
                f"prelu: Mismatch of parameter numbers and input channel size: weight must have shape (1,) or "
                f"({channels},) for an input of shape {tuple(input.shape)}, got {tuple(weight.shape)}"
            )
        weight = reshape(weight, (channels, *(1,) * (len(input.shape) - 2)))
    return where(input > 0, input, weight * input)
