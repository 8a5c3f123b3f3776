"""Finite differences for learning and teaching: numerical gradients by four methods, and their error against the step.

What this file lets you do: compute a numerical gradient and see how good it is (`numerical_gradient`), and see why no
step is both small and good (`step_size_study`). Checking gradients in earnest is `gradcheck`, which chooses its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lab.verify.frameworks import framework_of
from tinygrad_lab.verify.functions import as_arrays
from tinygrad_lab.verify.point import natural_scales
from tinygrad_lab.verify.results import pyplot
from tinygrad_lab.verify.slopes import EPS, noise_of, slope

__all__ = ["NumericalGradient", "StepSizeStudy", "numerical_gradient", "step_size_study"]

COLOURS = {
    "one-sided": "#d55e00",
    "symmetric": "#0072b2",
    "forward": "#d55e00",
    "central": "#0072b2",
    "complex": "#009e73",
}


class NumericalGradient(NamedTuple):
    """`value`: the gradient, in the shape of x. `error`: how far each element may be off. `h`: the step of each."""

    value: np.ndarray
    error: np.ndarray
    h: np.ndarray


def numerical_gradient(
    f: Callable[[Any], Any], x: Any, method: str = "central", h: float | None = None
) -> NumericalGradient:
    """The gradient of a function from an array (or Tensor) to a number, by finite differences, in float64.

    method       D(h)                                     truncation      rounding     default h, times max(|x_i|, 1)
    "forward"    (f(x + h) - f(x)) / h                    h/2 |f''|       2 eps |f|/h  eps^(1/2) = 1.5e-8
    "central"    (f(x + h) - f(x - h)) / 2h               h^2/6 |f'''|    eps |f|/h    eps^(1/3) = 6.1e-6
    "complex"    Im f(x + ih) / h                         h^2/6 |f'''|    none         1e-20
    "richardson" central, extrapolated from h, h/4, ...   tiny            eps |f|/h    1e-2, then smaller

    The truncation error is estimated from D(2h) - D(h). The complex step subtracts nothing, so h can be tiny, but f
    must be analytic and written in NumPy: abs, max, conj and comparisons are not. x is not changed: f gets copies.
    ValueError for another method or h <= 0; TypeError if "complex" meets a function that returns no complex number.
    Source: https://en.wikipedia.org/wiki/Numerical_differentiation;
    J. Martins, P. Sturdza, J. Alonso, "The complex-step derivative approximation", ACM TOMS 29 (2003).

    >>> value, error, h = numerical_gradient(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    >>> bool((np.abs(value - [3, 12]) <= error).all()), bool((error < 1e-7).all())
    (True, True)
    """
    if h is not None and not h > 0:
        raise ValueError(f"numerical_gradient: the step h must be positive, got {h}")
    defaults = {"forward": EPS ** (1 / 2), "central": EPS ** (1 / 3), "complex": 1e-20, "richardson": 1e-2}
    if method not in defaults:
        raise ValueError(f"numerical_gradient: method must be one of {list(defaults)}, got {method!r}")
    if method == "complex":
        return _complex_step(f, x, h or defaults[method])
    if not framework_of([x]).automatic:
        x = np.asarray(x, np.float64)
    with as_arrays(f, (x,)) as problem:
        value, (start,) = problem.value, problem.arrays
        work = start.copy()
        flat, f0 = work.reshape(-1), value([work])
        steps = h * np.ones(start.shape) if h else defaults[method] * np.maximum(np.abs(start), 1.0)
        gradient, error = np.zeros(start.size), np.zeros(start.size)

        for i, (x_i, step) in enumerate(zip(start.ravel().tolist(), steps.ravel().tolist(), strict=True)):

            def phi(t: float, i: int = i, x_i: float = x_i) -> tuple[float, float]:
                flat[i] = x_i + t
                try:
                    return flat[i] - x_i, value([work])  # the step that was really taken, after rounding
                finally:
                    flat[i] = x_i

            if method == "richardson":
                noise = noise_of(phi, f0, np.random.default_rng(i), 1e-4 * step)
                found = slope(phi, f0, noise, start=step)
                gradient[i], error[i] = found.value, found.error
                continue
            quotient = _forward if method == "forward" else _central
            d, coarser = quotient(phi, f0, step), quotient(phi, f0, 2 * step)
            order = 1 if method == "forward" else 2
            # Three evaluations of f, each good to the last bit or two, behind either quotient.
            gradient[i], error[i] = d, abs(coarser - d) / (2**order - 1) * 1.5 + 4 * EPS * abs(f0) / step
    return NumericalGradient(gradient.reshape(start.shape), error.reshape(start.shape), steps)


def _forward(phi: Callable[[float], tuple[float, float]], f0: float, h: float) -> float:
    t, value = phi(h)
    return (value - f0) / t


def _central(phi: Callable[[float], tuple[float, float]], f0: float, h: float) -> float:
    (up, above), (down, below) = phi(h), phi(-h)
    return (above - below) / (up - down)


def _complex_step(f: Callable[[Any], Any], x: Any, h: float) -> NumericalGradient:
    start = np.array(x, np.complex128)
    gradient = np.zeros(start.shape)
    for index in np.ndindex(start.shape):
        moved = start.copy()
        moved[index] += 1j * h
        value = np.asarray(f(moved))
        if value.dtype.kind != "c":
            raise TypeError(
                f"numerical_gradient: the complex step needs an analytic function written in NumPy, and this one "
                f"returned {value.dtype} for a complex input: abs, float(), a float array or a comparison lost the "
                f"imaginary part. Use method='central'"
            )
        gradient[index] = value.imag / h
    return NumericalGradient(gradient, 4 * EPS * np.abs(gradient), np.full(start.shape, h))


def direction_of(arrays: list[np.ndarray], given: Sequence[Any] | None, seed: int) -> list[np.ndarray]:
    if given is None:
        rng = np.random.default_rng(seed)
        return [
            natural_scales(a, 0.3) * rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1.0, 1.0], a.shape) for a in arrays
        ]
    parts = list(given) if isinstance(given, (tuple, list)) and len(arrays) == len(given) else [given]
    made = [np.asarray(part, np.float64) for part in parts]
    if [part.shape for part in made] != [array.shape for array in arrays]:
        raise ValueError(f"direction has shapes {[p.shape for p in made]}, the inputs {[a.shape for a in arrays]}")
    return made


def along(problem: Any, d: list[np.ndarray]) -> Callable[[float], tuple[float, float]]:
    def phi(t: float) -> tuple[float, float]:
        with np.errstate(all="ignore"):
            return t, problem.value([a + t * part for a, part in zip(problem.arrays, d, strict=True)])

    return phi


# Step sizes


@dataclass
class StepSizeStudy:
    """Errors of difference quotients against the step. `print` it, `plot()` it.

    h           steps, decreasing                exact       the derivative along the direction
    errors      {method: |D(h) - exact|}         optimum     {method: (h, error) where the error is least}
    truncation, rounding   {method: the two branches predicted at each h: c h^p, and noise / h}
    predicted   {method: the h at which the branches' sum is least}
    """

    h: np.ndarray
    exact: float
    errors: dict[str, np.ndarray]
    truncation: dict[str, np.ndarray]
    rounding: dict[str, np.ndarray]
    optimum: dict[str, tuple[float, float]]
    predicted: dict[str, float]

    def __str__(self) -> str:
        lines = [f"step sizes: derivative {self.exact:.12g}"]
        for method, (h, error) in self.optimum.items():
            lines.append(
                f"  {method}: best h = {h:.1e}, error {error:.1e} (predicted h = {self.predicted[method]:.1e})"
            )
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Error against h, log-log: a U for each method, its branches dotted, its optimum marked. Returns the Axes."""
        axes = axes if axes is not None else pyplot().subplots(figsize=(7, 5), layout="constrained")[1]
        floor = EPS * max(abs(self.exact), 1e-300) / 10
        for method, marker in (("forward", "o"), ("central", "s")):
            colour, (h, error) = COLOURS[method], self.optimum[method]
            axes.loglog(
                self.h, np.maximum(self.errors[method], floor), marker, color=colour, markersize=4, label=method
            )
            axes.loglog(self.h, self.truncation[method], ":", color=colour, linewidth=1)
            axes.loglog(self.h, self.rounding[method], "--", color=colour, linewidth=1)
            axes.loglog([h], [max(error, floor)], "*", color=colour, markersize=16)
            axes.annotate(f"h = {h:.0e}", (h, max(error, floor)), (0, -16), textcoords="offset points", ha="center")
        least = min(np.min(self.errors[method]) for method in self.errors)
        axes.set_ylim(bottom=max(least, floor) / 30, top=100 * max(np.max(e) for e in self.errors.values()))
        return finished(axes, "step h", "error of the derivative", "Truncation (dotted) and rounding (dashed)")


def step_size_study(
    f: Callable[..., Any],
    x: Any,
    gradient: Any = None,
    *,
    direction: Sequence[Any] | None = None,
    steps: Sequence[float] | None = None,
    seed: int = 0,
) -> StepSizeStudy:
    """The error of forward and central differences along a direction, for steps from 1 to 1e-15.

    Truncation falls with h (c1 h forward, c2 h^2 central), rounding grows (noise / h): the sum has its least value at
    sqrt(noise / c1) and (noise / 2 c2)^(1/3), about 1e-8 and 1e-5 in float64. Without a gradient to compare with (NumPy
    and gradient=None) the exact derivative is extrapolated. Arguments as in `taylor_test`.
    Source: Numerical Recipes, 3rd ed., section 5.7.

    >>> study = step_size_study(lambda x: np.sum(np.sin(x)), np.array([1.0]), np.cos)
    >>> 1e-10 < study.optimum["forward"][0] < 1e-6 < study.optimum["central"][0] < 1e-3
    True
    """
    h = np.array(np.logspace(0, -15, 46) if steps is None else sorted(steps, reverse=True), np.float64)
    with as_arrays(f, x, gradient) as problem:
        d = direction_of(problem.arrays, direction, seed)
        phi = along(problem, d)
        f0 = phi(0.0)[1]
        noise = max(noise_of(phi, f0, np.random.default_rng(seed)), EPS * abs(f0))
        if gradient is None and not problem.automatic:
            exact = slope(phi, f0, noise).value
        else:
            exact = sum(float(np.sum(g * part)) for g, part in zip(problem.gradients(), d, strict=True))
        values = np.array([[phi(step)[1], phi(-step)[1]] for step in h])
    with np.errstate(all="ignore"):
        quotients = {"forward": (values[:, 0] - f0) / h, "central": (values[:, 0] - values[:, 1]) / (2 * h)}
    errors = {method: np.abs(quotient - exact) for method, quotient in quotients.items()}
    truncation, rounding, optimum, predicted = {}, {}, {}, {}
    for method, order in (("forward", 1), ("central", 2)):
        error = errors[method]
        gain = 2.0 if method == "forward" else 1.0
        # The branch of truncation: error / h^p is constant where rounding does not count and h is small enough.
        clear = np.isfinite(error) & (error > 100 * gain * noise / h) & (h < 0.2)
        c = float(np.median(error[clear] / h[clear] ** order)) if clear.any() else 0.0
        truncation[method], rounding[method] = c * h**order, gain * noise / h
        predicted[method] = (gain * noise / (order * c)) ** (1 / (order + 1)) if c else float(h[0])
        # The least of the worst of three neighbours: a single quotient can be right by luck.
        padded = np.pad(np.where(np.isfinite(error), error, np.inf), 1, "edge")
        best = int(np.argmin(np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])))
        optimum[method] = (float(h[best]), float(error[best]))
    return StepSizeStudy(h, exact, errors, truncation, rounding, optimum, predicted)


def finished(axes: Any, x: str, y: str, title: str) -> Any:
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    axes.set_title(title, fontsize=14)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return axes
