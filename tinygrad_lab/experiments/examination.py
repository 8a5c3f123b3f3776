"""What a trained model does with each image of the test set: predictions, probabilities, confusions.

What this file lets you do: `examine` a finished run. It knows runs and data sets, and draws nothing.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lab import datasets, grad_mode
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.tensor import wrap

__all__ = ["Examination", "confusion_matrix", "examine", "first_weights"]


class Examination(NamedTuple):
    """Of N test images: what they are, what they were taken for, and how surely.

    images: float32 (N, channels, height, width) in [0, 1].  labels, predicted: int64 (N,).
    scores: (N,), of the prediction: its probability, or the output itself where `probabilistic` is False.
    """

    images: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    probabilistic: bool

    @property
    def accuracy(self) -> float:
        """Share of the images whose class was predicted."""
        return float((self.labels == self.predicted).mean())


def examine(run: Run, data: str | os.PathLike[str] = "data") -> Examination:
    """Predict the class of every image of the test set of the run's data set.

    Args:
        run: a finished run, as from `Run.load`.
        data: folder of the data set's files, of which only the test images are read; digits need none.

    Raises:
        RuntimeError: the files are missing or damaged.
    """
    kind = datasets.DATASETS[run.experiment.dataset][0]
    try:
        source = kind(data, train=False)
    except RuntimeError as error:
        raise RuntimeError(
            f"{error}. The run needs the test images of {run.experiment.dataset}: name the folder with --data"
        ) from None
    pixels, labels = source.arrays()
    images: np.ndarray = np.empty(pixels.shape, np.float32)
    np.divide(pixels, source.white, out=images, dtype=np.float32)
    flat = len(run.preprocessor.input_shape) == 1
    features = run.preprocessor(images.reshape(len(images), -1) if flat else images)
    probabilistic = run.experiment.model != "linear"
    run.model.eval()
    parts = []
    with grad_mode.no_grad():
        for start in range(0, len(features), 1000):
            outputs = run.model(wrap(features[start : start + 1000]))
            parts.append((outputs.softmax(1) if probabilistic else outputs).array)
    scores = np.concatenate(parts)
    predicted = scores.argmax(axis=1)
    chosen = scores[np.arange(len(scores)), predicted]
    return Examination(images, labels.astype(np.int64), predicted, chosen, probabilistic)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes, classes): how many images of class i were taken for class j.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def first_weights(run: Run) -> np.ndarray | None:
    """Weights of the first layer as images (units, channels, height, width); None if its inputs are no pixels."""
    shape: Any = run.preprocessor.output_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        return None
    first = next(iter(run.model.parameters())).detach().numpy()
    return first.reshape(len(first), *shape)
