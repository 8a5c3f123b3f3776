r"""One rule of one step as an equation with its numbers: dL/da = dL/dy . B^T, and what each part of it is.

What this file lets you do: turn a step of a `Trace`, the argument whose gradient is asked for and the cotangent into an
`Equation`, and a step alone into its forward equation. Every array here comes from reading the formula that stands
beside the rule, `result` from running the rule; `exact` says whether they agree.

    >>> import tinygrad_lab as torch
    >>> from tinygrad_lab.autograd import Trace
    >>> x, W = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [3.0]]).requires_grad_()
    >>> loss = (x @ W).relu().sum()
    >>> trace = Trace(loss, names={"x": x, "W": W})
    >>> step = next(step for step in trace.steps if step.op and step.op.name == "matmul")
    >>> found = equation(step, "other", trace.gradients()[step], trace.values_for_rules(step), names={"input": "x"})
    >>> found.text
    '∂L/∂W = xᵀ · ∂L/∂t1'
    >>> [(term.operator, term.text, term.value.tolist()) for term in found.terms]
    [('', 'xᵀ', [[1.0], [2.0]]), ('·', '∂L/∂t1', [[1.0]])]
    >>> found.result.tolist(), found.exact
    ([[1.0], [2.0]], True)
    >>> found.mathml[:24], found.latex[:20]
    ('<mrow><mfrac><mrow><mi>∂', '\\frac{\\partial L}{\\p')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.autograd import Step
from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra import typeset
from tinygrad_lab.viz.algebra.evaluate import NotEvaluable, combine, evaluate, is_matrix, key
from tinygrad_lab.viz.algebra.meanings import Meaning, formula_of, meaning, operand_letters, rule_of, symbols_of
from tinygrad_lab.viz.algebra.symbols import substitute
from tinygrad_lab.viz.words import index_text

__all__ = ["Equation", "Term", "equation", "forward_equation"]

_SHOWN_OPERATOR = {"odot": "⊙", "/": "/", "cdot": "·", "+": "+", "-": "−", "bmod": "mod"}


@dataclass
class Term:
    """A top-level factor or summand: its array, and the operator before it: "", "·", "⊙", "/", "+" or "−"."""

    tree: f.Tree
    value: np.ndarray
    operator: str = ""
    how: str = ""  # the operator as `algebra.evaluate.combine` takes it
    matrices: bool = False  # · is the product of matrices

    @property
    def mathml(self) -> str:
        return typeset.mathml(self.tree)

    @property
    def latex(self) -> str:
        return typeset.latex(self.tree)

    @property
    def text(self) -> str:
        return typeset.text(self.tree)


@dataclass
class Equation:
    """A rule (or a forward formula) with the names and numbers of one step.

    name          of what is on the left: the operand whose gradient it is, or the step
    tree          the equation with actual names; None where the op has no formula
    terms         its right side in parts, empty where it cannot be evaluated by reading (indices)
    result        what the rule returned: before the sum over broadcast copies
    contribution  `result` in the shape and dtype of the operand: what is added to its gradient
    exact         the formula, evaluated, is `result` to rounding; None where it cannot be evaluated
    """

    name: str
    tree: f.Formula | None
    terms: list[Term]
    result: np.ndarray
    contribution: np.ndarray
    exact: bool | None = None

    @property
    def mathml(self) -> str:
        """Content of a <math> element; see `algebra.typeset.math_element`."""
        return "" if self.tree is None else typeset.mathml(self.tree)

    @property
    def latex(self) -> str:
        return "" if self.tree is None else typeset.latex(self.tree)

    @property
    def text(self) -> str:
        return "" if self.tree is None else typeset.text(self.tree)

    @property
    def summed(self) -> bool:
        """Whether broadcasting copied the operand, so that `contribution` is a sum over the copies in `result`."""
        return self.result.shape != self.contribution.shape

    def combined(self) -> np.ndarray | None:
        """The terms put together: `result`, or `contribution` where the formula itself sums over copies."""
        if not self.terms:
            return None
        value = self.terms[0].value
        for term in self.terms[1:]:
            value = combine(term.how, value, term.value, term.matrices)
        return self.fitted(value)

    def fitted(self, value: Any) -> np.ndarray:
        """A value of the formula in the shape of what the rule gave: formulas keep dimensions and flatten rows."""
        value = np.asarray(value)
        for goal in (self.result, self.contribution):
            if value.size == goal.size:
                return value.reshape(goal.shape)
        try:
            return np.broadcast_to(value, self.result.shape)
        except ValueError:
            return value

    def equals(self, value: Any) -> bool:
        """Whether an evaluated formula agrees with what the rule gave."""
        value = self.fitted(value)
        return any(_agree(value, goal) for goal in (self.result, self.contribution))


def equation(
    step: Step,
    argument: str,
    cotangent: Any,
    values: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    loss: str = "L",
    result: np.ndarray | None = None,
) -> Equation:
    """The rule of `step` for `argument` ("input"; "tensors[1]" for an element of a sequence).

    cotangent   the gradient of the step's output
    values      what the rule works on: `trace.values_for_rules(step)`
    names       {argument: name} for operands, and "y" for the output, that are to be called otherwise than their steps
    loss        what the gradient is of, in dL/da
    result      what the rule returned, if that is known already; else the rule runs
    """
    op = step.op
    base, _, index = argument.partition("[")
    found = _name(step, argument, names)
    if result is None:
        result = op.vjp(base, np.asarray(cotangent), **{name: values[name] for name in op.needs[base]})
        result = result[int(index[:-1])] if index else result
    result = np.asarray(result)
    operand = dict(step.inputs).get(argument)
    contribution = result
    if operand is not None:
        contribution = np.asarray(graph.fit(result, operand.shape, operand.dtype, op))
    tree = rule_of(op, argument, values)
    if tree is None:
        return Equation(found, None, [], result, contribution)
    meant = meaning(op, values, cotangent, argument)
    return _finished(found, tree, meant, _names(step, meant, names, argument, tree, loss), loss, result, contribution)


def forward_equation(step: Step, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Equation:
    """The formula that gave the step's value, with the names and numbers of this call."""
    result = np.asarray(values["y"])
    found = _name(step, "y", names)
    tree = formula_of(step.op, values)
    if tree is None:
        return Equation(found, None, [], result, result)
    meant = meaning(step.op, values)
    return _finished(found, tree, meant, _names(step, meant, names, "", tree, None), None, result, result)


