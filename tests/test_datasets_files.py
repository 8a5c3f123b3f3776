"""Image files parsed and checked: small files in the published formats, damaged in every way a file gets damaged."""

import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_lab.datasets import CIFAR10, MNIST, FashionMNIST
from tinygrad_lab.datasets.cifar import read_records
from tinygrad_lab.datasets.idx import parse_idx, read_idx

fixtures_are_fine = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images_and_labels(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count).astype(np.uint8)


def write_mnist(folder, train=20, test=6, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("t10k", test)):
        for kind, array in zip(("images-idx3", "labels-idx1"), images_and_labels(count), strict=True):
            content = gzip.compress(idx(array), mtime=0) if packed else idx(array)
            (folder / f"{split}-{kind}-ubyte{'.gz' if packed else ''}").write_bytes(content)
    return folder


def cifar_records(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    records = rng.integers(0, 256, (count, 3073)).astype(np.uint8)
    records[:, 0] = rng.integers(0, 10, count)
    return records


def write_cifar(folder, count=3):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        (folder / name).write_bytes(cifar_records(count, seed).tobytes())
    return folder


# IDX


@given(st.integers(0, 5), st.integers(0, 4), st.integers(0, 4), st.booleans())
@fixtures_are_fine
def test_idx_round_trip(tmp_path, count, height, width, packed):
    array = np.arange(count * height * width, dtype=np.uint8).reshape(count, height, width)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx(array), mtime=0) if packed else idx(array))
    back = read_idx(path, 3)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.uint8
    assert back.flags.writeable


@given(st.binary(max_size=40), st.sampled_from([1, 3]))
def test_idx_noise_only_raises_with_the_name(content, ndim):
    try:
        parse_idx(content, ndim, "noise")
    except RuntimeError as error:
        assert str(error).startswith("noise: ")


@given(st.data())
@fixtures_are_fine
def test_a_flipped_byte_in_a_gzip_file_is_noticed_or_harmless(tmp_path, data):
    """The gzip header holds a time and a file name, which do not matter; all else is covered by its CRC."""
    array = images_and_labels(2)[0]
    content = bytearray(gzip.compress(idx(array), mtime=0))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    try:
        back = read_idx(path, 3)
    except RuntimeError as error:
        assert "file.gz: " in str(error)
    else:
        np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "0 bytes are too few"),
        (b"<!DOCTYPE html>", "not an IDX file .it begins with 3c21444f"),
        (bytes([0, 0, 13, 3]) + bytes(12), "type code 0x0d"),
        (idx(np.zeros(5, np.uint8)), r"holds a 1-d array \(labels\), expected a 3-d array \(images\)"),
        (bytes([0, 0, 8, 3, 0, 0]), "ends within its header, after 6 bytes of 16"),
        (idx(np.zeros((2, 3, 3), np.uint8))[:-1], r"cut short: .* shape \(2, 3, 3\), which takes 34 bytes, .* has 33"),
        (idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "too long"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "cut short"),
        (gzip.compress(idx(np.zeros((2, 3, 3), np.uint8)), mtime=0)[:-9], "damaged or cut short gzip"),
        (gzip.compress(b"x", mtime=0)[:-8] + bytes(8), "damaged or cut short gzip"),
        (b"\x1f\x8b", "damaged or cut short gzip"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, text):
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=f"train-images: .*{text}"):
        read_idx(path, 3)


# MNIST


