"""The gradient tests, tested: mistakes of shape and sum, and a wrong second derivative, must be found.

test_verify_mutants.py spoils the rules of every op.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from op_cases import Case
from test_ops_gradients import check_gradient
from test_ops_gradients import test_second_derivative_against_differences as check_second_derivative

from tinygrad_lab.ops.declare import Op, registry
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.tensor import Tensor


def mutant(op: Op, argument: str, change) -> Op:
    """A copy of `op`, not registered, whose rule for `argument` returns change(what the rule returns)."""
    rule = op.rules[argument]
    names = ", ".join(inspect.signature(rule).parameters)

    def changed(contribution):
        return [change(part) for part in contribution] if op.sequence else change(contribution)

    wrong = eval(f"lambda {names}: changed(rule({names}))", {"changed": changed, "rule": rule})
    return Op(
        op.forward,
        {**op.rules, argument: wrong},
        vjp_formula=op.vjp_formula,
        arrays=" ".join(op.arrays),
        residuals=op.residuals,
        promotes=" ".join(op.promotes),
        floats=" ".join(op.floats),
        sequence=op.sequence,
        view=op.view,
        faces="",
        formula=op.formula,
        samples=op.samples,
        aliases="",
    )


def test_the_unchanged_copy_passes():
    op = registry["mul"]
    check_gradient(Case(mutant(op, "other", lambda part: part), op.samples[0], 0))


@pytest.mark.parametrize(
    ("name", "argument", "change"),
    [
        ("matmul", "input", lambda part: np.ascontiguousarray(part.T)),
        ("linear", "bias", lambda part: part / 5),  # mean over the 5 rows for the sum
        ("mean", "input", lambda part: part * 12),  # the 1/n forgotten
        ("sum", "input", lambda part: part * (np.arange(part.size).reshape(part.shape) > 0)),  # one element dropped
    ],
)
def test_mistakes_of_shape_and_sum_are_found(name, argument, change):
    op = registry[name]
    samples = {
        "matmul": Sample(normal(3, 3), normal(3, 3)),
        "linear": Sample(normal(5, 3), normal(4, 3), normal(4)),
        "mean": Sample(normal(3, 4)),
        "sum": Sample(normal(3, 4)),
    }
    check_gradient(Case(op, samples[name], 0))
    with pytest.raises(AssertionError, match="WRONG GRADIENT"):
        check_gradient(Case(mutant(op, argument, change), samples[name], 0))


def test_a_wrong_second_derivative_is_found():
    """A rule whose value is right on arrays, but which loses its history on Tensors."""
    op = registry["mul"]

    def cut(part):
        return part.detach() if isinstance(part, Tensor) else part

    wrong = Case(mutant(op, "input", cut), op.samples[0], 0)
    check_gradient(wrong)
    with pytest.raises(AssertionError, match="off by"):
        check_second_derivative(wrong)
