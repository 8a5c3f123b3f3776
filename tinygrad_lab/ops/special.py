"""The error function, logarithms that stay finite where their parts do not, and sums with a product or a quotient."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lab.ops.counting import is_floating_point
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.elementwise import abs_, exp, float_pair, sigmoid, sign
from tinygrad_lab.ops.samples import Sample, normal, uniform

__all__ = ["addcdiv", "addcmul", "erf", "logaddexp", "xlogy"]

# Chebyshev interpolants, highest power first, computed with 50 digits: erf(x) / x of x^2 in [0, 1], and erfc(x) e^(x^2)
# of s = 14.4 / (x + 3) - 2.6, which maps x in [1, 6] to [-1, 1]. Beyond 6 the factor e^(-x^2) makes any value do.
_NEAR = (
    5.957176147748911e-11, -1.1372848856791674e-09, 1.4659775274047436e-08, -1.6350312701054695e-07,
    1.6461000484121368e-06, -1.4925595266831182e-05, 0.0001205533111164271, -0.000854832698083379,
    0.0052239776248180145, -0.026866170645076792, 0.11283791670954879, -0.3761263890318375, 1.1283791670955126,
)  # fmt: skip
_FAR = (
    -6.697645564790815e-15, 6.043792147788813e-12, -6.02173256030324e-12, -2.5700407551346905e-10,
    2.637756022974126e-10, 1.133933573114706e-08, 4.5267318133461335e-09, -5.54127309801664e-07,
    -2.425557485042923e-06, 1.956358319778174e-05, 0.0003316029605792838, 0.002479314697086253,
    0.012713147695691918, 0.04969844540339414, 0.15436117429436919, 0.20798329133342885,
)  # fmt: skip
_BLOCK = 16384  # elements: two dozen passes over a block that stays in cache are twice as fast as over a large array


def _polynomial(coefficients, x):
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def _erf_into(x, out):
    np.multiply(x, _polynomial(_NEAR, np.minimum(x * x, 1)), out=out)
    far = ~(np.abs(x) <= 1)  # NaN too
    if far.any():
        a = np.abs(x[far])
        out[far] = np.copysign(1 - np.exp(-a * a) * _polynomial(_FAR, 14.4 / (a + 3) - 2.6), x[far])


@op(
    {"input": lambda g, input: g * (exp(-input * input) * (2 / math.sqrt(math.pi)))},
    formula=r"y = \mathrm{erf}(a)",
    vjp_formula={"input": r"\bar a = \bar y \odot \tfrac{2}{\sqrt\pi} e^{-a^2}"},
    samples=[Sample(normal(3, 4)), Sample(uniform(2, 3, low=-4, high=4)), Sample(normal()), Sample(normal(0, 3))],
    floats="input",
)
def erf(input):
    """The error function, to about 1.1 units in the last place in float64 and 1.5 in float32.

    >>> torch.erf(torch.tensor([0.0, 1.0, -1000.0]))
    tensor([ 0.    ,  0.8427, -1.    ])
    """
    x = input.reshape(-1).astype(np.float32 if input.dtype == np.float16 else input.dtype, copy=False)
    result = np.empty_like(x)
    for start in range(0, x.size, _BLOCK):
        _erf_into(x[start : start + _BLOCK], result[start : start + _BLOCK])
    return result.reshape(input.shape).astype(input.dtype, copy=False)


@op(
    {
        "input": lambda g, input, other: g * sigmoid(input - other),
        "other": lambda g, input, other: g * sigmoid(other - input),
    },
    formula=r"y = \ln(e^a + e^b)",
    vjp_formula={"input": r"\bar a = \bar y \odot \sigma(a - b)", "other": r"\bar b = \bar y \odot \sigma(b - a)"},
    samples=[Sample(normal(3, 4), normal(3, 4)), Sample(normal(3, 1), normal(4)), Sample(normal(), normal(2))],
    promotes="input other",
)
def logaddexp(input, other):
    """log(exp(input) + exp(other)) without overflow, elementwise with broadcasting.

    >>> torch.logaddexp(torch.tensor([0.0, 1000.0]), torch.tensor([0.0, 0.0]))
    tensor([6.9315e-01, 1.0000e+03])
    """
    return np.logaddexp(*float_pair(input, other))


@op(
    {
        "input": lambda g, input, other: g * xlogy(abs_(sign(input)), other),
        "other": lambda g, input, other: g * input / other,
    },
    formula=r"y = a \ln b",
    vjp_formula={"input": r"\bar a = \bar y \odot \ln b", "other": r"\bar b = \bar y \odot a / b"},
    samples=[
        Sample(normal(3, 4), uniform(3, 4, low=0.5, high=2)),
        Sample(normal(3, 1), uniform(4, low=0.5, high=2)),
        Sample(2.0, uniform(3, low=0.5, high=2)),
        Sample(normal(3), 0.5),
    ],
    promotes="input other",
)
def xlogy(input, other):
    """input * log(other), and 0 where `input` is 0 unless `other` is NaN, elementwise with broadcasting.

    >>> torch.xlogy(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0]))
    tensor([0.    , 0.6931])
    """
    input, other = float_pair(input, other)
    return input * np.log(np.where((input == 0) & ~np.isnan(other), 1, other))


@composition(
    formula=r"y = a + v\,b \odot c",
    samples=[
        Sample(normal(3, 4), normal(3, 4), normal(3, 4)),
        Sample(normal(3, 4), normal(3, 1), normal(4), value=0.5),
    ],
)
def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2, elementwise with broadcasting.

    >>> torch.addcmul(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0]), value=10)
    tensor([61.])
    """
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


@composition(
    formula=r"y = a + v\,b / c",
    samples=[
        Sample(normal(3, 4), normal(3, 4), uniform(3, 4, low=0.5, high=2)),
        Sample(normal(3, 4), normal(3, 1), uniform(4, low=0.5, high=2), value=0.5),
    ],
)
def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2, elementwise with broadcasting.

    RuntimeError if both are integers.

    >>> torch.addcdiv(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0]), value=10)
    tensor([16.])
    """
    if not (is_floating_point(tensor1) or is_floating_point(tensor2)):
        raise RuntimeError(
            "addcdiv: Integer division with addcdiv is not supported: convert tensor1 or tensor2 with .float()"
        )
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)
