"""Questions about elements, answered in bools: comparisons, logic, bits, NaN and infinity.

What this file lets you do: ask, and write `x > 0`, `x == y`, `a & ~b`. Nothing here has a gradient, and nothing here
is asked by the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab.ops.arithmetic import operator
from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.samples import Sample, booleans, integers, normal
from tinygrad_lab.tensor import Tensor

__all__ = ["allclose", "eq", "equal", "ge", "gt", "isclose", "isfinite", "isinf", "isnan", "le", "lt", "ne"]

COMPARED = [
    Sample(normal(3, 4), normal(3, 4)),
    Sample(integers(3, 1, high=3), integers(4, high=3)),
    Sample(integers(2, 3, high=3), normal(3)),
    Sample(normal(2, 3), 0.5),
    Sample(normal(), normal()),
    Sample(normal(0, 3), normal(3)),
]
DECIDED = [
    Sample(booleans(3, 4), booleans(4)),
    Sample(integers(3, 1, high=2), normal(4)),
    Sample(booleans(), booleans()),
]
BITS = [
    Sample(booleans(3, 4), booleans(4)),
    Sample(integers(3, 1, high=8), integers(4, high=8)),
    Sample(integers(4, high=8), 3),
]
ASKED = [
    Sample(normal(3, 4)),
    Sample(np.array([1.0, np.nan, np.inf, -np.inf])),
    Sample(integers(3, high=4)),
    Sample(normal()),
]


@op(arrays="input other", formula=r"y = [a = b]", samples=COMPARED, promotes="input other")
def eq(input, other):
    """True where input == other, elementwise with broadcasting; NaN equals nothing. What `==` calls. Returns bool.

    >>> torch.tensor([1.0, 2.0]) == 2
    tensor([False,  True])
    """
    return np.equal(input, other)


@op(arrays="input other", formula=r"y = [a \ne b]", samples=COMPARED, promotes="input other", aliases="not_equal")
def ne(input, other):
    """True where input != other, elementwise with broadcasting. What `!=` calls. Returns bool.

    >>> torch.tensor([1.0, 2.0]) != 2
    tensor([ True, False])
    """
    return np.not_equal(input, other)


@op(arrays="input other", formula=r"y = [a < b]", samples=COMPARED, promotes="input other", aliases="less")
def lt(input, other):
    """True where input < other, elementwise with broadcasting. What `<` calls. Returns bool.

    >>> torch.tensor([1.0, 2.0]) < 2
    tensor([ True, False])
    """
    return np.less(input, other)


@op(arrays="input other", formula=r"y = [a \le b]", samples=COMPARED, promotes="input other", aliases="less_equal")
def le(input, other):
    """True where input <= other, elementwise with broadcasting. What `<=` calls. Returns bool.

    >>> torch.tensor([1.0, 3.0]) <= torch.tensor([[1.0], [2.0]])
    tensor([[ True, False],
            [ True, False]])
    """
    return np.less_equal(input, other)


@op(arrays="input other", formula=r"y = [a > b]", samples=COMPARED, promotes="input other", aliases="greater")
def gt(input, other):
    """True where input > other, elementwise with broadcasting. What `>` calls. Returns bool.

    >>> torch.tensor([1.0, 3.0]) > 2
    tensor([False,  True])
    """
    return np.greater(input, other)


@op(arrays="input other", formula=r"y = [a \ge b]", samples=COMPARED, promotes="input other", aliases="greater_equal")
def ge(input, other):
    """True where input >= other, elementwise with broadcasting. What `>=` calls. Returns bool.

    >>> torch.tensor([1.0, 2.0]) >= 2
    tensor([False,  True])
    """
    return np.greater_equal(input, other)


def _comparing(function: Any) -> Any:
    def compare(self: Tensor, other: Any) -> Any:
        # For anything that is no number, == and != ask about identity, as Python's default does: `x == None` is False.
        known = isinstance(other, (Tensor, np.ndarray, np.generic, float, int))
        return function(self, other) if known else NotImplemented

    return compare


for _function in (eq, ne, lt, le, gt, ge):
    setattr(Tensor, f"__{_function.__name__}__", _comparing(_function))


@op(arrays="input other", formula=r"y = a \wedge b", samples=DECIDED)
def logical_and(input, other):
    """True where both are not 0, elementwise with broadcasting. Returns bool.

    >>> torch.logical_and(torch.tensor([0.0, 2.0]), torch.tensor([1, 1]))
    tensor([False,  True])
    """
    return np.logical_and(input, other)


@op(arrays="input other", formula=r"y = a \vee b", samples=DECIDED)
def logical_or(input, other):
    """True where at least one is not 0, elementwise with broadcasting. Returns bool.

    >>> torch.logical_or(torch.tensor([0.0, 2.0]), torch.tensor([0, 1]))
    tensor([False,  True])
    """
    return np.logical_or(input, other)


@op(arrays="input other", formula=r"y = a \oplus b", samples=DECIDED)
def logical_xor(input, other):
    """True where just one is not 0, elementwise with broadcasting. Returns bool.

    >>> torch.logical_xor(torch.tensor([0.0, 2.0]), torch.tensor([1, 1]))
    tensor([ True, False])
    """
    return np.logical_xor(input, other)


@op(
    arrays="input",
    formula=r"y = \neg a",
    samples=[Sample(booleans(3, 4)), Sample(integers(3, high=2)), Sample(normal())],
)
def logical_not(input):
    """True where `input` is 0. Returns bool.

    >>> torch.logical_not(torch.tensor([0.0, 2.0]))
    tensor([ True, False])
    """
    return np.logical_not(input)


def _refuse_floats(name, *operands):
    for operand in operands:
        if np.asarray(operand).dtype.kind == "f":
            raise NotImplementedError(
                f"{name}: not implemented for floating operands: bits are those of integers and bools; compare first "
                f"(x > 0), or use torch.logical_{name.removeprefix('bitwise_')}"
            )


@op(arrays="input other", formula=r"y = a \mathbin{\&} b", samples=BITS, promotes="input other")
def bitwise_and(input, other):
    """The bits that both have, elementwise with broadcasting; for bools: and. What `&` calls. Same dtype.

    NotImplementedError for floating operands.

    >>> torch.tensor([5, 6]) & 3
    tensor([1, 2])
    """
    _refuse_floats("bitwise_and", input, other)
    return np.bitwise_and(input, other)


@op(arrays="input other", formula=r"y = a \mathbin{|} b", samples=BITS, promotes="input other")
def bitwise_or(input, other):
    """The bits that at least one has, elementwise with broadcasting; for bools: or. What `|` calls. Same dtype.

    NotImplementedError for floating operands.

    >>> torch.tensor([True, False]) | torch.tensor([False, False])
    tensor([ True, False])
    """
    _refuse_floats("bitwise_or", input, other)
    return np.bitwise_or(input, other)


@op(arrays="input other", formula=r"y = a \oplus b", samples=BITS, promotes="input other")
def bitwise_xor(input, other):
    """The bits that just one has, elementwise with broadcasting; for bools: not equal. What `^` calls. Same dtype.

    NotImplementedError for floating operands.

    >>> torch.tensor([5, 6]) ^ 3
    tensor([6, 5])
    """
    _refuse_floats("bitwise_xor", input, other)
    return np.bitwise_xor(input, other)


@op(
    arrays="input",
    formula=r"y = \mathord{\sim} a",
    samples=[Sample(booleans(3, 4)), Sample(integers(4, high=8)), Sample(booleans())],
)
def bitwise_not(input):
    """Every bit turned over; for bools: not. What `~` calls. Same dtype.

    NotImplementedError for floating operands.

    >>> ~torch.tensor([True, False])
    tensor([False,  True])
    """
    _refuse_floats("bitwise_not", input)
    return np.invert(input)


operator("and", bitwise_and)
operator("or", bitwise_or)
operator("xor", bitwise_xor)
Tensor.__invert__ = bitwise_not


@op(arrays="input", formula=r"y = [a \text{ is NaN}]", samples=ASKED)
def isnan(input):
    """True where `input` is NaN. Returns bool.

    >>> torch.isnan(torch.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return np.isnan(input)


@op(arrays="input", formula=r"y = [|a| = \infty]", samples=ASKED)
def isinf(input):
    """True where `input` is inf or -inf. Returns bool.

    >>> torch.isinf(torch.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return np.isinf(input)


@op(arrays="input", formula=r"y = [|a| < \infty]", samples=ASKED)
def isfinite(input):
    """True where `input` is neither NaN nor infinite. Returns bool.

    >>> torch.isfinite(torch.tensor([1.0, float("inf"), float("nan")]))
    tensor([ True, False, False])
    """
    return np.isfinite(input)


NEAR = [
    Sample(normal(3, 4), normal(3, 4)),
    Sample(normal(4), normal(4), rtol=0.5, atol=1.0),
    Sample(normal(3), normal()),
]


@op(arrays="input other", formula=r"y = [\,|a - b| \le \mathrm{atol} + \mathrm{rtol}\,|b|\,]", samples=NEAR)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True where |input - other| <= atol + rtol * |other|, or both are equal. Returns bool.

    RuntimeError for operands of different dtypes, as in PyTorch.

    >>> torch.isclose(torch.tensor([1.0, 2.0]), torch.tensor([1.000001, 2.1]))
    tensor([ True, False])
    """
    if input.dtype != other.dtype:
        raise RuntimeError(f"isclose: {input.dtype} did not match {other.dtype}: convert one operand with .to(dtype)")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: tolerances must not be negative, got rtol={rtol} and atol={atol}")
    return np.isclose(input, other, rtol, atol, equal_nan)


@composition(formula=r"y = \bigwedge [\,|a - b| \le \mathrm{atol} + \mathrm{rtol}\,|b|\,]", samples=NEAR)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether `isclose` holds for every element: a Python bool.

    >>> torch.allclose(torch.tensor([1.0, 2.0]), torch.tensor([1.000001, 2.0]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@composition(
    formula=r"y = \bigwedge [a = b]",
    samples=[Sample(integers(3, high=2), integers(3, high=2)), Sample(normal(3), normal(2))],
)
def equal(input, other):
    """Whether both have the same shape and equal elements (NaN is not equal to itself): a Python bool.

    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    return input.shape == other.shape and bool(eq(input, other).all())
