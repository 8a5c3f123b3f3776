"""Ops against PyTorch: a difference that is not in the table of deviations fails, and so does one listed in vain."""

from __future__ import annotations

import pytest
from deviations import BEHAVIOURS, DEVIATIONS
from misuse import MISUSES
from op_cases import entries

import tinygrad_lab

torch = pytest.importorskip("torch")
conformance = pytest.importorskip("conformance")  # imports torch itself
comparison = pytest.importorskip("comparison")


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_op_is_pytorchs(name):
    unlisted = [d for d in conformance.compare(name).deviations if d.key not in DEVIATIONS]
    assert not unlisted, "\n".join(f"{d.key}: {d.text}" for d in unlisted)


@pytest.mark.parametrize("label", MISUSES)
def test_misuse_raises_pytorchs_error(label):
    ours = conformance.misuse_outcome(MISUSES[label], tinygrad_lab)
    theirs = conformance.misuse_outcome(MISUSES[label], torch)
    assert theirs is not None, "PyTorch accepts this: it is no misuse"
    if f"misuse: {label}" in DEVIATIONS:
        assert not comparison.same_class(ours, theirs), "listed as a deviation, but it is none: take it off the table"
        return
    assert comparison.same_class(ours, theirs), f"{comparison.told(ours)}; PyTorch: {comparison.told(theirs)}"


@pytest.mark.parametrize("label", MISUSES)
def test_misuse_messages_help(label):
    """An error is a sentence of our own, not a bare key or number."""
    ours = conformance.misuse_outcome(MISUSES[label], tinygrad_lab)
    assert ours is None or len(str(ours).split()) >= 4, comparison.told(ours)


@pytest.mark.parametrize("label", BEHAVIOURS)
def test_listed_behaviour_still_differs(label):
    probe, reason = BEHAVIOURS[label]
    assert reason
    assert conformance.behaviour(probe, tinygrad_lab) != conformance.behaviour(probe, torch)


def test_table_lists_only_what_occurs():
    found = {d.key for entry in entries() for d in conformance.compare(entry.name).deviations}
    found |= {f"misuse: {label}" for label in MISUSES}
    assert sorted(set(DEVIATIONS) - found) == [], "no longer a deviation: take it off the table"


def test_the_comparison_finds_differences():
    """The comparison compared: a value, gradient or dtype that is off is reported."""
    ours = tinygrad_lab.tensor([1.0, 2.0])
    assert not comparison.difference(ours, torch.tensor([1.0, 2.0]), 1e-6)
    assert "values" in comparison.difference(ours, torch.tensor([1.0, 2.1]), 1e-6)
    assert "dtype" in comparison.difference(ours, torch.tensor([1.0, 2.0], dtype=torch.float64), 1e-6)
    assert "shape" in comparison.difference(ours, torch.tensor([[1.0, 2.0]]), 1e-6)
    assert "values" in comparison.difference(ours, torch.tensor([1.0, float("nan")]), 1e-6)
    assert "type" in comparison.difference(1.0, torch.tensor(1.0), 1e-6)
    wrong = comparison.Comparison(tinygrad_lab.registry["exp"])
    wrong.function = torch.expm1
    assert {d.key for d in wrong.run().deviations} >= {"exp: value", "exp: value float32", "exp: int64"}
    wrong = comparison.Comparison(tinygrad_lab.registry["exp"])
    wrong.function = lambda x: x.exp().detach()
    assert "exp: gradient" in {d.key for d in wrong.run().deviations}
