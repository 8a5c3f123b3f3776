"""Pictures as SVG: what the drawing says, that it is valid and safe whatever names hold, the same bytes every time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz import palette
from tinygrad_lab.viz.drawing import metrics, svg
from tinygrad_lab.viz.picture import ModuleCall, Picture, PictureEdge, PictureNode, SourceLine
from tinygrad_lab.viz.reading.graphs import read

NS = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<b>x</b>",
    "\"'`&amp;&<>",
    "back\\slash\\n",
    "\u202egnp.exe\u2066abc",
    "עברית",
    "e\u0301\u0302\u0303" * 5,
    "👩‍👩‍👧‍👦" * 40,
    "重み" * 30,
    "x" * 10_000,
    "\x00\x07\x1b[31m\ud800\uffff",
    "two\nlines\r\n\ttab",
    "",
    "]]><!-- -->",
]


def node(id: str, kind: str = "op", symbol: str = "", name: str = "", **more: object) -> PictureNode:
    leaf = kind in ("parameter", "input", "target", "constant")
    given: dict = {
        "op": "" if leaf else symbol, "shape": (2, 2), "dtype": "float32", "requires_grad": kind != "input",
        "value": np.array([[1.0, -2.0], [0.0, 0.5]]),
    }  # fmt: skip
    return PictureNode(id=id, kind=kind, symbol=symbol, name=name or id, **(given | more))


def picture(nodes: list[PictureNode], edges: list[tuple], **more: object) -> Picture:
    """edges: (source, target, argument, ordered, flows)."""
    made = [
        PictureEdge(f"e{i}", source, target, argument, position, ordered, flows)
        for i, (source, target, argument, position, ordered, flows) in enumerate(edges)
    ]
    for one in nodes:
        one.uses = sum(edge.source == one.id for edge in made)
    return Picture(nodes=nodes, edges=made, outputs=[nodes[-1].id] if nodes else [], **more)  # type: ignore[arg-type]


def parsed(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    assert root.tag == f"{NS}svg"
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NS}text")]


def card(root: ElementTree.Element, id: str) -> list[ElementTree.Element]:
    return [g for g in root.iter(f"{NS}g") if "card" in g.get("class", "").split() and g.get("data-id") == id]


def edge(root: ElementTree.Element, id: str) -> ElementTree.Element:
    (found,) = [g for g in root.iter(f"{NS}g") if "edge" in g.get("class", "").split() and g.get("data-id") == id]
    return found


def linear_picture() -> Picture:
    nodes = [
        node("n0", "input", name="x"),
        node("n1", "parameter", name="fc.weight", gradient=np.ones((2, 2)), call="c1"),
        node("n2", symbol="@", name="t2", call="c1"),
        node("n3", "loss", symbol="sum", name="loss", shape=(), value=np.array(1.5)),
    ]
    edges = [
        ("n0", "n2", "input", 0, True, False),
        ("n1", "n2", "other", 1, True, True),
        ("n2", "n3", "input", 0, False, True),
    ]
    calls = [ModuleCall("c0", "net", "Net"), ModuleCall("c1", "net.fc", "Linear", "c0")]
    return picture(nodes, edges, calls=calls, title="a picture", remarks=["something was folded"])


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_a_picture_says_what_it_holds(direction):
    root = parsed(svg.draw(linear_picture(), direction=direction))
    said = texts(root)
    for text in ("a picture", "x", "fc.weight", "2×2", "@", "t2", "1.5", "loss", "something was folded", "grad"):
        assert text in said, text
    assert "net : Net" in said and "fc : Linear" in said  # the path in its parent
    for id in ("n0", "n1", "n2", "n3"):
        (group,) = card(root, id)
        assert id in group.get("class").split() and group.get("role") == "img" and group.get("aria-label")
        assert group.find(f"{NS}title").text
    for id in ("e0", "e1", "e2"):
        assert id in edge(root, id).get("class").split()
    assert root.find(f"{NS}desc").text.startswith("A graph of 2 steps, 1 parameter with 4 numbers, ")
    assert len(list(root.iter(f"{NS}title"))) >= 1 + 4 + 3 + 2


def test_operands_are_numbered_where_their_order_matters_and_arguments_have_no_names():
    root = parsed(svg.draw(linear_picture()))
    assert edge(root, "e0").find(f"{NS}text").text == "1" and edge(root, "e1").find(f"{NS}text").text == "2"
    assert edge(root, "e2").find(f"{NS}text") is None
    swapped = linear_picture()
    swapped.edges[0].position, swapped.edges[1].position = 1, 0
    assert svg.draw(swapped) != svg.draw(linear_picture())  # W @ x is not x @ W
    named = linear_picture()
    named.edges[1].argument = "weight"
    assert edge(parsed(svg.draw(named)), "e1").find(f"{NS}text") is None


def test_x_plus_x_has_two_edges_that_end_apart():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    root = parsed(svg.draw(read((x + x).sum(), names={"x": x})))
    heads = [edge(root, id).findall(f"{NS}path")[1].get("d") for id in ("e0", "e1")]
    ends = [float(head[1:].split(" ")[0]) for head in heads]
    assert abs(ends[0] - ends[1]) > 8
    for head in heads:  # heads are triangles, not points
        assert len(set(re.split("[ML]", head.rstrip("z")))) == 4


def test_an_edge_without_gradient_is_dashed():
    root = parsed(svg.draw(linear_picture()))
    line, head = edge(root, "e0").findall(f"{NS}path")
    assert line.get("stroke-dasharray") and not head.get("stroke-dasharray")
    assert "noflow" in edge(root, "e0").get("class") and "no gradient flows" in edge(root, "e0").find(f"{NS}title").text
    assert edge(root, "e1").find(f"{NS}path").get("stroke-dasharray") is None


def test_frozen_and_shared_parameters_say_so_and_frozen_ones_are_dashed():
    one = linear_picture()
    one.nodes[1].frozen, one.nodes[1].requires_grad, one.nodes[1].gradient = True, False, None
    one.nodes[1].shared, one.nodes[1].uses = True, 3
    root = parsed(svg.draw(one))
    (group,) = card(root, "n1")
    assert "frozen, shared, 3 uses" in [text.text for text in group.iter(f"{NS}text")]
    assert group.find(f"{NS}rect").get("stroke-dasharray")
    (other,) = card(root, "n0")
    assert other.find(f"{NS}rect").get("stroke-dasharray") is None


def test_a_gradient_that_is_not_there_is_said_so_and_is_no_zero():
    one = linear_picture()
    for each in one.nodes:
        each.gradient = None
    said = texts(parsed(svg.draw(one)))
    assert said.count("grad not") == 3 and said.count("computed") == 3 and "grad" not in said
    one.nodes[1].no_gradient = "needs no grad"
    assert "grad" not in [text for text in texts(parsed(svg.draw(one))) if text == "0"]


def test_what_all_intermediate_results_lack_is_said_once():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    loss = model(torch.ones(1, 2)).sum()
    loss.backward()
    said = texts(parsed(svg.draw(read(loss, params=model))))
    assert sum("Intermediate results" in text and "grad not kept" in text for text in said) == 1
    assert "grad not" not in said


def test_leaves_stand_beside_each_op_that_uses_them():
    """A weight used fifty times is fifty chips; data used twice is one card with two arrows."""
    weight = node("n0", "parameter", name="w", call=None)
    nodes, edges, last = [node("n1", "input", name="x"), weight], [], "n1"
    nodes.sort(key=lambda one: one.id)
    for number in range(50):
        id = f"n{number + 2}"
        nodes.append(node(id, symbol="@"))
        edges += [(last, id, "input", 0, True, True), ("n0", id, "other", 1, True, True)]
        last = id
    root = parsed(svg.draw(picture(nodes, edges)))
    assert len(card(root, "n0")) == 50
    assert "50 uses" in [text.text for text in card(root, "n0")[0].iter(f"{NS}text")]
    twice = [node("n0", "input", name="x"), node("n1", symbol="relu"), node("n2", symbol="+")]
    root = parsed(
        svg.draw(picture(twice, [("n0", "n1", "input", 0, False, False), ("n0", "n2", "input", 0, False, False),
                                 ("n1", "n2", "other", 1, False, True)]))
    )  # fmt: skip
    assert len(card(root, "n0")) == 1


def test_folds_look_stacked_and_say_how_many():
    fold = node("n1", "fold", symbol="RNNCell", name="cell", repeats=80, note="21 parameters")
    once = node("n2", "fold", symbol="Linear", name="fc", note="6 parameters")
    edges = [("n0", "n1", "input", 0, False, False), ("n1", "n2", "input", 0, False, True)]
    root = parsed(svg.draw(picture([node("n0", "input", name="x"), fold, once], edges)))
    stacked, single = card(root, "n1")[0], card(root, "n2")[0]
    assert "×80" in texts(stacked) and "21 parameters" in texts(stacked)
    assert len(stacked.findall(f"{NS}rect")) == 3 and len(single.findall(f"{NS}rect")) == 1


def test_the_first_value_that_is_not_finite_is_flagged():
    nodes = [node("n0", "input", name="x")]
    for number, value in enumerate([1.0, np.inf, np.nan]):
        nodes.append(node(f"n{number + 1}", symbol="exp", value=np.array([[value, 1.0]])))
    edges = [(f"n{number}", f"n{number + 1}", "input", 0, False, True) for number in range(3)]
    text = svg.draw(picture(nodes, edges))
    root = parsed(text)
    assert "⚠ first ∞" in texts(card(root, "n2")[0]) and "⚠ NaN" in texts(card(root, "n3")[0])
    assert not any("⚠" in one for one in texts(card(root, "n1")[0]))
    assert sum("The first value that is not finite" in one for one in texts(root)) == 1
    assert palette.HATCH in text
    assert card(root, "n2")[0].find(f"{NS}rect").get("stroke") == palette.LIGHT["bad-line"]


def test_the_first_gradient_that_is_not_finite_is_the_one_nearest_the_loss():
    nodes = [node("n0", "input"), *(node(f"n{i}", symbol="log", gradient=np.array([[np.nan]])) for i in (1, 2))]
    nodes.append(node("n3", "loss", symbol="sum", gradient=np.array([[1.0]])))
    edges = [(f"n{number}", f"n{number + 1}", "input", 0, False, True) for number in range(3)]
    root = parsed(svg.draw(picture(nodes, edges)))
    assert "⚠ first grad NaN" in texts(card(root, "n2")[0]) and "⚠ grad NaN" in texts(card(root, "n1")[0])


def test_a_gradient_spoilt_by_a_value_does_not_take_the_blame():
    nodes = [node("n0", "input"), node("n1", symbol="@", gradient=np.array([[np.nan]]))]
    nodes += [node("n2", symbol="exp", value=np.array([[np.inf]]), gradient=np.array([[np.nan]]))]
    edges = [("n0", "n1", "input", 0, False, True), ("n1", "n2", "input", 0, False, True)]
    root = parsed(svg.draw(picture(nodes, edges)))
    assert "⚠ first ∞" in texts(card(root, "n2")[0]) and "⚠ grad NaN" in texts(card(root, "n1")[0])
    assert card(root, "n1")[0].find(f"{NS}rect").get("stroke") == palette.LIGHT["op-line"]


def test_values_can_be_left_out():
    text = svg.draw(linear_picture(), values=False)
    assert (
        'class="map"' not in text and "1.5" not in texts(parsed(text)) and len(text) < len(svg.draw(linear_picture()))
    )


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_everywhere(name, direction):
    one = linear_picture()
    one.title, one.remarks = name, [name]
    one.calls = [ModuleCall("c0", name, name), ModuleCall("c1", f"{name}.fc", name, "c0")]
    for each in one.nodes:
        each.name, each.note, each.no_gradient = name, name, name or "x"
        each.source = SourceLine(name, 3, name)
        each.symbol = name if each.symbol else ""
    for each in one.edges:
        each.argument = name
    text = svg.draw(one, direction=direction)
    root = parsed(text)
    assert "<script" not in text and "<b>" not in text
    assert not set(text) & set("\x00\x07\x1b\u202e\u2066\ud800\uffff")
    text.encode()
    allowed = {"svg", "title", "desc", "style", "rect", "g", "path", "text"}
    assert {element.tag.removeprefix(NS) for element in root.iter()} == allowed
    if len(name) == 10_000:  # the whole name is there to be read
        assert name in (card(root, "n2")[0].find(f"{NS}title").text or "")
    fits(root)


def fits(root: ElementTree.Element) -> None:
    """No text of a card reaches past the card's border, by the metrics the drawing itself uses."""
    for group in root.iter(f"{NS}g"):
        if "card" not in group.get("class", "").split():
            continue
        wide = float(group.findall(f"{NS}rect")[-1].get("width"))
        lines: dict[str, list[tuple[float, float]]] = {}
        for text in group.iter(f"{NS}text"):
            size = metrics.width(text.text or "", float(text.get("font-size")))
            start = float(text.get("x")) - (size if text.get("text-anchor") == "end" else 0)
            assert start >= 4 and start + size <= wide - 4, text.text
            lines.setdefault(text.get("y"), []).append((start, start + size))
        for parts in lines.values():  # nor does one lie on another
            parts.sort()
            assert all(left[1] <= right[0] for left, right in pairwise(parts))


