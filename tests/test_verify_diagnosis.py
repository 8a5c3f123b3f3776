"""Diagnosing hand-derived gradients: known cases explained, correct ones not flagged, unknown ones not guessed."""

from __future__ import annotations

import os

import numpy as np
import pytest
from verify_cases import CASES, LAMBDA, MLP, Softmax, named

import tinygrad_lab as torch
from tinygrad_lab import nn, verify
from tinygrad_lab.nn import functional as F

# TINYGRAD_LAB_SLOW=1 runs every seed: 230 cases, 1,000 correct gradients.
SLOW = bool(os.environ.get("TINYGRAD_LAB_SLOW"))
SEEDS = range(10) if SLOW else range(1, 3)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", SEEDS)
def test_known_case_is_explained(name, seed):
    loss, params, hand, expected = CASES[name](seed)
    diagnosis = verify.diagnose(loss, params, hand)
    assert named(diagnosis, expected), f"expected {expected}, got\n{diagnosis}"
    for language in ("en", "zh"):
        text = verify.explain(diagnosis, language)
        assert 1 <= len(text.splitlines()) <= 15
        assert "{" not in text.replace("{}", "")


@pytest.mark.parametrize("rounded", [False, True], ids=["float64", "float32"])
def test_correct_gradients_are_never_flagged(rounded):
    for seed in range(500 if SLOW else 25):
        m = MLP(seed) if seed % 2 else Softmax(seed)
        hand = m.hand(penalty=LAMBDA)
        if rounded:
            hand = {name: g.astype(np.float32) for name, g in hand.items()}
        diagnosis = verify.diagnose(m.penalised, m.params, hand)
        assert diagnosis, f"seed {seed}:\n{diagnosis}"


def test_float32_computation_is_correct_too():
    for seed in range(10):
        m = Softmax(seed)
        X, W, b = (a.astype(np.float32) for a in (m.X, m.params["W"], m.params["b"]))
        e = np.exp(X @ W + b)
        dz = (e / e.sum(1, keepdims=True) - m.Y.astype(np.float32)) / np.float32(m.N)
        loss = lambda p, X=X, m=m: F.cross_entropy(torch.tensor(X) @ p["W"] + p["b"], torch.tensor(m.y))  # noqa: E731
        assert verify.diagnose(loss, {"W": W, "b": b}, {"W": X.T @ dz, "b": dz.sum(0)})
        wrong = verify.diagnose(loss, {"W": W, "b": b}, {"W": -X.T @ dz, "b": -dz.sum(0)})
        assert [c.name for c in wrong.causes] == ["sign"]


def test_random_arrays_fit_no_known_pattern():
    for seed in range(40 if SLOW else 8):
        rng = np.random.default_rng(seed)
        m = MLP(seed) if seed % 2 else Softmax(seed)
        hand = m.hand(penalty=LAMBDA)
        name = list(hand)[int(rng.integers(len(hand)))]
        how = seed % 4
        if how == 0:
            hand[name] = rng.normal(size=hand[name].shape)
        elif how == 1:
            hand[name] = hand[name] * rng.uniform(0.5, 2, hand[name].shape)
        elif how == 2:
            hand[name] = hand[name] + 1e-3 * rng.normal(size=hand[name].shape)
        else:
            hand[name].flat[0] *= 1.1
        diagnosis = verify.diagnose(m.penalised, m.params, hand)
        assert diagnosis.verdict == "unexplained" and not diagnosis.causes, f"seed {seed}:\n{diagnosis}"
        assert diagnosis.wrong == [name]
        assert "no known pattern" in str(diagnosis)


def test_a_gradient_given_as_a_function_is_run_again_at_other_sizes():
    def problem(N, D, H, C):
        m = Softmax(0, N, D, C)
        return m.loss, m.params, lambda p: m.hand(m.p - m.Y)

    two_rows = Softmax(3, N=2)  # here "times N" and "times 2" are the same number
    one = verify.diagnose(two_rows.loss, two_rows.params, two_rows.hand(two_rows.p - two_rows.Y))
    assert {e.causes[0].name for e in one.explanations} == {"times N", "times 2"}
    more = verify.diagnose(two_rows.loss, two_rows.params, two_rows.hand(two_rows.p - two_rows.Y), problem=problem)
    assert [[c.name for c in e.causes] for e in more.explanations] == [["times N"]]


def test_a_teachers_own_mistake_is_found():
    @verify.mistake("cube of the value", says={"en": ("tanh differentiated as y cubed", "da = dh * (1 - y**2)")})
    def cubed(problem):
        for step in problem.recording.steps:
            if step.op is not None and step.op.name == "tanh":
                yield verify.Edit(rules={(step, "input"): lambda g, y: g * y**3})

    try:
        x = np.random.default_rng(0).normal(size=(9, 4))
        w = np.random.default_rng(1).normal(size=4)
        y = np.tanh(x @ w)
        diagnosis = verify.diagnose(lambda p: torch.tanh(torch.tensor(x) @ p["w"]).sum(), {"w": w}, {"w": x.T @ y**3})
        assert [c.name for c in diagnosis.causes] == ["cube of the value"]
        assert "tanh differentiated as y cubed" in str(diagnosis)
    finally:
        del verify.catalogue["cube of the value"]


