"""The training loop: epochs, evaluation, checkpoints from which a killed run goes on to the bit.

A run's folder holds `checkpoint.safetensors` (everything, to go on), `model.safetensors` (the weights of the last
epoch), and `metrics.json` (configuration, history, result). Each is replaced whole or not at all.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_lab import grad_mode, random, serialization
from tinygrad_lab.experiments.building import build_model, build_optimizer
from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.nn import Module, functional
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.utils.data import DataLoader, TensorDataset

__all__ = ["History", "evaluate", "train"]


@dataclass
class History:
    """What a run did. Per epoch: mean training loss, and loss and accuracy on train and validation at its end."""

    config: dict[str, Any]
    step_loss: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    test_loss: float | None = None
    test_accuracy: float | None = None
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs that are finished."""
        return len(self.train_loss)


def evaluate(model: Module, dataset: TensorDataset, batch_size: int = 1000) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of a classifier on a dataset, in evaluation mode, without recording."""
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    with grad_mode.no_grad():
        for x, y in DataLoader(dataset, batch_size=batch_size):
            logits = model(x)
            loss += functional.cross_entropy(logits, y, reduction="sum").item()
            correct += int((logits.array.argmax(1) == y.array).sum())
    model.train(was_training)
    return loss / len(dataset), correct / len(dataset)


def _write_json(path: Path, data: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(data, indent=1) + "\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Run:
    """A run in progress: what changes while it trains, and how that is stored and restored."""

    def __init__(self, config: Experiment, splits: Any, folder: Path) -> None:
        self.config, self.splits, self.folder = config, splits, folder
        random.manual_seed(config.seed)
        features = splits.train.tensors[0].shape[1]
        self.model = build_model(config, features, len(splits.classes))
        self.optimizer = build_optimizer(config, self.model)
        self.shuffling = random.Generator().manual_seed(config.seed)  # its state only changes where an epoch begins
        self.epoch_state = self.shuffling.get_state()
        self.batches_done = 0
        self.epoch_loss = 0.0
        self.history = History(config.as_dict())

    def save(self) -> None:
        """Write the checkpoint: after an epoch, or inside one with the number of batches that are done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "shuffling": self.epoch_state if self.batches_done else self.shuffling.get_state(),
            "generator": random.get_rng_state(),
            "batches_done": self.batches_done,
            "epoch_loss": self.epoch_loss,
            "history": vars(self.history),
        }
        serialization.save(state, self.folder / "checkpoint.safetensors")

    def restore(self) -> None:
        """Go on from the folder's checkpoint. RuntimeError if there is none or it belongs to another configuration."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            raise RuntimeError(f"nothing to resume: {path} does not exist; run without resume to start there")
        state = serialization.load(path)
        stored, wanted = state["history"]["config"], self.config.as_dict()
        different = [name for name in wanted if name != "epochs" and stored.get(name) != wanted[name]]
        if different:
            changes = ", ".join(f"{name} was {stored.get(name)} and is now {wanted[name]}" for name in different)
            raise RuntimeError(f"cannot resume {path} with another configuration: {changes}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.shuffling.set_state(state["shuffling"])
        random.set_rng_state(state["generator"])
        self.batches_done, self.epoch_loss = state["batches_done"], state["epoch_loss"]
        self.history = History(**{**state["history"], "config": wanted})

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the current epoch that are still to do."""
        self.epoch_state = self.shuffling.get_state()
        loader = DataLoader(self.splits.train, self.config.batch_size, shuffle=True, generator=self.shuffling)
        for i, (x, y) in enumerate(loader):
            if i >= self.batches_done:
                yield x, y

    def train_epoch(self, progress: Any) -> None:
        size = len(self.splits.train)
        for x, y in self.batches():
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            value = loss.item()
            self.history.step_loss.append(value)
            self.epoch_loss += value * len(y)
            self.batches_done += 1
            progress.update()
        history = self.history
        history.train_loss.append(self.epoch_loss / size)
        history.train_accuracy.append(evaluate(self.model, self.splits.train)[1])
        loss_value, accuracy = evaluate(self.model, self.splits.validation)
        history.validation_loss.append(loss_value)
        history.validation_accuracy.append(accuracy)
        self.batches_done, self.epoch_loss = 0, 0.0
        progress.set_postfix(loss=f"{history.train_loss[-1]:.4f}", validation=f"{accuracy:.4f}", refresh=False)


def _blas_threads(multiply_adds: int) -> Any:
    """A context in which BLAS uses one thread if a step is small: starting a second one takes longer than it saves."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1 if multiply_adds < 2**23 else None)


def train(
    config: Experiment, splits: Any, folder: str | os.PathLike[str], *, resume: bool = False, progress: bool = True
) -> tuple[Module, History]:
    """Run `config` on `splits` (`datasets.load`), store everything in `folder`, and return the model and its history.

    A checkpoint is written after every epoch, and when the run is interrupted (Ctrl-C). With `resume` the run goes on
    from it and ends with the same bits as one that was never stopped. RuntimeError if there is nothing to resume, or
    the loss is no longer finite.
    """
    from tqdm import tqdm

    run = _Run(config, splits, Path(folder))
    if resume:
        run.restore()
    per_epoch = -(-len(splits.train) // config.batch_size)
    done = run.history.epochs * per_epoch + run.batches_done
    started = time.perf_counter()
    before = run.history.seconds
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    with (
        _blas_threads(parameters * config.batch_size),
        tqdm(
            total=config.epochs * per_epoch,
            initial=done,
            desc=Path(folder).name,
            unit="batch",
            disable=None if progress else True,
            mininterval=0.5,
        ) as bar,
    ):
        try:
            while run.history.epochs < config.epochs:
                run.train_epoch(bar)
                run.history.seconds = before + time.perf_counter() - started
                if not run.history.train_loss[-1] < float("inf"):
                    raise RuntimeError(
                        f"the training loss is {run.history.train_loss[-1]} after epoch {run.history.epochs}: the run "
                        f"diverged; lower lr (now {config.lr})"
                    )
                run.save()
        except KeyboardInterrupt:
            run.history.seconds = before + time.perf_counter() - started
            run.save()
            raise
    history = run.history
    history.test_loss, history.test_accuracy = evaluate(run.model, splits.test)
    run.save()
    serialization.save(run.model.state_dict(), run.folder / "model.safetensors")
    _write_json(run.folder / "metrics.json", vars(history))
    return run.model, history
