"""Clipping gradients and flattening parameters, against PyTorch."""

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import nn

torch = pytest.importorskip("torch")


def parameters(scale=1.0, dtype=np.float64):
    """The same parameters with the same gradients in both libraries; one has none."""
    rng = np.random.default_rng(0)
    mine, theirs = [], []
    for shape in ((3, 2), (), (4,), (2,)):
        value, gradient = rng.normal(size=shape).astype(dtype), (rng.normal(size=shape) * scale).astype(dtype)
        w, t = lab.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
        if shape != (2,):
            w.grad, t.grad = lab.tensor(gradient), torch.tensor(gradient)
        mine.append(w)
        theirs.append(t)
    return mine, theirs


def same(mine, theirs, tolerance=1e-12):
    for w, t in zip(mine, theirs, strict=True):
        assert (w.grad is None) == (t.grad is None)
        if w.grad is not None:
            np.testing.assert_allclose(w.grad.array, t.grad.numpy(), rtol=tolerance)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, 0.5, float("inf")])
@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_clip_grad_norm(norm_type, max_norm):
    mine, theirs = parameters()
    total = nn.utils.clip_grad_norm_(iter(mine), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total.shape == () and total.item() == pytest.approx(expected.item(), rel=1e-12)
    same(mine, theirs)


def test_clipping_keeps_the_gradient_tensor_and_its_dtype():
    (w, *_), (t, *_) = parameters(dtype=np.float32)
    gradient = w.grad
    total = nn.utils.clip_grad_norm_(w, 0.1)
    torch.nn.utils.clip_grad_norm_(t, 0.1)
    assert w.grad is gradient and gradient.dtype == lab.float32 and total.dtype == lab.float32
    same([w], [t], 1e-6)


def test_a_total_norm_of_huge_gradients_does_not_overflow():
    mine, _ = parameters(1e30, np.float32)
    assert np.isfinite(nn.utils.clip_grad_norm_(mine, 1.0).item())
    assert nn.utils.get_total_norm([w.grad for w in mine[:3]]).item() == pytest.approx(1.0, rel=1e-4)


def test_non_finite_gradients_spread_as_in_pytorch():
    mine, theirs = parameters()
    for w, t in zip(mine[:3], theirs[:3], strict=True):
        w.grad.array[...] = np.nan
        t.grad.fill_(np.nan)
    nn.utils.clip_grad_norm_(mine, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    same(mine, theirs)


def test_nothing_to_clip():
    w = lab.ones(2).requires_grad_()
    assert nn.utils.clip_grad_norm_([w], 1.0).item() == 0.0 and nn.utils.clip_grad_norm_([], 1.0).item() == 0.0
    nn.utils.clip_grad_value_([w], 1.0)
    assert w.grad is None


def test_clip_grad_value():
    mine, theirs = parameters()
    nn.utils.clip_grad_value_(mine, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    same(mine, theirs)


def test_parameters_to_vector_and_back():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    expected = np.concatenate([w.array.reshape(-1) for w in net.parameters()])
    np.testing.assert_array_equal(vector.detach().numpy(), expected)
    (vector * vector).sum().backward()
    np.testing.assert_allclose(net[0].weight.grad.array, 2 * net[0].weight.array)
    weight = net[0].weight
    nn.utils.vector_to_parameters(vector.detach() + 1, net.parameters())
    assert net[0].weight is weight
    np.testing.assert_allclose(weight.array.reshape(-1), expected[:6] + 1)
    vector = nn.utils.parameters_to_vector(net.parameters()).detach()
    nn.utils.vector_to_parameters(vector, net.parameters())
    vector.array[:] = 0
    assert weight.array.any()  # the parameters have memory of their own