@pytest.mark.parametrize("where", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_from_any_folder(tmp_path, where, packed):
    write_mnist(tmp_path / where, packed=packed)
    images, labels = images_and_labels(20)
    data = MNIST(tmp_path)
    assert len(data) == 20
    assert data.data.dtype.name == "uint8"
    assert data.targets.dtype.name == "int64"
    np.testing.assert_array_equal(data.data.numpy(), images)
    np.testing.assert_array_equal(data.targets.numpy(), labels)
    assert len(MNIST(str(tmp_path), train=False)) == 6
    assert data.class_to_idx["7 - seven"] == 7
    assert repr(data) == "Dataset MNIST\n    Number of datapoints: 20\n    Split: Train"


def test_samples_and_transforms(tmp_path):
    write_mnist(tmp_path)
    images, labels = images_and_labels(20)
    image, label = MNIST(tmp_path)[3]
    assert type(label) is int
    assert label == labels[3]
    np.testing.assert_array_equal(image.numpy(), images[3])
    data = MNIST(tmp_path, transform=lambda x: x.numpy().sum(), target_transform=str)
    assert data[3] == (images[3].sum(), str(labels[3]))


def test_fashion_mnist_has_its_own_folder(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    with pytest.raises(RuntimeError, match=r"FashionMNIST: dataset not found.*FashionMNIST/raw"):
        FashionMNIST(tmp_path)
    write_mnist(tmp_path / "FashionMNIST" / "raw", train=4)
    assert len(FashionMNIST(tmp_path)) == 4
    assert FashionMNIST(tmp_path).classes[9] == "Ankle boot"


def test_missing_mnist_says_what_to_put_where(tmp_path):
    text = "Put t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte .*into .*MNIST/raw or .*download=True"
    with pytest.raises(RuntimeError, match=text):
        MNIST(tmp_path, train=False)


@pytest.mark.parametrize(
    ("file", "array", "text"),
    [
        ("train-labels-idx1-ubyte", np.zeros(19, np.uint8), "20 images but .*train-labels-idx1-ubyte 19 labels"),
        ("train-labels-idx1-ubyte", np.full(20, 10, np.uint8), "train-labels.*label 10 at index 0 is out of range"),
        ("train-labels-idx1-ubyte", np.zeros((20, 28, 28), np.uint8), "train-labels.*3-d array .*mixed up"),
        ("train-images-idx3-ubyte", np.zeros((20, 27, 28), np.uint8), r"train-images.*\(20, 27, 28\), expected"),
        ("train-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8), "train-images.*N above 0"),
    ],
)
def test_mnist_files_that_do_not_fit(tmp_path, file, array, text):
    write_mnist(tmp_path)
    (tmp_path / file).write_bytes(idx(array))
    with pytest.raises(RuntimeError, match=text):
        MNIST(tmp_path)


# CIFAR-10


@pytest.mark.parametrize("where", ["cifar-10-batches-bin", "."])
def test_cifar_from_any_folder(tmp_path, where):
    write_cifar(tmp_path / where)
    data = CIFAR10(tmp_path)
    assert data.data.shape == (15, 32, 32, 3)
    assert data.data.dtype == np.uint8
    record = cifar_records(3, seed=1)[2]  # the third of data_batch_2
    assert data.targets[5] == data[5][1] == record[0]
    red, green, blue = record[1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(data[5][0], np.stack([red, green, blue], axis=-1))
    pixels, labels = data.arrays()
    np.testing.assert_array_equal(pixels[5], record[1:].reshape(3, 32, 32))
    assert labels.dtype == np.int64
    assert len(CIFAR10(tmp_path, train=False)) == 3
    assert data.class_to_idx["truck"] == 9


def pack_cifar(source, archive, names=None):
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(source.iterdir()):
            if names is None or path.name in names:
                tar.add(path, f"cifar-10-batches-bin/{path.name}")
        info = tarfile.TarInfo("../../escaped.bin")
        tar.addfile(info, io.BytesIO(b""))


def test_cifar_archive_is_unpacked(tmp_path):
    source = write_cifar(tmp_path / "source")
    root = tmp_path / "root"
    root.mkdir()
    pack_cifar(source, root / "cifar-10-binary.tar.gz")
    assert len(CIFAR10(root)) == 15
    assert sorted(p.name for p in (root / "cifar-10-batches-bin").iterdir()) == sorted(p.name for p in source.iterdir())
    assert not list(tmp_path.parent.glob("**/escaped.bin"))


def test_damaged_cifar_archives_are_named(tmp_path):
    source = write_cifar(tmp_path / "source")
    root = tmp_path / "root"
    root.mkdir()
    archive = root / "cifar-10-binary.tar.gz"
    pack_cifar(source, archive, names={"data_batch_1.bin"})
    with pytest.raises(RuntimeError, match=r"cifar-10-binary\.tar\.gz: lacks data_batch_2\.bin, .*test_batch\.bin"):
        CIFAR10(root)
    pack_cifar(source, archive)
    archive.write_bytes(archive.read_bytes()[:-40_000])
    with pytest.raises(RuntimeError, match=r"cifar-10-binary\.tar\.gz: could not be unpacked .*delete it"):
        CIFAR10(root)
    assert not list(root.rglob("*.part"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "0 bytes are not a whole number of records of 3073"),
        (cifar_records(2).tobytes()[:-1], "6145 bytes are not a whole number"),
        (b"\x0a" + bytes(3072), "label 10 at index 0 is out of range"),
    ],
)
def test_damaged_cifar_files_are_named(tmp_path, content, text):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=f"data_batch_1.bin: {text}"):
        read_records(path)


def test_cifar_batches_of_unequal_length(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(cifar_records(2).tobytes())
    with pytest.raises(RuntimeError, match=r"cut short .*data_batch_3\.bin 2, data_batch_4\.bin 3"):
        CIFAR10(tmp_path)


def test_missing_cifar_says_what_to_put_where_and_why_not_pickle(tmp_path):
    with pytest.raises(RuntimeError, match=r"Put test_batch\.bin into .*-bin or .*tar\.gz into") as error:
        CIFAR10(tmp_path, train=False)
    assert "pickle" not in str(error.value)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(RuntimeError, match="pickled version that is there is not read"):
        CIFAR10(tmp_path)
