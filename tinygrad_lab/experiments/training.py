"""The training loop: epochs, evaluation, early stopping, checkpoints from which a killed run goes on to the bit.

What this file lets you do: `run` an experiment. It knows nothing of sweeps, figures or the command line.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode, random, serialization
from tinygrad_lab.experiments import preprocessing, regularisers
from tinygrad_lab.experiments.building import build_loss, build_model, build_optimizer, build_schedule
from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.data import Batches, Folder, load_splits
from tinygrad_lab.experiments.histograms import HistogramRecorder
from tinygrad_lab.experiments.history import History, Run
from tinygrad_lab.experiments.interrupts import noted_interrupts
from tinygrad_lab.nn import Module, functional
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Diverged", "evaluate", "run"]

# Multiply-adds of a step below which BLAS gets one thread. A second one waits by spinning: beside other work on two
# cores, softmax regression took 19 s instead of 2.3 s with batches of 600 (2**22), 13 instead of 3 with 2,000 (2**24).
_SMALL = 2**26


class Diverged(RuntimeError):
    """A run whose loss is no longer finite.

    term         what blew up: "data loss", "l1 term", "l2 term", or by the very last step "weights"
    epoch, step  where, both counted from 1, the step over the whole run
    history      what happened before
    """

    def __init__(self, message: str, term: str, epoch: int, step: int, history: History) -> None:
        super().__init__(message)
        self.term, self.epoch, self.step, self.history = term, epoch, step, history

    def __reduce__(self) -> Any:  # as errors cross processes
        return Diverged, (str(self), self.term, self.epoch, self.step, self.history)


def evaluate(
    model: Module,
    dataset: Any,
    batch_size: int = 1000,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
) -> tuple[float, float]:
    """(mean loss, accuracy) of a classifier on a TensorDataset, in evaluation mode, without recording.

    loss  of (logits, labels), the mean over a batch
    """
    features, labels = dataset.tensors
    return _evaluate(model, features.array, labels.array, loss, batch_size)


def _evaluate(
    model: Module, features: np.ndarray, labels: np.ndarray, loss: Callable[[Tensor, Tensor], Tensor], size: int = 1000
) -> tuple[float, float]:
    was_training = model.training
    model.eval()
    total, correct = 0.0, 0
    with grad_mode.no_grad():
        for start in range(0, len(features), size):
            y = labels[start : start + size]
            logits = model(wrap(features[start : start + size]))
            total += loss(logits, wrap(y)).item() * len(y)
            correct += int((logits.array.argmax(1) == y).sum())
    model.train(was_training)
    return total / len(features), correct / len(features)


class _Training:
    """A run in progress: what changes while it trains, and how that is stored and restored."""

    def __init__(self, experiment: Experiment, splits: Any, image_shape: tuple[int, ...]) -> None:
        self.experiment, self.splits = experiment, splits
        random.manual_seed(experiment.seed)
        features = splits.train.tensors[0].shape[1]
        self.batches = Batches(experiment, splits.train, image_shape)
        self.model = build_model(experiment, features, len(splits.classes))
        self.parameters = list(self.model.parameters())
        self.penalised = regularisers.penalised(self.model, experiment.penalise_biases)
        self.matrices = regularisers.penalised(self.model)
        l1, l2 = experiment.l1, experiment.l2
        self.penalty = regularisers.Penalty(self.penalised, l1, l2) if l1 or l2 else None
        self.loss = build_loss(experiment, len(splits.classes))
        self.optimizer = build_optimizer(experiment, self.model)
        self.schedule, self.each_step = build_schedule(experiment, self.optimizer, self.batches.count)
        self.history = History(experiment.as_dict())
        self.best: dict[str, Tensor] | None = None
        # Of the current epoch: batches that are done, samples in them, sums of loss and gradient norm, the first rate.
        self.done, self.samples, self.loss_sum, self.norm_sum = 0, 0, 0.0, 0.0
        self.rate = self.optimizer.param_groups[0]["lr"]
        self.terms = (0.0, 0.0, 0.0)

    @property
    def finished(self) -> bool:
        """All epochs are done, or validation accuracy has not risen for too long."""
        epochs, patience = self.history.epochs, self.experiment.patience
        return epochs >= self.experiment.epochs or (
            patience is not None and epochs - self.history.best_epoch >= patience
        )

    # Training

    def train_epoch(self, progress: Any, stopping: list[bool]) -> bool:
        """Do what is left of the epoch. False if it was asked to stop before its last step."""
        if not self.done:
            self.rate = self.optimizer.param_groups[0]["lr"]
        for x, y in self.batches.epoch(self.done):
            self._step(x, y)
            progress.update()
            if stopping and self.done < self.batches.count:
                return False
        self._end_epoch()
        return True

    def _step(self, x: Tensor, y: Tensor) -> None:
        experiment, optimizer = self.experiment, self.optimizer
        optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()
        value, l1_term, l2_term = loss.item(), 0.0, 0.0
        if self.penalty is not None:
            l1_term, l2_term = self.penalty.terms()
            if not experiment.proximal:
                self.penalty.add_gradients()
        objective = value + l1_term + l2_term
        if not math.isfinite(objective):
            raise self._diverged(value, l1_term, l2_term)
        self.terms = (value, l1_term, l2_term)
        square = 0.0
        for parameter in self.parameters:
            gradient = parameter.grad.array.ravel("K")  # type: ignore[union-attr]
            square += float(gradient.dot(gradient))
        optimizer.step()
        if experiment.max_norm is not None:
            regularisers.limit_norms(self.matrices, experiment.max_norm)
        if self.each_step and self.schedule is not None:
            self.schedule.step()
        self.history.step_loss.append(objective)
        self.loss_sum += value * len(y)
        self.norm_sum += math.sqrt(square)
        self.samples += len(y)
        self.done += 1

    def _end_epoch(self) -> None:
        history, wanted = self.history, self.experiment.train_accuracy_samples
        history.train_loss.append(self.loss_sum / self.samples)
        history.gradient_norm.append(self.norm_sum / self.done)
        history.learning_rate.append(self.rate)
        features, labels = self.batches.features, self.batches.labels
        every = max(1, len(features) // wanted) if wanted else 1
        history.train_accuracy.append(_evaluate(self.model, features[::every], labels[::every], self.loss)[1])
        if len(self.splits.validation):
            loss, accuracy = evaluate(self.model, self.splits.validation, loss=self.loss)
            history.validation_loss.append(loss)
            history.validation_accuracy.append(accuracy)
            if self.experiment.keep_best and history.best_epoch == history.epochs:
                self.best = {name: wrap(value.array.copy()) for name, value in self.model.state_dict().items()}
        if self.experiment.l1:
            history.sparsity.append(regularisers.sparsity(self.penalised))
        if self.schedule is not None and not self.each_step:
            self.schedule.step()
        self.done, self.samples, self.loss_sum, self.norm_sum = 0, 0, 0.0, 0.0

    def check_weights(self) -> None:
        """Raise Diverged if the last step made weights that are not finite: no loss after it would tell."""
        if not all(np.isfinite(parameter.array).all() for parameter in self.parameters):
            step, rate = len(self.history.step_loss), self.optimizer.param_groups[0]["lr"]
            said = (
                f"the run diverged: weights are no longer finite after step {step}, the last; lower lr (now {rate:g})"
            )
            raise Diverged(said, "weights", self.history.epochs, step, self.history)

    def _diverged(self, *terms: float) -> Diverged:
        experiment = self.experiment
        names = ("data loss", "l1 term", "l2 term")
        rate = self.optimizer.param_groups[0]["lr"]
        # The gradient of the l2 term alone multiplies the weights by 1 - lr * l2 in each step of SGD.
        limit = 2 * (1 + experiment.momentum)
        unstable = experiment.optimizer == "sgd" and not experiment.proximal and rate * experiment.l2 > limit
        blown = [name for name, term in zip(names, terms, strict=True) if not math.isfinite(term)]
        term = "l2 term" if unstable and "l2 term" in blown else blown[0] if blown else "data loss"
        step, epoch = len(self.history.step_loss) + 1, self.history.epochs + 1
        values = [
            f"{name} {now:.4g} ({before:.4g} before)"
            for name, now, before in zip(names, terms, self.terms, strict=True)
        ]
        remedy = (
            f"lr * l2 = {rate * experiment.l2:g} is above {limit:g}, so each step makes the weights larger: lower l2 "
            "or lr, or use proximal steps"
            if unstable
            else f"lower lr (now {rate:g})" + (f" or l2 ({experiment.l2:g})" if term == "l2 term" else "")
        )
        said = f"the run diverged: the {term} is no longer finite at step {step} (epoch {epoch}): {', '.join(values)}"
        return Diverged(f"{said}; {remedy}", term, epoch, step, self.history)

    # Storing

    def save(self, folder: Path) -> None:
        """Write the checkpoint: after an epoch, or inside one with what is known of it so far."""
        history = {**vars(self.history), "step_loss": wrap(np.array(self.history.step_loss, np.float64))}
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "batches": self.batches.state_dict(within_epoch=self.done > 0),
            "generator": random.get_rng_state(),
            "best": self.best,
            "epoch": (self.done, self.samples, self.loss_sum, self.norm_sum, self.rate),
            "history": history,
        }
        serialization.save(state, folder / "checkpoint.safetensors")

    def restore(self, folder: Path) -> None:
        """Go on from the folder's checkpoint. RuntimeError if there is none or it belongs to another experiment."""
        path = folder / "checkpoint.safetensors"
        if not path.exists():
            raise RuntimeError(f"nothing to resume: {path} does not exist; run without resume to start there")
        state = serialization.load(path)
        try:
            stored, epochs = state["history"]["experiment"], len(state["history"]["train_loss"])
            within = state["epoch"][0] > 0
        except (KeyError, TypeError, IndexError):
            raise RuntimeError(f"{path} holds no checkpoint of a run") from None
        wanted = self.experiment.as_dict()
        may_change = () if self.experiment.schedule in ("cosine", "onecycle") else ("epochs",)
        different = [name for name in wanted if name not in may_change and stored.get(name) != wanted[name]]
        if different:
            changes = ", ".join(f"{name} was {stored.get(name)} and is now {wanted[name]}" for name in different)
            raise RuntimeError(f"cannot resume {path} with another configuration: {changes}")
        if epochs + within > wanted["epochs"]:
            raise RuntimeError(
                f"cannot resume {path} for {wanted['epochs']} epochs: it is in epoch {epochs + within} already"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.batches.load_state_dict(state["batches"])
        random.set_rng_state(state["generator"])
        self.best = state["best"]
        self.done, self.samples, self.loss_sum, self.norm_sum, self.rate = state["epoch"]
        steps = state["history"]["step_loss"].tolist()
        self.history = History(**{**state["history"], "experiment": wanted, "step_loss": steps})


class _Watcher:
    """Records histograms about a dozen times in a run, and writes them each time, so that none is lost to a stop."""

    def __init__(self, model: Module, folder: Path, epochs: int, done: int) -> None:
        self.recorder, self.path = HistogramRecorder(model), folder / "histograms.json"
        self.every = max(1, epochs // 12)
        if done and self.path.exists():
            self.recorder.records = [record for record in json.loads(self.path.read_text()) if record["at"] <= done]

    def look(self, epoch: int) -> None:
        if epoch % self.every == 0 or epoch == 1:
            self.recorder.record(epoch)
            self.recorder.save(self.path)


def run(
    experiment: Experiment,
    folder: Folder | None = None,
    *,
    data: Folder = "data",
    splits: Any = None,
    cache: Folder | None = None,
    resume: bool = False,
    progress: bool = True,
    download: bool = False,
    histograms: bool = False,
) -> Run:
    """Train a model as the experiment says; test it once, at the end.

    With a folder the result is stored there (`Run.load` reads it), and so are checkpoints: after the first epoch, then
    as often as keeps them below a twentieth of the time, and on Ctrl-C. With `resume` a stopped run goes on from the
    last one and ends with the same bits as one that was never stopped; only `epochs` may have been raised since.

    Args:
        experiment: what to do.
        folder: of this run; made if needed.
        data: folder of the data set's files.
        splits: the data, instead of reading it: what `datasets.load` returned, before preprocessing.
        cache: folder for results of slow preprocessing (hog, pca).
        resume: go on from the checkpoint in the folder.
        progress: show a progress bar.
        download: fetch the data set if it is not there.
        histograms: write histograms.json to the folder: weights, gradients and activations over the epochs.

    Returns:
        Run: model (in evaluation mode), history, experiment, classes, preprocessor, folder.

    Raises:
        Diverged: (a RuntimeError) the loss is no longer finite; says which term, and at which step.
        RuntimeError: nothing to resume, another experiment's checkpoint, or data are missing or damaged.
        ValueError: `resume` without a folder, a folder that is a file, a batch larger than the training set,
            `patience` or `keep_best` without validation images.
        ImportError: a library of the `lab` extra is missing.

    >>> done = run(Experiment(lr=0.5, batch_size=32, epochs=5), progress=False)
    >>> len(done.history.validation_accuracy), done.history.test_accuracy > 0.9
    (5, True)
    """
    try:
        from threadpoolctl import threadpool_limits
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(f"running experiments needs {error.name}: pip install 'tinygrad_lab[lab]'") from None
    target = Path(folder) if folder is not None else None
    if target is not None and target.exists() and not target.is_dir():
        raise ValueError(f"the folder of a run cannot be {target}: that is a file")
    if resume and target is None:
        raise ValueError("resume needs the folder of the run that is to go on")
    if histograms and target is None:
        raise ValueError("histograms are written to the folder of the run: give one")
    if splits is None:
        splits, preprocessor = load_splits(experiment, data, cache, download=download)
    else:
        splits, preprocessor = preprocessing.prepare(experiment.preprocess, splits, cache)
    if not len(splits.validation) and (experiment.patience or experiment.keep_best):
        raise ValueError("patience and keep_best look at validation accuracy, and these splits hold no images for it")
    training = _Training(experiment, splits, preprocessor.output_shape)
    if target is not None and resume:
        training.restore(target)
    elif target is not None:
        target.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.json", "histograms.json"):  # of an earlier run: this one is not finished
            (target / name).unlink(missing_ok=True)
    watcher = (
        _Watcher(training.model, target, experiment.epochs, training.history.epochs) if target and histograms else None
    )
    history, per_epoch = training.history, training.batches.count
    started, before = time.perf_counter(), history.seconds
    saved, took = -math.inf, 0.0
    multiply_adds = sum(parameter.numel() for parameter in training.parameters) * training.batches.size
    bar = tqdm(
        total=experiment.epochs * per_epoch,
        initial=history.epochs * per_epoch + training.done,
        desc=target.name if target is not None else experiment.model,
        unit="batch",
        disable=None if progress else True,
        mininterval=0.5,
    )
    with threadpool_limits(1 if multiply_adds < _SMALL else None), bar, noted_interrupts() as stopping:
        while not training.finished:
            whole = training.train_epoch(bar, stopping)
            now = time.perf_counter()
            history.seconds = before + now - started
            if target is not None and (stopping or now - saved > 20 * took):
                training.save(target)
                saved = time.perf_counter()
                took = saved - now
            if stopping:
                raise KeyboardInterrupt
            if whole:
                if watcher is not None:
                    watcher.look(history.epochs)
                shown = {"validation": f"{history.validation_accuracy[-1]:.4f}"} if history.validation_accuracy else {}
                bar.set_postfix(loss=f"{history.train_loss[-1]:.4f}", **shown, refresh=False)
        training.check_weights()
        if watcher is not None:
            watcher.recorder.remove()
        history.kept_epoch = history.best_epoch if experiment.keep_best else history.epochs
        if target is not None:
            training.save(target)
        if training.best is not None:
            training.model.load_state_dict(training.best)
        history.final_train_accuracy = evaluate(training.model, splits.train, loss=training.loss)[1]
        history.test_loss, history.test_accuracy = evaluate(training.model, splits.test, loss=training.loss)
    history.seconds = before + time.perf_counter() - started
    training.model.eval()
    finished = Run(experiment, training.model, history, list(splits.classes), preprocessor, target)
    if target is not None:
        finished.save(target)
    if stopping:  # Ctrl-C came when the training was over: nothing is lost, but what called this must end
        raise KeyboardInterrupt
    return finished
