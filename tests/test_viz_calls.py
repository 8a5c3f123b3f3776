"""Which module calls made what, and what is told of modules that died or were not used."""

from __future__ import annotations

import gc

import pytest
from viz_graphs import named

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.reading.graphs import read


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc(x).relu()


def test_calls_are_nested_and_know_their_paths(data):
    model = nn.Sequential(nn.Linear(3, 4), Block(4), nn.Linear(4, 2))
    picture = read(F.cross_entropy(model(data[0]), data[1]))
    assert picture.title == "Sequential"
    assert [(c.id, c.path, c.type, c.parent, c.parameters) for c in picture.calls] == [
        ("c0", "Sequential", "Sequential", None, 46),
        ("c1", "0", "Linear", "c0", 16),
        ("c2", "1", "Block", "c0", 20),
        ("c3", "1.fc", "Linear", "c2", 20),
        ("c4", "2", "Linear", "c0", 10),
    ]
    assert [node.call for node in picture.nodes if node.op] == ["c1", "c3", "c2", "c2", "c4", None]


def test_a_module_called_twice_has_two_calls():
    layer = nn.Linear(2, 2)
    picture = read(layer(layer(torch.ones(1, 2))).sum())
    assert [(call.id, call.path) for call in picture.calls] == [("c0", "Linear"), ("c1", "Linear")]
    assert named(picture, "weight").uses == 2


def test_several_models_have_prefixes_and_a_criterion_none():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    picture = read(nn.MSELoss()(second(first(torch.ones(1, 2))), torch.ones(1, 2)))
    assert {n.name for n in picture.nodes if n.kind == "parameter"} == {
        "Linear.weight",
        "Linear.bias",
        "Linear_2.weight",
        "Linear_2.bias",
    }
    criterion = nn.MSELoss()
    picture = read(criterion(first(torch.ones(1, 2)), torch.ones(1, 2)))
    assert {n.name for n in picture.nodes if n.kind == "parameter"} == {"weight", "bias"}
    assert [call.type for call in picture.calls] == ["Linear", "MSELoss"]


def test_a_call_that_returns_what_was_made_before_its_last_op_holds_its_inner_calls():
    class Keeps(nn.Module):
        def forward(self, x):
            self.kept = x * 2
            return x * 3

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Keeps()

        def forward(self, x):
            self.inner(x)
            return self.inner.kept

    outer = Outer()
    x = torch.ones(2, requires_grad=True)
    kept = outer(x)
    picture = read((kept * 5).sum())
    ids = {call.id for call in picture.calls}
    assert all(node.call is None or node.call in ids for node in picture.nodes)


def test_modules_that_died_leave_frames_with_the_names_of_their_classes():
    x, last = torch.ones(1, 2), nn.Linear(2, 2)
    hidden = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), last)(nn.Linear(2, 2)(x))
    loss = nn.MSELoss()(hidden, x)
    gc.collect()
    picture = read(loss)
    paths = {call.id: call.path for call in picture.calls}
    named = [(call.path, call.type, paths.get(call.parent), call.parameters) for call in picture.calls]
    assert named == [
        ("Linear_2", "Linear", None, None),  # what died has no parameters that could be counted
        ("Sequential", "Sequential", None, None),
        ("Linear_3", "Linear", "Sequential", None),
        ("Tanh", "Tanh", "Sequential", None),
        ("Linear", "Linear", "Sequential", 6),
        ("MSELoss", "MSELoss", None, None),
    ]


def test_several_models_are_called_as_their_variables():
    G, D, z = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)), torch.ones(1, 2)
    picture = read(D(G(z)).sum(), names=locals())
    assert [node.name for node in picture.nodes if node.kind == "parameter"] == [
        *("G.weight", "G.bias"), *("D.0.weight", "D.0.bias"),
    ]  # fmt: skip
    assert [call.path for call in picture.calls] == ["G", "D", "D.0"]


def test_parameters_that_no_recorded_op_uses_are_told():
    x = torch.ones(1, 2)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    assert read(model(x).sum(), model).remarks == []
    assert read(model[1](model[0](x)).sum(), model).remarks == ["not used: 2.weight, 2.bias"]
    model[0].requires_grad_(False), model[2].requires_grad_(False)
    loss = model(x).sum()
    told = ["frozen, and not used by any op that was recorded: 0.weight, 0.bias"]  # 2.weight is used, and dashed
    assert read(loss, model).remarks == told
    loss.backward()
    assert read(loss, model).remarks == []  # the freed graph no longer knows whose constants it held
    many = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    assert read(x.requires_grad_().sum(), many).remarks == ["not used: 0.weight, 0.bias, 1.weight, 1.bias and 2 more"]


def test_traced_options_outlive_backward():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    with viz.tracing():
        loss = (torch.softmax(a + b, dim=0) + torch.add(a, b, alpha=3)).sum()
    before = read(loss)
    loss.backward()
    after = read(loss)
    assert [node.note for node in after.nodes] == [node.note for node in before.nodes]
    assert {"dim=0", "alpha=3"} <= {node.note for node in after.nodes}
    assert [edge.ordered for edge in after.edges] == [edge.ordered for edge in before.edges]
