"""run: what it records, what each option does, early stopping, the best epoch, divergence, resuming to the bit."""

from __future__ import annotations

import functools
import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tinygrad_lab import datasets, serialization
from tinygrad_lab.experiments import Diverged, Experiment, Run, evaluate, run, training
from tinygrad_lab.experiments.building import build_loss, build_model, build_optimizer, build_schedule
from tinygrad_lab.experiments.data import Batches
from tinygrad_lab.tensor import wrap

QUICK = Experiment(lr=0.2, batch_size=50, epochs=3)
MLP = QUICK.replace(model="mlp", hidden=(16,))


def quick(experiment: Experiment, folder: Path | None = None, **options: Any) -> Run:
    return run(experiment, folder, progress=False, **options)


def weights(done: Run) -> dict[str, np.ndarray]:
    return {name: value.array for name, value in done.model.state_dict().items()}


def same(one: Run, other: Run) -> bool:
    a, b = weights(one), weights(other)
    histories = [{**vars(done.history), "seconds": 0} for done in (one, other)]
    return histories[0] == histories[1] and all(np.array_equal(a[name], b[name]) for name in a)


def test_history_has_all_that_happened() -> None:
    done = quick(MLP.replace(epochs=4, l1=1e-4, schedule="inverse:1", batch_size=100))
    history = done.history
    assert history.epochs == history.kept_epoch == 4 and len(history.step_loss) == 4 * 11
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "gradient_norm", "sparsity"):
        assert len(getattr(history, name)) == 4 and np.isfinite(getattr(history, name)).all()
    np.testing.assert_allclose(history.learning_rate, [0.2, 0.1, 0.2 / 3, 0.05])
    assert history.train_loss[-1] < history.train_loss[0] and history.seconds > 0
    splits = datasets.load("digits")
    assert (history.test_loss, history.test_accuracy) == evaluate(done.model, splits.test)
    assert history.final_train_accuracy == history.train_accuracy[-1] == evaluate(done.model, splits.train)[1]
    assert history.final_validation_accuracy == history.validation_accuracy[-1]
    # Step losses hold the penalty, epoch losses do not.
    assert np.mean(history.step_loss[:11]) > history.train_loss[0] > 0


def test_the_loop_is_the_one_that_a_reader_would_write() -> None:
    """SGD with an L2 term on weights alone, from raw arrays."""
    experiment = QUICK.replace(l2=0.1, epochs=2, batch_size=100)
    done = quick(experiment)
    splits = datasets.load("digits")
    x, y = (tensor.array.astype(np.float64) for tensor in splits.train.tensors)
    labels = np.eye(10)[y.astype(int)]
    from tinygrad_lab import random

    random.manual_seed(0)
    model = build_model(experiment, 64, 10)
    W, b = (parameter.array.astype(np.float64) for parameter in model.parameters())
    order, losses = np.random.Generator(np.random.PCG64(0)), []
    for _ in range(2):
        rows = order.permutation(len(x))
        for i in range(0, len(x), 100):
            z = x[rows[i : i + 100]] @ W.T + b
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            target = labels[rows[i : i + 100]]
            losses.append(-np.log((p * target).sum(1)).mean() + 0.05 * (W**2).sum())
            dz = (p - target) / len(z)
            W, b = W - 0.2 * (dz.T @ x[rows[i : i + 100]] + 0.1 * W), b - 0.2 * dz.sum(0)
    np.testing.assert_allclose(done.history.step_loss, losses, rtol=1e-4)
    np.testing.assert_allclose(weights(done)["0.weight"], W, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "linear", "hidden": (), "loss": "mse", "lr": 0.02, "epochs": 10},
        {"loss": "mse", "epochs": 10, "lr": 0.5},
        {"activation": "tanh", "batch_norm": True, "dropout": 0.2},
        {"optimizer": "adam", "lr": 0.01, "betas": (0.8, 0.99)},
        {"momentum": 0.9, "nesterov": True, "max_norm": 3.0, "schedule": "cosine", "lr": 0.1},
        {"proximal": True, "l1": 1e-4, "l2": 1e-4, "momentum": 0.5},
        {"preprocess": ("standardize", "pca:0.9"), "schedule": "onecycle"},
        {"augment": ("shift:1",), "schedule": "step:2:0.5", "optimizer": "rmsprop", "lr": 0.005, "epochs": 12},
        {"batch_size": 0, "epochs": 80, "optimizer": "adam", "lr": 0.02},
    ],
    ids=str,
)
def test_every_option_learns(changes: dict[str, Any]) -> None:
    done = quick(MLP.replace(**changes))
    assert done.history.test_accuracy is not None and done.history.test_accuracy > 0.75


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    experiment = MLP.replace(dropout=0.3, augment=("shift:1",))
    assert same(quick(experiment), quick(experiment))
    assert not same(quick(experiment), quick(experiment.replace(seed=1)))


