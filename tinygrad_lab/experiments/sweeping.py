"""Run every combination of some fields' values: once each, in parallel, remembered on disk.

What this file lets you do: `sweep`. A run's folder is named by its experiment's key and is written when the run is
finished, so a sweep that was stopped goes on with what is missing. Times and tables are not its concern.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.data import Folder, load_splits
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.experiments.tables import Outcome, SweepResult
from tinygrad_lab.experiments.training import run

__all__ = ["sweep"]

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]

# Dask may give a worker process several threads, and a run seeds the process's global generator.
_ONE_RUN_AT_A_TIME = threading.Lock()


def sweep(
    base: Experiment,
    grid: Grid,
    seeds: Iterable[int] | None = None,
    folder: Folder | None = None,
    *,
    n_jobs: int = 1,
    dask: str | None = None,
    data: Folder = "data",
    progress: bool = True,
) -> SweepResult:
    """Run `base` with every combination of the grid's values and every seed; a failed run does not stop the others.

    Each run uses one thread, so that results do not depend on how many run at once: serial, parallel and on Dask, the
    tables are the same to the byte.

    Args:
        base: the experiment that is varied.
        grid: {field: values}, of which every combination is run, the last field varying fastest; or the combinations
            themselves, [{field: value, ...}, ...], where what a combination leaves out is as in `base`.
        seeds: each combination is run with each of them; default: base's.
        folder: where finished runs are kept, each in a folder named by its key, and found again. What a sweep finds
            there is not run again, failed runs are. Keep one folder per data folder: the key knows the data set's name.
        n_jobs: processes on this machine, -1: as many as there are cores.
        dask: address of a Dask scheduler (tcp://HOST:PORT), whose workers then make the runs instead. They need this
            package and the data folder under the same path.
        data: folder of the data set's files.
        progress: show a progress bar.

    Raises:
        ValueError: a combination that is no valid experiment (before the first run), an empty grid, a bad n_jobs or
            address, a folder that is a file.
        OSError: the Dask scheduler cannot be reached, the folder cannot be made.
        ImportError: a library of the extras `lab` or `dask` is missing.

    >>> result = sweep(Experiment(epochs=2), {"lr": [0.01, 0.5]}, seeds=[0, 1], progress=False)
    >>> [(row["lr"], row["finished"]) for row in result.rows()]
    [('0.01', 2), ('0.5', 2)]
    >>> result.best().lr
    0.5
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise ValueError(f"n_jobs must be at least 1, or -1 for all cores, got {n_jobs}")
    fields, points = _combinations(base, grid)
    used = list(dict.fromkeys([base.seed] if seeds is None else seeds))
    if not used:
        raise ValueError("seeds must hold at least one seed")
    experiments = [
        base.replace(**dict(zip(fields, point, strict=True)), seed=seed) for point in points for seed in used
    ]
    target = Path(folder) if folder is not None else None
    if target is not None:
        if target.exists() and not target.is_dir():
            raise ValueError(f"the folder of a sweep cannot be {target}: that is a file")
        target.mkdir(parents=True, exist_ok=True)  # before the first run: its result must find a place
    outcomes = {e.key: found for e in experiments if (found := _remembered(e, target)) is not None}
    missing = list({e.key: e for e in experiments if e.key not in outcomes}.values())
    cache = target / "cache" if target is not None else None
    tasks = [(experiment, os.path.abspath(data), os.path.abspath(cache) if cache else None) for experiment in missing]
    for experiment, finished, error in _with_progress(
        _results(tasks, n_jobs, dask), len(experiments), len(missing), progress
    ):
        place = _keep(finished, experiment, target)
        outcomes[experiment.key] = Outcome(experiment, finished.history if finished else None, error, place)
    return SweepResult(fields, points, used, [outcomes[experiment.key] for experiment in experiments])


def _combinations(base: Experiment, grid: Grid) -> tuple[list[str], list[tuple[Any, ...]]]:
    """(swept fields, the values of each combination)."""
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not isinstance(values, Iterable) or not list(values):
                raise ValueError(f"grid[{name!r}] must be a list of values, got {values!r}")
        fields = list(grid)
        points = list(itertools.product(*(list(values) for values in grid.values())))
    else:
        fields = list(dict.fromkeys(name for changes in grid for name in changes))
        present = base.as_dict()
        points = [tuple(changes.get(name, present.get(name)) for name in fields) for changes in grid]
    if not fields:
        raise ValueError("the grid is empty: name at least one field and its values, {'lr': [0.1, 0.01]}")
    if "seed" in fields:
        raise ValueError("seed is no field of the grid: give seeds, over which tables show mean and spread")
    unique: dict[str, tuple[Any, ...]] = {}
    for point in points:
        experiment = base.replace(**dict(zip(fields, point, strict=True)))
        unique.setdefault(experiment.key, tuple(getattr(experiment, name) for name in fields))
    return fields, list(unique.values())


def _remembered(experiment: Experiment, folder: Path | None) -> Outcome | None:
    """The outcome of a run that is finished and stored; None if there is none, or it cannot be read."""
    if folder is None or not (folder / experiment.key / "metrics.json").exists():
        return None
    try:
        found = Run.load(folder / experiment.key)
    except (RuntimeError, ValueError):
        return None
    return Outcome(experiment, found.history, folder=folder / experiment.key)


def _keep(finished: Run | None, experiment: Experiment, folder: Path | None) -> Path | None:
    if finished is None or folder is None:
        return None
    place = folder / experiment.key
    place.mkdir(parents=True, exist_ok=True)
    finished.save(place)
    return place


def _run_one(experiment: Experiment, data: str, cache: str | None) -> tuple[Experiment, Run | None, str]:
    """(experiment, the finished run or None, what went wrong). Called in the worker's process."""
    from threadpoolctl import threadpool_limits

    with _ONE_RUN_AT_A_TIME, threadpool_limits(1):
        try:
            return experiment, run(experiment, data=data, cache=cache, progress=False), ""
        except Exception as error:  # whatever it is, it belongs to this run
            return experiment, None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _results(
    tasks: Sequence[tuple[Experiment, str, str | None]], n_jobs: int, dask: str | None
) -> Iterator[tuple[Experiment, Run | None, str]]:
    """Results in the order in which they come."""
    if not tasks:
        return
    if dask is None and (n_jobs == 1 or len(tasks) == 1):
        yield from (_run_one(*task) for task in tasks)
        return
    try:
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError:
        raise ImportError("parallel sweeps need joblib: pip install 'tinygrad_lab[lab]'") from None
    if dask is None:
        _prepare_once(tasks)
    # A sweep that is killed leaves its workers behind: idle ones end by themselves, soon instead of after 5 minutes.
    options = {"n_jobs": n_jobs, "inner_max_num_threads": 1, "idle_worker_timeout": 20}
    where = _dask_backend(dask) if dask else _own_processes(options)
    with where:
        # Nothing is sent before a worker is free for it, so that little is lost when the sweep is stopped.
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        try:
            yield from parallel(joblib.delayed(_run_one)(*task) for task in tasks)
        except TerminatedWorkerError:
            raise RuntimeError(
                "a worker process died, out of memory perhaps: start the sweep again, with fewer jobs; it goes on with "
                "what is missing"
            ) from None


@contextlib.contextmanager
def _own_processes(options: dict[str, Any]) -> Iterator[None]:
    """Workers of this sweep only. joblib would keep them for the next one, which hangs if they are just giving up."""
    import joblib
    from joblib.externals.loky import get_reusable_executor

    finished = False
    try:
        with joblib.parallel_config("loky", **options):
            yield
        finished = True
    finally:  # workers that were killed leave semaphores behind, which Python warns of: done only to stop their runs
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=not finished)


