r"""Formulas as text: MathML, LaTeX and plain.

What this file lets you do: write a tree of `algebra.formula`, with the names of a graph in the place of its symbols
(`algebra.symbols`), as MathML Core (`mathml`), LaTeX (`latex`) or plain Unicode (`text`). Names may be anything: they
are escaped, and long ones shortened. It knows nothing of graphs.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.formula import FUNCTIONS
from tinygrad_lab.viz.algebra.symbols import shown, substitute
from tinygrad_lab.viz.algebra.writer import BIG, FENCE_CHARACTERS, GREEK, SIGNS, Writer

__all__ = ["LATEX_TEXT_ESCAPES", "latex", "math_element", "mathml", "shown", "text"]

_FUNCTION_NAMES = {"#": "#", "sigma": "σ", "Phi": "Φ", "Phi'": "Φ′", "argmax": "arg max", "argmin": "arg min"}
_LATEX_FUNCTIONS = {"sigma": r"\sigma", "Phi": r"\Phi", "Phi'": r"\Phi'", "#": r"\#"}
_LATEX_FUNCTIONS |= {name: rf"\{name}" for name in FUNCTIONS if name.islower() and name not in ("sigma", "arg")}
_LATEX_FUNCTIONS |= {"argmax": r"\arg\max", "argmin": r"\arg\min"}
_LATEX_ESCAPES = {
    "\\": r"\backslash ",
    "^": r"{\hat{\ }}",
    "~": r"\sim ",
    "<": "{<}",
    ">": "{>}",
    " ": r"\ ",
    "`": r"{\grave{\ }}",
    "'": r"{'}",
    "-": "{-}",
    "*": "{*}",
    **{c: "\\" + c for c in "{}$&#_%"},
}


LATEX_TEXT_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{c: "\\" + c for c in "{}$&#_%"},
}


class _Latex(Writer):
    transposed = r"\mathsf T"

    def row(self, parts: list[str]) -> str:
        return " ".join(part for part in parts if part)

    def sign(self, how: str) -> str:
        return SIGNS[how][0]

    def prefix(self, how: str) -> str:
        return r"\mathord{\sim}" if how == "sim" else self.sign(how)

    def times(self) -> str:
        return "" if self.in_index else r"\,"

    def listed(self, items: list[str]) -> str:
        return ", ".join(items)

    def spaced(self, equations: list[str]) -> str:
        return r",\quad ".join(equations)

    def both(self, base: str, below: str, above: str) -> str:
        return rf"{base}^{{{above}}}_{{{below}}}"

    def words(self, words: str) -> str:
        return r"\dots" if words == "…" else "*" if words == "*" else rf"\text{{{words}}}"

    def under(self, base: str, below: str) -> str:
        return rf"{base}_{{{below}}}" if below else base

    def big(self, kind: str) -> str:
        return rf"\textstyle\{kind}" if kind in ("sum", "prod") else rf"\{kind}"

    def function(self, name: str) -> str:
        return _LATEX_FUNCTIONS.get(name, rf"\mathrm{{{name}}}")

    def sup(self, base: str, above: str) -> str:
        return rf"{base}^{{{above}}}"

    def sub(self, base: str, below: str) -> str:
        return rf"{base}_{{{below}}}"

    def apply(self, head: str, arguments: str, spaced: bool = False) -> str:
        return f"{head} {arguments}" if spaced else f"{head}{arguments}"

    def fence(self, opening: str, closing: str, body: str) -> str:
        if r"\frac" in body and opening in "([|":
            return rf"\left{opening}{body}\right{closing}"
        return f"{opening}{body}{closing}"

    def frac(self, top: str, bottom: str) -> str:
        return rf"\frac{{{top}}}{{{bottom}}}"

    def partial(self, of: str) -> str:
        return rf"\partial {of}"

    def root(self, body: str) -> str:
        return rf"\sqrt{{{body}}}"

    def accent(self, kind: str, body: str) -> str:
        return rf"\overline{{{body}}}" if kind == "bar" and "{" in body else rf"\{kind}{{{body}}}"

    def name(self, name: str) -> str:
        if len(name) == 1 and name.isascii() and name.isalpha():
            return name
        escaped = "".join(_LATEX_ESCAPES.get(c, c) for c in shown(name))
        return rf"\mathrm{{{escaped}}}"

    def digits(self, digits: str) -> str:
        return digits

    def symbol(self, name: str) -> str:
        return name if name.startswith("\\") or len(name.rstrip("'")) == 1 else rf"\mathrm{{{name}}}"


def _letter(symbol: str) -> str:
    return GREEK.get(symbol[1:], symbol) if symbol.startswith("\\") else symbol.replace("'", "′")


class _MathML(Writer):
    transposed = "<mi mathvariant='normal'>⊤</mi>"

    def row(self, parts: list[str]) -> str:
        kept = [part for part in parts if part]
        return kept[0] if len(kept) == 1 else f"<mrow>{''.join(kept)}</mrow>"

    def sign(self, how: str) -> str:
        return f"<mo>{html.escape(SIGNS[how][1])}</mo>"

    def prefix(self, how: str) -> str:
        return f'<mo form="prefix">{html.escape(SIGNS[how][1])}</mo>'

    def times(self) -> str:
        return "" if self.in_index else '<mspace width="0.17em"/>'

    def listed(self, items: list[str]) -> str:
        return self.row([part for item in items for part in ("<mo>,</mo>", item)][1:])

    def spaced(self, equations: list[str]) -> str:
        return self.row([part for item in equations for part in ('<mo>,</mo><mspace width="1em"/>', item)][1:])

    def both(self, base: str, below: str, above: str) -> str:
        return f"<msubsup>{base}{below}{above}</msubsup>"

    def words(self, words: str) -> str:
        return (
            f"<mtext>{html.escape(words)}</mtext>"
            if words.strip() == words
            else (f'<mspace width="0.4em"/><mtext>{html.escape(words.strip())}</mtext><mspace width="0.4em"/>')
        )

    def under(self, base: str, below: str) -> str:
        return f"<munder>{base}{below}</munder>" if below else base

    def big(self, kind: str) -> str:
        return f"<mo>{BIG[kind]}</mo>"

    def function(self, name: str) -> str:
        return f"<mi>{html.escape(_FUNCTION_NAMES.get(name, name))}</mi>"

    def sup(self, base: str, above: str) -> str:
        return f"<msup>{base}{above}</msup>"

    def sub(self, base: str, below: str) -> str:
        return f"<msub>{base}{below}</msub>"

    def apply(self, head: str, arguments: str, spaced: bool = False) -> str:
        gap = '<mspace width="0.17em"/>' if spaced else ""
        return f"<mrow>{head}{gap}{arguments}</mrow>"

    def fence(self, opening: str, closing: str, body: str) -> str:
        left, right = (FENCE_CHARACTERS.get(side, side) for side in (opening, closing))
        return f'<mrow><mo form="prefix">{left}</mo>{body}<mo form="postfix">{right}</mo></mrow>'

    def frac(self, top: str, bottom: str) -> str:
        return f"<mfrac>{top}{bottom}</mfrac>"

    def partial(self, of: str) -> str:
        return f"<mrow><mi>∂</mi>{of}</mrow>"

    def root(self, body: str) -> str:
        return f"<msqrt>{body}</msqrt>"

    def accent(self, kind: str, body: str) -> str:
        mark = "^" if kind == "hat" else "‾"  # not as an accent: without a mathematical font it would touch the letter
        return f'<mover>{body}<mo stretchy="false">{mark}</mo></mover>'

    def name(self, name: str) -> str:
        return (
            f"<mi>{html.escape(shown(name))}</mi>"  # not mtext, which counts as space: operators beside it lose theirs
        )

    def digits(self, digits: str) -> str:
        return f"<mn>{digits}</mn>"

    def symbol(self, name: str) -> str:
        return f"<mi>{html.escape(_letter(name))}</mi>"


class _Plain(Writer):
    transposed = "ᵀ"
    gap = " "

    def row(self, parts: list[str]) -> str:
        return "".join(part for part in parts if part)

    def sign(self, how: str) -> str:
        return f" {SIGNS[how][1]} "

    def prefix(self, how: str) -> str:
        return SIGNS[how][1]

    def times(self) -> str:
        return "" if self.in_index else " "

    def listed(self, items: list[str]) -> str:
        return ("," if self.in_index else ", ").join(items)

    def spaced(self, equations: list[str]) -> str:
        return ", ".join(equations)

    def both(self, base: str, below: str, above: str) -> str:
        return self.sub(self.sup(base, above), below)

    def words(self, words: str) -> str:
        return words

    def under(self, base: str, below: str) -> str:
        return f"{base}_{self._tight(below)}" if below else base

    def big(self, kind: str) -> str:
        return BIG[kind]

    def function(self, name: str) -> str:
        return _FUNCTION_NAMES.get(name, name)

    def sup(self, base: str, above: str) -> str:
        return base + above if above == self.transposed else f"{base}^{self._tight(above)}"

    def sub(self, base: str, below: str) -> str:
        return base + below if below.startswith("[") else f"{base}_{self._tight(below)}"

    def _tight(self, part: str) -> str:
        closed = part.startswith("(") and part.find(")") == len(part) - 1
        return part if len(part) == 1 or part.isalnum() or closed else f"({part})"

    def apply(self, head: str, arguments: str, spaced: bool = False) -> str:
        return f"{head} {arguments}" if spaced else f"{head}{arguments}"

    def fence(self, opening: str, closing: str, body: str) -> str:
        left, right = (FENCE_CHARACTERS.get(side, side) for side in (opening, closing))
        return f"{left}{body}{right}"

    def frac(self, top: str, bottom: str) -> str:
        return "/".join(f"({part})" if " " in part else part for part in (top, bottom))

    def partial(self, of: str) -> str:
        return f"∂{of}"

    def root(self, body: str) -> str:
        return f"√({body})"

    def accent(self, kind: str, body: str) -> str:
        return body + ("\u0302" if kind == "hat" else "\u0304")

    def name(self, name: str) -> str:
        return shown(name)

    def digits(self, digits: str) -> str:
        return digits

    def symbol(self, name: str) -> str:
        return _letter(name)


def _ready(tree: f.Tree, names: Mapping[str, Any] | None, loss: str | None) -> f.Tree:
    return tree if names is None else substitute(tree, names, loss)


def latex(tree: f.Tree, names: Mapping[str, Any] | None = None, loss: str | None = None) -> str:
    r"""The tree as LaTeX (for math mode). names, loss: see `substitute`.

    >>> from tinygrad_lab.viz.algebra.formula import parse
    >>> latex(parse(r"\bar A = \bar Y B^{\mathsf T}"), {"A": "h", "B": "fc1.weight", "Y": "z"}, loss="L")
    '\\frac{\\partial L}{\\partial h} = \\frac{\\partial L}{\\partial z} \\cdot \\mathrm{fc1.weight}^{\\mathsf T}'
    """
    return _Latex().of(_ready(tree, names, loss))


def mathml(tree: f.Tree, names: Mapping[str, Any] | None = None, loss: str | None = None) -> str:
    r"""The tree as the content of a `<math>` element: see `math_element`.

    >>> from tinygrad_lab.viz.algebra.formula import parse
    >>> mathml(parse(r"y = a / 2").right, {"a": "<b>"})
    '<mrow><mi>&lt;b&gt;</mi><mo>/</mo><mn>2</mn></mrow>'
    """
    return _MathML().of(_ready(tree, names, loss))


def math_element(content: str, block: bool = False) -> str:
    """A whole `<math>` element around what `mathml` gave; fractions in full size."""
    display = ' display="block"' if block else ' displaystyle="true"'
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{content}</math>'


def text(tree: f.Tree, names: Mapping[str, Any] | None = None, loss: str | None = None) -> str:
    r"""The tree as a line of plain text.

    >>> from tinygrad_lab.viz.algebra.formula import parse
    >>> text(parse(r"\bar a = \bar y \odot [y > 0]"), {"a": "h", "y": "t3"}, loss="L")
    '∂L/∂h = ∂L/∂t3 ⊙ [t3 > 0]'
    """
    return _Plain().of(_ready(tree, names, loss))