def build_mnist() -> Picture:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    x, y = torch.rand(64, 784), torch.tensor(np.arange(64) % 10)
    loss = F.cross_entropy(model(x), y)
    loss.backward(retain_graph=True)
    return read(loss, params=model, names={"x": x, "y": y})


def test_a_part_of_an_array_says_which_and_the_range_of_the_whole():
    layers, corners = np.zeros((2, 3, 3)), np.zeros((40, 40))
    layers[1], corners[0, 0], corners[-1, -1] = 5, -1, 100
    for array, said in ((layers, ["[0, :, :]", "0 .. 5"]), (corners, ["[:16, :16]", "−1 .. 100"])):
        given = {"shape": array.shape, "value": array, "gradient": np.ones_like(array)}
        words = texts(parsed(svg.draw(picture([node("n0", "input", **given)], []))))
        assert words[words.index("value") + 1 :][:2] == said and words[words.index("grad") + 1 :][1] == "all 1"
        assert any("part shown" in line for line in words)
    assert not any("part shown" in line for line in texts(parsed(svg.draw(linear_picture()))))


def test_an_index_is_on_its_card():
    x = torch.randn(6, 4, requires_grad=True)
    y = x * 1
    y[1:3] = 0
    assert {"[::2, 1]", "[1:3]"} <= set(texts(parsed(svg.draw(read(x[::2, 1].sum() + y.sum())))))


