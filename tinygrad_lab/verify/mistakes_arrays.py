"""Mistakes in one array: transposed, summed over the wrong axes, a penalty that the loss does not have, factors of
its terms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygrad_lab.verify.mistakes import ArrayView, Candidate, mistake

__all__: list[str] = []


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same shape but for axes of length 1."""
    return [size for size in a.shape if size != 1] == [size for size in b.shape if size != 1]


def _one_or_all(view: ArrayView) -> bool:
    """Whether the student's array is one number, or has the gradient's shape, into which one number may be spread."""
    return view.hand.size == 1 or view.hand.shape == view.gradient.shape


@mistake("transposed", kind="array")
def transposed(view: ArrayView) -> Iterator[Candidate]:
    if view.gradient.ndim == 2 and min(view.gradient.shape) > 1:
        yield Candidate(view.gradient.T)


@mistake("axis of length 1 kept", kind="array")
def axis_kept(view: ArrayView) -> Iterator[Candidate]:
    """keepdims left in, or squeezed out."""
    if view.hand.shape != view.gradient.shape and _alike(view.hand, view.gradient):
        yield Candidate(view.gradient.reshape(view.hand.shape))


@mistake("batch axis kept", kind="array")
def batch_axis_kept(view: ArrayView) -> Iterator[Candidate]:
    n = view.problem.sizes.get("N")
    if (n and view.hand.shape == (n, *[s for s in view.gradient.shape if s != 1])) or (
        n and view.hand.shape == (n, *view.gradient.shape)
    ):
        for use, _ in view.uses:
            rows = [view.rows(use, i) for i in range(n)]
            if all(row is not None for row in rows):
                yield Candidate(np.stack(rows).reshape(view.hand.shape))  # type: ignore[arg-type]


@mistake("summed over all axes", kind="array")
def summed_over_all(view: ArrayView) -> Iterator[Candidate]:
    """sum() without an axis: one number, which broadcasting may then spread."""
    if view.gradient.size > 1 and _one_or_all(view):
        yield Candidate(np.full(view.hand.shape, view.gradient.sum()))


@mistake("summed over the wrong axis", kind="array")
def wrong_axis_sum(view: ArrayView) -> Iterator[Candidate]:
    for use, contribution in view.uses:
        g = view.cotangent(use)
        if (
            g is None
            or g.ndim < 2
            or contribution.ndim != 1
            or use.user.op.name not in ("add", "sub", "linear", "expand")
        ):
            continue
        for axis in range(1, g.ndim):
            summed = g.sum(axis=axis)
            if _alike(view.hand, summed):
                yield Candidate(summed.reshape(view.hand.shape))


@mistake("mean for sum", kind="array")
def mean_for_sum(view: ArrayView) -> Iterator[Candidate]:
    """A parameter that was broadcast gets the sum of its copies' cotangents; here their mean was taken."""
    for use, contribution in view.uses:
        g = view.cotangent(use)
        if (
            g is not None
            and use.user.op.name in ("add", "sub", "linear")
            and contribution.size < g.size
            and contribution.ndim < g.ndim
        ):
            yield Candidate(view.gradient * (contribution.size / g.size))


@mistake("= for += (this array)", kind="array")
def last_row(view: ArrayView) -> Iterator[Candidate]:
    """A loop over the rows assigns where it should add."""
    n = view.problem.sizes.get("N", 0)
    for use, contribution in view.uses:
        for kept in (n - 1, 0):
            row = view.rows(use, kept) if n > 1 else None
            if row is not None:
                yield Candidate(view.gradient - contribution + row, {"kept": "last" if kept else "first"})


@mistake("only one use counted", kind="array")
def one_use(view: ArrayView) -> Iterator[Candidate]:
    """A weight read at every step of a recurrent net: the loop keeps the last share in place of the sum."""
    data = [c for kind, _, c in view.groups if kind == "data"]
    if len(data) > 2:
        rest = view.gradient - sum(data)
        for kept in (0, len(data) - 1):
            yield Candidate(rest + data[kept], {"kept": "first" if kept == 0 else "last"})


@mistake("extra penalty", kind="array")
def extra_penalty(view: ArrayView) -> Iterator[Candidate]:
    """A penalty in the gradient that the loss does not have: lambda W, whatever lambda is."""
    if (
        view.hand.shape != view.gradient.shape
        or view.value.size < 3
        or any(kind == "penalty" for kind, _, _ in view.groups)
    ):
        return
    for shape, direction in (("L2", view.value), ("L1", np.sign(view.value))):
        size = float((direction * direction).sum())
        if size:
            strength = float(((view.hand - view.gradient) * direction).sum()) / size
            if abs(strength) > 1e-9:
                yield Candidate(view.gradient + strength * direction, {"lambda": strength, "norm": shape}, fitted=True)


@mistake("zero", kind="array", cost=0.9)
def zero(view: ArrayView) -> Iterator[Candidate]:
    """Never computed."""
    if view.gradient.any() and not view.hand.any() and _one_or_all(view):
        yield Candidate(np.zeros(view.hand.shape))


@mistake("gradient of another parameter", kind="array", cost=1.2)
def swapped(view: ArrayView) -> Iterator[Candidate]:
    for name, truth in view.problem.truth.items():
        if name != view.name and truth.shape == view.hand.shape and truth.size > 1:
            yield Candidate(truth, {"other": name})


@mistake("the parameter itself", kind="array", cost=1.5)
def parameter_itself(view: ArrayView) -> Iterator[Candidate]:
    """The updated value returned instead of the gradient: W - lr dW."""
    if view.hand.shape == view.gradient.shape and view.value.size > 3:
        size = float((view.gradient * view.gradient).sum())
        if size:
            rate = float(((view.value - view.hand) * view.gradient).sum()) / size
            if rate > 1e-6:
                yield Candidate(view.value - rate * view.gradient, {"rate": rate}, fitted=True)
