"""Functions and points on which gradient checkers are compared: 23 ordinary ones and 8 hard ones.

Each function is written once, for any namespace with PyTorch's names (`torch` itself, or `tinygrad_lab` on Tensors or
on plain arrays), and has a drawing of points: `case.points(n, seed)` gives lists of float64 arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CASES", "Case", "correct", "spoiled"]

Draw = Callable[[np.random.Generator], list[np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One function: `function(t, *inputs)` with the namespace t, and how points are drawn."""

    name: str
    function: Callable[..., Any]
    draw: Draw
    hard: bool = False

    def points(self, count: int, seed: int = 0) -> Iterator[list[np.ndarray]]:
        for i in range(count):
            yield self.draw(np.random.default_rng([seed, i, *self.name.encode()]))


def normal(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Draw:
    return lambda rng: [rng.uniform(low, high, shape) for shape in shapes]


_rng = np.random.default_rng(7)
DATA = _rng.standard_normal((6, 4))
TARGET = _rng.standard_normal((6, 3))
LABELS = np.eye(3)[_rng.integers(0, 3, 6)]
SIGNS = np.where(_rng.random(6) < 0.5, -1.0, 1.0)
WEIGHT = _rng.standard_normal(8)


def like(t: Any, array: np.ndarray, x: Any) -> Any:
    """A constant of the kind that x is."""
    return array if isinstance(x, np.ndarray) else t.tensor(array)


def cross_entropy(t: Any, z: Any) -> Any:
    shifted = t.logsumexp(z, 1)
    return t.mean(shifted - t.sum(z * like(t, LABELS, z), 1))


def linear(t: Any, w: Any, b: Any) -> Any:
    return t.matmul(like(t, DATA, w), w) + b


def normalised(t: Any, x: Any, dim: int) -> Any:
    centred = x - t.mean(x, dim, True)
    return centred / t.sqrt(t.mean(centred * centred, dim, True) + 1e-5)


def recurrent(t: Any, u: Any, w: Any) -> Any:
    x = like(t, DATA[:3], u)
    h = t.tanh(t.matmul(x, w))
    for _ in range(3):
        h = t.tanh(t.matmul(h, u) + t.matmul(x, w))
    return t.sum(h * h)


def weighted(t: Any, y: Any) -> Any:
    return t.sum(y * like(t, WEIGHT, y))


def mlp(activation: str) -> Callable[..., Any]:
    def loss(t: Any, w1: Any, b1: Any, w2: Any) -> Any:
        return cross_entropy(t, t.matmul(getattr(t, activation)(linear(t, w1, b1)), w2))

    return loss


def kinked(rng: np.random.Generator) -> list[np.ndarray]:
    """Eight numbers, about half of them exactly 0, the last positive."""
    x = np.where(rng.random(8) < 0.5, 0.0, rng.standard_normal(8))
    x[-1] = rng.uniform(0.5, 1.5)
    return [x]


def tied(rng: np.random.Generator) -> list[np.ndarray]:
    """Rows whose largest entry occurs twice, and one in which it does not."""
    x = rng.standard_normal((4, 5))
    second = int(rng.integers(1, 5))
    x[:3, 0] = x[:3, second] = x[:3].max(1) + 0.5
    return [x]


def scaled(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(4) * 1e6, rng.standard_normal(4) * 1e-6]


def rounded(t: Any, x: Any) -> Any:
    """Sines, with the result kept in float32 only."""
    y = weighted(t, t.sin(x))
    if isinstance(x, np.ndarray):
        return np.float32(y)
    return y.to(t.float32).to(t.float64)


MLP = normal((4, 5), (5,), (5, 3))

CASES = [
    Case("quadratic form", lambda t, x, a: t.sum(x * t.matmul(a, x)), normal((5,), (5, 5))),
    Case("cubes", lambda t, x: t.sum(x * x * x), normal((8,))),
    Case("sine of products", lambda t, x, y: t.sum(t.sin(x * y)), normal((6,), (6,))),
    Case("exp", lambda t, x: weighted(t, t.exp(x)), normal((8,))),
    Case("log", lambda t, x: weighted(t, t.log(x)), uniform(0.3, 3, (8,))),
    Case("sqrt", lambda t, x: weighted(t, t.sqrt(x)), uniform(0.2, 4, (8,))),
    Case("reciprocal", lambda t, x: weighted(t, 1 / x), uniform(0.3, 3, (8,))),
    Case("tanh", lambda t, x: weighted(t, t.tanh(x)), normal((8,))),
    Case("sigmoid", lambda t, x: t.mean(t.sigmoid(x)), normal((8,))),
    Case("logsumexp", lambda t, x: t.sum(t.logsumexp(3 * x, 1)), normal((3, 4))),
    Case("softmax regression", lambda t, w, b: cross_entropy(t, linear(t, w, b)), normal((4, 3), (3,))),
    Case("with penalty", lambda t, w, b: cross_entropy(t, linear(t, w, b)) + 0.1 * t.sum(w * w), normal((4, 3), (3,))),
    Case("least squares", lambda t, w, b: t.mean((linear(t, w, b) - like(t, TARGET, w)) ** 2), normal((4, 3), (3,))),
    Case(
        "logistic",
        lambda t, w: t.mean(t.log(1 + t.exp(-like(t, SIGNS, w) * t.matmul(like(t, DATA, w), w)))),
        normal((4,)),
    ),
    Case("tanh MLP", mlp("tanh"), MLP),
    Case("relu MLP", mlp("relu"), MLP),
    Case("recurrent", recurrent, normal((3, 3), (4, 3))),
    Case("batch norm", lambda t, x: t.sum(normalised(t, x, 0) ** 3), normal((6, 3))),
    Case("layer norm", lambda t, x: t.sum(normalised(t, x, 1) ** 3), normal((3, 6))),
    Case("norm", lambda t, x: t.sqrt(t.sum(x * x)), normal((8,))),
    Case("cosine", lambda t, x, y: t.sum(x * y) / t.sqrt(t.sum(x * x) * t.sum(y * y)), normal((6,), (6,))),
    Case("gaussian", lambda t, x, y: t.sum(t.exp(-((x - y) ** 2))), normal((6,), (6,))),
    Case("powers", lambda t, x: weighted(t, x**2.5), uniform(0.2, 3, (8,))),
    # Hard
    Case("log near 0", lambda t, x: weighted(t, t.log(x)), lambda rng: [10 ** rng.uniform(-8, 0, 8)], True),
    Case("relu at 0", lambda t, x: weighted(t, t.relu(x)), kinked, True),
    Case("abs at 0", lambda t, x: weighted(t, t.abs(x)), kinked, True),
    Case("ties of max", lambda t, x: t.sum(t.amax(x, 1)), tied, True),
    Case("offset 1e6", lambda t, x: 1e6 + weighted(t, t.sin(x)), normal((8,)), True),
    Case("scales 1e6 and 1e-6", lambda t, x, y: t.sum(t.sin(x * 1e-6) * t.exp(y * 1e6)), scaled, True),
    Case("tiny loss", lambda t, w, b: 1e-6 * cross_entropy(t, linear(t, w, b)), normal((4, 3), (3,)), True),
    Case("rounded to float32", rounded, normal((8,)), True),
]


def correct(case: Case, point: list[np.ndarray]) -> list[np.ndarray]:
    """The gradient, by automatic differentiation in float64 (in float64 also where the value is rounded)."""
    import tinygrad_lab as t

    leaves = [t.tensor(array).requires_grad_() for array in point]
    function = (lambda t, x: weighted(t, t.sin(x))) if case.function is rounded else case.function
    return [gradient.numpy() for gradient in t.autograd.grad(function(t, *leaves), leaves)]


def spoiled(case: Case, gradients: list[np.ndarray], seed: int, factor: float = 1.1) -> list[np.ndarray]:
    """The same with one element, not 0, times `factor`.

    Halves of a tie are left alone: 0.55 of a tie is a subgradient as good as 0.5, so there is nothing to find.
    """
    rng = np.random.default_rng(seed)
    wrong = [gradient.copy() for gradient in gradients]
    tie = 0.5 if case.draw is tied else 0.0
    places = [(k, i) for k, g in enumerate(wrong) for i in np.flatnonzero((g != 0) & (g != tie))]
    k, i = places[int(rng.integers(len(places)))]
    wrong[k].reshape(-1)[i] *= factor
    return wrong
