"""Ten models with their gradients derived by hand in NumPy, and the slips that can be made on the way.

Independent of the diagnosis: nothing here replays a graph. A `Model` has a loss of Tensors, parameters, `hand(slips)`
and `places`: the slips it knows, as (name of the mistake, place). Used by `verify_diagnosis` and the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab.nn import functional as F

Slip = tuple[str, str]
Arrays = dict[str, np.ndarray]
LAMBDA, RATE = 0.03, 0.1


def softmax(z: np.ndarray, axis: int = 1) -> np.ndarray:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


class Model:
    """Base: sizes, data, and the pieces of a backward pass with the slips one can make in each."""

    kind = ""
    penalised: tuple[str, ...] = ()

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.N, self.D, self.H, self.C = 11, 6, 7, 4
        self.params: Arrays = {}
        self.slips: frozenset[Slip] = frozenset()
        self.build()

    def normal(self, *shape: int, scale: float = 0.6) -> np.ndarray:
        return self.rng.normal(size=shape) * scale

    def build(self) -> None:
        raise NotImplementedError

    def loss(self, p: Any) -> Any:
        raise NotImplementedError

    def backward(self) -> Arrays:
        raise NotImplementedError

    def places(self) -> list[Slip]:
        raise NotImplementedError

    def hand(self, *slips: Slip) -> Arrays:
        self.slips = frozenset(slips)
        return self.finish(self.backward())

    def penalty(self, p: Any) -> Any:
        return LAMBDA / 2 * sum((p[w] * p[w]).sum() for w in self.penalised) if self.penalised else 0.0

    def has(self, name: str, place: str = "") -> bool:
        return (name, place) in self.slips

    # Pieces of a derivation

    def cross_entropy(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        p, Y, n = softmax(z), np.eye(z.shape[1])[y], len(y)
        if self.has("one-hot added"):
            return (p + Y) / n
        if self.has("one-hot left out"):
            return p / n
        if self.has("probabilities left out"):
            return -Y / n
        if self.has("labels shifted", "class"):
            return (p - np.roll(Y, 1, 1)) / n
        if self.has("labels shifted", "row"):
            return (p - np.roll(Y, -1, 0)) / n
        if self.has("extra p (1 - p)"):
            return (p - Y) * p * (1 - p) / n
        if self.has("softmax over the wrong axis"):
            return (softmax(z, 0) - Y) / n
        if self.has("softmax not normalised"):
            return (np.exp(z) - Y) / n
        if self.has("logits instead of probabilities"):
            return (z - Y) / n
        if self.has("Jacobian left out"):
            return -Y / p / n
        if self.has("diagonal of the Jacobian only"):
            return -Y / p * p * (1 - p) / n
        if self.has("gradient of another loss"):
            slope = 2 * (p - Y)
            return p * (slope - (slope * p).sum(1, keepdims=True)) / n
        return (p - Y) / n

    HEAD = [
        (name, "")
        for name in (
            "one-hot added", "one-hot left out", "probabilities left out", "extra p (1 - p)",
            "softmax over the wrong axis", "softmax not normalised", "logits instead of probabilities",
            "Jacobian left out", "diagonal of the Jacobian only",
            "gradient of another loss",
        )
    ] + [("labels shifted", "class"), ("labels shifted", "row")]  # fmt: skip

    def relu_back(self, dh: np.ndarray, a: np.ndarray, layer: str, other: np.ndarray | None = None) -> np.ndarray:
        if self.has("relu mask missing", layer):
            return dh
        if self.has("relu mask inverted", layer):
            return dh * (a <= 0)
        if self.has("relu value instead of mask", layer):
            return dh * np.maximum(a, 0)
        if self.has("relu mask from the gradient", layer):
            return dh * (dh > 0)
        if self.has("relu mask of another layer", layer) and other is not None:
            return dh * (other > 0)
        return dh * (a > 0)

    RELU = ("relu mask missing", "relu mask inverted", "relu value instead of mask", "relu mask from the gradient")

    def smooth_back(self, dh: np.ndarray, a: np.ndarray, h: np.ndarray, op: str, layer: str) -> np.ndarray:
        if self.has("activation derivative missing", layer):
            return dh
        if self.has("activation derivative wrong", layer):
            return dh * (a * (1 - a) if op == "sigmoid" else 1 - a * a)
        if self.has("activation derivative wrong", layer + "'"):
            return dh * h
        return dh * (h * (1 - h) if op == "sigmoid" else 1 - h * h)

    @staticmethod
    def smooth(layer: str) -> list[Slip]:
        return [
            ("activation derivative missing", layer),
            ("activation derivative wrong", layer),
            ("activation derivative wrong", layer + "'"),
        ]

    def through(
        self, dz: np.ndarray, name: str, dW: np.ndarray | None = None, other: np.ndarray | None = None
    ) -> np.ndarray:
        W = self.params[name]
        if self.has("weight not transposed", name):
            return dz @ W
        if self.has("weight missing", name):
            return dz
        if self.has("weight of another layer", name) and other is not None:
            return dz @ other.T
        if self.has("weight already updated", name) and dW is not None:
            return dz @ (W - RATE * dW).T
        return dz @ W.T

    def weight(
        self,
        name: str,
        x: np.ndarray,
        dz: np.ndarray,
        before: np.ndarray | None = None,
        other: np.ndarray | None = None,
    ) -> np.ndarray:
        if self.has("pre-activation", name) and before is not None:
            x = before
        if self.has("another layer's activation", name) and other is not None:
            x = other
        if self.has("= for +=", name):
            x, dz = x[-1:], dz[-1:]
        dW = x.T @ dz
        if name in self.penalised:
            W = self.params[name]
            if self.has("data term times N", name):
                dW = dW * self.N
            factor = 1.0
            for slip, c in (
                ("missing penalty", 0.0),
                ("penalty times 2", 2.0),
                ("penalty times N", float(self.N)),
                ("sign of the penalty", -1.0),
            ):
                factor = c if self.has(slip, name) else factor
            dW = dW + factor * LAMBDA * W
        elif self.has("extra penalty", name):
            dW = dW + 0.1 * self.params[name]
        return dW

    def bias(self, name: str, dz: np.ndarray) -> np.ndarray:
        if self.has("summed over all axes", name):
            return np.asarray(dz.sum())
        if self.has("summed over the wrong axis", name):
            return dz.sum(1)
        if self.has("mean for sum", name):
            return dz.mean(0)
        if self.has("batch axis kept", name):
            return dz
        if self.has("= for +=", name):
            return dz[-1]
        return dz.sum(0)

    def finish(self, grads: Arrays) -> Arrays:
        for name in grads:
            for slip, c in (("sign", -1.0), ("times N", float(self.N)), ("times 1/N", 1 / self.N), ("times 2", 2.0)):
                if self.has(slip, name) or self.has(slip, "all"):
                    grads[name] = grads[name] * c
            if self.has("transposed", name):
                grads[name] = grads[name].T
            if self.has("zero", name):
                grads[name] = np.zeros_like(grads[name])
        return {name: np.asarray(grads[name]) for name in self.params}

    def on_weight(self, name: str) -> list[Slip]:
        own = ("data term times N", "missing penalty", "penalty times 2", "penalty times N", "sign of the penalty")
        slips = own if name in self.penalised else ("extra penalty",)
        return [(s, name) for s in (*slips, "transposed", "= for +=", "times 2", "zero")]

    def on_bias(self, name: str) -> list[Slip]:
        return [
            (s, name)
            for s in (
                "summed over all axes",
                "summed over the wrong axis",
                "mean for sum",
                "batch axis kept",
                "= for +=",
            )
        ]

    EVERYWHERE = (("sign", "all"), ("times N", "all"), ("times 1/N", "all"), ("times 2", "all"))


class SoftmaxRegression(Model):
    kind, penalised = "softmax", ("W",)

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        self.params = {"W": self.normal(self.D, self.C), "b": self.normal(self.C)}

    def loss(self, p: Any) -> Any:
        return F.cross_entropy(torch.tensor(self.X) @ p["W"] + p["b"], torch.tensor(self.y)) + self.penalty(p)

    def backward(self) -> Arrays:
        dz = self.cross_entropy(self.X @ self.params["W"] + self.params["b"], self.y)
        return {"W": self.weight("W", self.X, dz), "b": self.bias("b", dz)}

    def places(self) -> list[Slip]:
        return [*self.HEAD, *self.on_weight("W"), *self.on_bias("b"), *self.EVERYWHERE]


class Logistic(Model):
    kind = "logistic"

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, 2, self.N) * 1.0
        self.params = {"w": self.normal(self.D), "b": self.normal(1)}

    def loss(self, p: Any) -> Any:
        q = 1 / (1 + torch.exp(-(torch.tensor(self.X) @ p["w"] + p["b"])))
        y = torch.tensor(self.y)
        return -(y * torch.log(q) + (1 - y) * torch.log(1 - q)).mean()

    def backward(self) -> Arrays:
        z = self.X @ self.params["w"] + self.params["b"]
        q, y = sigmoid(z), self.y
        dz = (q - y) / self.N
        if self.has("one-hot added"):
            dz = (q + y) / self.N
        if self.has("one-hot left out"):
            dz = q / self.N
        if self.has("extra p (1 - p)"):
            dz = dz * q * (1 - q)
        if self.has("Jacobian left out"):
            dz = dz / (q * (1 - q))
        if self.has("logits instead of probabilities"):
            dz = (z - y) / self.N
        if self.has("gradient of another loss"):
            dz = 2 * (q - y) * q * (1 - q) / self.N
        return {"w": self.weight("w", self.X, dz), "b": np.atleast_1d(self.bias("b", dz[:, None]))}

    def places(self) -> list[Slip]:
        head = (
            "one-hot added",
            "one-hot left out",
            "extra p (1 - p)",
            "Jacobian left out",
            "logits instead of probabilities",
            "gradient of another loss",
        )
        return (
            [(s, "") for s in head]
            + [(s, "w") for s in ("extra penalty", "= for +=", "times 2", "zero")]
            + [*self.EVERYWHERE]
        )


class Linear(Model):
    kind, penalised = "linear", ("W",)

    def build(self) -> None:
        self.X, self.Y = self.normal(self.N, self.D, scale=1), self.normal(self.N, 3, scale=1)
        self.params = {"W": self.normal(self.D, 3), "b": self.normal(3)}

    def loss(self, p: Any) -> Any:
        return ((torch.tensor(self.X) @ p["W"] + p["b"] - torch.tensor(self.Y)) ** 2).sum() / self.N + self.penalty(p)

    def backward(self) -> Arrays:
        pred = self.X @ self.params["W"] + self.params["b"]
        dz = 2 * (pred - self.Y) / self.N
        if self.has("one-hot added"):
            dz = 2 * (pred + self.Y) / self.N
        if self.has("one-hot left out"):
            dz = 2 * pred / self.N
        if self.has("gradient of another loss"):
            dz = np.sign(pred - self.Y) / self.N
        return {"W": self.weight("W", self.X, dz), "b": self.bias("b", dz)}

    def places(self) -> list[Slip]:
        head = ("one-hot added", "one-hot left out", "gradient of another loss")
        return [(s, "") for s in head] + self.on_weight("W") + self.on_bias("b") + [*self.EVERYWHERE]


class ReluMLP(Model):
    kind, penalised = "MLP relu", ("W1", "W2", "W3")

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        sizes = (self.D, self.H, self.H, self.C)
        for i in (1, 2, 3):
            self.params |= {f"W{i}": self.normal(*sizes[i - 1 : i + 1]), f"b{i}": self.normal(sizes[i], scale=0.3)}

    def loss(self, p: Any) -> Any:
        h = torch.tensor(self.X)
        for i in (1, 2):
            h = F.relu(h @ p[f"W{i}"] + p[f"b{i}"])
        return F.cross_entropy(h @ p["W3"] + p["b3"], torch.tensor(self.y)) + self.penalty(p)

    def backward(self) -> Arrays:
        P = self.params
        a1 = self.X @ P["W1"] + P["b1"]
        h1 = np.maximum(a1, 0)
        a2 = h1 @ P["W2"] + P["b2"]
        h2 = np.maximum(a2, 0)
        d3 = self.cross_entropy(h2 @ P["W3"] + P["b3"], self.y)
        dW3 = self.weight("W3", h2, d3, a2, h1)
        d2 = self.relu_back(self.through(d3, "W3", dW3), a2, "2", a1)
        dW2 = self.weight("W2", h1, d2, a1, h2)
        d1 = self.relu_back(self.through(d2, "W2", dW2), a1, "1", a2)
        biases = {"b1": self.bias("b1", d1), "b2": self.bias("b2", d2), "b3": self.bias("b3", d3)}
        return {"W1": self.weight("W1", self.X, d1), "W2": dW2, "W3": dW3, **biases}

    def places(self) -> list[Slip]:
        slips = [*self.HEAD, *self.EVERYWHERE]
        slips += [(s, layer) for s in (*self.RELU, "relu mask of another layer") for layer in ("1", "2")]
        slips += [(s, w) for s in ("pre-activation", "another layer's activation") for w in ("W2", "W3")]
        slips += [
            ("weight not transposed", "W2"),
            ("weight missing", "W2"),
            ("weight already updated", "W3"),
            ("weight already updated", "W2"),
        ]
        for i in (1, 2, 3):
            slips += [*self.on_weight(f"W{i}"), *self.on_bias(f"b{i}")]
        return slips


class SmoothMLP(Model):
    """One hidden layer, squared error (tanh) or cross-entropy (sigmoid)."""

    op = "tanh"
    kind = "MLP tanh"

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        self.Y = self.normal(self.N, self.C, scale=1)
        sizes = (self.D, self.H, self.H, self.C)
        for i in (1, 2, 3):
            self.params |= {f"W{i}": self.normal(*sizes[i - 1 : i + 1]), f"b{i}": self.normal(sizes[i], scale=0.3)}

    def loss(self, p: Any) -> Any:
        h = torch.tensor(self.X)
        for i in (1, 2):
            h = getattr(torch, self.op)(h @ p[f"W{i}"] + p[f"b{i}"])
        z = h @ p["W3"] + p["b3"]
        return F.mse_loss(z, torch.tensor(self.Y)) if self.op == "tanh" else F.cross_entropy(z, torch.tensor(self.y))

    def backward(self) -> Arrays:
        P, f = self.params, np.tanh if self.op == "tanh" else sigmoid
        a1 = self.X @ P["W1"] + P["b1"]
        h1 = f(a1)
        a2 = h1 @ P["W2"] + P["b2"]
        h2 = f(a2)
        z = h2 @ P["W3"] + P["b3"]
        if self.op == "tanh":
            sign = 1 if self.has("one-hot added") else 0 if self.has("one-hot left out") else -1
            d3 = 2 * (z + sign * self.Y) / z.size
        else:
            d3 = self.cross_entropy(z, self.y)
        dW3 = self.weight("W3", h2, d3, a2, h1)
        d2 = self.smooth_back(self.through(d3, "W3", dW3), a2, h2, self.op, "2")
        dW2 = self.weight("W2", h1, d2, a1, h2)
        d1 = self.smooth_back(self.through(d2, "W2", dW2), a1, h1, self.op, "1")
        biases = {"b1": self.bias("b1", d1), "b2": self.bias("b2", d2), "b3": self.bias("b3", d3)}
        return {"W1": self.weight("W1", self.X, d1), "W2": dW2, "W3": dW3, **biases}

    def places(self) -> list[Slip]:
        slips = [("one-hot added", ""), ("one-hot left out", "")] if self.op == "tanh" else list(self.HEAD)
        slips += [*self.EVERYWHERE, *self.smooth("1"), *self.smooth("2")]
        slips += [(s, w) for s in ("pre-activation", "another layer's activation") for w in ("W2", "W3")]
        slips += [("weight not transposed", "W2"), ("weight missing", "W2"), ("weight already updated", "W3")]
        for i in (1, 2, 3):
            slips += [*self.on_weight(f"W{i}"), *self.on_bias(f"b{i}")]
        return slips


class SigmoidMLP(SmoothMLP):
    op = "sigmoid"
    kind = "MLP sigmoid"


MODELS: list[Callable[[int], Model]] = [SoftmaxRegression, Logistic, Linear, ReluMLP, SigmoidMLP, SmoothMLP]
