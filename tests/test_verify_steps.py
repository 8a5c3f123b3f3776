"""check_steps: the line of a hand-written backward pass that departs from the graph."""

from __future__ import annotations

import inspect
import linecache
import os
import re
import sys

import numpy as np
import pytest

import tinygrad_lab as torch
from benchmarks.verify_derivations import DERIVATIONS, text_of
from benchmarks.verify_steps import compiled, locate
from tinygrad_lab import verify
from tinygrad_lab.nn import functional as F

# TINYGRAD_LAB_SLOW=1 mutates every derivation 40 times.
SLOW = bool(os.environ.get("TINYGRAD_LAB_SLOW"))

rng = np.random.default_rng(0)
X, y, N = rng.normal(size=(10, 6)), rng.integers(0, 4, 10), 10
PARAMS = {
    "W1": rng.normal(size=(6, 8)),
    "b1": rng.normal(size=8),
    "W2": rng.normal(size=(8, 4)),
    "b2": rng.normal(size=4),
}


def loss(p):
    h = F.relu(torch.tensor(X) @ p["W1"] + p["b1"])
    return F.cross_entropy(h @ p["W2"] + p["b2"], torch.tensor(y))


def backward(params):
    a1 = X @ params["W1"] + params["b1"]
    h1 = np.maximum(a1, 0)
    z = h1 @ params["W2"] + params["b2"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(N), y] -= 1
    dz = p / N
    dW2 = h1.T @ dz
    db2 = dz.sum(axis=0)
    dh1 = dz @ params["W2"].T
    da1 = dh1 * (a1 <= 0)  # the slip
    dW1 = X.T @ da1
    db1 = da1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def backward_with_locals(params):
    h1 = np.maximum(X @ params["W1"] + params["b1"], 0)
    e = np.exp(h1 @ params["W2"] + params["b2"])
    p = e / e.sum(axis=1, keepdims=True)
    dz = (p + np.eye(4)[y]) / N  # the slip
    dW2 = h1.T @ dz
    db2 = dz.sum(axis=0)
    da1 = dz @ params["W2"].T * (h1 > 0)
    dW1 = X.T @ da1
    db1 = da1.sum(axis=0)
    return verify.check_steps(loss, params, locals()), (dW2, db2, dW1, db1)


def line_of(text):
    with open(__file__) as file:
        return next(i for i, line in enumerate(file, 1) if text in line)


def test_a_function_is_watched_line_by_line():
    before = {name: value.copy() for name, value in PARAMS.items()}
    found = verify.check_steps(loss, PARAMS, backward)
    assert not found and found.line == line_of("da1 = dh1 * (a1 <= 0)") and found.variable == "da1"
    assert found.text.startswith("da1 = dh1 * (a1 <= 0)")
    text = str(found)
    assert f"line {found.line} departs: da1" in text and "relu mask inverted" in text
    chinese = verify.explain_steps(found, "zh")
    assert f"第 {line_of('dh1 = dz @')} 行:dh1 是 t4 的梯度\n" in chinese and "gradient" not in chinese
    assert ("dh1", "the gradient of t4") in {(name, what) for _, name, what in found.matched}
    assert all(np.array_equal(PARAMS[name], before[name]) for name in before)
    assert sys.gettrace() is None
    assert found.to_dict()["line"] == found.line


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("dW2 = h1.T @ dz", "dW2 = 1.1 * h1.T @ dz", "the gradient of W2"),
        ("da1 = dh1 * (a1 <= 0)  # the slip", "da1 = dh1", "the gradient of t1"),
        ("p[np.arange(N), y] -= 1", "p[np.arange(N), y] -= 2", "p - y"),
    ],
)
def test_what_a_line_should_be_is_said_with_one_article(right, wrong, expected):
    code = inspect.getsource(backward)
    assert right in code
    code = code.replace(right, wrong).replace("(a1 <= 0)", "(a1 > 0)")
    names, file = dict(globals()), f"a derivation without {expected}"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)
    found = verify.check_steps(loss, PARAMS, names["backward"])
    assert found.expected == expected and f"; all is right if it is {expected}\n" in str(found)


def test_every_fact_has_a_text_in_chinese():
    from tinygrad_lab.verify.facts import Facts
    from tinygrad_lab.verify.problem import Problem
    from tinygrad_lab.verify.texts import fact_in

    for make, _ in DERIVATIONS.values():
        model = make(3)
        truth = {name: np.zeros(np.shape(value)) for name, value in model.params.items()}
        facts = Facts(Problem(model.loss, model.params, truth))
        facts.add_rows()
        alike = "|".join(["one-hot", "exp", "log", "max", "sigmoid", "tanh", *model.params])  # in both languages
        for fact in [*facts.everything, *(fact for bucket in facts.buckets.values() for fact in bucket)]:
            chinese = fact_in(f"{fact}, times 2", "zh")
            assert chinese.endswith(",乘以 2") and not re.search(r"[a-z]{3,}", re.sub(alike, "", chinese)), chinese


def test_locals_of_the_function_that_calls():
    found, _ = backward_with_locals(PARAMS)
    assert found.line == line_of("dz = (p + np.eye(4)[y]) / N") and found.variable == "dz"


def test_right_derivations_do_not_depart():
    for name, (make, _) in DERIVATIONS.items():
        model = make(3)
        found = verify.check_steps(model.loss, model.params, compiled(text_of(name), model))
        assert found and found.line == 0 and str(found) == "Every gradient is correct.", name


@pytest.mark.parametrize(
    "name", DERIVATIONS if SLOW else ["softmax, one-hot, mean at the end", "MLP relu", "batch norm"]
)
def test_mutated_lines_are_named(name):
    cases, right, _ = locate(name, seed=5, limit=40 if SLOW else 8)
    assert right >= (0.85 if SLOW else 0.7) * cases  # 95% over all of them: see benchmarks/verify_steps.py


def test_closures_methods_and_failures():
    def outer():
        scale = 1 / N

        def inner(params):
            print("a line that a rerun must not repeat")
            z = X @ params["w"]
            dz = -2 * z * scale
            return [X.T @ dz]

        return inner

    w = rng.normal(size=6)
    found = verify.check_steps(lambda p: ((torch.tensor(X) @ p["w"]) ** 2).mean(), {"w": w}, outer())
    assert found.variable == "dz" and "dz = -2 * z * scale" in found.text
    with pytest.raises(TypeError, match="no Python function"):
        verify.check_steps(loss, PARAMS, len)
    with pytest.raises(ZeroDivisionError):
        verify.check_steps(loss, PARAMS, lambda p: 1 / 0)
    assert sys.gettrace() is None
    with pytest.raises(ValueError, match="no variable holds the gradient of 'W1'"):
        verify.check_steps(loss, PARAMS, {"x": 1.0})
    with pytest.raises(TypeError, match="must be a function of Tensors"):
        verify.check_steps(
            lambda p: float((p["w"] ** 2).sum()) if isinstance(p["w"], np.ndarray) else 0.0,
            {"w": w},
            lambda p: [2 * p["w"]],
        )
