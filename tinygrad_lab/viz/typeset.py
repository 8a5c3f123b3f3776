r"""Formulas as text: MathML, LaTeX and plain.

What this file lets you do: put the names of a graph in the place of a formula's symbols (`substitute`), and write the
result as MathML Core (`mathml`), LaTeX (`latex`) or plain Unicode (`text`). Names may be anything: they are escaped,
and long ones shortened. It knows the tree of `viz.formula`, and nothing of graphs.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from tinygrad_lab.viz import formula as f
from tinygrad_lab.viz.evaluate import evaluate, is_matrix, key

__all__ = [
    "LATEX_TEXT_ESCAPES",
    "Name",
    "Partial",
    "Sign",
    "latex",
    "math_element",
    "mathml",
    "shown",
    "substitute",
    "text",
]


@dataclass(frozen=True)
class Name(f.Tree):
    """A tensor of the graph by the name it has there."""

    text: str
    matrix: bool = False  # products of two of these are products of matrices


@dataclass(frozen=True)
class Partial(f.Tree):
    """The gradient of `loss` with respect to `of`."""

    loss: str
    of: f.Tree
    matrix: bool = False


@dataclass(frozen=True)
class Sign(f.Tree):
    """A relation on its own, as in a column of equals signs."""

    relation: str


def shown(name: str, limit: int = 40) -> str:
    """A name as it may be shown: characters without a shape of their own replaced, the middle of a long one left out.

    >>> shown("x" * 100, 9), shown("a\\u200eb")
    ('xxxx…xxxx', 'a\ufffdb')
    """
    clean = "".join("\ufffd" if unicodedata.category(c)[0] == "C" else c for c in name)
    half = (limit - 1) // 2
    return clean if len(clean) <= limit else f"{clean[:half]}…{clean[-half:]}"


# Names in the place of symbols


def substitute(tree: f.Tree, names: Mapping[str, Any], loss: str | None = None, drop_sums: bool = False) -> f.Tree:
    r"""The tree with names in the place of symbols, cotangents as derivatives of `loss`, and factors 1 left out.

    names       {symbol: name, number, Tree, or list of names for a_1, a_2, ...}, by `viz.evaluate.key`
    drop_sums   sums without an index run over one thing: leave them out
    """
    return _Substitution(dict(names), loss, drop_sums).of(tree)


class _Substitution:
    def __init__(self, names: dict[str, Any], loss: str | None, drop_sums: bool) -> None:
        self.names, self.loss, self.drop_sums = names, loss, drop_sums

    def of(self, tree: f.Tree) -> f.Tree:
        name = key(tree)
        if name in self.names:
            return self.named(self.names[name], is_matrix(tree))
        if name.startswith("\\bar ") and name[5:] in self.names:
            plain = self.named(self.names[name[5:]], is_matrix(tree))
            return f.Accent("bar", plain) if self.loss is None else Partial(self.loss, plain, is_matrix(tree))
        if isinstance(tree, f.Accent) and tree.kind == "hat":  # \hat a has a symbol of its own
            return tree
        if isinstance(tree, f.Apply) and any(argument == f.Text("…") for argument in tree.arguments):
            return replace(tree, arguments=self.listed(tree.arguments))
        made = replace(tree, **{field.name: self.within(getattr(tree, field.name)) for field in fields(tree)})
        return self.simplified(made)

    def within(self, value: Any) -> Any:
        if isinstance(value, f.Tree):
            return self.of(value)
        return tuple(self.within(item) for item in value) if isinstance(value, tuple) else value

    def named(self, name: Any, matrix: bool) -> f.Tree:
        if isinstance(name, f.Tree):
            return name
        return Name(name, matrix) if isinstance(name, str) else number(name)

    def listed(self, arguments: tuple[f.Tree, ...]) -> tuple[f.Tree, ...]:
        """a_1, a_2, ... as the actual operands, of many the first and the last."""
        first = arguments[0]
        names = self.names.get(key(first.base)) if isinstance(first, f.Index) else None
        if not isinstance(names, Sequence) or isinstance(names, str):
            return arguments
        found = [self.named(name, False) for name in names]
        return (*found,) if len(found) <= 6 else (*found[:3], f.Text("…"), found[-1])

    def simplified(self, tree: f.Tree) -> f.Tree:
        one = f.Number("1")
        if isinstance(tree, f.Index) and isinstance(tree.base, f.Number):
            return tree.base  # a constant has no elements
        if isinstance(tree, f.Big) and self.drop_sums and not tree.below:
            return tree.body
        if isinstance(tree, f.Frac) and tree.bottom == one:
            return tree.top
        if isinstance(tree, f.Terms) and len(tree.terms) > 1 and all(isinstance(t, f.Number) for _, t in tree.terms):
            return number(evaluate(tree, {}))  # 2 - 1, where the formula has p - 1
        if isinstance(tree, f.Fence) and tree.kind == "paren" and isinstance(tree.items[0], f.Number):
            return tree.items[0]
        if isinstance(tree, f.Power) and tree.exponent == one:
            return tree.base
        if isinstance(tree, f.Product):
            kept = [(how, factor) for how, factor in tree.factors if factor != one or how == "bmod"]
            if len(kept) < len(tree.factors):
                if not kept or kept[0][0] == "/":
                    kept.insert(0, ("", one))  # what is left of 1 / x
                kept[0] = ("", kept[0][1])
                return kept[0][1] if len(kept) == 1 else f.Product(tuple(kept))
        return tree


def number(value: Any) -> f.Tree:
    """A number as a tree: 0.5, -2, 10^{-5}, infinity."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return f.Number(str(value))
    if isinstance(value, float) and math.isinf(value):
        tree: f.Tree = f.Symbol(r"\infty")
    else:
        digits, _, power = f"{abs(value):.6g}".partition("e")
        tree = f.Number(digits)
        if power:
            ten = f.Power(f.Number("10"), number(int(power)))
            tree = ten if digits == "1" else f.Product((("", tree), ("cdot", ten)))
    return f.Terms((("-", tree),)) if value < 0 else tree


