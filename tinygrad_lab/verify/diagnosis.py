"""Why a hand-derived gradient is wrong: `diagnose` compares, votes, explains or abstains.

What this file lets you do: hand over a loss, its parameters and the gradient that somebody derived, and get a
`Diagnosis`: right or wrong per array, and the mistakes under which a replayed backward pass gives exactly those arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab.verify import mistakes_activation, mistakes_arrays, mistakes_layers, mistakes_loss, mistakes_numerical  # noqa: F401
from tinygrad_lab.verify.mistakes_loss import heads
from tinygrad_lab.verify.problem import Problem
from tinygrad_lab.verify.search import Cause, Explanation, explain

__all__ = ["ArrayVerdict", "Diagnosis", "diagnose", "diagnose_problem"]


@dataclass
class ArrayVerdict:
    """One array: verdict "correct", "wrong", "shape", "non-finite"; its worst entry (index, hand, true); error and
    cosine."""

    name: str
    verdict: str
    shape: tuple[int, ...]
    expected: tuple[int, ...]
    error: float = 0.0
    cosine: float = 1.0
    worst: tuple[tuple[int, ...], float, float] | None = None
    where: str = ""


@dataclass
class Diagnosis:
    """The outcome of `diagnose`. True if the gradient is correct; `str()` is the report, at most 15 lines.

    verdict  "correct", "explained", "unexplained" (no known pattern), "non-finite", or "autograd" (the hand-derived
             gradient agrees with differences, and autograd does not)
    causes   of the best explanation; `explanations` holds all exact ones, `partial` what fits some arrays only
    """

    verdict: str
    arrays: dict[str, ArrayVerdict]
    explanations: list[Explanation] = field(default_factory=list)
    partial: list[Cause] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    cross_entropy: bool = False  # the loss is one of a softmax, so that advice may speak of p - y

    @property
    def causes(self) -> list[Cause]:
        return self.explanations[0].causes if self.explanations else []

    @property
    def wrong(self) -> list[str]:
        return [name for name, array in self.arrays.items() if array.verdict != "correct"]

    def __bool__(self) -> bool:
        return self.verdict == "correct"

    def __str__(self) -> str:
        from tinygrad_lab.verify.texts import explain as text

        return text(self)

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "arrays": {name: dict(vars(array)) for name, array in self.arrays.items()},
            "causes": [cause.to_dict() for cause in self.causes],
            "explanations": [[cause.to_dict() for cause in e.causes] for e in self.explanations],
            "partial": [cause.to_dict() for cause in self.partial],
            "notes": [[name, dict(detail)] for name, detail in self.notes],
        }


def diagnose(
    loss_fn: Callable[[Any], Any], params: Any, hand: Any, problem: Callable[..., Any] | None = None, seed: int = 0
) -> Diagnosis:
    """Whether `hand` is the gradient of `loss_fn` at `params`, and if not, which known mistake gives exactly these
    arrays.

    loss_fn   function of `params` (with Tensors in them) that returns a scalar Tensor
    params    {name: array or Tensor}, a list, or an nn.Module (then loss_fn may take no argument)
    hand      {name: array}, a list, or a function of `params` (NumPy arrays) that returns one; it is then also run
              at other parameter values, and only what explains both is claimed
    problem   a function problem(N=, D=, H=, C=) returning (loss_fn, params, hand) at other sizes, which tells "times
              N" from "times 2"

    A mistake is claimed only if a replay of the backward pass with it equals every wrong array to a relative 1e-6.
    ValueError for missing or misshapen arguments.

    >>> import tinygrad_lab as torch
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0], [-1.0, 1.0]])
    >>> loss = lambda p: ((torch.tensor(x) @ p["w"]) ** 2).mean()
    >>> w = np.array([1.0, -2.0])
    >>> print(diagnose(loss, {"w": w}, {"w": 2 * x.T @ (x @ w)}).causes[0].name)
    times N
    """
    first = Problem(loss_fn, params, hand)
    found = diagnose_problem(first)
    if not found.explanations:
        return found
    others: list[Problem] = []
    if callable(hand):
        others.append(_elsewhere(first, hand, seed))
    if problem is not None:
        others.append(Problem(*problem(N=11, D=7, H=13, C=5)))
    for other in others:
        again = diagnose_problem(other)
        kept = {e.signature for e in again.explanations}
        agreed = [e for e in found.explanations if e.signature in kept]
        if agreed:
            found.explanations = agreed
        elif again.verdict != "correct":  # a right gradient at another point says nothing against the explanation here
            found.partial, found.explanations = found.causes, []
            found.verdict = "unexplained"
            found.notes.append(("elsewhere", {}))
    return found


def _elsewhere(problem: Problem, hand: Callable[[Any], Any], seed: int) -> Problem:
    """The same problem at fresh parameter values."""
    rng = np.random.default_rng(seed)
    drawn = {
        name: rng.permutation(a.ravel()).reshape(a.shape) + rng.normal(0, 0.1 * (a.std() or 1.0), a.shape)
        for name, a in problem.params.items()
    }
    drawn = {name: a.astype(problem.originals[name].dtype) for name, a in drawn.items()}
    if hasattr(problem.given, "named_parameters"):
        return problem
    return Problem(problem.loss_fn, problem.packed(drawn), hand)


def diagnose_problem(problem: Problem) -> Diagnosis:
    """`diagnose` for a problem that is already recorded, at one point."""
    arrays = {name: _verdict(problem, name) for name in problem.params}
    made = Diagnosis("correct", arrays, constants=problem.sizes)
    if problem.has_graph and (origin := _first_nonfinite(problem)):
        made.verdict = "non-finite"
        made.notes.append(("origin", origin))
        made.explanations = [Explanation([Cause("non-finite", list(arrays), origin["step"], origin)], 1.0)]
        return made
    if problem.hand_loss is not None and abs(problem.hand_loss - problem.loss_value) > max(problem.rtol, 1e-7) * max(
        1e-12, abs(problem.loss_value)
    ):
        made.notes.append(("loss", {"hand": problem.hand_loss, "true": problem.loss_value}))
    _vote(problem, made)
    if not made.wrong:
        return made
    made.verdict = "unexplained"
    if made.notes and made.notes[-1][0] == "autograd":
        made.verdict = "autograd"
        return made
    made.cross_entropy = any(head.kind == "softmax" and head.scale is not None for head in heads(problem))
    made.explanations, made.partial, made.covered = explain(problem)
    if made.explanations:
        made.verdict = "explained"
    return made


def _verdict(problem: Problem, name: str) -> ArrayVerdict:
    hand, truth = problem.hand[name], problem.truth[name]
    made = ArrayVerdict(name, "correct", hand.shape, truth.shape)
    if hand.shape != truth.shape:
        made.verdict = "shape"
        return made
    if not np.isfinite(hand).all():
        made.verdict = "non-finite"
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(hand))[0])
        made.worst = index, float(hand[index]), float(truth[index])
        return made
    difference = np.abs(hand - truth)
    scale = np.abs(truth).max(initial=0.0)
    made.error = float(difference.max(initial=0.0) / scale) if scale else float(difference.max(initial=0.0))
    if problem.same(hand, truth, name):
        return made
    made.verdict = "wrong"
    at = np.unravel_index(int(np.argmax(difference)), hand.shape)
    index = tuple(int(i) for i in at)
    made.worst = index, float(hand[index]), float(truth[index])
    lengths = float(np.linalg.norm(hand) * np.linalg.norm(truth))
    made.cosine = float((hand * truth).sum() / lengths) if lengths else 0.0
    made.where = _where(difference > 1e-6 * max(scale, difference.max()))
    return made


def _where(bad: np.ndarray) -> str:
    """Which rows or columns are wrong, if not all are."""
    if bad.ndim == 0 or bad.all() or not bad.any():
        return ""
    parts = []
    for axis, word in enumerate(("rows", "columns")[: bad.ndim]):
        lines = np.flatnonzero(bad.any(axis=tuple(i for i in range(bad.ndim) if i != axis)))
        if len(lines) < bad.shape[axis]:
            parts.append(
                f"{word if bad.ndim > 1 else 'entries'} "
                + ", ".join(map(str, lines[:6]))
                + (" ..." if len(lines) > 6 else "")
            )
    return "; ".join(parts)


def _first_nonfinite(problem: Problem) -> dict[str, Any] | None:
    """The first step of the forward pass whose value is not finite though its operands are; then of the backward
    pass."""
    recording = problem.recording
    for step in recording.steps:
        value = recording.value(step)
        if value is not None and not np.isfinite(value).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0]) if value.ndim else ()
            operands = [recording.value(use.operand) for use in recording.uses[step.index]]
            low = [float(o.min()) for o in operands if o is not None and o.size]
            high = [float(o.max()) for o in operands if o is not None and o.size]
            origin = {
                "step": step.name,
                "op": "parameter" if step.op is None else step.op.name,
                "value": float(value[index]),
                "index": index,
                "low": min(low, default=0.0),
                "high": max(high, default=0.0),
                "line": recording.line(step),
                "pass": "forward",
            }
            origin["what"] = _what(origin)
            return origin
    for step in reversed(recording.steps):
        g = recording.truth.cotangents[step.index]
        if g is not None and not np.isfinite(g).all():
            users = recording.users[step.index]
            op = users[0].user.op.name if users else "loss"
            return {"step": step.name, "op": op, "what": f"derivative of {op}", "value": float("nan"), "index": (),
                    "low": 0.0, "high": 0.0, "line": recording.line(step), "pass": "backward"}  # fmt: skip
    return None


def _what(origin: dict[str, Any]) -> str:
    op = origin["op"]
    if op in ("exp", "exp2", "expm1", "sinh", "cosh"):
        return f"{op} overflow"
    if op in ("log", "log2", "log10"):
        return "log of 0" if origin["low"] >= 0 else "log of a negative number"
    if op in ("div", "reciprocal", "rsqrt"):
        return "division by 0"
    return f"{op} overflow" if np.isinf(origin["value"]) else f"{op} undefined"


# The vote


def _vote(problem: Problem, made: Diagnosis) -> None:
    """Compare autograd with differences along random directions, array by array, and note which of the three is the
    odd one."""
    if not problem.has_graph:
        made.notes.append(("no graph", {}))
        return
    rng = np.random.default_rng(0)
    suspects, kinks = [], []
    for name, x in problem.params.items():
        if not x.size or made.arrays[name].verdict in ("shape", "non-finite"):
            continue
        for _ in range(2):
            v = rng.normal(size=x.shape)
            central, left, right, error = _slopes(problem, name, v)
            by_autograd = float((problem.truth[name] * v).sum())
            by_hand = float((problem.hand[name] * v).sum())
            tolerance = error + 1e-6 * float(np.abs(problem.truth[name] * v).sum()) + 1e-9 * abs(problem.loss_value)
            if abs(by_autograd - central) <= tolerance:
                continue
            if made.arrays[name].verdict == "wrong" and abs(by_hand - central) <= tolerance:
                suspects.append(name)
            else:
                kinks.append((name, left, right, by_autograd))
            break
    if kinks:
        name, left, right, by_autograd = kinks[0]
        made.notes.append(
            ("kink", {"arrays": [k[0] for k in kinks], "left": left, "right": right, "autograd": by_autograd})
        )
    if suspects:
        made.notes.append(("autograd", {"arrays": suspects}))


def _slopes(problem: Problem, name: str, v: np.ndarray) -> tuple[float, float, float, float]:
    """(central, left, right, error) of the loss's slope along `v`."""
    base = problem.params[name]
    h = 1e-4 * max(float(np.abs(base).max()), 1e-2) / float(np.abs(v).max())

    def at(t: float) -> float:
        return problem.loss({**problem.params, name: base + t * v})

    here = problem.loss_value if problem.wide else at(0.0)
    above, below, near_above, near_below = at(h), at(-h), at(h / 2), at(-h / 2)
    coarse, fine = (above - below) / (2 * h), (near_above - near_below) / h
    central = fine + (fine - coarse) / 3
    noise = 1e-15 * max(abs(here), abs(above)) / h
    right, left = (near_above - here) / (h / 2), (here - near_below) / (h / 2)
    return central, left, right, 2 * abs(fine - coarse) + 50 * noise
