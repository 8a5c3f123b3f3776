"""Penalties against autograd, limits against their definition, and the sparsity that proximal steps bring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_lab import nn, random
from tinygrad_lab.experiments import Experiment, regularisers, run
from tinygrad_lab.experiments.building import build_model, build_optimizer
from tinygrad_lab.tensor import wrap

BASE = Experiment(lr=0.2, batch_size=50, epochs=10)


def model() -> nn.Module:
    random.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_penalties_and_their_gradients_are_autograds(l1: float, l2: float, biases: bool) -> None:
    ours, theirs = model(), model()
    x = wrap(np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32))
    chosen = [p for p in theirs.parameters() if biases or p.ndim == 2]
    penalty = sum(l1 * p.abs().sum() + l2 / 2 * p.square().sum() for p in chosen)
    (theirs(x).square().mean() + penalty).backward()
    ours(x).square().mean().backward()
    weights = regularisers.penalised(ours, biases)
    ours_penalty = regularisers.Penalty(weights, l1, l2)
    ours_penalty.add_gradients()
    assert sum(ours_penalty.terms()) == pytest.approx(penalty.item(), rel=1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.array, b.grad.array, atol=1e-6)


def test_l2_is_weight_decay_of_the_weights_alone() -> None:
    model = build_model(BASE, 64, 10)
    penalised = run(BASE.replace(l2=0.01), progress=False)
    decayed = run(BASE.replace(weight_decay=0.01), progress=False)
    both = [done.model.state_dict() for done in (penalised, decayed)]
    assert np.abs(both[0]["0.bias"].array - both[1]["0.bias"].array).max() > 1e-3
    everything = run(BASE.replace(l2=0.01, penalise_biases=True), progress=False).model.state_dict()
    for name in everything:
        np.testing.assert_allclose(everything[name].array, both[1][name].array, atol=1e-5)
    assert len(regularisers.penalised(model)) == 1


def test_norms_are_limited_unit_by_unit() -> None:
    weight = wrap(np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], np.float32)).requires_grad_()
    regularisers.limit_norms([weight], 2.0)
    np.testing.assert_allclose(weight.array, [[1.2, 1.6], [0.3, 0.4], [0, 0]], rtol=1e-6)
    done = run(BASE.replace(model="mlp", hidden=(16,), max_norm=0.8, epochs=3), progress=False)
    state = done.model.state_dict()
    norms = [np.linalg.norm(state[name].array, axis=1) for name in ("0.weight", "2.weight")]
    assert max(n.max() for n in norms) <= 0.8 * (1 + 1e-6) and any((n > 0.79).any() for n in norms)


def test_proximal_steps_make_exact_zeros_and_gradients_of_l1_do_not() -> None:
    proximal = run(BASE.replace(l1=5e-3, proximal=True), progress=False)
    plain = run(BASE.replace(l1=5e-3), progress=False)
    found = proximal.model.state_dict()["0.weight"].array
    assert proximal.history.sparsity[-1] == (found == 0).mean() > 0.25
    # Pixels that are always black have a gradient of 0 and no other: even there, steps of lr * l1 jump around 0.
    assert plain.history.sparsity[-1] < 0.05
    for done in (proximal, plain):
        assert done.history.test_accuracy > 0.85
    np.testing.assert_allclose(proximal.history.step_loss[-1], plain.history.step_loss[-1], rtol=0.1)


def test_no_l1_no_sparsity() -> None:
    assert run(BASE.replace(epochs=1), progress=False).history.sparsity == []


@pytest.mark.parametrize("biases", [False, True])
def test_proximal_groups(biases: bool) -> None:
    experiment = BASE.replace(proximal=True, l1=0.1, l2=0.2, momentum=0.9, penalise_biases=biases)
    optimizer: Any = build_optimizer(experiment, build_model(experiment, 64, 10))
    groups = [(group["l1"], group["l2"], len(group["params"])) for group in optimizer.param_groups]
    assert groups == ([(0.1, 0.2, 2)] if biases else [(0.1, 0.2, 1), (0, 0, 1)])
    assert all(group["momentum"] == 0.9 and group["lr"] == 0.2 for group in optimizer.param_groups)
