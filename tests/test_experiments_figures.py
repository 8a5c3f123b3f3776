"""Figures: what is drawn is what was given; colours can be told apart by everybody; files are whole."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

import tinygrad_lab as torch
from tinygrad_lab.experiments import figures
from tinygrad_lab.experiments.figures import style
from tinygrad_lab.experiments.histograms import HistogramRecorder

HOSTILE = "a$b$ \\frac{ <b> & 运行\n\x00_"
NAN = float("nan")


def history(epochs: int = 5, *, shift: float = 0.0, test: float | None = 0.9, validation: bool = True) -> Any:
    falling = [2.0 / (e + 1) + shift for e in range(epochs)]
    rising = [0.5 + 0.4 * e / max(1, epochs - 1) - shift for e in range(epochs)]
    return SimpleNamespace(
        train_loss=falling,
        train_accuracy=rising,
        validation_loss=[v + 0.1 for v in falling] if validation else [],
        validation_accuracy=[v - 0.05 for v in rising] if validation else [],
        test_accuracy=test,
    )


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def lines(axes: Any) -> list[list[float]]:
    return [list(line.get_ydata()) for line in axes.lines]


# Colours

# Linear RGB as people without one kind of cone see it: Machado, Oliveira and Fernandes, 2009, severity 1.
SEEN = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    xyz = to_xyz @ rgb / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SEEN)
def test_every_two_colours_can_be_told_apart(sight: str) -> None:
    seen = [cielab(np.clip(np.array(SEEN[sight]) @ linear(colour), 0, 1)) for colour in style.COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15  # 2.3 is just noticeable


def test_contrast_of_colours_and_text_to_the_paper() -> None:
    def contrast(a: str, b: str) -> float:
        high, low = sorted((style.luminance(a), style.luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert all(contrast(colour, style.PAPER) >= 3 for colour in style.COLOURS[:5])
    assert all(contrast(colour, style.PAPER) >= 2.2 for colour in style.COLOURS)
    assert contrast(style.INK, style.PAPER) > 12 and contrast(style.MUTED, style.PAPER) > 4.5


def test_luminance_is_that_of_the_definition() -> None:
    assert style.luminance("#0072b2") == pytest.approx(linear("#0072b2") @ [0.2126, 0.7152, 0.0722])


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_text_on_a_colour_has_a_contrast_of_at_least_4_5(colour: tuple[float, ...]) -> None:
    light, dark = style.luminance(colour) + 0.05, style.luminance(style.text_on(colour)) + 0.05
    assert max(light, dark) / min(light, dark) >= 4.5


def test_runs_differ_in_more_than_colour() -> None:
    axes = figures.plot_curves({str(i): history(shift=i / 100) for i in range(8)}).axes[0]
    looks = [(line.get_color(), line.get_marker()) for line in axes.lines if line.get_marker()]
    assert len({look[1] for look in looks}) == len(looks) == 8


# Curves


def test_curves_are_the_history() -> None:
    runs = {"first": history(), "second": history(7, shift=0.1)}
    figure = figures.plot_curves(runs)
    loss, accuracy = figure.axes
    assert lines(loss) == [part for run in runs.values() for part in (run.train_loss, run.validation_loss)]
    assert lines(accuracy) == [part for run in runs.values() for part in (run.train_accuracy, run.validation_accuracy)]
    assert list(loss.lines[2].get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert {"first: 0.9000", "second: 0.9000", "first", "second", "Loss", "epoch"} <= set(texts(figure))
    assert loss.get_legend() is None and loss.get_ylim()[0] == 0


def test_curves_of_one_run_are_labelled_by_part() -> None:
    shown = texts(figures.plot_curves({"only": history()}))
    assert "Accuracy (test 0.9000)" in shown and any(text.startswith("validation 0.") for text in shown)
    without = figures.plot_curves({"only": history(1, test=None, validation=False)})
    assert [len(axes.lines) for axes in without.axes] == [1, 1]


def test_what_is_not_finite_is_a_gap() -> None:
    broken = history()
    broken.validation_loss = [2.0, None, float("inf"), NAN, 1.0]
    drawn = figures.plot_curves({"x": broken}).axes[0].lines[1].get_ydata()
    assert np.array_equal(drawn, [2.0, NAN, NAN, NAN, 1.0], equal_nan=True)
    broken.train_loss = broken.validation_loss = [NAN] * 5
    figures.plot_curves({"x": broken, "y": broken})


def test_loss_over_decades_is_logarithmic() -> None:
    steep = history()
    steep.train_loss, steep.validation_loss = [1e4, 10, 1, 0.1, 0.01], [1.0] * 5
    axes = figures.plot_curves({"x": steep}).axes[0]
    assert axes.get_yscale() == "log"
    assert not any("$" in label.get_text() for label in axes.get_yticklabels())


@pytest.mark.parametrize(
    ("runs", "complaint"),
    [({}, "no runs to draw"), ({"empty": history(0)}, "run 'empty' has no finished epoch")],
)
def test_curves_of_nothing(runs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        figures.plot_curves(runs)


def test_many_steps_are_drawn_as_means_with_a_band() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    axes = figures.plot_lines("Loss", {"x": values}, x_label="step").axes[0]
    assert lines(axes)[0] == pytest.approx(values.reshape(200, 5).mean(axis=1))
    assert axes.lines[0].get_xdata()[0] == 3 and axes.get_xlabel() == "step"
    assert axes.collections[0].get_datalim(axes.transData).extents[[1, 3]] == pytest.approx(
        [values.min(), values.max()]
    )
    few = figures.plot_lines("Sparsity", {"a": [0.0, 0.5], "b": [0.1, None]})
    assert {"a", "b"} <= set(texts(few))
    with pytest.raises(ValueError, match="no values to draw"):
        figures.plot_lines("Loss", {"x": []})


# Swept values


def test_swept_values_show_mean_spread_and_every_seed() -> None:
    rows = [[0.90, 0.92], [0.95, None], [NAN, None], [0.93, 0.97]]
    figure = figures.plot_swept("lr", [0.1, 0.001, 1.0, 0.01], {"": rows})
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and [t.get_text() for t in axes.get_xticklabels()] == [
        "0.1",
        "0.001",
        "1",
        "0.01",
    ]
    container = axes.containers[0]
    assert list(container[0].get_xdata()) == [0.001, 0.01, 0.1]
    assert list(container[0].get_ydata()) == pytest.approx([0.95, 0.95, 0.91])
    bars = [segment[1][1] - segment[0][1] for segment in container[2][0].get_segments()]
    assert bars == pytest.approx([0, 2 * np.std([0.93, 0.97], ddof=1), 2 * np.std([0.9, 0.92], ddof=1)])
    dots = sorted(y for line in axes.lines if line.get_marker() == "." for y in line.get_ydata())
    assert dots == [0.9, 0.92, 0.93, 0.95, 0.97]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] == [1.0]
    assert {"0.9500", "0.9100"} <= set(texts(figure)) and "mean ± SD" in axes.get_ylabel()


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.001, 0.005, 0.01, 0.05, 0.1, 0.5], "log"),
        ([16, 32, 64, 128, 256], "log"),
        ([1, 20, 50, 100, 200], "log"),
        ([2, 3, 4, 5], "linear"),
        ([0.0, 0.1, 0.2, 0.5], "linear"),
        ([0.0, 1e-4, 1e-3, 1e-2], "ordered"),
        ([0.5, 0.9, 0.99, 0.999], "ordered"),
        (["sgd", "adam"], "names"),
        ([True, False], "names"),
        ([(64, 10), (256, 30)], "names"),
    ],
)
def test_the_axis_that_the_values_ask_for(values: list[Any], scale: str) -> None:
    from tinygrad_lab.experiments.figures.curves import _scale

    assert _scale(values) == scale


@pytest.mark.parametrize(
    ("values", "scale"), [([0.001, 0.01, 0.5], "log"), ([0.0, 0.2], "linear"), ([(64, 10)], "linear")]
)
def test_the_axis_is_drawn_so(values: list[Any], scale: str) -> None:
    axes = figures.plot_swept("x", values, {"": [[0.5 + i / 100] for i in range(len(values))]}).axes[0]
    assert axes.get_xscale() == scale


def test_curves_of_swept_values_are_told_apart_by_dashes_and_names() -> None:
    figure = figures.plot_swept("batch", [16, 32, 64], {"sgd": [[0.9]] * 3, "adam": [[0.8]] * 3})
    assert {"sgd", "adam"} <= set(texts(figure))
    joined = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert len({line.get_linestyle() + str(line._dash_pattern) for line in joined}) == 2
    with pytest.raises(ValueError, match=r"curve 'sgd' has 1 rows for 2 values of lr"):
        figures.plot_swept("lr", [1, 2], {"sgd": [[0.9]]})
    with pytest.raises(ValueError, match="nothing to draw of lr"):
        figures.plot_swept("lr", [], {})


# Tables


def test_grid_has_its_numbers_and_frames_the_best() -> None:
    figure = figures.plot_grid(("l2", "lr"), [0, 0.1], [0.01, 0.1, 1], [[0.1, 0.2, 0.3], [0.4, 0.9, None]])
    shown = texts(figure)
    assert {"0.1000", "0.9000", "failed", "l2", "lr"} <= set(shown)
    assert "Validation accuracy: best 0.9000 (framed)" in shown
    axes = figure.axes[0]
    assert np.ma.filled(axes.images[0].get_array(), -1).tolist() == [[0.1, 0.2, 0.3], [0.4, 0.9, -1]]
    frame = axes.patches[0]
    assert frame.get_x() < 1 < frame.get_x() + frame.get_width() and frame.get_y() < 1
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["0.9000"] == "#ffffff" and colours["0.1000"] == "#000000"  # dark cells, light cells
    figures.plot_grid(("a", "b"), [1], [1], [[None]])
    figures.plot_grid(("a", "b"), [1, 2], [1], [[0.5], [0.5]])
    with pytest.raises(ValueError, match=r"2 rows and 2 columns, as a and b have values, got shape \(1, 2\)"):
        figures.plot_grid(("a", "b"), [1, 2], [1, 2], [[0.5, 0.5]])


def test_confusion_in_counts_and_shares() -> None:
    counts = [[8, 2, 0], [0, 1000, 0], [0, 0, 0]]
    names = ["cat", "dog", "ship"]
    figure = figures.plot_confusion(counts, names)
    assert [text.get_text() for text in figure.axes[0].texts] == ["8", "2", "", "", "1,000", "", "", "", ""]
    assert "Confusion matrix, counts: 2 of 1,010 wrong" in texts(figure)
    assert figure.axes[0].images[0].get_array().tolist() == [[0.8, 0.2, 0], [0, 1, 0], [0, 0, 0]]
    shares = figures.plot_confusion(counts, names, normalise=True)
    assert [text.get_text() for text in shares.axes[0].texts if text.get_text()] == ["80", "20", "100"]
    assert [label.get_text() for label in shares.axes[0].get_yticklabels()] == names
    for wrong in (np.zeros((2, 2)), -np.eye(3)):
        with pytest.raises(ValueError, match=r"counts must be \(3, 3\)"):
            figures.plot_confusion(wrong, names)


# Images


def test_misclassified_shows_the_confident_mistakes_first() -> None:
    images = np.random.default_rng(0).random((5, 3, 4, 4))
    figure = figures.plot_misclassified(
        images, [0, 1, 2, 0, 1], [0, 2, 1, 1, 1], [0.9, 0.5, 0.7, 0.6, 1], "abc", count=2
    )
    axes = figure.axes[0]
    title = "3 of 5 images misclassified; the 2 most confident"
    assert [text.get_text() for text in axes.texts] == [title, "c → b", "p = 0.700", "a → b", "p = 0.600"]
    assert len(axes.images) == 2 and np.array_equal(axes.images[0].get_array(), images[2].transpose(1, 2, 0))
    none = figures.plot_misclassified(images[:1], [0], [0], [1.0], "abc", total=100)
    assert texts(none) == ["0 of 100 images misclassified", "none"] and not none.axes[0].images
    with pytest.raises(ValueError, match="got 5, 1, 1 and 1"):
        figures.plot_misclassified(images, [0], [0], [1.0], "abc")
    with pytest.raises(ValueError, match=r"with 1 or 3 channels, got \(5, 64\)"):
        figures.plot_misclassified(np.zeros((5, 64)), [0], [0], [1.0], "abc")


def test_weights_share_one_scale_around_zero() -> None:
    weights = np.random.default_rng(1).normal(size=(3, 4, 4)) * np.array([1, 5, 2])[:, None, None]
    named = figures.plot_weights(weights, ["a", "b", "c"])
    drawn = named.axes[0].images
    limit = np.percentile(np.abs(weights), 99.5)
    assert all(image.get_clim() == pytest.approx((-limit, limit)) for image in drawn)
    assert [np.array_equal(image.get_array(), w) for image, w in zip(drawn, weights, strict=True)] == [True] * 3
    places = [image.get_extent() for image in drawn]
    assert len({tuple(place) for place in places}) == 3 and len(named.axes) == 2  # tiles, and the bar
    largest = figures.plot_weights(weights, count=2)
    assert [text.get_text() for text in largest.axes[0].texts] == ["", "1", "2"]  # by norm
    with pytest.raises(ValueError, match="as many names, got 3"):
        figures.plot_weights(weights, ["a"])
    figures.plot_weights(np.zeros((1, 2, 2)))


def test_weights_of_colour_images_are_grey_at_zero() -> None:
    weights = np.zeros((2, 3, 4, 4))
    weights[0, 0] = 2.0
    figure = figures.plot_weights(weights, ["red", "none"])
    red, none = figure.axes[0].images
    assert np.all(none.get_array() == 0.5) and np.array_equal(red.get_array()[0, 0], [1, 0.5, 0.5])
    assert len(figure.axes) == 1  # no bar: colours are the channels


# Histograms


def recorded(epochs: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    with HistogramRecorder(model, bins=10) as recorder:
        for epoch in range(epochs):
            model.zero_grad()
            model(torch.randn(20, 4)).sum().backward()
            recorder.record(epoch + 1)
    return recorder.records


def test_recorder_counts_every_value_once() -> None:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.5))
    recorder = HistogramRecorder(model, bins=7)
    output = model(torch.randn(20, 4))
    output.sum().backward()
    model.eval()
    model(torch.full((50, 4), 1e6))  # evaluation is not looked at
    recorder.record(1)
    recorder.remove()
    model.train()(torch.randn(1, 4))
    record = recorder.records[0]
    for values, histogram in [
        (model[0].weight.detach().numpy(), record["weight"]["0.weight"]),
        (model[0].weight.grad.numpy(), record["gradient"]["0.weight"]),
        (output.detach().numpy(), record["activation"]["1 Dropout"]),
    ]:
        assert (histogram["low"], histogram["high"]) == (values.min(), values.max())
        values = values.astype(np.float64)
        assert histogram["counts"] == np.histogram(values, 7, (values.min(), values.max()))[0].tolist()
        assert sum(histogram["counts"]) == values.size and histogram["not_finite"] == 0
    assert not recorder._outputs


def test_recorder_survives_what_is_not_finite_and_constants(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0], [float("nan"), float("inf")]]))
        model.bias.fill_(3.0)
    with HistogramRecorder(model) as recorder:
        recorder.record(1)
    weight, bias = recorder.records[0]["weight"]["weight"], recorder.records[0]["weight"]["bias"]
    assert (weight["low"], weight["high"], weight["not_finite"]) == (1.0, 2.0, 2)
    assert sum(bias["counts"]) == 2 and recorder.records[0]["gradient"] == {}
    recorder.save(tmp_path / "histograms.json")
    assert [path.name for path in tmp_path.iterdir()] == ["histograms.json"]
    figures.plot_histograms(recorder.records)


def test_histograms_have_a_panel_for_every_tensor_but_biases() -> None:
    figure = figures.plot_histograms(recorded(4))
    titles = {axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()}
    assert titles == {
        *("Weights: 0.weight", "Weights: 2.weight", "Gradients: 0.weight", "Gradients: 2.weight"),
        *("Activations: 0 Linear", "Activations: 1 ReLU", "Activations: 2 Linear"),
    }
    assert len(figures.plot_histograms(recorded(1), kinds=["weight"]).axes) == 2
    for nothing in ([], [{"at": 1, "weight": {}, "gradient": {}, "activation": {}}]):
        with pytest.raises(ValueError, match="no histograms of weight, activation, gradient"):
            figures.plot_histograms(nothing)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(any), st.floats(-5, 5), st.floats(0, 10))
def test_rebinning_keeps_the_mass(counts: list[int], low: float, width: float) -> None:
    from tinygrad_lab.experiments.figures.distributions import _density

    histogram = {"low": low, "high": low + width, "counts": counts}
    assert _density([histogram], low - 1, low + width + 1).sum() == pytest.approx(1)


# Files, names, settings

EVERY = {
    "curves": lambda path, name: figures.plot_curves({name: history(), name + "2": history(2)}, path),
    "lines": lambda path, name: figures.plot_lines(name, {name: [1, 2], "b": [2, 1]}, path, x_label="step"),
    "swept": lambda path, name: figures.plot_swept(name, [name, "b"], {name: [[1], [2]], "": [[2], [1]]}, path),
    "grid": lambda path, name: figures.plot_grid((name, name), [name], [name, "b"], [[1, 2]], path, measure=name),
    "confusion": lambda path, name: figures.plot_confusion(np.eye(2, dtype=int), [name, "b"], path),
    "misclassified": lambda path, name: figures.plot_misclassified(
        np.zeros((1, 2, 2)), [0], [1], [1], [name, "b"], path
    ),
    "weights": lambda path, name: figures.plot_weights(np.ones((1, 3, 2, 2)), [name], path, title=name),
    "histograms": lambda path, name: figures.plot_histograms(
        [{"at": 1, "weight": {name: {"low": 0.0, "high": 1.0, "counts": [1, 2], "not_finite": 0}}}],
        path,
        kinds=["weight"],
    ),
}


@pytest.mark.parametrize("figure", EVERY)
def test_every_figure_is_a_file_or_a_figure_whatever_the_names(figure: str, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    draw = EVERY[figure]
    assert draw(tmp_path / "new" / "a.png", HOSTILE) == tmp_path / "new" / "a.png"
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    first = draw(tmp_path / "a.svg", HOSTILE).read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    if figure in ("lines", "weights"):  # markers and images: no dates, no random names
        assert draw(tmp_path / "a.svg", HOSTILE).read_bytes() == first
    with pytest.raises(ValueError, match=r"must end in .png or .svg, got 'a.bmp'"):
        draw(tmp_path / "a.bmp", HOSTILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "new"]


@pytest.mark.parametrize("figure", EVERY)
def test_nothing_is_clipped_and_text_is_large(figure: str) -> None:
    from matplotlib.text import Text

    drawn = EVERY[figure](None, "name")
    width, height = drawn.get_size_inches()
    box = drawn.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width + 1e-6 and box.y1 <= height + 1e-6
    for text in [text for axes in drawn.axes for text in axes.texts if text.get_text()]:
        extent = text.get_window_extent().transformed(drawn.dpi_scale_trans.inverted())
        assert extent.x0 > 0 and extent.y0 > 0 and extent.x1 < width and extent.y1 < height
    assert all(text.get_fontsize() >= 12 for text in drawn.findobj(Text))


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    path = figures.plot_lines("a", {"a": [1, 2]}, tmp_path / "a.png")
    before = path.read_bytes()

    def fail(self: Any, name: Any, **options: Any) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.plot_lines("b", {"b": [2, 1]}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_users_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    import matplotlib

    plain = figures.plot_lines("a", {"a": [1, 2]}, tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 3, "lines.linewidth": 9}):
        mine = dict(matplotlib.rcParams)
        assert figures.plot_lines("a", {"a": [1, 2]}, tmp_path / "b.png").read_bytes() == plain
        assert dict(matplotlib.rcParams) == mine


def test_no_figure_is_kept_by_pyplot() -> None:
    from matplotlib import pyplot

    for name in ("lines", "weights"):
        EVERY[name](None, "a")
    assert pyplot.get_fignums() == []


def test_figures_from_several_threads(tmp_path: Path) -> None:
    alone = figures.plot_lines("a", {"a": [1, 2]}, tmp_path / "alone.png").read_bytes()
    workers = [
        threading.Thread(target=figures.plot_lines, args=("a", {"a": [1, 2]}, tmp_path / f"{i}.png")) for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all((tmp_path / f"{i}.png").read_bytes() == alone for i in range(4))


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_lab\[lab\]'"):
        figures.plot_curves({"a": history()})


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.1, 8))
def test_labels_are_spread_in_order_and_within(places: list[float], gap: float) -> None:
    spread = style.spread_out(places, gap, 0, 100)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert all(spread[b] - spread[a] >= gap - 1e-9 for a, b in itertools.pairwise(order))
    assert min(spread) >= -1e-9 and max(spread) <= 100 + 1e-9  # there is room: 12 * 8 < 100
