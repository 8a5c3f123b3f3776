"""tinygrad_lab: learn, teach and verify backpropagation. PyTorch's names on NumPy: `import tinygrad_lab as torch`.

What this file lets you do: reach everything public under PyTorch's name for it. It contains no logic.
"""

from __future__ import annotations

import importlib
import math
import typing
import warnings

# `ops` declares every op, and with it the methods of Tensor.
from tinygrad_lab import autograd, backends, cuda, nn, ops, optim, utils
from tinygrad_lab.absent import absent
from tinygrad_lab.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from tinygrad_lab.dtypes import (
    bool_ as bool,
)
from tinygrad_lab.dtypes import (
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int32,
    int64,
    promote_types,
    result_type,
    set_default_dtype,
    uint8,
)
from tinygrad_lab.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinygrad_lab.ops.convert import device
from tinygrad_lab.ops.declare import registry
from tinygrad_lab.printing import set_printoptions
from tinygrad_lab.random import (
    Generator,
    bernoulli,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from tinygrad_lab.tensor import Tensor

__version__ = "0.1.0"

# As in PyTorch, inf and NaN come without a warning: NumPy's would name a line of this package, not of the user's
# program. `autograd.detect_anomaly()` names the origin. NumPy code outside of this package warns as ever.
warnings.filterwarnings("ignore", ".* encountered in .*", RuntimeWarning, r"tinygrad_lab\.")

# PyTorch's short names of dtypes.
float, double, half, long, int = float32, float64, float16, int64, int32

e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None

Size = tuple  # shapes are plain tuples

globals().update({name: declared.function for name, declared in registry.items() if "torch" in declared.faces})


def __getattr__(name: str) -> typing.Any:  # only reached when there is no such name
    # Loaded when asked for: the core does not need them, and they would double the time of its import.
    if name in ("datasets", "experiments", "serialization", "verify", "viz"):
        return importlib.import_module(f"tinygrad_lab.{name}")
    if name in ("load", "save"):
        return getattr(importlib.import_module("tinygrad_lab.serialization"), name)
    raise absent(__name__, name, globals())
