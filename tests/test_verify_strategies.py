"""Hypothesis strategies, and ops of two and three operands on whatever shapes broadcast together."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as torch
from tinygrad_lab.tensor import wrap
from tinygrad_lab.verify import strategies
from tinygrad_lab.verify.testing import assert_gradients

KINKS = (-1.0, 0.0, 2.0)


@given(strategies.broadcastable_shapes(3))
def test_shapes_broadcast_together(shapes):
    assert len(shapes) == 3
    np.broadcast_shapes(*shapes)


@given(strategies.off_kinks((4, 3), KINKS, gap=0.2, bound=2.5))
def test_values_keep_off_kinks(x):
    assert x.shape == (4, 3) and x.dtype == np.float64 and np.abs(x).max() <= 2.5
    assert min(np.abs(x - kink).min() for kink in KINKS) >= 0.2 - 1e-9  # rounding


@given(strategies.on_kinks(strategies.broadcastable_shapes(1).map(lambda shapes: shapes[0]), KINKS))
def test_some_values_are_on_kinks(x):
    on = np.isin(x, KINKS)
    assert on.any() or not x.size
    assert all(np.abs(x[~on] - kink).min(initial=1.0) >= 0.1 - 1e-9 for kink in KINKS)


@pytest.mark.parametrize("function", [torch.add, torch.sub, torch.mul, torch.atan2, torch.hypot])
def test_gradients_of_operands_that_broadcast(function):
    @settings(max_examples=15, deadline=None)
    @given(strategies.broadcastable_arrays(2, kinks=[0.0], max_side=2))
    def check(arrays):
        assert_gradients(function, [wrap(array) for array in arrays])

    check()


@settings(max_examples=15, deadline=None)
@given(strategies.broadcastable_arrays(2, max_side=2), st.integers(0, 100))
def test_gradients_of_where(arrays, seed):
    condition = np.random.default_rng(seed).random(np.broadcast_shapes(*(a.shape for a in arrays))) < 0.5
    assert_gradients(lambda x, y: torch.where(wrap(condition), x, y), [wrap(array) for array in arrays])


@given(strategies.on_kinks((5,), [0.0]))
def test_relu_and_abs_have_gradient_0_on_their_kink(x):
    leaf = wrap(x).requires_grad_()
    (torch.relu(leaf) + torch.abs(leaf)).sum().backward()
    assert (leaf.grad.array[x == 0] == 0).all()


def test_misuse():
    with pytest.raises(ValueError, match="no value in"):
        strategies.off_kinks((3,), kinks=[0.0], gap=2.0, bound=1.0)
    with pytest.raises(ValueError, match="kinks is empty"):
        strategies.on_kinks((3,), kinks=[])


def test_without_hypothesis_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from tinygrad_lab.verify import strategies\n"
        "try: strategies.broadcastable_shapes()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'tinygrad_lab[dev]'" in done.stdout
