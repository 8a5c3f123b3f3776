"""What all labelled image sets share: samples by index, class names, and looking for files in the usual places.

Knows no particular data set, no file format and no training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_lab.utils.data import Dataset


class ImageDataset(Dataset):
    """Labelled images, `data[i]` of class `classes[targets[i]]`. Subclasses set `data`, `targets` and the class facts.

    Sample i is `(transform(data[i]), target_transform(int(targets[i])))`. Where torchvision hands the transform a PIL
    image, it gets the row of `data` here, so Pillow is not needed.
    """

    classes: ClassVar[list[str]]
    white: ClassVar[int] = 255  # the largest pixel value, which `load` maps to 1
    data: Any
    targets: Any

    def __init__(
        self,
        train: bool,
        transform: Callable[[Any], Any] | None,
        target_transform: Callable[[int], Any] | None,
    ) -> None:
        self.train = train
        self.transform = transform
        self.target_transform = target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name -> label."""
        return {name: label for label, name in enumerate(self.classes)}

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels, uint8 of shape (N, channels, height, width), and labels, int64 of shape (N,); views."""
        raise NotImplementedError(f"{type(self).__name__} must define arrays")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = self.data[index], int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        split = "Train" if self.train else "Test"
        return f"Dataset {type(self).__name__}\n    Number of datapoints: {len(self)}\n    Split: {split}"


def find_together(folders: Sequence[Path], names: Sequence[str], endings: Sequence[str]) -> list[Path] | None:
    """The files `names`, each with the first of `endings` that exists, from the first folder that has them all."""
    for folder in folders:
        found = [next((p for p in (folder / (n + e) for e in endings) if p.is_file()), None) for n in names]
        if all(path is not None for path in found):
            return [path for path in found if path is not None]
    return None


def check_labels(labels: np.ndarray, classes: int, name: object) -> None:
    """RuntimeError naming the file and the place of the first label that is not in 0..classes-1."""
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise RuntimeError(
            f"{name}: label {int(labels[wrong[0]])} at index {int(wrong[0])} is out of range 0..{classes - 1}"
            f" ({wrong.size} such labels)"
        )