# Writing. One class walks the tree; its subclasses say how a fraction or a name looks.

_SIGNS = {
    "=": ("=", "="),
    "+=": (r"\mathrel{+}=", "+="),
    "<": ("<", "<"),
    ">": (">", ">"),
    "le": (r"\le", "≤"),
    "ge": (r"\ge", "≥"),
    "ne": (r"\ne", "≠"),
    "sim": (r"\sim", "~"),
    ":": (":", ":"),
    "+": ("+", "+"),
    "-": ("-", "−"),
    "wedge": (r"\wedge", "∧"),
    "vee": (r"\vee", "∨"),
    "oplus": (r"\oplus", "⊕"),
    "bitand": (r"\mathbin{\&}", "&"),
    "bitor": (r"\mathbin{|}", "|"),
    "odot": (r"\odot", "⊙"),
    "cdot": (r"\cdot", "·"),
    "/": ("/", "/"),
    "bmod": (r"\bmod", "mod"),
    "neg": (r"\neg", "¬"),
}
_GREEK = dict(
    zip(
        ["alpha", "beta", "gamma", "delta", "epsilon", "lambda", "mu", "sigma", "pi", "tau", "infty", "Phi"],
        ["α", "β", "γ", "δ", "ε", "λ", "μ", "σ", "π", "τ", "∞", "Φ"],
        strict=True,
    )
)
_BIG = {"sum": "∑", "prod": "∏", "bigwedge": "⋀", "bigvee": "⋁"}
_FENCES = {
    "paren": ("(", ")"),
    "iverson": ("[", "]"),
    "abs": ("|", "|"),
    "norm": (r"\|", r"\|"),
    "floor": (r"\lfloor ", r"\rfloor "),
    "ceil": (r"\lceil ", r"\rceil "),
    "round": (r"\lfloor ", r"\rceil "),
    "set": (r"\{", r"\}"),
    "list": ("", ""),
}
_FENCE_CHARACTERS = {
    r"\|": "‖",
    r"\lfloor ": "⌊",
    r"\rfloor ": "⌋",
    r"\lceil ": "⌈",
    r"\rceil ": "⌉",
    r"\{": "{",
    r"\}": "}",
}


