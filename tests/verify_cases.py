"""The twenty-three hand-derived gradients that the diagnosis must get right, each with what must be said of it.

Softmax regression (N=12, D=7, C=5) and a three-layer ReLU net (N=12, 6-8-7-4), in NumPy; the losses are functions of
Tensors. `CASES[name](seed)` returns (loss_fn, params, hand, expected), expected = [{cause name: arrays}, ...]: the
causes that must be named, and the arrays they must name (None: any). [] means: correct.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab.nn import functional as F

LAMBDA = 0.03

CASES: dict[str, Callable[[int], Any]] = {}


def case(function: Callable[[int], Any]) -> Callable[[int], Any]:
    CASES[function.__name__] = function
    return function


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[y]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class Softmax:
    """Softmax regression; hand(...) is the textbook gradient with the places where it goes wrong as arguments."""

    def __init__(self, seed: int, N: int = 12, D: int = 7, C: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.N, self.C = N, C
        self.X, self.y = rng.normal(size=(N, D)), rng.integers(0, C, N)
        self.params = {"W": rng.normal(size=(D, C)), "b": rng.normal(size=C)}
        self.Y = one_hot(self.y, C)
        self.p = softmax(self.X @ self.params["W"] + self.params["b"])

    def logits(self, p: Any) -> Any:
        return torch.tensor(self.X) @ p["W"] + p["b"]

    def loss(self, p: Any) -> Any:
        return F.cross_entropy(self.logits(p), torch.tensor(self.y))

    def penalised(self, p: Any) -> Any:
        return self.loss(p) + LAMBDA / 2 * (p["W"] * p["W"]).sum()

    def hand(self, dz: np.ndarray | None = None, penalty: float = 0.0) -> dict[str, np.ndarray]:
        dz = (self.p - self.Y) / self.N if dz is None else dz
        return {"W": self.X.T @ dz + penalty * self.params["W"], "b": dz.sum(0)}


class MLP:
    """6-8-7-4 with relu."""

    def __init__(self, seed: int, N: int = 12, zero_first: bool = False) -> None:
        rng = np.random.default_rng(seed)
        sizes = (6, 8, 7, 4)
        self.N, self.C = N, 4
        self.X, self.y = rng.normal(size=(N, sizes[0])), rng.integers(0, 4, N)
        self.Y = one_hot(self.y, 4)
        self.params = {}
        for i in (1, 2, 3):
            zero = zero_first and i == 1
            self.params[f"W{i}"] = rng.normal(size=sizes[i - 1 : i + 1]) * (0.0 if zero else 0.7)
            self.params[f"b{i}"] = rng.normal(size=sizes[i]) * (0.0 if zero else 0.3)
        P = self.params
        self.a1 = self.X @ P["W1"] + P["b1"]
        self.h1 = np.maximum(self.a1, 0)
        self.a2 = self.h1 @ P["W2"] + P["b2"]
        self.h2 = np.maximum(self.a2, 0)
        self.p = softmax(self.h2 @ P["W3"] + P["b3"])

    def loss(self, p: Any) -> Any:
        h1 = F.relu(torch.tensor(self.X) @ p["W1"] + p["b1"])
        h2 = F.relu(h1 @ p["W2"] + p["b2"])
        return F.cross_entropy(h2 @ p["W3"] + p["b3"], torch.tensor(self.y))

    def penalised(self, p: Any) -> Any:
        return self.loss(p) + LAMBDA / 2 * sum((p[w] * p[w]).sum() for w in ("W1", "W2", "W3"))

    def hand(
        self,
        d3: np.ndarray | None = None,
        penalty: float = 0.0,
        mask1: np.ndarray | None = None,
        mask2: np.ndarray | None = None,
        inputs: tuple[Any, Any] = (None, None),
    ) -> dict[str, np.ndarray]:
        P = self.params
        d3 = (self.p - self.Y) / self.N if d3 is None else d3
        h1, h2 = (given if given is not None else own for given, own in zip(inputs, (self.h1, self.h2), strict=True))
        d2 = d3 @ P["W3"].T * ((self.a2 > 0) if mask2 is None else mask2)
        d1 = d2 @ P["W2"].T * ((self.a1 > 0) if mask1 is None else mask1)
        grads = {
            "W1": self.X.T @ d1,
            "b1": d1.sum(0),
            "W2": h1.T @ d2,
            "b2": d2.sum(0),
            "W3": h2.T @ d3,
            "b3": d3.sum(0),
        }
        return {name: g + penalty * P[name] if name[0] == "W" else g for name, g in grads.items()}


@case
def bias_summed_over_all_axes(seed: int) -> Any:
    m = Softmax(seed)
    hand = m.hand()
    hand["b"] = -((m.Y - m.p).sum() / m.N)
    return m.loss, m.params, hand, [{"summed over all axes": ["b"]}]


@case
def loss_without_minus(seed: int) -> Any:
    m = Softmax(seed)
    return lambda p: -m.loss(p), m.params, m.hand(), [{"sign": ["W", "b"]}]


@case
def p_plus_y(seed: int) -> Any:
    m = MLP(seed)
    return m.penalised, m.params, m.hand((m.p + m.Y) / m.N, LAMBDA), [{"one-hot added": None}]


@case
def pre_activations(seed: int) -> Any:
    m = MLP(seed)
    return m.penalised, m.params, m.hand(penalty=LAMBDA, inputs=(m.a1, m.a2)), [{"pre-activation": ["W2", "W3"]}]


@case
def both_of_report_003(seed: int) -> Any:
    m = MLP(seed)
    hand = m.hand((m.p + m.Y) / m.N, LAMBDA, inputs=(m.a1, m.a2))
    return m.penalised, m.params, hand, [{"one-hot added": None, "pre-activation": ["W2", "W3"]}]


@case
def relu_formula_of_report_004(seed: int) -> Any:
    m = MLP(seed)

    def derivative(x: np.ndarray) -> np.ndarray:
        return np.maximum(0, x + 1e-15 / np.abs(x + 1e-15))

    return (
        m.loss,
        m.params,
        m.hand(mask1=derivative(m.a1), mask2=derivative(m.a2)),
        [{"relu value instead of mask": None}],
    )


@case
def binary_cross_entropy(seed: int) -> Any:
    m = Softmax(seed)
    Y = torch.tensor(m.Y)

    def loss(p: Any) -> Any:
        q = F.softmax(m.logits(p), 1)
        return -(Y * torch.log(q) + (1 - Y) * torch.log(1 - q)).mean()

    return loss, m.params, m.hand((m.p - m.Y) / (m.N * m.C)), [{"gradient of another loss": None}]


@case
def summed_squares_averaged_gradient(seed: int) -> Any:
    m = Softmax(seed)
    Y = torch.tensor(m.Y)

    def loss(p: Any) -> Any:
        return ((F.softmax(m.logits(p), 1) - Y) ** 2).sum()

    slope = 2 * (m.p - m.Y)
    dz = m.p * (slope - (slope * m.p).sum(1, keepdims=True)) / m.N
    return loss, m.params, m.hand(dz), [{"times 1/N": ["W", "b"]}]


@case
def batch_mean_left_out(seed: int) -> Any:
    m = MLP(seed)
    return m.loss, m.params, m.hand(m.p - m.Y), [{"times N": None}]


@case
def penalty_per_sample(seed: int) -> Any:
    m = Softmax(seed)
    return m.penalised, m.params, m.hand(penalty=LAMBDA * m.N), [{"penalty times N": ["W"]}]


@case
def penalty_in_the_gradient_only(seed: int) -> Any:
    m = MLP(seed)
    return m.loss, m.params, m.hand(penalty=LAMBDA), [{"extra penalty": ["W1", "W2", "W3"]}]


@case
def never_reset(seed: int) -> Any:
    m = Softmax(seed)
    h = 1e-4
    hand = m.hand()

    def value(W: np.ndarray) -> float:
        return float(m.loss({"W": torch.tensor(W), "b": torch.tensor(m.params["b"])}).item())

    W = m.params["W"].copy()
    for index in np.ndindex(W.shape):
        before = value(W)
        W[index] += h
        hand["W"][index] = (value(W) - before) / h
    return m.loss, m.params, hand, [{"numerical gradient, no reset": ["W"]}]


@case
def data_term_without_mean(seed: int) -> Any:
    m = Softmax(seed)
    hand = m.hand(penalty=LAMBDA)
    hand["W"] = m.X.T @ (m.p - m.Y) + LAMBDA * m.params["W"]
    return m.penalised, m.params, hand, [{"data term times N": ["W"]}]


@case
def penalty_left_out(seed: int) -> Any:
    m = Softmax(seed)
    return m.penalised, m.params, m.hand(), [{"missing penalty": ["W"]}]


@case
def penalty_twice(seed: int) -> Any:
    m = Softmax(seed)
    return m.penalised, m.params, m.hand(penalty=2 * LAMBDA), [{"penalty times 2": ["W"]}]


@case
def transposed(seed: int) -> Any:
    m = Softmax(seed)
    hand = m.hand()
    hand["W"] = hand["W"].T
    return m.loss, m.params, hand, [{"transposed": ["W"]}]


@case
def second_mask_left_out(seed: int) -> Any:
    m = MLP(seed)
    return m.loss, m.params, m.hand(mask2=np.ones_like(m.a2)), [{"relu mask missing": None}]


@case
def first_mask_left_out(seed: int) -> Any:
    m = MLP(seed)
    hand = m.hand(penalty=LAMBDA, mask1=np.ones_like(m.a1))
    return m.penalised, m.params, hand, [{"relu mask missing": ["W1", "b1"]}]


@case
def bias_mean(seed: int) -> Any:
    m = Softmax(seed)
    hand = m.hand()
    hand["b"] = ((m.p - m.Y) / m.N).mean(0)
    return m.loss, m.params, hand, [{"times 1/N": ["b"]}, {"mean for sum": ["b"]}]


@case
def forward_difference(seed: int) -> Any:
    m = Softmax(seed)
    h, hand = 1e-2, {}
    for name, x in m.params.items():
        hand[name] = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            moved = {k: v.copy() for k, v in m.params.items()}
            moved[name][index] += h
            values = [float(m.loss({k: torch.tensor(v) for k, v in at.items()}).item()) for at in (moved, m.params)]
            hand[name][index] = (values[0] - values[1]) / h
    return m.loss, m.params, hand, [{"numerical gradient, truncation": ["W", "b"]}]


@case
def correct(seed: int) -> Any:
    m = Softmax(seed)
    return m.penalised, m.params, m.hand(penalty=LAMBDA), []


@case
def correct_on_every_kink(seed: int) -> Any:
    m = MLP(seed, zero_first=True)
    return m.loss, m.params, m.hand(), []


@case
def exp_overflow(seed: int) -> Any:
    m = Softmax(seed)
    params = {"W": m.params["W"] * 1000, "b": m.params["b"]}
    Y = torch.tensor(m.Y)

    def loss(p: Any) -> Any:
        e = torch.exp(m.logits(p))
        return -(Y * torch.log(e / e.sum(1, keepdim=True))).sum() / m.N

    nan = {name: np.full(x.shape, np.nan) for name, x in params.items()}
    return loss, params, nan, [{"non-finite": None}]


def named(diagnosis: Any, expected: list[dict[str, Any]]) -> bool:
    """Whether some exact explanation has just the causes of one of the expected answers, with their arrays."""
    if not expected:
        return bool(diagnosis)
    for explanation in diagnosis.explanations:
        said = {cause.name: cause.arrays for cause in explanation.causes}
        for wanted in expected:
            if said.keys() == wanted.keys() and all(a is None or said[name] == a for name, a in wanted.items()):
                return True
    return False
