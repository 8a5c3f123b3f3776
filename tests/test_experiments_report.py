"""Reports: one page that needs nothing else, holds what the run's files hold, and escapes every text."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from tinygrad_lab.experiments import Experiment, Run, examination, read_toml, run, sweep
from tinygrad_lab.experiments.page import Page, themed_svg
from tinygrad_lab.experiments.report import report
from tinygrad_lab.experiments.sweep_report import read_sweep

HOSTILE = "<script>alert('1')</script>&\"\x00$\\frac{"


class Seen(HTMLParser):
    """Tags with their attributes, texts, and whether every tag that is opened is closed."""

    VOID = ("meta", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]

    def rows(self) -> list[list[str]]:
        """All that is in cells of tables, as one list per row."""
        found: list[list[str]] = []
        for row in re.findall(r"<tr>(.*?)</tr>", self.source, re.S):
            found.append(re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S))
        return found

    def feed(self, data: str) -> None:
        self.source = data
        super().feed(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("runs") / "softmax & co"
    run(Experiment(lr=0.5, batch_size=32, epochs=3), target, progress=False)
    return target


@pytest.fixture(scope="module")
def page(folder: Path) -> Seen:
    path = report(folder)
    assert path == folder / "report.html"
    return Seen(path.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page: Seen) -> None:
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in page.images)
    assert all(image["alt"] for image in page.images)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert all(re.fullmatch(r"#s\d+", link or "") for link in links)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_figures_are_whole_and_follow_the_readers_scheme(page: Seen) -> None:
    assert len(page.images) >= 6
    for image in page.images:
        svg = base64.b64decode((image["src"] or "").split(",")[1]).decode()
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in svg and "var(--c0)" in svg
        body = svg.partition("</style>")[2]
        assert "#1a1a1a" not in body and "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", body)


def test_the_page_says_what_the_files_hold(folder: Path, page: Seen) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = page.rows()
    assert ["test", f"{metrics['test_loss']:.4f}", f"{metrics['test_accuracy']:.4f}"] in rows
    epoch = next(row for row in rows if row[0] == "2")
    assert epoch[1:5] == [
        f"{metrics[name][1]:.4f}" for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    ]
    assert ["lr", "0.5", "0.1"] in rows and ["epochs", "3", "10"] in rows
    assert "Run softmax & co" in page.texts and f"{metrics['test_accuracy']:.4f}" in page.texts
    assert not any(text.startswith("Note:") for text in page.texts)  # tested again, it is the same accuracy


def test_the_configuration_on_the_page_is_the_experiment(folder: Path, page: Seen) -> None:
    text = next(text for text in page.texts if text.startswith("dataset = "))
    assert Experiment.from_dict(tomllib.loads(text)) == Run.load(folder).experiment
    assert "tinygrad-lab run experiment.toml" in page.texts


def test_confusions_are_of_every_test_image(folder: Path, page: Seen) -> None:
    done = Run.load(folder)
    examined = examination.examine(done)
    counts = examination.confusion_matrix(examined.labels, examined.predicted, 10)
    assert counts.sum() == 360 and np.trace(counts) == round(done.history.test_accuracy * 360)  # type: ignore[operator]
    recall, precision = counts[3, 3] / counts[3].sum(), counts[3, 3] / counts[:, 3].sum()
    assert ["3", str(counts[3].sum()), f"{recall:.4f}", f"{precision:.4f}"] in page.rows()
    assert examined.images.shape == (360, 1, 8, 8) and 0 <= examined.images.min() <= examined.images.max() <= 1
    assert examined.probabilistic and np.all((examined.scores > 0.1) & (examined.scores <= 1))


def test_first_weights_are_images_of_the_pixels(folder: Path) -> None:
    done = Run.load(folder)
    weights = examination.first_weights(done)
    assert weights is not None and weights.shape == (10, 1, 8, 8)
    assert np.array_equal(weights.reshape(10, 64), done.model[0].weight.detach().numpy())  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({"model": "mlp", "hidden": (70,), "l1": 1e-6}, "First-layer weights: 60 of 70 units", "Template"),
        ({"preprocess": ("scale", "pca:0.9")}, "None are shown as images", "Template"),
        ({"model": "linear", "loss": "mse", "lr": 0.01}, "its output.", "its probability."),
        ({"validation": 0, "epochs": 1}, "Template of each class", "validation accuracy"),
        ({"l1": 0.01, "proximal": True}, "Sparsity: share of the weights", "No weight is exactly 0"),
        ({"l1": 1e-6}, "No weight is exactly 0", "Sparsity"),
        ({"schedule": "inverse:0.5"}, "Learning rate by epoch", "Norm of the step"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_runs_of_all_kinds(changes: dict[str, Any], said: str, unsaid: str, tmp_path: Path) -> None:
    run(Experiment(**{"epochs": 2, "lr": 0.1, **changes}), tmp_path, progress=False)
    text = report(tmp_path).read_text(encoding="utf-8")
    Seen(text)
    assert said in text and unsaid not in text


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the figures of pages show; they are not rendered, which takes half of a page's time."""
    titles: list[str] = []
    monkeypatch.setattr(Page, "figure", lambda page, figure, what, caption="": titles.append(what))
    return titles


