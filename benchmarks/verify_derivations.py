"""Backward passes as students write them, in several styles, as text; and mutations of that text.

`DERIVATIONS[name] = (model, source)`: `source` defines `backward(params)` for the loss of `model` (`verify_models`),
with the model's data as globals. `mutants(source)` yields the source with one expression changed, and the line of
the change.
"""

from __future__ import annotations

import ast
import copy
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import verify_models as models
from benchmarks import verify_models_more as more

DERIVATIONS: dict[str, tuple[Callable[[int], Any], str]] = {
    "softmax": (models.SoftmaxRegression, """
        def backward(params):
            W, b = params["W"], params["b"]
            N = X.shape[0]
            z = X @ W + b
            z = z - z.max(axis=1, keepdims=True)
            e = np.exp(z)
            p = e / e.sum(axis=1, keepdims=True)
            dz = p.copy()
            dz[np.arange(N), y] -= 1
            dz /= N
            dW = X.T @ dz + LAM * W
            db = dz.sum(axis=0)
            return {"W": dW, "b": db}
        """),
    "softmax, one-hot, mean at the end": (models.SoftmaxRegression, """
        def backward(params):
            W, b = params["W"], params["b"]
            onehot = np.zeros((N, C))
            onehot[np.arange(N), y] = 1
            scores = X @ W + b
            exp_scores = np.exp(scores)
            total = exp_scores.sum(axis=1, keepdims=True)
            probs = exp_scores / total
            delta = probs - onehot
            dW = X.T @ delta / N
            dW += LAM * W
            db = delta.sum(axis=0) / N
            return {"W": dW, "b": db}
        """),
    "softmax, loop over rows": (models.SoftmaxRegression, """
        def backward(params):
            W, b = params["W"], params["b"]
            dW = np.zeros(W.shape)
            db = np.zeros(b.shape)
            for n in range(N):
                z = X[n] @ W + b
                e = np.exp(z - z.max())
                p = e / e.sum()
                p[y[n]] -= 1
                dW += np.outer(X[n], p)
                db += p
            dW = dW / N + LAM * W
            db = db / N
            return {"W": dW, "b": db}
        """),
    "logistic": (models.Logistic, """
        def backward(params):
            z = X @ params["w"] + params["b"]
            q = 1 / (1 + np.exp(-z))
            error = q - y
            dw = X.T @ error / N
            db = np.array([error.sum() / N])
            return {"w": dw, "b": db}
        """),
    "linear": (models.Linear, """
        def backward(params):
            W, b = params["W"], params["b"]
            prediction = X @ W + b
            residual = prediction - Y
            dpred = 2 * residual / N
            dW = X.T @ dpred + LAM * W
            db = dpred.sum(axis=0)
            return {"W": dW, "b": db}
        """),
    "MLP relu": (models.ReluMLP, """
        def backward(params):
            W1, b1, W2, b2, W3, b3 = (params[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
            a1 = X @ W1 + b1
            h1 = np.maximum(a1, 0)
            a2 = h1 @ W2 + b2
            h2 = np.maximum(a2, 0)
            a3 = h2 @ W3 + b3
            e = np.exp(a3 - a3.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            onehot = np.eye(C)[y]
            d3 = (p - onehot) / N
            dW3 = h2.T @ d3 + LAM * W3
            db3 = d3.sum(axis=0)
            dh2 = d3 @ W3.T
            d2 = dh2 * (a2 > 0)
            dW2 = h1.T @ d2 + LAM * W2
            db2 = d2.sum(axis=0)
            dh1 = d2 @ W2.T
            d1 = dh1 * (a1 > 0)
            dW1 = X.T @ d1 + LAM * W1
            db1 = d1.sum(axis=0)
            return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
        """),
    "MLP relu, masks and dicts": (models.ReluMLP, """
        def backward(params):
            grads = {}
            z1 = X @ params["W1"] + params["b1"]
            mask1 = z1 > 0
            h1 = z1 * mask1
            z2 = h1 @ params["W2"] + params["b2"]
            mask2 = z2 > 0
            h2 = z2 * mask2
            scores = h2 @ params["W3"] + params["b3"]
            probs = np.exp(scores)
            probs /= probs.sum(axis=1, keepdims=True)
            delta = probs
            delta[np.arange(N), y] -= 1
            delta /= N
            grads["W3"] = h2.T @ delta
            grads["W3"] += LAM * params["W3"]
            grads["b3"] = delta.sum(axis=0)
            delta = delta @ params["W3"].T
            delta *= mask2
            grads["W2"] = h1.T @ delta
            grads["W2"] += LAM * params["W2"]
            grads["b2"] = delta.sum(axis=0)
            delta = delta @ params["W2"].T
            delta *= mask1
            grads["W1"] = X.T @ delta
            grads["W1"] += LAM * params["W1"]
            grads["b1"] = delta.sum(axis=0)
            return grads
        """),
    "MLP sigmoid": (models.SigmoidMLP, """
        def backward(params):
            W1, b1, W2, b2, W3, b3 = (params[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
            h1 = 1 / (1 + np.exp(-(X @ W1 + b1)))
            h2 = 1 / (1 + np.exp(-(h1 @ W2 + b2)))
            z = h2 @ W3 + b3
            e = np.exp(z)
            p = e / e.sum(axis=1, keepdims=True)
            p[np.arange(N), y] -= 1
            dz = p / N
            dW3 = h2.T @ dz
            db3 = dz.sum(axis=0)
            dh2 = dz @ W3.T
            da2 = dh2 * h2 * (1 - h2)
            dW2 = h1.T @ da2
            db2 = da2.sum(axis=0)
            dh1 = da2 @ W2.T
            da1 = dh1 * h1 * (1 - h1)
            dW1 = X.T @ da1
            db1 = da1.sum(axis=0)
            return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
        """),
    "MLP tanh": (models.SmoothMLP, """
        def backward(params):
            W1, b1, W2, b2, W3, b3 = (params[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
            h1 = np.tanh(X @ W1 + b1)
            h2 = np.tanh(h1 @ W2 + b2)
            out = h2 @ W3 + b3
            dout = 2 * (out - Y) / out.size
            dW3 = h2.T @ dout
            db3 = dout.sum(axis=0)
            dh2 = dout @ W3.T
            da2 = dh2 * (1 - h2 ** 2)
            dW2 = h1.T @ da2
            db2 = da2.sum(axis=0)
            dh1 = da2 @ W2.T
            da1 = dh1 * (1 - h1 ** 2)
            dW1 = X.T @ da1
            db1 = da1.sum(axis=0)
            return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
        """),
    "batch norm": (more.BatchNorm, """
        def backward(params):
            W1, gamma, beta, W2, b2 = (params[k] for k in ("W1", "gamma", "beta", "W2", "b2"))
            a = X @ W1
            mu = a.mean(axis=0)
            centred = a - mu
            var = (centred ** 2).mean(axis=0)
            std = np.sqrt(var + EPS)
            xhat = centred / std
            s = gamma * xhat + beta
            h = np.maximum(s, 0)
            z = h @ W2 + b2
            e = np.exp(z - z.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            dz = (p - np.eye(C)[y]) / N
            dW2 = h.T @ dz
            db2 = dz.sum(axis=0)
            dh = dz @ W2.T
            ds = dh * (s > 0)
            dgamma = (ds * xhat).sum(axis=0)
            dbeta = ds.sum(axis=0)
            dxhat = ds * gamma
            da = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / std
            dW1 = X.T @ da
            return {"W1": dW1, "gamma": dgamma, "beta": dbeta, "W2": dW2, "b2": db2}
        """),
    "embedding": (more.Embedding, """
        def backward(params):
            E, W, b = params["E"], params["W"], params["b"]
            m = E[words].mean(axis=1)
            h = np.tanh(m)
            z = h @ W + b
            e = np.exp(z)
            p = e / e.sum(axis=1, keepdims=True)
            dz = (p - np.eye(C)[y]) / N
            dW = h.T @ dz + LAM * W
            db = dz.sum(axis=0)
            dh = dz @ W.T
            dm = dh * (1 - h ** 2)
            dE = np.zeros(E.shape)
            for k in range(3):
                np.add.at(dE, words[:, k], dm / 3)
            return {"E": dE, "W": dW, "b": db}
        """),
    "recurrent": (more.Recurrent, """
        def backward(params):
            U, V, c, W, b = (params[k] for k in ("U", "V", "c", "W", "b"))
            hs = []
            h = np.zeros((N, U.shape[1]))
            for t in range(len(X)):
                h = np.tanh(X[t] @ U + h @ V + c)
                hs.append(h)
            z = h @ W + b
            e = np.exp(z)
            p = e / e.sum(axis=1, keepdims=True)
            dz = (p - np.eye(C)[y]) / N
            dW = h.T @ dz
            db = dz.sum(axis=0)
            dU = np.zeros(U.shape)
            dV = np.zeros(V.shape)
            dc = np.zeros(c.shape)
            dh = dz @ W.T
            for t in reversed(range(len(X))):
                da = dh * (1 - hs[t] ** 2)
                dU += X[t].T @ da
                dc += da.sum(axis=0)
                if t > 0:
                    dV += hs[t - 1].T @ da
                dh = da @ V.T
            return {"U": dU, "V": dV, "c": dc, "W": dW, "b": db}
        """),
    "SVM": (more.SVM, """
        def backward(params):
            W, b = params["W"], params["b"]
            scores = X @ W + b
            correct = scores[np.arange(N), y][:, None]
            margins = scores - correct + 1
            violated = (margins > 0) * 1.0
            violated[np.arange(N), y] = 0
            count = violated.sum(axis=1)
            dscores = violated.copy()
            dscores[np.arange(N), y] = -count
            dscores /= N
            dW = X.T @ dscores + LAM * W
            db = dscores.sum(axis=0)
            return {"W": dW, "b": db}
        """),
}  # fmt: skip