def formula_without_values(
    step: Step, argument: str, names: Mapping[str, str], loss: str | None = None
) -> f.Formula | None:
    """The rule for `argument` (forward with "") where no values are known: read with names, not evaluated."""
    tree = rule_of(step.op, argument, names) if argument else formula_of(step.op, names)
    if tree is None or step.op.name == "contract":
        return None
    known = {symbol: names[name] for symbol, name in symbols_of(step.op).items() if name in names}
    named = substitute(tree, {**known, "y": names["y"], "Y": names["y"]}, loss)
    return named if isinstance(named, f.Formula) else None


def _finished(
    name: str, tree: f.Formula, meant: Meaning, names: dict[str, Any], loss: str | None, result: Any, contribution: Any
) -> Equation:
    # Definitions are for reading: those that the rest does not use in this call (1 in their place) are left out.
    named = substitute(tree, names, loss, drop_sums=not meant.sums)
    assert isinstance(named, f.Formula)
    made = Equation(name, named, [], result, contribution)
    if _has_indices(tree, names):
        return made  # says what happens at indices: read, not evaluated
    try:
        scope = _with_definitions(tree, meant)
        right = _without_sums(tree.right) if not meant.sums else tree.right
        made.exact = made.equals(evaluate(right, scope, meant.axes, meant.functions))
        made.terms = _terms(right, scope, meant, names, loss)
    except (NotEvaluable, KeyError, TypeError, ValueError, IndexError):
        made.terms = []
        return made
    if not made.exact or not made.equals(made.combined()):
        made.terms = []
    return made


def _has_indices(tree: f.Formula, names: Mapping[str, Any]) -> bool:
    """Whether a left side has indices: \\bar a_{ij}, not \\bar a_k where it is the operand number k."""
    left = [(tree.relation, tree.left), *((equation.relations[0], equation.items[0]) for equation in tree.more)]
    return any(
        how != "=" or (isinstance(side, f.Index) and key(side).removeprefix("\\bar ") not in names)
        for how, side in left
    )


