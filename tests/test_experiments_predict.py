"""Own images: drawings made here, read, brought to a data set's form, and recognised by models trained here."""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lab import datasets
from tinygrad_lab.cli import main
from tinygrad_lab.experiments import Experiment, Run, run
from tinygrad_lab.experiments.handwriting import find_ink, like, read_image
from tinygrad_lab.experiments.predict import plot_prediction, predict

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")
pytest.importorskip("typer")


def arc(x: float, y: float, across: float, down: float, start: float, stop: float) -> list[tuple[float, float]]:
    angles = [math.radians(start + (stop - start) * i / 20) for i in range(21)]
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


# One line for each digit in the unit square, y downwards.
LINES = [
    arc(0.5, 0.5, 0.32, 0.48, -90, 270),
    [(0.35, 0.2), (0.52, 0.02), (0.52, 0.98)],
    [*arc(0.5, 0.27, 0.3, 0.26, -170, 35), (0.2, 0.97), (0.82, 0.95)],
    arc(0.47, 0.26, 0.28, 0.24, -150, 85) + arc(0.47, 0.73, 0.32, 0.25, -85, 150),
    [(0.62, 0.98), (0.62, 0.02), (0.15, 0.66), (0.88, 0.66)],
    [(0.78, 0.03), (0.3, 0.03), (0.25, 0.45), *arc(0.47, 0.68, 0.3, 0.29, -130, 140)],
    [(0.68, 0.03), (0.42, 0.25), (0.25, 0.55), *arc(0.5, 0.72, 0.26, 0.25, 180, -180)],
    [(0.18, 0.05), (0.8, 0.05), (0.42, 0.98)],
    arc(0.5, 0.25, 0.22, 0.22, 90, 450) + arc(0.5, 0.73, 0.28, 0.26, -90, 270),
    [*arc(0.5, 0.28, 0.25, 0.25, 0, -360), (0.75, 0.28), (0.7, 0.6), (0.6, 0.98)],
]


def draw(
    digit: int,
    *,
    width: int = 14,
    height: int = 170,
    size: tuple[int, int] = (300, 300),
    centre: tuple[int, int] | None = None,
    ink: Any = (0, 0, 0),
    paper: Any = (255, 255, 255),
    seed: int = 0,
) -> Any:
    """A digit of `height` pixels, slanted and stretched a little by the seed."""
    rng = np.random.default_rng([seed, digit])
    slant, turn, stretch = rng.normal(0, 0.08), rng.normal(0, 0.05), rng.uniform(0.7, 0.95)
    points = np.array(LINES[digit]) - 0.5
    points = np.stack([points[:, 0] * stretch - slant * points[:, 1], points[:, 1]], 1)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = points @ rotation.T * height + np.array(centre or (size[0] / 2, size[1] / 2))
    image = Image.new("RGBA" if len(paper) == 4 else "RGB", size, paper)
    pen = ImageDraw.Draw(image)
    pen.line([tuple(map(float, point)) for point in points], fill=ink, width=width, joint="curve")
    for x, y in points:
        pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=ink)
    return image


def photographed(image: Any, seed: int = 0, side: int = 400) -> Any:
    """As a phone takes it: grey, darker to one side, the hand's shadow across it, noisy."""
    shade = np.asarray(image.convert("L").resize((side, side)), np.float32) / 255
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    light = (0.95 - 0.45 * x - 0.15 * y) * (1 - 0.3 / (1 + np.exp(-(x + y * 0.5 - 0.9) * 25)))
    noise = np.random.default_rng(seed).standard_normal(shade.shape, np.float32) * (10 / 255)
    return Image.fromarray((((0.15 + 0.8 * shade) * light + noise).clip(0, 1) * 255).astype(np.uint8))


STYLES: dict[str, Any] = {
    "pen": lambda digit, seed: draw(digit, seed=seed),
    "thin": lambda digit, seed: draw(digit, width=3, seed=seed),
    "thick": lambda digit, seed: draw(digit, width=30, seed=seed),
    "light on dark": lambda digit, seed: draw(digit, ink=(240, 240, 230), paper=(20, 30, 25), seed=seed),
    "off-centre": lambda digit, seed: draw(digit, width=8, height=90, centre=(60, 220), seed=seed),
    "colour": lambda digit, seed: draw(digit, ink=(30, 40, 180), paper=(250, 240, 150), seed=seed),
    "transparent": lambda digit, seed: draw(digit, ink=(0, 0, 0, 255), paper=(0, 0, 0, 0), seed=seed),
    "white on transparent": lambda digit, seed: draw(digit, ink=(255, 255, 255, 255), paper=(0, 0, 0, 0), seed=seed),
    "photo": lambda digit, seed: photographed(draw(digit, seed=seed), seed),
    "chalk": lambda digit, seed: photographed(draw(digit, ink=(230,) * 3, paper=(60,) * 3, seed=seed), seed),
}


