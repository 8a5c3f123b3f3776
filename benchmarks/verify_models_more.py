"""Models whose graphs are not chains: batch normalisation, an embedding, a recurrent net, an SVM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_lab as torch
from benchmarks.verify_models import MODELS, Arrays, Model, Slip
from tinygrad_lab.nn import functional as F

EPS = 1e-5


class BatchNorm(Model):
    kind = "batch norm"

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        self.params = {
            "W1": self.normal(self.D, self.H),
            "gamma": 1 + self.normal(self.H, scale=0.2),
            "beta": self.normal(self.H, scale=0.2),
            "W2": self.normal(self.H, self.C),
            "b2": self.normal(self.C),
        }

    def loss(self, p: Any) -> Any:
        a = torch.tensor(self.X) @ p["W1"]
        centred = a - a.mean(0)
        var = (centred * centred).mean(0)
        xhat = centred / torch.sqrt(var + EPS)
        h = F.relu(xhat * p["gamma"] + p["beta"])
        return F.cross_entropy(h @ p["W2"] + p["b2"], torch.tensor(self.y))

    def backward(self) -> Arrays:
        P = self.params
        a = self.X @ P["W1"]
        std = np.sqrt(a.var(0) + EPS)
        xhat = (a - a.mean(0)) / std
        s = xhat * P["gamma"] + P["beta"]
        h = np.maximum(s, 0)
        d2 = self.cross_entropy(h @ P["W2"] + P["b2"], self.y)
        ds = self.relu_back(self.through(d2, "W2"), s, "1")
        dgamma = self.bias("gamma", ds * (a if self.has("another layer's activation", "gamma") else xhat))
        dx = ds * P["gamma"]
        mean, both = dx.mean(0), xhat * (dx * xhat).mean(0)
        if self.has("batch statistics taken as constants", "mean"):
            mean = 0 * mean
        if self.has("batch statistics taken as constants", "var"):
            both = 0 * both
        if self.has("batch statistics taken as constants", "both"):
            mean, both = 0 * mean, 0 * both
        da = (dx - mean - both) / std
        W = {"W1": self.weight("W1", self.X, da), "W2": self.weight("W2", h, d2, s, xhat)}
        return {**W, "gamma": dgamma, "beta": self.bias("beta", ds), "b2": self.bias("b2", d2)}

    def places(self) -> list[Slip]:
        slips = [*self.HEAD, *self.EVERYWHERE, *((s, "1") for s in self.RELU)]
        slips += [("batch statistics taken as constants", which) for which in ("mean", "var", "both")]
        slips += [
            ("another layer's activation", "gamma"),
            ("pre-activation", "W2"),
            ("another layer's activation", "W2"),
        ]
        slips += [*self.on_weight("W1"), *self.on_weight("W2"), *self.on_bias("b2"), *self.on_bias("beta")]
        return slips


class Embedding(Model):
    """Bags of words: rows of a table, averaged, then a softmax."""

    kind, penalised = "embedding", ("W",)

    def build(self) -> None:
        self.words, self.y = self.rng.integers(0, 9, (self.N, 3)), self.rng.integers(0, self.C, self.N)
        self.params = {"E": self.normal(9, self.H), "W": self.normal(self.H, self.C), "b": self.normal(self.C)}

    def loss(self, p: Any) -> Any:
        h = torch.tanh(p["E"][torch.tensor(self.words)].mean(1))
        return F.cross_entropy(h @ p["W"] + p["b"], torch.tensor(self.y)) + self.penalty(p)

    def backward(self) -> Arrays:
        P = self.params
        m = P["E"][self.words].mean(1)
        h = np.tanh(m)
        dz = self.cross_entropy(h @ P["W"] + P["b"], self.y)
        dm = self.smooth_back(self.through(dz, "W"), m, h, "tanh", "1")
        dE = np.zeros_like(P["E"])
        share = np.repeat(dm[:, None, :] / 3, 3, axis=1)
        if self.has("= for +=", "E"):
            dE[self.words.ravel()] = share.reshape(-1, self.H)
        else:
            np.add.at(dE, self.words, share)
        return {"E": dE, "W": self.weight("W", h, dz, m), "b": self.bias("b", dz)}

    def places(self) -> list[Slip]:
        slips = [
            *self.HEAD,
            *self.EVERYWHERE,
            *self.smooth("1"),
            ("= for +=", "E"),
            ("transposed", "E"),
            ("times 2", "E"),
            ("zero", "E"),
        ]
        return [*slips, ("pre-activation", "W"), *self.on_weight("W"), *self.on_bias("b")]


class Recurrent(Model):
    """h_t = tanh(x_t U + h_(t-1) V + c), a softmax on the last h."""

    kind, steps = "recurrent", 4

    def build(self) -> None:
        self.X, self.y = self.normal(self.steps, self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        self.params = {
            "U": self.normal(self.D, self.H),
            "V": self.normal(self.H, self.H),
            "c": self.normal(self.H),
            "W": self.normal(self.H, self.C),
            "b": self.normal(self.C),
        }

    def loss(self, p: Any) -> Any:
        h = torch.tanh(torch.tensor(self.X[0]) @ p["U"] + p["c"])
        for t in range(1, self.steps):
            h = torch.tanh(torch.tensor(self.X[t]) @ p["U"] + h @ p["V"] + p["c"])
        return F.cross_entropy(h @ p["W"] + p["b"], torch.tensor(self.y))

    def backward(self) -> Arrays:
        P, hs, pre = self.params, [], []
        for t in range(self.steps):
            pre.append(self.X[t] @ P["U"] + P["c"] + (hs[-1] @ P["V"] if t else 0))
            hs.append(np.tanh(pre[-1]))
        dz = self.cross_entropy(hs[-1] @ P["W"] + P["b"], self.y)
        grads = {name: np.zeros_like(P[name]) for name in ("U", "V", "c")}
        dh = self.through(dz, "W")
        for t in reversed(range(self.steps)):
            da = self.smooth_back(dh, pre[t], hs[t], "tanh", "all")
            own = {"U": self.X[t].T @ da, "c": da.sum(0)}
            if t:
                own["V"] = (pre if self.has("pre-activation", "V") else hs)[t - 1].T @ da
            for name, g in own.items():
                if self.has("use missing", name) and t == 1:
                    continue
                grads[name] = g if self.has("one use only", name) and t else grads[name] + g
                if self.has("one use only", name) and t == 0:
                    grads[name] = g
            dh = 0 * dh if self.has("path dropped", "V") else self.through(da, "V")
        return {**grads, "W": self.weight("W", hs[-1], dz, pre[-1], hs[-2]), "b": self.bias("b", dz)}

    def places(self) -> list[Slip]:
        slips = [*self.HEAD, *self.EVERYWHERE, *self.smooth("all"), ("path dropped", "V"), ("pre-activation", "V")]
        slips += [
            ("weight not transposed", "V"),
            ("weight missing", "V"),
            ("pre-activation", "W"),
            ("another layer's activation", "W"),
        ]
        slips += [("use missing", name) for name in ("U", "V", "c")] + [
            ("transposed", "V"),
            ("times 2", "V"),
            ("zero", "U"),
        ]
        return [*slips, *self.on_weight("W"), *self.on_bias("b")]


class SVM(Model):
    """Multi-class hinge: sum over the wrong classes of max(0, s_j - s_y + 1), averaged, with a penalty."""

    kind, penalised = "SVM", ("W",)

    def build(self) -> None:
        self.X, self.y = self.normal(self.N, self.D, scale=1), self.rng.integers(0, self.C, self.N)
        self.params = {"W": self.normal(self.D, self.C), "b": self.normal(self.C)}

    def loss(self, p: Any) -> Any:
        s = torch.tensor(self.X) @ p["W"] + p["b"]
        right = s[np.arange(self.N), self.y].reshape(-1, 1)
        margins = F.relu(s - right + 1)
        return (margins.sum() - self.N) / self.N + self.penalty(p)

    def backward(self) -> Arrays:
        s = self.X @ self.params["W"] + self.params["b"]
        rows = np.arange(self.N)
        margins = s - s[rows, self.y][:, None] + 1
        over = self.relu_back(np.ones_like(s), margins, "1")
        ds = over.copy()
        count = over.sum(1)
        if self.has("path dropped"):
            count = 0 * count
        if self.has("target left out of a margin", "added"):
            ds[rows, self.y] = count - over[rows, self.y]
        else:
            ds[rows, self.y] -= count
        ds = ds / self.N
        return {"W": self.weight("W", self.X, ds), "b": self.bias("b", ds)}

    def places(self) -> list[Slip]:
        relu = [(s, "1") for s in ("relu mask missing", "relu mask inverted", "relu value instead of mask")]
        slips = [*relu, ("path dropped", ""), ("target left out of a margin", "added")]
        return [*slips, *self.on_weight("W"), *self.on_bias("b"), *self.EVERYWHERE]


ALL: list[Callable[[int], Model]] = [*MODELS, BatchNorm, Embedding, Recurrent, SVM]
