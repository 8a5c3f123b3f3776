r"""Walking through a formula to write it down; how a fraction or a name looks, `algebra.typeset` says."""

from __future__ import annotations

from typing import Any

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.symbols import Name, Partial, Sign

__all__ = ["BIG", "FENCE_CHARACTERS", "SIGNS", "Writer"]

SIGNS = {
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
GREEK = dict(
    zip(
        ["alpha", "beta", "gamma", "delta", "epsilon", "lambda", "mu", "sigma", "pi", "tau", "infty", "Phi"],
        ["α", "β", "γ", "δ", "ε", "λ", "μ", "σ", "π", "τ", "∞", "Φ"],
        strict=True,
    )
)
BIG = {"sum": "∑", "prod": "∏", "bigwedge": "⋀", "bigvee": "⋁"}
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
FENCE_CHARACTERS = {
    r"\|": "‖",
    r"\lfloor ": "⌊",
    r"\rfloor ": "⌋",
    r"\lceil ": "⌈",
    r"\rceil ": "⌉",
    r"\{": "{",
    r"\}": "}",
}


class Writer:
    """Walks a tree. What a subclass must say stands at its end."""

    def of(self, tree: f.Tree) -> str:
        method = getattr(self, "_" + type(tree).__name__.lower())
        written: str = method(tree)
        return written

    def _formula(self, tree: f.Formula) -> str:
        first = self.row([self.of(tree.left), self.sign(tree.relation), self.of(tree.right)])
        return self.spaced([first, *(self.of(equation) for equation in tree.more)])

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
            return str(self.spaced([self.of(item) for item in tree.items]))
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
        if isinstance(tree.base, f.Power) and isinstance(tree.base.base, f.Symbol):
            return self.both(self.of(tree.base.base), self.below(tree.indices), self.of(tree.base.exponent))
        return self.sub(self.base(tree.base), self.below(tree.indices))

    def below(self, items: tuple[f.Tree, ...]) -> str:
        if not items:
            return ""
        outer, self.in_index = self.in_index, True
        written = self.listed([self.of(item) for item in items])
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
    spaced: Any
    both: Any
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