def saved(image: Any, path: Path) -> Path:
    image.save(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = Experiment(model="mlp", hidden=(128,), optimizer="adam", lr=2e-3, batch_size=32, epochs=25)
    return run(experiment, tmp_path_factory.mktemp("run"), progress=False)


# The form of MNIST and of the others


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    rows, columns = image.sum(1), image.sum(0)
    return float(rows @ np.arange(len(rows)) / rows.sum()), float(columns @ np.arange(len(columns)) / columns.sum())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("digit", [0, 7])
def test_mnist_form_is_a_box_of_20_around_the_centre_of_mass(style, digit, tmp_path):
    (seen,) = like("mnist", read_image(saved(STYLES[style](digit, 1), tmp_path / "a.png")))
    assert seen.shape == (28, 28) and seen.dtype == np.float32 and seen.min() == 0 and 0.9 < seen.max() <= 1
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert height == 20 and width <= 20
    across, down = (np.ptp(np.array(LINES[digit]), 0) * [0.8, 1]).tolist()
    assert abs(width / height - across / down) < 0.25  # the drawing's, but for its slant and stroke
    assert all(abs(place - 14) <= 0.75 for place in centre_of_mass(seen))


def test_mnist_form_is_that_of_the_data_sets_own_images():
    """A digit in MNIST's form already, inverted or not and of any size, comes out nearly as it went in."""
    (seen,) = like("mnist", np.asarray(draw(5, width=20), np.float32) / 255)
    for given in (seen, 1 - seen, np.kron(seen, np.ones((9, 9)))):
        (again,) = like("mnist", np.repeat(given[..., None], 3, 2).astype(np.float32))
        assert np.abs(again - seen).mean() < 0.03 and np.corrcoef(again.ravel(), seen.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("style", [style for style in STYLES if style not in ("pen", "off-centre", "thin", "thick")])
def test_light_and_colour_change_little_of_what_is_seen(style, tmp_path):
    for digit in (2, 8):
        (wanted,) = like("mnist", np.asarray(draw(digit), np.float32) / 255)
        (seen,) = like("mnist", read_image(saved(STYLES[style](digit, 0), tmp_path / "a.png")))
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.85


def test_strokes_are_brought_to_the_width_that_mnist_has():
    ink = {width: like("mnist", np.asarray(draw(3, width=width), np.float32) / 255).sum() for width in (2, 20, 45)}
    assert 0.6 * ink[20] < ink[2] < ink[20] < ink[45] < 1.9 * ink[20]


def test_digits_form_is_that_of_the_data_set():
    training = datasets.load("digits").train
    images, labels = training.tensors[0].array.reshape(-1, 8, 8), training.tensors[1].array
    for digit in range(10):
        if digit in (1, 7):  # mostly with a foot, or a bar: drawn otherwise there
            continue
        drawn = np.mean([like("digits", np.asarray(draw(digit, seed=s), np.float32) / 255)[0] for s in range(4)], 0)
        likeness = [np.corrcoef(drawn.ravel(), images[labels == other].mean(0).ravel())[0, 1] for other in range(10)]
        assert int(np.argmax(likeness)) == digit


def test_a_photo_for_cifar10_is_its_middle_square_in_colour(tmp_path):
    photo = Image.new("RGB", (400, 200), (255, 0, 0))
    photo.paste((0, 128, 255), (100, 0, 300, 200))
    seen = like("cifar10", read_image(saved(photo, tmp_path / "a.png")))
    assert seen.shape == (3, 32, 32) and np.allclose(seen, np.array([0, 128 / 255, 1])[:, None, None], atol=0.01)
    plain = like("cifar10", read_image(saved(Image.new("L", (5, 9), 200), tmp_path / "b.png")))
    assert np.allclose(plain, 200 / 255, atol=0.01)  # no ink is needed, nothing is inverted


def test_a_photo_for_fashion_mnist_keeps_its_greys():
    photo = np.ones((200, 160, 3), np.float32)
    photo[30:170, 50:110] = 0.6
    photo[30:100, 50:110] = 0.2
    (seen,) = like("fashion-mnist", photo)
    assert seen.shape == (28, 28) and seen.any(1).all() and 10 <= seen.any(0).sum() <= 14
    assert seen[5, 14] > 0.9 and 0.4 < seen[24, 14] < 0.6


# Finding ink


def test_ink_is_found_on_either_ground_and_specks_are_not():
    image = np.asarray(draw(4, width=16).convert("L"), float) / 255
    wanted = image < 0.5
    for gray in (image, 1 - image, 0.3 + 0.4 * image):
        assert (find_ink(gray)[1] != wanted).mean() < 0.01
    speckled = image.copy()
    speckled[20:23, 20:23] = 0
    assert not find_ink(speckled)[1][15:30, 15:30].any()
    shadow = image.copy()
    shadow[:, :12] = 0  # the edge of a table
    assert not find_ink(shadow)[1][:, :12].any()


@pytest.mark.parametrize("level", [0, 100, 255])
@pytest.mark.parametrize("noise", [0, 4, 12])
@pytest.mark.parametrize("size", [(20, 20), (300, 200), (1, 1), (1, 400), (900, 700)])
def test_an_empty_image_has_no_ink(level, noise, size, tmp_path):
    pixels = level + np.random.default_rng(0).normal(0, noise, size)
    path = saved(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), tmp_path / "empty.png")
    with pytest.raises(ValueError, match="no ink in the image"):
        like("mnist", read_image(path))


def test_an_empty_unevenly_lit_page_has_no_ink():
    with pytest.raises(ValueError, match="no ink"):
        like("mnist", np.repeat(np.asarray(photographed(Image.new("L", (30, 30), 255)))[::4, ::4, None], 3, 2) / 255)


@pytest.mark.parametrize("turn", [0, 8, -8])
@pytest.mark.parametrize("inverted", [False, True])
def test_the_paper_is_found_on_a_table(turn, inverted):
    drawing, table = draw(5), Image.new("RGB", (500, 420), (60, 45, 30))
    turned = drawing.convert("RGBA").rotate(turn, expand=True)
    table.paste(turned, (70, 30), turned)
    given = np.asarray(table, np.float32) / 255
    (seen,) = like("mnist", 1 - given if inverted else given)
    (wanted,) = like("mnist", np.asarray(drawing.rotate(turn, fillcolor="white"), np.float32) / 255)
    assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.9


# Files


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_any_format_and_mode_gives_the_same_digit(kind, mode, tmp_path):
    if (kind, mode) in {("jpg", "1"), ("jpg", "P"), ("webp", "1")}:
        pytest.skip("the format has no such mode")
    image = draw(5)
    (wanted,) = like("mnist", np.asarray(image, np.float32) / 255)
    (seen,) = like("mnist", read_image(saved(image.convert(mode), tmp_path / f"a.{kind}")))
    assert np.abs(seen - wanted).mean() < 0.01


def test_sixteen_bits_rotation_and_size(tmp_path):
    image = draw(7)
    wanted = like("mnist", np.asarray(image, np.float32) / 255)
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 40)
    assert np.abs(like("mnist", read_image(saved(deep, tmp_path / "deep.png"))) - wanted).mean() < 0.01
    turned = image.rotate(90)
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright: to be turned by 270 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert np.abs(like("mnist", read_image(tmp_path / "turned.jpg")) - wanted).mean() < 0.02
    large = read_image(saved(photographed(image).resize((2400, 1600)), tmp_path / "large.jpg"))
    assert large.shape == (341, 512, 3) and large.dtype == np.float32 and large.max() <= 1
    assert like("mnist", large).shape == (1, 28, 28)


