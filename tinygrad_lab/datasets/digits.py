"""The 8x8 handwritten digits that come with scikit-learn: no download, no folder. Knows no other data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinygrad_lab.datasets.images import ImageDataset
from tinygrad_lab.tensor import Tensor, wrap

TEST_SIZE = 360


class Digits(ImageDataset):
    """1,797 handwritten digits of 8x8 grey values 0..16, of which 360 are for testing. E. Alpaydin, C. Kaynak, 1998.

    The files list writer after writer, so their tail is no fair test set: which digits are for testing was drawn once
    and is the same for everybody.

    Args:
        root: not used; there so that all data sets are made in the same way.
        train: the 1,437 training images, else the 360 test images.
        transform, target_transform: functions applied to each sample's image (uint8 Tensor (8, 8)) and label (int).

    Attributes:
        data: uint8 Tensor (N, 8, 8).  targets: int64 Tensor (N,).  classes: the ten names.

    Raises:
        ImportError: scikit-learn is missing.
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    white: ClassVar[int] = 16

    data: Tensor
    targets: Tensor

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(train, transform, target_transform)
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ImportError("the digits come with scikit-learn: pip install 'tinygrad_lab[lab]'") from None
        bunch = load_digits()
        # RandomState, not default_rng: its streams are promised to stay the same in later versions of NumPy.
        order = np.random.RandomState(0).permutation(len(bunch.target))
        rows = np.sort(order[TEST_SIZE:] if train else order[:TEST_SIZE])
        self.data = wrap(bunch.images[rows].astype(np.uint8))
        self.targets = wrap(bunch.target[rows].astype(np.int64))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.data.array[:, None], self.targets.array
