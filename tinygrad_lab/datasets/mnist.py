"""MNIST and Fashion-MNIST, from torchvision's folder layout or any folder that holds the four IDX files.

Knows where the files are and what they must contain; `idx` knows the format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_lab.datasets.download import fetch
from tinygrad_lab.datasets.idx import read_idx
from tinygrad_lab.datasets.images import ImageDataset, check_labels, find_together
from tinygrad_lab.tensor import Tensor, wrap


class MNIST(ImageDataset):
    """70,000 handwritten digits of 28x28 grey values, 60,000 of them for training. Y. LeCun and C. Cortes, 1998.

    Args:
        root: folder with `MNIST/raw/` in it (torchvision's layout), or the folder of the files themselves; each file
            unpacked or gzipped. Checksums of files already there are not asked for, their content is checked.
        train: training images, else test images.
        transform, target_transform: functions applied to each sample's image (uint8 Tensor (28, 28)) and label (int).
        download: fetch what is missing into `root/MNIST/raw`, where torchvision also finds it.

    Attributes:
        data: uint8 Tensor (N, 28, 28).  targets: int64 Tensor (N,).  classes: the ten names.

    Raises:
        RuntimeError: files are missing (the message lists them) or damaged, or the download failed.
    """

    classes: ClassVar[list[str]] = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]
    mirrors: ClassVar[list[str]] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ]
    md5: ClassVar[dict[str, str]] = {  # of the published .gz files
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    data: Tensor
    targets: Tensor

    def __init__(
        self,
        root: Path | str,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(train, transform, target_transform)
        self.root = Path(root)
        split = "train" if train else "t10k"
        names = [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"]
        folders = [self.raw_folder, self.root / "raw", self.root]
        paths = find_together(folders, names, ("", ".gz"))
        if paths is None and download:
            for name in names:
                if find_together([self.raw_folder], [name], ("", ".gz")) is None:
                    fetch(name + ".gz", self.raw_folder, self.mirrors, self.md5[name])
            paths = find_together(folders, names, ("", ".gz"))
        if paths is None:
            raise RuntimeError(
                f"{type(self).__name__}: dataset not found. Put {names[0]} and {names[1]} (each as it is or with .gz) "
                f"into {self.raw_folder} or {self.root}, or use download=True (tinygrad-lab train ... --download)"
            )
        images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
        if images.shape[1:] != (28, 28) or not len(images):
            raise RuntimeError(f"{paths[0]}: holds images of shape {images.shape}, expected (N, 28, 28) with N above 0")
        if len(images) != len(labels):
            raise RuntimeError(
                f"{paths[0]} holds {len(images)} images but {paths[1]} {len(labels)} labels; they are no pair"
            )
        check_labels(labels, len(self.classes), paths[1])
        self.data, self.targets = wrap(images), wrap(labels.astype(np.int64))

    @property
    def raw_folder(self) -> Path:
        """Where downloaded files go: `root/MNIST/raw` (or the name of the subclass)."""
        return self.root / type(self).__name__ / "raw"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.data.array[:, None], self.targets.array


class FashionMNIST(MNIST):
    """70,000 articles of clothing of 28x28 grey values, in the form of `MNIST`. H. Xiao, K. Rasul, R. Vollgraf, 2017.

    The files have the same names as MNIST's: keep them in `root/FashionMNIST/raw`, or name their own folder as `root`.
    """

    classes: ClassVar[list[str]] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    mirrors: ClassVar[list[str]] = [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ]
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }
