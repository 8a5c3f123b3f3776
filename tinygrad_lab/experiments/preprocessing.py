"""Turn images into features: steps by name, fitted on the training split alone and applied to every split.

What this file lets you do: put steps (`steps` says which there are: scale, standardize, sqrt, hog, pca, ...) in a
row, fit them, store them beside a model, and keep slow results on disk. It must not know models or training. Batches
are changed at random by `augmentation`.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab import serialization
from tinygrad_lab.datasets import Splits
from tinygrad_lab.experiments.augmentation import augmenter
from tinygrad_lab.experiments.steps import STEPS, State, check, parse
from tinygrad_lab.tensor import wrap
from tinygrad_lab.utils.data import TensorDataset

__all__ = ["STEPS", "Preprocessor", "apply", "augmenter", "check", "prepare"]

_CACHE_VERSION = 1  # raise it when a step comes to compute something else


def _sample_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, height, width) of flattened square images of 1 or 3 channels; other shapes as they are."""
    if len(shape) == 1:
        for channels in (1, 3):
            side = math.isqrt(shape[0] // channels)
            if channels * side * side == shape[0]:
                return (channels, side, side)
    return shape


class Preprocessor:
    """Steps fitted on training data, to be applied to any data and stored beside a model.

    Attributes:
        steps: their names.  states: for each, the arrays that it learnt.
        input_shape: of one sample as it comes in.  output_shape: of one sample as it comes out; (channels, height,
        width) also where images are flattened, which tells that these features are still pixels.
    """

    def __init__(
        self,
        steps: tuple[str, ...],
        states: list[State],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
    ) -> None:
        self.steps, self.states = steps, states
        self.input_shape, self.output_shape = input_shape, output_shape

    @classmethod
    def fit(cls, steps: Sequence[str], x: np.ndarray) -> Preprocessor:
        """Learn from training features x, floating, (N, features) or (N, channels, height, width).

        Raises:
            ValueError: a step that does not exist or does not suit what it is given; the message names it.
            ImportError: scikit-learn or threadpoolctl, which pca needs, is missing.

        >>> x = np.array([[0.0, 5.0], [2.0, 5.0]], np.float32)
        >>> Preprocessor.fit(["standardize"], x)(x)
        array([[-1.,  0.],
               [ 1.,  0.]], dtype=float32)
        """
        return cls._fit(steps, x)[0]

    @classmethod
    def _fit(cls, steps: Sequence[str], x: np.ndarray) -> tuple[Preprocessor, np.ndarray]:
        """The preprocessor and the training features that it makes, which fitting computes anyway."""
        check(steps)
        if x.ndim < 2 or not len(x):
            raise ValueError(f"preprocessing is fitted on at least one sample, (N, ...), got the shape {x.shape}")
        values, states = x.reshape(len(x), *_sample_shape(x.shape[1:])), []
        for kind, options in map(parse, steps):
            states.append(kind.fit(values, options))
            values = kind.transform(values, states[-1], options)
        fitted = cls(tuple(steps), states, x.shape[1:], values.shape[1:])
        return fitted, fitted._as_given(values)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Features (N, ...) of samples x (N, *input_shape); flat where the input is. x itself if there is no step."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"preprocessing was fitted on samples of shape {self.input_shape}, got {x.shape[1:]}")
        values = x.reshape(len(x), *_sample_shape(self.input_shape))
        for (kind, options), state in zip(map(parse, self.steps), self.states, strict=True):
            values = kind.transform(values, state, options)
        return self._as_given(values)

    def _as_given(self, values: np.ndarray) -> np.ndarray:
        flat = len(self.input_shape) == 1
        return values.reshape(len(values), math.prod(self.output_shape)) if flat else values

    def state_dict(self) -> dict[str, Any]:
        """All of it, for `serialization.save`."""
        return {
            "steps": list(self.steps),
            "states": [{name: wrap(array) for name, array in state.items()} for state in self.states],
            "input_shape": self.input_shape,
            "output_shape": self.output_shape,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Preprocessor:
        """What `state_dict` described. ValueError if a step is not known here."""
        check(state["steps"])
        states = [{name: tensor.array for name, tensor in arrays.items()} for arrays in state["states"]]
        return cls(tuple(state["steps"]), states, tuple(state["input_shape"]), tuple(state["output_shape"]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, which is replaced as a whole or not at all."""
        serialization.save(self.state_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Preprocessor:
        """Read what `save` wrote. RuntimeError if the file is damaged or holds something else, OSError if it is not
        there.
        """
        state = serialization.load(path)
        try:
            return cls.from_state_dict(state)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RuntimeError(f"{path} holds no preprocessing that can be used here ({error})") from None


def apply(steps: Sequence[str], splits: Splits, cache: str | os.PathLike[str] | None = None) -> Splits:
    """The splits' features after `steps`; labels and classes as they are. See `prepare`.

    >>> from tinygrad_lab import datasets
    >>> apply(["pca:0.9"], datasets.load("digits")).train.tensors[0].shape
    (1077, 21)
    """
    return prepare(steps, splits, cache)[0]


def prepare(
    steps: Sequence[str], splits: Splits, cache: str | os.PathLike[str] | None = None
) -> tuple[Splits, Preprocessor]:
    """Fit `steps` on the training split and apply them to all; return the new splits and the fitted preprocessor.

    Args:
        steps: in the order in which they act; none gives the splits back.
        splits: of `datasets.load`, features (N, features) or (N, channels, height, width).
        cache: a folder, made if needed, where results of the slow steps (hog, pca) are kept under a hash of data and
            steps. A damaged file is made anew, with a warning. 60,000 images of CIFAR-10 with hog take 420 MB.

    Raises: as `Preprocessor.fit`; OSError if the cache cannot be written.
    """
    check(steps)
    parts = [part.tensors[0].array for part in splits[:3]]
    slow = any(parse(step)[0].slow for step in steps)
    path = Path(cache) / f"{_key(steps, parts)}.safetensors" if cache is not None and slow else None
    stored = _read(path) if path is not None else None
    if stored is None:
        fitted, train = Preprocessor._fit(steps, parts[0])
        features = [train, *(fitted(part) if len(part) else _empty(fitted, part) for part in parts[1:])]
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            serialization.save({"fitted": fitted.state_dict(), "features": [wrap(array) for array in features]}, path)
    else:
        fitted, features = stored
    train_set, validation_set, test_set = (
        TensorDataset(wrap(array), part.tensors[1]) for array, part in zip(features, splits[:3], strict=True)
    )
    return Splits(train_set, validation_set, test_set, splits.classes), fitted


def _empty(fitted: Preprocessor, part: np.ndarray) -> np.ndarray:
    """No validation images make no features: libraries refuse to work on none."""
    return fitted._as_given(np.empty((0, *fitted.output_shape), part.dtype))


def _key(steps: Sequence[str], parts: list[np.ndarray]) -> str:
    digest = hashlib.sha256(f"{_CACHE_VERSION} {list(steps)}".encode())
    for part in parts:
        digest.update(f"{part.dtype.str} {part.shape}".encode())
        digest.update(np.ascontiguousarray(part).ravel().data)
    return digest.hexdigest()[:32]


def _read(path: Path) -> tuple[Preprocessor, list[np.ndarray]] | None:
    try:
        stored = serialization.load(path)
        return Preprocessor.from_state_dict(stored["fitted"]), [tensor.array for tensor in stored["features"]]
    except FileNotFoundError:
        return None
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        warnings.warn(f"the cached preprocessing is made anew: {error}", stacklevel=4)
        return None
