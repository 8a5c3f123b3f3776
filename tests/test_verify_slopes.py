"""Slopes of functions of one number: the estimated error covers the true one, and kinks are told from curvature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lab.verify.slopes import Slope, noise_of, slope


def measure(f, x, scale=None) -> Slope:
    """The slope of f at x in units of f per x, as the gradient check measures it."""
    scale = scale or max(abs(x), 1e-3)

    def phi(t):
        y = x + t * scale
        with np.errstate(all="ignore"):
            return (y - x) / scale, float(f(y))

    f0 = phi(0.0)[1]
    found = slope(phi, f0, noise_of(phi, f0, np.random.default_rng(0)))
    found.value, found.error, found.left, found.right = (
        v / scale for v in (found.value, found.error, found.left, found.right)
    )
    return found


SMOOTH = [
    ("sin", np.sin, 1.0, np.cos(1.0), 1e-10),
    ("exp", np.exp, 3.0, np.exp(3.0), 1e-10),
    ("at its minimum", np.cos, 0.0, 0.0, 1e-10),
    ("quartic at 0", lambda x: x**4, 0.0, 0.0, 1e-12),
    ("constant", lambda x: 3.0, 1.0, 0.0, 1e-12),
    ("next to the edge of its domain", np.log, 1e-8, 1e8, 1e-9),
    ("far larger natural step than its domain", lambda x: np.log(x - 1), 1 + 1e-6, 1e6, 1e-7),
    ("argument with an offset", lambda x: np.sin(x - 1e6), 1e6 + 0.5, np.cos(0.5), 1e-8),
    ("value with an offset", lambda x: 1e6 + np.sin(x), 1.0, np.cos(1.0), 1e-5),
    ("high frequency", lambda x: np.sin(1e6 * x), 1.0, 1e6 * np.cos(1e6), 1e-6),
    ("rounded to float32", lambda x: np.float32(np.sin(x)), 1.0, np.cos(1.0), 1e-4),
    ("rounded to six decimals", lambda x: np.round(np.sin(x), 6), 1.0, np.cos(1.0), 1e-3),
    ("a kink close by", lambda x: np.abs(x - 1), 1 + 1e-6, 1.0, 1e-9),
    ("relu just above 0", lambda x: np.maximum(x, 0), 1e-7, 1.0, 1e-9),
]


@pytest.mark.parametrize(("f", "x", "true", "tolerance"), [c[1:] for c in SMOOTH], ids=[c[0] for c in SMOOTH])
def test_the_slope_is_good_and_its_error_covers_the_truth(f, x, true, tolerance):
    found = measure(f, x)
    assert found.kind == "smooth"
    assert abs(found.value - true) <= tolerance * max(abs(true), 1.0)
    assert abs(found.value - true) <= 10 * found.error + 1e-9 * abs(true)


KINKS = [
    ("relu at 0", lambda x: np.maximum(x, 0), 0.0, 0.0, 1.0),
    ("abs at 1", lambda x: np.abs(x - 1), 1.0, -1.0, 1.0),
    ("curved on both sides", lambda x: np.abs(x - 1) * np.exp(x) + x**2, 1.0, 2 - np.e, 2 + np.e),
    ("bend without a sign change", lambda x: np.maximum(x, 2 * x - 1), 1.0, 1.0, 2.0),
]


@pytest.mark.parametrize(("f", "x", "left", "right"), [c[1:] for c in KINKS], ids=[c[0] for c in KINKS])
def test_both_slopes_of_a_kink(f, x, left, right):
    found = measure(f, x)
    assert found.kind == "kink"
    np.testing.assert_allclose([found.left, found.right], [left, right], rtol=1e-7, atol=1e-7)


def test_masks_say_where_a_branch_switches():
    masks = lambda t: [np.array([np.sign(t), np.sign(-2 * t)])]  # noqa: E731
    found = slope(lambda t: (t, max(t, 0) + 3 * max(-2 * t, 0)), 0.0, 1e-16, masks)
    assert (found.kind, found.branches) == ("kink", 2)


def test_the_edge_of_a_domain_is_one_sided():
    found = measure(lambda x: np.where(x < 1, np.nan, x**2), 1.0)
    assert found.kind == "edge"
    assert abs(found.value - 2) < 1e-6


def test_no_finite_difference():
    assert measure(lambda x: np.nan if x != 1 else 1.0, 1.0).kind == "unknown"


def test_an_infinite_slope_has_a_large_error():
    found = measure(np.sqrt, 0.0)
    assert found.error > 0.1 * abs(found.value)


@settings(max_examples=150, deadline=None)
@given(
    # Below 1e-100 values would underflow to 0, and no difference could see them.
    st.lists(st.floats(-3, 3).map(lambda c: c if abs(c) > 1e-100 else 0.0), min_size=1, max_size=6),
    st.floats(-4, 4),
    st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_polynomials_of_any_scale(coefficients, x, scale):
    p = np.polynomial.Polynomial(coefficients)
    true, found = p.deriv()(x) / scale, measure(lambda y: p(y / scale), x * scale, max(abs(x), 1e-3) * scale)
    size = np.polynomial.Polynomial(np.abs(coefficients))(abs(x) + 0.1) / scale
    assert found.kind == "smooth"
    assert abs(found.value - true) <= 10 * found.error + 1e-8 * abs(true) + 1e-11 * size


def test_the_noise_of_a_rounded_function_is_about_its_grid():
    def phi(t):
        return t, round(float(np.sin(1 + t)), 6)

    assert 1e-7 < noise_of(phi, phi(0)[1], np.random.default_rng(1)) < 1e-6


def test_few_evaluations_where_f_is_smooth():
    calls = []

    def phi(t):
        calls.append(t)
        return t, float(np.sin(1 + t))

    slope(phi, float(np.sin(1)), 1e-16)
    assert len(calls) <= 10