def test_the_mnist_picture_is_small_and_its_texts_fit():
    text = svg.draw(build_mnist())
    assert len(text.encode()) < 60_000
    fits(parsed(text))


def test_every_painted_thing_has_a_colour_of_its_own_and_follows_the_dark_theme():
    """Programs that know no style sheets draw it right; those that do switch by class."""
    text = svg.draw(build_mnist())
    root = parsed(text)
    for element in root.iter():
        for name in (element.get("class") or "").split():
            if name.startswith("f-"):
                assert element.get("fill") == palette.LIGHT[name[2:]]
            if name.startswith("s-"):
                assert element.get("stroke") == palette.LIGHT[name[2:]]
    style = root.find(f"{NS}style").text
    assert style.startswith("@media (prefers-color-scheme:dark){") and "var(" not in text
    for word in ("foreignObject", "href", "url(", "@import", "<use", "<script", "javascript:"):
        assert word not in text


def test_numbers_in_the_drawing_are_finite_and_short():
    text = svg.draw(build_mnist())
    for value in re.findall(r' (?:x|y|width|height|d|transform|viewBox)="([^"]*)"', text):
        assert "nan" not in value.lower() and "inf" not in value and not re.search(r"\d[eE]|\.\d{3}", value), value


def test_nothing_and_single_nodes():
    assert texts(parsed(svg.draw(Picture()))) == []
    assert len(card(parsed(svg.draw(picture([node("n0", "parameter", name="w")], []))), "n0")) == 1
    assert len(card(parsed(svg.draw(picture([node("n0", "constant", name="2", value=np.array(2))], []))), "n0")) == 1


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="direction must be 'TB'"):
        svg.draw(linear_picture(), direction="RL")


def test_empty_values_and_all_dtypes():
    values = [np.zeros((0, 3)), np.array(True), np.arange(6), np.array(["a"]), np.zeros((2, 3, 4, 5)), np.array(1 + 2j)]
    for value in values[:3] + values[4:5]:
        one = linear_picture()
        one.nodes[2].value = value
        parsed(svg.draw(one))


def test_wide_characters_and_marks_are_counted_in_columns():
    assert metrics.columns("重み") == 4 and metrics.columns("e\u0301") == 1
    assert metrics.columns(metrics.elide("重み" * 20, 11)) <= 11
    assert metrics.elide("abc", 3) == "abc" and metrics.elide("abcd", 3) == "a…d"
    long = metrics.elide("a" * 50_000 + "z" * 50_000, 20)
    assert metrics.columns(long) == 20 and long[0] == "a" and long[-1] == "z" and "…" in long
    cut = metrics.elide("x" * 10 + "e\u0301" * 10, 8)
    assert not cut.split("…")[1].startswith("\u0301")
