"""Folding: depth, repeated calls, patterns, chains, caps; on random graphs nothing is lost and no cycle is made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.picture import Picture
from tinygrad_lab.viz.reading.folding import fold
from tinygrad_lab.viz.reading.graphs import read

CARDS = ("op", "loss", "fold")


def cards(picture: Picture) -> list[tuple[str, str]]:
    return [(node.symbol, node.note) for node in picture.nodes if node.kind in CARDS]


def check(whole: Picture, folded: Picture) -> None:
    """Whatever was folded: every op is in one card, edges go forward, and paths are those of the whole picture."""
    place = {node.id: i for i, node in enumerate(folded.nodes)}
    assert len(place) == len(folded.nodes)
    inside = [id for node in folded.nodes if node.kind in CARDS for id in node.contents or (node.id,)]
    assert sorted(inside) == sorted(node.id for node in whole.nodes if node.op)
    assert all(place[edge.source] < place[edge.target] for edge in folded.edges)
    assert [edge.id for edge in folded.edges] == [f"e{i}" for i in range(len(folded.edges))]
    assert set(folded.outputs) <= set(place)
    calls = {call.id for call in folded.calls}
    assert all(node.call is None or node.call in calls for node in folded.nodes)
    assert all(call.parent is None or call.parent in calls for call in folded.calls)
    stands = {member: node.id for node in folded.nodes for member in node.contents or (node.id,)}
    expected = {
        (stands[e.source], stands[e.target])
        for e in whole.edges
        if e.source in stands and stands[e.source] != stands[e.target]
    }
    assert {(edge.source, edge.target) for edge in folded.edges} == expected
    uses = {node.id: 0 for node in folded.nodes}
    for edge in folded.edges:
        uses[edge.source] += 1
    assert uses == {node.id: node.uses for node in folded.nodes}


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(self, x):
        return x + self.act(self.fc(x))


@pytest.fixture
def whole():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Residual(4), nn.Linear(4, 2))
    loss = F.cross_entropy(model(torch.randn(5, 3)), torch.tensor([0, 1, 1, 0, 1]))
    return read(loss)


def test_depths(whole):
    assert cards(fold(whole, 0)) == [("Sequential", "46 parameters"), ("cross_entropy", "")]
    assert cards(fold(whole, 1)) == [
        ("Linear", "16 parameters"),
        ("relu", ""),
        ("Residual", "20 parameters"),
        ("Linear", "10 parameters"),
        ("cross_entropy", ""),
    ]
    assert [symbol for symbol, _ in cards(fold(whole, 2))] == [
        *("linear", "relu", "Linear", "relu", "+", "linear", "cross_entropy")
    ]
    assert fold(whole, 3) is whole and fold(whole) is whole
    for depth in range(4):
        check(whole, fold(whole, depth))


def test_a_fold_has_the_output_and_the_name_of_its_call(whole):
    node = next(n for n in fold(whole, 1).nodes if n.symbol == "Residual")
    plus = next(n for n in whole.nodes if n.symbol == "+")
    assert (node.kind, node.name, node.shape, node.op, node.id) == ("fold", "2", (5, 4), "", "f1")
    np.testing.assert_array_equal(node.value, plus.value)
    assert len(node.contents) == 3 and plus.id in node.contents
    assert not [n for n in fold(whole, 0).nodes if n.kind == "parameter"]


def test_the_whole_picture_stays_as_it_is(whole):
    before = [(node.id, node.uses, node.call) for node in whole.nodes], [edge.id for edge in whole.edges]
    fold(whole, 0)
    assert before == ([(node.id, node.uses, node.call) for node in whole.nodes], [edge.id for edge in whole.edges])


def test_leaves_that_require_a_gradient_but_are_no_parameters_stay():
    x = torch.randn(2, 3, requires_grad=True)
    model = nn.Linear(3, 2)
    assert [n.name for n in fold(read(model(x).sum(), names={"x": x}), 0).nodes] == ["x", "Linear", "loss"]


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.input = nn.Linear(4, 4), nn.Linear(3, 4, bias=False)

    def forward(self, x, h):
        return (self.hidden(h) + self.input(x)).tanh()


def unrolled(steps):
    cell, h, xs = Cell(), torch.zeros(5, 4), torch.randn(steps, 5, 3)
    for t in range(steps):
        h = cell(xs[t], h)
    return read(h.sum())


def test_repeated_calls_are_rolled_up():
    whole = unrolled(80)
    folded = fold(whole)
    check(whole, folded)
    (rolled,) = [node for node in folded.nodes if node.kind == "fold"]
    assert (rolled.symbol, rolled.repeats, rolled.note, len(rolled.contents)) == ("Cell", 80, "32 parameters", 320)
    assert [n.name for n in folded.nodes if n.kind == "input"] == ["input", "80 inputs"]
    assert "80 module calls folded (depth=0)" in folded.remarks[0]
    assert [n.repeats for n in fold(unrolled(2), 0).nodes if n.kind == "fold"] == [1, 1]


def test_patterns_of_ops_without_modules_are_rolled_up():
    W, U = torch.randn(4, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    h, xs = torch.zeros(5, 4), torch.randn(80, 5, 3)
    for t in range(80):
        h = (h @ W + xs[t] @ U).tanh()
    whole = read(h.sum(), names={"W": W, "U": U})
    folded = fold(whole)
    check(whole, folded)
    (rolled,) = [node for node in folded.nodes if node.kind == "fold"]
    assert (rolled.symbol, rolled.repeats, rolled.note) == ("@, @, +, tanh", 80, "320 ops")
    assert {n.name for n in folded.nodes if n.kind == "parameter"} == {"W", "U"}


def test_long_chains_are_summarised_and_named_tensors_stay():
    x = torch.ones(3, requires_grad=True)
    y = x
    rng = np.random.default_rng(0)
    for i in range(300):
        y = [y.exp, y.sin, y.tanh, y.square][rng.integers(4)]()
        if i == 150:
            middle = y
    whole = read(y.sum(), names={"x": x, "middle": middle})
    folded = fold(whole, max_cards=10)
    check(whole, folded)
    assert sum(node.kind in CARDS for node in folded.nodes) <= 10
    assert "middle" in [node.name for node in folded.nodes]
    assert "max_cards=10" in folded.remarks[-1]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_cap_holds_also_when_everything_is_named(count):
    x = torch.ones(3, requires_grad=True)
    named, y = {"x": x}, x
    for i in range(50):
        y = named[f"y{i}"] = y.exp() if i % 3 else y.sin() * i
    whole = read(y.sum(), names=named)
    folded = fold(whole, max_cards=count)
    check(whole, folded)
    assert sum(node.kind in CARDS for node in folded.nodes) <= count


@pytest.mark.parametrize(("depth", "cards", "said"), [(-1, 5, "depth"), (0, 0, "max_cards")])
def test_misuse(depth, cards, said):
    with pytest.raises(ValueError, match=said):
        fold(Picture(), depth, cards)


class Wild(nn.Module):
    """Calls its children in a drawn order, on drawn earlier tensors; may return one that is not its newest."""

    def __init__(self, plan):
        super().__init__()
        self.steps = plan
        self.children_ = nn.ModuleList([Wild(part) for kind, part in plan if kind == "module"])
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        made, modules = [x], iter(self.children_)
        for kind, part in self.steps:
            if kind == "module":
                made.append(next(modules)(made[len(made) // 2]))
            elif kind == "scale":
                made.append(made[-1] * self.scale)
            else:
                made.append(made[part % len(made)] + made[-1])
        return made[-1] + made[len(made) // 2] if self.steps[0][0] == "add" else made[max(len(made) - 2, 0)] * 1.0


plans = st.recursive(
    st.lists(st.tuples(st.just("add"), st.integers(0, 5)) | st.tuples(st.just("scale"), st.just(0)), min_size=1),
    lambda inner: st.lists(
        st.tuples(st.just("module"), inner) | st.tuples(st.just("add"), st.integers(0, 5)), min_size=1, max_size=5
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(plan=plans, depth=st.none() | st.integers(0, 4), most=st.integers(1, 40), repeat=st.integers(1, 4))
def test_any_graph_folds_without_cycles_or_losses(plan, depth, most, repeat):
    model = Wild(plan)
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(repeat):
        y = model(y)
    whole = read(y.sum() + (x * 2).sum())
    folded = fold(whole, depth, most)
    check(whole, folded)
    assert sum(node.kind in CARDS for node in folded.nodes) <= most
