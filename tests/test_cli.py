"""The command, end to end on the digits: demo, train, resume after an interruption, and what misuse says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lab import serialization
from tinygrad_lab.cli import main

pytest.importorskip("typer")
pytest.importorskip("sklearn")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def test_demo_reaches_the_promised_accuracy_and_writes_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", "--out", str(tmp_path), "--quiet") == 0
    for name, least in (("softmax", 0.95), ("mlp", 0.97)):
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert metrics["test_accuracy"] >= least
        assert (tmp_path / name / "model.safetensors").stat().st_size > 1000
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    picture = (tmp_path / "graph.svg").read_text()
    assert picture.startswith("<svg") and ">grad<" in picture and "not computed" not in picture
    assert "0.weight" in (tmp_path / "steps.html").read_text()
    shown = capsys.readouterr().out
    assert "softmax: train" in shown and "curves.png" in shown and "graph.svg" in shown and "steps.html" in shown


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "runs/a"), "tinygrad-lab: runs/a: Permission denied"),
        (OSError("Timed out"), "tinygrad-lab: Timed out"),
        (MemoryError("Unable to allocate 233. TiB"), "tinygrad-lab: not enough memory: Unable to allocate 233. TiB"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("tinygrad_lab.commands.training.run", fail)
    assert run("train", "--quiet") == 1
    assert capsys.readouterr().err == said + "\n"


QUICK = ("train", "digits", "--model", "mlp", "--hidden", "16", "--epochs", "3", "--quiet", "--momentum", "0.9")


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in serialization.load(folder / "model.safetensors").items()}


def test_training_twice_gives_the_same_bits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(*QUICK, "--out", str(tmp_path / name)) == 0
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert run(*QUICK, "--seed", "1", "--out", str(tmp_path / "c")) == 0
    assert not np.array_equal(first["0.weight"], weights(tmp_path / "c")["0.weight"])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_resumes_to_the_bit(tmp_path: Path, stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "tinygrad_lab", "train", "digits", "--batch-size", "1", "--epochs", "4", "--quiet"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "stopped")], stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "stopped" / "checkpoint.safetensors"
    deadline = time.time() + 60
    while not checkpoint.exists() and time.time() < deadline:
        time.sleep(0.005)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert process.returncode == 130 and "--resume" in errors
    assert not (tmp_path / "stopped" / "model.safetensors").exists(), "the run ended before it could be stopped"
    environment = {**os.environ}
    subprocess.run(
        [*command, "--out", str(tmp_path / "stopped"), "--resume"], check=True, env=environment, capture_output=True
    )
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, env=environment, capture_output=True)
    resumed, whole = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
    losses = [json.loads((tmp_path / name / "metrics.json").read_text())["step_loss"] for name in ("stopped", "whole")]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lr", "-1"), "lr must be a positive number, got -1.0"),
        (("--lr", "abc"), "'--lr'"),
        (("--momentum", "1.5"), "momentum must be a number in [0, 1), got 1.5"),
        (("--momentum", "0.9", "--optimizer", "adam"), "momentum is an option of sgd and rmsprop"),
        (("--batch-size", "-1"), "batch_size must be at least 1, or 0 for the whole training set, got -1"),
        (("--batch-size", "100000"), "batch_size must be at most"),
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--optimizer", "sdg"), "optimizer must be one of sgd, adam"),
        (("--model", "cnn"), "model must be one of softmax, mlp, linear, got cnn"),
        (("--model", "mlp"), "hidden must name at least one width"),
        (("--model", "mlp", "--hidden", "a,b"), "hidden must be widths separated by commas"),
        (("--hidden", "12"), "softmax regression has no hidden layers"),
        (("--colour", "red"), "--colour"),
    ],
)
def test_bad_values_give_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "digits", "--quiet", "--out", str(tmp_path / "run"), *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors and len(errors.strip().splitlines()) == 1


def test_absent_data_says_which_files_to_put_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "mnist", "--quiet", "--data", str(tmp_path), "--out", str(tmp_path / "run")) == 1
    errors = capsys.readouterr().err
    assert "train-images-idx3-ubyte" in errors and str(tmp_path) in errors


def test_resume_without_or_with_another_configuration_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*QUICK, "--out", str(tmp_path / "run"), "--resume") == 1
    assert "nothing to resume" in capsys.readouterr().err
    assert run(*QUICK, "--out", str(tmp_path / "run")) == 0
    assert run(*QUICK, "--out", str(tmp_path / "run"), "--resume", "--lr", "0.2") == 1
    assert "lr was 0.1 and is now 0.2" in capsys.readouterr().err


def test_the_bare_command_helps_and_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_lab import __version__

    assert run("--version") == 0
    assert capsys.readouterr().out == f"tinygrad_lab {__version__}\n"
    assert run() == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: tinygrad-lab") and "diagnose" in said and "--version" in said
