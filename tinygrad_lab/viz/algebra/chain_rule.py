r"""The chain rule of one graph, written out: every forward equation, then every gradient in the order of backprop.

What this file lets you do: `formulas(loss)` gives the equations of this very graph with the names of its tensors, as
LaTeX, MathML, a page or text. `algebra.derivation` derives the gradients of the models it knows in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.derivation import derive
from tinygrad_lab.viz.algebra.equations import Equation, equation, formula_without_values, forward_equation
from tinygrad_lab.viz.algebra.evaluate import key
from tinygrad_lab.viz.algebra.symbols import Name, Partial, substitute
from tinygrad_lab.viz.algebra.written import Line, Written
from tinygrad_lab.viz.reading.graphs import read
from tinygrad_lab.viz.stepping.recording import Recording, record

__all__ = ["Formulas", "formulas"]


@dataclass(repr=False)
class Formulas(Written):
    """The equations of a graph: `print(...)`, `.latex()`, `.mathml()`, `.html()`, `.text()`, `.save("x.tex")`.

    contributions   the equation of every single rule, in the order in which the rules run
    """

    contributions: list[Equation] | None = None
    loss: Tensor | None = None
    names: dict[Any, str] | None = None

    def derivation(self) -> Written:
        r"""The gradients derived in one go, as a lab report does by hand, where the graph is one that is known.

        Known are chains of linear layers (`nn.Linear`, or x @ W + b) with relu, tanh or sigmoid between them that end
        in a cross-entropy of labels, also one that is written out: softmax regression and multi-layer perceptrons.
        ValueError for others, which says where the chain ends.
        """
        assert self.loss is not None and self.names is not None
        return derive(self.loss, self.names)


def formulas(loss: Tensor, params: Any = None, names: Mapping[str, Any] | None = None, max_ops: int = 200) -> Formulas:
    r"""The chain rule of this very graph, node by node.

    loss      a scalar with a history whose backward pass has not freed it yet
    params    what names the parameters: a Module, a dict or a list of tensors; default: the modules that were called
    names     {name: tensor} for anything, such as locals()
    max_ops   of a longer graph the middle is left out

    Nothing is changed: no `.grad`, no hook runs. RuntimeError if the loss is not a scalar or its graph was freed.

    >>> x, W = Tensor([[1.0, 2.0]]), Tensor([[1.0], [3.0]]).requires_grad_()
    >>> found = formulas((x @ W).relu().sum(), names={"x": x, "W": W})
    >>> found
    Forward
      t2 = x · W        (1×1)
      t3 = max(t2, 0)   (1×1)
       L = ∑ t3         (scalar)
    <BLANKLINE>
    Backward
       ∂L/∂L = 1                   (the seed)
      ∂L/∂t3 = expand(1)           (1×1)
      ∂L/∂t2 = ∂L/∂t3 ⊙ [t3 > 0]   (1×1)
       ∂L/∂W = xᵀ · ∂L/∂t2         (2×1)
    >>> print(found.latex().splitlines()[2])
    \mathrm{t2} &= x \cdot W && \text{1$\times$1}\\[2pt]
    """
    if isinstance(loss, Tensor) and loss.node is None:
        raise RuntimeError("viz.formulas: nothing was computed: the loss is a leaf, or was made under no_grad()")
    recording = record(loss)
    picture = read(loss, params, names)
    ops = [node for node in picture.nodes if node.kind in ("op", "loss")]
    shown = dict(zip((node.id for node in ops), recording.forward, strict=True))
    called: dict[Step, str] = {shown[node.id]: node.name for node in ops}
    if called[recording.loss] in ("loss", ops[-1].id):
        called[recording.loss] = "L"
    operands: dict[Step, dict[str, str]] = {step: {} for step in recording.forward}
    for edge in picture.edges:
        source = picture.node(edge.source)
        if source.kind != "constant" or source.shape:  # numbers stand in the equations as such
            operands[shown[edge.target]][edge.argument] = source.name
    for step, found in operands.items():
        for argument, operand in step.inputs:
            found[argument] = called.setdefault(operand, found.get(argument, operand.name))
        found["y"] = called[step]
    writer = _Writer(recording, called, operands)
    left_out = writer.shorten(max_ops)
    note = f"{left_out} operations in the middle are left out; max_ops={len(ops)} shows all." if left_out else ""
    sections = [("Forward", writer.forward()), ("Backward", writer.backward())]
    title = f"The chain rule of {called[recording.loss]}"
    of_source = {(step.source, argument): name for step, found in operands.items() for argument, name in found.items()}
    return Formulas(title, sections, note, writer.contributions, loss, of_source)


class _Writer:
    def __init__(self, recording: Recording, called: dict[Step, str], operands: dict[Step, dict[str, str]]) -> None:
        self.recording, self.called, self.operands = recording, called, operands
        self.loss = called[recording.loss]
        self.contributions: list[Equation] = []
        self.hidden: set[Step] = set()
        self.defined: dict[Step, dict[str, f.Tree]] = {}  # what forward() found

    def shorten(self, most: int) -> int:
        steps = self.recording.forward
        if len(steps) > most:
            self.hidden = set(steps[most // 2 : len(steps) - (most - most // 2)])
        return len(self.hidden)

    def values(self, step: Step) -> dict[str, Any] | None:
        try:
            return self.recording.trace.values_for_rules(step)
        except RuntimeError:  # a user's Function: only its own code knows what it computes
            return None

    def forward(self) -> list[Line]:
        trees: dict[Step, f.Formula] = {}
        for step in self.recording.forward:
            if step in self.hidden:
                continue
            values = self.values(step)
            if values is None:
                tree = formula_without_values(step, "", self.operands[step])
            else:
                tree = forward_equation(step, values, self.operands[step]).tree
            trees[step] = tree or self._opaque(step)
        times = Counter(key(item) for tree in trees.values() for item in _defined(tree))
        for step, tree in trees.items():
            of = (Name(self.called[step]),)
            self.defined[step] = {key(item): f.Index(item, of) for item in _defined(tree) if times[key(item)] > 1}
        return [Line(self._own(step, tree), shape_text(step.shape)) for step, tree in trees.items()]

    def _own(self, step: Step, tree: f.Formula) -> f.Formula:
        """With the step's name on the symbols that its line defines, where other lines define them too."""
        named = substitute(tree, self.defined[step])
        assert isinstance(named, f.Formula)
        return named

    def _opaque(self, step: Step) -> f.Formula:
        """y = name(a, b), for what has no formula."""
        names = [Name(self.called[operand]) for _, operand in step.inputs]
        return f.Formula(Name(self.called[step]), "=", f.Apply(step.op.name, tuple(names)))

    def backward(self) -> list[Line]:
        seed = f.Formula(Partial(self.loss, Name(self.loss)), "=", f.Number("1"))
        lines = [Line(seed, "the seed")]
        waiting: dict[Step, list[tuple[Equation, str]]] = {}
        for turn in self.recording.backward:
            step = turn.step
            if step in self.hidden:
                continue
            values = self.values(step)
            for part in turn.contributions:
                found = self._rule(step, part, turn.cotangent, values)
                self.contributions.append(found)
                waiting.setdefault(part.operand, []).append((found, shape_text(part.operand.shape)))
                if part.last:
                    lines += self._gradient(part.operand, waiting.pop(part.operand))
        return lines + [line for operand, parts in waiting.items() for line in self._gradient(operand, parts)]

    def _rule(self, step: Step, part: Any, cotangent: Any, values: dict[str, Any] | None) -> Equation:
        found = None
        if values is not None:
            found = equation(step, part.argument, cotangent, values, self.operands[step], self.loss, part.raw)
        if found is None:
            tree = formula_without_values(step, part.argument, self.operands[step], self.loss)
            found = Equation(self.called[part.operand], tree, [], np.asarray(part.raw), np.asarray(part.value))
        if found.tree is None:
            right = f.Apply("vjp", (self._partial(step),), (f.Symbol(step.op.name),))
            tree = f.Formula(self._partial(part.operand), "=", right)
            return Equation(self.called[part.operand], tree, [], np.asarray(part.raw), np.asarray(part.value))
        over = "copies" if found.summed and not _sums_copies(found.tree.right) else ""
        if step.op.name == "linear" and part.argument == "weight" and np.ndim(cotangent) > 2:
            over = "batch"
        if over:
            total = f.Big("sum", (f.Text(over),), _in_brackets(found.tree.right))
            found.tree = f.Formula(found.tree.left, found.tree.relation, total, found.tree.more)
        found.tree = self._own(step, found.tree)
        return found

    def _partial(self, step: Step) -> f.Tree:
        return Partial(self.loss, Name(self.called[step]))

    def _gradient(self, operand: Step, parts: list[tuple[Equation, str]]) -> list[Line]:
        """One line for a gradient, the sum of its contributions; several where they cannot be written as one sum."""
        trees = [part.tree for part, _ in parts if part.tree is not None]
        remark = parts[0][1]
        if len(trees) == 1:
            return [Line(trees[0], remark)]
        used = ", ".join(part for part in (remark, f"used {len(trees)} times: contributions add") if part)
        if any(tree.relation != "=" or tree.more or isinstance(tree.left, f.Index) for tree in trees) or len(trees) > 6:
            first = Line(f.Formula(trees[0].left, trees[0].relation, trees[0].right, trees[0].more), used)
            others = [Line(f.Formula(tree.left, "+=", tree.right, tree.more), remark) for tree in trees[1:]]
            return [first, *others]
        terms: list[tuple[str, f.Tree]] = []
        for tree in trees:
            right = tree.right
            if isinstance(right, f.Terms) and len(right.terms) == 1:
                terms.append(("-", right.terms[0][1]))
            else:
                terms.append(
                    ("+" if terms else "", f.Fence("paren", (right,)) if isinstance(right, f.Terms | f.If) else right)
                )
        return [Line(f.Formula(trees[0].left, "=", f.Terms(tuple(terms))), used)]


def _defined(tree: f.Formula) -> list[f.Tree]:
    """The symbols that a formula defines after its right side."""
    return [definition.items[0] for definition in tree.more if definition.relations == ("=",)]


def _sums_copies(tree: f.Tree) -> bool:
    return any(
        isinstance(part, f.Big) and part.below in ((f.Text("copies"),), (f.Text("rows"),)) for part in f.walk(tree)
    )


def _in_brackets(tree: f.Tree) -> f.Tree:
    return f.Fence("paren", (tree,)) if isinstance(tree, f.Terms | f.If) else tree


def shape_text(shape: tuple[int, ...]) -> str:
    """3×4, or scalar; nothing for a Function with several outputs, which has no shape of its own."""
    return "×".join(map(str, shape)) or "scalar" if isinstance(shape, tuple) else ""
