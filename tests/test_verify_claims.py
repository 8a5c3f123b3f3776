"""What is claimed of the checker, measured in small: the whole table is `python -m benchmarks.verify_checkers`."""

import pytest

from benchmarks.verify_cases import CASES, correct, spoiled
from benchmarks.verify_checkers import count, one_in_a_million, ours, pytorch

POINTS = 4


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("hard", [False, True], ids=["ordinary", "hard"])
def test_no_false_alarms_and_hardly_a_miss(mode, hard):
    found = count(ours(mode), [case for case in CASES if case.hard == hard], POINTS)
    assert found["alarms"] == 0 and found["undecided"] == 0
    assert found["missed"] + found["undecided_wrong"] <= 0.02 * found["points"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("hard", [False, True], ids=["ordinary", "hard"])
def test_no_false_alarms_and_hardly_a_miss_at_100_points_each(mode, hard):
    found = count(ours(mode), [case for case in CASES if case.hard == hard], 100)
    assert found["points"] == (800 if hard else 2300)
    assert found["alarms"] + found["undecided"] <= (0.005 * 800 if hard else 0)
    assert found["missed"] + found["undecided_wrong"] <= (0.02 if mode == "full" else 0.043) * found["points"]


@pytest.mark.slow
def test_one_wrong_element_among_a_million_is_found_and_named():
    assert one_in_a_million() == [True] * 3


def test_pytorch_calls_hard_points_wrong():
    """The comparison compares: PyTorch's checker is right on ordinary points, and not on these."""
    pytest.importorskip("torch")
    chosen = [case for case in CASES if case.name in ("exp", "softmax regression")]
    assert count(pytorch(False), chosen, 3)["alarms"] == 0
    assert count(pytorch(False), [case for case in CASES if case.name == "relu at 0"], 3)["alarms"] == 3


def test_the_spoiled_gradient_differs_in_one_element():
    for case in CASES:
        (point,) = case.points(1)
        right = correct(case, point)
        wrong = spoiled(case, right, 0)
        assert sum(int((a != b).sum()) for a, b in zip(right, wrong, strict=True)) == 1