def test_given_splits_are_preprocessed_and_equal_those_that_are_read() -> None:
    experiment = MLP.replace(preprocess=("standardize",), epochs=1)
    assert same(quick(experiment), quick(experiment, splits=datasets.load("digits")))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("step:2:0.5", [1, 1, 0.5, 0.5]),
        ("inverse:0.5", [1, 1 / 1.5, 1 / 2, 1 / 2.5]),
        ("cosine", [1, (1 + np.cos(np.pi / 4)) / 2, 0.5, (1 + np.cos(3 * np.pi / 4)) / 2]),
    ],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    done = quick(QUICK.replace(lr=1.0, schedule=schedule, epochs=4))
    np.testing.assert_allclose(done.history.learning_rate, expected, rtol=1e-12)


def test_onecycle_rises_and_falls_and_leaves_momentum_alone() -> None:
    experiment = QUICK.replace(schedule="onecycle", epochs=10, momentum=0.3)
    model = build_model(experiment, 64, 10)
    optimizer = build_optimizer(experiment, model)
    schedule, each_step = build_schedule(experiment, optimizer, 4)
    assert each_step and schedule is not None
    rates = []
    for step in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 39:
            schedule.step()
    assert max(rates) == pytest.approx(0.2) and rates[0] == pytest.approx(0.2 / 25) and rates[-1] < 1e-5
    assert optimizer.param_groups[0]["momentum"] == 0.3


def test_mse_is_the_squared_distance_to_one_hot() -> None:
    logits, labels = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], np.float32), np.array([0, 2])
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for model, outputs in (("softmax", softmax), ("linear", logits)):
        loss = build_loss(Experiment(model=model, loss="mse"), 3)(wrap(logits), wrap(labels))
        assert loss.item() == pytest.approx(((outputs - np.eye(3)[labels]) ** 2).sum(1).mean(), rel=1e-6)


