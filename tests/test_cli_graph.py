"""`tinygrad-lab graph` on users' files: tensors, functions, models, names, forms, and one line for each mistake."""

from __future__ import annotations

import json

import pytest

from tinygrad_lab.cli import main

pytest.importorskip("typer")

FILE = """
import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F

params = {"W": torch.ones(3, 2, requires_grad=True), "b": torch.zeros(2, requires_grad=True)}
x, y = torch.ones(4, 3), torch.tensor([0, 1, 1, 0])
z = x @ params["W"] + params["b"]
loss = F.cross_entropy(z, y)
loss.backward()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, features, scale=1.0):
        return self.fc(features) * scale


net = Net()
example_input = x
number = 3


def fresh():
    return F.cross_entropy(net(x), y)


def takes(a, b=1):
    return a


def two(a, b):
    return a


def fails():
    return x @ z.T


def wrong():
    return 3
"""


@pytest.fixture
def graph(tmp_path, capsys, monkeypatch):
    """Run the command on FILE; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homework.py").write_text(FILE)

    def call(*arguments):
        with pytest.raises(SystemExit) as exit:
            main(["graph", *arguments])
        out, err = capsys.readouterr()
        return exit.value.code, out, err

    return call


def test_a_tensor_with_the_names_of_the_file_also_after_its_backward(graph, tmp_path):
    assert graph("homework.py", "-o", "x.json") == (0, "graph of loss: x.json\n", "")
    nodes = json.loads((tmp_path / "x.json").read_text())["nodes"]
    assert [node["name"] for node in nodes] == ["x", "W", "t2", "b", "z", "y", "loss"]
    assert all(node["value"] is not None for node in nodes)
    assert all(node["gradient"] is not None for node in nodes if node["requires_grad"])
    assert nodes[2]["source"]["text"] == 'z = x @ params["W"] + params["b"]'


def test_a_function_and_a_model(graph, tmp_path):
    assert graph("homework.py:fresh", "-o", "x.txt", "--depth", "0")[0] == 0
    assert "Net = Net (~x)  # 8 parameters" in (tmp_path / "x.txt").read_text()
    assert graph("homework.py:net", "-o", "x.txt")[0] == 0
    text = (tmp_path / "x.txt").read_text()
    assert "linear(~features, fc.weight, fc.bias)" in text and "0.8" not in text.split("features: ")[0]


LOSS = """
import numpy as np
import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F

X, y = np.ones((4, 3)), [0, 1, 1, 0]
params = {"W": np.ones((3, 2)), "b": np.zeros(2)}


def loss(p):
    return F.cross_entropy(torch.tensor(X) @ p["W"] + p["b"], torch.tensor(y))
"""
PARAMS = 'params = {"W": np.ones((3, 2)), "b": np.zeros(2)}'
LISTED = LOSS.replace(PARAMS, "params = [np.ones((3, 2)), np.zeros(2)]")
SINGLE = LOSS.replace(PARAMS, "p = torch.ones(3, 2, dtype=torch.float64)")
MODEL = LOSS.replace(PARAMS, "params = nn.Linear(3, 2, dtype=torch.float64)")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (LOSS, ["W", "b"]),
        (LOSS.replace("params =", "make_params = lambda seed:"), ["W", "b"]),
        (LISTED.replace('"W"', "0").replace('"b"', "1"), ["p[0]", "p[1]"]),
        (SINGLE.replace('p["W"] + p["b"]', "p"), ["p"]),
        (MODEL.replace('torch.tensor(X) @ p["W"] + p["b"]', "p(torch.tensor(X))"), ["weight", "bias"]),
    ],
    ids=["dict", "made", "list", "one", "model"],
)
def test_a_loss_of_the_files_params_with_their_names(graph, tmp_path, text, names):
    (tmp_path / "homework.py").write_text(text)
    assert graph("homework.py:loss", "-o", "x.json") == (0, "graph of loss: x.json\n", "")
    nodes = json.loads((tmp_path / "x.json").read_text())["nodes"]
    assert [node["name"] for node in nodes if node["kind"] == "parameter"] == names
    assert main_checks(tmp_path) == 0


def main_checks(folder):
    """The exit code of gradcheck on the same file."""
    with pytest.raises(SystemExit) as exit:
        main(["gradcheck", str(folder / "homework.py:loss")])
    return exit.value.code


@pytest.mark.parametrize("suffix", ["svg", "html", "dot", "txt", "json"])
def test_forms_that_need_nothing(graph, tmp_path, suffix, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, out, _ = graph("homework.py", "-o", f"x.{suffix}", "--direction", "LR", "--no-values")
    assert code == 0 and out == f"graph of loss: x.{suffix}\n"
    assert (tmp_path / f"x.{suffix}").stat().st_size > 100


def test_the_default_file(graph, tmp_path):
    assert graph("homework.py")[0] == 0
    assert (tmp_path / "graph.svg").read_text().startswith("<")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.py"], 2, "there is no file nowhere.py"),
        (["homework.py:nothing"], 2, "has no 'nothing'; it has x, y, z, loss, net, example_input, fresh, takes"),
        (["homework.py:number"], 2, "number is of type int, not a Tensor"),
        (["homework.py:Net"], 2, "Net is the class Net, not a Tensor: write model = Net(...), and name model"),
        (["homework.py:takes"], 2, "takes is of type dict, not a Tensor"),
        (["homework.py:two"], 2, "two takes 2 arguments (a, b): let it take one, with all parameters in a dict"),
        (["homework.py:wrong"], 2, "wrong is of type int"),
        (["homework.py:fails"], 1, "line 40, in fails: RuntimeError: matmul"),
        (["homework.py", "-o", "x.jpg"], 2, "the suffix must be .svg"),
        (["homework.py", "--direction", "UP"], 2, "'UP'"),
        (["homework.py", "--depth", "-1"], 2, "depth"),
        (["homework.py", "-o", "no/x.svg"], 1, "the folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(graph, arguments, code, said):
    found, out, err = graph(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_a_model_without_an_input_and_a_broken_file(graph, tmp_path):
    (tmp_path / "homework.py").write_text(FILE.replace("example_input = x", ""))
    assert "define example_input" in graph("homework.py:net")[2]
    (tmp_path / "homework.py").write_text("import nothing_of_that_name\n")
    code, _, err = graph("homework.py")
    assert code == 2 and "line 1: ModuleNotFoundError" in err


def test_images_say_what_they_need(graph, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, _, err = graph("homework.py", "-o", "x.pdf")
    assert code == 1 and "apt install graphviz" in err and err.count("\n") == 1
