"""Graphs read into pictures: kinds, names, operands, module calls, values and gradients before and after backward."""

from __future__ import annotations

import numpy as np
import pytest
from viz_graphs import edges_of, named

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.autograd import Function
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.reading.graphs import Reading, read


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])


# Operands


def test_softmax_regression(data):
    x, y = data
    W, b = torch.randn(3, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
    z = x @ W + b
    loss = F.cross_entropy(z, y)
    picture = read(loss, params={"W": W, "b": b}, names={"x": x, "y": y, "z": z})
    assert [(n.name, n.kind, n.symbol, n.shape, n.dtype) for n in picture.nodes] == [
        ("x", "input", "", (5, 3), "float32"),
        ("W", "parameter", "", (3, 2), "float32"),
        ("t2", "op", "@", (5, 2), "float32"),
        ("b", "parameter", "", (2,), "float32"),
        ("z", "op", "+", (5, 2), "float32"),
        ("y", "target", "", (5,), "int64"),
        ("loss", "loss", "cross_entropy", (), "float32"),
    ]
    assert edges_of(picture, "t2") == [("x", "input", False), ("W", "other", True)]
    assert edges_of(picture, "loss") == [("z", "input", True), ("y", "target", False)]
    assert picture.outputs == [named(picture, "loss").id]
    assert [node.id for node in picture.nodes] == [f"n{i}" for i in range(7)]
    assert [edge.id for edge in picture.edges] == [f"e{i}" for i in range(6)]
    np.testing.assert_array_equal(named(picture, "z").value, z.detach().numpy())
    np.testing.assert_array_equal(named(picture, "x").value, x.numpy())


def test_repeated_operands_are_repeated_edges():
    x = torch.ones(2, requires_grad=True)
    picture = read((x + x).sum(), names={"x": x})
    assert edges_of(picture, "t1") == [("x", "input", True), ("x", "other", True)]
    assert named(picture, "x").uses == 2


def test_order_of_operands_is_kept_and_marked_where_it_matters():
    x, W = torch.randn(3, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    names = {"x": x, "W": W}
    one, other = read(x @ W, names=names), read(W @ x, names=names)
    assert [e[0] for e in edges_of(one, "t2")] == ["x", "W"]
    assert [e[0] for e in edges_of(other, "t2")] == ["W", "x"]
    for result, ordered in [(x @ W, True), (x - W, True), (x + W, False), (x * W, False), (x**W, True)]:
        assert {edge.ordered for edge in read(result).edges} == {ordered}
    assert {e.ordered for e in read(torch.add(x, W, alpha=2)).edges} == {True}
    assert {e.ordered for e in read(torch.cat([x, W])).edges} == {True}
    assert {e.ordered for e in read(x.relu()).edges} == {False}


def test_numbers_and_constant_tensors_are_leaves():
    x = torch.ones(3, requires_grad=True)
    picture = read(((x + 1) * torch.tensor(2.5) + torch.tensor([1.0, 2.0, 3.0])).sum(), names={"x": x})
    assert [(n.name, n.kind) for n in picture.nodes if not n.op] == [
        ("x", "parameter"),
        ("1", "constant"),
        ("2.5", "constant"),
        ("input", "input"),
    ]
    assert all(not edge.gradient_flows for edge in picture.edges if picture.node(edge.source).kind != "op") is False
    assert not any(edge.gradient_flows for edge in picture.edges if picture.node(edge.source).kind == "constant")


def test_the_same_data_used_twice_is_one_leaf(data):
    x, _ = data
    W, V = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    picture = read((x @ W + x @ V).sum(), names={"x": x})
    assert named(picture, "x").uses == 2
    other = x.clone()
    assert sum(n.kind == "input" for n in read((x @ W + other @ V).sum()).nodes) == 2


def test_detached_operands_are_dashed_edges_from_what_they_were():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * x
    picture = read((h.detach() * h + x.detach() * x).sum(), names={"x": x, "h": h})
    target = [node.id for node in picture.nodes if node.symbol == "*"]
    flows = [(picture.node(e.source).name, e.gradient_flows) for e in picture.edges if e.target in target[1:]]
    assert flows == [("h", False), ("h", True), ("x", False), ("x", True)]


def test_labels_by_index_and_positions():
    scores, y = torch.randn(4, 3, requires_grad=True), torch.tensor([2, 0, 1, 1])
    picture = read(-scores.log_softmax(1)[torch.arange(4), y].mean(), names={"y": y, "scores": scores})
    assert [(n.name, n.kind) for n in picture.nodes if not n.op] == [
        ("scores", "parameter"),
        ("arange(4)", "constant"),
        ("y", "target"),
    ]
    (log_softmax,) = [n for n in picture.nodes if n.op == "log_softmax"]
    assert log_softmax.note == "dim=1" and log_softmax.saved


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda w: F.mse_loss(w, torch.ones(4)), "target"),
        (lambda w: F.embedding(torch.tensor([0, 2, 1]), w.reshape(2, 2).repeat(2, 1)).sum(), "input"),
        (lambda w: torch.where(torch.tensor([True, False, True, False]), w, 0.0).sum(), "constant"),
        (lambda w: F.dropout(w.repeat(20), 0.5).sum(), "constant"),
        (lambda w: w.gather(0, torch.tensor([2, 1])).sum(), "target"),
        (lambda w: (w * torch.ones(4)).sum(), "input"),
    ],
    ids=["mse", "embedding", "mask", "dropout", "gather", "data"],
)
def test_kinds_of_data(make, kind):
    w = torch.randn(4, requires_grad=True)
    leaves = [n for n in read(make(w)).nodes if not n.op and n.kind != "parameter" and n.shape]
    assert [leaf.kind for leaf in leaves] == [kind]