def test_parameters_as_a_list_and_a_module():
    m = Softmax(1)
    grads = m.hand()
    as_list = verify.diagnose(
        lambda p: m.loss({"W": p[0], "b": p[1]}), list(m.params.values()), [-grads["W"], -grads["b"]]
    )
    assert [c.name for c in as_list.causes] == ["sign"]
    layer = nn.Linear(7, 5)
    before = {name: p.array.copy() for name, p in layer.named_parameters()}
    x, y = torch.tensor(m.X.astype(np.float32)), torch.tensor(m.y)
    z = m.X @ before["weight"].T.astype(np.float64) + before["bias"]
    e = np.exp(z - z.max(1, keepdims=True))
    dz = (e / e.sum(1, keepdims=True) - m.Y) / m.N
    hand = {"weight": (dz.T @ m.X).astype(np.float32), "bias": dz.sum(0).astype(np.float32)}
    assert verify.diagnose(lambda: F.cross_entropy(layer(x), y), layer, hand)
    hand["bias"] = (m.N * hand["bias"]).astype(np.float32)
    wrong = verify.diagnose(lambda: F.cross_entropy(layer(x), y), layer, hand)
    assert [(c.name, c.arrays) for c in wrong.causes] == [("times N", ["bias"])]
    assert all(
        np.array_equal(p.array, before[name]) and p.array.dtype == np.float32 for name, p in layer.named_parameters()
    )


def test_a_loss_in_numpy_is_compared_with_differences():
    x = np.random.default_rng(0).normal(size=(6, 3))
    loss = lambda p: float(np.exp(np.minimum(x @ p["w"], 3)).mean())  # noqa: E731
    w = np.array([0.3, -0.2, 0.1])
    right = x.T @ np.exp(x @ w) / 6
    assert verify.diagnose(loss, {"w": w}, {"w": right})
    wrong = verify.diagnose(loss, {"w": w}, {"w": -right})
    assert [c.name for c in wrong.causes] == ["sign"] and wrong.notes[0][0] == "no graph"


def test_autograd_is_named_as_the_odd_one_out():
    from tinygrad_lab.autograd import Function

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * g * x

    w = np.array([1.0, -2.0, 0.5])
    diagnosis = verify.diagnose(lambda p: Square.apply(p["w"]).sum(), {"w": w}, {"w": 2 * w})
    assert diagnosis.verdict == "autograd" and not diagnosis and "autograd is suspect" in str(diagnosis)


def test_missing_and_misshapen_arguments():
    m = Softmax(0)
    with pytest.raises(ValueError, match="there is no gradient for parameter 'b' among"):
        verify.diagnose(m.loss, m.params, {"W": m.params["W"]})
    with pytest.raises(ValueError, match="there is 1 gradient for 2 parameters"):
        verify.diagnose(m.loss, m.params, [m.params["W"]])
    with pytest.raises(ValueError, match="grad returned None: is a return missing"):
        verify.diagnose(m.loss, m.params, lambda p: None)
    with pytest.raises(ValueError, match="the gradient for parameter 'b' is None"):
        verify.diagnose(m.loss, m.params, {"W": m.params["W"], "b": None})
    with pytest.raises(ValueError, match="language must be"):
        verify.explain(verify.diagnose(m.loss, m.params, m.hand()), "fr")
    with pytest.raises(TypeError, match="does not depend on the parameters"):
        verify.diagnose(lambda p: torch.tensor(1.0), m.params, m.hand())


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda loss: (loss, 0.9), "a tuple of 2: return the loss alone"),
        (lambda loss: {"loss": loss}, "a dict: return the loss alone"),
        (lambda loss: loss * np.ones(3), r"an array of shape \(3,\): reduce it"),
        (lambda loss: None, "None: is a return missing"),
    ],
)
def test_a_loss_returns_one_number(returned, said):
    m = Softmax(0)
    in_numpy = lambda p: returned(float(np.sum(np.asarray(p["W"]) ** 2)))  # noqa: E731
    for loss in (lambda p: returned(m.loss(p)), in_numpy):
        with pytest.raises(ValueError, match="the loss must return one number, it returned " + said):
            verify.diagnose(loss, m.params, m.hand())
    layer = nn.Linear(3, 1)
    with pytest.raises(ValueError, match="the loss must return one number, it returned " + said):
        verify.diagnose(lambda: returned(layer(torch.ones(1, 3)).sum()), layer, {"weight": 1.0, "bias": 1.0})


def test_one_number_may_have_axes_of_length_1():
    a = np.array([1.0, 2.0])
    for loss in (lambda p: (p["a"] ** 2).sum(0, keepdim=True), lambda p: (np.asarray(p["a"]) ** 2).sum(keepdims=True)):
        assert verify.diagnose(loss, {"a": a}, {"a": 2 * a})


