"""reproduce: every row of every report runs, quickly, on the digits; what is finished is not run again; the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lab import datasets, verify
from tinygrad_lab.cli import main
from tinygrad_lab.experiments import Experiment, read_toml
from tinygrad_lab.experiments.history import History
from tinygrad_lab.experiments.reproduce import REPORTS, Context, Group, Line, Task, reproduce
from tinygrad_lab.experiments.reproduce.by_hand import gradient_by_loop, gradient_by_matrices
from tinygrad_lab.experiments.reproduce.document import Finished
from tinygrad_lab.experiments.reproduce.rows import judge, quick_version
from tinygrad_lab.experiments.tables import Outcome
from tinygrad_lab.nn import functional
from tinygrad_lab.tensor import wrap

for library in ("typer", "sklearn", "tqdm", "threadpoolctl", "matplotlib", "PIL"):
    pytest.importorskip(library)

EXAMPLES = Path(__file__).parent.parent / "examples" / "reproduce"
GROUPS = [group for report in REPORTS.values() for group in report.groups]


def silent(text: str) -> None:
    pass


# Descriptions


def test_every_experiment_is_a_file_of_its_name_in_examples() -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("examples are not installed")
    assert sorted(path.stem for path in EXAMPLES.glob("*.toml")) == sorted(group.name for group in GROUPS)
    for group in GROUPS:
        base, swept = read_toml(EXAMPLES / f"{group.name}.toml")
        assert base == group.base, group.name
        assert list(swept) == list(group.grid)
        again = Group(group.name, group.what, base, swept)
        assert again.experiments() == group.experiments(), group.name


def test_names_are_unique_and_say_their_report() -> None:
    for number, report in REPORTS.items():
        names = [part.name for part in report.parts]
        assert len(set(names)) == len(names)
        assert all(name.startswith(f"{number}-") for name in names)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_groups_have_a_figure_for_each_combination_and_seed_0(group: Group) -> None:
    experiments = group.experiments()
    assert len(group.figures()) == len(experiments) >= 1
    assert len({experiment.key for _, experiment in experiments}) == len(experiments)
    assert all(experiment.seed == 0 for _, experiment in experiments)
    assert (group.draw != "swept" or len(group.grid) == 1) and (group.draw != "grid" or len(group.grid) == 2)
    assert set(group.beside) <= {other.name for other in GROUPS if other.grid == group.grid}
    assert quick_version(group.base).dataset in ("digits", "fashion-mnist")


def test_the_reports_figures_are_those_of_the_reports() -> None:
    figures = {group.name: group.figures() for group in GROUPS}
    assert figures["000-sgd-against-momentum"] == [{"test": 0.8997}, {"test": 0.9208}]
    assert [f["test"] for f in figures["000-learning-rates"]] == [0.8977, 0.9169, 0.9201, 0.9197, 0.9174, 0.9013]
    assert [f["test"] for f in figures["000-batch-sizes"]] == [0.890, 0.9221, 0.9229, 0.9194, 0.9167]
    assert figures["003-rate-and-l2"][0] == {"validation": 0.371, "test": 0.360}
    targets = {group.name: group.target for group in GROUPS if group.target}
    assert targets == {
        "000-at-its-best": 0.925,
        "002-hog-pca-softmax": 0.52,
        "002-hog-pca-network": 0.58,
        "003-softmax-at-its-best": 0.39,
        "003-network": 0.53,
        "003-network-batch-norm": 0.55,
        "004-widest-at-its-best": 0.983,
    }


# Judging


@pytest.mark.parametrize(
    ("ours", "figures", "target", "said"),
    [
        ({"test": 0.92}, {}, None, "no figure in the report"),
        ({"test": 0.91996}, {"test": 0.92}, None, "reached"),  # printed as 0.9200
        ({"test": 0.91994}, {"test": 0.92}, None, "below by 0.0001"),
        ({"test": 0.9, "train": 0.8}, {"test": 0.9, "train": 0.85}, None, "below by 0.0500"),
        ({"test": 0.95}, {"test": 0.9}, 0.95, "reached; target 0.95 reached"),
        ({"test": 0.85}, {"test": 0.9}, 0.95, "below by 0.0500; target 0.95 missed"),
        ({"test": None}, {"test": 0.9}, None, "below by 0.9000"),
    ],
)
def test_verdicts(ours: dict, figures: dict, target: float | None, said: str) -> None:
    assert judge(ours, figures, target) == said


def outcome(experiment: Experiment, validation: float, test: float) -> Outcome:
    history = History(
        experiment.as_dict(), validation_accuracy=[validation], kept_epoch=1, test_accuracy=test, seconds=2.0
    )
    return Outcome(experiment, history)


def test_the_best_is_chosen_by_validation_and_alone_is_judged() -> None:
    group = Group("x", "what", Experiment(), {"lr": [0.1, 0.2, 0.3]}, [0.9], target=0.95, best=True)
    experiments = [experiment for _, experiment in group.experiments()]
    reached = [(0.5, 0.99), (0.8, 0.91), (0.8, 0.97)]
    outcomes = [outcome(e, *values) for e, values in zip(experiments, reached, strict=True)]
    assert [(line.report, line.ours, line.verdict) for line in group.lines(outcomes)] == [
        ("", "0.9900", "no figure in the report"),
        ("0.9000", "0.9100", "reached; target 0.95 missed"),
        ("", "0.9700", "no figure in the report"),
    ]
    summary = Group("x", "what", Experiment(), group.grid, [0.9], best=True, summary=True)
    (line,) = summary.lines(outcomes)
    assert line.what == "what: the best by validation of 3, lr 0.2" and line.seconds == 6.0


def test_failed_and_diverged_runs_say_so() -> None:
    failed = Outcome(Experiment(), None, "RuntimeError: data are missing")
    assert Group("x", "what", Experiment()).lines([failed])[0].verdict == "failed"
    diverged = Outcome(Experiment(), None, "Diverged: the run diverged: the l2 term")
    (line,) = Group("x", "what", Experiment(), diverges=True).lines([diverged])
    assert line.verdict == "stops with this message" and line.ours == "the run diverged: the l2 term"
    (line,) = Group("x", "what", Experiment(), diverges=True).lines([outcome(Experiment(), 0.5, 0.5)])
    assert line.verdict == "did not overflow"


def test_other_images_in_fashion_files_are_not_judged() -> None:
    base = Experiment(dataset="fashion-mnist")
    group = Group("x", "what", base, report=[0.89])
    (line,) = group.lines([outcome(base, 0.9, 0.97)], real_fashion=False)
    assert "no comparison" in line.verdict
    assert group.lines([outcome(base, 0.9, 0.97)])[0].verdict == "reached"


# By hand


def test_gradients_by_hand_are_right() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 5)), rng.integers(0, 4, 7)
    w, b = rng.normal(size=(5, 4)), rng.normal(size=4)

    def loss(w, b):
        return functional.cross_entropy(wrap(x) @ w + b, wrap(y))

    for gradient in (gradient_by_loop, gradient_by_matrices):
        assert verify.gradcheck(loss, (w, b), gradient(x, y, w, b))
    wrong = [2 * part for part in gradient_by_loop(x, y, w, b)]
    assert not verify.gradcheck(loss, (w, b), tuple(wrong))


# Running


def test_data_are_found_in_the_folder_or_in_one_of_their_name(tmp_path: Path) -> None:
    context = Context(tmp_path, tmp_path / "out", tmp_path / "figures", quick=True)
    assert context.root("mnist") == tmp_path
    (tmp_path / "mnist").mkdir()
    assert context.root("mnist") == tmp_path / "mnist"
    assert not context.real_fashion
    (tmp_path / "FashionMNIST").mkdir()
    assert context.root("fashion-mnist") == tmp_path and context.real_fashion


def test_fashion_files_are_made_of_other_images_where_there_are_none(tmp_path: Path) -> None:
    context = Context(tmp_path, tmp_path / "out", tmp_path / "figures", quick=True)
    made = datasets.load("fashion-mnist", context.root("fashion-mnist"), validation=60)
    assert made.classes[9] == "Ankle boot"
    assert made.train.tensors[0].shape == (300, 784) and float(made.train.tensors[0].max()) <= 1
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.gz"))
    assert context.root("fashion-mnist") and before == sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("*.gz"))


def test_report_000_runs_once_and_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "pages" / "reproduction.md"
    options = {"out": tmp_path / "out", "document": document, "jobs": 1, "quick": True, "tell": silent}
    (lines,) = reproduce(["000"], note="digits", **options).values()
    assert len(lines) == 15 and {line.verdict for line in lines} == {"quick"}
    text = document.read_text()
    assert "## 000: MNIST, softmax regression" in text and "- data: digits" in text
    assert "| 000-learning-rates | momentum 0.9, batch 100, 10 epochs: lr 0.5 | 0.9013 |" in text
    for name in ("000-sgd-against-momentum", "000-learning-rates", "000-batch-sizes"):
        assert f"(reproduction/{name}.png)" in text
        assert (document.parent / "reproduction" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    def never(*arguments, **named):
        raise AssertionError("a finished experiment was run again")

    monkeypatch.setattr("tinygrad_lab.experiments.sweeping.run", never)
    (again,) = reproduce(["000"], **options).values()
    assert again == lines


def test_the_page_keeps_the_other_reports_rows(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    Finished("004", [Line("004-kept", "what | that", "0.9", "0.95", "reached", 1.5)], [], 1.5).save(tmp_path / "quick")
    reproduce(["000"], out=tmp_path, document=document, jobs=1, quick=True, tell=silent)
    text = document.read_text()
    assert text.index("## 000") < text.index("## 004")
    assert "| 004-kept | what \\| that | 0.9 | 0.95 | reached | 1.5 |" in text


def test_finished_tasks_are_remembered_and_damaged_ones_done_again(tmp_path: Path) -> None:
    calls = []

    def measure(context: Context) -> list[Line]:
        calls.append(context)
        return [Line("x", "what", "", "1", "right", 0.5)]

    context = Context(tmp_path, tmp_path, tmp_path / "figures", tell=silent)
    first = context.measured(Task("x", measure))
    assert context.measured(Task("x", measure)) == first and len(calls) == 1
    (tmp_path / "tasks" / "x.json").write_text(json.dumps([{"name": "x"}])[:-3])
    assert context.measured(Task("x", measure)) == first and len(calls) == 2


def test_missing_data_and_unknown_reports_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no report is called 005; there are 000, 001, 002, 003, 004 and all"):
        reproduce(["005"], tmp_path, tmp_path, tmp_path / "page.md")
    with pytest.raises(RuntimeError, match="dataset not found"):
        reproduce(["000"], tmp_path, tmp_path / "out", tmp_path / "page.md", jobs=1, tell=silent)
    assert not (tmp_path / "page.md").exists() and not (tmp_path / "out").exists()


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", *arguments])
    return int(stopped.value.code or 0)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("005") == 2
    assert "no report is called 005" in capsys.readouterr().err
    assert command("000", "--jobs", "0") == 2
    assert "jobs must be at least 1, got 0" in capsys.readouterr().err
    assert command("000", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1") == 1
    assert "MNIST: dataset not found" in capsys.readouterr().err


@pytest.mark.slow
def test_everything_runs_quickly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("all", "--quick", "--jobs", "1", "--data", str(tmp_path), "--out", str(tmp_path)) == 0
    text = (tmp_path / "quick" / "reproduction.md").read_text()
    for report in REPORTS.values():
        for part in report.parts:
            assert f"| {part.name} |" in text
    assert "stops with this message" in text and "failed" not in text
    assert "equal to the bit" in text and "equal to the byte" in text
