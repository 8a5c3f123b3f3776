"""Random numbers: generators, seeds and tensors drawn from them. The same seed gives the same bits on every run.

The numbers are NumPy's (PCG64), not PyTorch's: a seed gives other values here than there.
"""

from __future__ import annotations

import json
import operator
from typing import Any

import numpy as np

from tinygrad_lab import dtypes
from tinygrad_lab.ops.convert import check_device
from tinygrad_lab.tensor import Tensor, wrap

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

_STATE_BYTES = 256


class Generator:
    """A source of random numbers with a state of its own.

    >>> g = Generator().manual_seed(0)
    >>> state = g.get_state()
    >>> a = rand(2, generator=g)
    >>> _ = g.set_state(state)
    >>> bool((rand(2, generator=g) == a).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self.manual_seed(67280421310721)  # PyTorch's default seed: a program without a seed is repeatable too

    def manual_seed(self, seed: int) -> Generator:
        """Start from `seed`, any integer. Returns self."""
        self._seed = int(seed)
        self._numpy: np.random.Generator | None = None
        return self

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator behind this one; made when first used, because importing numpy.random takes 15 ms."""
        if self._numpy is None:
            self._numpy = np.random.Generator(np.random.PCG64(self._seed % 2**64))
        return self._numpy

    def seed(self) -> int:
        """Start from a seed that the operating system chose, and return it."""
        chosen = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed that this generator was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as a uint8 tensor, so that a checkpoint can hold it."""
        text = json.dumps({"seed": self._seed, "state": self.numpy.bit_generator.state}).encode()
        return wrap(np.frombuffer(text.ljust(_STATE_BYTES * (len(text) // _STATE_BYTES + 1)), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Continue from what `get_state` returned. TypeError or RuntimeError for anything else."""
        if not isinstance(new_state, Tensor) or new_state.array.dtype != np.uint8:
            raise TypeError("set_state: a generator state is a uint8 tensor, as get_state() returns it")
        try:
            known = json.loads(bytes(new_state.array).decode())
            self.numpy.bit_generator.state = known["state"]
            self._seed = known["seed"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RuntimeError(f"this is not a generator state of tinygrad_lab: {error}") from None
        return self


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the global generator, from which everything random is drawn that is not given one. Returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Give the global generator a seed from the operating system, and return it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the global generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the global generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the global generator to what `get_rng_state` returned."""
    default_generator.set_state(new_state)


def source(generator: Generator | None) -> np.random.Generator:
    """The NumPy generator of `generator`, or the global one."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator must be a tinygrad_lab.Generator or None, got {type(generator)}")
    return (generator or default_generator).numpy