class _Writer:
    """Walks a tree. What a subclass must say stands at its end."""

    def of(self, tree: f.Tree) -> str:
        method = getattr(self, "_" + type(tree).__name__.lower())
        written: str = method(tree)
        return written

    def _formula(self, tree: f.Formula) -> str:
        first = self.row([self.of(tree.left), self.sign(tree.relation), self.of(tree.right)])
        return self.listed([first, *(self.of(equation) for equation in tree.more)])

    def _relation(self, tree: f.Relation) -> str:
        parts = [self.of(tree.items[0])]
        for how, item in zip(tree.relations, tree.items[1:], strict=True):
            parts += [self.sign(how), self.of(item)]
        return self.row(parts)

    def _sign(self, tree: Sign) -> str:
        return str(self.sign(tree.relation)).strip()

    def _terms(self, tree: f.Terms) -> str:
        parts = []
        for i, (how, term) in enumerate(tree.terms):
            parts += [] if not how else [self.prefix(how) if i == 0 else self.sign(how)]
            parts.append(self.of(term))
        return self.row(parts)

    def _product(self, tree: f.Product) -> str:
        parts, previous = [], None
        for how, factor in tree.factors:
            if previous is not None:
                matrices = how == "" and _named_matrix(previous) and _named_matrix(factor)
                numbers = how == "" and isinstance(factor, f.Number)
                dot = matrices or numbers
                between = self.sign("cdot" if dot else how) if dot or how else self.times()
                parts.append(between)
            negative = isinstance(factor, f.Terms) and previous is not None
            parts.append(self.fence("(", ")", self.of(factor)) if negative else self.of(factor))
            previous = factor
        return self.row(parts)

    def _prefix(self, tree: f.Prefix) -> str:
        return self.row([self.prefix("neg" if tree.operator == "neg" else "sim"), self.of(tree.body)])

    def _if(self, tree: f.If) -> str:
        words = [self.of(tree.then), self.words(" if "), self.of(tree.condition)]
        return self.row([*words, self.words(" else "), self.of(tree.otherwise)])

    def _big(self, tree: f.Big) -> str:
        head = self.under(self.big(tree.kind), self.below(tree.below))
        return self.row([head, self.gap, self.of(tree.body)])

    def _apply(self, tree: f.Apply) -> str:
        head = self.function(tree.name)
        if tree.above is not None:
            head = self.sup(head, self.of(tree.above))
        if tree.below and tree.name.removeprefix("arg") in ("max", "min"):
            head = self.under(head, self.below(tree.below))
        elif tree.below:
            head = self.sub(head, self.below(tree.below))
        arguments = self.listed([self.of(argument) for argument in tree.arguments])
        if tree.name in ("mean", "#") and isinstance(tree.arguments[0], f.Relation):
            return self.row([head, self.fence(r"\{", r"\}", arguments)])
        if tree.parentheses:
            return self.apply(head, self.fence("(", ")", arguments))
        (argument,) = tree.arguments  # as in "ln a": a name of several letters reads better in brackets
        bare = isinstance(argument, (f.Symbol, f.Number, f.Accent, f.Index, f.Apply, f.Big, f.Fence, f.Power))
        return self.apply(head, arguments, spaced=True) if bare else self.apply(head, self.fence("(", ")", arguments))

    def _fence(self, tree: f.Fence) -> str:
        opening, closing = _FENCES[tree.kind]
        if tree.kind == "list":
            return str(self.listed([self.of(item) for item in tree.items]))
        return self.fence(opening, closing, self.listed([self.of(item) for item in tree.items]))

    def _frac(self, tree: f.Frac) -> str:
        return self.frac(self.of(tree.top), self.of(tree.bottom))

    def _partial(self, tree: Partial) -> str:
        return self.frac(self.partial(self.name(tree.loss)), self.partial(self.of(tree.of)))

    def _root(self, tree: f.Root) -> str:
        return self.root(self.of(tree.body))

    def base(self, tree: f.Tree) -> str:
        """What ^ or _ is put on: in brackets where it would seem to belong to a part only."""
        closed = isinstance(tree, (f.Symbol, f.Number, f.Fence, f.Accent, Name, f.Apply))
        return self.of(tree) if closed else self.fence("(", ")", self.of(tree))

    def _power(self, tree: f.Power) -> str:
        return self.sup(self.base(tree.base), self.of(tree.exponent))

    def _transpose(self, tree: f.Transpose) -> str:
        return self.sup(self.base(tree.base), self.transposed)

    def _index(self, tree: f.Index) -> str:
        raised = isinstance(tree.base, f.Power) and isinstance(tree.base.base, f.Symbol)
        return self.sub(self.of(tree.base) if raised else self.base(tree.base), self.below(tree.indices))

    def below(self, items: tuple[f.Tree, ...]) -> str:
        if not items:
            return ""
        outer, self.in_index = self.in_index, True
        written = self.listed([self.of(item) for item in items], tight=True)
        self.in_index = outer
        return str(written)

    def _accent(self, tree: f.Accent) -> str:
        return self.accent(tree.kind, self.of(tree.body))

    def _name(self, tree: Name) -> str:
        return self.name(tree.text)

    def _number(self, tree: f.Number) -> str:
        return self.digits(tree.text)

    def _text(self, tree: f.Text) -> str:
        return self.words(tree.text)

    def _symbol(self, tree: f.Symbol) -> str:
        return self.symbol(tree.name)

    transposed = ""
    gap = ""
    in_index = False  # where letters stand side by side

    # To be said by a subclass:
    row: Any
    sign: Any
    prefix: Any
    times: Any
    listed: Any
    words: Any
    under: Any
    big: Any
    function: Any
    sup: Any
    sub: Any
    apply: Any
    fence: Any
    frac: Any
    partial: Any
    root: Any
    accent: Any
    name: Any
    digits: Any
    symbol: Any


