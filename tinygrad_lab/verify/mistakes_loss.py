"""Mistakes at the loss: p + y, no one-hot, a Jacobian left out, the gradient of another loss, shifted labels.

All act on the cotangent of the logits. `heads` finds them: the step z that a softmax, a sigmoid or a squared error
reads, also where these are written out, the probabilities (or predictions) p and the targets y, one-hot if they are
labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinygrad_lab.autograd import Step
from tinygrad_lab.verify.mistakes import mistake
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.replay import Edit, Recording, times

__all__ = ["Head", "heads", "targets_of"]


@dataclass(eq=False)
class Head:
    """Where predictions meet targets. kind: "softmax", "sigmoid" or "identity" (p is z). scale: z's cotangent is
    scale (p - y), if it is."""

    step: Step
    kind: str
    p: np.ndarray
    y: np.ndarray
    p_step: Step | None
    scale: float | None

    def through(self, slope: np.ndarray) -> np.ndarray:
        """A cotangent of p, carried through the softmax or sigmoid to z."""
        p = self.p
        if self.kind == "softmax":
            return p * (slope - (slope * p).sum(-1, keepdims=True))
        return slope * p * (1 - p) if self.kind == "sigmoid" else slope


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


_NAMED = {
    "label_cross_entropy": "softmax",
    "log_softmax": "softmax",
    "softmax": "softmax",
    "logsumexp": "softmax",
    "sigmoid": "sigmoid",
    "logsigmoid": "sigmoid",
    "binary_cross_entropy_with_logits": "sigmoid",
    "mse_loss": "identity",
    "l1_loss": "identity",
    "huber_loss": "identity",
}


def targets_of(recording: Recording, z: Step) -> Iterator[np.ndarray]:
    """Arrays that may be the targets of z: labels as one-hot rows, or numbers of z's shape."""
    shape = z.shape
    for step in reversed(recording.steps):
        operands = [item for o in step.operands.values() for item in (o if isinstance(o, tuple) else (o,))]
        for array in operands:
            if isinstance(array, list):
                array = np.asarray(array)
            if not isinstance(array, np.ndarray) or step.index <= z.index:
                continue
            if len(shape) > 1 and array.dtype.kind in "iu" and array.shape == shape[:-1] and array.size:
                if (
                    array.min() >= 0
                    and array.max() < shape[-1]
                    and not (array.ndim == 1 and np.array_equal(array, np.arange(shape[0])))
                ):
                    yield np.eye(shape[-1])[array]
            elif array.shape == shape and array.dtype.kind in "fb":
                yield np.asarray(array, np.float64)


def heads(problem: Problem) -> list[Head]:
    """The heads of the recorded loss, normally one."""
    cached = getattr(problem, "_heads", None)
    if cached is None:
        cached = problem._heads = _find_heads(problem.recording) if problem.has_graph else []  # type: ignore[attr-defined]
    return cached


