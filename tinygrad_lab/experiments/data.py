"""The data of an experiment: its splits after its preprocessing, and the batches of an epoch. Knows no models."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_lab import datasets
from tinygrad_lab.experiments import preprocessing
from tinygrad_lab.experiments.augmentation import augmenter
from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.preprocessing import Preprocessor
from tinygrad_lab.random import Generator
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Batches", "load_splits"]

Folder = str | os.PathLike[str]


def load_splits(
    experiment: Experiment, data: Folder = "data", cache: Folder | None = None, *, download: bool = False
) -> tuple[Any, Preprocessor]:
    """(splits after the experiment's preprocessing, the fitted preprocessing). Asked twice, it reads the files once.

    Args:
        data: folder of the data set's files.
        cache: folder for results of slow preprocessing (hog, pca).
        download: fetch missing files.

    Raises: as `datasets.load` and `preprocessing.prepare`.
    """
    return _load_splits(
        experiment.dataset,
        experiment.validation,
        experiment.preprocess,
        os.fspath(data),
        None if cache is None else os.fspath(cache),
        download,
    )


@functools.lru_cache(maxsize=1)  # one: CIFAR-10 takes 740 MB
def _load_splits(
    dataset: str, validation: int | None, steps: tuple[str, ...], data: str, cache: str | None, download: bool
) -> tuple[Any, Preprocessor]:
    return preprocessing.prepare(steps, datasets.load(dataset, data, validation=validation, download=download), cache)


class Batches:
    """The training set cut into batches: in a new order in each epoch, and changed at random if so asked.

    Cut by indexing arrays, as DataLoader does, whose order this is. A batch of the whole set is the set itself, in its
    own order. With batch norm a last batch of a single sample, which has no variance, is left out.
    """

    def __init__(self, experiment: Experiment, train: Any, image_shape: tuple[int, ...]) -> None:
        features, labels = train.tensors
        self.features, self.labels = features.array, labels.array
        total = len(self.features)
        self.size = experiment.batch_size or total
        if self.size > total:
            raise ValueError(
                f"batch_size must be at most the {total} training samples of {experiment.dataset}, got {self.size}"
            )
        self.count = -(-total // self.size)
        if experiment.batch_norm and total % self.size == 1:
            self.count -= 1
        self.change = augmenter(experiment.augment, image_shape) if experiment.augment else None
        self.shuffling = Generator().manual_seed(experiment.seed)  # its state only changes where an epoch begins
        self.epoch_state = self.shuffling.get_state()
        self.changing = Generator().manual_seed(experiment.seed + 1)

    def epoch(self, done: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the next epoch, without the first `done` of them."""
        self.epoch_state = self.shuffling.get_state()
        if self.size == len(self.features):
            whole = wrap(self.features) if self.change is None else self._changed(self.features)
            yield from [(whole, wrap(self.labels))][done:]
            return
        order = self.shuffling.numpy.permutation(len(self.features))
        for i in range(done, self.count):
            rows = order[i * self.size : (i + 1) * self.size]
            x = self.features[rows]
            yield (wrap(x) if self.change is None else self._changed(x)), wrap(self.labels[rows])

    def _changed(self, x: np.ndarray) -> Tensor:
        assert self.change is not None
        return wrap(np.ascontiguousarray(self.change(x, self.changing.numpy)))

    def state_dict(self, within_epoch: bool) -> dict[str, Any]:
        """The generators' states; within an epoch, that of the order is the one from which it was drawn."""
        return {
            "shuffling": self.epoch_state if within_epoch else self.shuffling.get_state(),
            "changing": self.changing.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.shuffling.set_state(state["shuffling"])
        self.changing.set_state(state["changing"])
