"""Wrong arguments to viz: one clear error each, of the class that fits."""

from __future__ import annotations

import pytest

import tinygrad_lab as torch
from tinygrad_lab import nn, viz


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda loss: viz.graph(3), TypeError, "from a Tensor or a list of them, got int"),
        (lambda loss: viz.graph("loss"), TypeError, "got str"),
        (lambda loss: viz.graph(nn.Linear(2, 1)), TypeError, r"got Linear: write model\.graph\(x\)"),
        (lambda loss: viz.graph([loss, 3]), TypeError, "from Tensors, got int"),
        (lambda loss: viz.graph([]), ValueError, "an empty list"),
        (lambda loss: viz.graph(loss, 3), TypeError, "params must be a Module"),
        (lambda loss: viz.graph(loss, names=[loss]), TypeError, "names must be a dict"),
        (lambda loss: viz.graph(loss, depth="1"), TypeError, "depth must be an int, got str"),
        (lambda loss: viz.graph(loss, depth=-1), ValueError, "depth must be 0 or more"),
        (lambda loss: viz.graph(loss, max_cards=0), ValueError, "max_cards must be at least 1"),
        (lambda loss: viz.graph(loss, max_cards=1.5), TypeError, "max_cards must be an int, got float"),
        (lambda loss: viz.graph(loss, direction="XX"), ValueError, "direction must be"),
        (lambda loss: viz.graph(loss, engine="foo"), ValueError, "engine must be"),
        (lambda loss: viz.graph(loss, timeout=0), ValueError, "timeout must be positive"),
        (lambda loss: viz.graph(loss, timeout=float("nan")), ValueError, "timeout must be positive"),
        (lambda loss: viz.graph(loss, timeout="1"), TypeError, "timeout must be a number"),
        (lambda loss: viz.graph(loss).save("x.gif"), ValueError, "the suffix must be"),
        (lambda loss: viz.graph(loss).save("no such folder/x.svg"), FileNotFoundError, "folder"),
        (lambda loss: viz.step(loss).save("no such folder/x.html"), FileNotFoundError, "folder"),
        (lambda loss: viz.formulas(loss).save("no such folder/x.tex"), FileNotFoundError, "folder"),
        (lambda loss: viz.step(loss, max_steps="9"), TypeError, "max_steps must be an int"),
        (lambda loss: viz.formulas(3), TypeError, "the loss must be a Tensor, not int"),
        (lambda loss: viz.draw_dot(loss, detail="x"), ValueError, "detail must be"),
    ],
)
def test_misuse(call, error, text):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(error, match=text):
        call((x * x).sum())
