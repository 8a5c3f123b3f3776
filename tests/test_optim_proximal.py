"""ProximalSGD against closed forms: the lasso of an orthogonal design, optimality conditions, SGD without penalty."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lab import optim
from tinygrad_lab.tensor import wrap


def soft(v: np.ndarray, threshold: float) -> np.ndarray:
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


def minimized(matrix: np.ndarray, target: np.ndarray, steps: int, **options: float) -> np.ndarray:
    """argmin of |matrix @ w - target|**2 / 2 + penalties, by the optimizer."""
    w = wrap(np.zeros(matrix.shape[1])).requires_grad_()
    optimizer = optim.ProximalSGD([w], **options)
    for _ in range(steps):
        w.grad = wrap(matrix.T @ (matrix @ w.array - target))
        optimizer.step()
    return w.array


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_lasso_and_elastic_net_of_an_orthogonal_design(momentum: float) -> None:
    rng = np.random.default_rng(0)
    matrix, _ = np.linalg.qr(rng.normal(size=(30, 8)))
    target = rng.normal(size=30)
    least_squares = matrix.T @ target
    found = minimized(matrix, target, 300, lr=0.3, momentum=momentum, l1=0.4)
    expected = soft(least_squares, 0.4)
    assert 0 < (expected == 0).sum() < 8
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(found == 0, expected == 0)  # exact zeros, not small numbers
    found = minimized(matrix, target, 300, lr=0.3, momentum=momentum, l1=0.4, l2=0.5)
    np.testing.assert_allclose(found, expected / 1.5, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_optimality_conditions_of_a_correlated_lasso(momentum: float) -> None:
    """At the minimum |gradient| <= l1 where w is 0, and gradient = -l1 sign(w) - l2 w elsewhere."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(40, 15)) @ (np.eye(15) + 0.4)
    target = matrix[:, 2] - 2 * matrix[:, 7] + 0.1 * rng.normal(size=40)
    l1, l2 = 60.0, 0.5
    rate = 0.5 / np.linalg.norm(matrix, 2) ** 2
    w = minimized(matrix, target, 6000, lr=rate, momentum=momentum, l1=l1, l2=l2)
    gradient, zero = matrix.T @ (matrix @ w - target), w == 0
    assert 3 <= zero.sum() <= 14
    assert (np.abs(gradient[zero]) <= l1 * (1 + 1e-9)).all()
    np.testing.assert_allclose(gradient[~zero], -l1 * np.sign(w[~zero]) - l2 * w[~zero], rtol=1e-6)


def test_shrinkage_is_stable_where_the_gradient_of_l2_diverges() -> None:
    w, v = wrap(np.ones(2)).requires_grad_(), wrap(np.ones(2)).requires_grad_()
    proximal, plain = optim.ProximalSGD([w], lr=1.0, l2=5.0), optim.SGD([v], lr=1.0, weight_decay=5.0)
    for _ in range(20):
        w.grad, v.grad = wrap(np.zeros(2)), wrap(np.zeros(2))
        proximal.step(), plain.step()
    np.testing.assert_allclose(w.array, 6.0**-20)
    assert (np.abs(v.array) > 1e12).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_without_penalties_it_is_sgd(momentum: float) -> None:
    rng = np.random.default_rng(2)
    w, v = (wrap(np.ones((4, 3))).requires_grad_() for _ in range(2))
    ours = optim.ProximalSGD([w], lr=0.1, momentum=momentum)
    plain = optim.SGD([v], lr=0.1, momentum=momentum)
    for _ in range(30):
        g = rng.normal(size=(4, 3))
        w.grad, v.grad = wrap(g), wrap(g.copy())
        ours.step(), plain.step()
    np.testing.assert_allclose(w.array, v.array, rtol=1e-10)


def test_groups_leave_biases_out() -> None:
    weight, bias = (wrap(np.full(3, 0.01, np.float32)).requires_grad_() for _ in range(2))
    optimizer = optim.ProximalSGD([{"params": [weight]}, {"params": [bias], "l1": 0.0}], lr=0.1, l1=1.0)
    weight.grad, bias.grad = wrap(np.zeros(3, np.float32)), wrap(np.zeros(3, np.float32))
    optimizer.step()
    assert weight.tolist() == [0, 0, 0] and (bias.array == np.float32(0.01)).all()
