"""One op or composition beside PyTorch's: what `Comparison(entry).run()` compares, and what it counts.

Values, dtypes, shapes, gradients and second derivatives for float64 and float32, what becomes of int64 and bool inputs,
values and slopes at special points, the places where the name exists, and the signature where it can be read.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from deviations import RANDOM
from op_cases import Call, Case, cotangents, flat, gradients

import tinygrad_lab
from tinygrad_lab import dtypes
from tinygrad_lab.ops.declare import Composition, Op
from tinygrad_lab.ops.samples import Draw
from tinygrad_lab.tensor import Tensor

# Relative to the largest element. Both libraries sum in their own order: some hundred roundings of each dtype, and some
# thousand in a second derivative, for which PyTorch also adds 1e-12 to denominators here and there.
TOLERANCES = {"float64": 1e-11, "float32": 2e-5}
SECOND_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Deviation:
    """A place where we differ: `key` is "op: aspect", which is what the table of deviations lists."""

    key: str
    text: str


def counterpart(entry: Op | Composition) -> Any:
    """PyTorch's function for an entry, None if it is internal."""
    if entry.name in SPECIAL:
        return SPECIAL[entry.name]
    if not entry.faces:
        return None
    places = [torch, torch.nn.functional, torch.Tensor]
    if "torch" not in entry.faces:
        places = [torch.nn.functional, torch, torch.Tensor]
    return next((getattr(place, entry.name) for place in places if hasattr(place, entry.name)), None)


def _setitem(input: Any, index: Any, value: Any) -> Any:
    made = input.clone()
    made[index] = value
    return made


# Ops that PyTorch has under another name, or as an operator.
SPECIAL: dict[str, Any] = {
    "getitem": lambda input, index: input[index],
    "setitem": _setitem,
    "to_dtype": lambda input, dtype: input.to(getattr(torch, dtype)),
}


# Arguments that PyTorch refuses to differentiate.
CONSTANT_IN_PYTORCH = {("batch_norm", "running_mean"), ("batch_norm", "running_var")}


def to_torch(value: Any, leaves: dict[int, Any]) -> Any:
    """An argument as PyTorch takes it; arrays become the tensors in `leaves` (by identity)."""
    if isinstance(value, (np.ndarray, np.generic)):
        return leaves[id(value)] if id(value) in leaves else torch.from_numpy(np.array(value))
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(to_torch(item, leaves) for item in value)
    if isinstance(value, dtypes.dtype):
        return getattr(torch, value.name)
    return value


def call_torch(function: Any, call: Call, requires: bool) -> tuple[dict[Any, Any], list[Any]]:
    """(leaves by path, outputs) of PyTorch's function on the same arguments."""
    leaves = {path: torch.from_numpy(np.array(array)) for path, array in call.arrays.items()}
    if requires:
        for path in call.operands:
            leaves[path].requires_grad_()
    args, kwargs = list(call.args), dict(call.kwargs)
    by_identity = {id(_at(call, path)): leaves[path] for path in leaves}
    args = [to_torch(value, by_identity) for value in args]
    kwargs = {name: to_torch(value, by_identity) for name, value in kwargs.items()}
    if args and isinstance(args[0], (int, float)) and any(isinstance(value, torch.Tensor) for value in args):
        args[0] = torch.tensor(
            args[0]
        )  # PyTorch's functions want a tensor first; its operators take numbers on either side
    torch.manual_seed(0)
    return leaves, flat(function(*args, **kwargs))


def _at(call: Call, path: Any) -> Any:
    value = call.bound.arguments[path[0]]
    return value[path[1]] if len(path) == 2 else value


