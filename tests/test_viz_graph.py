"""viz.graph: its forms, what they make of hostile names, the same bytes everywhere, and what works without Graphviz."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.drawing import export

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture
def loss(model):
    return F.cross_entropy(model(torch.ones(5, 3)), torch.tensor([0, 1, 1, 0, 1]))


def forms(g):
    return {"svg": g.svg(), "html": g.html(), "dot": g.dot(), "txt": g.text(), "json": g.json()}


def words_of(svg):
    return " ".join(text.strip() for text in ElementTree.fromstring(svg).itertext())


# Text, JSON, DOT


def test_text_reads_like_the_program(loss, model):
    g = viz.graph(loss, model)
    loss.backward()
    text = g.text()
    assert text.startswith("Sequential: 4 steps, 4 parameters with 26 numbers\n")
    for line in (
        r"^input: input +5x3 +all 1$",
        r"^target: target +5 +0 \.\. 1$",
        r"^0\.weight: parameter +4x3 .* grad -?\d",
        r"^Sequential \(26 parameters\)$",
        r"^  0: Linear \(16 parameters\)$",
        r"^    t3 = linear\(~input, 0\.weight, 0\.bias\) +5x4 .* grad -?\d",
        r"^    t4 = relu\(t3\)",
        r"^loss = cross_entropy\(t7, ~target\) +scalar +0\.\d+ +grad 1$",
        r"^~ no gradient flows",
    ):
        assert re.search(line, text, re.MULTILINE), line
    assert repr(g) == text


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda x, W: x @ W, "x @ W"),
        (lambda x, W: W @ x, "W @ x"),
        (lambda x, W: x + x, "x + x"),
        (lambda x, W: x * 2.5, "x * 2.5"),
        (lambda x, W: 1 - x, "1 - x"),
        (lambda x, W: -x, "-x"),
        (lambda x, W: x**2, "x ** 2"),
        (lambda x, W: x.softmax(1), "softmax(x, dim=1)"),
        (lambda x, W: x[0], "x[0]"),
        (lambda x, W: x[::2, None, 1:], "x[::2, None, 1:]"),
        (lambda x, W: x[torch.tensor([0, 2]), 1:], "x[~target, 1:]"),
        (lambda x, W: x[torch.tensor([0, 2]), torch.tensor([1, 2])], "x[~target, ~target2]"),
        (lambda x, W: x.detach() * W, "~x * W"),
        (lambda x, W: torch.cat([x, W, x]), "cat(x, W, x)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_expressions(make, line):
    x, W = torch.randn(3, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    assert f"= {line} " in viz.graph(make(x, W), names={"x": x, "W": W}).text()


def test_text_calls_out_what_is_not_finite():
    x = torch.tensor([0.0, 1000.0], requires_grad=True)
    text = viz.graph((x.exp() / x.exp().sum()).sum(), names={"x": x}).text()
    assert "1 inf!" in text and "1 NaN!" in text and "nan!" in text


def test_json_is_complete_and_valid(loss, model):
    found = json.loads(viz.graph(loss, model).json(), parse_constant=lambda text: pytest.fail(text))
    assert [n["id"] for n in found["nodes"]] == [f"n{i}" for i in range(10)]
    assert found["outputs"] == ["n9"] and len(found["calls"]) == 4 and len(found["edges"]) == 9
    assert np.shape(found["nodes"][0]["value"]["values"]) == (5, 3)
    x = torch.tensor([np.nan, np.inf, -np.inf, 1.0], requires_grad=True)
    values = json.loads(viz.graph(x * 1).json())["nodes"][0]["value"]["values"]
    assert values == ["NaN", "Infinity", "-Infinity", 1.0]
    big = json.loads(viz.graph(torch.ones(1000, requires_grad=True).sum()).json())["nodes"][0]["value"]
    assert big == {"shape": [1000], "min": 1.0, "max": 1.0, "mean": 1.0, "nan": 0, "inf": 0}


def test_dot_has_one_chip_per_use_clusters_per_call_and_tagged_operands(loss, model):
    text = viz.graph(loss, model, direction="LR").dot()
    assert "rankdir=LR" in text and "nslimit=2 nslimit1=2" in text
    assert text.count("subgraph cluster_") == 4
    assert 'n0_n3 -> n3 [style=dashed label=" 1"]' in text
    weight = torch.ones(3, requires_grad=True)
    y = weight
    for _ in range(5):
        y = y * weight
    assert viz.graph(y).dot().count("x 6 uses") == 5


@pytest.mark.parametrize("detail", ["cards", "bipartite"])
def test_draw_dot_gives_a_digraph(loss, model, detail):
    graphviz = pytest.importorskip("graphviz")
    made = viz.draw_dot(loss, params=model, detail=detail)
    assert isinstance(made, graphviz.Digraph)
    assert ("shape=circle" in made.source) == (detail == "bipartite")
    if shutil.which("dot"):
        assert made.pipe("svg").startswith(b"<?xml")


@needs_dot
@pytest.mark.parametrize("detail", ["cards", "bipartite"])
@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_graphviz_accepts_what_is_written(loss, model, detail, direction):
    text = viz.drawing.dot.to_dot(viz.graph(loss, model).picture, direction, detail=detail)
    assert b"warning" not in subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True).stderr.lower()


def test_what_a_folded_graph_holds_is_counted():
    y = x = torch.ones(2, requires_grad=True)
    for _ in range(200):
        y = y + 1
    drawing = viz.graph(y.sum(), [x])
    assert drawing.text().startswith("graph: 201 ops in 2 cards\n") and "of 201 ops in 2 cards" in drawing.svg()


# Names that are none


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<b>x</b>",
    "<!--",
    "]]>",
    "'\"`",
    "back\\slash\\N\\G\\l",
    "a\nb\r\tc",
    "&lt;&amp;&#65;",
    "{a|b}",
    "‮right to left‬",
    "x" * 10_000,
    "🙂" * 50,
    "\x00\x07\x1b[31mred",
    "\ud800 lone surrogate",
    "zero​width﻿",
    "subgraph",
    "%s %d {0}",
    "",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_harm_no_form(name, tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, name or "_", nn.Linear(2, 2))

        def forward(self, x):
            return getattr(self, name or "_")(x)

    if "\x00" not in name and "\ud800" not in name:  # which Python refuses
        Odd.__name__ = Odd.__qualname__ = name
    odd, x = Odd(), torch.ones(1, 2)
    loss = (odd(x) * 2).sum()
    g = viz.graph(loss, odd, names={name or "e": x, name + "2": loss})
    found = forms(g)
    found["svg"].encode(), found["html"].encode(), found["dot"].encode()
    root = ElementTree.fromstring(found["svg"])
    assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "b", "foreignObject")]
    assert not [k for e in root.iter() for k in e.attrib if k.lower().startswith("on")]
    width = float(root.get("width", "0").removesuffix("px"))
    assert 50 < width < 2000
    assert found["html"].count("<script") == 1 and "<b>" not in found["html"]
    nodes = json.loads(found["json"])["nodes"]
    assert any(node["name"] == name + "2" for node in nodes)
    for line in found["txt"].splitlines():
        assert line.isprintable() and len(line) < 400
    if shutil.which("dot"):
        done = subprocess.run(["dot", "-Tsvg"], input=found["dot"].encode(), capture_output=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, done.stderr.decode()
        assert b"<script" not in done.stdout and b"<b>" not in done.stdout
        bipartite = viz.drawing.dot.to_dot(g.picture, detail="bipartite")
        assert subprocess.run(["dot", "-Tsvg"], input=bipartite.encode(), capture_output=True).returncode == 0
    for suffix in ("svg", "html", "dot", "txt", "json"):
        assert g.save(tmp_path / f"x.{suffix}").stat().st_size


@needs_dot
def test_labels_read_as_they_were_written():
    x = torch.ones(2, requires_grad=True)
    names = ["a\\N", 'a"b', "&lt;", "<i>", "{x|y}"]
    for name in names:
        drawn = export.run_dot(viz.graph(x * 2, names={name: x}).dot(), "svg", 20).decode()
        texts = ["".join(e.itertext()) for e in ElementTree.fromstring(drawn).iter() if e.tag.endswith("}text")]
        assert any(text.split("\xa0")[0].split("  ")[0].strip() == name for text in texts), (name, texts)


# Without programs


def run(environment, program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


WITHOUT = """
import sys
sys.modules["graphviz"] = sys.modules["resvg_py"] = None
import tinygrad_lab as torch
from tinygrad_lab import nn, viz
model = nn.Linear(3, 2)
loss = model(torch.ones(4, 3)).sum()
g = viz.graph(loss, model)
for suffix in ("svg", "html", "dot", "txt", "json"):
    assert g.save("x." + suffix).stat().st_size > 100
