"""Arithmetic on two operands, with broadcasting and PyTorch's dtype promotion, and the operators that call it.

Each declaration is a forward on arrays, its vjp rules, its formulas and its samples; see `ops.declare.op`. No rule
mentions broadcasting: the backward pass sums a contribution to its operand's shape.
"""

from __future__ import annotations

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.samples import Sample, booleans, distinct, integers, normal, uniform
from tinygrad_lab.tensor import Tensor

__all__ = ["add", "div", "lerp", "maximum", "minimum", "mul", "neg", "remainder", "sub", "where"]

# Both broadcast directions, 0-d operands, a Python number, empty arrays: what every elementwise pair must handle.
PAIRS = [
    Sample(normal(3, 4), normal(3, 4)),
    Sample(normal(3, 1), normal(2, 1, 4)),
    Sample(normal(4), normal(3, 4)),
    Sample(normal(), normal(2, 3)),
    Sample(normal(2, 3), 1.5),
    Sample(normal(0, 3), normal(3)),
]
POSITIVE_SECOND = [
    Sample(normal(3, 4), uniform(3, 4, low=0.5, high=2)),
    Sample(normal(3, 1), uniform(2, 1, 4, low=-2, high=-0.5)),
    Sample(normal(), uniform(2, low=0.5, high=2)),
    Sample(normal(2, 3), 1.5),
    Sample(2.5, uniform(2, 3, low=0.5, high=2)),
]


def _times_alpha(name, input, other, alpha):
    if isinstance(alpha, float) and np.result_type(input, other).kind != "f":
        raise RuntimeError(
            f"{name}: for integer tensors alpha must be an integer too, got {alpha}: convert them with .float()"
        )
    return alpha * other


