r"""Names in the place of a formula's symbols.

What this file lets you do: `substitute` the names and numbers of one call into a tree of `algebra.formula`, with
cotangents as derivatives of the loss, and factors that are 1 left out. It knows the tree, and nothing of how it is
written.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.evaluate import evaluate, is_matrix, key

__all__ = ["Name", "Partial", "Sign", "number", "shown", "substitute"]


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

    names       {symbol: name, number, Tree, or list of names for a_1, a_2, ...}, by `algebra.evaluate.key`
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
        if isinstance(tree, f.Terms):
            return _plain_terms(tree)
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
                tree = f.Product(tuple(kept))
            first = tree.factors[0][1]
            if isinstance(first, f.Terms) and len(first.terms) == 1:  # (-2) x is -(2 x)
                positive = f.Product((("", first.terms[0][1]), *tree.factors[1:]))
                return f.Terms((("-", self.simplified(positive)),))
            return tree if len(tree.factors) > 1 else first
        return tree


def _plain_terms(tree: f.Terms) -> f.Tree:
    """Without terms 0, and + (-x) as - x."""
    kept: list[tuple[str, f.Tree]] = []
    for how, term in tree.terms:
        if isinstance(term, f.Terms) and len(term.terms) == 1 and how in ("", "+", "-"):
            how, term = "+" if how == "-" else "-", term.terms[0][1]
        if term != f.Number("0") or how not in ("", "+", "-"):
            kept.append((how, term))
    if not kept:
        return f.Number("0")
    first, term = kept[0]
    kept[0] = ("" if first == "+" else first, term)
    return f.Terms(tuple(kept)) if len(kept) > 1 or kept[0][0] else term


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
