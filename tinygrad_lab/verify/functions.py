"""Gradient checks of any function: of Tensors, of NumPy arrays with a gradient by hand, of PyTorch or JAX, of a model.

What this file lets you do: `gradcheck(f, inputs)`. It brings each kind to a function of float64 arrays, which
`checking.check_arrays` checks, and leaves no trace: inputs are copied, a model's parameters and buffers are replaced
during the check and put back at its end, also if f raises or somebody presses Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lab.tensor import wrap
from tinygrad_lab.verify.checking import check_arrays
from tinygrad_lab.verify.frameworks import Framework, Ours, outputs_of
from tinygrad_lab.verify.replay import Recording
from tinygrad_lab.verify.results import KINK, UNCERTAIN, WRONG, CheckResult
from tinygrad_lab.verify.targets import FunctionTarget, target_of

__all__ = ["as_arrays", "gradcheck"]


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    gradient: Any = None,
    *,
    mode: str = "auto",
    outputs: str = "project",
    names: Sequence[str] | None = None,
    seed: int = 0,
    rtol: float | None = None,
) -> CheckResult:
    """Check the gradient of `f` at `inputs` against differences that estimate their own error.

    f         a function of Tensors, of PyTorch tensors or of JAX arrays, whose automatic gradient is checked; or of any
              of them or NumPy arrays with `gradient`. With a model as `inputs`: a closure that computes the loss
    inputs    one array or tensor; a tuple or list of them, for f(*inputs); a dict, for f(dict); or an nn.Module, whose
              parameters are all checked by name
    gradient  the gradient to check instead: arrays in the form of `inputs`, or a function of what f takes that returns
              them. For an f with several output elements it is the Jacobian, of shape output shape + input shape
    mode      "full": every element; "fast": about 40 evaluations per input; "auto": full up to 1000 elements an input
    outputs   how an f with several output elements is made scalar: "project" on random weights, or "each" by itself
    rtol      relative error to accept beside the estimated one (default 1e-8; 1e-5 for float32 gradients)

    Everything is computed in float64, whatever the inputs' dtype. The result is true if all is right; `print` it.
    ValueError if there is nothing to check; TypeError for NumPy arrays without `gradient`.

    >>> x = np.array([0.5, 2.0])
    >>> bool(gradcheck(lambda x: np.sum(np.log(x)), x, 1 / x))
    True
    >>> result = gradcheck(lambda x: np.sum(np.log(x)), x, lambda x: np.array([2.0, 0.25]))
    >>> result.verdict, result.worst()[0].place
    ('wrong', 'input[1]')
    """
    if outputs not in ("project", "each"):
        raise ValueError(f"outputs must be 'project' or 'each', got {outputs!r}")
    target = target_of(f, inputs)
    target.name(names)
    if not target.arrays:
        raise ValueError("gradcheck: nothing to check: no input is a floating array or tensor that requires a gradient")
    with target.framework.repeatable() as rewind, target.borrowed():
        check = _Check(target, gradient, rewind)
        shapes = check.shapes
        size = sum(int(np.prod(shape)) for shape in shapes)
        if outputs == "project" or size == 1:
            rng = np.random.default_rng([seed, size])
            weights = [np.ones(shape) if size == 1 else rng.standard_normal(shape) for shape in shapes]
            return check.run(weights, mode, seed, rtol)
        results = []
        for i in range(size):
            parts = np.split(np.eye(size)[i], np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
            result = check.run([part.reshape(s) for part, s in zip(parts, shapes, strict=True)], mode, seed, rtol)
            for parameter in result.parameters:
                parameter.name = f"output {i} by {parameter.name}"
                for entry in parameter.entries:
                    entry.parameter = parameter.name
            results.append(result)
        parameters = [parameter for result in results for parameter in result.parameters]
        notes = list(dict.fromkeys(note for result in results for note in result.notes))
        return CheckResult(parameters, sum(result.evaluations for result in results), results[0].value, notes)


class Problem:
    """A scalar function and its gradient on float64 arrays: `value(arrays)`, `gradients()` at `arrays`, `automatic`."""

    def __init__(self, check: _Check) -> None:
        self.arrays = check.target.arrays
        self.automatic = check.framework.automatic
        self._check, self._weights = check, [np.ones(shape) for shape in check.shapes]
        self.value = check.value(self._weights)

    def gradients(self) -> list[np.ndarray]:
        return self._check.gradients(self.arrays, self._weights)


@contextmanager
def as_arrays(f: Callable[..., Any], inputs: Any, gradient: Any = None) -> Iterator[Problem]:
    """f, brought to a function of float64 arrays for a `with` block. ValueError if it is not scalar."""
    target = target_of(f, inputs)
    with target.framework.repeatable() as rewind, target.borrowed():
        check = _Check(target, gradient, rewind)
        if sum(int(np.prod(shape)) for shape in check.shapes) != 1:
            raise ValueError(
                f"the function must return one number, it returned shapes {check.shapes}: sum it, or pick one"
            )
        yield Problem(check)


class _Check:
    """One target as a function of float64 arrays, and the gradient to check."""

    def __init__(self, target: FunctionTarget, gradient: Any, rewind: Callable[[], None]) -> None:
        self.target, self.gradient, self.rewind = target, gradient, rewind
        self.framework: Framework = target.framework
        self.notes: list[str] = []
        self.recording: Recording | None = None
        try:
            first = self._outputs(target.arrays)
        except (RuntimeError, TypeError) as error:
            # f mixes its inputs, now float64, with float32 constants of its own: run its graph again in float64.
            if not (target.low and isinstance(self.framework, Ours) and "float64" in str(error)):
                raise
            self.outcome = target.recorded()
            first = [self.framework.read(y) for y in outputs_of(self.outcome[0], self.framework)]
            self.recording = self.replayed([np.ones(y.shape) for y in first])
        if not first:
            raise TypeError("gradcheck: f returned no floating array, tensor or number")
        self.shapes = [y.shape for y in first]

    def _outputs(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.rewind()
        return [self.framework.read(y) for y in self.target.outputs(arrays)]

    def replayed(self, weights: Sequence[np.ndarray]) -> Recording:
        result, leaves, observer = self.outcome
        tensors = outputs_of(result, self.framework)
        total = None
        for y, w in zip(tensors, weights, strict=True):
            part = (y * wrap(w.astype(y.array.dtype))).sum()
            total = part if total is None else total + part
        assert total is not None
        return Recording(total, leaves, observer)

    def value(self, weights: Sequence[np.ndarray]) -> Callable[[list[np.ndarray]], float]:
        if self.recording is not None:
            names, recording = self.target.names, self.recording
            return lambda arrays: recording.evaluate(dict(zip(names, arrays, strict=True)))
        return lambda arrays: sum(
            float(np.sum(np.multiply(w, y, dtype=np.float64)))
            for w, y in zip(weights, self._outputs(arrays), strict=True)
        )

    def gradients(self, arrays: list[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.rewind()
        if self.gradient is not None:
            found = self.target.by_hand(self.gradient, arrays)
            if sum(int(np.prod(shape)) for shape in self.shapes) == 1:
                return found
            note = f"f returned shapes {self.shapes}, the gradient given is that of one number: let f return one number"
            if note not in self.notes and any(g.shape == a.shape for g, a in zip(found, arrays, strict=True)):
                self.notes.append(note)
            if len(self.shapes) > 1:
                return found
            (w,) = weights
            return [
                np.tensordot(w, g, w.ndim) if g.shape == (*w.shape, *a.shape) else g
                for g, a in zip(found, arrays, strict=True)
            ]
        if self.recording is not None:
            found_by_name = self.recording.gradients(self.recording.truth)
            pairs = zip(self.target.names, arrays, strict=True)
            return [found_by_name.get(name, np.zeros(array.shape)) for name, array in pairs]
        return self.target.gradients(arrays, weights)

    def run(self, weights: Sequence[np.ndarray], mode: str, seed: int, rtol: float | None) -> CheckResult:
        target = self.target
        if self.recording is not None:
            self.recording = self.replayed(weights)
            self.notes = ["f mixes in float32 constants of its own, so its recorded graph was run again in float64"]
        masks = None if self.recording is not None or not isinstance(self.framework, Ours) else self._branches

        def check(arrays: list[np.ndarray], masks: Any) -> CheckResult:
            gradients = self.gradients(arrays, weights)
            return check_arrays(self.value(weights), arrays, gradients, target.names, masks, mode, seed, rtol)

        result = check(target.arrays, masks)
        result.notes[:0] = self.notes
        can_move = self.recording is None and (self.gradient is None or callable(self.gradient))
        if not result and can_move and any(e.left == e.left for p in result.parameters for e in p.entries):
            rng = np.random.default_rng(seed)
            beside = [
                a + 1e-3 * (np.abs(a) + (np.abs(a).mean() or 1.0)) * rng.uniform(-1, 1, a.shape) for a in target.arrays
            ]
            if check(beside, None):
                _settle(result, known=masks is not None)
        return result

    def _branches(self, arrays: list[np.ndarray]) -> Any:
        self.rewind()
        return self.target.branches(arrays)


def _settle(result: CheckResult, known: bool) -> None:
    """The gradient is right at a random point close by: elements on several kinks at once are decided by that.

    There one-sided slopes along an element do not bound the subgradients, so a right gradient may lie outside of them.
    Without branch masks nobody knows that several kinks met, and the verdict is that it is uncertain.
    """
    count = 0
    for parameter in result.parameters:
        for entry in parameter.entries:
            if entry.left != entry.left or parameter.verdicts is None:
                continue
            if known and entry.verdict == "uncertain":
                parameter.verdicts[entry.index] = KINK
                count += 1
            elif not known and entry.verdict == "wrong":
                parameter.verdicts[entry.index] = UNCERTAIN
                entry.verdict = "uncertain"
                count += 1
        if parameter.verdicts is not None:
            parameter.entries = [e for e in parameter.entries if parameter.verdicts[e.index] in (WRONG, UNCERTAIN)]
            found = set(np.unique(parameter.verdicts))
            parameter.verdict = "wrong" if WRONG in found else "uncertain" if UNCERTAIN in found else "ok"
    if count:
        says = "judged there" if known else "whether it is right on them cannot be told from values"
        result.notes.append(
            f"on {count} kinks the gradient is not between the slopes, but it is right beside them: {says}"
        )
