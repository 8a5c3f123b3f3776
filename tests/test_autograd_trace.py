"""Rules are data: a program outside the core lists ops, runs a rule alone, follows a graph, and replaces rules."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import nn
from tinygrad_lab.autograd import Function, Trace, grad
from tinygrad_lab.nn import functional as F
from tinygrad_lab.ops.declare import registry


@pytest.fixture
def network() -> tuple[nn.Sequential, lab.Tensor, lab.Tensor]:
    lab.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x, y = lab.randn(5, 3, dtype=lab.float64), lab.tensor([0, 1, 1, 0, 1])
    return model, x, y


def test_an_op_lists_what_it_is_made_of() -> None:
    exp = registry["exp"]
    assert exp.arguments == ("input",) and exp.differentiable == ("input",)
    assert exp.needs == {"input": ("y",)} and exp.vjp("input", g=3.0, y=2.0) == 6.0
    with pytest.raises(TypeError, match="also needs \\['y'\\]"):
        exp.vjp("input", g=1.0)
    with pytest.raises(KeyError, match="no rule for 'output'"):
        exp.vjp("output", g=1.0)


def test_a_trace_follows_the_graph_with_names_values_and_gradients(network) -> None:
    model, x, y = network
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    trace = Trace(loss, names={**dict(model.named_parameters()), "logits": logits})
    assert [step.name for step in trace.steps if step.is_leaf] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [step.op.name for step in trace.steps if not step.is_leaf] == [
        "linear",
        "relu",
        "linear",
        "label_cross_entropy",
    ]
    for step in trace.steps:
        assert all(operand.index < step.index for _, operand in step.inputs)
    np.testing.assert_array_equal(trace.value(trace.step(logits)), logits.detach().numpy())
    np.testing.assert_array_equal(trace.value(trace.step(loss)), loss.item())
    gradients = trace.gradients()
    assert all(parameter.grad is None for parameter in model.parameters())
    logits.retain_grad()
    loss.backward()
    for step in trace.steps:
        source = logits if step.name == "logits" else step.source
        if step.is_leaf or step.name == "logits":
            np.testing.assert_array_equal(gradients[step], source.grad.numpy())


def test_hooks_and_retained_gradients_are_left_alone(network) -> None:
    model, x, y = network
    logits = model(x)
    logits.retain_grad()
    seen: list[lab.Tensor] = []
    logits.register_hook(seen.append)
    Trace(F.cross_entropy(logits, y)).gradients()
    assert logits.grad is None and not seen


def test_values_that_a_backward_pass_freed_are_none_and_structure_stays(network) -> None:
    model, x, y = network
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    trace = Trace(loss)
    assert [step.op.name for step in trace.steps if not step.is_leaf] == [
        "linear",
        "relu",
        "linear",
        "label_cross_entropy",
    ]
    assert trace.value(trace.step(loss)) is None
    assert trace.value(trace.step(model[0].weight)) is model[0].weight.array


def test_one_pass_runs_with_another_rule_and_the_next_with_the_ops_own(network) -> None:
    model, x, y = network
    loss = F.cross_entropy(model(x), y)
    trace = Trace(loss, names=dict(model.named_parameters()))
    right = trace.gradients()
    forgotten = trace.gradients(rules={("relu", "input"): lambda g: g})
    first, last = (trace.step(model[i].weight) for i in (0, 2))
    assert not np.allclose(forgotten[first], right[first])
    np.testing.assert_array_equal(forgotten[last], right[last])
    np.testing.assert_array_equal(trace.gradients()[first], right[first])
    relu = next(step for step in trace.steps if step.op is registry["relu"])
    by_step = trace.gradients(rules={(relu, "input"): lambda g, input: g * (input > 0)})  # it may ask for anything
    np.testing.assert_array_equal(by_step[first], right[first])
    with pytest.raises(KeyError, match="tanh"):
        trace.gradients(rules={("tanh", "input"): lambda g: g})


def test_rules_of_sequences_and_wrapped_rules_are_replaced_too() -> None:
    a, b = lab.ones(2, requires_grad=True), lab.ones(3, requires_grad=True)
    trace = Trace((lab.cat([a, b]) * 2).sum(), names={"a": a, "b": b})
    rule = registry["cat"].rules["tensors"]

    @functools.wraps(rule)
    def negated(*args, **named):
        return [-part for part in rule(*args, **named)]

    found = trace.gradients(rules={("cat", "tensors"): negated})
    assert found[trace.step(a)].tolist() == [-2, -2] and found[trace.step(b)].tolist() == [-2, -2, -2]


def test_repeated_operands_constants_and_functions_are_steps_as_they_were_called() -> None:
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g2, g3):
            return 2 * g2 + 3 * g3

    x = lab.tensor([1.0, 2.0], requires_grad=True)
    double, triple = Twice.apply(x)
    loss = (x * x + double * lab.tensor([5.0, 7.0]) + triple).sum()
    trace = Trace(loss, names={"x": x})
    square = next(step for step in trace.steps if step.op is registry["mul"])
    assert [(argument, step.name) for argument, step in square.inputs] == [("input", "x"), ("other", "x")]
    constants = [step.operands["other"] for step in trace.steps if step.op is registry["mul"] and len(step.inputs) == 1]
    assert [constant.tolist() for constant in constants] == [[5.0, 7.0]]
    (expected,) = grad(loss, x, retain_graph=True)
    np.testing.assert_array_equal(trace.gradients()[trace.step(x)], expected.numpy())


def test_reading_values_changes_no_running_statistics() -> None:
    layer = nn.BatchNorm1d(3)
    loss = (layer(lab.randn(8, 3)) ** 2).sum()
    before = layer.running_mean.clone()
    trace = Trace(loss)
    assert all(trace.value(step) is not None for step in trace.steps)
    trace.gradients(rules={("standardize", "input"): lambda g: g})
    assert lab.equal(layer.running_mean, before)


def test_reading_every_value_computes_each_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = lab.ones(2, requires_grad=True)
    y = x
    for _ in range(50):
        y = y + 1
    trace = Trace(y.sum())
    computed: list[int] = []
    compute = Trace._compute
    monkeypatch.setattr(Trace, "_compute", lambda self, step: computed.append(step.index) or compute(self, step))
    values = [trace.value(step) for step in (*trace.steps, *reversed(trace.steps))]
    assert computed == list(range(len(trace.steps))) and values[50].tolist() == [51.0, 51.0]
