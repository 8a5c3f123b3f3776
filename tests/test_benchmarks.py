"""The implementations that the benchmarks compare do the same work; nothing here is timed."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.steps import CASES, Case, first_losses, library_step, numpy_step

SMALL = [replace(case, sizes=tuple(min(size, 20) for size in case.sizes), batch=8) for case in CASES]


@pytest.mark.parametrize("case", [*SMALL, CASES[-1]], ids=lambda case: case.name)
@pytest.mark.parametrize("library", ["tinygrad_lab", "torch"])
def test_a_library_and_hand_written_numpy_give_equal_losses(library: str, case: Case) -> None:
    pytest.importorskip(library)
    losses = first_losses(lambda case: library_step(case, library), case, count=8)
    np.testing.assert_allclose(losses, first_losses(numpy_step, case, count=8), rtol=1e-5)


def test_the_comparison_notices_another_learning_rate() -> None:
    case = SMALL[0]
    slower = first_losses(numpy_step, replace(case, lr=0.9 * case.lr), count=8)
    assert not np.allclose(slower, first_losses(numpy_step, case, count=8), rtol=1e-5, atol=0)
