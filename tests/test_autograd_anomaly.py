"""Anomaly mode names where the first NaN or Inf came from: op, operand, index, value, shape, and the user's line."""

from __future__ import annotations

import inspect
import re

import pytest

import tinygrad_lab as lab
from tinygrad_lab import autograd, graph, nn
from tinygrad_lab.nn import functional as F


def line_of(marker: str) -> str:
    """file:number of the line of this file that ends with the comment `# marker`."""
    lines = inspect.getsource(inspect.getmodule(line_of)).splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith(f"# {marker}"))
    return f"{__file__}:{number}"


def message(run) -> str:
    with pytest.raises(RuntimeError, match="anomaly detected") as caught, autograd.detect_anomaly():
        run()
    return str(caught.value)


def test_the_overflow_of_a_naive_log_softmax_is_blamed_not_the_log() -> None:
    z = lab.tensor([0.0, 1000.0], requires_grad=True)

    def run() -> None:
        e = z.exp()  # the overflow
        (e / e.sum()).log().sum().backward()

    said = message(run)
    assert "forward pass: exp produced inf at index (1,)" in said and "input (shape (2,)) is 1000 there" in said
    assert f"called at {line_of('the overflow')}" in said and "became NaN in div" in said and "log_softmax" in said


def test_the_backward_pass_blames_the_rule_that_made_the_infinity() -> None:
    x = lab.tensor([4.0, 0.0], requires_grad=True)

    def run() -> None:
        (x.sqrt() * 2).sum().backward()  # sqrt of zero

    said = message(run)
    assert "backward pass: the rule of sqrt for its operand 'input' gave inf at index (1,)" in said
    assert line_of("sqrt of zero") in said and "add an eps" in said


def test_a_where_that_hides_a_nan_in_the_forward_pass_is_told_in_the_backward_pass() -> None:
    x = lab.tensor([0.0, 4.0], requires_grad=True)

    def run() -> None:
        lab.where(x > 0, 1 / x, 0.0).sum().backward()

    assert re.search(r"div.*produced inf at index \(0,\)", message(run))


def test_nan_in_the_data_is_told_as_such() -> None:
    x = lab.tensor([[1.0, float("nan")]])
    said = message(lambda: nn.Linear(2, 1)(x))
    assert "received nan in its operand 'input' at index (0, 1)" in said and "in the data or a parameter" in said


def test_infinities_alone_are_legal_unless_asked_for() -> None:
    scores = lab.tensor([[1.0, 2.0]], requires_grad=True)
    mask = lab.tensor([[False, True]])
    with autograd.detect_anomaly():
        F.softmax(scores.masked_fill(mask, float("-inf")), 1)[0, 0].backward()
    with pytest.raises(RuntimeError, match="log produced -inf"), autograd.detect_anomaly(check_inf=True):
        lab.log(lab.zeros(2))


def test_without_recording_forward_anomalies_are_found_too() -> None:
    assert "div produced nan" in message(lambda: lab.zeros(1) / lab.zeros(1))


def test_errors_of_lifetime_name_the_line_while_the_mode_is_on() -> None:
    x = lab.ones(2, requires_grad=True)
    with autograd.detect_anomaly():
        y = x * x  # squared here
        y.sum().backward()
        with pytest.raises(RuntimeError, match="second time") as caught:
            y.sum().backward()
    assert line_of("squared here") in str(caught.value)


def test_the_mode_ends_with_its_block_and_costs_nothing_when_off() -> None:
    with autograd.detect_anomaly():
        assert len(graph.observers) == 1
    assert not graph.observers
    with autograd.set_detect_anomaly(True):
        assert len(graph.observers) == 1
        with autograd.set_detect_anomaly(False):
            assert not graph.observers
    assert not graph.observers
    autograd.set_detect_anomaly(True)
    autograd.set_detect_anomaly(False)
    assert not graph.observers