def _named_matrix(tree: f.Tree) -> bool:
    while isinstance(tree, f.Transpose):
        tree = tree.base
    return isinstance(tree, (Name, Partial)) and tree.matrix


_FUNCTION_NAMES = {"#": "#", "sigma": "σ", "Phi": "Φ", "Phi'": "Φ′", "argmax": "arg max", "argmin": "arg min"}
_LATEX_FUNCTIONS = {"sigma": r"\sigma", "Phi": r"\Phi", "Phi'": r"\Phi'", "#": r"\#"}
_LATEX_FUNCTIONS |= {name: rf"\{name}" for name in f.FUNCTIONS if name.islower() and name not in ("sigma", "arg")}
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


class _Latex(_Writer):
    transposed = r"\mathsf T"

    def row(self, parts: list[str]) -> str:
        return " ".join(part for part in parts if part)

    def sign(self, how: str) -> str:
        return _SIGNS[how][0]

    def prefix(self, how: str) -> str:
        return r"\mathord{\sim}" if how == "sim" else self.sign(how)

    def times(self) -> str:
        return "" if self.in_index else r"\,"

    def listed(self, items: list[str], tight: bool = False) -> str:
        return (",\\, " if tight else ",\\; ").join(items)

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
        return rf"\overline{{{body}}}" if kind == "overline" or "{" in body else rf"\{kind}{{{body}}}"

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
    return _GREEK.get(symbol[1:], symbol) if symbol.startswith("\\") else symbol.replace("'", "′")