# Parameters and names


def test_frozen_parameters_say_so_and_get_dashed_edges(data):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    for params in (model, None):
        picture = read(F.cross_entropy(model(data[0]), data[1]), params)
        bias = named(picture, "2.bias")
        assert (bias.kind, bias.frozen, bias.requires_grad, bias.no_gradient) == (
            "parameter",
            True,
            False,
            "needs no grad",
        )
        assert not next(e for e in picture.edges if e.source == bias.id).gradient_flows
        assert not named(picture, "2.weight").frozen


def test_shared_parameters_are_one_node_with_all_names():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(3, 3, bias=False)
            self.decoder = nn.Linear(3, 3, bias=False)
            self.decoder.weight = self.encoder.weight

        def forward(self, x):
            return self.decoder(self.encoder(x))

    model = Tied()
    picture = read(model(torch.ones(2, 3)).sum())
    (weight,) = [node for node in picture.nodes if node.kind == "parameter"]
    assert (weight.name, weight.shared, weight.note, weight.uses) == (
        "encoder.weight",
        True,
        "also decoder.weight",
        2,
    )


@pytest.mark.parametrize("form", ["dict", "list", "pairs", "iterator"])
def test_forms_of_params(form):
    W, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    params = {
        "dict": {"W": W, "b": b},
        "list": [W, b],
        "pairs": [("W", W), ("b", b)],
        "iterator": iter({"W": W, "b": b}.items()),
    }[form]
    expected = {"params[0]", "params[1]"} if form == "list" else {"W", "b"}
    assert {n.name for n in read((W * b).sum(), params).nodes if n.kind == "parameter"} == expected


def test_names_are_taken_from_locals_without_what_is_none_of_the_graph():
    x, W, unused, _hidden = torch.ones(1, 2), torch.ones(2, 2, requires_grad=True), torch.ones(3), 1
    h = x @ W
    loss = h.sum()
    picture = read(loss, names=locals())
    assert [node.name for node in picture.nodes] == ["x", "W", "h", "loss"]
    assert len(picture.nodes) == 4 and unused is not None