def test_early_stopping_and_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation accuracy by a script; the weights of its best epoch are found again by their number of steps."""
    script = iter([0.3, 0.6, 0.5, 0.6, 0.4, 0.9])
    seen: list[np.ndarray] = []
    real = training.evaluate

    def scripted(model: Any, dataset: Any, *rest: Any, **options: Any) -> tuple[float, float]:
        if len(dataset) == 360 and len(seen) < 6 and not options.pop("final", False):
            seen.append(next(model.parameters()).array.copy())
            return 1.0, next(script)
        return real(model, dataset, *rest, **options)

    monkeypatch.setattr(training, "evaluate", scripted)
    splits = datasets.load("digits")
    smaller = splits._replace(test=type(splits.test)(*(t[:100] for t in splits.test.tensors)))
    done = quick(QUICK.replace(epochs=50, patience=3, keep_best=True), tmp_path / "a", splits=smaller)
    assert done.history.validation_accuracy == [0.3, 0.6, 0.5, 0.6, 0.4]
    assert done.history.best_epoch == done.history.kept_epoch == 2
    assert done.history.final_validation_accuracy == 0.6
    assert np.array_equal(weights(done)["0.weight"], seen[1]) and not np.array_equal(seen[1], seen[-1])
    assert np.array_equal(weights(Run.load(tmp_path / "a"))["0.weight"], seen[1])


def test_without_validation_images() -> None:
    done = quick(QUICK.replace(validation=0))
    assert done.history.validation_accuracy == [] and done.history.final_validation_accuracy is None
    assert len(done.history.step_loss) == 3 * 29 and done.history.kept_epoch == 3  # 1,437 training images


def test_training_accuracy_on_a_sample() -> None:
    exact, sampled = quick(QUICK), quick(QUICK.replace(train_accuracy_samples=200))
    assert exact.history.train_accuracy != sampled.history.train_accuracy
    assert exact.history.final_train_accuracy == sampled.history.final_train_accuracy
    assert abs(exact.history.train_accuracy[-1] - sampled.history.train_accuracy[-1]) < 0.1


def test_batches_cover_the_training_set_in_a_new_order_each_epoch() -> None:
    train = datasets.load("digits").train
    batches = Batches(QUICK.replace(batch_size=100), train, (1, 8, 8))
    epochs = [[y.array for _, y in batches.epoch()] for _ in range(2)]
    assert [len(y) for y in epochs[0]] == [100] * 10 + [77]
    counts = [np.bincount(np.concatenate(epoch)) for epoch in epochs]
    assert np.array_equal(counts[0], counts[1]) and not np.array_equal(epochs[0][0], epochs[1][0])
    with_single = Batches(MLP.replace(batch_norm=True, batch_size=4), train, (1, 8, 8))
    assert [len(y) for _, y in with_single.epoch()] == [4] * 269  # 1,077 = 4 * 269 + 1
    whole = list(Batches(QUICK.replace(batch_size=0), train, (1, 8, 8)).epoch())
    assert len(whole) == 1 and whole[0][0].array is train.tensors[0].array
    with pytest.raises(ValueError, match="batch_size must be at most the 1077 training samples of digits, got 2000"):
        Batches(QUICK.replace(batch_size=2000), train, (1, 8, 8))


# Divergence


def test_a_run_whose_l2_term_overflows_says_so(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the l2 term is no longer finite at step") as caught:
        quick(QUICK.replace(lr=1.0, l2=5.0, epochs=30), tmp_path / "run")
    error = caught.value
    assert "lr * l2 = 5 is above 2, so each step makes the weights larger: lower l2 or lr" in str(error)
    assert error.term == "l2 term" and error.step == len(error.history.step_loss) + 1 > 5
    assert error.epoch == (error.step - 1) // 22 + 1  # 22 batches an epoch
    assert not (tmp_path / "run" / "metrics.json").exists()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.term, again.step) == (str(error), error.term, error.step)


def test_a_run_whose_data_loss_overflows_says_so() -> None:
    with pytest.raises(
        Diverged, match=r"the data loss is no longer finite at step \d+ .*; lower lr \(now 50\)"
    ) as caught:
        quick(QUICK.replace(model="linear", loss="mse", lr=50, l2=1e-6, epochs=30))
    assert caught.value.term == "data loss"


def test_proximal_steps_stay_finite_where_the_l2_term_overflows() -> None:
    assert quick(QUICK.replace(lr=1.0, l2=5.0, proximal=True, epochs=30)).history.epochs == 30


# Folders


def test_a_run_is_read_again(tmp_path: Path) -> None:
    experiment = MLP.replace(preprocess=("standardize", "pca:0.9"), batch_norm=True, epochs=1)
    done = quick(experiment, tmp_path / "run", histograms=True)
    read = Run.load(tmp_path / "run")
    assert same(done, read) and read.experiment == experiment and read.classes == done.classes
    x = datasets.load("digits").test.tensors[0].array
    expected = done.model(wrap(done.preprocessor(x))).array
    assert np.array_equal(read.model(wrap(read.preprocessor(x))).array, expected)
    across = pickle.loads(pickle.dumps(done))
    assert same(done, across) and np.array_equal(across.model(wrap(across.preprocessor(x))).array, expected)
    assert [record["at"] for record in json.loads((tmp_path / "run" / "histograms.json").read_text())] == [1]


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no finished run"):
        Run.load(tmp_path / "absent")
    quick(QUICK, tmp_path / "run")
    for damaged in (b"{", b"\xff\xfe\x00"):
        (tmp_path / "run" / "metrics.json").write_bytes(damaged)
        with pytest.raises(RuntimeError, match=r"metrics\.json is damaged"):
            Run.load(tmp_path / "run")
    for other in ("{}", "[]", "5", '"text"'):
        (tmp_path / "run" / "metrics.json").write_text(other)
        with pytest.raises(RuntimeError, match="holds no run that this version can read"):
            Run.load(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"the folder of a run cannot be .*file: that is a file"):
        quick(QUICK, tmp_path / "file")
    with pytest.raises(ValueError, match="resume needs the folder"):
        quick(QUICK, resume=True)
    with pytest.raises(ValueError, match="histograms are written to the folder of the run"):
        quick(QUICK, histograms=True)


# Resuming


ALL_AT_ONCE = MLP.replace(
    epochs=4,
    dropout=0.3,
    batch_norm=True,
    augment=("shift:1",),
    optimizer="adam",
    lr=0.01,
    schedule="onecycle",
    l1=1e-5,
    l2=1e-4,
    max_norm=3.0,
    keep_best=True,
    patience=3,
)
RESUMED = {
    "all at once": ALL_AT_ONCE,
    "proximal": QUICK.replace(epochs=4, proximal=True, l1=1e-3, momentum=0.9, schedule="inverse:0.5"),
    "cosine": MLP.replace(epochs=4, schedule="cosine", momentum=0.9, nesterov=True),
    "step": MLP.replace(epochs=4, schedule="step:1:0.9", optimizer="nadam", lr=0.01, batch_size=1077),
}


@functools.cache
def whole_run(name: str) -> Run:
    return quick(RESUMED[name])


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("stop", [1, 5, 22, 23, 44])
def test_a_stopped_run_resumes_to_the_bit(
    name: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while step `stop` is done: within an epoch, in its last step, or in the first of the next."""
    experiment, whole = RESUMED[name], whole_run(name)
    stop = min(stop, len(whole.history.step_loss) - 1)
    real, counted = training._Training._step, []

    def step(self: Any, *batch: Any) -> None:
        real(self, *batch)
        counted.append(1)
        if len(counted) == stop:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training._Training, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        quick(experiment, tmp_path / "stopped")
    assert len(counted) == stop and not (tmp_path / "stopped" / "metrics.json").exists()
    resumed = quick(experiment, tmp_path / "stopped", resume=True)
    assert len(counted) == len(whole.history.step_loss) and same(resumed, whole)
    assert same(Run.load(tmp_path / "stopped"), whole)


