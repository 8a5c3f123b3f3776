r"""The gradients of softmax regression and of multi-layer perceptrons, derived as one does by hand.

What this file lets you do: `derive(loss, names)` recognises a chain of linear layers with activations that ends in a
cross-entropy, and writes the derivation down with the names and shapes of this graph. Every line carries the numbers of
its symbols, so that tests check each against autograd.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.autograd import Step, Trace
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.formula import parse
from tinygrad_lab.viz.algebra.symbols import Name, substitute
from tinygrad_lab.viz.algebra.written import Line, Written

__all__ = ["derive"]

# activation: (forward, its derivative in terms of the input Z or the output H)
ACTIVATIONS = {
    "relu": (r"H = \max(Z, 0)", r"[Z > 0]"),
    "tanh": (r"H = \tanh Z", r"(1 - H^2)"),
    "sigmoid": (r"H = \sigma(Z)", r"H \odot (1 - H)"),
}
_KNOWN = (
    "derivations are known for softmax regression and multi-layer perceptrons: nn.Linear layers (or x @ W + b) with "
    "relu, tanh or sigmoid between them, a batch of shape (N, features), and a mean cross_entropy of integer labels "
    "(or log_softmax and nll_loss, or the mean of -log p[arange(N), y] written out) at the end"
)


@dataclass
class _Layer:
    """Z = X W^T + b (transposed) or X W + b; W, b and the activation before it as steps."""

    z: Step
    weight: Any
    transposed: bool
    x: Any
    bias: Any = None
    activation: Step | None = None  # the step that made x
    extra: list[Step] = field(default_factory=list)


def derive(loss: Tensor, names: dict[Any, str]) -> Written:
    """The derivation of `loss`; `names` {(node, argument): name}. ValueError where the graph is no known chain."""
    trace = Trace(loss)
    root = trace.step(loss)
    logits, target, place = _loss(root)
    return _Derivation(trace, root, logits, target, names.get(place, "t"), _layers(logits), names).written()


def _refuse(what: str) -> ValueError:
    return ValueError(f"no derivation for this graph: {what}. {_KNOWN[0].upper()}{_KNOWN[1:]}")


def _loss(root: Step) -> tuple[Step, np.ndarray, tuple[Any, str]]:
    """(logits, labels, (node, argument) where the labels are used)."""
    name = "" if root.op is None else root.op.name
    if name in ("neg", "mean"):
        return _loss_by_hand(root)
    if name not in ("label_cross_entropy", "nll_loss"):
        raise _refuse(f"it ends in {name or 'a leaf'}")
    operands = root.operands
    target = np.asarray(operands["target"])
    logits = operands["input"]
    if name == "nll_loss":
        if not _is(logits, "log_softmax"):
            raise _refuse("nll_loss does not come from log_softmax")
        logits = _over_classes(logits)
    plain = operands.get("weight") is None and operands.get("reduction") == "mean"
    if len(logits.shape) != 2 or not plain or (target == operands.get("ignore_index")).any():
        raise _refuse("the loss has class weights, ignored labels, another reduction than the mean, or no batch")
    return logits, target, (root.source, "target")


def _loss_by_hand(root: Step) -> tuple[Step, np.ndarray, tuple[Any, str]]:
    """The cross-entropy written out: -log(p[arange(N), y]).mean(), the log taken before or after labels are picked."""
    passed, step = [], root
    while _is(step, "neg", "mean", "log"):
        passed.append(step.op.name)
        step = step.operands["input"]
    index: Any = step.operands["index"] if _is(step, "getitem") else None
    pairs = isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, np.ndarray) for part in index)
    if not pairs or sorted(passed[:2]) != ["mean", "neg"] or passed[2:] not in ([], ["log"]) or step.shape == ():
        raise _refuse(f"it ends in {root.op.name}, and not in the mean of -log p[arange(N), y]")
    rows, labels = index
    picked = step.operands["input"]
    if len(picked.shape) != 2 or labels.dtype.kind not in "iu" or not np.array_equal(rows, np.arange(picked.shape[0])):
        raise _refuse("not one label of each row is picked")
    if passed[2:] or _is(picked, "log"):
        logits = _logits(picked if passed[2:] else picked.operands["input"])
    elif _is(picked, "log_softmax"):
        logits = _over_classes(picked)
    else:
        raise _refuse("the logarithm of what is picked is not taken")
    return logits, labels, (step.source, "index[1]")


def _logits(probabilities: Any) -> Step:
    """What the softmax was taken of: softmax(z, 1), or e / e.sum(1, keepdim=True), where a maximum may be taken off."""
    if _is(probabilities, "softmax"):
        return _over_classes(probabilities)
    if _is(probabilities, "div"):
        e, total = probabilities.operands["input"], probabilities.operands["other"]
        if _is(e, "exp") and _is(total, "sum") and total.operands["input"] is e and total.shape == (e.shape[0], 1):
            z = e.operands["input"]
            shifted = _is(z, "sub") and np.shape(z.operands["other"]) == total.shape
            return z.operands["input"] if shifted else z
    raise _refuse("what the logarithm is taken of is no softmax")


def _over_classes(step: Step) -> Step:
    if step.operands.get("dim") not in (1, -1):
        raise _refuse(f"{step.op.name} is not over dimension 1")
    return step.operands["input"]


def _is(step: Any, *names: str) -> bool:
    return isinstance(step, Step) and step.op is not None and step.op.name in names


def _layers(z: Step) -> list[_Layer]:
    """The linear layers from the last to the first, returned first to last."""
    found = []
    while True:
        layer = _linear(z)
        found.append(layer)
        if not isinstance(layer.x, Step) or layer.x.is_leaf:
            return found[::-1]
        if layer.x.op.name not in ACTIVATIONS:
            raise _refuse(f"{layer.x.op.name} stands between the layers")
        layer.activation = layer.x
        z = layer.x.operands["input"]


def _linear(z: Step) -> _Layer:
    op = "" if z.op is None else z.op.name
    if op == "linear" and len(z.shape) == 2:
        return _Layer(z, z.operands["weight"], True, z.operands["input"], z.operands["bias"])
    product, bias = z, None
    if op == "add" and z.operands.get("alpha") == 1:
        left, right = z.operands["input"], z.operands["other"]
        if isinstance(right, Step) and right.op is not None and right.op.name == "matmul":
            left, right = right, left
        if isinstance(left, Step) and left.op is not None and left.op.name == "matmul":
            product, bias = left, right
            shape = right.shape if isinstance(right, Step) else np.shape(right)
            if shape not in ((z.shape[-1],), (1, z.shape[-1])):
                raise _refuse(f"something of shape {shape} is added to a matrix product")
    if product.op is None or product.op.name != "matmul" or len(product.shape) != 2:
        raise _refuse(f"{op or 'a leaf'} stands where a linear layer would")
    x, weight = product.operands["input"], product.operands["other"]
    if not isinstance(weight, Step) or not weight.is_leaf:
        raise _refuse("the right factor of a matrix product is not a leaf")
    return _Layer(z, weight, False, x, bias, extra=[product] if product is not z else [])


class _Derivation:
    def __init__(
        self,
        trace: Trace,
        root: Step,
        logits: Step,
        target: np.ndarray,
        target_name: str,
        layers: list[_Layer],
        names: dict[Any, str],
    ) -> None:
        self.trace, self.root, self.logits, self.target, self.layers = trace, root, logits, target, layers
        self.target_name, self.names = target_name, names
        self.gradients = trace.gradients()
        self.many = len(layers) > 1
        self.count = len(target)
        z = np.asarray(trace.value(logits))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        self.probabilities = e / e.sum(axis=1, keepdims=True)
        self.onehot = np.eye(z.shape[1], dtype=z.dtype)[target]

    def written(self) -> Written:
        last = self.layers[-1]
        sections = [("Model", self._model()), ("From the loss to the logits", self._loss_lines(last))]
        for number in range(len(self.layers), 0, -1):
            heading = f"Layer {number}: parameters" if self.many else "Parameters"
            sections.append((heading, self._parameters(number)))
            if number > 1:
                sections.append((f"Through the activation into layer {number - 1}", self._recursion(number)))
        what = f"an MLP with {len(self.layers)} linear layers" if self.many else "softmax regression"
        return Written(f"Derivation of the gradients of {what}", sections)

    # Symbols and numbers

    def _numbered(self, letter: str, number: int) -> f.Tree:
        """Z^{(2)}, or Z where there is one layer only."""
        symbol = f.Symbol(letter)
        return f.Power(symbol, f.Fence("paren", (f.Number(str(number)),))) if self.many else symbol

    def _array(self, operand: Any) -> np.ndarray:
        return np.asarray(self.trace.value(operand) if isinstance(operand, Step) else operand)

    def _named(self, layer: _Layer, which: str) -> f.Tree:
        """The graph's name of a layer's X, W or b."""
        product = layer.extra[0] if layer.extra else layer.z
        if layer.transposed:
            at = layer.z, {"X": "input", "W": "weight", "b": "bias"}[which]
        elif which == "b":
            at = layer.z, "input" if layer.z.operands["input"] is layer.bias else "other"
        else:
            at = product, {"X": "input", "W": "other"}[which]
        return Name(self.names.get((at[0].source, at[1]), which), True)

    def _scope(self, number: int) -> tuple[dict[str, Any], dict[str, f.Tree]]:
        """(values, names) of the symbols of layer `number`: X W b Z, A is its input's own input, D its delta."""
        layer = self.layers[number - 1]
        delta = self.gradients[layer.z]
        values: dict[str, Any] = {
            "X": self._array(layer.x),
            "W": self._array(layer.weight),
            "b": 0 if layer.bias is None else self._array(layer.bias),
            "Z": self._array(layer.z),
            "D": delta,
            "P": self.probabilities,
            "T": self.onehot,
            "N": self.count,
            "L": self._array(self.root),
            "t": self.target,
            r"\bar Z": delta,
            r"\bar W": self._gradient(layer.weight),
            r"\bar b": self._gradient(layer.bias),
            r"\bar X": self._gradient(layer.x),
        }
        before = self._numbered("H", number - 1)
        names: dict[str, f.Tree] = {
            "X": self._named(layer, "X") if layer.activation is None else before,
            "W": self._named(layer, "W"),
            "b": self._named(layer, "b"),
            "Z": self._numbered("Z", number),
            "D": self._numbered(r"\delta", number),
            "T": f.Apply("onehot", (Name(self.target_name),)),
            "N": f.Number(str(self.count)),
            "t": Name(self.target_name),
        }
        names |= {"x": names["X"], "w": names["W"], "z": names["Z"], "d": names["D"], "p": f.Symbol("p")}
        values |= {"x": values["X"], "w": values["W"], "z": values["Z"], "d": values["D"], "p": values["P"]}
        values |= {r"\bar z": delta, r"\bar w": values[r"\bar W"], "c": values["b"], r"\bar c": values[r"\bar b"]}
        values["x"] = values["X"]
        return values, names

    def _gradient(self, operand: Any) -> Any:
        return self.gradients.get(operand) if isinstance(operand, Step) else None

    def _line(self, number: int, source: str, remark: str = "", expected: Any = None, **more: Any) -> Line:
        values, names = self._scope(number)
        for symbol, (value, name) in more.items():
            values[symbol], names[symbol] = value, name
        tree = parse(source)
        shown = substitute(tree, names, "L")
        assert isinstance(shown, f.Formula)
        return Line(shown, remark, tree, values, expected)

    def _shape(self, operand: Any) -> str:
        return "×".join(map(str, np.shape(self._array(operand)))) or "scalar"

    # Lines

    def _affine(self, layer: _Layer) -> str:
        return r"Z = X \cdot W" + (r"^{\mathsf T}" if layer.transposed else "") + ("" if layer.bias is None else " + b")

    def _model(self) -> list[Line]:
        lines = []
        for number, layer in enumerate(self.layers, 1):
            if layer.activation is not None:
                lines.append(self._activation(number, layer.activation))
            lines.append(self._line(number, self._affine(layer), self._shape(layer.z), self._array(layer.z)))
        last = len(self.layers)
        softmax = r"p_{nk} = e^{z_{nk}} / \textstyle\sum_j e^{z_{nj}}"
        lines.append(self._line(last, softmax, "softmax", self.probabilities))
        loss = r"L = -\tfrac{1}{N} \textstyle\sum_n \ln p_{n,t_n}"
        labels = f"{self.target_name}: the labels of {self.count} samples"
        lines.append(self._line(last, loss, labels, self._array(self.root)))
        return lines

    def _activation(self, number: int, step: Step) -> Line:
        """H^{(l-1)} = max(Z^{(l-1)}, 0)"""
        forward, _ = ACTIVATIONS[step.op.name]
        value, before = self._array(step), self._array(step.operands["input"])
        h, z = self._numbered("H", number - 1), self._numbered("Z", number - 1)
        return self._line(number, forward, self._shape(step), value, H=(value, h), Z=(before, z))

    def _loss_lines(self, last: _Layer) -> list[Line]:
        number, loss, delta = len(self.layers), self._array(self.root), self.gradients[self.logits]
        return [
            self._line(
                number,
                r"L = -\tfrac{1}{N} \textstyle\sum_n (z_{n,t_n} - \ln \textstyle\sum_j e^{z_{nj}})",
                "the logarithm of a quotient",
                loss,
            ),
            self._line(
                number,
                r"\bar z_{nk} = -\tfrac{1}{N} ([k = t_n] - e^{z_{nk}} / \textstyle\sum_j e^{z_{nj}})",
                "only the sample's own logits enter its loss",
                delta,
            ),
            self._line(
                number, r"\bar z_{nk} = \tfrac{1}{N} (p_{nk} - [k = t_n])", "the quotient is the softmax", delta
            ),
            self._line(number, r"\bar Z = \tfrac{1}{N} (P - T)", self._shape(last.z), delta),
            self._line(number, r"D = \bar Z", "a name for it", delta),
        ]

    def _parameters(self, number: int) -> list[Line]:
        layer = self.layers[number - 1]
        w, outer = ("w_{ki}", r"D^{\mathsf T} \cdot X") if layer.transposed else ("w_{ik}", r"X^{\mathsf T} \cdot D")
        lines = []
        bias = "" if layer.bias is None else " + b_k"
        flat = {} if layer.bias is None else {"b": (self._array(layer.bias).reshape(-1), self._named(layer, "b"))}
        lines.append(
            self._line(
                number,
                rf"z_{{nk}} = \textstyle\sum_i x_{{ni}}\, {w}{bias}",
                "one element",
                self._array(layer.z),
                **flat,
            )
        )
        if self._gradient(layer.weight) is not None:
            weight = self._gradient(layer.weight)
            chain = rf"\bar {w} = \textstyle\sum_n \bar z_{{nk}}\, x_{{ni}}"
            lines.append(self._line(number, chain, "chain rule: the sum over all that the weight enters", weight))
            lines.append(self._line(number, rf"\bar W = {outer}", self._shape(layer.weight), weight))
        if self._gradient(layer.bias) is not None:
            given = self._gradient(layer.bias)
            lines.append(
                self._line(number, r"\bar b_k = \textstyle\sum_n \bar z_{nk}", "its factor is 1", given.reshape(-1))
            )
            lines.append(self._line(number, r"\bar b = \textstyle\sum_{\text{rows}} D", self._shape(layer.bias), given))
        return lines

    def _recursion(self, number: int) -> list[Line]:
        """From delta of layer `number` to that of the layer before it."""
        layer, before = self.layers[number - 1], self.layers[number - 2]
        assert layer.activation is not None
        _, slope = ACTIVATIONS[layer.activation.op.name]
        weight = "W" if layer.transposed else r"W^{\mathsf T}"
        element = "w_{ki}" if layer.transposed else "w_{ik}"
        gradient, delta = self._gradient(layer.x), self.gradients[before.z]
        more = {
            "H": (self._array(layer.activation), self._numbered("H", number - 1)),
            "Z": (self._array(before.z), self._numbered("Z", number - 1)),
            "E": (delta, self._numbered(r"\delta", number - 1)),
        }
        return [
            self._line(number, rf"\bar x_{{ni}} = \textstyle\sum_k d_{{nk}}\, {element}", "chain rule", gradient),
            self._line(number, rf"\bar X = D \cdot {weight}", self._shape(layer.x), gradient),
            self._line(number, rf"E = \bar X \odot {slope}", f"{layer.activation.op.name}, elementwise", delta, **more),
            self._line(number, rf"E = (D \cdot {weight}) \odot {slope}", "the recursion", delta, **more),
        ]
