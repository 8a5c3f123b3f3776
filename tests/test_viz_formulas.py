"""The chain rule of a graph written out, and derived: every line is checked against autograd."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from viz_graphs import random_graphs
from viz_indices import evaluate_indexed

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.autograd import Function
from tinygrad_lab.nn import functional as F
from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.evaluate import evaluate


def mlp(*sizes, activation=nn.ReLU, bias=True):
    torch.manual_seed(0)
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b, bias=bias), activation()]
    return nn.Sequential(*layers[:-1]).double()


X, T = torch.rand(7, 4).double(), torch.tensor([0, 1, 2, 1, 0, 2, 2])


def by_linear(model):
    return F.cross_entropy(model(X), T)


def by_log_softmax(model):
    return F.nll_loss(F.log_softmax(model(X), dim=1), T)


def by_hand(_):
    W, b = torch.rand(4, 3).double().requires_grad_(), torch.rand(3).double().requires_grad_()
    return F.cross_entropy(X @ W + b, T)


def two_by_hand(_):
    V, W = torch.rand(4, 5).double().requires_grad_(), torch.rand(5, 3).double().requires_grad_()
    return F.cross_entropy(torch.tanh(X @ V) @ W, T)


def written_out(form):
    def loss(model):
        z, rows = model(X), torch.arange(len(T))
        e = (z - z.detach().max(dim=1, keepdim=True).values).exp()
        p = e / e.sum(dim=1, keepdim=True)
        return {
            "log of what is picked": lambda: -p[rows, T].log().mean(),
            "picked of the log": lambda: (-torch.log(p)[rows, T]).mean(),
            "softmax": lambda: -torch.softmax(z, 1)[rows, T].log().mean(),
            "log_softmax": lambda: -z.log_softmax(dim=1)[rows, T].mean(),
        }[form]()

    return loss


KNOWN = {
    **{
        form: (mlp(4, 3), written_out(form))
        for form in ("log of what is picked", "picked of the log", "softmax", "log_softmax")
    },
    "softmax regression": (mlp(4, 3), by_linear),
    "log_softmax and nll_loss": (mlp(4, 3), by_log_softmax),
    "x @ W + b": (None, by_hand),
    "tanh(x @ V) @ W": (None, two_by_hand),
    "no bias": (mlp(4, 3, bias=False), by_linear),
    "relu": (mlp(4, 5, 3), by_linear),
    "tanh, three layers": (mlp(4, 6, 5, 3, activation=nn.Tanh), by_linear),
    "sigmoid": (mlp(4, 5, 3, activation=nn.Sigmoid), by_log_softmax),
}


@pytest.mark.parametrize("name", KNOWN)
def test_every_line_of_a_derivation_is_true(name):
    model, loss = KNOWN[name]
    derived = viz.formulas(loss(model), params=model, names={"x": X, "t": T}).derivation()
    gradients = 0
    for line in derived.lines:
        assert line.expected is not None, str(line.tree)
        expected = np.asarray(line.expected)
        tree = line.source
        indexed = any(isinstance(part, f.Index) or (isinstance(part, f.Big) and part.below) for part in f.walk(tree))
        if indexed and "rows" not in str(tree):
            values = {symbol: value for symbol, value in line.values.items() if value is not None}
            left = tree.left.base if isinstance(tree.left, f.Index) else tree.left
            values = {symbol: value for symbol, value in values.items() if symbol != left}
            made = evaluate_indexed(tree, values, expected)
        else:
            rows = {"sum_rows": lambda x: x.sum(axis=0)}
            made = np.asarray(evaluate(tree.right, line.values, functions=rows)).reshape(expected.shape)
        np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-14, err_msg=repr(tree))
        gradients += isinstance(tree.left, f.Accent | f.Index)
    assert gradients >= 4


def test_the_gradients_of_a_derivation_are_those_of_backward():
    model = mlp(4, 5, 3)
    loss = by_linear(model)
    derived = viz.formulas(loss, params=model).derivation()
    loss.backward()
    expected = {line.expected.tobytes() for line in derived.lines if line.expected.ndim}
    for parameter in model.parameters():
        assert parameter.grad.numpy().tobytes() in expected


def test_the_names_and_shapes_of_the_graph():
    model = mlp(4, 5, 3)
    written = viz.formulas(by_linear(model), params=model, names={"x": X, "t": T}).derivation().text()
    for part in (
        "Z^(1) = x · 0.weightᵀ + 0.bias",
        "∂L/∂Z^(2) = 1/7 (P − onehot(t))",
        "∂L/∂2.weight = (δ^(2))ᵀ · H^(1)",
        "δ^(1) = (δ^(2) · 2.weight) ⊙ [Z^(1) > 0]",
        "(3×5)",
        "∂L/∂0.bias = ∑_rows δ^(1)",
    ):
        assert part in written, part


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: (torch.rand(3).requires_grad_() ** 2).sum(), "it ends in sum"),
        (lambda: F.cross_entropy(nn.Linear(4, 3).double()(X).exp(), T), "exp stands where a linear layer would"),
        (lambda: F.cross_entropy(nn.Linear(4, 3).double()(X), T, reduction="sum"), "another reduction"),
        (lambda: F.cross_entropy(nn.Linear(4, 3).double()(X), T, ignore_index=1), "ignored labels"),
        (lambda: F.cross_entropy(nn.Linear(4, 3)(torch.rand(4)), torch.tensor(1)), "no batch"),
        (lambda: F.cross_entropy(nn.Linear(6, 3).double()(nn.Linear(4, 6).double()(X).exp()), T), "exp stands between"),
        (lambda: -nn.Linear(4, 3).double()(X).log_softmax(1).mean(), "not in the mean of"),
        (lambda: -nn.Linear(4, 3).double()(X).softmax(1)[torch.arange(7), T].mean(), "logarithm .* is not taken"),
        (lambda: -nn.Linear(4, 3).double()(X).softmax(0).log()[torch.arange(7), T].mean(), "softmax is not over"),
        (lambda: -nn.Linear(4, 3).double()(X).softmax(1).log()[T, T].mean(), "not one label of each row"),
        (lambda: -nn.Linear(4, 3).double()(X).exp().log()[torch.arange(7), T].mean(), "is no softmax"),
        (lambda: F.nll_loss(nn.Linear(4, 3).double()(X), T), "does not come from log_softmax"),
    ],
)
def test_other_graphs_are_told_where_they_end(build, said):
    with pytest.raises(ValueError, match=said) as error:
        viz.formulas(build()).derivation()
    assert "derivations are known for" in str(error.value).lower()


@pytest.mark.parametrize("graph", random_graphs(50)[::5], ids=str)
def test_formulas_of_random_graphs(graph):
    built = graph.build()
    found = viz.formulas(built.loss, names=built.leaves, max_ops=1000)
    ops = sum(1 for _ in found.sections[0][1])
    assert ops == len([s for s in torch.autograd.Trace(built.loss).steps if s.op is not None])
    assert found.contributions and all(e.exact is not False for e in found.contributions)
    ElementTree.fromstring(found.mathml())
    assert found.latex().count("&=") + found.latex().count(r"&\mathrel{+}=") == len(found.lines)
    assert all(leaf.grad is None for leaf in built.leaves.values())
    built.loss.backward()  # nothing was freed


def test_gradients_that_meet_are_sums():
    a = torch.tensor([1.0, 2.0]).requires_grad_()
    b = a * a
    loss = (b + b.exp()).sum()
    written = viz.formulas(loss, names={"a": a, "b": b}).text()
    assert "∂L/∂a = ∂L/∂b ⊙ a + ∂L/∂b ⊙ a" in written
    assert "used 2 times" in written


def test_sums_over_copies_are_written():
    b = torch.zeros(3).requires_grad_()
    assert "∂L/∂b = ∑_copies ∂L/∂t" in viz.formulas((torch.ones(2, 3) + b).sum(), names={"b": b}).text()


def test_symbols_that_several_lines_define_carry_the_name_of_their_line():
    x, first, second = torch.rand(2, 4), nn.LayerNorm(4), nn.LayerNorm(4)
    found = viz.formulas(second(first(x)).square().sum(), names={"x": x, "first": first, "second": second})
    one, other = (line for line in found.text().splitlines() if " c_" in line)
    assert "a\u0302_t3 = s_t3 c_t3" in one and "c_t3 = x − mean(x)" in one
    assert "a\u0302_t6 = s_t6 c_t6" in other and "c_t6 = t3 − mean(t3)" in other
    assert "∂L/∂t3 = s_t6 (h − mean(h) − a\u0302_t6 ⊙ mean(h ⊙ a\u0302_t6)), h = " in found.text()
    assert "a\u0302 = s c" in viz.formulas(first(x).sum()).text()


def test_the_gradient_of_a_weight_sums_over_the_batch():
    layer, x = nn.Linear(4, 3), torch.rand(2, 5, 4)
    assert "∂L/∂weight = ∑_batch (∂L/∂t3)ᵀ · x" in viz.formulas(layer(x).square().sum(), layer, {"x": x}).text()
    assert "batch" not in viz.formulas(layer(x[0]).square().sum(), layer).text()


def test_long_graphs_leave_the_middle_out():
    x = torch.tensor(1.0).requires_grad_()
    y = x
    for _ in range(300):
        y = y * 1.01
    found = viz.formulas(y, names={"x": x}, max_ops=20)
    assert len(found.sections[0][1]) == 20 and "280 operations" in found.note and "max_ops=300" in found.text()


def test_a_leaf_has_no_chain_rule():
    with pytest.raises(RuntimeError, match="nothing was computed"):
        viz.formulas(torch.tensor(1.0).requires_grad_())


class Two(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g, h):
        return g * 2 + h * 3


def test_a_function_without_a_formula_is_named():
    x = torch.ones(2).requires_grad_()
    a, b = Two.apply(x)
    written = viz.formulas((a * b).sum(), names={"x": x, "a": a, "b": b}).text()
    assert "= Two(x)" in written and "∂L/∂x = vjp_Two(" in written
    assert "= a ⊙ b" in written and "∂L/∂a = ∂L/∂t4 ⊙ b" in written  # known without values


def test_large_float32_sums_still_show_their_terms():
    torch.manual_seed(0)
    model = nn.Linear(20, 3)
    loss = F.cross_entropy(model(torch.rand(20_000, 20)), torch.randint(0, 3, (20_000,)))
    assert all(found.exact and found.terms for found in viz.formulas(loss, params=model).contributions)


def test_numbers_stand_in_the_equations():
    x = torch.ones(2).requires_grad_()
    assert "∂L/∂x = ∂L/∂t2 ⊙ 2 x" in viz.formulas((x**2).sum(), names={"x": x}).text()


def test_after_backward_it_says_what_to_do():
    x = torch.ones(2).requires_grad_()
    loss = (x.exp() * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"before loss\.backward"):
        viz.formulas(loss)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)


def test_saved_forms(tmp_path):
    model = mlp(4, 3)
    loss = by_linear(model)
    hostile = "</td><script>alert(1)</script>"
    found = viz.formulas(loss, params=model, names={hostile: X, "t": T})
    page = found.save(tmp_path / "x.html").read_text(encoding="utf-8")
    parser = _Tags()
    parser.feed(page)
    assert "script" not in parser.tags and "math" in parser.tags
    assert "http" not in page.replace("http://www.w3.org/1998/Math/MathML", "").replace("http-equiv", "")
    assert found.save(tmp_path / "x.txt").read_text(encoding="utf-8") == found.text() + "\n"
    tex = found.save(str(tmp_path / "x.tex")).read_text(encoding="utf-8")
    assert tex.startswith("%") and r"\begin{align*}" in tex
    with pytest.raises(ValueError, match=r"x\.pdf"):
        found.save(tmp_path / "x.pdf")


def test_notebook_display():
    x = torch.ones(2).requires_grad_()
    found = viz.formulas((x * x).sum(), names={"x": x})
    bundle = found._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/latex"} and bundle["text/plain"] == str(found) == repr(found)
    assert bundle["text/latex"].startswith(r"$\displaystyle \begin{aligned}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    model = mlp(4, 5, 3)
    found = viz.formulas(by_linear(model), params=model)
    found.save(tmp_path / "f.tex")
    found.derivation().save(tmp_path / "d.tex")
    (tmp_path / "m.tex").write_text(
        r"\documentclass{article}\usepackage{amsmath,amssymb}\begin{document}\input{f}\input{d}\end{document}"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "m.tex"], cwd=tmp_path, check=True, capture_output=True)
