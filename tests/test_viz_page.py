"""The step page as a file, and the steps that it tells."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from viz_graphs import op_case_list, random_graphs
from viz_pages import HOSTILE, broken_steps, data_of, hostile_steps, long_steps, mnist_steps, residual_steps

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.viz.stepping import sentences
from tinygrad_lab.viz.stepping.numbers import shown
from tinygrad_lab.viz.stepping.recording import record
from tinygrad_lab.viz.stepping.slopes import checks

PAGE = Path(viz.__file__).parent / "stepping"

# The file


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.texts.append((tag, dict(attributes), ""))

        self.inside = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, text):
        if self.inside:
            tag, attributes, before = self.texts[-1]
            self.texts[-1] = (tag, attributes, before + text)


@pytest.mark.parametrize("make", [residual_steps, hostile_steps, broken_steps], ids=lambda make: make.__name__)
def test_the_policy_allows_one_script_one_style_and_no_network(make):
    page = Elements(make().html())
    (policy,) = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    running = [text for tag, attributes, text in page.texts if tag == "script" and "type" not in attributes]
    styles = [text for tag, _, text in page.texts if tag == "style"]
    for kind, (text,) in (("script-src", running), ("style-src", styles)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[kind] == f"'sha256-{digest}'"
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img", "b")
        assert not any(name.startswith("on") or name in ("style", "src") for name in attributes), (tag, attributes)
        assert all(
            not str(value).startswith(("http", "//", "javascript")) or name == "xmlns"
            for name, value in attributes.items()
        )


def test_hostile_names_stay_text():
    text = hostile_steps().html()
    assert len(re.findall("<script", text)) == 2 and len(re.findall("</script", text)) == 2
    data = text.split('id="data">')[1].split("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(data)
    names = {node["name"] for node in json.loads(data)["nodes"].values()}
    assert HOSTILE[0] in names and max(map(len, names)) < 60
    hostile_steps().text().encode()


def test_the_page_can_cover_values_and_gradients_of_cards():
    text = residual_steps().html()
    assert 'data-part="value"' in text and 'data-part="gradient"' in text


def test_pages_are_small():
    steps = mnist_steps()
    assert len(steps.html().encode()) < 250_000
    assert len(residual_steps().html().encode()) < 150_000


def test_saving(tmp_path):
    steps = residual_steps()
    assert steps.save(tmp_path / "a.html").read_text("utf-8") == steps.html()
    assert json.loads(steps.save(str(tmp_path / "a.json")).read_text("utf-8"))["title"] == "Residual MLP"
    assert steps.save(tmp_path / "a.TXT").read_text("utf-8") == steps.text() == repr(steps)
    with pytest.raises(ValueError, match=r"not '\.pdf'"):
        steps.save(tmp_path / "a.pdf")


def test_notebooks_get_a_frame_and_a_text():
    steps = hostile_steps()
    bundle = steps._repr_mimebundle_()
    assert bundle["text/plain"] == steps.text()
    ((tag, attributes),) = Elements(bundle["text/html"]).elements
    assert tag == "iframe" and attributes["sandbox"] == "allow-scripts" and attributes["srcdoc"] == steps.html()


def test_every_color_of_text_can_be_read():
    css = (PAGE / "page.css").read_text("utf-8")

    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    themes = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root[^{]*{([^}]*)}", css)
    ]
    assert len(themes) == 2
    grounds = ("page", "panel", "box", "wash", "bluewash", "code")
    pairs = [(text, ground) for text in ("text", "soft", "orange", "blue") for ground in grounds]
    pairs += [
        ("on", "blue"),
        ("on", "orange"),
        ("badtext", "bad"),
        ("good", "goodwash"),
        ("good", "box"),
        ("soft", "mask"),
    ]
    pairs += [("page", "text")]
    for theme in themes:
        for text, ground in pairs:
            light, dark = sorted((luminance(theme[text]), luminance(theme[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground, theme[text], theme[ground])


# The steps


def test_steps_of_a_residual_network():
    data = data_of(residual_steps())
    phases = [step["phase"] for step in data["steps"]]
    assert phases == ["forward"] * 8 + ["seed"] + ["backward"] * 8
    ops = [data["nodes"][step["node"]]["op"] for step in data["steps"]]
    assert ops[:8] == ops[:8:-1] == ["linear", "relu", "linear", "relu", "add", "linear", "log_softmax", "nll_loss"]
    meeting = [block for step in data["steps"] for block in step.get("blocks", []) if "before" in block]
    assert len(meeting) == 1 and meeting[0]["last"] and not meeting[0]["leaf"]
    nll = data["steps"][9]
    assert [each["name"] for each in nll["skipped"]] == ["y"] and "label" in nll["skipped"][0]["why"]
    assert all(node.get("code") for node in data["nodes"].values() if node["op"])
    assert all(
        check["agrees"] for step in data["steps"] for block in step.get("blocks", []) for check in block["checks"]
    )
    for step in data["steps"]:
        for block in step.get("blocks", []):
            assert block["math"] and block["parts"]


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_a_wrong_contribution_disagrees_however_small_it_is(scale):
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=True)
    recording = record((x.sin() * scale).mean())
    assert all(check.agrees for found in checks(recording, recording.backward).values() for check in found)
    for turn in recording.backward:
        for part in turn.contributions:
            part.value = part.value * 1.5
    assert not any(found[0].agrees for found in checks(recording, recording.backward).values())


@pytest.mark.parametrize("described", random_graphs(50)[::5], ids=str)
def test_questions_have_one_right_answer_and_checks_agree(described):
    graph = described.build()
    steps = viz.step(graph.loss, graph.leaves, max_steps=10_000)
    data = data_of(steps)
    asked = 0
    for step in data["steps"]:
        for block in step.get("blocks", []):
            for check in block.get("checks", []):
                assert check["agrees"], (step["title"], check)
        questions = step.get("questions", []) + [q for block in step.get("blocks", []) for q in block["questions"]]
        for question in questions:
            asked += 1
            texts = [option["text"] for option in question["options"]]
            assert 2 <= len(texts) <= 4 and len(set(texts)) == len(texts)
            assert sum(option["right"] for option in question["options"]) == 1
            assert all(option["why"] for option in question["options"] if not option["right"])
    assert asked > len(data["steps"]) / 2
    steps.html()


def test_wrong_answers_are_the_mistakes_of_this_step():
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    w = torch.tensor([[0.5, 2.0], [-1.0, 1.5]], requires_grad=True)
    b = torch.tensor([0.1, -0.2], requires_grad=True)
    data = data_of(viz.step((((x @ w) + b).relu() * x).sum(), {"x": x, "w": w, "b": b}))
    why = {}
    for step in data["steps"]:
        for block in step.get("blocks", []):
            found = [option["why"] for question in block["questions"] for option in question["options"]]
            why[data["nodes"][step["node"]]["op"], data["nodes"][block["node"]]["name"]] = " ".join(found)
    assert "its own value" in why["mul", "x"]
    assert any("gate is closed" in text for key, text in why.items() if key[0] == "relu")
    assert "all 2 must be summed" in why["add", "b"]
    assert "must be transposed" in why["matmul", "w"]
    assert "there before" in why["matmul", "x"]


def test_every_op_with_rules_has_its_sentences():
    for entry in op_case_list():
        op = entry.entry
        assert sentences.forward(op).endswith(".") and sentences.backward(op).endswith("."), op.name
        assert not sentences.backward(op).startswith("Chain rule:"), op.name


def test_right_answers_are_the_numbers_of_the_recording():
    asked = 0
    for described in random_graphs(50)[1::10]:
        graph = described.build()
        recording, data = record(graph.loss), data_of(viz.step(graph.loss, graph.leaves, max_steps=10_000))
        told = [step for step in data["steps"] if step["phase"] == "backward"]
        for turn, step in zip(recording.backward, told, strict=True):
            for part, block in zip(turn.contributions, step["blocks"], strict=True):
                name = re.escape(data["nodes"][block["node"]]["name"])
                for question in block["questions"]:
                    found = re.search(
                        rf"the gradient of {name}(?:\[([\d, ]+)\])?(, with this added)?\?$", question["ask"]
                    )
                    if found is None or not re.search("What (is|does)", question["ask"]):
                        continue
                    index = tuple(map(int, found[1].split(", "))) if found[1] else ()
                    (right,) = [option["text"] for option in question["options"] if option["right"]]
                    assert right == shown(part.after[index])
                    asked += 1
    assert asked > 100


def test_slices_in_one_equation_fit_each_other_and_say_what_sums_leave_out():
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 40), torch.randn(20, 64)
    data = data_of(viz.step(layer(x).square().sum(), layer, {"x": x}))

    def index(number):
        return data["arrays"][number]["slices"][0]["index"]

    forward, backward = data["steps"][0], data["steps"][-1]
    product = [part if isinstance(part, str) else index(part["array"]) for part in forward["parts"]]
    assert product == ["[0:16, 0:16]", "·", "[0:16, 0:16]", "+", "[0:16]"]
    assert forward["parts"][2]["more"] == 48 and index(forward["value"]) == "[0:16, 0:16]"
    weight, bias = backward["blocks"]
    assert weight["parts"][2]["more"] == bias["parts"][1]["more"] == 4
    assert bias["parts"][0] == "∑ rows" and index(bias["value"]) == "[0:16]"


def test_the_loss_is_called_as_in_the_gradients():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    steps = viz.step(x.square().mean(), names={"x": x})
    seed, mean = data_of(steps)["steps"][2:4]
    assert seed["title"] == "∂L/∂L = 1" and mean["title"] == "mean: from ∂L/∂L to its inputs"
    assert mean["blocks"][0]["math"].count("<mi>L</mi>") == 1  # ∂L/∂t1 = expand(1)/2, and no ∂L/∂L
    assert "loss" not in steps.text() and ">loss<" not in steps.html()


def test_empty_arrays_and_numbers():
    x, y = torch.zeros(0, 3, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    steps = viz.step((x * 2).sum() + y**3 - 1.5, {"x": x, "y": y})
    assert "∂L/∂y = 12" in steps.text() and "0×3" in steps.text()
    steps.html()


def test_the_first_number_that_is_not_finite_is_named_with_its_step():
    data = data_of(broken_steps())
    value, gradient = data["warnings"]
    assert data["nodes"][value["node"]]["op"] == "log" and data["steps"][value["step"]]["node"] == value["node"]
    assert "2 of 4 elements" in value["text"] and "log_softmax" in value["text"]
    assert data["steps"][gradient["step"]]["phase"] == "backward" and "log hands on" in gradient["text"]
    assert residual_steps()._data["warnings"] == []


def test_a_long_graph_is_told_from_both_ends():
    steps = long_steps()
    data = data_of(steps)
    assert len(steps) <= 200 and "max_steps=603" in data["remarks"][0]
    forward = [step["node"] for step in data["steps"] if step["phase"] == "forward"]
    assert data["steps"][0]["operands"][0]["node"] == "n0" and forward[-1] == data["loss"]
    assert data["nodes"]["rest"]["name"] == f"{301 - len(forward)} ops"
    shown_nodes = set(data["nodes"])
    assert {step["node"] for step in data["steps"]} <= shown_nodes
    assert len(steps.html()) < 700_000 and len(steps.text().splitlines()) > len(steps)


def test_an_earlier_gradient_is_mentioned():
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    data = data_of(viz.step((x * x).sum(), {"x": x}))
    assert "x has a .grad from an earlier backward()" in data["remarks"][0]
    assert x.grad.tolist() == [2.0, 2.0]


def test_functions_of_the_user_and_operands_without_names():
    class Split(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g2, g3):
            return 2 * g2 + 3 * g3

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    double, triple = Split.apply(x)
    steps = viz.step((double * triple).sum())
    assert "written by hand" in steps.to_json() and "Split" in steps.text()
    steps.html()


def test_misuse():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="at least 5"):
        viz.step(x.sum(), max_steps=4)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        viz.step(x * 2)
    with pytest.raises(TypeError, match="must be a Tensor"):
        viz.step([x])


def test_numbers_as_shown():
    assert [shown(v) for v in (0.5, -0.00012, 1234.5, float("inf"), float("nan"), 99999)] == [
        "0.5", "−1.2e−4", "1234", "∞", "NaN", "1e5"
    ]  # fmt: skip


def test_making_a_page_changes_nothing_of_the_program():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 2))
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    with viz.tracing():
        loss = nn.functional.cross_entropy(model(x), y)
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    state, numpy_state = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    viz.step(loss, model).html()
    assert {name: value.tolist() for name, value in model.state_dict().items()} == before
    assert torch.get_rng_state().tolist() == state and np.random.get_state()[1].tolist() == numpy_state
    assert all(parameter.grad is None for parameter in model.parameters())
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