def array_of(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy(force=True)
    return value.array if isinstance(value, Tensor) else np.asarray(value)


def difference(ours: Any, theirs: Any, tolerance: float, *, values: bool = True) -> str:
    """ "" if two results agree in dtype, shape and values, else what does not."""
    if isinstance(ours, Tensor) != isinstance(theirs, torch.Tensor):
        return f"type {type(ours).__name__}, PyTorch {type(theirs).__name__}"
    a, b = array_of(ours), array_of(theirs)
    if isinstance(ours, Tensor) and a.dtype != b.dtype:
        return f"dtype {a.dtype}, PyTorch {b.dtype}"
    if a.shape != b.shape:
        return f"shape {a.shape}, PyTorch {b.shape}"
    if not values or not a.size:
        return ""
    a, b = (np.asarray(x, "float64") for x in (a, b))
    if not np.array_equal(np.isnan(a), np.isnan(b)) or not np.array_equal(np.isinf(a), np.isinf(b)):
        return f"values {a.ravel()[:4]}, PyTorch {b.ravel()[:4]}"
    finite = np.isfinite(b)
    off = np.abs(a[finite] - b[finite]).max(initial=0.0)
    if off > tolerance * max(np.abs(b[finite]).max(initial=0.0), 1.0):
        return f"values off by {off:.2g}"
    return ""


# NaN, infinities, both zeros, kinks and ties of common functions, and what overflows when squared or exponentiated.
_POSITIVE = [np.inf, 0.0, 1e-300, 1e-8, 0.5, 1.0, 1.5, 2.5, 3.0, 6.0, 20.0, 1000.0, 3e9, 1e300]
SPECIAL_VALUES = np.array([np.nan, *_POSITIVE, *(-value for value in _POSITIVE)])


def difference_at(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Where two arrays of results at SPECIAL_VALUES differ, in words."""
    a, b = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    with np.errstate(all="ignore"):
        off = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= 1e-7 * np.abs(b)))
    return f"at {SPECIAL_VALUES[off]}: {a[off]}, PyTorch {b[off]}" if off.any() else ""


def error_class(error: Exception) -> type:
    """The Python class that a program would catch: PyTorch's own error classes are subclasses of these."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def same_class(ours: Exception | None, theirs: Exception | None) -> bool:
    """Whether what catches one error catches the other: equal classes, or NotImplementedError for RuntimeError."""
    if ours is None or theirs is None:
        return ours is theirs
    a, b = error_class(ours), error_class(theirs)
    return a is b or {a, b} == {RuntimeError, NotImplementedError}


def no_kernel(error: Exception | None) -> bool:
    """Whether PyTorch merely has no code for this dtype, so that there is nothing to compare with."""
    return isinstance(error, NotImplementedError) and "not implemented for" in str(error)


class Comparison:
    """What comparing one entry gave: counts and deviations."""

    def __init__(self, entry: Op | Composition) -> None:
        self.entry = entry
        self.function = counterpart(entry)
        self.counts: Counter[str] = Counter()
        self.deviations: list[Deviation] = []

    def note(self, aspect: str, text: str, case: Case | None = None) -> None:
        self.deviations.append(
            Deviation(f"{self.entry.name}: {aspect}", f"{case.sample if case else ''} {text}".strip())
        )

    def run(self) -> Comparison:
        if self.function is None:
            if self.entry.faces:
                self.note("name", "PyTorch has no function of this name")
            return self
        self.faces()
        self.signature()
        for i, sample in enumerate(self.entry.samples):
            case = Case(self.entry, sample, i)
            self.counts["samples"] += 1
            for dtype in TOLERANCES:
                self.floating(case, dtype)
            for dtype in ("int64", "bool"):
                self.whole(case, dtype)
        self.special()
        return self

    def special(self) -> None:
        """Elementwise functions of one operand: values and slopes at NaN, infinities, zeros, kinks and extremes."""
        example = next((s for s in self.entry.samples if len(s.args) == 1 and isinstance(s.args[0], Draw)), None)
        if example is None or self.entry.name in RANDOM:
            return
        leaf = tinygrad_lab.tensor(SPECIAL_VALUES, requires_grad=True)
        their_leaf = torch.tensor(SPECIAL_VALUES, requires_grad=True)
        y, error = attempt(lambda: self.entry.function(leaf))
        theirs, their_error = attempt(lambda: self.function(their_leaf))
        if error or their_error or getattr(y, "shape", None) != leaf.shape or y.array.dtype.kind == "i":
            return  # refused, not elementwise, or indices of values that are tied
        self.counts["functions at special values"] += 1
        problem = difference_at(array_of(y), array_of(theirs))
        if problem:
            self.note("special values", problem)
        if getattr(y, "requires_grad", False) and theirs.requires_grad:
            y.backward(tinygrad_lab.ones_like(y))
            theirs.backward(torch.ones_like(theirs))
            problem = difference_at(array_of(leaf.grad), array_of(their_leaf.grad))
            if problem:
                self.note("gradient at special values", problem)

    def faces(self) -> None:
        """A name that we offer in a place exists there in PyTorch too."""
        places = {"torch": torch, "method": torch.Tensor, "functional": torch.nn.functional}
        for face in sorted(self.entry.faces):
            for name in (self.entry.name, *self.entry.aliases):
                if not hasattr(places[face], name):
                    self.note(f"{face}", f"PyTorch has no {face} {name}")

    def signature(self) -> None:
        """Names, order and defaults of arguments, where PyTorch's function is written in Python."""
        if not inspect.isfunction(self.function) or self.entry.name in SPECIAL:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = inspect.signature(inspect.unwrap(self.function))
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in theirs.parameters.values()):
            return
        ours = {name: p.default for name, p in self.entry.signature.parameters.items()}
        expected = {
            name: p.default
            for name, p in theirs.parameters.items()
            if name not in ("out", "_stacklevel") and (name != "inplace" or name in ours)
        }
        self.counts["signatures"] += 1
        if ours != expected:
            self.note("signature", f"({', '.join(ours)}), PyTorch ({', '.join(expected)})")

    def floating(self, case: Case, dtype: str) -> None:
        call = case.call(dtype)
        call.constants = {*call.constants, *CONSTANT_IN_PYTORCH}
        tolerance = TOLERANCES[dtype]
        named = "" if dtype == "float64" else f" {dtype}"
        ours, error = attempt(lambda: call_ours(call, True))
        theirs, their_error = attempt(lambda: call_torch(self.function, call, True))
        if error or their_error:
            if not same_class(error, their_error):
                self.note(f"error{named}", f"{told(error)}; PyTorch: {told(their_error)}", case)
            return
        (leaves, outputs), (their_leaves, their_outputs) = ours, theirs
        if len(outputs) != len(their_outputs):
            self.note(f"value{named}", f"{len(outputs)} outputs, PyTorch {len(their_outputs)}", case)
            return
        random = self.entry.name in RANDOM
        for y, expected in zip(outputs, their_outputs, strict=True):
            self.counts[f"values {dtype}"] += 1
            problem = difference(y, expected, tolerance, values=not random)
            if problem:
                self.note(f"value{named}", problem, case)
                return
        tracked = [
            (y, t)
            for y, t in zip(outputs, their_outputs, strict=True)
            if getattr(y, "requires_grad", False) or getattr(t, "requires_grad", False)
        ]
        if not tracked or random:
            return
        for y, t in tracked:
            if y.requires_grad != t.requires_grad:
                self.note(f"gradient{named}", f"requires_grad is {y.requires_grad}, PyTorch {t.requires_grad}", case)
                return
        ours_tracked, theirs_tracked = [y for y, _ in tracked], [t for _, t in tracked]
        _, error = attempt(
            lambda: self.gradients(case, call, named, dtype, ours_tracked, leaves, theirs_tracked, their_leaves)
        )
        if error:
            self.note(f"gradient{named}", told(error), case)

    def gradients(self, case, call, named, dtype, outputs, leaves, their_outputs, their_leaves) -> None:
        weights = cotangents(outputs)
        first = gradients(outputs, weights, leaves, create_graph=True)
        paths = call.operands
        their_first = torch.autograd.grad(
            their_outputs,
            [their_leaves[path] for path in paths],
            [torch.from_numpy(w) for w in weights],
            create_graph=True,
            allow_unused=True,
        )
        their_first = {path: g for path, g in zip(paths, their_first, strict=True) if g is not None}
        if self.same_gradients("gradient", named, dtype, case, first, their_first) or dtype == "float32":
            return
        rng = np.random.default_rng(11)
        directions = {path: rng.standard_normal(first[path].shape) for path in first}
        tracked = [path for path in first if first[path].requires_grad]
        their_tracked = [path for path in their_first if their_first[path].requires_grad]
        second = gradients([first[p] for p in tracked], [directions[p] for p in tracked], leaves) if tracked else {}
        their_second: dict[Any, Any] = {}
        if their_tracked:
            found, error = attempt(
                lambda: torch.autograd.grad(
                    [their_first[p] for p in their_tracked],
                    [their_leaves[p] for p in paths],
                    [torch.from_numpy(directions[p]) for p in their_tracked],
                    allow_unused=True,
                )
            )
            if error:
                self.note("second derivative", f"PyTorch: {told(error)}", case)
                return
            their_second = {p: g for p, g in zip(paths, found, strict=True) if g is not None}
        self.same_gradients("second derivative", named, dtype, case, second, their_second)

    def same_gradients(self, aspect, named, dtype, case, ours, theirs) -> bool:
        """Compare by operand; a gradient of zeros and none at all are the same. Returns whether something differs."""
        differs = False
        for path in {**ours, **theirs}:
            shape = (ours if path in ours else theirs)[path].shape
            a = array_of(ours[path]) if path in ours else np.zeros(shape, dtype)
            b = array_of(theirs[path]) if path in theirs else np.zeros(shape, dtype)
            self.counts[f"{aspect}s {dtype}"] += 1
            tolerance = SECOND_TOLERANCE if aspect == "second derivative" else TOLERANCES[dtype]
            problem = difference(tinygrad_lab.from_numpy(a), torch.from_numpy(np.array(b)), tolerance)
            if problem:
                differs = True
                self.note(f"{aspect}{named}", f"of {path}: {problem}", case)
        return differs

    def whole(self, case: Case, dtype: str) -> None:
        """Inputs of an integer dtype or bools in the place of floats: the same result or the same error class."""
        call = whole_call(case, dtype)
        if call is None:
            return
        ours, error = attempt(lambda: call_ours(call, False))
        theirs, their_error = attempt(lambda: call_torch(self.function, call, False))
        self.counts[f"{dtype} calls"] += 1
        if error or their_error:
            if no_kernel(their_error):
                self.counts[f"{dtype} calls for which PyTorch has no kernel"] += 1
            elif not same_class(error, their_error):
                self.note(dtype, f"{told(error)}; PyTorch: {told(their_error)}", case)
            return
        for y, expected in zip(ours[1], theirs[1], strict=True):
            problem = difference(y, expected, 1e-5, values=self.entry.name not in RANDOM)
            if problem:
                self.note(dtype, problem, case)
                return


def whole_call(case: Case, dtype: str) -> Call | None:
    """The call with every floating array in another dtype; None if it has none."""
    call = case.call()
    if not any(array.dtype.kind == "f" for array in call.arrays.values()):
        return None

    def cast(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return np.asarray(
                np.rint(np.nan_to_num(value * 2).clip(-99, 99)).astype(dtype) if dtype != "bool" else value > 0
            )
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return type(value)(cast(item) for item in value)
        return value

    return Call(call.entry, [cast(v) for v in call.args], {name: cast(v) for name, v in call.kwargs.items()})


def call_ours(call: Call, requires: bool) -> tuple[Any, list[Any]]:
    leaves = call.tensors(call.operands if requires else ())
    return leaves, flat(call(leaves))


def attempt(function: Any) -> tuple[Any, Exception | None]:
    """(result, None) or (None, error)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(), None
        except Exception as error:
            return None, error


def told(error: Exception | None) -> str:
    return (
        "no error"
        if error is None
        else f"{type(error).__name__} ({str(error).splitlines()[0][:90] if str(error) else ''})"
    )
