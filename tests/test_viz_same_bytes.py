"""Every form is the same, byte for byte, on every hash seed, and with or without programs such as Graphviz's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

PROGRAM = """
import hashlib, json, sys
from test_viz_svg import build_mnist, linear_picture
from viz_pages import residual_steps
import tinygrad_lab as torch
from benchmarks.viz_graphs import graphs
from tinygrad_lab import nn, viz
from tinygrad_lab.nn import functional as F
from tinygrad_lab.ops.declare import registry
from tinygrad_lab.viz.algebra.formula import parse
from tinygrad_lab.viz.algebra.typeset import latex, mathml
from tinygrad_lab.viz.drawing.svg import draw
from tinygrad_lab.viz.layout import lay_out

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
x, y = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
loss = F.cross_entropy(model(x), y)
g, found = viz.graph(loss, model, names={"x": x, "y": y}), viz.formulas(loss, model)
forms = {"formulas": found.latex() + found.html(), "derivation": found.derivation().latex()}
loss.backward()
forms |= {name: getattr(g, name)() for name in ("svg", "html", "dot", "json", "text")}
pictures = linear_picture(), build_mnist()
forms["svg of pictures"] = "".join(draw(p, direction=way) for p in pictures for way in ("TB", "LR"))
forms["layouts"] = "".join(repr(lay_out(s.boxes, s.links, s.clusters)) for _, s in graphs())
forms["formulas of ops"] = "".join(latex(parse(o.formula)) + mathml(parse(o.formula)) for o in registry.values())
forms["step page"] = residual_steps().html()
print(json.dumps({name: [len(form), hashlib.sha256(form.encode()).hexdigest()] for name, form in forms.items()}))
"""


def forms(**environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))), **environment},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_same_bytes_for_every_hash_seed_and_without_programs():
    first = forms(PYTHONHASHSEED="0")
    assert all(length > 500 for length, _ in first.values()), first
    assert forms(PYTHONHASHSEED="77", PATH="") == first
