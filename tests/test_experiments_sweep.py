"""sweep: every combination once, remembered, the same tables however it runs, and failures that lose nothing."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

from tinygrad_lab.cli import main
from tinygrad_lab.experiments import Experiment, SweepResult, sweep, training
from tinygrad_lab.experiments.sweep_report import read_sweep
from tinygrad_lab.experiments.sweeping import _prepare_once

BASE = Experiment(epochs=2, batch_size=100)
GRID: dict[str, Any] = {"lr": [0.02, 0.1, 0.5], "momentum": [0.0, 0.9]}  # with two seeds: 12 runs


def quiet(*arguments: Any, **options: Any) -> SweepResult:
    return sweep(*arguments, progress=False, **options)


def tables(result: SweepResult) -> tuple[str, str, str]:
    return result.csv(), result.runs_csv(), result.markdown()


@pytest.fixture(scope="module")
def serial() -> SweepResult:
    return quiet(BASE, GRID, [0, 1])


def test_every_combination_runs_once_in_the_grids_order(serial: SweepResult) -> None:
    assert serial.points == [(lr, m) for lr in (0.02, 0.1, 0.5) for m in (0.0, 0.9)]
    assert [outcome.experiment.seed for outcome in serial.outcomes] == [0, 1] * 6 and not serial.failures
    rows = list(csv.DictReader(io.StringIO(serial.csv())))
    assert len(rows) == 6 and {row["finished"] for row in rows} == {"2"} and {row["failed"] for row in rows} == {"0"}
    runs = list(csv.DictReader(io.StringIO(serial.runs_csv())))
    assert len({run["key"] for run in runs}) == 12
    for i, row in enumerate(rows):
        tests = [float(run["test_accuracy"]) for run in runs[2 * i : 2 * i + 2]]
        assert float(row["test_accuracy_mean"]) == pytest.approx(statistics.mean(tests), abs=1e-15)
        assert float(row["test_accuracy_sd"]) == pytest.approx(statistics.stdev(tests), abs=1e-15)
    best = serial.best()
    assert serial.means("validation_accuracy")[serial.points.index((best.lr, best.momentum))] == max(
        mean for mean in serial.means("validation_accuracy") if mean is not None
    )
    assert serial.markdown().count("**") == 2 and serial.markdown().splitlines()[0].startswith(
        "| lr | momentum | train"
    )
    with pytest.raises(ValueError, match="measure must be one of train_accuracy, validation_accuracy, test_accuracy"):
        serial.values("accuracy")


def test_a_run_of_a_sweep_is_the_run_alone(serial: SweepResult) -> None:
    outcome = serial.of(3)[1]
    alone = training.run(outcome.experiment, progress=False).history
    assert outcome.history is not None
    assert {**vars(alone), "seconds": 0} == {**vars(outcome.history), "seconds": 0}


@pytest.mark.slow
def test_the_tables_of_two_processes_are_the_serial_ones(serial: SweepResult, tmp_path: Path) -> None:
    assert tables(quiet(BASE, GRID, [0, 1], tmp_path, n_jobs=2)) == tables(serial)
    again = quiet(BASE, GRID, [0, 1], tmp_path)  # read back from the folder
    assert tables(again) == tables(serial)


@pytest.mark.slow
def test_the_tables_of_a_dask_cluster_are_the_serial_ones(serial: SweepResult) -> None:
    """In an interpreter of its own: a cluster leaves threads and sockets behind that would end other tests."""
    pytest.importorskip("distributed")
    code = """