assert g._repr_mimebundle_()["text/plain"]
for form in ("png", "pdf"):
    try:
        g.save("x." + form)
    except RuntimeError as error:
        print(error)
    else:
        raise SystemExit("wrote " + form)
dotted = viz.graph(loss, model, engine="dot")
assert "<svg" in dotted.svg() and "Graphviz" in dotted.svg()
try:
    viz.draw_dot(loss)
except ImportError as error:
    print(error)
import os
print(sorted(os.listdir()))
"""


def test_without_graphviz_everything_works_but_images_which_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    png, pdf, draw, files = run({"PATH": ""}, WITHOUT).decode().splitlines()
    for said, form in ((png, "PNG"), (pdf, "PDF")):
        assert said.startswith(f"writing {form} needs Graphviz's program `dot`")
        for hint in (
            "apt install graphviz",
            "brew install graphviz",
            "conda install",
            "choco install",
            "save('x.svg')",
        ):
            assert hint in said
    assert "resvg_py" in png and "resvg_py" not in pdf
    assert "pip install graphviz" in draw
    assert files == "['x.dot', 'x.html', 'x.json', 'x.svg', 'x.txt']"


def test_png_without_graphviz(loss, tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    monkeypatch.setenv("PATH", "")
    assert viz.graph(loss).save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert viz.graph(loss, engine="dot").save(tmp_path / "y.png").read_bytes().startswith(b"\x89PNG")


@needs_dot
def test_images_with_graphviz(loss, tmp_path, monkeypatch):
    assert viz.graph(loss).save(tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert viz.graph(loss).save(tmp_path / "x.PNG").read_bytes().startswith(b"\x89PNG")
    assert viz.graph(loss, engine="dot").svg().startswith("<svg")
    assert "builtin" not in viz.graph(loss, engine="dot").svg()


def slow_dot(folder: Path) -> None:
    """A program `dot` that never ends."""
    script = folder / "dot"
    script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    script.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_the_timeout_holds(loss, tmp_path, monkeypatch):
    slow_dot(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    start = time.monotonic()
    drawn = viz.graph(loss, engine="dot", timeout=0.3).svg()
    assert time.monotonic() - start < 20
    assert "Graphviz took over 0.3 s" in words_of(drawn)
    with pytest.raises(RuntimeError, match=r"did not finish in 0\.3 seconds.*depth="):
        viz.graph(loss, timeout=0.3).save(tmp_path / "x.pdf")
    assert not (tmp_path / "x.pdf").exists()


# Saving, options, displays


@pytest.mark.parametrize("name", ["x", "x.jpg", "x.svg.gz", ".svg"])
def test_an_unknown_suffix_names_those_that_are_known(loss, name, tmp_path):
    with pytest.raises(ValueError, match=r"\.svg, \.html, \.png, \.pdf, \.dot, \.txt, \.json"):
        viz.graph(loss).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_saving_is_all_or_nothing(loss, tmp_path, monkeypatch):
    path = tmp_path / "x.svg"
    assert viz.graph(loss).save(str(path)) == path
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        viz.graph(loss).save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x.svg"]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        viz.graph(loss).save(tmp_path / "no" / "x.svg")


def test_short_forms(model, tmp_path):
    x = torch.ones(5, 3)
    assert "0.weight" in model(x).sum().graph().text()
    g = model.graph(x, depth=1)
    assert [n.symbol for n in g.picture.nodes if n.kind == "fold"] == ["Linear", "Linear"]
    assert g.picture.nodes[0].name == "input"
    with pytest.raises(TypeError, match="returned no Tensor"):
        type("Silent", (nn.Module,), {"forward": lambda self: None})().graph()

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

        def forward(self, first, *, flip=False):
            return {"a": first * self.w, "b": (self.w.sum(), 3)}

    assert len(Two().graph(torch.ones(2), direction="LR").picture.outputs) == 2


def test_a_notebook_gets_the_drawing_and_the_text(loss):
    bundle = viz.graph(loss)._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/html", "text/plain"}
    assert "<svg" in bundle["text/html"] and "cross_entropy" in bundle["text/plain"]
    assert "cross_entropy(" in re.sub(r"<svg.*</svg>", "", bundle["text/html"], flags=re.DOTALL)


def test_values_can_be_left_out(loss):
    text = viz.graph(loss, values=False).text()
    assert "grad" not in text.replace("gradient", "") and ".." not in text


def test_the_drawing_follows_backward(loss):
    g = viz.graph(loss)
    before = g.svg()
    assert "grad not computed" in words_of(before)
    loss.backward()
    assert "computed" not in words_of(g.svg())


def test_a_large_graph_is_drawn_in_time_linear_in_its_size():
    y = torch.ones(2, requires_grad=True)
    for _ in range(5000):
        y = y * 1.0001
    g = viz.graph(y.sum())
    assert len(g.picture.nodes) < 20 and len(g.svg()) < 20_000
    assert len(viz.graph(y.sum(), max_cards=10**6).dot()) > 10**6