class _MathML(_Writer):
    transposed = "<mi mathvariant='normal'>⊤</mi>"

    def row(self, parts: list[str]) -> str:
        kept = [part for part in parts if part]
        return kept[0] if len(kept) == 1 else f"<mrow>{''.join(kept)}</mrow>"

    def sign(self, how: str) -> str:
        return f"<mo>{html.escape(_SIGNS[how][1])}</mo>"

    def prefix(self, how: str) -> str:
        return f'<mo form="prefix">{html.escape(_SIGNS[how][1])}</mo>'

    def times(self) -> str:
        return "" if self.in_index else '<mspace width="0.17em"/>'

    def listed(self, items: list[str], tight: bool = False) -> str:
        gap = "" if tight else '<mspace width="0.5em"/>'
        return self.row([part for item in items for part in ("<mo>,</mo>" + gap, item)][1:])

    def words(self, words: str) -> str:
        return (
            f"<mtext>{html.escape(words)}</mtext>"
            if words.strip() == words
            else (f'<mspace width="0.4em"/><mtext>{html.escape(words.strip())}</mtext><mspace width="0.4em"/>')
        )

    def under(self, base: str, below: str) -> str:
        return f"<munder>{base}{below}</munder>" if below else base

    def big(self, kind: str) -> str:
        return f"<mo>{_BIG[kind]}</mo>"

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
        left, right = (_FENCE_CHARACTERS.get(side, side) for side in (opening, closing))
        return f'<mrow><mo form="prefix">{left}</mo>{body}<mo form="postfix">{right}</mo></mrow>'

    def frac(self, top: str, bottom: str) -> str:
        return f"<mfrac>{top}{bottom}</mfrac>"

    def partial(self, of: str) -> str:
        return f"<mrow><mi>∂</mi>{of}</mrow>"

    def root(self, body: str) -> str:
        return f"<msqrt>{body}</msqrt>"

    def accent(self, kind: str, body: str) -> str:
        mark = "^" if kind == "hat" else "¯"
        return f'<mover accent="true">{body}<mo>{mark}</mo></mover>'

    def name(self, name: str) -> str:
        if len(name) == 1:
            return f"<mi>{html.escape(name)}</mi>"
        return f"<mtext>{html.escape(shown(name))}</mtext>"

    def digits(self, digits: str) -> str:
        return f"<mn>{digits}</mn>"

    def symbol(self, name: str) -> str:
        return f"<mi>{html.escape(_letter(name))}</mi>"


class _Plain(_Writer):
    transposed = "ᵀ"
    gap = " "

    def row(self, parts: list[str]) -> str:
        return "".join(part for part in parts if part)

    def sign(self, how: str) -> str:
        return f" {_SIGNS[how][1]} "

    def prefix(self, how: str) -> str:
        return _SIGNS[how][1]

    def times(self) -> str:
        return "" if self.in_index else " "

    def listed(self, items: list[str], tight: bool = False) -> str:
        return (",").join(items) if tight else ", ".join(items)

    def words(self, words: str) -> str:
        return words

    def under(self, base: str, below: str) -> str:
        return f"{base}_{self._tight(below)}" if below else base

    def big(self, kind: str) -> str:
        return _BIG[kind]

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
        left, right = (_FENCE_CHARACTERS.get(side, side) for side in (opening, closing))
        return f"{left}{body}{right}"

    def frac(self, top: str, bottom: str) -> str:
        return "/".join(f"({part})" if " " in part else part for part in (top, bottom))

    def partial(self, of: str) -> str:
        return f"∂{of}"

    def root(self, body: str) -> str:
        return f"√({body})"

    def accent(self, kind: str, body: str) -> str:
        return f"mean({body})" if kind == "overline" else body + ("\u0302" if kind == "hat" else "\u0304")

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

    >>> latex(f.parse(r"\bar A = \bar Y B^{\mathsf T}"), {"A": "h", "B": "fc1.weight", "Y": "z"}, loss="L")
    '\\frac{\\partial L}{\\partial h} = \\frac{\\partial L}{\\partial z} \\cdot \\mathrm{fc1.weight}^{\\mathsf T}'
    """
    return _Latex().of(_ready(tree, names, loss))


def mathml(tree: f.Tree, names: Mapping[str, Any] | None = None, loss: str | None = None) -> str:
    r"""The tree as the content of a `<math>` element: see `math_element`.

    >>> mathml(f.parse(r"y = a / 2").right, {"a": "<b>"})
    '<mrow><mtext>&lt;b&gt;</mtext><mo>/</mo><mn>2</mn></mrow>'
    """
    return _MathML().of(_ready(tree, names, loss))


def math_element(content: str, block: bool = False) -> str:
    """A whole `<math>` element around what `mathml` gave."""
    display = ' display="block"' if block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{content}</math>'


def text(tree: f.Tree, names: Mapping[str, Any] | None = None, loss: str | None = None) -> str:
    r"""The tree as a line of plain text.

    >>> text(f.parse(r"\bar a = \bar y \odot [y > 0]"), {"a": "h", "y": "t3"}, loss="L")
    '∂L/∂h = ∂L/∂t3 ⊙ [t3 > 0]'
    """
    return _Plain().of(_ready(tree, names, loss))