def _find_heads(recording: Recording) -> list[Head]:
    found: dict[int, tuple[Step, str, Step | None]] = {}
    last = max((s.index for s in recording.steps if s.op is not None and s.op.name in ("matmul", "linear")), default=0)
    for step in recording.steps:
        if step.op is None or not recording.from_data[step.index] or not step.shape or step.index < last:
            continue
        for use in recording.users[step.index]:
            name = use.user.op.name
            if name in _NAMED and use.argument == "input":
                found.setdefault(step.index, (step, _NAMED[name], use.user if name in ("softmax", "sigmoid") else None))
    candidates = [
        s for s in recording.steps if s.op is not None and s.index >= last and recording.from_data[s.index] and s.shape
    ]
    for z in [] if found else candidates:  # written out: is a later value the softmax or sigmoid of this one?
        value = recording.value(z)
        for kind, function in (("softmax", _softmax), ("sigmoid", _sigmoid)):
            if kind == "softmax" and (len(z.shape) < 2 or z.shape[-1] < 2):
                continue
            with np.errstate(all="ignore"):
                p = function(value)
            written = next(
                (s for s in candidates if s.index > z.index and s.shape == z.shape and _near(recording.value(s), p)),
                None,
            )
            if written is not None and not found:
                found[z.index] = (z, kind, written)
    for z in [] if found else candidates:
        for use in recording.users[z.index]:
            if use.user.op.name == "sub" and use.user.shape == z.shape and recording.constants(use.user):
                found.setdefault(z.index, (z, "identity", None))
    made = []
    for z, kind, p_step in found.values():
        value = recording.value(z)
        if not np.isfinite(value).all():
            continue
        p = {"softmax": _softmax, "sigmoid": _sigmoid}.get(kind, lambda v: v)(value)
        seen: list[np.ndarray] = []
        targets = list(targets_of(recording, z))
        if kind == "identity":
            targets += [
                np.asarray(a, np.float64)
                for u in recording.users[z.index]
                for _, a in recording.constants(u.user)
                if a.shape == z.shape
            ]
        for y in targets:
            if any(np.array_equal(y, other) for other in seen):
                continue
            seen.append(y)
            made.append(Head(z, kind, p, y, p_step, _scale(recording.truth.cotangents[z.index], p - y)))
    natural = [head for head in made if head.scale is not None]
    return natural or made[:2]


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.isfinite(b).all() and np.isfinite(a).all() and np.allclose(a, b, rtol=1e-9, atol=1e-12))


def _scale(g: np.ndarray | None, difference: np.ndarray) -> float | None:
    """c with g = c (p - y), if there is one."""
    size = float((difference * difference).sum())
    if g is None or size == 0:
        return None
    c = float((g * difference).sum()) / size
    return c if np.abs(g - c * difference).max() <= 1e-9 * np.abs(g).max() else None


def _scales(problem: Problem, head: Head) -> list[float]:
    """What the formula may be multiplied with: the loss's own factor; where the loss is another one, the usual ones."""
    if head.scale is not None:
        return [head.scale]
    n, c = problem.sizes.get("N", 1), problem.sizes.get("C", 1)
    return list(dict.fromkeys([1 / n, 1.0, 1 / (n * c), 2 / n, 2 / (n * c), 2.0]))


def _instead(head: Head, array: np.ndarray, **detail: object) -> Edit:
    return Edit(cotangents={head.step: lambda g: array}, layer=head.step.name, detail=dict(detail))


