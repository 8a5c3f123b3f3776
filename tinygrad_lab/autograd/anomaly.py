"""Anomaly mode: where the first NaN or Inf came from, forward or backward, with the line of the user's program.

An observer of the graph (`graph.observers`): nothing here runs while the mode is off. It looks at every op's output. An
op whose output is not finite though its operands are is a *producer*; one that merely passes it on is a *propagator*.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.callers import user_frame
from tinygrad_lab.tensor import Tensor

__all__ = ["detect_anomaly", "set_detect_anomaly"]

# What usually helps, by the op that produced the first non-finite value.
FORWARD_HINTS = {
    "exp": "exp overflows above 88 in float32 (709 in float64): subtract the maximum first, or use log_softmax, "
    "softmax, logsumexp or cross_entropy on the logits, which do so",
    "log": "log is -inf at 0 and NaN below: use log_softmax on logits (not log of softmax), "
    "binary_cross_entropy_with_logits, log1p, or clamp(min=eps) first",
    "div": "a divisor is 0 or too small: add an eps to it, or use softmax or normalize, which are safe",
    "sqrt": "sqrt is NaN below 0: clamp(min=0) first",
    "rsqrt": "rsqrt is inf at 0 and NaN below: add an eps first",
    "pow": "a negative base with a fractional exponent is NaN, 0 to a negative power inf, and large powers overflow",
    "reciprocal": "the reciprocal of 0 is inf: add an eps first",
    "mul": "the product overflows: a value has grown too large (learning rate too high, or no normalisation?)",
    "sum": "the sum overflows: values have grown too large (learning rate too high?)",
    "matmul": "the product overflows: weights or inputs have grown too large (learning rate too high?)",
    "linear": "the product overflows: weights or inputs have grown too large (learning rate too high?)",
}
BACKWARD_HINTS = {
    "sqrt": "the derivative of sqrt is infinite at 0: add an eps inside, sqrt(x + eps)",
    "pow": "the derivative of x**p with p < 1 is infinite at 0: add an eps to the base",
    "log": "the derivative of log is infinite at 0: clamp(min=eps) first, or use log_softmax",
    "div": "the derivative of a / b is infinite at b = 0: add an eps to the divisor",
    "norm": "the derivative of a norm is not defined at 0: add an eps",
    "std": "the derivative of std is not defined where all values are equal: use var, or add an eps",
    "where": "where() multiplies nothing away: the branch that was not chosen still computes its derivative "
    "(inf * 0 is NaN); make its input safe with another where() first",
}


@dataclass
class _Origin:
    """The first non-finite value of one line of descent."""

    op: str
    text: str
    hint: str
    line: str


def _user_line() -> str:
    """file:line of the user's program."""
    frame = user_frame()
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _bad(array: Any) -> np.ndarray | None:
    """The mask of non-finite elements of a floating array, None if there are none."""
    if not isinstance(array, (np.ndarray, np.generic)) or array.dtype.kind != "f":
        return None
    mask = ~np.isfinite(array)
    return mask if mask.any() else None


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _operands(arguments: dict[str, Any], index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The operands as text: shape, and the value that met at `index` of the output, or the range if none did."""
    parts = []
    for name, value in arguments.items():
        if isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.kind != "f" or value.size == 0:
                continue
            try:
                here: Any = np.broadcast_to(value, shape)[index]
                parts.append(f"{name} (shape {value.shape}) is {here:.6g} there")
            except ValueError:
                parts.append(
                    f"{name} (shape {value.shape}) ranges from {np.nanmin(value):.6g} to {np.nanmax(value):.6g}"
                )
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            parts.append(f"{name} is {value}")
    return "; ".join(parts)


class _AnomalyObserver(graph.Observer):
    def __init__(self, check_nan: bool, check_inf: bool) -> None:
        self.check_nan, self.check_inf = check_nan, check_inf
        self.lines: weakref.WeakKeyDictionary[graph.Node, str] = weakref.WeakKeyDictionary()
        self.node_origins: weakref.WeakKeyDictionary[graph.Node, _Origin] = weakref.WeakKeyDictionary()
        self.array_origins: dict[int, tuple[Any, _Origin]] = {}

    def line_of(self, node: graph.Node) -> str:
        return self.lines.get(node, "")

    def _origin_of(self, array: np.ndarray) -> _Origin | None:
        found = self.array_origins.get(id(array))
        return found[1] if found is not None and found[0]() is array else None

    def forward(self, op: Any, arguments: dict[str, Any], output: Tensor, node: graph.Node | None) -> None:
        line = _user_line()
        if node is not None:
            self.lines[node] = line
        mask = _bad(output.array)
        if mask is None:
            return
        origin = None
        for name, value in arguments.items():
            for operand in value if isinstance(value, (tuple, list)) else (value,):
                if _bad(operand) is None:
                    continue
                origin = self._origin_of(operand) if isinstance(operand, np.ndarray) else None
                if origin is None:
                    at = _first(_bad(operand))  # type: ignore[arg-type]
                    origin = _Origin(
                        op.name,
                        f"{op.name} received {operand[at]} in its operand '{name}' at index {at} (shape "
                        f"{operand.shape}): it was there before any recorded op, in the data or a parameter",
                        "check the data, and the learning rate if it is a parameter",
                        line,
                    )
                break
            if origin is not None:
                break
        if origin is None:  # every operand is finite: this op is the producer
            at = _first(mask)
            origin = _Origin(
                op.name,
                f"{op.name} produced {output.array[at]} at index {at} of its output (shape {output.shape}): "
                f"{_operands(arguments, at, output.shape)}",
                FORWARD_HINTS.get(op.name, ""),
                line,
            )
        key = id(output.array)
        self.array_origins[key] = (weakref.ref(output.array, lambda _: self.array_origins.pop(key, None)), origin)
        if node is not None:
            self.node_origins[node] = origin
        if (self.check_nan and np.isnan(output.array).any()) or self.check_inf:
            kind = "NaN" if np.isnan(output.array).any() else "Inf"
            passed_on = (
                ""
                if origin.line == line and origin.op == op.name
                else f" It became {kind} in {op.name}, called at {line}."
            )
            raise self._error(f"forward pass: {origin.text}, called at {origin.line}.{passed_on}", origin.hint)

    def backward(self, node: graph.Node, cotangent: Any, contributions: Any) -> None:
        if not (self.check_nan or self.check_inf):
            return
        names = node.op.differentiable
        for i, contribution in enumerate(contributions):
            array = getattr(contribution, "array", contribution)
            mask = _bad(array)
            if mask is None:
                continue
            name = names[i] if i < len(names) else f"{names[0]}[{i}]"
            at = _first(mask)
            origin = self._tainted(node)
            line = self.line_of(node) or "an unknown line (it ran before anomaly mode was on)"
            if origin is not None:
                raise self._error(
                    f"backward pass: the gradient of {node.op.name}'s operand '{name}' is {array[at]} at index {at}, "
                    f"because of the forward pass: {origin.text}, called at {origin.line}. {node.op.name} was called "
                    f"at {line}.",
                    origin.hint,
                )
            came = getattr(cotangent, "array", cotangent)
            passed = " (its incoming cotangent already was not finite)" if _bad(came) is not None else ""
            raise self._error(
                f"backward pass: the rule of {node.op.name} for its operand '{name}' gave {array[at]} at index {at} "
                f"(shape {array.shape}) from a cotangent between {np.min(came):.6g} and {np.max(came):.6g}{passed}"
                f"{self._saved_values(node, at, array.shape)}. {node.op.name} was called at {line}.",
                BACKWARD_HINTS.get(node.op.name, ""),
            )

    def _tainted(self, node: graph.Node) -> _Origin | None:
        """The origin of a non-finite forward value that this node read or made."""
        for candidate in (node, *node):
            if isinstance(candidate, graph.Node) and candidate in self.node_origins:
                return self.node_origins[candidate]
        return None

    @staticmethod
    def _saved_values(node: graph.Node, at: tuple[int, ...], shape: tuple[int, ...]) -> str:
        if node.saved is None:
            return ""
        values = {
            name: value
            for name, value in zip(node.plan.names, node.saved, strict=False)
            if isinstance(value, np.ndarray)
        }
        text = _operands({"the output" if name == "y" else name: value for name, value in values.items()}, at, shape)
        return f"; {text}" if text else ""

    @staticmethod
    def _error(text: str, hint: str) -> RuntimeError:
        return RuntimeError(f"anomaly detected in the {text}" + (f" Suggestion: {hint}." if hint else ""))


class detect_anomaly:
    """While active, the first NaN raises RuntimeError and names its origin: op, operands, index, value and your line.

    In the forward pass Inf alone is legal (masks use -inf) and only remembered, unless `check_inf`; when a NaN comes of
    it, the op that produced the Inf is blamed. In the backward pass both raise. Errors of the backward pass (freed or
    changed values) name the line of the forward pass too. Slows every op down; costs nothing when off.
    Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection

    >>> z = Tensor([0.0, 1000.0]).requires_grad_()
    >>> with detect_anomaly():
    ...     (z.exp() / z.exp().sum()).log()
    Traceback (most recent call last):
    RuntimeError: anomaly detected in the forward pass: exp produced inf at index (1,) ...
    """

    def __init__(self, check_nan: bool = True, check_inf: bool = False) -> None:
        self.observer = _AnomalyObserver(check_nan, check_inf)

    def __enter__(self) -> None:
        graph.observers.append(self.observer)

    def __exit__(self, *exception: object) -> None:
        graph.observers.remove(self.observer)


class set_detect_anomaly(detect_anomaly):
    """Switch anomaly mode on or off, at once; as a `with` block, until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(check_nan)
        self.before = list(graph.observers)
        for observer in self.before:
            if isinstance(observer, _AnomalyObserver):
                graph.observers.remove(observer)
        if mode:
            graph.observers.append(self.observer)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        graph.observers[:] = self.before
