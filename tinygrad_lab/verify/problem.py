"""What a diagnosis is about, brought to one form: parameters, loss, recorded graph, the student's arrays, known
constants.

What this file lets you do: accept parameters as a dict, a list, or a module, the loss as a function of Tensors (or of
arrays, when only differences can be compared), the hand-derived gradient as arrays or a function, and get float64
arrays by name. It must not know any mistake.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np

from tinygrad_lab.grad_mode import no_grad
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.replay import Recording, call_recorded

__all__ = ["SPELLINGS", "Problem", "arrays_of", "hand_arrays"]


def array_of(value: Any) -> np.ndarray:
    """A Tensor's, NumPy's, PyTorch's or a number's values as an ndarray (no copy where there need not be one)."""
    if isinstance(value, Tensor):
        return value.array
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def arrays_of(params: Any) -> dict[str, np.ndarray]:
    """The parameters by name: of a dict, a list or tuple (then "0", "1", ...), a module, or one array ("x")."""
    if hasattr(params, "named_parameters"):
        params = dict(params.named_parameters())
    if isinstance(params, Mapping):
        return {str(name): array_of(value) for name, value in params.items()}
    if isinstance(params, (list, tuple)):
        return {str(i): array_of(value) for i, value in enumerate(params)}
    return {"x": array_of(params)}


def one_number(value: Any, what: str = "diagnose: the loss") -> float:
    """What a loss returned, as a float. ValueError, which says what it returned, if it is not one number."""
    kind = type(value).__name__
    if value is None:
        returned = "None: is a return missing?"
    elif isinstance(value, (list, tuple)):
        returned = f"a {kind} of {len(value)}: return the loss alone"
    elif (array := array_of(value)).dtype.kind not in "fiub":
        returned = f"a {kind}: return the loss alone"
    elif array.size != 1:
        returned = f"an array of shape {array.shape}: reduce it (.mean() or .sum())"
    else:
        return float(array.item())
    raise ValueError(f"{what} must return one number, it returned {returned}")


SPELLINGS = ("{}", "d{}", "d_{}", "grad_{}", "{}_grad", "g{}", "g_{}", "dL_d{}", "dLd{}", "d{}_")


def hand_arrays(hand: Any, names: list[str]) -> tuple[dict[str, np.ndarray], float | None]:
    """The student's arrays by parameter name, and the loss if it came along as (loss, gradients).

    In a dict "dW", "grad_W" or "W_grad" stand for "W" too. ValueError for a missing or superfluous one, and for None.
    """
    loss = None
    if hand is None:
        raise ValueError("grad returned None: is a return missing?")
    if (
        isinstance(hand, tuple)
        and len(hand) == 2
        and isinstance(hand[1], (Mapping, list, tuple))
        and np.ndim(array_of(hand[0])) == 0
    ):
        loss, hand = float(array_of(hand[0])), hand[1]
    if isinstance(hand, Mapping):
        given = {str(key): value for key, value in hand.items()}
        found = {}
        for name in names:
            spelling = next((s.format(name) for s in SPELLINGS if s.format(name) in given), None)
            if spelling is None:
                raise ValueError(
                    f"there is no gradient for parameter '{name}' among {list(given)}: use the parameters' names "
                    f"({names}), or d{name}"
                )
            found[name] = given[spelling]
    else:
        values = list(hand) if isinstance(hand, (list, tuple)) else [hand]
        if len(values) != len(names):
            count = "is 1 gradient" if len(values) == 1 else f"are {len(values)} gradients"
            raise ValueError(f"there {count} for {len(names)} parameters: give one for each of {names}, in this order")
        found = dict(zip(names, values, strict=True))
    for name, value in found.items():
        if value is None:
            raise ValueError(f"the gradient for parameter '{name}' is None: was it computed?")
    return {name: array_of(value) for name, value in found.items()}, loss


class Problem:
    """One loss at one point, with the hand-derived gradient.

    params, hand  {name: array}; recording  the graph; has_graph  False if the loss is no function of Tensors
    truth         {name: gradient} by autograd (by central differences without a graph)
    rtol          how far two arrays may differ and still be the same: hand-derived ones in float32 carry its rounding
    """

    def __init__(self, loss_fn: Callable[[Any], Any], params: Any, hand: Any) -> None:
        self.loss_fn, self.given = loss_fn, params
        self.originals = arrays_of(params)
        if not self.originals:
            raise ValueError("diagnose: there are no parameters")
        self.params = {name: np.array(array, np.float64) for name, array in self.originals.items()}
        self._recording, self.loss_value = self._record()
        given = hand(self.packed(self.originals, copy=True)) if callable(hand) else hand
        self.hand, self.hand_loss = hand_arrays(given, list(self.params))
        coarsest = max(
            (h.dtype.itemsize and np.finfo(h.dtype).eps if h.dtype.kind == "f" else 0.0) for h in self.hand.values()
        )
        self.rtol = 1e-6 if coarsest < 1e-10 else max(1e-6, 100 * float(coarsest))
        self.hand = {name: np.asarray(array, np.float64) for name, array in self.hand.items()}
        if self.has_graph:
            found = self.recording.gradients(self.recording.truth)
            self.truth = {name: found.get(name, np.zeros(a.shape)) for name, a in self.params.items()}
        else:
            self.truth = {name: self.differences(name) for name in self.params}
            self.rtol = max(self.rtol, 1e-5)
        finite = [np.abs(t).max() for t in self.truth.values() if t.size and np.isfinite(t).all()]
        self.floor = 1e-12 * max(finite, default=1.0)
        self.sizes = self._sizes()
        self.constants = self._constants()

    @property
    def has_graph(self) -> bool:
        return self._recording is not None

    @property
    def recording(self) -> Recording:
        """The recorded graph. RuntimeError if the loss is no function of Tensors."""
        if self._recording is None:
            raise RuntimeError("the loss is no function of Tensors, so nothing was recorded")
        return self._recording

    # The loss

    def packed(
        self, arrays: Mapping[str, np.ndarray], tensors: bool = False, grad: bool = False, copy: bool = False
    ) -> Any:
        """The arrays in the form that the user's functions take."""

        def one(array: np.ndarray) -> Any:
            array = np.array(array) if copy else array
            return wrap(array).requires_grad_() if grad else wrap(array) if tensors else array

        made = {name: one(array) for name, array in arrays.items()}
        if isinstance(self.given, Mapping) or hasattr(self.given, "named_parameters"):
            return made
        if isinstance(self.given, (list, tuple)):
            return type(self.given)(made.values()) if type(self.given) in (list, tuple) else list(made.values())
        return made["x"]

    def _record(self) -> tuple[Recording | None, float]:
        if hasattr(self.given, "named_parameters"):
            return self._record_module()
        failure: Exception | None = None
        for arrays in (self.params, self.originals):  # float64 first; the data behind the loss may be float32 only
            packed = self.packed(arrays, grad=True, copy=True)
            try:
                loss, seen = call_recorded(partial(self.loss_fn, packed))
                value = one_number(loss)
            except Exception as error:
                failure = failure or error
                continue
            if isinstance(loss, Tensor) and loss.requires_grad:
                self.wide = arrays is self.params
                tensors = (
                    packed.values()
                    if isinstance(packed, dict)
                    else packed
                    if isinstance(packed, (list, tuple))
                    else [packed]
                )
                return Recording(loss, dict(zip(arrays, tensors, strict=True)), seen), value
            failure = failure or TypeError(
                f"diagnose: the loss does not depend on the parameters it was given (it returned "
                f"{type(loss).__name__}): compute it from the Tensors in its argument, without detach() or numpy()"
            )
        assert failure is not None
        try:  # a loss written in NumPy: no graph, differences only
            returned = self.loss_fn(self.packed(self.params, copy=True))
        except Exception:
            raise failure from None
        if isinstance(returned, Tensor):
            raise failure
        self.wide = True
        return None, one_number(returned)

    def _record_module(self) -> tuple[Recording, float]:
        module = self.given
        parameters = dict(module.named_parameters())
        kept = {name: p.array for name, p in parameters.items()}
        takes_module, loss_fn = self._takes_argument(), cast(Callable[..., Any], self.loss_fn)
        self.wide = False
        try:
            for wide in (True, False):
                for name, p in parameters.items():
                    p.array = np.array(kept[name], np.float64 if wide else None)
                try:
                    loss, seen = call_recorded(partial(loss_fn, module) if takes_module else loss_fn)
                except RuntimeError:
                    if not wide:
                        raise
                    continue
                value = one_number(loss)
                return Recording(loss, parameters, seen), value
        finally:
            for name, p in parameters.items():
                p.array = kept[name]
        raise AssertionError("unreachable")

    def _takes_argument(self) -> bool:
        try:
            return bool(inspect.signature(self.loss_fn).parameters)
        except (TypeError, ValueError):
            return True

    def loss(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The loss at other parameter values (float64)."""
        if self.has_graph and (not self.wide or hasattr(self.given, "named_parameters")):
            return self.recording.evaluate(arrays)
        with no_grad():
            return one_number(self.loss_fn(self.packed(arrays, tensors=self.has_graph)))

    def differences(self, name: str, h: float = 1e-5) -> np.ndarray:
        """The gradient by central differences, element by element."""
        arrays = {key: value.copy() for key, value in self.params.items()}
        x, out = arrays[name], np.zeros(self.params[name].shape)
        for index in np.ndindex(x.shape):
            kept = x[index]
            step = h * max(1.0, abs(float(kept)))
            x[index] = kept + step
            above = self.loss(arrays)
            x[index] = kept - step
            out[index] = (above - self.loss(arrays)) / (2 * step)
            x[index] = kept
        return out

    # Comparing

    def same(self, a: np.ndarray, b: np.ndarray, name: str, rtol: float | None = None) -> bool:
        """Whether `a` is the array `b`: element by element, to the relative accuracy of the student's numbers."""
        if a.shape != b.shape:
            return False
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False
        rtol = self.rtol if rtol is None else rtol
        size = np.abs(b)
        truth = self.truth[name]
        scale = max(size.max(initial=0.0), 1e-3 * np.abs(truth).max(initial=0.0))
        return bool((np.abs(a - b) <= rtol * size + 0.1 * rtol * scale + self.floor).all())

    # Constants

    def _sizes(self) -> dict[str, int]:
        """What the sizes in this problem are called: N the batch, C the classes (last size), D the features."""
        if not self.has_graph:
            return {}
        rows, columns = Counter[int](), []
        features: list[int] = []
        for step in self.recording.steps:
            if step.op is None or not self.recording.from_data[step.index] or not step.shape:
                continue
            rows[step.shape[0]] += 2 if len(step.shape) > 1 else 1
            if len(step.shape) > 1:
                columns.append(step.shape[-1])
            features += [a.shape[-1] for _, a in self.recording.constants(step) if a.ndim > 1]
        found = {}
        if rows:
            found["N"] = rows.most_common(1)[0][0]
        if columns and columns[-1] > 1:
            found["C"] = columns[-1]
        if features and features[0] > 1:
            found["D"] = features[0]
        return found

    def _constants(self) -> dict[str, float]:
        """The factors that people forget or repeat, by name; the more usual name first where two are equal."""
        n, c, d = (self.sizes.get(key) for key in "NCD")
        found: dict[str, float] = {"-1": -1.0, "2": 2.0, "1/2": 0.5}
        if n and n > 1:
            found |= {"N": n, "1/N": 1 / n, "-N": -n, "-1/N": -1 / n, "2/N": 2 / n, "N/2": n / 2}
        if c:
            found |= {"C": c, "1/C": 1 / c, "2/C": 2 / c, "C/2": c / 2}
        if n and c:
            found |= {"N C": n * c, "1/(N C)": 1 / (n * c), "N/C": n / c, "C/N": c / n}
        if d:
            found |= {"D": d, "1/D": 1 / d}
        found |= {"-2": -2.0, "-1/2": -0.5, "4": 4.0, "1/4": 0.25, "255": 255.0, "1/255": 1 / 255}
        if n and n > 1:
            found |= {"N^2": n * n, "1/N^2": 1 / (n * n)}
        if self.has_graph:
            for step in self.recording.steps:
                for operand in step.operands.values():
                    if isinstance(operand, (float, np.floating)) or (
                        isinstance(operand, np.ndarray) and operand.ndim == 0 and operand.dtype.kind == "f"
                    ):
                        value = float(operand)
                        if np.isfinite(value) and abs(value) > 1e-12 and abs(abs(value) - 1) > 1e-9:
                            found.setdefault(f"{value:g}", value)
                            found.setdefault(f"1/{value:g}", 1 / value)
        return {name: float(value) for name, value in found.items() if abs(value - 1) > 1e-9}

    def constant(self, value: float, rtol: float | None = None) -> list[str]:
        """The names of the known constants that equal `value`."""
        tolerance = 20 * (self.rtol if rtol is None else rtol)
        return [name for name, known in self.constants.items() if abs(value - known) <= tolerance * abs(known)]