def test_features_and_histograms(tmp_path: Path, shown: list[str]) -> None:
    experiment = Experiment(epochs=2, preprocess=("scale", "pca:0.9"))
    run(experiment, tmp_path, progress=False, histograms=True)
    text = report(tmp_path).read_text(encoding="utf-8")
    assert "None are shown as images" in text and "None were recorded" not in text
    assert shown[-1].startswith("Histograms of weights, activations and gradients")
    assert not any(what.startswith("Template") for what in shown)


@pytest.mark.slow
def test_damaged_histograms_are_told(folder: Path, tmp_path: Path, shown: list[str]) -> None:
    for name in ("model.safetensors", "preprocessing.safetensors", "metrics.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for damaged in ("[{}]", "{", "5"):
        (tmp_path / "histograms.json").write_text(damaged)
        with pytest.raises(RuntimeError, match=r"histograms.json is damaged"):
            report(tmp_path)


def test_a_sweep_has_its_table_its_figure_and_its_failures(tmp_path: Path) -> None:
    base = Experiment(epochs=2, batch_size=64)
    result = sweep(base, {"lr": [0.05, 0.5], "l2": [0.0, 1e4]}, [0, 1], tmp_path, progress=False)
    result.write(tmp_path)
    assert read_sweep(tmp_path) == result_without_folders(result)
    seen = Seen(report(tmp_path).read_text(encoding="utf-8"))
    best = result.means("validation_accuracy")[2]
    assert [f"{best:.4f} ± " in text for text in seen.texts].count(True) == 1
    assert next(row[-1] for row in seen.rows() if row[:2] == ["0.5", "10000"]) == "2 of 2"
    assert sum("Diverged" in row[-1] for row in seen.rows()) == 4
    assert [image["alt"] for image in seen.images] == ["validation accuracy by lr and l2", "Runs with seed 0"]
    config = tmp_path / "sweep.toml"
    config.write_text(next(text for text in seen.texts if "[sweep]" in text))
    again, swept = read_toml(config)
    assert swept == {"lr": [0.05, 0.5], "l2": [0.0, 1e4], "seeds": [0, 1]}
    assert again.replace(lr=base.lr, l2=base.l2) == base


def result_without_folders(result: Any) -> Any:
    outcomes = [dataclasses.replace(outcome, folder=None) for outcome in result.outcomes]
    return dataclasses.replace(result, outcomes=outcomes)


@pytest.mark.slow
def test_a_sweep_that_is_no_grid_is_given_as_python(tmp_path: Path) -> None:
    combinations = [{"lr": 0.1}, {"optimizer": "adam", "lr": 0.01}, {"momentum": 0.9}]
    base = Experiment(epochs=1, validation=0)
    result = sweep(base, combinations, folder=tmp_path, progress=False)
    result.write(tmp_path)
    code = next(text for text in Seen(report(tmp_path).read_text()).texts if "sweep(" in text)
    calls: list[Any] = []
    exec(code.replace("import Experiment, sweep", "import Experiment"), {"sweep": lambda *a, **k: calls.append((a, k))})
    (experiment, points), options = calls[0]
    wanted = [base.replace(**changes) for changes in combinations]
    assert [experiment.replace(**point, seed=options["seeds"][0]) for point in points] == wanted


def test_names_are_escaped_and_another_test_set_is_noticed(folder: Path, tmp_path: Path, shown: list[str]) -> None:
    target = tmp_path / "<img src=x onerror=alert(1)>"
    target.mkdir()
    for name in ("model.safetensors", "preprocessing.safetensors"):
        (target / name).write_bytes((folder / name).read_bytes())
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["classes"] = [HOSTILE] * 10
    metrics["test_accuracy"] = 0.5
    (target / "metrics.json").write_text(json.dumps(metrics))
    text = report(target).read_text(encoding="utf-8")
    seen = Seen(text)
    assert "<script" not in text and "onerror=alert(1)>" not in text and "\x00" not in text
    assert "Run <img src=x onerror=alert(1)>" in seen.texts
    assert any(text.startswith("Note: for this page the test accuracy was computed again") for text in seen.texts)


def test_page_escapes_all_of_it() -> None:
    from matplotlib.figure import Figure

    page = Page(HOSTILE, HOSTILE)
    page.section(HOSTILE)
    page.text(HOSTILE)
    page.facts([(HOSTILE, HOSTILE)])
    page.code(HOSTILE)
    page.table([HOSTILE], [[HOSTILE]], fold=HOSTILE)
    page.figure(Figure(), HOSTILE, HOSTILE)
    seen = Seen(page.html())
    assert "script" not in {tag for tag, _ in seen.tags}
    # Title twice, lead, section twice, text, fact twice, code, fold, head, cell, caption.
    assert seen.texts.count(HOSTILE.replace("\x00", "\ufffd")) == 13
    assert seen.images[0]["alt"] == HOSTILE.replace("\x00", "\ufffd")


def test_tables_align_numbers_and_mark_the_best() -> None:
    page = Page("", "")
    page.table(["name", "value"], [["a", 0.5], ["b", None], ["c", 12345]], best=[(0, 1)])
    text = page.html()
    assert '<th class="number">value</th>' in text and '<td class="number best">0.5000</td>' in text
    assert '<td class="number">12,345</td>' in text and '<td class=""></td>' in text


def test_a_themed_figure_keeps_the_colours_of_cells() -> None:
    from tinygrad_lab.experiments.figures import plot_grid

    svg = themed_svg(plot_grid(("a", "b"), [1, 2], [1], [[0.1], [0.9]]))
    assert "#ffffff" in svg and "var(--c0)" in svg  # white text on a dark cell stays white


@pytest.mark.parametrize(
    ("files", "kind", "complaint"),
    [
        ({}, ValueError, "holds no finished run"),
        ({"metrics.json": "{"}, RuntimeError, "metrics.json is damaged"),
        ({"runs.csv": ""}, RuntimeError, "runs.csv cannot be read"),
        ({"runs.csv": "lr,seed,key,error\n0.1,0,abc,\n"}, RuntimeError, "runs.csv cannot be read: .*abc holds no"),
        ({"runs.csv": "lr,seed,key,error\nx,0,abc,failed\n"}, RuntimeError, "lr must be a number, got x"),
    ],
)
def test_a_folder_without_a_run(files: dict[str, str], kind: type[Exception], complaint: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=complaint):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_missing_data_are_asked_for_by_their_option(folder: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "preprocessing.safetensors", "metrics.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    metrics["experiment"]["dataset"] = "mnist"
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RuntimeError, match=r"needs the test images of mnist: name the folder with --data"):
        report(tmp_path, tmp_path / "nowhere")


@pytest.mark.slow
def test_the_same_run_gives_the_same_page(folder: Path, page: Seen) -> None:
    assert report(folder).read_text(encoding="utf-8") == page.source
    assert not list(folder.glob(".report*"))


def test_the_command_says_where_the_page_is(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("typer")
    from tinygrad_lab.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(["report", str(folder / "nothing")])
    assert stopped.value.code == 2 and "holds no finished run" in capsys.readouterr().err
    monkeypatch.setattr("tinygrad_lab.commands.report.report", lambda given, data: given / f"{data}.html")
    with pytest.raises(SystemExit) as stopped:
        main(["report", "net", "--data", "files"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"report: {Path('net') / 'files.html'}\n"