def test_files_that_are_no_images(tmp_path):
    whole = saved(draw(3), tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("three")
    (tmp_path / "nothing.png").write_bytes(b"")
    changed = bytearray(whole)
    changed[60:90] = bytes(30)
    (tmp_path / "changed.png").write_bytes(changed)
    for name, says in (
        ("cut.png", "damaged or cut short"),
        ("changed.png", "damaged or cut short"),
        ("text.png", "no image of a format that Pillow knows"),
        ("nothing.png", "no image of a format that Pillow knows"),
    ):
        with pytest.raises(RuntimeError, match=f"{name} is {says}"):
            read_image(tmp_path / name)
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))):
            read_image(path)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_an_image_of_too_many_pixels_is_refused_unread(side, tmp_path):
    content = bytearray(saved(Image.new("1", (5, 5)), tmp_path / "bomb.png").read_bytes())
    content[16:24] = struct.pack(">II", side, side)  # the header's width and height, then its checksum
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(RuntimeError, match=r"bomb.png has more than 89,478,485 pixels: scale it down first"):
        read_image(tmp_path / "bomb.png")


# Predicting


@pytest.mark.parametrize("style", STYLES)
def test_drawn_digits_are_mostly_recognised(style, trained, tmp_path):
    paths = [saved(STYLES[style](digit, 1), tmp_path / f"{digit}.png") for digit in range(10)]
    right = sum(prediction.index == digit for digit, prediction in enumerate(predict(trained, paths)))
    assert right >= 8, f"{right} of 10"


