"""Preprocessing against scikit-learn, scikit-image and closed forms; fitted on train alone; the cache; augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lab import datasets
from tinygrad_lab.datasets import Splits
from tinygrad_lab.experiments import preprocessing
from tinygrad_lab.experiments.augmentation import augmenter
from tinygrad_lab.experiments.preprocessing import Preprocessor, apply, prepare
from tinygrad_lab.tensor import wrap
from tinygrad_lab.utils.data import TensorDataset


def made(shape: tuple[int, ...] = (3, 12, 12), counts: tuple[int, ...] = (40, 7, 9), seed: int = 0) -> Splits:
    """Random splits whose arrays are read-only, so that a step that writes into its input fails."""
    rng = np.random.default_rng(seed)
    parts = []
    for count in counts:
        x, y = rng.random((count, *shape), np.float32), rng.integers(0, 3, count)
        x.flags.writeable = False
        parts.append(TensorDataset(wrap(x), wrap(y)))
    return Splits(parts[0], parts[1], parts[2], ["a", "b", "c"])


def features(splits: Splits) -> list[np.ndarray]:
    return [part.tensors[0].array for part in splits[:3]]


STEPS = ["scale", "center", "standardize", "gray", "hog", "hog:3:1:6", "pca:0.9", "pca:5"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", [(3, 12, 12), (432,)])
def test_every_step_learns_from_train_alone_and_goes_through_a_file(step, shape, tmp_path):
    pytest.importorskip("sklearn")
    splits, other = made(shape), made(shape, seed=1)
    done, fitted = prepare([step], splits)
    assert [len(x) for x in features(done)] == [40, 7, 9]
    assert all(x.dtype == np.float32 for x in features(done)) and done.classes == splits.classes
    for before, after in zip(splits[:3], done[:3], strict=True):
        assert np.array_equal(before.tensors[1].array, after.tensors[1].array)
    mixed, _ = prepare([step], Splits(splits.train, other.validation, other.test, splits.classes))
    assert np.array_equal(features(mixed)[0], features(done)[0])
    fitted.save(tmp_path / "preprocessor.safetensors")
    loaded = Preprocessor.load(tmp_path / "preprocessor.safetensors")
    assert (loaded.steps, loaded.input_shape, loaded.output_shape) == ((step,), shape, fitted.output_shape)
    for before, after in zip(features(splits), features(done), strict=True):
        assert np.array_equal(loaded(before), after)
    assert np.allclose(loaded(features(splits)[2][:1]), features(done)[2][:1], atol=1e-6)  # one image as among others


def test_center_and_standardize_are_numpys():
    train, _, test = features(splits := made())
    mean, deviation = train.mean(0, dtype=float), train.std(0, dtype=float)
    assert np.allclose(features(apply(["center"], splits))[2], test - mean, atol=1e-6)
    assert np.allclose(features(apply(["standardize"], splits))[2], (test - mean) / deviation, atol=1e-5)


def test_standardize_against_scikit_learn_with_constant_features():
    pytest.importorskip("sklearn")
    from sklearn.preprocessing import StandardScaler

    splits = datasets.load("digits")  # has pixels that are always 0
    train, _, test = features(splits)
    scaler = StandardScaler().fit(train.astype(float))
    assert np.allclose(features(apply(["standardize"], splits))[2], scaler.transform(test.astype(float)), atol=1e-4)
    constant = np.full((7, 2), 0.1, np.float32)
    assert np.abs(Preprocessor.fit(["standardize"], constant)(constant)).max() < 1e-6


def test_scale():
    x = np.array([[0, 128, 255]], np.float32)
    fitted = Preprocessor.fit(["scale"], x)
    assert np.array_equal(fitted(x), x / 255) and np.array_equal(fitted(x / 2), x / 510)
    already = np.array([[0.0, 0.25]], np.float32)
    assert np.array_equal(Preprocessor.fit(["scale"], already)(already), already)
    with pytest.raises(ValueError, match="scale is for pixels"):
        Preprocessor.fit(["scale"], -x)


def test_gray_is_pillows():
    Image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 6)).astype(np.uint8)
    wanted = np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))
    x = pixels[None].astype(np.float32)
    assert np.abs(Preprocessor.fit(["gray"], x)(x)[0, 0] - wanted).max() <= 1
    single = x[:, :1]
    assert np.array_equal(Preprocessor.fit(["gray"], single)(single), single)


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 12, 12), (3, 17, 21)])
@pytest.mark.parametrize(("step", "options"), [("hog", (4, 2, 9)), ("hog:3:1:6", (3, 1, 6)), ("hog:5", (5, 2, 9))])
def test_hog_is_scikit_images(step, options, shape):
    reference = pytest.importorskip("skimage.feature").hog
    cell, block, orientations = options
    splits = made(shape, counts=(20, 1, 0))
    got = features(apply([step], splits))
    for i in (0, 3, 19):
        image = features(splits)[0][i]
        wanted = reference(image, orientations, (cell, cell), (block, block), channel_axis=0)
        assert np.allclose(got[0][i], wanted, atol=1e-6)
    assert got[0].dtype == np.float32 and got[1].shape == (1, len(wanted)) and got[2].shape == (0, len(wanted))
    if shape[1] == shape[2]:
        assert np.array_equal(features(apply([step], made((shape[0] * 144,), counts=(20, 1, 0))))[0], got[0])


@pytest.mark.parametrize("kept", ["0.9", "0.3", "5", "40"])
@pytest.mark.parametrize("shape", [(20,), (80,)])
def test_pca_is_a_singular_value_decomposition(kept, shape):
    pytest.importorskip("sklearn")
    splits = made(shape, counts=(60, 5, 5))
    if float(kept) > min(60, shape[0]):
        with pytest.raises(ValueError, match="pca:40: 60 samples of 20 features have fewer components"):
            apply([f"pca:{kept}"], splits)
        return
    train, _, test = (x.astype(float) for x in features(splits))
    _, sizes, rows = np.linalg.svd(train - train.mean(0), full_matrices=False)
    share = np.cumsum(sizes**2) / np.sum(sizes**2)
    count = int(kept) if float(kept) >= 1 else int(np.searchsorted(share, float(kept), side="right")) + 1
    got = features(apply([f"pca:{kept}"], splits))[2]
    assert got.shape == (5, count)
    assert np.allclose(np.abs(got), np.abs((test - train.mean(0)) @ rows[:count].T), atol=1e-4)


def test_pca_of_data_far_from_zero():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((500, 6)) * np.array([3, 2, 1, 0.5, 0.2, 0.1])
    near, far = (Preprocessor.fit(["pca:3"], (spread + add).astype(np.float32)) for add in (0, 1000))
    assert np.allclose(np.abs(near.states[0]["components"]), np.abs(far.states[0]["components"]), atol=1e-2)


def test_steps_follow_one_another():
    pytest.importorskip("sklearn")
    splits = made()
    step_by_step = apply(["pca:4"], apply(["hog"], apply(["gray"], splits)))
    together, fitted = prepare(["gray", "hog", "pca:4"], splits)
    assert all(np.array_equal(a, b) for a, b in zip(features(step_by_step), features(together), strict=True))
    assert fitted.output_shape == (4,)
    assert prepare(["gray"], made((432,)))[1].output_shape == (1, 12, 12)  # flattened, but still pixels
    assert np.shares_memory(features(apply([], splits))[0], features(splits)[0])


def test_no_validation_images(tmp_path):
    pytest.importorskip("sklearn")
    splits = made((20,), counts=(30, 0, 4))
    for _ in range(2):  # made, then read
        assert [x.shape for x in features(apply(["center", "pca:3"], splits, tmp_path))] == [(30, 3), (0, 3), (4, 3)]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("hgo", "no preprocessing step is called 'hgo'; there are scale, center, standardize, sqrt, gray, hog, pca"),
        ("", "no preprocessing step is called ''"),
        ("scale:2", r"'scale:2' cannot be read \(it takes no options\); write scale"),
        ("pca", "'pca' cannot be read .*write pca:SHARE or pca:N"),
        ("pca:0", "'pca:0' cannot be read .*between 0 and 1"),
        ("pca:2.5", "'pca:2.5' cannot be read .*whole number"),
        ("pca:nan", "'pca:nan' cannot be read"),
        ("pca:inf", "'pca:inf' cannot be read"),
        ("pca:much", "'pca:much' cannot be read"),
        ("hog:0", "'hog:0' cannot be read .*positive integers.*write hog:CELL:BLOCK:ORIENTATIONS"),
        ("hog:4:2:9:1", "'hog:4:2:9:1' cannot be read"),
        ("hog:four", "'hog:four' cannot be read"),
    ],
)
def test_wrong_steps_are_named(step, says):
    with pytest.raises(ValueError, match=says):
        preprocessing.check(["scale", step])
    with pytest.raises(ValueError, match=says):
        apply([step], made())


def test_steps_that_do_not_suit_the_data():
    pytest.importorskip("sklearn")
    for step in ("hog", "gray"):
        with pytest.raises(ValueError, match=rf"{step} needs images .* features of shape \(4,\)"):
            apply(["pca:4", step], made())
    with pytest.raises(ValueError, match=r"hog:8:2:9 needs images of at least 16 x 16 pixels.*12 x 12"):
        apply(["hog:8"], made())
    with pytest.raises(ValueError, match=r"fitted on samples of shape \(20,\), got \(21,\)"):
        prepare(["center"], made((20,)))[1](np.zeros((1, 21), np.float32))
    with pytest.raises(ValueError, match="got the string 'scale'"):
        preprocessing.check("scale")


def test_results_are_cached_and_damaged_ones_made_anew(tmp_path):
    pytest.importorskip("sklearn")
    splits, cache = made((20,)), tmp_path / "made" / "cache"
    fresh = features(apply(["pca:3"], splits, cache))
    (path,) = cache.iterdir()
    written = path.stat().st_mtime_ns
    again, fitted = prepare(["pca:3"], splits, cache)
    assert all(np.array_equal(a, b) for a, b in zip(fresh, features(again), strict=True))
    assert path.stat().st_mtime_ns == written and fitted.output_shape == (3,)
    content = bytearray(path.read_bytes())
    for damage in (content[:-5], content[: len(content) // 2], b"", bytes([*content[:-1], content[-1] ^ 1])):
        path.write_bytes(damage)
        with pytest.warns(UserWarning, match="made anew"):
            repaired = features(apply(["pca:3"], splits, cache))
        assert all(np.array_equal(a, b) for a, b in zip(fresh, repaired, strict=True))
        assert path.read_bytes() == bytes(content)
    apply(["pca:4"], splits, cache)  # other steps, other data: other files
    apply(["pca:3"], made((20,), seed=1), cache)
    assert len(list(cache.iterdir())) == 3
    apply(["center", "standardize"], splits, cache)  # faster made than read
    assert len(list(cache.iterdir())) == 3


def test_a_stored_preprocessor_that_is_damaged_or_something_else(tmp_path):
    from tinygrad_lab import serialization

    path = tmp_path / "preprocessor.safetensors"
    serialization.save({"weight": wrap(np.zeros(2))}, path)
    with pytest.raises(RuntimeError, match="holds no preprocessing"):
        Preprocessor.load(path)
    path.write_bytes(b"junk")
    with pytest.raises(RuntimeError, match="safetensors"):
        Preprocessor.load(path)
    with pytest.raises(FileNotFoundError):
        Preprocessor.load(tmp_path / "absent")


# Augmentation


def batch(count: int = 50, shape: tuple[int, ...] = (3, 6, 7)) -> np.ndarray:
    x = np.random.default_rng(3).random((count, *shape), np.float32) + 1
    x.flags.writeable = False
    return x


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_shift_moves_each_image_and_fills_with_zeros(pixels, seed):
    x = batch()
    moved = augmenter([f"shift:{pixels}"], (3, 6, 7))(x, np.random.default_rng(seed))
    assert moved.shape == x.shape and moved.dtype == x.dtype
    for image, result in zip(x, moved, strict=True):
        candidates = []
        for down in range(-pixels, pixels + 1):
            for right in range(-pixels, pixels + 1):
                wanted = np.zeros_like(image)
                rows, columns = range(max(down, 0), 6 + min(down, 0)), range(max(right, 0), 7 + min(right, 0))
                for r in rows:
                    wanted[:, r, columns.start : columns.stop] = image[
                        :, r - down, columns.start - right : columns.stop - right
                    ]
                candidates.append(wanted)
        assert any(np.array_equal(result, wanted) for wanted in candidates)
        if seed:
            break  # all images for seed 0 would take long for every example


def test_all_shifts_are_equally_likely():
    x = np.zeros((9000, 1, 3, 3), np.float32)
    x[:, 0, 1, 1] = 1
    moved = augmenter(["shift:1"], (1, 3, 3))(x, np.random.default_rng(0))
    counts = moved.sum((0, 1))
    assert counts.sum() == 9000 and np.abs(counts - 1000).max() < 150  # 5 standard deviations


def test_flip_mirrors_about_half_of_the_images():
    x = batch(1000)
    flipped = augmenter(["flip"], (3, 6, 7))(x, np.random.default_rng(0))
    same = (flipped == x).all((1, 2, 3))
    assert np.array_equal(flipped[~same], x[~same][..., ::-1]) and 420 < same.sum() < 580


@pytest.mark.parametrize("names", [["shift:2"], ["flip"], ["shift:2", "flip"], ["flip", "shift:1", "shift:1"]])
def test_augmentation_repeats_to_the_bit_and_takes_flat_batches(names):
    change, x = augmenter(names, (3, 6, 7)), batch()
    first = change(x, np.random.default_rng(7))
    assert np.array_equal(first, change(x, np.random.default_rng(7)))
    assert not np.array_equal(first, change(x, np.random.default_rng(8)))
    flat = change(x.reshape(50, -1), np.random.default_rng(7))
    assert flat.shape == (50, 126) and np.array_equal(flat.reshape(x.shape), first)
    first += 1  # the caller's own, wherever it came from
    assert change(x[:0], np.random.default_rng(0)).shape == (0, 3, 6, 7)


def test_no_augmentation_gives_the_batch_itself():
    x = batch()
    assert augmenter([], (126,))(x, np.random.default_rng(0)) is x


@pytest.mark.parametrize(
    ("names", "shape", "says"),
    [
        (["rotate"], (1, 8, 8), "no augmentation is called 'rotate'; there are shift:PIXELS, flip"),
        (["shift"], (1, 8, 8), "no augmentation is called 'shift'"),
        (["shift:0"], (1, 8, 8), "'shift:0'"),
        (["shift:-1"], (1, 8, 8), "'shift:-1'"),
        (["flip:1"], (1, 8, 8), "'flip:1'"),
        ("flip", (1, 8, 8), "got the string 'flip'"),
        (["shift:8"], (1, 8, 8), "shift:8 would push images of 8 x 8 pixels out of sight"),
        (["flip"], (1764,), r"flip needs images .*shape \(1764,\): augment only pixels"),
    ],
)
def test_wrong_augmentations_are_named(names, shape, says):
    with pytest.raises(ValueError, match=says):
        augmenter(names, shape)


def test_a_batch_of_other_images():
    with pytest.raises(ValueError, match=r"images \(1, 8, 8\), flattened or not, got a batch of shape \(2, 63\)"):
        augmenter(["flip"], (1, 8, 8))(np.zeros((2, 63)), np.random.default_rng(0))


def test_sqrt_is_for_pixels():
    x = np.array([[0.0, 0.25], [1.0, 0.81]], np.float32)
    fitted = preprocessing.Preprocessor.fit(["sqrt"], x)
    assert np.array_equal(fitted(x), np.sqrt(x)) and fitted(x).dtype == np.float32
    with pytest.raises(ValueError, match="sqrt is for pixels, which are not negative, and the smallest value is -1"):
        preprocessing.Preprocessor.fit(["sqrt"], x - 1)
