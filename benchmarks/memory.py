"""Peak memory of a training step in its steady state: weights, optimizer state, activations and gradients.

Measured by tracemalloc, to which NumPy reports its arrays. This file knows nothing of the report.
"""

import gc
import tracemalloc

from benchmarks.steps import Case, Maker, batches

LARGE_BATCH = Case((784, 2048, 256, 10), 1024, "Adam", 1e-3, 1.2)


def peak_memory(maker: Maker, case: Case = LARGE_BATCH, warm: int = 3, steps: int = 3) -> float:
    """MiB held at the peak of `steps` steps, after `warm` that let optimizer state appear. The data are not counted."""
    data = sum(x.nbytes + y.nbytes for x, y in batches(case))
    maker(case)()  # imports and caches are no part of a step
    gc.collect()
    tracemalloc.start()
    try:
        step = maker(case)
        for _ in range(warm):
            step()
        tracemalloc.reset_peak()
        for _ in range(steps):
            step()
        return (tracemalloc.get_traced_memory()[1] - data) / 2**20
    finally:
        tracemalloc.stop()
