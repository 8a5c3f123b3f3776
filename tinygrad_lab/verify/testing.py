"""Gradient checks in tests: `assert_gradients`, whose failure is the report and says how to see it again.

What this file lets you do: assert in any test runner that gradients are right. Pytest's fixture `gradcheck` is the same
function (see `tinygrad_lab_pytest`). Knows nothing of pytest but the name of the running test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_lab.verify.frameworks import framework_of
from tinygrad_lab.verify.functions import gradcheck
from tinygrad_lab.verify.op_samples import OpSample, op_samples
from tinygrad_lab.verify.results import CheckResult

__all__ = ["WrongGradient", "assert_gradients", "op_samples"]

WIDTH = 400  # of a line that reproduces a check; longer inputs are left to the test


class WrongGradient(AssertionError):
    """What `assert_gradients` raises: the message is the report, `result` the CheckResult."""

    def __init__(self, text: str, result: CheckResult) -> None:
        super().__init__(text)
        self.result = result


def assert_gradients(
    f: Callable[..., Any],
    inputs: Any,
    gradient: Any = None,
    *,
    mode: str = "auto",
    outputs: str = "project",
    names: Sequence[str] | None = None,
    seed: int = 0,
    rtol: float | None = None,
) -> None:
    """Assert that the gradient of `f` at `inputs` is right. Arguments as of `verify.gradcheck`.

    WrongGradient (an AssertionError), whose message is the report, if an element is wrong or cannot be decided.

    >>> x = np.array([0.5, 2.0])
    >>> assert_gradients(lambda x: np.sum(np.log(x)), x, 1 / x)
    >>> assert_gradients(lambda x: np.sum(np.log(x)), x, 2 / x)
    Traceback (most recent call last):
    tinygrad_lab.verify.testing.WrongGradient: gradcheck: WRONG GRADIENT (2 elements, full mode, ...
    """
    __tracebackhide__ = True
    options = {"mode": mode, "outputs": outputs, "names": names, "seed": seed, "rtol": rtol}
    result = gradcheck(f, inputs, gradient, **options)  # type: ignore[arg-type]
    if not result:
        defaults = assert_gradients.__kwdefaults__ or {}
        chosen = {name: value for name, value in options.items() if value != defaults[name]}
        raise WrongGradient("\n".join([result.report(), *_reproduced(f, inputs, gradient, chosen)]), result)


def _reproduced(f: Any, inputs: Any, gradient: Any, options: Mapping[str, Any]) -> list[str]:
    """The command that runs the test again, and the line of Python that makes the same check, if it is short."""
    lines = []
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        lines.append(f'reproduce: pytest "{test}"')
    if isinstance(f, OpSample):
        given = f"{f!r}, {f!r}.inputs"
    else:
        name = getattr(f, "__name__", "f")
        given = f"{name if name.isidentifier() else 'f'}, {_literal(inputs)}"
    if gradient is not None:
        given += f", {_literal(gradient)}"
    line = f"gradcheck({given}{''.join(f', {name}={value!r}' for name, value in options.items())})"
    if len(line) <= WIDTH and "..." not in line:
        lines.append(f"{'or' if test else 'reproduce'}: verify.{line}")
    return lines


def _literal(value: Any) -> str:
    """What one would type for `value`; with "..." in it if nobody would."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(_literal, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if callable(value):
        return getattr(value, "__name__", "...")
    if not hasattr(value, "dtype"):
        return repr(value)
    framework = framework_of([value])
    array = framework.read(value)
    if array.size > 30:
        return "..."
    maker = {"NumPy": "np.array", "JAX": "jax.numpy.array"}.get(framework.name, "torch.tensor")
    if maker == "torch.tensor":
        grad = ", requires_grad=True" if getattr(value, "requires_grad", False) else ""
        return f"torch.tensor({array.tolist()}, dtype=torch.{array.dtype}{grad})"
    wide = array.dtype in (np.float64, np.int64) and array.size
    return f"{maker}({array.tolist()}" + ("" if wide else f", dtype='{array.dtype}'") + ")"