def test_a_replay_is_claimed_only_in_the_students_own_shape():
    def causes(loss, params, hand):
        return [[c.name for c in e.causes] for e in verify.diagnose(loss, params, hand).explanations]

    squares = lambda p: (p["a"] ** 2).sum()  # noqa: E731
    for wrong in (np.ones(3), np.zeros(3), np.zeros((5, 1)), np.full((2, 2), 4.0)):
        assert causes(squares, {"a": np.ones(2)}, {"a": wrong}) == []
    for summed in (np.array(4.0), np.full((1, 1), 4.0)):
        assert causes(squares, {"a": np.ones(2)}, {"a": summed}) == [["summed over all axes"]]
    spread = np.full(2, 4.0)
    assert causes(squares, {"a": np.array([0.5, 1.5])}, {"a": spread}) == [["summed over all axes"]]
    m = Softmax(0)
    hand, dz = m.hand(), (m.p - m.Y) / m.N
    assert causes(m.loss, m.params, {**hand, "b": dz.sum(1, keepdims=True)}) == [["summed over the wrong axis"]]
    assert causes(m.loss, m.params, {**hand, "b": dz.sum(1).reshape(3, 4)}) == []


def test_zeros_are_told_as_zero_first():
    m = Softmax(0)  # the entries of a softmax's bias sum to 0, so "summed over all axes" gives zeros too
    for zeros in (np.zeros(m.C), np.array(0.0)):
        found = verify.diagnose(m.loss, m.params, {**m.hand(), "b": zeros})
        assert [[c.name for c in e.causes] for e in found.explanations] == [["zero"], ["summed over all axes"]]


def test_spellings_of_names_and_a_loss_that_comes_along():
    m = Softmax(0)
    grads = m.hand()
    assert verify.diagnose(m.loss, m.params, {"dW": grads["W"], "grad_b": grads["b"]})
    loss = verify.diagnose(m.loss, m.params, lambda p: (3.0, grads))
    assert loss.notes[0][0] == "loss" and loss


def test_every_mistake_has_a_text_in_both_languages():
    from tinygrad_lab.verify.texts import name_in, saying

    for name in verify.catalogue:
        for language in ("en", "zh"):
            assert all(saying(name, language)), f"{name} has no text in {language}"
        assert name_in(name, "zh") != name


@pytest.mark.parametrize(
    ("factor", "en", "zh"),
    [
        ("N", "divide by N once", "除以 N 一次"),
        ("2/N", "divide by 2/N once", "除以 2/N 一次"),
        ("1/N", "multiply by N,", "乘以 N,"),
        ("-1/N", "multiply by -N,", "乘以 -N,"),
        ("1/(N C)", "multiply by N C,", "乘以 N C,"),
    ],
)
def test_a_share_is_undone_by_multiplying(factor, en, zh):
    from tinygrad_lab.verify.texts import saying

    assert saying(f"times {factor}", "en")[1].startswith(en) and saying(f"times {factor}", "zh")[1].startswith(zh)


def test_p_minus_y_is_advised_only_for_a_softmax_cross_entropy():
    m, x = Softmax(0), np.array([1.0, 2.0])
    minus = {name: -g for name, g in m.hand().items()}
    picked = lambda p: -torch.log_softmax(m.logits(p), 1)[torch.arange(m.N), torch.tensor(m.y)].mean()  # noqa: E731
    for loss in (m.loss, picked):
        assert "dz = p - y   (not y - p)" in str(verify.diagnose(loss, m.params, minus))
    found = verify.diagnose(lambda p: torch.log(p["x"]).sum(), {"x": x}, {"x": -1 / x})
    for language in ("en", "zh"):
        assert "p - y" not in verify.explain(found, language)
    assert "look for a minus" in str(found)
    steps = verify.check_steps(lambda p: torch.log(p["x"]).sum(), {"x": x}, lambda p: {"x": -1 / p["x"]})
    assert "p - y" not in str(steps)


def test_report_as_data():
    loss, params, hand, _ = CASES["penalty_twice"](0)
    found = verify.diagnose(loss, params, hand).to_dict()
    assert found["verdict"] == "explained"
    assert found["causes"][0]["name"] == "penalty times 2" and found["causes"][0]["arrays"] == ["W"]


def test_slips_in_other_models_alone_and_in_pairs():
    """A sample of the table that `python -m benchmarks.verify_diagnosis` prints: at least 95% right, at most 1%
    wrong."""
    from benchmarks.verify_diagnosis import outcome, samples
    from benchmarks.verify_models_more import ALL

    counts = {"right": 0, "wrong": 0, "silent": 0}
    for make in ALL:
        model = make(7)
        rng = np.random.default_rng(7)
        chosen = samples(model, 60 if SLOW else 3, rng)
        for slips in chosen if SLOW else [*chosen[:: len(chosen) // 6], *chosen[-3:]]:
            result, _ = outcome(model, slips)
            if result in counts:
                counts[result] += 1
    total = sum(counts.values())
    assert counts["right"] >= 0.95 * total and counts["wrong"] <= 0.01 * total + 1, counts
