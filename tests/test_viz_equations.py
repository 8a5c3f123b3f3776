"""Every displayed equation is what was computed: formulas against rules, on all samples and on fifty random graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from viz_graphs import op_case_list, random_graphs
from viz_indices import check_indexed

import tinygrad_lab as torch
from tinygrad_lab.autograd import Function, Trace
from tinygrad_lab.nn import functional as F
from tinygrad_lab.verify.op_samples import flat
from tinygrad_lab.viz.algebra.equations import equation, forward_equation
from tinygrad_lab.viz.algebra.meanings import formula_of, meaning, rule_of
from tinygrad_lab.viz.stepping.recording import record

# Formulas that say which element a maximum came from: read by people only.
READ_ONLY = {"max_pool2d", "max_at", "place_max"}
# Index formulas: their equations show rule and result, and are checked here by brute force.
INDEXED = {
    *("getitem", "setitem", "add_at", "gather", "scatter_add", "add_elements", "put"),
    *("index_select", "index_add", "add_slices", "embedding", "diagonal", "on_diagonal"),
    *("recurrence", "cumsum", "cumprod", "prod", "contract"),
    *("conv2d", "conv2d_input", "conv2d_weight", "window_sum", "window_spread", "patches", "spread_patches"),
}


def check(step: Any, argument: str, cotangent: Any, values: dict[str, Any], result: Any = None) -> str:
    """Check one equation; how it was."""
    if argument:
        found = equation(step, argument, cotangent, values, result=result)
        tree = rule_of(step.op, argument, values)
    else:
        found, tree = forward_equation(step, values), formula_of(step.op, values)
    assert found.tree is not None and found.text and found.latex and found.mathml
    assert found.exact is not False, f"{step}: {found.text} is not what the rule gives"
    if found.exact:
        assert found.terms, f"{step}: {found.text} has no terms"
        combined = found.combined()
        goal = found.result if combined.shape == found.result.shape else found.contribution
        scale = np.max(np.abs(goal), initial=0)
        tolerance = 200 * np.finfo(goal.dtype).eps  # sums in another order: far below what is displayed
        np.testing.assert_allclose(combined, goal, rtol=tolerance, atol=tolerance * scale)
        return "terms"
    assert step.op.name in INDEXED | READ_ONLY, f"{step}: {found.text} cannot be evaluated"
    assert not found.terms
    if step.op.name in READ_ONLY:
        return "read only"
    meant = meaning(step.op, values, cotangent if argument else None, argument)
    return "indices" if check_indexed(step, argument, tree, meant, values, found.result) else "not covered"


@pytest.mark.parametrize("case", op_case_list(), ids=str)
def test_formulas_of_an_op_say_what_it_computes(case):
    call = case.call()
    outputs = [y for y in flat(call(call.tensors(call.operands))) if y.requires_grad]
    trace = Trace(outputs[0])
    step = trace.step(outputs[0])
    g = np.random.default_rng(0).standard_normal(step.shape).astype(step.dtype)
    values = trace.values_for_rules(step)
    check(step, "", None, values)
    for argument, _ in step.inputs:
        check(step, argument, g, values)


def test_every_op_with_indices_is_covered_by_some_sample():
    covered = set()
    for case in op_case_list():
        if case.entry.name in INDEXED:
            call = case.call()
            y = flat(call(call.tensors(call.operands)))[0]
            trace = Trace(y)
            step = trace.step(y)
            values = trace.values_for_rules(step)
            if any(check(step, argument, np.ones(y.shape), values) == "indices" for argument, _ in step.inputs):
                covered.add(case.entry.name)
    assert covered == INDEXED


@pytest.mark.parametrize("graph", random_graphs(50), ids=str)
def test_equations_equal_contributions_and_these_add_up_to_grad(graph):
    built = graph.build()
    recording = record(built.loss)
    sums: dict[Any, np.ndarray] = {}
    shown = 0
    for turn in recording.backward:
        values = recording.trace.values_for_rules(turn.step)
        for part in turn.contributions:
            check(turn.step, part.argument, turn.cotangent, values, part.raw)
            found = equation(turn.step, part.argument, turn.cotangent, values)
            assert found.result.tobytes() == np.asarray(part.raw).tobytes(), "the rule run again gives the same bits"
            assert found.contribution.tobytes() == part.value.tobytes()
            before = sums.get(part.operand)
            sums[part.operand] = found.contribution if before is None else before + found.contribution
            shown += 1
    assert shown >= len(recording.backward)
    built.loss.backward()
    for leaf in built.leaves.values():
        steps = [step for step in recording.trace.steps if step.source is leaf]
        if leaf.grad is None:
            assert not steps or steps[0] not in sums
        else:
            assert sums[steps[0]].tobytes() == leaf.grad.numpy().tobytes()


def first(loss: Any, name: str, **names: Any) -> tuple[Any, Any, Any]:
    trace = Trace(loss, names=names)
    step = next(step for step in trace.steps if step.op is not None and step.op.name == name)
    return step, trace.gradients()[step], trace.values_for_rules(step)


def told(found: Any) -> str:
    parts = [f"{term.operator} {term.text} {term.value.shape}".strip() for term in found.terms]
    return f"{found.text} | {'; '.join(parts)}"


def test_what_the_page_shows_of_common_rules():
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0], [0.5, 1.0]])
    W, b = torch.tensor([[1.0, 0.5], [2.0, -1.0], [0.0, 1.0]]).requires_grad_(), torch.zeros(3).requires_grad_()
    z = F.linear(x, W, b)
    h = z.relu()
    loss = F.cross_entropy(h, torch.tensor([0, 1, 2]))
    name = {"input": "x", "target": "labels"}
    assert told(equation(*picked(loss, "linear", "weight", W=W, b=b), names=name)) == (
        "∂L/∂W = (∂L/∂t2)ᵀ · x | (∂L/∂t2)ᵀ (3, 3); · x (3, 2)"
    )
    assert told(equation(*picked(loss, "linear", "bias", W=W, b=b))) == "∂L/∂b = ∑_rows ∂L/∂t2 | ∑_rows ∂L/∂t2 (3,)"
    assert told(equation(*picked(loss, "relu", "input", h=h, z=z))) == (
        "∂L/∂z = ∂L/∂h ⊙ [h > 0] | ∂L/∂h (3, 3); ⊙ [h > 0] (3, 3)"
    )
    assert told(equation(*picked(loss, "label_cross_entropy", "input", h=h, L=loss), names={"target": "labels"})) == (
        "∂L/∂h = 1/3 (softmax(h) − onehot(labels)) | 1/3 (); · (softmax(h) − onehot(labels)) (3, 3)"
    )


def picked(loss: Any, op: str, argument: str, **names: Any) -> tuple[Any, ...]:
    step, g, values = first(loss, op, **names)
    return step, argument, g, values


def test_broadcast_operands_say_that_copies_are_summed():
    b = torch.zeros(3).requires_grad_()
    found = equation(*picked((torch.ones(2, 3) + b).sum(), "add", "other", b=b))
    assert found.summed and found.result.shape == (2, 3) and found.contribution.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda a: F.leaky_relu(a, 0.2), "∂L/∂a = ∂L/∂y ⊙ ([a > 0] + 0.2 [a ≤ 0])"),
        (lambda a: torch.div(a, 2.0, rounding_mode="floor"), "∂L/∂a = 0"),
        (lambda a: a[0, 1:], "(∂L/∂a)[0, 1:] += ∂L/∂y"),
        (lambda a: torch.cat([a, a]), "∂L/∂a = part_1(∂L/∂y)"),
        (lambda a: torch.einsum("ij,jk->ik", torch.ones(4, 2), a), "(∂L/∂a)_jk = ∑_i (∂L/∂y)_ik operands[0]_ij"),
        (lambda a: a.sum(1), "∂L/∂a = expand(∂L/∂y)"),
        (lambda a: a**3, "∂L/∂a = ∂L/∂y ⊙ 3 a^2"),
    ],
)
def test_options_are_numbers_in_the_equation(build, expected):
    a = torch.rand(2, 3).requires_grad_()
    y = build(a)
    trace = Trace((y * y).sum(), names={"a": a, "y": y})
    step = trace.step(y)
    argument = step.inputs[-1][0]
    assert equation(step, argument, trace.gradients()[step], trace.values_for_rules(step)).text == expected


def test_a_wrong_formula_shows_no_terms(monkeypatch):
    from tinygrad_lab.ops.declare import registry

    a = torch.tensor([1.0, 2.0]).requires_grad_()
    monkeypatch.setitem(registry["exp"].vjp_formula, "input", r"\bar a = \bar y \odot a")
    found = equation(*picked(a.exp().sum(), "exp", "input"))
    assert found.exact is False and not found.terms


def test_ops_without_formulas_give_their_result():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = torch.ones(2).requires_grad_()
    trace = Trace(Double.apply(x).sum())
    step = next(step for step in trace.steps if step.op is not None and step.op.name == "Double")
    found = equation(step, "input0", np.ones(2), {}, result=np.full(2, 2.0))
    assert (found.tree, found.terms, found.text, found.exact) == (None, [], "", None)


def test_overflow_is_not_hidden():
    a = torch.tensor([1000.0, 0.0]).requires_grad_()
    y = a.exp() / a.exp().sum()  # inf / inf
    loss = y.sum()
    step, g, values = first(loss, "div")
    assert np.isnan(equation(step, "other", g, values).result).any()
