"""The Taylor test: does the remainder vanish as fast as a right gradient makes it?

What this file lets you do: see the rates at which one-sided and symmetric remainders vanish (`taylor_test`), as
numbers, as a verdict and as a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lab.verify.differences import COLOURS, along, direction_of, finished
from tinygrad_lab.verify.functions import as_arrays
from tinygrad_lab.verify.results import pyplot
from tinygrad_lab.verify.slopes import EPS, noise_of

__all__ = ["TaylorTest", "taylor_test"]


@dataclass
class TaylorTest:
    """The remainders of a Taylor test. True if the verdict is "right" or "exact"; `print` it, `plot()` it.

    steps                 h, decreasing            one_sided, symmetric  remainders at each h
    one_sided_slope, symmetric_slope   rates: 2 and 3 for a right gradient, 1 and 1 for a wrong one; NaN at noise level
    noise                 what rounding leaves in a remainder
    verdict               "right", "wrong", "exact" (nothing but rounding left), or "uncertain"
    """

    steps: np.ndarray
    one_sided: np.ndarray
    symmetric: np.ndarray
    noise: float
    one_sided_slope: float
    symmetric_slope: float
    verdict: str

    def __bool__(self) -> bool:
        return self.verdict in ("right", "exact")

    def __str__(self) -> str:
        def rate(slope: float) -> str:
            return "noise level" if math.isnan(slope) else f"{slope:.2f}"

        lines = [
            f"Taylor test: {self.verdict}",
            f"  one-sided remainder ~ h^{rate(self.one_sided_slope)}   (right: 2, wrong: 1)",
            f"  symmetric remainder ~ h^{rate(self.symmetric_slope)}   (right: 3 or more, wrong: 1)",
            "         h    one-sided    symmetric",
        ]
        rows = list(zip(self.steps, self.one_sided, self.symmetric, strict=True))
        lines += [f"  {h:8.1e}  {a:11.3e}  {b:11.3e}" for h, a, b in rows[:: max(1, math.ceil(len(rows) / 10))]]
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Both remainders against h, log-log, with lines of slope 1, 2 and 3. Returns the matplotlib Axes."""
        axes = axes if axes is not None else pyplot().subplots(figsize=(6.5, 5), layout="constrained")[1]
        for name, values, marker in (("one-sided", self.one_sided, "o"), ("symmetric", self.symmetric, "s")):
            axes.loglog(self.steps, np.maximum(values, 1e-300), marker, color=COLOURS[name], label=f"{name} remainder")
        top = self.steps[0]
        for power in (1, 2, 3):
            anchor = max(self.one_sided[0] if power < 3 else self.symmetric[0], self.noise)
            axes.loglog(self.steps, anchor * (self.steps / top) ** power, ":", color="0.6", linewidth=1)
            axes.annotate(f"$h^{power}$", (self.steps[-1], anchor * (self.steps[-1] / top) ** power), color="0.4")
        axes.axhline(max(self.noise, 1e-300), color="0.8", linewidth=1, zorder=0)
        axes.set_ylim(bottom=max(self.noise, 1e-300) / 30)
        return finished(axes, "step h", "remainder", f"Taylor test: {self.verdict}")


def taylor_test(
    f: Callable[..., Any],
    x: Any,
    gradient: Any = None,
    *,
    direction: Sequence[Any] | None = None,
    steps: Sequence[float] | None = None,
    seed: int = 0,
) -> TaylorTest:
    """How fast do the remainders vanish along a direction d, if `gradient` is right?

    one-sided  |f(x + hd) - f(x) - h g.d|          = O(h^2) for the right g, O(h) for a wrong one
    symmetric  |f(x + hd) - f(x - hd) - 2h g.d|    = O(h^3) for the right g, O(h) for a wrong one

    f, x, gradient  as in `gradcheck`: NumPy with a gradient by hand, Tensors without, ...
    direction       one array per input; drawn at random, of the inputs' size, if None
    steps           default 1e-1 to 1e-7, four a decade

    The verdict rests on the symmetric remainder, whose two answers lie further apart, where it stands above rounding.
    ValueError for an f with several output elements.
    Source: https://www.dolfin-adjoint.org/en/stable/documentation/verification.html

    >>> x = np.array([0.5, 1.0])
    >>> test = taylor_test(lambda x: np.sum(np.exp(x)), x, np.exp)
    >>> test.verdict, round(test.one_sided_slope), round(test.symmetric_slope)
    ('right', 2, 3)
    >>> taylor_test(lambda x: np.sum(np.exp(x)), x, lambda x: 1.001 * np.exp(x)).verdict
    'wrong'
    """
    h = np.array(np.logspace(-1, -7, 25) if steps is None else sorted(steps, reverse=True), np.float64)
    with as_arrays(f, x, gradient) as problem:
        d = direction_of(problem.arrays, direction, seed)
        expected = sum(float(np.sum(g * part)) for g, part in zip(problem.gradients(), d, strict=True))
        phi = along(problem, d)
        f0 = phi(0.0)[1]
        noise = 8 * max(noise_of(phi, f0, np.random.default_rng(seed)), EPS * abs(f0))
        values = np.array([[phi(step)[1], phi(-step)[1]] for step in h])
    one_sided = np.abs(values[:, 0] - f0 - h * expected)
    symmetric = np.abs(values[:, 0] - values[:, 1] - 2 * h * expected)
    rate, symmetric_rate = _rate(h, one_sided, noise), _rate(h, symmetric, noise)
    if math.isnan(symmetric_rate):
        # Nothing but rounding: right, for a function without odd terms, unless rounding hides any error.
        blind = 0 < abs(expected) * h[0] < 100 * noise
        verdict = "exact" if not blind and (symmetric <= 40 * noise).all() else "uncertain"
    else:
        verdict = "right" if symmetric_rate > 2.5 else "wrong" if symmetric_rate < 1.5 else "uncertain"
    return TaylorTest(h, one_sided, symmetric, noise, rate, symmetric_rate, verdict)


def _rate(h: np.ndarray, remainder: np.ndarray, noise: float) -> float:
    """The slope of log remainder against log h at the smallest steps that stand above rounding."""
    seen = np.isfinite(remainder) & (remainder > 4 * noise)
    runs = [run for run in np.split(np.arange(len(h)), np.flatnonzero(np.diff(seen)) + 1) if seen[run].all()]
    chosen = next((run[-6:] for run in reversed(runs) if run.size >= 3), None)  # a shorter run is noise
    if chosen is None:
        return math.nan
    return float(np.polyfit(np.log(h[chosen]), np.log(remainder[chosen]), 1)[0])