def _dask_backend(address: str) -> Any:
    """joblib's backend for the scheduler at this address, as a context; the connection ends with it."""
    if not re.fullmatch(r"\w+://.+:\d+", address):
        raise ValueError(f"dask must be the address of a scheduler, tcp://HOST:PORT, got {address}")
    try:
        import distributed
    except ImportError:
        raise ImportError("sweeps on Dask need distributed: pip install 'tinygrad_lab[dask]'") from None
    import joblib

    @contextlib.contextmanager
    def connected() -> Iterator[None]:
        with (
            distributed.Client(address, timeout="10s", set_as_default=False) as client,
            joblib.parallel_config("dask", client=client),
        ):
            yield

    return connected()


def _prepare_once(tasks: Sequence[tuple[Experiment, str, str | None]]) -> None:
    """Do slow preprocessing here, so that workers find it in the cache instead of all doing it at once."""
    from threadpoolctl import threadpool_limits

    different = {(e.dataset, e.validation, e.preprocess): (e, data, cache) for e, data, cache in tasks if cache}
    for experiment, data, cache in different.values():
        if any(step.partition(":")[0] in ("hog", "pca") for step in experiment.preprocess):
            # What goes wrong here goes wrong again in the run, which reports it.
            with threadpool_limits(1), contextlib.suppress(Exception):
                load_splits(experiment, data, cache)


def _with_progress(results: Iterator[Any], total: int, missing: int, shown: bool) -> Iterator[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("sweeps need tqdm: pip install 'tinygrad_lab[lab]'") from None
    bar = tqdm(total=total, initial=total - missing, desc="sweep", unit="run", disable=None if shown else True)
    with bar:
        failed = 0
        for result in results:
            failed += result[1] is None
            bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
            bar.update()
            yield result
