"""Fill tensors in place with starting values: PyTorch's names, defaults and distributions.

Everything random is drawn from the global generator, or from the `generator` that is given: the same seed gives the
same bits. It knows tensors and generators; no module.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.random import Generator, source
from tinygrad_lab.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(tensor: Tensor, values: np.ndarray | float) -> Tensor:
    """Overwrite the tensor's memory, also that of a leaf that requires a gradient. Returns the tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"nn.init fills Tensors in place, got {type(tensor).__name__}")
    if not tensor.array.flags.writeable:
        raise RuntimeError(f"nn.init: the memory of this tensor of shape {tensor.shape} is read-only: clone() it first")
    tensor.array[...] = values
    mark_mutated(tensor.array)
    return tensor


def _check_floating(tensor: Tensor) -> None:
    """What is drawn would be cut to integers without a word."""
    if isinstance(tensor, Tensor) and not tensor.is_floating_point():
        raise NotImplementedError(f"nn.init draws floating point numbers, and this tensor of {tensor.dtype} holds none")


def _uniform(tensor: Tensor, low: float, high: float, generator: Generator | None) -> np.ndarray:
    """Uniform values in [low, high), in the tensor's precision (float16 draws float32: NumPy has nothing smaller)."""
    _check_floating(tensor)
    kind = np.float64 if tensor.array.dtype == np.float64 else np.float32
    values = source(generator).random(tensor.shape, kind)
    return values * kind(high - low) + kind(low)


def _normal(shape: tuple[int, ...], kind: np.dtype, generator: Generator | None) -> np.ndarray:
    return np.asarray(source(generator).standard_normal(shape, np.float64 if kind == np.float64 else np.float32))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much wider weights before this nonlinearity must be to keep the variance: sqrt(2) for "relu".

    param  the negative slope of "leaky_relu" (default 0.01)

    Source: https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain

    >>> calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / (1 + 0.2**2))
    True
    """
    if nonlinearity in ("linear", "conv1d", "conv2d", "conv3d", "sigmoid"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Values from U(a, b).

    >>> bool((uniform_(Tensor(100), 2.0, 3.0).array >= 2).all())
    True
    """
    if a > b:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}")
    return _fill(tensor, _uniform(tensor, a, b, generator))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Values from N(mean, std**2). RuntimeError for a negative `std`."""
    _check_floating(tensor)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _fill(tensor, _normal(tensor.shape, tensor.array.dtype, generator) * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Values from N(mean, std**2) conditioned on [a, b]: what falls outside is drawn again."""
    _check_floating(tensor)
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    values = np.asarray(_normal(tensor.shape, np.dtype(np.float64), generator) * std + mean)
    low, high = tensor.array.dtype.type(a), tensor.array.dtype.type(b)
    outside = (values < a) | (values > b)
    inside = 0.5 * (math.erf((b - mean) / std / math.sqrt(2)) - math.erf((a - mean) / std / math.sqrt(2)))
    if inside > 0.1:  # draw again what fell outside
        while (count := int(outside.sum())) > 0:
            values[outside] = _normal((count,), np.dtype(np.float64), generator) * std + mean
            outside = (values < a) | (values > b)
    else:  # a far tail: uniform candidates, each kept with a probability proportional to its density
        peak = min(max(mean, a), b)
        outside = np.ones(tensor.shape, bool)
        while (count := int(outside.sum())) > 0:
            candidates = source(generator).uniform(a, b, count)
            density = np.exp(0.5 * ((peak - mean) ** 2 - (candidates - mean) ** 2) / std**2)
            kept = source(generator).random(count) < density
            where = np.flatnonzero(outside)[kept]
            values.reshape(-1)[where] = candidates[kept]
            outside.reshape(-1)[where] = False
    return _fill(tensor, np.clip(values, low, high))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _fill(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _fill(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: a Linear layer with it passes its inputs through. ValueError unless 2-dimensional."""
    if tensor.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution kernel that passes its channels through, group by group; 3, 4 or 5 dimensions."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported, got shape {tensor.shape}")
    if tensor.shape[0] % groups:
        raise ValueError(f"dim 0 must be divisible by groups, got {tensor.shape[0]} and {groups}")
    values = np.zeros(tensor.shape)
    centre = tuple(size // 2 for size in tensor.shape[2:])
    outputs = tensor.shape[0] // groups
    for group in range(groups):
        for channel in range(min(outputs, tensor.shape[1])):
            values[(group * outputs + channel, channel, *centre)] = 1
    return _fill(tensor, values)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel): how many inputs feed an output, and the other way round."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got shape {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = fans  # PyTorch's name: layers written by hand set the bounds of their biases by it


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return _fill(tensor, _uniform(tensor, -bound, bound, generator))


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, std**2) with std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-bound, bound) with bound = gain * sqrt(3 / fan) (He et al. 2015); `a` is the slope of "leaky_relu"."""
    if tensor.array.size == 0:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return _fill(tensor, _uniform(tensor, -bound, bound, generator))


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, std**2) with std = gain / sqrt(fan) (He et al. 2015); `a` is the slope of "leaky_relu"."""
    if tensor.array.size == 0:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """`gain` times a random matrix with orthonormal rows or columns (Saxe et al. 2013); trailing dimensions are one."""
    if tensor.ndim < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got shape {tensor.shape}")
    if tensor.array.size == 0:
        return tensor
    _check_floating(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    tall = _normal((max(rows, columns), min(rows, columns)), np.dtype(np.float64), generator)
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))  # without this the distribution is not uniform (https://arxiv.org/abs/math-ph/0609050)
    return _fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))
