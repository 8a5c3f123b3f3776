r"""The language of the ops' formulas: a small part of LaTeX, read into a tree.

What this file lets you do: `parse(r"\bar a = \bar y \odot [y > 0]")` gives a `Formula`, whose parts the other files of
this room typeset (`algebra.typeset`), evaluate (`algebra.evaluate`) and take apart (`algebra.equations`). It knows no
op.

What a formula may hold, beside letters, digits and Greek:

    \bar a  \hat a                   cotangent, a name with a hat
    a b    a \odot b    a / b        product (of matrices, if both are capitals), elementwise product, quotient
    a + b    a - b    -a             \frac \tfrac \sqrt ^ _ ^{\mathsf T}
    \textstyle\sum_{...} ...         \prod likewise: everything that is multiplied after it is under the sum
    [a > 0]                          1 where it holds, else 0
    a \text{ if } c \text{ else } b  elementwise choice
    \mathrm{name}(a, b)              a function; so are \max \min \sin ... \sigma(a) \Phi(a)
    y = ..., c = ...                 what follows the first comma defines a symbol, or says more about y
"""

from __future__ import annotations

import functools
import re

from tinygrad_lab.viz.algebra.trees import (
    Accent,
    Apply,
    Big,
    Fence,
    Formula,
    Frac,
    If,
    Index,
    Number,
    Power,
    Prefix,
    Product,
    Relation,
    Root,
    Symbol,
    Terms,
    Text,
    Transpose,
    Tree,
)

__all__ = ["FUNCTIONS", "FormulaError", "parse"]


class FormulaError(ValueError):
    """A formula that is not in the language: says where and what was expected."""


