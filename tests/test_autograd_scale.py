"""Long, wide and deep graphs at Python's default recursion limit. Values, not times."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import graph


@pytest.fixture(autouse=True)
def default_recursion_limit():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


def chain(length: int):
    x = lab.tensor([1.0, 2.0], dtype=lab.float64, requires_grad=True)
    y = x
    for _ in range(length // 2):
        y = y * 1.0 + 0.5
    return x, y


def test_chain_of_100_000_ops():
    x, y = chain(100_000)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y  # freeing a long chain must not recurse either


@pytest.mark.slow
def test_chain_of_1_000_000_ops():
    x, y = chain(1_000_000)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_chain_is_walked_and_differentiated_twice():
    x, y = chain(20_000)
    loss = (y * y).sum()
    assert len(graph.walk([loss.node])) == 20_002
    (first,) = lab.autograd.grad(loss, x, create_graph=True)
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [2.0, 2.0])


def test_fan_in_of_10_000():
    x = lab.tensor([1.0, -1.0], dtype=lab.float64, requires_grad=True)
    total = lab.tensor([0.0, 0.0], dtype=lab.float64)
    for i in range(10_000):
        total = total + x * float(i)
    total.sum().backward()
    assert x.grad.tolist() == [49_995_000.0] * 2


def test_diamond_60_deep():
    """2^60 paths, 60 nodes: each is visited once."""
    x = lab.tensor(1.0, dtype=lab.float64, requires_grad=True)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert y.item() == 2.0**60 and x.grad.item() == 2.0**60


def test_deep_diamond_of_products():
    x = lab.tensor(1.0, dtype=lab.float64, requires_grad=True)
    y = x
    for _ in range(40):
        y = y * y
    y.backward()
    assert x.grad.item() == 2.0**40


def test_each_rule_of_a_shared_node_runs_once():
    calls = []

    class Counting(graph.Observer):
        def backward(self, node, cotangent, contributions):
            calls.append(node)

    x = lab.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    for _ in range(10):
        y = y + y
    graph.observers.append(Counting())
    try:
        y.sum().backward()
    finally:
        graph.observers.pop()
    assert len(calls) == len(set(calls)) == 12
