"""`load` and the digits: sizes, scaling, and a split that is disjoint, seeded and never touches the test images."""

import sys

import numpy as np
import pytest
from test_datasets_files import cifar_records, images_and_labels, write_cifar, write_mnist

from tinygrad_lab.datasets import DATASETS, Digits, load
from tinygrad_lab.serialization import save


def test_digits():
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits

    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    assert train.data.shape == (1437, 8, 8)
    assert train.data.dtype.name == "uint8"
    together = np.concatenate([train.data.numpy(), test.data.numpy()]).reshape(1797, -1)
    published = load_digits().data.astype(np.uint8)
    assert sorted(map(bytes, together)) == sorted(map(bytes, published))
    assert min(np.bincount(test.targets.numpy())) > 20  # every digit is tested


def test_digits_load_split_and_scale():
    pytest.importorskip("sklearn")
    splits = load("digits")
    assert [len(part) for part in splits[:3]] == [1077, 360, 360]
    assert splits.classes == list("0123456789")
    features, labels = splits.train.tensors
    assert (features.dtype.name, labels.dtype.name) == ("float32", "int64")
    assert features.shape == (1077, 64)
    assert features.array.min() == 0.0
    assert features.array.max() == 1.0
    assert load("digits", flatten=False).test.tensors[0].shape == (360, 1, 8, 8)


def test_the_seed_moves_validation_and_leaves_test_alone(tmp_path):
    write_mnist(tmp_path, train=20, test=6)
    images, labels = images_and_labels(20)
    scaled = images.reshape(20, -1).astype(np.float32) / np.float32(255)
    first, again, other = (load("mnist", tmp_path, validation=5, seed=seed) for seed in (1, 1, 2))
    assert [len(part) for part in first[:3]] == [15, 5, 6]
    place = {row.tobytes(): i for i, row in enumerate(scaled)}
    for splits in (first, other):
        found = [place[row.tobytes()] for part in splits[:2] for row in part.tensors[0].numpy()]
        assert sorted(found) == list(range(20))
        np.testing.assert_array_equal(
            np.concatenate([splits.train.tensors[1].numpy(), splits.validation.tensors[1].numpy()]), labels[found]
        )
    np.testing.assert_array_equal(first.validation.tensors[0].numpy(), again.validation.tensors[0].numpy())
    assert not np.array_equal(first.validation.tensors[0].numpy(), other.validation.tensors[0].numpy())
    np.testing.assert_array_equal(first.test.tensors[0].numpy(), other.test.tensors[0].numpy())


def test_cifar_features_are_planes(tmp_path):
    write_cifar(tmp_path)
    splits = load("cifar10", tmp_path, validation=0)
    assert [len(part) for part in splits[:3]] == [15, 0, 3]
    expected = cifar_records(3, seed=0)[:, 1:].astype(np.float32) / np.float32(255)
    features = splits.train.tensors[0].numpy()
    np.testing.assert_array_equal(features[:3], expected)
    assert features.flags.c_contiguous
    images = load("cifar10", tmp_path, validation=0, flatten=False).train.tensors[0].numpy()
    np.testing.assert_array_equal(images[:3], expected.reshape(3, 3, 32, 32))
    assert images.flags.c_contiguous


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="'minst'; there are digits, mnist, fashion-mnist, cifar10"):
        load("minst", tmp_path)
    write_mnist(tmp_path)
    for validation in (-1, 20):
        with pytest.raises(ValueError, match=f"validation={validation} .*, 20"):
            load("mnist", tmp_path, validation=validation)
    with pytest.raises(ValueError, match="validation=5000"):
        load("mnist", tmp_path)
    for name in set(DATASETS) - {"digits"}:
        with pytest.raises(RuntimeError, match="not found"):
            load(name, tmp_path / "empty")


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("sklearn.datasets", lambda folder: load("digits")),
        ("pooch", lambda folder: load("mnist", folder, download=True)),
        ("safetensors.numpy", lambda folder: save(1, folder / "file")),
    ],
)
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, library, use):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_lab\[lab\]'"):
        use(tmp_path)