def test_ctrl_c_after_the_training_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.evaluate

    def interrupted(model: Any, dataset: Any, *rest: Any, **options: Any) -> tuple[float, float]:
        if len(dataset) == 1077:  # the whole training set is evaluated at the end
            signal.raise_signal(signal.SIGINT)
        return real(model, dataset, *rest, **options)

    monkeypatch.setattr(training, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(QUICK, tmp_path)
    monkeypatch.undo()
    assert same(Run.load(tmp_path), quick(QUICK)) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_goes_on_with_more_epochs(tmp_path: Path) -> None:
    experiment = MLP.replace(keep_best=True, momentum=0.9)
    quick(experiment.replace(epochs=2), tmp_path / "a")
    longer = quick(experiment.replace(epochs=5), tmp_path / "a", resume=True)
    assert same(longer, quick(experiment.replace(epochs=5)))


def test_resuming_with_another_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"nothing to resume: .*checkpoint.safetensors does not exist"):
        quick(QUICK, tmp_path, resume=True)
    quick(QUICK, tmp_path)
    with pytest.raises(RuntimeError, match=r"with another configuration: lr was 0.2 and is now 0.3"):
        quick(QUICK.replace(lr=0.3), tmp_path, resume=True)
    quick(QUICK.replace(schedule="cosine"), tmp_path / "cosine")
    with pytest.raises(RuntimeError, match="epochs was 3 and is now 4"):  # the schedule would have been another
        quick(QUICK.replace(schedule="cosine", epochs=4), tmp_path / "cosine", resume=True)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"abc")
    with pytest.raises(RuntimeError, match="too few for a safetensors file"):
        quick(QUICK, tmp_path, resume=True)
    (tmp_path / "checkpoint.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    with pytest.raises(RuntimeError, match="holds no checkpoint of a run"):
        quick(QUICK, tmp_path, resume=True)


def test_resuming_for_fewer_epochs_than_are_done_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(QUICK, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="for 2 epochs: it is in epoch 3 already"):
        quick(QUICK.replace(epochs=2), tmp_path / "whole", resume=True)
    assert quick(QUICK, tmp_path / "whole", resume=True).history.epochs == 3
    real = training._Training._step

    def step(self: Any, *batch: Any) -> None:
        real(self, *batch)
        if (self.history.epochs, self.done) == (1, 1):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training._Training, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        quick(QUICK, tmp_path / "part")
    with pytest.raises(RuntimeError, match="for 1 epochs: it is in epoch 2 already"):
        quick(QUICK.replace(epochs=1), tmp_path / "part", resume=True)


def test_a_new_run_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    quick(QUICK, tmp_path, histograms=True)
    assert (tmp_path / "histograms.json").exists()
    quick(QUICK.replace(lr=0.3), tmp_path)
    assert not (tmp_path / "histograms.json").exists()


def test_weights_that_the_last_step_blew_up_are_no_result(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="weights are no longer finite after step 1, the last") as caught:
        quick(QUICK.replace(lr=1e39, batch_size=0, epochs=1), tmp_path)
    assert (caught.value.term, caught.value.step) == ("weights", 1) and not (tmp_path / "metrics.json").exists()


def test_choosing_by_validation_needs_validation_images() -> None:
    splits = datasets.load("digits", validation=0)
    for changes in ({"keep_best": True}, {"patience": 2}):
        with pytest.raises(ValueError, match="these splits hold no images for it"):
            quick(QUICK.replace(**changes), splits=splits)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_bit(tmp_path: Path) -> None:
    experiment = ALL_AT_ONCE.replace(epochs=6, batch_size=8)
    (tmp_path / "e.toml").write_text(
        "\n".join(f"{k} = {json.dumps(v)}" for k, v in experiment.as_dict().items() if v is not None)
    )
    command = [
        sys.executable,
        "-m",
        "tinygrad_lab",
        "run",
        str(tmp_path / "e.toml"),
        "--quiet",
        "--out",
        str(tmp_path / "killed"),
    ]
    process = subprocess.Popen(command)
    checkpoint, seen = tmp_path / "killed" / "checkpoint.safetensors", set()
    while process.poll() is None and len(seen) < 2:  # after the second checkpoint, somewhere in an epoch
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "metrics.json").exists(), "it was over too soon"
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert same(Run.load(tmp_path / "killed"), quick(experiment))


def test_checkpoints_hold_everything(tmp_path: Path) -> None:
    quick(ALL_AT_ONCE, tmp_path)
    state = serialization.load(tmp_path / "checkpoint.safetensors")
    assert {"model", "optimizer", "schedule", "batches", "generator", "best", "epoch", "history"} == set(state)