FUNCTIONS = {
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "ln", "log", "max", "min", "arg"),
    *("sigma", "Phi"),
}
_RELATIONS = {"=", "+=", "<", ">", "le", "ge", "ne", "sim", ":"}
_ADDITIVE = {"+", "-", "wedge", "vee", "oplus", "bitand", "bitor"}
_GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "lambda", "mu", "sigma", "pi", "tau", "infty", "Phi"}
_BIG = {"sum", "prod", "bigwedge", "bigvee"}
_STARTS = {"bar", "hat", "frac", "tfrac", "sqrt", "lfloor", "lceil", "{", "neg", "prefixsim", "dots", "#"}
_STARTS |= _GREEK | _BIG | FUNCTIONS
_FENCES = {"lfloor": ("rfloor", "rceil"), "lceil": ("rceil",), "(": (")",), "[": ("]",), "{": ("}",)}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<space>\\[,;!:\ ]|\\textstyle|\\quad|\\(?:left|right)(?![a-z]))
    | (?P<word>\\(?:mathrm|text)\{[^{}]*\})
    | (?P<plus>\\mathrel\{\+\}=)
    | (?P<bin>\\mathbin\{\\?[&|]\}|\\mathord\{\\sim\})
    | (?P<transpose>\^\{\\mathsf\ ?T\}|\^\\mathsf\{?T\}?|\^\{\\mathsf\{T\}\})
    | (?P<command>\\(?:[A-Za-z]+|[{}|\#]))
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<letter>[A-Za-z])
    | (?P<sign>[-+*/=<>:()\[\]{}|^_,'])
    )""",
    re.VERBOSE,
)


def tokens(source: str) -> list[tuple[str, str]]:
    """(kind, text) of everything but spacing."""
    found, position = [], 0
    source = source.rstrip()
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise FormulaError(f"{source!r}: cannot read {source[position : position + 12]!r}")
        kind, text = str(match.lastgroup), match.group(str(match.lastgroup))
        position = match.end()
        if kind == "word":
            kind, text = text[1:].split("{")[0], text[text.index("{") + 1 : -1]
        elif kind == "plus":
            kind, text = "sign", "+="
        elif kind == "bin":
            kind, text = ("command", "prefixsim") if "sim" in text else ("sign", "bitand" if "&" in text else "bitor")
        elif kind == "command":
            text = text[1:]
        if kind != "space":
            found.append((kind, text))
    return found


@functools.cache
def parse(source: str) -> Formula:
    r"""The tree of a formula. FormulaError, which names the place, for what is not in the language.

    >>> tree = parse(r"\bar a = -\bar y / b")
    >>> tree.left, tree.relation
    (Accent(kind='bar', body=Symbol(name='a')), '=')
    """
    return _Parser(source).formula()


class _Parser:
    """Recursive descent; the methods stand from the loosest binding to the tightest."""

    def __init__(self, source: str) -> None:
        self.source, self.tokens, self.at = source, tokens(source), 0

    @property
    def next(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def peek(self, *texts: str) -> bool:
        kind, text = self.next
        return kind in ("sign", "command") and text in texts

    def take(self, *texts: str) -> str:
        kind, text = self.next
        if texts and not self.peek(*texts):
            raise self.error(f"expected {' or '.join(texts)}")
        if kind == "end":
            raise self.error("it ends too early")
        self.at += 1
        return text

    def error(self, what: str) -> FormulaError:
        return FormulaError(f"{self.source!r}: {what} at {self.next[1] or 'the end'!r} (token {self.at + 1})")

    def formula(self) -> Formula:
        equations = [self.relation()]
        while self.peek(","):
            self.take(",")
            equations.append(self.relation())
        if self.next[0] != "end":
            raise self.error("something is left over")
        if any(not isinstance(equation, Relation) for equation in equations):
            raise self.error("expected equations, like y = ...")
        first, *more = equations
        assert isinstance(first, Relation)
        if len(first.relations) > 1:  # a <= b <= c says several things of which none defines the other
            left: Tree = Relation(first.items[:-1], first.relations[:-1])
        else:
            left = first.items[0]
        return Formula(left, first.relations[-1], first.items[-1], tuple(more))  # type: ignore[arg-type]

    def relation(self) -> Tree:
        items, relations = [self.choice()], []
        while self.peek(*_RELATIONS):
            relations.append(self.take())
            items.append(self.choice())
        return Relation(tuple(items), tuple(relations)) if relations else items[0]

    def choice(self) -> Tree:
        then = self.terms()
        if self.next != ("text", " if "):
            return then
        self.at += 1
        condition = self.relation()
        if self.next != ("text", " else "):
            raise self.error(r"expected \text{ else }")
        self.at += 1
        return If(then, condition, self.choice())

    def terms(self) -> Tree:
        found: list[tuple[str, Tree]] = []
        sign = self.take() if self.peek("-") else ""
        found.append((sign, self.product()))
        while self.peek(*_ADDITIVE):
            found.append((self.take(), self.product()))
        return Terms(tuple(found)) if len(found) > 1 or sign else found[0][1]

    inside_bars = 0

    def product(self) -> Tree:
        factors: list[tuple[str, Tree]] = [("", self.factor())]
        while True:
            if self.peek("odot", "/", "cdot", "bmod"):
                factors.append((self.take(), self.factor()))
            elif self.starts_factor():
                factors.append(("", self.factor()))
            else:
                return Product(tuple(factors)) if len(factors) > 1 else factors[0][1]

    def starts_factor(self) -> bool:
        kind, text = self.next
        if kind == "text":
            return text not in (" if ", " else ")
        if kind == "sign":
            return text in "([" or (text == "|" and not self.inside_bars)
        if kind == "command":
            return text in _STARTS or (text == "|" and not self.inside_bars)
        return kind in ("number", "letter", "mathrm")

    def factor(self) -> Tree:
        if self.peek("neg", "prefixsim"):
            return Prefix("neg" if self.take() == "neg" else "sim", self.factor())
        if self.peek(*_BIG):
            kind, below = self.take(), self.below()
            return Big(kind, below, self.product())
        kind, text = self.next
        if kind == "mathrm" or (kind == "command" and text in FUNCTIONS):
            return self.postfix(self.function())
        return self.postfix(self.atom())

    def function(self) -> Tree:
        kind, name = self.next
        self.at += 1
        start = self.at
        if kind == "command" and name == "arg":  # \arg\max, \arg\min
            name += self.take("max", "min")
        if self.peek("'"):
            self.take()
            name += "'"
        below = self.below()
        above = self.argument() if self.peek("^") and self.take() else None
        if self.peek("(", "{"):
            return Apply(name, self.fenced().items, below, above)
        if kind == "mathrm" or name in ("sigma", "Phi"):  # not applied: a symbol, and ^ and _ belong to it
            self.at = start
            return Symbol(name if kind == "mathrm" else "\\" + name)
        return Apply(name, (self.factor(),), below, above, parentheses=False)

    def below(self) -> tuple[Tree, ...]:
        """What stands after _, if anything: a list of relations."""
        if not self.peek("_"):
            return ()
        self.take()
        if not self.peek("{") or self.next[0] == "command":
            return (self.atom(),)
        self.take("{")
        found = [self.relation()]
        while self.peek(","):
            self.take()
            found.append(self.relation())
        self.take("}")
        return tuple(found)

    def argument(self) -> Tree:
        """What a command or ^ applies to: {...}, or one token; of a number its first digit, as in LaTeX."""
        if self.next == ("sign", "{"):
            self.take()
            tree = self.relation()
            self.take("}")
            return tree
        kind, text = self.next
        if kind == "number" and len(text) > 1:
            self.tokens[self.at] = (kind, text[1:])
            return Number(text[0])
        return self.atom()

    def postfix(self, tree: Tree) -> Tree:
        while True:
            if self.next[0] == "transpose":
                self.at += 1
                tree = Transpose(tree)
            elif self.peek("^"):
                self.take()
                tree = Power(tree, self.argument())
            elif self.peek("_"):
                tree = Index(tree, self.below())
            elif self.peek("'"):
                self.take()
                tree = Symbol(f"{tree.name}'") if isinstance(tree, Symbol) else tree
            else:
                return tree

    def fenced(self) -> Fence:
        opening = self.take("(", "[", "{", "lfloor", "lceil")
        bars, self.inside_bars = self.inside_bars, 0
        items = [self.relation()]
        while self.peek(","):
            self.take()
            items.append(self.relation())
        closing = self.take(*_FENCES[opening])
        self.inside_bars = bars
        kind = {"(": "paren", "[": "iverson", "{": "set", "lceil": "ceil"}.get(opening)
        return Fence(kind or ("floor" if closing == "rfloor" else "round"), tuple(items))

    def atom(self) -> Tree:
        kind, text = self.next
        if kind == "command" and text in ("frac", "tfrac"):
            self.at += 1
            return Frac(self.argument(), self.argument())
        if kind == "command" and text == "sqrt":
            self.at += 1
            return Root(self.argument())
        if kind == "command" and text in ("bar", "hat"):
            self.at += 1
            return Accent(text, self.argument())
        if self.peek("(", "[", "{", "lfloor", "lceil"):
            return self.fenced()
        if self.peek("|"):
            self.take()
            bars = "norm" if kind == "command" else "abs"
            self.inside_bars += 1
            body = self.terms()
            self.inside_bars -= 1
            if self.next != (kind, "|"):
                raise self.error("expected a closing |")
            self.take()
            return Fence(bars, (body,))
        self.at += 1
        if kind == "number":
            return Number(text)
        if kind == "text" or text == "*":
            return Text(text)
        if kind in ("letter", "mathrm"):
            return Symbol(text)
        if kind == "command" and text == "dots":
            return Text("…")
        if kind == "command" and text == "#":
            return Apply("#", self.fenced().items)
        if kind == "command" and text in _GREEK:
            return Symbol("\\" + text)
        self.at -= 1
        raise self.error("expected a symbol, a number or a bracket")