def test_a_models_names_win_over_the_users():
    model = nn.Linear(2, 1)
    assert {n.name for n in read(model(torch.ones(1, 2)), names={"p": model.weight}).nodes} >= {"weight", "bias"}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (((3.0,),), TypeError, "float"),
        (([],), ValueError, "nothing to draw"),
        ((torch.ones(1), 3), TypeError, "params must be"),
        ((torch.ones(1), torch.ones(1)), TypeError, "params={'W': W}"),
        ((torch.ones(1), {"W": 3}), TypeError, "'W' is int"),
    ],
)
def test_misuse(arguments, error, said):
    with pytest.raises(error, match=said):
        read(*arguments)


def test_what_was_not_recorded_is_one_leaf_and_a_remark():
    picture = read(torch.ones(3))
    assert [node.kind for node in picture.nodes] == ["input"]
    assert "nothing was recorded" in picture.remarks[0]
    leaf = torch.ones(3, requires_grad=True)
    picture = read(leaf)
    assert (picture.nodes[0].kind, picture.outputs, picture.remarks) == ("parameter", ["n0"], [])


def test_several_outputs():
    x = torch.ones(2, requires_grad=True)
    a, b = (x * 2).sum(), x * 3
    picture = read([a, b, a], names={"a": a, "b": b})
    assert [picture.node(id).name for id in picture.outputs] == ["a", "b"]
    assert [picture.node(id).kind for id in picture.outputs] == ["loss", "op"]


# Unusual nodes


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


class Both(Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor, x + factor

    @staticmethod
    def backward(ctx, g, h):
        return g * ctx.factor + h, None


def test_functions_of_ones_own():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = Square.apply(x)
    loss = (h * h).sum()
    reading = Reading(loss, names={"x": x, "h": h}, watch=True)
    assert named(reading.picture, "h").symbol == "Square"
    assert edges_of(reading.picture, "h") == [("x", "input0", True)]
    np.testing.assert_array_equal(named(reading.picture, "h").value, [1.0, 4.0])
    loss.backward()
    reading.refresh()
    np.testing.assert_array_equal(named(reading.picture, "h").gradient, [2.0, 8.0])
    # Its value is found also where nobody named it: the op that uses it saved it.
    assert all(node.value is not None for node in read((Square.apply(x) * Square.apply(x)).sum()).nodes if node.op)


def test_functions_with_several_outputs():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = Both.apply(x, 3.0)
    loss = (a * b).sum()
    reading = Reading(loss, names={"a": a, "b": b}, watch=True)
    assert [n.symbol for n in reading.picture.nodes if n.op] == ["Both", "output", "output", "*", "sum"]
    loss.backward()
    reading.refresh()
    np.testing.assert_array_equal(named(reading.picture, "a").gradient, b.detach().numpy())
    viz.graph(loss).svg()


def test_changes_in_place_and_views():
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    h = x * 2
    h.add_(1)
    h[0] = 7.0
    h.relu_()
    picture = read(h[1:].sum(), names={"x": x})
    expected = {"*": [2.0, -4.0, 6.0], "+": [3.0, -3.0, 7.0], "relu": [7.0, 0.0, 7.0], "[ ] =": [7.0, -3.0, 7.0]}
    for node in picture.nodes:
        if node.symbol in expected and node.value is not None:
            np.testing.assert_array_equal(node.value, expected[node.symbol], err_msg=node.symbol)
    assert all(node.value is not None for node in picture.nodes if node.symbol in ("*", "+", "relu"))


def test_second_derivatives():
    x = torch.tensor([2.0], requires_grad=True)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    picture = read(g.sum(), names={"x": x})
    assert picture.nodes[-1].value == 12.0


# Size


def test_a_diamond_of_thirty_stories_has_thirty_nodes():
    y = torch.ones(3, requires_grad=True)
    for _ in range(30):
        y = y + y
    picture = read(y.sum())
    assert len(picture.nodes) == 32 and len(picture.edges) == 61


def test_long_chains_need_no_recursion():
    y = torch.ones(2, requires_grad=True)
    for _ in range(1500):
        y = y * 1.0001
    assert len(read(y.sum()).nodes) == 3_002