def test_a_prediction_is_what_the_model_says_of_what_is_shown(trained, tmp_path):
    path = saved(draw(0), tmp_path / "zero.png")
    (prediction,) = predict(trained.folder, [path])
    assert prediction.seen.shape == (1, 8, 8) and prediction.classes == [str(digit) for digit in range(10)]
    assert prediction.scores.shape == (10,) and abs(prediction.scores.sum() - 1) < 1e-5
    assert prediction.label == prediction.classes[prediction.index] == str(prediction.scores.argmax())
    lines = prediction.text().splitlines()
    assert lines[0].startswith(f"zero.png: {prediction.label} (") and len(lines) == 1 + 10 + 10
    assert all(len(line) == 18 for line in lines[1:11])
    bright = prediction.seen[0] > 0.9
    assert np.array_equal([[line[1 + 2 * x] == "█" for x in range(8)] for line in lines[2:10]], bright)
    assert sum(line.startswith(">") for line in lines) == 1
    figure = plot_prediction(prediction)
    assert len(figure.axes) == 3 and len(figure.axes[2].patches) == 10


@pytest.mark.parametrize("preprocess", [("standardize",), ("hog:2:2:9", "pca:0.95"), ("gray", "center")])
def test_an_image_goes_through_the_runs_own_preprocessing(preprocess, tmp_path):
    experiment = Experiment(preprocess=preprocess, lr=0.1, momentum=0.9, batch_size=32, epochs=20)
    run(experiment, tmp_path / "run", progress=False)
    paths = [saved(draw(digit), tmp_path / f"{digit}.png") for digit in range(10)]
    right = sum(prediction.index == digit for digit, prediction in enumerate(predict(tmp_path / "run", paths)))
    assert right >= 6


def test_a_linear_model_has_outputs_and_no_probabilities(tmp_path):
    experiment = Experiment(model="linear", loss="mse", lr=0.01, batch_size=32, epochs=5)
    finished = run(experiment, tmp_path / "run", progress=False)
    (prediction,) = predict(finished, [saved(draw(0), tmp_path / "a.png")])
    assert not prediction.probabilistic and "%" not in prediction.text()
    plot_prediction(prediction, tmp_path / "a.svg")


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_the_command_shows_each_image_and_goes_on_after_one_that_fails(trained, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    first, second = saved(draw(1), tmp_path / "a.png"), saved(draw(2), tmp_path / "other" / "a.png")
    (tmp_path / "broken.png").write_bytes(first.read_bytes()[:200])
    blank = saved(Image.new("RGB", (50, 50), "white"), tmp_path / "blank.png")
    out = tmp_path / "figures"
    assert command("predict", trained.folder, first, tmp_path / "broken.png", blank, second, "--out", out) == 1
    said = capsys.readouterr()
    assert said.out.count("a.png: ") >= 2 and "%" in said.out and "█" in said.out
    assert said.err.splitlines()[0].startswith("tinygrad-lab: ") and "broken.png is damaged" in said.err
    assert re.search(r"blank.png: there is no ink", said.err) and len(said.err.splitlines()) == 2
    assert sorted(path.name for path in out.iterdir()) == ["a-2.png", "a.png"]
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
    assert command("predict", trained.folder, first) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("{empty}", "{image}"), 2, "holds no finished run"),
        (("{absent}", "{image}"), 2, "holds no finished run"),
        (("{run}", "{absent}"), 1, "No such file"),
        (("{run}", "{image}", "--out", "{image}"), 2, "out must be a folder"),
        (("{run}",), 2, "Missing argument"),
    ],
)
def test_what_the_command_says_of_misuse(arguments, code, says, trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    names = {
        "empty": tmp_path / "empty",
        "absent": tmp_path / "absent",
        "run": trained.folder,
        "image": saved(draw(1), tmp_path / "a.png"),
    }
    assert command("predict", *(argument.format(**names) for argument in arguments)) == code
    assert says in capsys.readouterr().err


def test_a_terminal_without_block_characters(trained, tmp_path, monkeypatch):
    path, out = saved(draw(8), tmp_path / "a.png"), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "ascii", write_through=True))
    assert command("predict", trained.folder, path) == 0
    assert b"##" in out.getvalue() and b"?" not in out.getvalue()
