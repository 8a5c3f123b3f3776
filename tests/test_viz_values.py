"""Values and gradients in pictures: before and after backward, freed, traced, changed in place."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from viz_graphs import edges_of, named, random_graphs

import tinygrad_lab as torch
from tinygrad_lab import graph as core
from tinygrad_lab import viz
from tinygrad_lab.autograd import Trace
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.reading.graphs import Reading, read


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])


@pytest.mark.parametrize("described", random_graphs(50), ids=str)
def test_values_and_gradients_of_random_graphs_over_all_ops(described):
    class Keep(core.Observer):
        def __init__(self):
            self.values = {}

        def forward(self, op, arguments, output, node):
            if node is not None:
                self.values[node.number] = output.array.copy()

    keep = Keep()
    core.observers.append(keep)
    try:
        built = described.build()
    finally:
        core.observers.remove(keep)
    numbers = [node.number for node in core.walk([built.loss.node])]
    expected = {s.source.number: g for s, g in Trace(built.loss).gradients().items() if not s.is_leaf}
    reading = Reading(built.loss, names=built.leaves, watch=True)
    ops = [node for node in reading.picture.nodes if node.op]
    for number, node in zip(numbers, ops, strict=True):
        np.testing.assert_array_equal(node.value, keep.values[number], err_msg=node.op)
        assert node.gradient is None and node.no_gradient == "grad not computed"
    built.loss.backward()
    reading.refresh()
    for number, node in zip(numbers, ops, strict=True):
        if number in expected:
            np.testing.assert_array_equal(node.gradient, expected[number], err_msg=node.op)
        else:
            assert node.gradient is None
    for node in reading.picture.nodes:
        if node.name in built.leaves and built.leaves[node.name].grad is not None:
            np.testing.assert_array_equal(node.gradient, built.leaves[node.name].grad.numpy())


def small():
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    W = torch.tensor([[1.0], [-2.0]], requires_grad=True)
    return x, W, (x @ W).relu().square().sum()


def states(picture):
    return [(n.value is not None or n.no_value, n.gradient is not None or n.no_gradient) for n in picture.nodes if n.op]


def test_before_backward_gradients_are_not_computed_rather_than_zero():
    _, _, loss = small()
    assert states(read(loss)) == [(True, "grad not computed")] * 4


def test_after_backward_what_was_freed_says_so():
    _x, _W, loss = small()
    loss.backward()
    picture = read(loss)
    assert {n.name for n in picture.nodes if n.gradient is not None} == {"parameter", "parameter2"}
    for node in picture.nodes:
        if node.op and node.kind != "loss":
            assert node.value is None or node.no_value
            assert (node.gradient, node.no_gradient) == (None, "grad not kept")
    assert named(picture, "loss").value == 25.0


def test_after_backward_forgotten_operands_are_still_there(data):
    W = torch.randn(3, 2, requires_grad=True)
    loss = F.cross_entropy(data[0] @ W, data[1])
    loss.backward()
    picture = read(loss, names={"W": W})
    assert edges_of(picture, "t2") == [("input", "input", False), ("W", "other", True)]
    assert [(n.name, n.dtype, n.no_value) for n in picture.nodes if n.kind in ("input", "target")] == [
        ("input", "", "value freed"),
        ("target", "", "value freed"),
    ]


def test_tracing_keeps_values_gradients_and_lines_for_pictures_made_after_backward(data):
    W = torch.randn(3, 2, requires_grad=True)
    with viz.tracing():
        loss = F.cross_entropy(data[0] @ W, data[1])
    loss.backward()
    picture = read(loss, names={"W": W, "x": data[0], "y": data[1]})
    assert states(picture) == [(True, True), (True, True)]
    assert named(picture, "y").kind == "target"
    np.testing.assert_array_equal(named(picture, "x").value, data[0].numpy())
    source = named(picture, "t2").source
    assert source.file == __file__ and source.text == "loss = F.cross_entropy(data[0] @ W, data[1])"
    assert not core.observers


@pytest.mark.parametrize("traced", [False, True])
def test_constants_among_several_operands_after_backward(traced):
    W, x = torch.ones(2, requires_grad=True), torch.full((2,), 3.0)
    observed = viz.tracing()
    if traced:
        with observed:
            loss = torch.cat([x, W, x]).square().sum()
    else:
        loss = torch.cat([x, W, x]).square().sum()
    loss.backward()
    picture = read(loss, names={"W": W, "x": x})
    (cat,) = [node for node in picture.nodes if node.op == "cat"]
    found = edges_of(picture, cat.name)
    if traced:
        assert found == [("x", "tensors[0]", False), ("W", "tensors[1]", True), ("x", "tensors[2]", False)]
    else:
        assert [(argument, flows) for _, argument, flows in found] == [
            ("tensors[0]", False),
            ("tensors[1]", True),
            ("tensors[2]", False),
        ]


def test_retained_gradients_are_shown():
    x, W, _ = small()
    h = x @ W
    h.retain_grad()
    loss = h.square().sum()
    loss.backward()
    picture = read(loss, names={"h": h})
    np.testing.assert_array_equal(named(picture, "h").gradient, h.grad.numpy())


def test_gradients_stay_when_they_are_cleared_or_belong_to_another_graph():
    _x, W, loss = small()
    reading = Reading(loss, names={"W": W}, watch=True)
    loss.backward()
    reading.refresh()
    W.grad = None
    (W * 100).sum().backward()
    reading.refresh()
    np.testing.assert_array_equal(named(reading.picture, "W").gradient, [[10.0], [-20.0]])


def test_watching_changes_no_gradient_and_adds_up_over_passes():
    for watch in (False, True):
        _x, W, loss = small()
        reading = Reading(loss, names={"W": W}, watch=watch)
        loss.backward(retain_graph=True)
        loss.backward()
        np.testing.assert_array_equal(W.grad.numpy(), 2 * np.array([[10.0], [-20.0]]))
    reading.refresh()
    np.testing.assert_array_equal(named(reading.picture, "loss").gradient, 2.0)


def test_values_are_left_out_on_request():
    _, _, loss = small()
    reading = Reading(loss, values=False, watch=True)
    loss.backward()
    reading.refresh()
    assert all(node.value is None and node.gradient is None for node in reading.picture.nodes)


def test_a_picture_keeps_no_graph_alive_and_its_hooks_go_with_it():
    x = torch.ones(2, requires_grad=True)
    h = x * 2
    loss = h.sum()
    gc.collect()
    gc.disable()
    try:
        g = viz.graph(loss)
        assert len(h.node.watch.hooks) == 1
        dies = weakref.ref(loss.node)
        del loss
        assert dies() is None
        assert named(g.picture, "loss").value == 4.0
        gone = weakref.ref(g._reading)
        del g
        assert gone() is None and not h.node.watch.hooks
    finally:
        gc.enable()


def test_values_that_would_come_out_differently_are_unknown_not_wrong():
    W = torch.ones(2, requires_grad=True)
    loss = ((W + W) + 1).sum()
    with torch.no_grad():
        W += 5
    picture = read(loss)
    assert [(n.symbol, n.value is None) for n in picture.nodes if n.op] == [("+", True), ("+", True), ("sum", False)]
    assert picture.nodes[-1].value == 6.0


def test_a_picture_is_not_changed_by_what_happens_to_the_tensors_later():
    W = torch.ones(2, requires_grad=True)
    picture = read((W * 2).sum(), names={"W": W})
    with torch.no_grad():
        W.zero_()
    np.testing.assert_array_equal(named(picture, "W").value, [1.0, 1.0])