@mistake("one-hot added")
def one_hot_added(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        for scale in _scales(problem, head):
            yield _instead(head, scale * (head.p + head.y))


@mistake("one-hot left out")
def one_hot_missing(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        for scale in _scales(problem, head):
            yield _instead(head, scale * head.p)


@mistake("probabilities left out")
def probabilities_missing(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        for scale in _scales(problem, head):
            yield _instead(head, -scale * head.y)


@mistake("labels shifted")
def labels_shifted(problem: Problem) -> Iterator[Edit]:
    """Classes counted from 1, or each row compared with its neighbour's label."""
    for head in heads(problem):
        if head.kind == "identity":
            continue
        axes = [(0, "row")] + ([(-1, "class")] if head.y.ndim > 1 and head.y.shape[-1] > 1 else [])
        for axis, what in axes:
            for by in (1, -1):
                for scale in _scales(problem, head):
                    yield _instead(head, scale * (head.p - np.roll(head.y, by, axis)), by=by, what=what)


@mistake("diagonal of the Jacobian only")
def diagonal_only(problem: Problem) -> Iterator[Edit]:
    """dL/dp times p (1 - p), though every logit moves every probability."""
    for head in heads(problem):
        if head.kind == "softmax":
            for slope in _slopes_at_p(problem, head):
                yield _instead(head, slope * head.p * (1 - head.p))


@mistake("Jacobian left out")
def jacobian_missing(problem: Problem) -> Iterator[Edit]:
    """dL/dp used as the cotangent of the logits."""
    for head in heads(problem):
        if head.kind != "identity":
            for slope in _slopes_at_p(problem, head):
                yield _instead(head, slope)


def _slopes_at_p(problem: Problem, head: Head) -> Iterator[np.ndarray]:
    found = None if head.p_step is None else problem.recording.truth.cotangents[head.p_step.index]
    if found is not None:
        yield found
    elif head.scale is not None and head.kind == "softmax":
        yield -head.scale * head.y / head.p
    elif head.scale is not None:
        yield head.scale * (head.p - head.y) / (head.p * (1 - head.p))


@mistake("extra p (1 - p)")
def extra_derivative(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        if head.kind != "identity":
            factor = head.p * (1 - head.p)
            yield Edit(cotangents={head.step: times(factor)}, layer=head.step.name)


@mistake("softmax over the wrong axis")
def wrong_axis(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        if head.kind == "softmax" and head.step.shape[0] > 1:
            z = problem.recording.value(head.step)
            p = np.moveaxis(_softmax(np.moveaxis(z, 0, -1)), -1, 0)
            for scale in _scales(problem, head):
                yield _instead(head, scale * (p - head.y))
            e = np.exp(z - z.max())
            for scale in _scales(problem, head):
                yield _instead(head, scale * (e / e.sum() - head.y), over="everything")


@mistake("softmax not normalised", cost=1.3)
def not_normalised(problem: Problem) -> Iterator[Edit]:
    """exp(z) in the place of its share of the sum."""
    for head in heads(problem):
        if head.kind == "softmax":
            z = problem.recording.value(head.step)
            for e in (np.exp(z), np.exp(z - z.max(-1, keepdims=True))):
                if np.isfinite(e).all():
                    for scale in _scales(problem, head):
                        yield _instead(head, scale * (e - head.y))


@mistake("logits instead of probabilities")
def logits_used(problem: Problem) -> Iterator[Edit]:
    for head in heads(problem):
        if head.kind != "identity":
            z = problem.recording.value(head.step)
            for scale in _scales(problem, head):
                yield _instead(head, scale * (z - head.y))


@mistake("target left out of a margin", cost=1.2)
def hinge_target(problem: Problem) -> Iterator[Edit]:
    """SVM: the wrong classes' columns are right, the true class's column (minus their number) is missing, or
    positive."""
    recording = problem.recording
    if any(head.kind != "identity" for head in heads(problem)):
        return
    for z in recording.steps:
        g = recording.truth.cotangents[z.index]
        if (
            z.op is None
            or z.op.name not in ("matmul", "linear", "add")
            or g is None
            or g.ndim != 2
            or not recording.from_data[z.index]
        ):
            continue
        for y in list(targets_of(recording, z))[:1]:
            if (g[y == 1] < 0).any() and (g[y == 0] >= 0).all():
                yield Edit(cotangents={z: times(1 - y)}, layer=z.name, detail={"form": "left out"})
                yield Edit(cotangents={z: times(1 - 2 * y)}, layer=z.name, detail={"form": "added"})


@mistake("gradient of another loss", cost=0.9)
def another_loss(problem: Problem) -> Iterator[Edit]:
    """Cross-entropy's p - y for a squared error, and so on, at any of the usual scales."""
    n, c = problem.sizes.get("N", 1), problem.sizes.get("C", 1)
    for head in heads(problem):
        p, y = head.p, head.y
        g = problem.recording.truth.cotangents[head.step.index]
        with np.errstate(all="ignore"):
            forms = {
                "cross-entropy": p - y,
                "squared error": head.through(p - y),
                "absolute error": head.through(np.sign(p - y)),
                "absolute error of the logits": np.sign(problem.recording.value(head.step) - y),
                "binary cross-entropy": head.through((p - y) / (p * (1 - p))),
                "hinge": -y * (p * y < 1) if set(np.unique(y)) <= {-1.0, 1.0} else None,
            }
        for name, form in forms.items():
            if form is None or not np.isfinite(form).all() or _scale(g, form) is not None:
                continue
            if head.kind == "identity" and name not in ("absolute error", "hinge"):
                continue
            usual = [] if head.scale is None else [abs(head.scale), 2 * abs(head.scale)]
            for scale in dict.fromkeys([1 / n, 1.0, 1 / (n * c), 2 / n, 2 / (n * c), 2.0]):
                edit = _instead(head, scale * form, loss=name)
                edit.extra = 1.0 if usual and not any(abs(scale - u) < 1e-9 * u for u in usual) else 0.0
                yield edit
