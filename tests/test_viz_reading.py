"""Graphs read into pictures: kinds, names, operands, module calls, values and gradients before and after backward."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from viz_graphs import random_graphs

import tinygrad_lab as torch
from tinygrad_lab import graph as core
from tinygrad_lab import nn, viz
from tinygrad_lab.autograd import Function, Trace
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.picture import Picture, PictureNode
from tinygrad_lab.viz.reading.graphs import Reading, read


def named(picture: Picture, name: str) -> PictureNode:
    (found,) = [node for node in picture.nodes if node.name == name]
    return found


def edges_of(picture: Picture, name: str) -> list[tuple[str, str, bool]]:
    """(operand, argument, whether a gradient flows) of the node `name`, in order."""
    target = named(picture, name).id
    return [(picture.node(e.source).name, e.argument, e.gradient_flows) for e in picture.edges if e.target == target]


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


# Module calls


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


# Values and gradients


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
