"""CIFAR-10 from the official binary files. Knows where they are, their format, and what they must contain."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from tinygrad_lab.datasets.download import fetch
from tinygrad_lab.datasets.images import ImageDataset, check_labels, find_together

RECORD = 1 + 3 * 32 * 32  # a label byte, then the red, green and blue planes


def read_records(path: Path | str) -> np.ndarray:
    """Read a CIFAR-10 binary file: uint8 (N, 3073), each row a label and the red, green and blue 32x32 planes.

    Raises:
        RuntimeError: the length is not a positive multiple of 3073 bytes, or a label is above 9; the file is named.
        OSError: the file cannot be read.

    Source of the format: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % RECORD:
        raise RuntimeError(
            f"{path}: {data.size} bytes are not a whole number of records of {RECORD} bytes; "
            "the file is cut short, or not from the binary version of CIFAR-10"
        )
    records = data.reshape(-1, RECORD)
    check_labels(records[:, 0], 10, path)
    return records


class CIFAR10(ImageDataset):
    """60,000 colour photographs of 32x32 pixels in ten classes, 50,000 of them for training. A. Krizhevsky, 2009.

    Reads the binary version: the pickled one, which torchvision uses, can run any code when it is opened.

    Args:
        root: folder with `cifar-10-batches-bin/` (or with `cifar-10-binary.tar.gz`, which is then unpacked there), or
            the folder of the .bin files themselves. Their checksums are not asked for, their content is checked.
        train: training images, else test images.
        transform, target_transform: functions applied to each sample's image (uint8 array (32, 32, 3)) and label (int).
        download: fetch what is missing into `root`.

    Attributes:
        data: uint8 array (N, 32, 32, 3).  targets: list of N ints.  classes: the ten names.

    Raises:
        RuntimeError: files are missing (the message lists them) or damaged, or the download failed.
    """

    classes: ClassVar[list[str]] = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    mirrors: ClassVar[list[str]] = ["https://www.cs.toronto.edu/~kriz/"]
    archive = "cifar-10-binary.tar.gz"
    archive_md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    folder = "cifar-10-batches-bin"
    train_files: ClassVar[list[str]] = [f"data_batch_{i}.bin" for i in range(1, 6)]
    test_files: ClassVar[list[str]] = ["test_batch.bin"]

    data: np.ndarray
    targets: list[int]

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
        names = self.train_files if train else self.test_files
        folders = [self.root / self.folder, self.root]
        paths = find_together(folders, names, ("",))
        if paths is None:
            archive = self.root / self.archive
            if download and not archive.is_file():
                fetch(self.archive, self.root, self.mirrors, self.archive_md5)
            if archive.is_file():
                self._unpack(archive)
                paths = find_together(folders, names, ("",))
        if paths is None:
            raise RuntimeError(self._missing(names))
        parts = [read_records(path) for path in paths]
        if len({len(part) for part in parts}) > 1:
            counts = ", ".join(f"{path.name} {len(part)}" for path, part in zip(paths, parts, strict=True))
            raise RuntimeError(f"{paths[0].parent}: files of unequal length, so one is cut short (images: {counts})")
        records = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self.data = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.targets = records[:, 0].tolist()

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.data.transpose(0, 3, 1, 2), np.array(self.targets, dtype=np.int64)

    def _missing(self, names: list[str]) -> str:
        message = (
            f"CIFAR10: dataset not found. Put {', '.join(names)} into {self.root / self.folder} or {self.root}, "
            f"or {self.archive} into {self.root}, or use download=True (tinygrad-lab train ... --download)"
        )
        if (self.root / "cifar-10-batches-py").is_dir() or (self.root / "cifar-10-python.tar.gz").is_file():
            message += ". The pickled version that is there is not read, because opening a pickle can run any code"
        return message

    def _unpack(self, archive: Path) -> None:
        """Take the wanted files, and nothing else, out of the archive. Each appears under its name only when whole."""
        wanted = {*self.train_files, *self.test_files}
        target = self.root / self.folder
        target.mkdir(exist_ok=True)
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    source = tar.extractfile(member) if name in wanted and member.isfile() else None
                    if source is None:
                        continue
                    partial = target / f"{name}.{os.getpid()}.part"
                    try:
                        with open(partial, "wb") as file:
                            shutil.copyfileobj(source, file)
                        os.replace(partial, target / name)
                    finally:
                        partial.unlink(missing_ok=True)
                    wanted.discard(name)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise RuntimeError(f"{archive}: could not be unpacked ({error}); delete it and fetch it again") from None
        if wanted:
            raise RuntimeError(f"{archive}: lacks {', '.join(sorted(wanted))}; it is not {self.archive} as published")
