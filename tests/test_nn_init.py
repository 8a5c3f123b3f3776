"""Initialisation: bounds and spread of each distribution, PyTorch's fans and gains, and repeatability."""

import math

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import nn

SHAPE = (200, 50, 3, 2)  # fan_in 300, fan_out 1200
UNIFORM = {
    "uniform": (lambda w: nn.init.uniform_(w, -0.5, 2.0), -0.5, 2.0),
    "xavier": (lambda w: nn.init.xavier_uniform_(w, gain=2.0), -2 * math.sqrt(6 / 1500), 2 * math.sqrt(6 / 1500)),
    "kaiming": (nn.init.kaiming_uniform_, -math.sqrt(6 / 300), math.sqrt(6 / 300)),
    "kaiming out": (
        lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="tanh"),
        -math.sqrt(25 / 3 / 1200),
        math.sqrt(25 / 3 / 1200),
    ),
}
NORMAL = {
    "normal": (lambda w: nn.init.normal_(w, 1.0, 0.2), 1.0, 0.2),
    "xavier": (nn.init.xavier_normal_, 0.0, math.sqrt(2 / 1500)),
    "kaiming": (lambda w: nn.init.kaiming_normal_(w, a=1.0), 0.0, math.sqrt(1 / 300)),
    "kaiming relu": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), 0.0, math.sqrt(2 / 300)),
}


@pytest.fixture(autouse=True)
def seeded():
    lab.manual_seed(0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(name, dtype):
    fill, low, high = UNIFORM[name]
    w = lab.zeros(SHAPE, dtype=getattr(lab, dtype), requires_grad=True)
    assert fill(w) is w and w.is_leaf and w.requires_grad and w.dtype.name == dtype
    values = w.array.astype(np.float64)
    slack = (high - low) * 1e-3
    assert low - slack <= values.min() < low + slack and high - slack < values.max() <= high + slack
    assert values.mean() == pytest.approx((low + high) / 2, abs=(high - low) / 100)
    assert values.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.01)


@pytest.mark.parametrize("name", NORMAL)
def test_normal(name):
    fill, mean, std = NORMAL[name]
    w = fill(lab.zeros(SHAPE, requires_grad=True))
    assert w.array.mean() == pytest.approx(mean, abs=std / 50) and w.array.std() == pytest.approx(std, rel=0.02)
    beyond = np.abs(w.array - mean) > 2 * std
    assert beyond.mean() == pytest.approx(0.0455, abs=0.004)


@pytest.mark.parametrize("mean, std, a, b", [(0, 1, -2, 2), (0, 1, 1.5, 4), (0.5, 0.1, 0.4, 9), (0, 1, 1.8, 2.2)])
def test_truncated_normal(mean, std, a, b):
    values = nn.init.trunc_normal_(lab.zeros(20000, dtype=lab.float64), mean, std, a, b).array
    grid = np.linspace(a, min(b, mean + 8 * std), 200001)
    density = np.exp(-0.5 * ((grid - mean) / std) ** 2)
    density /= density.sum()
    assert a <= values.min() and values.max() <= b
    expected = (density * grid).sum()
    spread = math.sqrt((density * (grid - expected) ** 2).sum())
    assert values.mean() == pytest.approx(expected, abs=4 * spread / math.sqrt(values.size))
    assert values.std() == pytest.approx(spread, rel=0.03)


def test_truncated_normal_warns_when_the_mean_is_far_outside():
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        values = nn.init.trunc_normal_(lab.zeros(100), 0.0, 1.0, 3.0, 4.0).array
    assert values.min() >= 3 and values.max() <= 4


def test_constants():
    np.testing.assert_array_equal(nn.init.constant_(lab.zeros(2), 3.5).array, [3.5, 3.5])
    np.testing.assert_array_equal(nn.init.ones_(lab.zeros(2)).array, [1, 1])
    np.testing.assert_array_equal(nn.init.zeros_(lab.ones(2)).array, [0, 0])
    np.testing.assert_array_equal(nn.init.eye_(lab.ones(2, 3)).array, np.eye(2, 3))


@pytest.mark.parametrize("shape, groups", [((4, 4, 3), 1), ((6, 2, 3, 3), 3), ((2, 5, 1, 2, 3), 1)])
def test_dirac(shape, groups):
    torch = pytest.importorskip("torch")
    mine = nn.init.dirac_(lab.ones(shape), groups)
    np.testing.assert_array_equal(mine.array, torch.nn.init.dirac_(torch.ones(shape), groups).numpy())


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (7, 2), (3, 2, 2)])
def test_orthogonal(shape):
    w = nn.init.orthogonal_(lab.zeros(shape, dtype=lab.float64), gain=2.0).array.reshape(shape[0], -1)
    w = w if w.shape[0] >= w.shape[1] else w.T
    np.testing.assert_allclose(w.T @ w, 4 * np.eye(w.shape[1]), atol=1e-12)


def test_nothing_to_fill():
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        nn.init.kaiming_uniform_(lab.zeros(0, 3))
    with pytest.warns(UserWarning, match="no-op"):
        nn.init.kaiming_normal_(lab.zeros(0, 3))
    assert nn.init.orthogonal_(lab.zeros(0, 3)).shape == (0, 3)


def test_the_same_seed_gives_the_same_bits():
    lab.manual_seed(3)
    first = nn.Linear(5, 4)
    lab.manual_seed(3)
    again = nn.Linear(5, 4)
    np.testing.assert_array_equal(first.weight.array, again.weight.array)
    np.testing.assert_array_equal(first.bias.array, again.bias.array)
    generator = lab.Generator().manual_seed(3)
    mine = nn.init.normal_(lab.zeros(4), generator=generator).array
    np.testing.assert_array_equal(mine, nn.init.normal_(lab.zeros(4), generator=generator.manual_seed(3)).array)
    assert (first.weight.array != nn.Linear(5, 4).weight.array).any()


def test_filling_a_saved_tensor_is_noticed():
    w = lab.ones(2, requires_grad=True)
    y = (w * w).sum()
    nn.init.zeros_(w)
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        y.backward()


def test_layers_start_with_the_distributions_of_pytorch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for text in ("Linear(300, 200)", "Conv2d(20, 200, 5, groups=2)", "Conv1d(30, 200, 4)", "Embedding(300, 200)"):
        mine, theirs = (eval(f"nn.{text}", {"nn": library}) for library in (nn, torch.nn))
        for name, parameter in mine.named_parameters():
            values, other = parameter.array, theirs.get_parameter(name).detach().numpy()
            assert values.std() == pytest.approx(other.std(), rel=0.15), (text, name)
            if text[:9] != "Embedding":
                assert np.abs(values).max() == pytest.approx(np.abs(other).max(), rel=0.05), (text, name)


def test_gains():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    "name", ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_"]
)
@pytest.mark.parametrize("dtype", [lab.int64, lab.bool])
def test_drawing_into_integers_is_refused(name, dtype):
    """They would be cut to integers: zeros, mostly."""
    tensor = lab.ones(3, 4, dtype=dtype)
    with pytest.raises(NotImplementedError, match=f"floating point numbers.*{dtype}"):
        getattr(nn.init, name)(tensor)
    assert tensor.all()
    assert not nn.init.zeros_(tensor).any()


def test_truncated_normal_of_a_single_number():
    drawn = [nn.init.trunc_normal_(lab.zeros(()), a=-0.5, b=0.5).item() for _ in range(50)]
    assert all(-0.5 <= value <= 0.5 for value in drawn) and len(set(drawn)) == 50
