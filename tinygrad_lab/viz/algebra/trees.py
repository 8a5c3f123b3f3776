"""The parts of a formula: what `algebra.formula.parse` makes, and the other files of formulas walk through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

__all__ = [
    "Accent",
    "Apply",
    "Big",
    "Fence",
    "Formula",
    "Frac",
    "If",
    "Index",
    "Number",
    "Power",
    "Prefix",
    "Product",
    "Relation",
    "Root",
    "Symbol",
    "Terms",
    "Text",
    "Transpose",
    "Tree",
    "walk",
]


@dataclass(frozen=True)
class Tree:
    """A part of a formula."""


@dataclass(frozen=True)
class Number(Tree):
    text: str


@dataclass(frozen=True)
class Symbol(Tree):
    """A letter or a Greek command (`a`, `\\alpha`), or the name in `\\mathrm{atol}`."""

    name: str


@dataclass(frozen=True)
class Text(Tree):
    """Words: `\\text{copies}`, and `\\dots`."""

    text: str


@dataclass(frozen=True)
class Accent(Tree):
    kind: str  # "bar" or "hat"
    body: Tree


@dataclass(frozen=True)
class Apply(Tree):
    """A function: its name ("sin", "onehot", "sigma"), what stands below and above it, and its arguments."""

    name: str
    arguments: tuple[Tree, ...]
    below: tuple[Tree, ...] = ()
    above: Tree | None = None
    parentheses: bool = True


@dataclass(frozen=True)
class Fence(Tree):
    kind: str  # "paren", "iverson", "abs", "norm", "floor", "ceil", "round", "set"
    items: tuple[Tree, ...]


@dataclass(frozen=True)
class Frac(Tree):
    top: Tree
    bottom: Tree


@dataclass(frozen=True)
class Root(Tree):
    body: Tree


@dataclass(frozen=True)
class Power(Tree):
    base: Tree
    exponent: Tree


@dataclass(frozen=True)
class Transpose(Tree):
    base: Tree


@dataclass(frozen=True)
class Index(Tree):
    base: Tree
    indices: tuple[Tree, ...]


@dataclass(frozen=True)
class Product(Tree):
    """Factors, each with the operator before it: "" (juxtaposed), "odot", "/", "cdot", "bmod"."""

    factors: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True)
class Terms(Tree):
    """Terms with the operators before them: "+", "-", "wedge", "vee", "oplus", "bitand", "bitor"; first "" or "-"."""

    terms: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True)
class Prefix(Tree):
    operator: str  # "neg", "sim"
    body: Tree


@dataclass(frozen=True)
class Big(Tree):
    """A sum, product, "all" or "any" over everything after it."""

    kind: str  # "sum", "prod", "bigwedge", "bigvee"
    below: tuple[Tree, ...]
    body: Tree


@dataclass(frozen=True)
class Relation(Tree):
    """a = b, 0 < a < 6: items and the relations between them ("=", "+=", "<", ">", "le", "ge", "ne", "sim", ":")."""

    items: tuple[Tree, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True)
class If(Tree):
    then: Tree
    condition: Tree
    otherwise: Tree


@dataclass(frozen=True)
class Formula(Tree):
    """What `parse` returns: `left relation right`, and the equations after it."""

    left: Tree
    relation: str
    right: Tree
    more: tuple[Relation, ...] = ()


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and all its parts, in reading order."""
    yield tree
    for field in fields(tree):
        yield from _walk_value(getattr(tree, field.name))


def _walk_value(value: Any) -> Iterator[Tree]:
    if isinstance(value, Tree):
        yield from walk(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk_value(item)