def _agree(a: Any, b: np.ndarray) -> bool:
    """Equal but for rounding, in half of the digits of the largest number: float32 sums in another order lose some.

    That tells a wrong formula from a right one; the tests hold equations to a few units in the last place.
    """
    if a is None or np.shape(a) != b.shape:
        return False
    wide = np.asarray(a, float), np.asarray(b, float)
    if not b.size:
        return True
    tolerance = float(np.sqrt(np.finfo(b.dtype).eps)) if b.dtype.kind == "f" else 0.0
    scale = np.max(np.abs(wide[1]), initial=0, where=np.isfinite(wide[1]))
    with np.errstate(invalid="ignore"):
        return bool(np.allclose(*wide, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def _with_definitions(tree: f.Formula, meant: Meaning) -> dict[str, Any]:
    """The values, and those of the symbols that the formula defines; what a definition uses is defined after it."""
    scope = dict(meant.values)
    for definition in reversed(tree.more):
        if isinstance(definition, f.Relation) and definition.relations == ("=",):
            name = key(definition.items[0])
            if name and scope.get(name) is None:
                scope[name] = evaluate(definition.items[1], scope, meant.axes, meant.functions)
    return scope


def _without_sums(tree: f.Tree) -> f.Tree:
    return substitute(tree, {}, None, drop_sums=True)


def _terms(right: f.Tree, scope: dict[str, Any], meant: Meaning, names: dict[str, Any], loss: str | None) -> list[Term]:
    def term(tree: f.Tree, how: str = "", matrices: bool = False) -> Term:
        value = np.asarray(evaluate(tree, scope, meant.axes, meant.functions))
        shown = substitute(tree, names, loss, drop_sums=not meant.sums)
        operator = "·" if matrices else _SHOWN_OPERATOR.get(how, "·" if how == "" else how)
        return Term(shown, value, operator, how, matrices)

    if isinstance(right, f.Terms) and len(right.terms) == 1:  # -a b: the sign goes with the first factor
        ((sign, body),) = right.terms
        if isinstance(body, f.Product):
            negative = f.Terms(((sign, body.factors[0][1]),))
            right = replace(body, factors=(("", negative), *body.factors[1:]))
    parts: list[tuple[str, f.Tree]] = [("", right)]
    if isinstance(right, f.Terms) and len(right.terms) > 1:
        first = right.terms[0]
        parts = [("", f.Terms((first,)) if first[0] else first[1]), *right.terms[1:]]
    elif isinstance(right, f.Product):
        parts = list(right.factors)
    found: list[Term] = []
    previous: f.Tree | None = None
    for how, tree in parts:
        matrices = bool(found) and how == "" and previous is not None and is_matrix(previous) and is_matrix(tree)
        made = term(tree, how, matrices)
        if found and how in ("", "odot") and np.ndim(made.value) == 0 and made.value == 1:
            continue  # a factor that this call does not have: alpha=1, no weights
        found.append(made)
        previous = tree
    if len(found) > 1 and np.ndim(found[0].value) == 0 and found[0].value == 1 and found[1].how in ("", "odot"):
        found.pop(0)
    found[0].operator = ""
    return found


def _name(step: Step, argument: str, names: Mapping[str, str] | None) -> str:
    if names and argument in names:
        return names[argument]
    if argument == "y":
        return step.name
    operand = dict(step.inputs).get(argument)
    return argument if operand is None else operand.name


def _names(
    step: Step, meant: Meaning, names: Mapping[str, str] | None, argument: str, tree: f.Formula, loss: str | None
) -> dict[str, Any]:
    """What each symbol of the formula is called here: steps and arrays by name, numbers as such."""
    found: dict[str, Any] = {letter: _name(step, "y", names) for letter in ("y", "Y")}
    seed: Any = meant.values.get(r"\bar y")
    if loss is not None and found["y"] == loss and np.size(seed) == 1 and np.all(seed == 1):
        found |= {r"\bar y": 1, r"\bar Y": 1}  # dL/dL
    for symbol, name in meant.symbols.items():
        operand = step.operands.get(name)
        value = meant.values.get(symbol)
        if symbol == "i":
            found[symbol] = f.Text(index_text(operand))
        elif isinstance(operand, tuple) and step.op.sequence:
            items = [_name(step, f"{name}[{i}]", names) for i in range(len(operand))]
            found[symbol] = items
            found.update(zip(operand_letters(len(items)), items, strict=True))  # of an einsum
            if "k" in meant.values:
                found[f"{symbol}_k"] = items[meant.values["k"]]
                found["k"] = meant.values["k"]
        elif operand is None and value in (0, 1) and isinstance(value, int):
            found[symbol] = value
        elif isinstance(operand, Step) or (names and name in names) or (isinstance(value, np.ndarray) and value.ndim):
            found[symbol] = _name(step, name, names)
        elif isinstance(value, (int, float, np.generic)) or (isinstance(value, np.ndarray) and not value.ndim):
            found[symbol] = value
    indices = {part for index in f.walk(tree) if isinstance(index, f.Index) for part in f.walk(index)}
    for symbol, value in meant.values.items():
        is_number = isinstance(value, (int, float)) and symbol not in found
        if is_number and f.Symbol(symbol) not in indices and symbol not in ("y", "Y"):
            found[symbol] = value
    return found
