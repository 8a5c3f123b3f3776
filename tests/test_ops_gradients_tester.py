"""The gradient check, checked: a slightly wrong rule of any op must be found."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from op_cases import Case, entries, value_and_gradients
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


def telling_case(op: Op, argument: str) -> Case | None:
    """A sample in which the gradient of `argument` is not 0."""
    for i, sample in enumerate(op.samples):
        found = value_and_gradients(Case(op, sample, i).call())[1]
        if any(path[0] == argument and np.abs(gradient).max(initial=0) > 1e-3 for path, gradient in found.items()):
            return Case(op, sample, i)
    return None


RULES = [(entry, argument) for entry in entries() if isinstance(entry, Op) for argument in entry.rules]
ZERO_GRADIENT = {"floor", "ceil", "round", "trunc", "sign"}  # their derivative is 0 wherever it exists


@pytest.mark.parametrize(("op", "argument"), RULES, ids=lambda value: getattr(value, "name", value))
def test_a_slightly_wrong_rule_is_found(op, argument):
    case = telling_case(op, argument)
    if case is None:
        assert op.name in ZERO_GRADIENT, "no sample has a gradient other than 0 for this argument: its rule is untested"
        return
    factor = 2.0 if op.name == "to_dtype" else 1.001  # differences of its float32 values are accurate to 1e-2 only
    wrong = [lambda part: part * factor]
    if op.name in ("mul", "matmul", "sum"):
        wrong.append(lambda part: -part)
    for change in wrong:
        with pytest.raises(AssertionError, match="off by"):
            check_gradient(Case(mutant(op, argument, change), case.sample, case.index))


def test_the_unchanged_copy_passes():
    op = registry["mul"]
    assert check_gradient(Case(mutant(op, "other", lambda part: part), op.samples[0], 0)) == 24


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
    with pytest.raises(AssertionError, match="off by"):
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
