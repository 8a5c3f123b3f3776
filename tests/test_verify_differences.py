"""Numerical gradients, Taylor tests and step size studies: against closed forms, on right and on wrong gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab
from tinygrad_lab.verify import numerical_gradient, step_size_study, taylor_test

X = np.array([[1.0, 2.0], [0.0, -1.5]])
methods = pytest.mark.parametrize("method", ["forward", "central", "complex", "richardson"])


def f(x):
    return np.sum(np.exp(x) * x)


TRUE = np.exp(X) * (X + 1)
ACCURACY = {"forward": 1e-6, "central": 1e-8, "complex": 1e-13, "richardson": 1e-9}


# numerical_gradient


@methods
def test_numerical_gradients_and_their_errors(method):
    before = X.tobytes()
    value, error, h = numerical_gradient(f, X, method)
    assert value.shape == error.shape == h.shape == X.shape
    assert np.abs(value - TRUE).max() < ACCURACY[method]
    assert (np.abs(value - TRUE) <= error).all()
    assert X.tobytes() == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.sampled_from(["forward", "central", "richardson"]))
def test_errors_cover_the_truth(values, method):
    x = np.array(values)
    value, error, _ = numerical_gradient(lambda x: np.sum(np.sin(3 * x) + x**2), x, method)
    assert (np.abs(value - 3 * np.cos(3 * x) - 2 * x) <= 10 * error + 1e-12).all()


@pytest.mark.parametrize(("method", "order"), [("forward", 1), ("central", 2)])
def test_the_order_of_the_error(method, order):
    errors = [np.abs(numerical_gradient(f, X, method, h).value - TRUE).max() for h in (1e-2, 1e-3)]
    assert abs(np.log10(errors[0] / errors[1]) - order) < 0.05


@methods
def test_0d_integers_and_numbers(method):
    assert abs(numerical_gradient(lambda x: x**3, 2, method).value - 12) < 1e-5
    assert np.abs(numerical_gradient(lambda x: np.sum(x**2), np.arange(3), method).value - [0, 2, 4]).max() < 1e-6
    assert numerical_gradient(lambda x: np.sum(x), np.zeros((0, 2)), method).value.shape == (0, 2)


def test_tensors():
    x = tinygrad_lab.tensor([1.0, 2.0])
    value = numerical_gradient(lambda x: (x**3).sum(), x).value
    np.testing.assert_allclose(value, [3, 12], rtol=1e-8)
    assert x.dtype == tinygrad_lab.float32 and x.grad is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "backward"}, ValueError, "method must be one of"),
        ({"h": 0.0}, ValueError, "the step h must be positive, got 0"),
        ({"h": float("nan")}, ValueError, "must be positive"),
        ({"f": lambda x: np.sum(np.abs(x)), "method": "complex"}, TypeError, "complex step needs an analytic function"),
        ({"f": lambda x: x}, ValueError, r"must return one number, it returned shapes \[\(2, 2\)\]"),
    ],
)
def test_misuse(arguments, error, message):
    with pytest.raises(error, match=message):
        numerical_gradient(**{"f": f, "x": X, **arguments})


def test_x_is_the_same_bits_after_an_interrupt():
    x, calls = X.copy(), 0

    def interrupted(x):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return f(x)

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(interrupted, x)
    assert x.tobytes() == X.tobytes()


# taylor_test


def gradient(x):
    return np.exp(x) * (x + 1)


def test_slopes_of_a_right_gradient():
    test = taylor_test(f, X, gradient)
    assert test and test.verdict == "right"
    assert abs(test.one_sided_slope - 2) < 0.1 and abs(test.symmetric_slope - 3) < 0.1


@pytest.mark.parametrize("factor", [-1.0, 1.1, 1 + 1e-4, 0.0])
@pytest.mark.parametrize("seed", range(5))
def test_slopes_of_wrong_gradients(factor, seed):
    test = taylor_test(f, X, lambda x: factor * gradient(x), seed=seed)
    assert not test and test.verdict == "wrong" and abs(test.symmetric_slope - 1) < 0.2


def test_nothing_but_rounding_is_exact():
    assert taylor_test(lambda x: np.sum(3 * x), X, np.full_like(X, 3)).verdict == "exact"
    square = taylor_test(lambda x: np.sum(x**2), X, lambda x: 2 * x)
    assert square.verdict == "exact" and np.isnan(square.symmetric_slope) and abs(square.one_sided_slope - 2) < 0.1
    assert "noise level" in str(square)
    assert taylor_test(lambda x: np.sum(x**2), X, lambda x: -2 * x).verdict == "wrong"
    assert taylor_test(lambda x: 1.0, X, np.zeros_like(X)).verdict == "exact"


def test_a_gradient_below_the_noise_is_uncertain():
    assert taylor_test(lambda x: 1e9 + 1e-9 * f(x), X, lambda x: -1e-9 * gradient(x)).verdict == "uncertain"


def test_a_direction_of_ones_and_other_kinds_of_functions():
    assert taylor_test(f, X, gradient, direction=np.ones_like(X)).verdict == "right"
    assert taylor_test(lambda a, b: np.sum(a**3 * b), (X, X + 1), lambda a, b: (3 * a**2 * b, a**3)).verdict == "right"
    tensors = tinygrad_lab.tensor(X, dtype=tinygrad_lab.float64)
    assert taylor_test(lambda x: (x.exp() * x).sum(), tensors).verdict == "right"
    layer = tinygrad_lab.nn.Linear(2, 3)
    assert taylor_test(lambda: layer(tinygrad_lab.ones(4, 2, dtype=layer.weight.dtype)).tanh().sum(), layer)
    with pytest.raises(ValueError, match="direction has shapes"):
        taylor_test(f, X, gradient, direction=np.ones(3))
    with pytest.raises(ValueError, match="must return one number"):
        taylor_test(np.exp, X, np.exp)


# step_size_study


@pytest.mark.parametrize("given_gradient", [gradient, None])
def test_the_u_of_the_errors(given_gradient):
    study = step_size_study(f, X, given_gradient)
    for method, low, high in (("forward", 1e-10, 1e-6), ("central", 1e-7, 1e-3)):
        h, error = study.optimum[method]
        assert low < h < high and low < study.predicted[method] < high
        errors = study.errors[method]
        assert error < 1e-4 * errors[4] and error < 1e-4 * errors[-4:].max()  # both arms of the U rise
        clear = (study.h < 1e-2) & (study.truncation[method] > 100 * study.rounding[method])
        np.testing.assert_allclose(errors[clear], study.truncation[method][clear], rtol=0.2)
    assert study.optimum["central"][1] < study.optimum["forward"][1]
    assert "best h" in str(study)


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    assert taylor_test(f, X, gradient).plot().get_xscale() == "log"
    assert taylor_test(lambda x: np.sum(x), X, np.ones_like(X)).plot().get_yscale() == "log"
    assert step_size_study(f, X, gradient).plot().get_legend() is not None
    assert step_size_study(lambda x: np.sum(x), X, np.ones_like(X)).plot().get_legend() is not None
    for number in pyplot.get_fignums():
        pyplot.figure(number).canvas.draw()
    pyplot.close("all")


def test_pictures_without_matplotlib_say_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for result in (taylor_test(f, X, gradient), step_size_study(f, X, gradient)):
        with pytest.raises(ImportError, match=r"pip install 'tinygrad_lab\[lab\]'"):
            result.plot()