def shape_of(sizes: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape given as several ints, as one sequence or as `size=`; RuntimeError for a negative size."""
    if size is not None:
        if sizes:
            raise TypeError(f"got multiple values for argument 'size': {sizes} and {size}")
        sizes = (size,)
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        shape = tuple(int(size.__index__()) for size in sizes)
    except AttributeError:
        raise TypeError(f"a shape consists of integers, got {sizes}") from None
    if any(size < 0 for size in shape):
        raise RuntimeError(f"a tensor cannot have a negative size: {shape}")
    return shape


def finish(array: Any, dtype: Any, requires_grad: bool, device: Any = None) -> Tensor:
    """A new leaf around `array` in `dtype` (None: as it is)."""
    check_device(device)
    array = np.asarray(array, None if dtype is None else dtypes.as_numpy(dtype))
    made = wrap(array)
    return made.requires_grad_() if requires_grad else made


def _floating(dtype: Any) -> np.dtype[Any]:
    chosen = dtypes.get_default_dtype().numpy if dtype is None else dtypes.as_numpy(dtype)
    if chosen.kind != "f":
        raise RuntimeError(f"random floating values need a floating dtype, got {chosen}")
    return chosen


def _drawn(method: str, shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> np.ndarray:
    kind = _floating(dtype)
    drawn = getattr(source(generator), method)(shape, np.float32 if kind == np.float16 else kind)
    return np.asarray(drawn).astype(kind, copy=False)


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform values in [0, 1), of the default dtype unless `dtype` says otherwise.

    >>> rand(2, 3).shape
    (2, 3)
    """
    return finish(_drawn("random", shape_of(sizes, size), dtype, generator), dtype, requires_grad, device)


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal values.

    >>> randn(2, 3).dtype
    tinygrad_lab.float32
    """
    return finish(_drawn("standard_normal", shape_of(sizes, size), dtype, generator), dtype, requires_grad, device)


def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), int64 by default: `randint(high, size)` or `randint(low, high, size)`.

    TypeError for bounds that are no integers, RuntimeError if there is none between them, or `dtype` does not have all.

    >>> bool((randint(0, 10, (100,)) < 10).all())
    True
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"randint: size must be a tuple of ints, got {size!r}; call randint(low, high, (rows, columns))"
        )
    low, high = operator.index(low), operator.index(high)
    if high <= low:
        raise RuntimeError(f"randint: expects low < high, got low={low} and high={high}")
    kind = dtypes.as_numpy(dtype or dtypes.int64)
    dtypes.check_fits("randint", [low, high - 1], kind)
    return finish(source(generator).integers(low, high, shape_of((size,))), kind, requires_grad, device)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """A random permutation of 0 ... n - 1, int64.

    >>> sorted(randperm(4).tolist())
    [0, 1, 2, 3]
    """
    n = operator.index(n)
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    return finish(source(generator).permutation(n), dtype or dtypes.int64, False, device)


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None
) -> Tensor:
    """Normal values with the given mean and standard deviation: tensors that broadcast, or numbers and a `size`.

    RuntimeError for a negative standard deviation.
    """
    means, stds = (np.asarray(getattr(value, "array", value)) for value in (mean, std))
    if (stds < 0).any():
        raise RuntimeError(f"normal: expects std >= 0.0, but found {stds.min()}")
    if size is None and not (isinstance(mean, Tensor) or isinstance(std, Tensor)):
        raise TypeError("normal: with numbers for mean and std a size is needed: normal(0.0, 1.0, (2, 3))")
    given = [value for value in (mean, std) if isinstance(value, Tensor)]
    if dtype is None and given:
        dtype = dtypes.result_type(*given)
    try:
        shape = np.broadcast_shapes(means.shape, stds.shape) if size is None else shape_of((size,))
    except ValueError:
        raise RuntimeError(f"normal: shapes {means.shape} of mean and {stds.shape} of std do not broadcast") from None
    return finish(_drawn("standard_normal", shape, dtype, generator) * stds + means, _floating(dtype), False)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to `input`: (C) gives (num_samples), (N, C) (N, num_samples).

    RuntimeError for negative, non-finite or all-zero weights, or more samples than non-zero weights without
    replacement.

    >>> multinomial(Tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    weights = np.atleast_2d(input.array).astype(np.float64)
    if input.ndim not in (1, 2) or num_samples <= 0:
        raise RuntimeError(
            f"multinomial: needs 1-d or 2-d weights and num_samples > 0, got shape {input.shape} and {num_samples}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(1) <= 0).any():
        raise RuntimeError("multinomial: the weights of each row must be finite, non-negative and not all zero")
    if not replacement and ((weights > 0).sum(1) < num_samples).any():
        raise RuntimeError(
            f"multinomial: cannot draw {num_samples} different samples from fewer non-zero weights; use "
            "replacement=True"
        )
    rng = source(generator)
    rows = [rng.choice(len(row), num_samples, replacement, row / row.sum()) for row in weights]
    return wrap(np.array(rows, np.int64).reshape((*input.shape[:-1], num_samples)))


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability `input` (elementwise, in [0, 1]), else 0; shape and dtype of `input`."""
    array = input.array
    if array.size and not ((array >= 0) & (array <= 1)).all():
        raise RuntimeError(
            f"bernoulli: expected probabilities in [0, 1], got values from {array.min()} to {array.max()}"
        )
    return wrap((source(generator).random(array.shape) < array).astype(array.dtype))


def rand_like(input: Tensor, *, dtype: Any = None, **options: Any) -> Tensor:
    """`rand` with the shape and dtype of `input`."""
    return rand(input.shape, dtype=dtype or input.dtype, **options)


def randn_like(input: Tensor, *, dtype: Any = None, **options: Any) -> Tensor:
    """`randn` with the shape and dtype of `input`."""
    return randn(input.shape, dtype=dtype or input.dtype, **options)


def randint_like(input: Tensor, low: int, high: Any = None, *, dtype: Any = None, **options: Any) -> Tensor:
    """`randint` with the shape and dtype of `input`."""
    return randint(low, high, input.shape, dtype=dtype or input.dtype, **options)