import sys
from distributed import LocalCluster
from tinygrad_lab.experiments import Experiment, sweep
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster:
        result = sweep(Experiment(epochs=2, batch_size=100), {"lr": [0.02, 0.1, 0.5], "momentum": [0.0, 0.9]}, [0, 1],
                       dask=cluster.scheduler_address, progress=False)
    sys.stdout.write(result.csv() + result.runs_csv() + result.markdown())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "".join(tables(serial)), done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_sweep_goes_on_with_what_is_missing(jobs: int, serial: SweepResult, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        "epochs = 2\nbatch_size = 100\n[sweep]\nseeds = [0, 1]\nlr = [0.02, 0.1, 0.5]\n"
    )
    command = [sys.executable, "-m", "tinygrad_lab", "sweep", str(tmp_path / "base.toml"), "--grid", "momentum=0,0.9"]
    command += ["--out", str(tmp_path / "out"), "--jobs", str(jobs), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finished() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/metrics.json")}

    deadline = time.time() + 120
    while process.poll() is None and len(finished()) < 3 and time.time() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    kept = finished()
    assert 3 <= len(kept) < 12 and not (tmp_path / "out" / "table.csv").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "leaked" not in done.stderr, done.stderr
    after = finished()
    assert len(after) == 12 and {key: after[key] for key in kept} == kept
    written = [(tmp_path / "out" / name).read_text() for name in ("table.csv", "runs.csv", "table.md")]
    assert tuple(written) == tables(serial) and (tmp_path / "out" / "sweep.png").stat().st_size > 1000


def test_only_what_is_missing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = training.run

    def counted(experiment: Experiment, *rest: Any, **options: Any) -> Any:
        made.append(experiment.key)
        return real(experiment, *rest, **options)

    monkeypatch.setattr("tinygrad_lab.experiments.sweeping.run", counted)
    quiet(BASE, {"lr": [0.1, 0.5]}, [0], tmp_path)
    assert len(made) == 2
    first = quiet(BASE, {"lr": [0.1, 0.5, 0.1, 1.0]}, [0, 1, 0], tmp_path)  # values and seeds given twice count once
    assert len(made) == len(set(made)) == 6 and len(first.outcomes) == 6
    damaged = tmp_path / first.outcomes[0].experiment.key / "metrics.json"
    damaged.write_text("{")
    assert tables(quiet(BASE, {"lr": [0.1, 0.5, 1.0]}, [0, 1], tmp_path)) == tables(first)
    assert len(made) == 7 and json.loads(damaged.read_text())["experiment"]["lr"] == 0.1


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_failed_runs_are_reported_and_lose_nothing(jobs: int, tmp_path: Path) -> None:
    grid = {"l2": [0.0, 900.0], "batch_size": [100, 5000]}
    result = quiet(BASE.replace(epochs=6, lr=1.0), grid, [0, 1], tmp_path, n_jobs=jobs)
    assert not multiprocessing.active_children()  # workers end with their sweep
    assert [row["failed"] for row in result.rows()] == [0, 2, 2, 2]
    errors = [outcome.error for outcome in result.failures]
    assert sum("batch_size must be at most the 1077" in error for error in errors) == 4
    assert sum("Diverged: the run diverged: the l2 term is no longer finite" in error for error in errors) == 2
    text = result.markdown()
    assert "| 2 of 2 |" in text and "- l2 900, batch_size 100, seed 0: Diverged: " in text
    assert result.best().l2 == 0 and result.means()[1] is None
    assert len(result.write(tmp_path / "tables")) == 4
    all_failed = quiet(BASE, {"batch_size": [5000]}, None, tmp_path)
    with pytest.raises(
        RuntimeError, match="no run of this sweep has a validation_accuracy; the first failed with: Value"
    ):
        all_failed.best()
    assert len(all_failed.write(tmp_path / "none")) == 3  # without a figure


def test_preprocessing_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    """Slow preprocessing is done once before the processes start; what goes wrong there belongs to the run."""
    experiments = [BASE.replace(preprocess=(step,)) for step in ("pca:5000", "pca:5")]
    _prepare_once([(experiment, str(tmp_path), str(tmp_path / "cache")) for experiment in experiments])
    assert len(list((tmp_path / "cache").iterdir())) == 1
    result = quiet(BASE.replace(epochs=1), {"preprocess": [["pca:5000"], ["pca:5"]]}, None, tmp_path)
    assert "pca:5000: 1077 samples of 64 features" in result.failures[0].error and len(result.failures) == 1


def test_a_sweep_is_read_again_with_all_digits_and_empty_values(tmp_path: Path) -> None:
    for name, grid in (("rates", {"lr": [0.12345678, 0.12345679]}), ("steps", {"preprocess": [(), ("scale",)]})):
        written = quiet(BASE.replace(epochs=1), grid, None, tmp_path / name)
        written.write(tmp_path / name)
        again = read_sweep(tmp_path / name)
        assert again.points == written.points and [o.experiment for o in again.outcomes] == [
            o.experiment for o in written.outcomes
        ]


def test_combinations_may_be_listed() -> None:
    listed = [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "adam", "lr": 0.01}]
    result = quiet(BASE, listed)
    assert result.fields == ["optimizer", "momentum", "lr"]
    assert result.points == [("sgd", 0.9, 0.1), ("adam", 0.0, 0.01)] and not result.failures


def test_figures_of_one_two_and_three_fields(tmp_path: Path, serial: SweepResult) -> None:
    one = quiet(BASE.replace(epochs=1), {"hidden": [(4,), (4, 4)], "model": ["mlp"]})
    assert one.write(tmp_path / "two")[-1].name == "sweep.png"
    assert "| 4,4 | mlp |" in one.markdown()
    assert serial.draw(tmp_path / "heat.svg") == tmp_path / "heat.svg"
    three = quiet(BASE.replace(epochs=1, validation=0), {"lr": [0.1], "momentum": [0.5], "l2": [0.0]})
    assert three.draw(tmp_path / "three.png") is None and three.means("validation_accuracy") == [None]
    swept = quiet(BASE.replace(epochs=1, validation=0), {"schedule": ["constant", "cosine"]}, [0, 1])
    assert swept.draw(tmp_path / "swept.png") == tmp_path / "swept.png"


