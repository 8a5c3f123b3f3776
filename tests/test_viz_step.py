"""The recorded backward pass: what it says adds up to what backward() gives, and it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
from viz_graphs import random_graphs

import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.autograd import Function, detect_anomaly
from tinygrad_lab.viz.stepping.recording import record


@pytest.mark.parametrize("described", random_graphs(50), ids=str)
def test_contributions_add_up_to_what_backward_gives_bit_for_bit(described):
    graph = described.build()
    recording = record(graph.loss, graph.leaves)
    assert all(leaf.grad is None for leaf in graph.leaves.values())
    sums = {}
    for turn in recording.backward:
        for part in turn.contributions:
            before = sums.get(part.operand)
            assert (before is None) == (part.before is None)
            if before is not None:
                np.testing.assert_array_equal(part.before, before)
            sums[part.operand] = part.value if before is None else before + part.value
            np.testing.assert_array_equal(part.after, sums[part.operand])
            assert part.after.shape == part.operand.shape
    graph.loss.backward()  # the graph was not freed
    for leaf in graph.leaves.values():
        if leaf.grad is not None:
            step = recording.trace.step(leaf)
            assert recording.gradients[step].tobytes() == leaf.grad.array.tobytes()
            assert sums[step].tobytes() == leaf.grad.array.tobytes()


def test_every_gradient_is_complete_before_its_step_hands_it_on():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    recording = record((y + y * x).sum(), {"x": x})
    for turn in recording.backward:
        np.testing.assert_array_equal(turn.cotangent, recording.gradients[turn.step])
    last = [part for turn in recording.backward for part in turn.contributions if part.last]
    assert len(last) == len({part.operand for part in last}) == 4
    onto_x = [part for turn in recording.backward for part in turn.contributions if part.operand.name == "x"]
    assert [part.before is None for part in onto_x] == [True, False, False]
    assert onto_x[-1].last and onto_x[-1].after.tolist() == [5.0, 16.0]


def test_a_broadcast_operand_shows_the_copies_and_their_sum():
    bias = torch.zeros(3, requires_grad=True)
    recording = record((torch.ones(4, 3) + bias).sum(), {"bias": bias})
    (part,) = recording.backward[1].contributions
    assert part.copied and part.raw.shape == (4, 3) and part.value.tolist() == [4.0, 4.0, 4.0]


def test_operands_without_gradient_are_named():
    x = torch.ones(2, 3)
    w = torch.ones(3, 1, requires_grad=True)
    (turn,) = [turn for turn in record((x @ w).sum()).backward if turn.step.op.name == "matmul"]
    assert list(turn.skipped) == ["input"] and [part.argument for part in turn.contributions] == ["other"]


def test_nothing_of_the_program_changes():
    torch.manual_seed(0)
    x = torch.randn(5, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    loss = nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 1, 0, 1]))
    ran = []
    weight = model[0].weight
    weight.register_hook(lambda g: ran.append("leaf"))
    hidden = loss * 1.0
    hidden.register_hook(lambda g: ran.append("node"))
    hidden.retain_grad()
    mean, state = model[1].running_mean.tolist(), torch.get_rng_state().tolist()
    recording = record(hidden, dict(model.named_parameters()))
    assert ran == [] and hidden.grad is None and weight.grad is None
    assert model[1].running_mean.tolist() == mean and torch.get_rng_state().tolist() == state
    assert {step.name for step in recording.hooked} == {"0.weight", recording.loss.name}
    hidden.backward()
    assert sorted(ran) == ["leaf", "node"] and hidden.grad.item() == 1.0


def test_other_observers_do_not_see_the_pass():
    x = torch.tensor([0.0], requires_grad=True)
    with detect_anomaly():
        loss = (x * 1.0).sqrt().sum()
        recording = record(loss)  # anomaly mode would raise at the infinite derivative
        assert np.isinf(recording.gradients[recording.trace.step(x)]).all()
        with pytest.raises(RuntimeError, match="sqrt"):
            loss.backward()


def test_functions_with_one_and_several_outputs():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g2, g3):
            return 2 * g2 + 3 * g3

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    double, triple = Split.apply(x)
    loss = (double * triple).sum()
    recording = record(loss)
    loss.backward()
    np.testing.assert_array_equal(recording.gradients[recording.trace.step(x)], x.grad.numpy())


def test_misuse_says_what_to_do():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        record(x * 2)
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        record(torch.tensor(1.0))
    with pytest.raises(TypeError, match="must be a Tensor, not float"):
        record(1.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"before loss\.backward"):
        record(loss)
