"""One call from the name of a data set to tensors ready to train on: `load`. Knows the data sets, and no model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lab.datasets.cifar import CIFAR10
from tinygrad_lab.datasets.digits import Digits
from tinygrad_lab.datasets.images import ImageDataset
from tinygrad_lab.datasets.mnist import MNIST, FashionMNIST
from tinygrad_lab.random import Generator
from tinygrad_lab.tensor import wrap
from tinygrad_lab.utils.data import TensorDataset

# Name -> class, and how many of the training images are kept for validation unless the caller says.
DATASETS: dict[str, tuple[Any, int]] = {
    "digits": (Digits, 360),
    "mnist": (MNIST, 5000),
    "fashion-mnist": (FashionMNIST, 5000),
    "cifar10": (CIFAR10, 5000),
}


class Splits(NamedTuple):
    """What `load` returns: three TensorDatasets of (features, labels), and the class names."""

    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    classes: list[str]


def load(
    name: str,
    root: Path | str = "data",
    *,
    validation: int | None = None,
    seed: int = 0,
    flatten: bool = True,
    download: bool = False,
) -> Splits:
    """Read a data set whole, scale its pixels to [0, 1], and keep some training images for validation.

    Args:
        name: "digits", "mnist", "fashion-mnist" or "cifar10".
        root: folder of the files, as the data set's class takes it; digits need none.
        validation: how many training images to keep for validation, drawn at random; by default 360 of digits' 1,437
            and 5,000 of the others' 60,000 or 50,000. The test images are never touched.
        seed: of that draw.
        flatten: features of shape (N, channels * height * width), else (N, channels, height, width).
        download: fetch missing files.

    Returns:
        Splits(train, validation, test, classes); features float32, labels int64.

    Raises:
        ValueError: no such name, or not 0 <= validation < number of training images.
        RuntimeError: files are missing or damaged, or could not be fetched.
        ImportError: a library of the `lab` extra is missing.

    >>> digits = load("digits")
    >>> [len(part) for part in digits[:3]], digits.train.tensors[0].shape[1]
    ([1077, 360, 360], 64)
    """
    if name not in DATASETS:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(DATASETS)}")
    kind, usual = DATASETS[name]
    training = kind(root, train=True, download=download)
    total, kept = len(training), usual if validation is None else validation
    if not 0 <= kept < total:
        raise ValueError(f"validation={kept} must be at least 0 and below the number of training images, {total}")
    order = Generator().manual_seed(seed).numpy.permutation(total)
    train_rows, validation_rows = np.sort(order[kept:]), np.sort(order[:kept])  # sorted: the files' order, fast to copy
    testing = kind(root, train=False, download=download)
    return Splits(
        _tensors(training, train_rows, flatten),
        _tensors(training, validation_rows, flatten),
        _tensors(testing, slice(None), flatten),
        list(kind.classes),
    )


def _tensors(images: ImageDataset, rows: np.ndarray | slice, flatten: bool) -> TensorDataset:
    pixels, labels = images.arrays()
    pixels = pixels[rows]
    features: np.ndarray = np.empty(pixels.shape, np.float32)
    np.divide(pixels, images.white, out=features, dtype=np.float32)
    if flatten:
        features = features.reshape(len(features), math.prod(features.shape[1:]))
    return TensorDataset(wrap(features), wrap(labels[rows].copy()))