@pytest.mark.parametrize(
    ("grid", "options", "said"),
    [
        ({}, {}, "the grid is empty"),
        ([], {}, "the grid is empty"),
        ({"lr": []}, {}, r"grid\['lr'\] must be a list of values, got \[\]"),
        ({"lr": 0.1}, {}, r"grid\['lr'\] must be a list of values, got 0.1"),
        ({"optimizer": "adam"}, {}, "must be a list of values, got 'adam'"),
        ({"rate": [0.1]}, {}, "rate is no field of an experiment"),
        ({"lr": [0.1, -1]}, {}, "lr must be a positive number, got -1.0"),
        ({"seed": [0, 1]}, {}, "seed is no field of the grid: give seeds"),
        ({"lr": [0.1]}, {"seeds": []}, "seeds must hold at least one seed"),
        ({"lr": [0.1]}, {"n_jobs": 0}, "n_jobs must be at least 1, or -1 for all cores, got 0"),
        ({"lr": [0.1]}, {"folder": __file__}, "the folder of a sweep cannot be .*: that is a file"),
    ],
)
def test_misuse_is_told_before_the_first_run(
    grid: Any, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinygrad_lab.experiments.sweeping.run", None)
    with pytest.raises(ValueError, match=said):
        quiet(BASE, grid, **options)


def test_an_address_that_is_none_is_told_before_dask_looks_for_it() -> None:
    for address in ("scheduler", "tcp://scheduler", "localhost:8786"):
        with pytest.raises(
            ValueError, match=f"dask must be the address of a scheduler, tcp://HOST:PORT, got {address}"
        ):
            quiet(BASE, {"lr": [0.1, 0.2]}, dask=address)


@pytest.mark.slow
def test_a_dask_scheduler_that_is_not_there() -> None:
    pytest.importorskip("distributed")
    code = (
        "from tinygrad_lab.experiments import Experiment, sweep\n"
        "try:\n    sweep(Experiment(), {'lr': [0.1, 0.2]}, dask='tcp://127.0.0.1:1', progress=False)\n"
        "except OSError as error:\n    print('told:', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("told: ") and "127.0.0.1:1" in done.stdout


# The command


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def test_run_sweep_and_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text('model = "mlp"\nhidden = [8]\nepochs = 1\n[sweep]\nlr = [0.1, 0.2]\n')
    assert command("run", "net.toml", "--quiet", "--set", "epochs=2", "--set", "hidden=8,4", "--histograms") == 0
    assert "net: train 0." in capsys.readouterr().out
    written = {path.name for path in Path("runs/net").iterdir()}
    assert {"metrics.json", "model.safetensors", "checkpoint.safetensors", "curves.png", "histograms.json"} <= written
    assert command("run", "net.toml", "--quiet", "--out", "other", "--resume") == 1
    assert command("run", "net.toml", "--quiet", "--out", "other") == 0
    capsys.readouterr()
    assert command("compare", "runs/net", "other", "--out", "figures/both.png") == 0
    told = capsys.readouterr().out
    assert "| run | hidden | epochs | train | validation | test | epochs done | seconds |" in told
    assert "| net | 8,4 | 2 | 0." in told and Path("figures/both.png").stat().st_size > 1000
    assert command("sweep", "net.toml", "--quiet", "--grid", "hidden=[4],[4,4]", "--seeds", "0,1") == 0
    assert "| lr | hidden | train | validation | test |" in capsys.readouterr().out
    assert {"table.csv", "runs.csv", "table.md", "sweep.png"} <= set(os.listdir("runs/net-sweep"))
    assert command("sweep", "net.toml", "--quiet", "--grid", "batch_size=100,5000", "--out", "failing") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "absent.toml"), "cannot read absent.toml: No such file or directory"),
        (("run", "net.toml", "--set", "lr"), "expected FIELD=VALUE, for example lr=0.1, got 'lr'"),
        (("run", "net.toml", "--set", "lr=fast"), "lr must be a number, got fast"),
        (("run", "net.toml", "--set", "rate=1"), "rate is no field of an experiment; there are dataset, model"),
        (("run", "wrong.toml"), "wrong.toml: lr must be a positive number, got -1.0"),
        (("sweep", "net.toml"), "nothing to sweep over: give --grid lr=0.1,0.01, or a table [sweep]"),
        (("sweep", "net.toml", "--grid", "lr=0.1,x"), "lr must be a number, got x"),
        (("sweep", "net.toml", "--grid", "lr=0.1", "--seeds", "a"), "seed must be a whole number, got a"),
        (("sweep", "net.toml", "--grid", "lr=0.1", "--jobs", "0"), "n_jobs must be at least 1"),
        (("sweep", "net.toml", "--grid", "lr=0.1", "--out", "net.toml"), "folder of a sweep cannot be net.toml"),
        (("compare", "net.toml"), "net.toml holds no finished run"),
    ],
)
def test_bad_values_give_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text("epochs = 1\n")
    Path("wrong.toml").write_text("lr = -1\n")
    assert command(*arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors and len(errors.strip().splitlines()) == 1