@op(
    {"input": lambda g: g, "other": lambda g, alpha: g if alpha == 1 else g * alpha},
    formula=r"y = a + \alpha\,b",
    vjp_formula={"input": r"\bar a = \bar y", "other": r"\bar b = \alpha\,\bar y"},
    samples=[*PAIRS, Sample(normal(2, 3), normal(3), alpha=0.5)],
    promotes="input other",
)
def add(input, other, *, alpha=1):
    """input + alpha * other, elementwise with broadcasting. Operands: tensors or numbers of any dtype, promoted to one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.add.html

    >>> torch.add(torch.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return np.add(input, other) if alpha == 1 else input + _times_alpha("add", input, other, alpha)


@op(
    {"input": lambda g: g, "other": lambda g, alpha: -g if alpha == 1 else g * -alpha},
    formula=r"y = a - \alpha\,b",
    vjp_formula={"input": r"\bar a = \bar y", "other": r"\bar b = -\alpha\,\bar y"},
    samples=[*PAIRS, Sample(normal(2, 3), normal(3), alpha=0.5)],
    promotes="input other",
    aliases="subtract",
)
def sub(input, other, *, alpha=1):
    """input - alpha * other, elementwise with broadcasting. TypeError-free for all dtypes but bool, which has no minus.

    >>> torch.sub(torch.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    if all(getattr(operand, "dtype", None) == np.bool_ for operand in (input, other)):
        raise RuntimeError("sub: subtraction with a bool tensor is not supported: use ^ (exclusive or) or ~ (not)")
    return np.subtract(input, other) if alpha == 1 else input - _times_alpha("sub", input, other, alpha)


@op(
    {"input": lambda g, other: g * other, "other": lambda g, input: g * input},
    formula=r"y = a \odot b",
    vjp_formula={"input": r"\bar a = \bar y \odot b", "other": r"\bar b = \bar y \odot a"},
    samples=PAIRS,
    promotes="input other",
    aliases="multiply",
)
def mul(input, other):
    """input * other, elementwise with broadcasting.

    >>> torch.mul(torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]]))
    tensor([[3., 6.],
            [4., 8.]])
    """
    return np.multiply(input, other)


def _floating(operand):
    return dtypes.to_floating(operand) if isinstance(operand, np.ndarray) else operand


@op(
    {
        "input": lambda g, other, rounding_mode: g / other if rounding_mode is None else g * 0,
        # Not by the output, which programs change in place: y = x / x.norm(); y *= 2.
        "other": lambda g, input, other, rounding_mode: (
            -g * (input / other) / other if rounding_mode is None else g * 0
        ),
    },
    formula=r"y = a / b",
    vjp_formula={"input": r"\bar a = \bar y / b", "other": r"\bar b = -\bar y \odot a / b^2"},
    samples=POSITIVE_SECOND,
    promotes="input other",
    aliases="divide true_divide",
)
def div(input, other, *, rounding_mode=None):
    """input / other, elementwise with broadcasting; integers are divided in the default floating dtype.

    rounding_mode "floor" or "trunc" rounds the quotient (and keeps integers integers); its gradient is then 0.

    >>> torch.div(torch.tensor([7, -7]), 2), torch.div(torch.tensor([7, -7]), 2, rounding_mode="trunc")
    (tensor([ 3.5, -3.5]), tensor([ 3, -3]))
    """
    if rounding_mode is None:
        return np.true_divide(_floating(input), _floating(other))
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        _check_divisible("div", input, other)
        if np.result_type(input, other).kind == "f":
            return np.trunc(np.true_divide(input, other))
        quotient = np.floor_divide(input, other)  # floats would lose the last digits of large integers
        return quotient + ((quotient < 0) & (quotient * other != input))
    raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")


def _check_divisible(name, input, other):
    """Refuse integers divided by 0, of which NumPy makes 0, and bools, of which it makes int8."""
    kind = np.result_type(input, other).kind
    if kind == "b":
        raise NotImplementedError(f"{name}: not implemented for bool: convert with .int()")
    if kind != "f" and not np.all(other):
        raise RuntimeError(f"{name}: ZeroDivisionError: integers are divided by 0; with .float() they give inf or NaN")


@op(
    {"input": lambda g: g, "other": lambda g, input, other: -g * floor_divide(input, other)},
    formula=r"y = a - b\lfloor a / b\rfloor",
    vjp_formula={"input": r"\bar a = \bar y", "other": r"\bar b = -\bar y \odot \lfloor a / b\rfloor"},
    samples=[
        Sample(uniform(3, 4, low=1.5, high=2.0), 0.7),
        Sample(uniform(3, 4, low=2.2, high=2.6), uniform(4, low=1.0, high=1.05)),
        Sample(integers(4, high=9), 4),
    ],
    promotes="input other",
)
def remainder(input, other):
    """Python's % elementwise: the result has the sign of `other`.

    >>> torch.remainder(torch.tensor([-3.0, 3.0]), 2)
    tensor([1., 1.])
    """
    _check_divisible("remainder", input, other)
    return np.remainder(input, other)


@op(
    formula=r"y = \lfloor a / b\rfloor",
    promotes="input other",
    arrays="input other",
    samples=[Sample(uniform(3, low=1.1, high=1.9), 0.7), Sample(integers(4, high=9), 4)],
)
def floor_divide(input, other):
    """floor(input / other), elementwise; not differentiable (its derivative is 0 wherever it exists).

    >>> torch.floor_divide(torch.tensor([-7, 7]), 2)
    tensor([-4,  3])
    """
    _check_divisible("floor_divide", input, other)
    return np.floor_divide(input, other)


@op(
    {"input": lambda g: -g},
    formula=r"y = -a",
    vjp_formula={"input": r"\bar a = -\bar y"},
    samples=[Sample(normal(3, 4)), Sample(normal())],
    aliases="negative",
)
def neg(input):
    """-input.

    >>> torch.neg(torch.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return np.negative(input)


_BITS = {size: np.dtype(f"int{8 * size}") for size in (2, 4, 8)}


def kept(g, mask):
    """`g` where the mask is True, else 0. Not g * mask, which is NaN where g is infinite: relu(x).sqrt() at x < 0.

    On arrays by their bits, which takes NumPy a tenth of the time of `where`.
    """
    if type(g) is not np.ndarray or g.shape != mask.shape:
        return where(mask, g, 0.0)
    kind = _BITS[g.itemsize]
    bits = np.asarray(mask).astype(kind)
    np.negative(bits, bits)  # all ones where True
    bits &= g.view(kind)
    return bits.view(g.dtype)


def _halved(g, a, b):
    """The cotangent of max(a, b) or min(a, b), of which each gets half at a tie."""
    return g * (1 - (a == b) * np.float32(0.5))


@op(
    {
        "input": lambda g, input, other: kept(_halved(g, input, other), ~(input < other)),
        "other": lambda g, input, other: kept(_halved(g, input, other), ~(other < input)),
    },
    formula=r"y = \max(a, b)",
    vjp_formula={
        "input": r"\bar a = \bar y \odot ([a > b] + \tfrac12 [a = b])",
        "other": r"\bar b = \bar y \odot ([b > a] + \tfrac12 [a = b])",
    },
    samples=[Sample(normal(3, 4), normal(3, 4)), Sample(distinct(3, 1), distinct(4)), Sample(distinct(), distinct(2))],
    promotes="input other",
)
def maximum(input, other):
    """The larger of two tensors, elementwise; NaN if either is. At a tie each gets half of the gradient.

    >>> torch.maximum(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return np.maximum(input, other)


@op(
    {
        "input": lambda g, input, other: kept(_halved(g, input, other), ~(other < input)),
        "other": lambda g, input, other: kept(_halved(g, input, other), ~(input < other)),
    },
    formula=r"y = \min(a, b)",
    vjp_formula={
        "input": r"\bar a = \bar y \odot ([a < b] + \tfrac12 [a = b])",
        "other": r"\bar b = \bar y \odot ([b < a] + \tfrac12 [a = b])",
    },
    samples=[Sample(normal(3, 4), normal(3, 4)), Sample(distinct(3, 1), distinct(4)), Sample(distinct(), distinct(2))],
    promotes="input other",
)
def minimum(input, other):
    """The smaller of two tensors, elementwise; NaN if either is. At a tie each gets half of the gradient.

    >>> torch.minimum(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return np.minimum(input, other)


@op(
    {
        "input": lambda g, condition: kept(g, condition != 0),
        "other": lambda g, condition: kept(g, condition == 0),
    },
    formula=r"y = a \text{ if } c \text{ else } b",
    vjp_formula={"input": r"\bar a = \bar y \odot [c]", "other": r"\bar b = \bar y \odot [\neg c]"},
    samples=[
        Sample(booleans(3, 4), normal(3, 4), normal(3, 4)),
        Sample(booleans(4), normal(3, 1), normal()),
        Sample(booleans(3, 1), normal(4), 2.0),
    ],
    arrays="condition",
    promotes="input other",
)
def where(condition, input, other):
    """`input` where `condition` is True, `other` elsewhere, elementwise with broadcasting. condition: bool.

    >>> torch.where(torch.tensor([True, False]), torch.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    if condition.dtype.kind not in "bu":  # bytes are the masks of old programs, as in PyTorch
        raise RuntimeError(
            f"where: expected condition to be a boolean tensor, but got {condition.dtype} of shape {condition.shape}: "
            f"compare (x > 0) or convert it with .bool()"
        )
    return np.where(condition, input, other)


@op(
    {
        "input": lambda g, weight: g * (1 - weight),
        "end": lambda g, weight: g * weight,
        "weight": lambda g, input, end: g * (end - input),
    },
    formula=r"y = a + w\,(b - a)",
    vjp_formula={
        "input": r"\bar a = \bar y \odot (1 - w)",
        "end": r"\bar b = \bar y \odot w",
        "weight": r"\bar w = \bar y \odot (b - a)",
    },
    samples=[Sample(normal(3, 4), normal(4), 0.25), Sample(normal(3, 4), normal(3, 4), uniform(4, low=0, high=1))],
    promotes="input end weight",
)
def lerp(input, end, weight):
    """input + weight * (end - input), elementwise with broadcasting.

    >>> torch.lerp(torch.tensor([0.0, 10.0]), torch.tensor([10.0, 20.0]), 0.5)
    tensor([ 5., 15.])
    """
    return input + weight * (end - input)


# The operators. A reflected one is called as op(number or array, tensor).


def _reflected(function):
    def reflected(self, other):
        return NotImplemented if isinstance(other, (list, tuple, str)) else function(other, self)

    return reflected


def operator(symbol, function):
    """Make `function` the meaning of the Python operator `symbol` between tensors, numbers and arrays."""
    setattr(Tensor, f"__{symbol}__", function)
    setattr(Tensor, f"__r{symbol}__", _reflected(function))


operator("add", add)
operator("sub", sub)
operator("mul", mul)
operator("truediv", div)
operator("floordiv", floor_divide)
operator("mod", remainder)
Tensor.__neg__ = neg
Tensor.__abs__ = lambda self: self.abs()
Tensor.__pos__ = lambda self: self
