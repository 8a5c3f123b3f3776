"""The formulas of all ops: they are in the language, are written in three forms, and say what the ops compute."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from formulas_page import PAGE, page
from hypothesis import given
from hypothesis import strategies as st
from op_cases import entries
from viz_graphs import op_case_list

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.evaluate import NotEvaluable, evaluate
from tinygrad_lab.viz.algebra.formula import FormulaError, parse
from tinygrad_lab.viz.algebra.symbols import shown, substitute
from tinygrad_lab.viz.algebra.typeset import latex, math_element, mathml, text


def formulas() -> list[tuple[str, str]]:
    found = []
    for entry in entries():
        found.append((entry.name, entry.formula))
        found += [(f"{entry.name}.{a}", s) for a, s in getattr(entry, "vjp_formula", {}).items()]
    return found


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_op_has_formulas_in_the_language(entry):
    assert parse(entry.formula)
    rules = getattr(entry, "rules", {})
    assert set(getattr(entry, "vjp_formula", {})) == set(rules)
    for argument in rules:
        tree = parse(entry.vjp_formula[argument])
        left = tree.left
        while isinstance(left, f.Index | f.Power):
            left = left.base
        assert isinstance(left, f.Accent) and left.kind == "bar", "a rule's formula begins with a cotangent"


@pytest.mark.parametrize(("name", "source"), formulas(), ids=[name for name, _ in formulas()])
def test_forms_of_a_formula(name, source):
    tree = parse(source)
    again = parse(latex(tree))
    assert latex(again) == latex(tree)
    root = ElementTree.fromstring(math_element(mathml(tree)))
    assert {part.tag.split("}")[1] for part in root.iter()} <= MATHML_CORE
    assert text(tree).count("(") == text(tree).count(")")


MATHML_CORE = {
    *("math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "mfrac", "msqrt", "msup", "msub", "msubsup"),
    *("munder", "mover", "mtable", "mtr", "mtd"),
}
CHILDREN = {"mfrac": 2, "msup": 2, "msub": 2, "munder": 2, "mover": 2, "msubsup": 3}


@pytest.mark.parametrize(("name", "source"), formulas()[::3], ids=[name for name, _ in formulas()[::3]])
def test_mathml_has_the_right_number_of_children(name, source):
    for part in ElementTree.fromstring(math_element(mathml(parse(source)))).iter():
        wanted = CHILDREN.get(part.tag.split("}")[1])
        assert wanted in (None, len(part)), part.tag


@pytest.mark.parametrize(
    "source",
    ["", "y", "y = ", "y = a +", "y = (a", r"y = \unknown a", "y = a ] b", r"y = a \text{ if } b", "y = a ? b"],
)
def test_what_is_not_in_the_language_is_refused_with_the_place(source):
    with pytest.raises(FormulaError):
        parse(source)


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("y = a - b - c", {"a": 5, "b": 2, "c": 1}, 2),
        ("y = a / b / c", {"a": 12, "b": 3, "c": 2}, 2),
        ("y = a b^2", {"a": 3, "b": 2}, 12),
        (r"y = -a \odot b + c", {"a": 3, "b": 2, "c": 1}, -5),
        (r"y = \tfrac12 a", {"a": 3}, 1.5),
        (r"y = \tfrac{a}{2} + |a - b|", {"a": 3, "b": 5}, 3.5),
        (r"y = \textstyle\sum a b", {"a": np.array([1, 2]), "b": np.array([3, 4])}, 11),
        (r"y = c + \textstyle\sum a", {"a": np.array([1, 2]), "c": 10}, 13),
        (r"y = [0 < a < 6]", {"a": np.array([-1, 1, 6])}, [0, 1, 0]),
        (r"y = a \text{ if } a > 0 \text{ else } e^{a}", {"a": np.array([2.0, 0.0])}, [2, 1]),
        (r"y = \ln a b", {"a": np.e, "b": 3}, 3),
        (r"y = \max(\min(a, 1), 0)", {"a": np.array([-1, 0.5, 3])}, [0, 0.5, 1]),
        (r"y = A B", {"A": np.ones((2, 3)), "B": np.ones((3, 1))}, [[3], [3]]),
        (r"y = A^{\mathsf T} B", {"A": np.ones((3, 2)), "B": np.ones((3, 1))}, [[3], [3]]),
        (r"y = \sqrt{a} + \lfloor b \rfloor + \lceil b \rceil", {"a": 4, "b": 1.5}, 5),
        (r"y = \log_2 a", {"a": 8}, 3),
        (r"y = a_t", {"a_t": 7}, 7),
        (r"y = \mathrm{mean}(a)", {"a": np.array([1, 3])}, 2),
        (r"y = \bar y \odot \hat a", {r"\bar y": 2, r"\hat a": 3}, 6),
        (r"y = \ln(1 + e^{a})", {"a": np.array([1000.0])}, 1000),
        (r"y = \sigma(a)", {"a": np.array([-1000.0, 0.0, 1000.0])}, [0, 0.5, 1]),
        (r"y = \neg a", {"a": np.array([True, False])}, [0, 1]),
    ],
)
def test_values(source, values, expected):
    np.testing.assert_allclose(np.squeeze(evaluate(parse(source).right, values)), np.squeeze(expected))


@pytest.mark.parametrize(
    "source", ["y = a_i", "y = q", r"y = \mathrm{unheard}(a)", r"y = \textstyle\sum_i a", r"y = \#\{a\}"]
)
def test_what_has_no_value_by_reading(source):
    with pytest.raises(NotEvaluable):
        evaluate(parse(source).right, {"a": np.ones(2)})


@pytest.mark.parametrize(
    ("source", "names", "expected"),
    [
        (r"\bar b = \alpha\,\bar y", {"b": "x", "y": "t1", r"\alpha": 1}, "∂L/∂x = ∂L/∂t1"),
        (r"\bar b = \alpha\,\bar y", {"b": "x", "y": "t1", r"\alpha": 0.5}, "∂L/∂x = 0.5 ∂L/∂t1"),
        (r"\bar b = -\alpha\,\bar y", {"b": "x", "y": "t1", r"\alpha": -2}, "∂L/∂x = 2 ∂L/∂t1"),
        (r"\bar a = \bar y \odot b\,a^{b-1}", {"a": "x", "b": 2, "y": "t1"}, "∂L/∂x = ∂L/∂t1 ⊙ 2 x"),
        (r"\bar A = \bar Y B^{\mathsf T}", {"A": "x", "B": "W", "Y": "t1"}, "∂L/∂x = ∂L/∂t1 · Wᵀ"),
        (r"\bar a = \tfrac{\bar y}{n}\,w\,t", {"a": "x", "y": "t1", "n": 1, "w": 1, "t": "t"}, "∂L/∂x = ∂L/∂t1 t"),
        (r"y = \mathrm{cat}(a_1, a_2, \dots)", {"y": "t2", "a": ["p", "q", "r"]}, "t2 = cat(p, q, r)"),
        (r"y_i = a_{i,\,i+k}", {"y": "d", "a": "m", "k": 0}, "d_i = m_(i,i)"),
        (r"y = a + b", {"y": "s", "a": "x", "b": -1.5}, "s = x − 1.5"),
    ],
)
def test_names_in_the_place_of_symbols(source, names, expected):
    assert text(parse(source), names, "L") == expected


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<b>x</b>",
    "\"quoted\" 'name'",
    r"\input{secret}$x$&%#_^~{}\\",
    "\u202eright to left",
    "x" * 10_000,
    "🙂",
    "",
    "a\x00b\nc",
    "--> ]]>",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_stay_text(name):
    tree = parse(r"\bar a = \bar y \odot b^{\mathsf T}")
    names = {"a": name, "b": name, "y": name}
    markup = math_element(mathml(tree, names, name))
    root = ElementTree.fromstring(markup)
    assert {part.tag.split("}")[1] for part in root.iter()} <= MATHML_CORE
    assert "".join(root.itertext()).count(shown(name) or "∂") >= 3
    assert len(markup) < 5000
    written = latex(tree, names, name)
    assert len(written) < 5000
    plain = written.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"(?<!\\)[$&#%]", written)
    assert "\\input" not in written and "</" not in written and "\n" not in written


@given(st.text(max_size=80))
def test_any_name_gives_balanced_latex_and_valid_mathml(name):
    tree = parse(r"y = a / b")
    ElementTree.fromstring(math_element(mathml(tree, {"a": name, "y": "t1"})))
    written = latex(tree, {"a": name, "y": "t1"})
    for escaped in (r"\{", r"\}"):
        written = written.replace(escaped, "")
    depth = 0
    for character in written:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


def test_substitution_leaves_the_tree_alone():
    tree = parse(r"\bar a = \bar y \odot [a > 0]")
    before = repr(tree)
    assert substitute(tree, {"a": "x"}, "L") != tree
    assert repr(tree) == before


def test_all_ops_with_rules_are_sampled():
    names = {case.entry.name for case in op_case_list()}
    assert names == {entry.name for entry in entries() if getattr(entry, "rules", None)}


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/formulas_page.py --write"


def test_the_reference_page_lists_every_op_once():
    listed = [line.split("|")[1].strip() for line in page().splitlines() if line.startswith("| ")]
    assert sorted(listed) == sorted([entry.name for entry in entries()] + ["operation"] * listed.count("operation"))
    assert all(line.count("|") == 4 for line in page().splitlines() if line.startswith("| ")), "a bar ends a cell"
