"""Where a reproduction's data, results and figures are, and how its experiments are run: two at a time, once each."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab import datasets
from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.history import Run, write_text
from tinygrad_lab.experiments.reproduce.rows import Group, Line, Task, quick_version
from tinygrad_lab.experiments.sweeping import sweep
from tinygrad_lab.experiments.tables import Outcome

__all__ = ["Context"]


class Context:
    """What the rows need to know.

    data     folder of the data sets' files: each in it directly, or in a folder of its name (mnist, cifar10, ...)
    out      results are kept here and found again
    figures  folder for pictures
    jobs     experiments at a time, one thread each
    quick    everything on the 8x8 digits for two epochs
    tell     is called with each line of progress
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        figures: Path,
        jobs: int = 1,
        quick: bool = False,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.data, self.out, self.figures = data, out, figures
        self.jobs, self.quick, self.tell = jobs, quick, tell

    # Data

    def root(self, dataset: str) -> Path:
        """The folder to load the data set from."""
        own = self.data / dataset
        if dataset != "fashion-mnist":
            return own if own.is_dir() else self.data
        for folder in (own, self.data):
            if (folder / "FashionMNIST").is_dir() or (folder == own and own.is_dir()):
                return folder
        return self._fashion_files()

    @property
    def real_fashion(self) -> bool:
        """Whether the data folder has Fashion-MNIST; if not, other images stand in its files."""
        return self.root("fashion-mnist") != self.out / "fashion-format"

    def check(self, groups: Sequence[Group]) -> None:
        """RuntimeError if a data set of the groups is missing or damaged: now, not after an hour."""
        wanted = dict.fromkeys(self.experiment(experiment).dataset for g in groups for _, experiment in g.experiments())
        for dataset in wanted:
            datasets.DATASETS[dataset][0](self.root(dataset), train=False)

    def splits(self, dataset: str) -> Any:
        """`datasets.load`, of the digits if everything is quick."""
        return datasets.load("digits") if self.quick else datasets.load(dataset, self.root(dataset))

    def _fashion_files(self) -> Path:
        """Fashion-MNIST's four files, holding digits: what is shown with them is that its files can be read."""
        folder = self.out / "fashion-format"
        raw = folder / "FashionMNIST" / "raw"
        if not raw.is_dir():
            parts = {}
            for train, name in ((True, "train"), (False, "t10k")):
                if self.quick:
                    source: Any = datasets.Digits(train=train)
                    images = np.pad(
                        np.kron(source.data.array * 15, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2))
                    )
                    parts[name] = images[:360], source.targets.array[:360]
                else:
                    source = datasets.MNIST(self.root("mnist"), train=train)
                    parts[name] = source.data.array, source.targets.array
            unfinished = folder / "unfinished"
            unfinished.mkdir(parents=True, exist_ok=True)
            for name, (images, labels) in parts.items():
                _write_idx(unfinished / f"{name}-images-idx3-ubyte.gz", images)
                _write_idx(unfinished / f"{name}-labels-idx1-ubyte.gz", labels)
            raw.parent.mkdir(exist_ok=True)
            unfinished.rename(raw)
        return folder

    # Running

    def experiment(self, experiment: Experiment) -> Experiment:
        """The experiment, or its quick version."""
        return quick_version(experiment) if self.quick else experiment

    def run(self, groups: Sequence[Group]) -> dict[str, list[Outcome]]:
        """The outcomes of each group, by its name. What has been run before is not run again."""
        wanted = {g.name: [self.experiment(experiment) for _, experiment in g.experiments()] for g in groups}
        outcomes: dict[str, Outcome] = {}
        everything = [experiment for experiments in wanted.values() for experiment in experiments]
        for dataset in dict.fromkeys(experiment.dataset for experiment in everything):
            chosen = _in_good_order([experiment for experiment in everything if experiment.dataset == dataset])
            combinations = [{k: v for k, v in e.as_dict().items() if k != "seed"} for e in chosen]
            result = sweep(
                Experiment(dataset=dataset),
                combinations,
                folder=self.out / "runs" / dataset,
                n_jobs=self.jobs,
                data=self.root(dataset),
                progress=not self.quick,
            )
            outcomes |= {outcome.experiment.key: outcome for outcome in result.outcomes}
        return {name: [outcomes[e.key] for e in experiments] for name, experiments in wanted.items()}

    def finished(self, experiment: Experiment) -> Run:
        """The finished run of an experiment of a group, from where it is kept."""
        (outcome,) = self.run([Group("one", "", experiment)])["one"]
        if outcome.folder is None or outcome.history is None:
            raise RuntimeError(f"the run that this row needs failed: {outcome.error}")
        return Run.load(outcome.folder)

    def measured(self, task: Task) -> list[Line]:
        """The rows of a task, from an earlier call if it finished then. It runs alone, with one thread of BLAS.

        A second thread would gain little on products this small, and loses twentyfold where another program runs.
        """
        from threadpoolctl import threadpool_limits

        path = self.out / "tasks" / f"{task.name}.json"
        try:
            return [Line(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            self.tell(f"  {task.name}")
        with threadpool_limits(1):
            lines = task.measure(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps([line.as_dict() for line in lines], indent=1) + "\n")
        return lines


def _in_good_order(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Long ones first, so that no worker ends with one alone; those of the same features together: loaded once."""
    longest: dict[Any, int] = {}
    for e in experiments:
        features = (e.validation, e.preprocess)
        longest[features] = max(longest.get(features, 0), _work(e))
    return sorted(experiments, key=lambda e: (-longest[e.validation, e.preprocess], e.preprocess, -_work(e)))


def _work(experiment: Experiment) -> int:
    """Something like the time of a run: epochs times parameters, plus what each step costs by itself."""
    widths = [1000, *experiment.hidden, 10]
    parameters = sum(a * b for a, b in itertools.pairwise(widths))
    return experiment.epochs * (parameters + 10**6 // (experiment.batch_size or 10**6))


def _write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 1))