def text_of(name: str) -> str:
    """The derivation in the layout that `ast.unparse` gives: one statement a line."""
    return ast.unparse(ast.parse(textwrap.dedent(DERIVATIONS[name][1])))


def globals_of(model: Any) -> dict[str, Any]:
    data = {key: getattr(model, key) for key in ("X", "y", "Y", "words", "N", "C") if hasattr(model, key)}
    return {"np": np, "LAM": models.LAMBDA, "EPS": more.EPS, **data}


SWAPS: dict[type, list[type]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult],
    ast.Gt: [ast.Lt], ast.Pow: [ast.Mult],
}  # fmt: skip


def _variants(node: ast.AST, names: list[str]) -> Iterator[ast.AST]:
    """What one node might have been written as."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        for operator in SWAPS.get(type(node.op), []):
            changed = copy.deepcopy(node)
            changed.op = operator()  # type: ignore[attr-defined]
            yield changed
    if isinstance(node, ast.BinOp):
        yield copy.deepcopy(node.left)
        yield copy.deepcopy(node.right)
    if isinstance(node, ast.Compare):
        for operator in SWAPS.get(type(node.ops[0]), []):
            changed = copy.deepcopy(node)
            changed.ops = [operator()]  # type: ignore[attr-defined]
            yield changed
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield copy.deepcopy(node.value)
    if isinstance(node, ast.UnaryOp):
        yield copy.deepcopy(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("sum", "mean"):
        changed = copy.deepcopy(node)
        changed.func.attr = "mean" if node.func.attr == "sum" else "sum"  # type: ignore[attr-defined]
        yield changed
        if any(k.arg == "axis" for k in node.keywords):
            without = copy.deepcopy(node)
            without.keywords = [k for k in without.keywords if k.arg != "axis"]
            yield without
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for value in {0: (1,), 1: (0, 2), 2: (1, 3), 3: (2,)}.get(node.value, ()):
            yield ast.Constant(value)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        yield from (ast.Name(other, ast.Load()) for other in names if other != node.id)


def mutants(source: str) -> Iterator[tuple[str, int]]:
    """(mutated text, line of the mutation) for every variant of every expression in the body."""
    tree = ast.parse(source)
    body = [n for n in ast.walk(tree) if isinstance(n, (ast.Assign, ast.AugAssign, ast.Expr))]
    targets = [t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    names = list(dict.fromkeys(targets))
    for statement in body:
        for parent in ast.walk(statement):
            for name, value in ast.iter_fields(parent):
                if name == "targets" or name == "target" or (isinstance(parent, ast.Call) and name == "func"):
                    continue
                for i, child in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(child, ast.AST):
                        for variant in _variants(child, names):
                            if isinstance(value, list):
                                value[i] = variant
                            else:
                                setattr(parent, name, variant)
                            yield ast.unparse(tree), statement.lineno
                            if isinstance(value, list):
                                value[i] = child
                            else:
                                setattr(parent, name, child)
        if isinstance(statement, ast.AugAssign):
            operator = statement.op
            for other in SWAPS.get(type(operator), []):
                statement.op = other()
                yield ast.unparse(tree), statement.lineno
            statement.op = operator
