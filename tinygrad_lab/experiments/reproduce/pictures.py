"""The pictures of a group of experiments: curves, accuracy against a swept value, a grid, or weights as images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinygrad_lab.experiments.examination import first_weights
from tinygrad_lab.experiments.figures import plot_curves, plot_grid, plot_swept, plot_weights
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.experiments.reproduce.rows import Group
from tinygrad_lab.experiments.tables import Outcome, field_text

__all__ = ["draw"]


def draw(group: Group, outcomes: Mapping[str, Sequence[Outcome]], folder: Path) -> Path | None:
    """Draw what `group.draw` asks for to folder/NAME.png. None if it asks for nothing, or no run is there to draw.

    outcomes  of all groups of the report, by name
    """
    own = outcomes[group.name]
    done = [outcome for outcome in own if outcome.history is not None]
    if not group.draw or not done:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{group.name}.png"
    if group.draw == "curves":
        known = [(name[4:].replace("-", " "), outcomes[name][0]) for name in group.beside]
        words = [words or group.name[4:].replace("-", " ") for words, _ in group.experiments()]
        known += zip(words, own, strict=True)
        return plot_curves({word: outcome.history for word, outcome in known if outcome.history is not None}, path)
    if group.draw == "swept":
        (field,) = group.grid
        values = [value if isinstance(value, (int, float)) else field_text(value) for value in group.grid[field]]
        name = field.replace("_", " ")
        if group.beside:
            series = {other[4:].replace("-", " "): _measured(outcomes[other], "test") for other in group.beside}
            series[group.name[4:].replace("-", " ")] = _measured(own, "test")
            return plot_swept(name, values, series, path, measure="test accuracy")
        measures = {measure: _measured(own, measure) for measure in ("validation", "test")}
        return plot_swept(name, values, measures, path, measure="accuracy")
    if group.draw == "grid":
        down, across = group.grid
        wide = len(group.grid[across])
        measured = [outcome.measured("validation_accuracy") for outcome in own]
        cells = [measured[i : i + wide] for i in range(0, len(measured), wide)]
        return plot_grid((down, across), group.grid[down], group.grid[across], cells, path)
    return _weights(group, done[0], path)


def _measured(outcomes: Sequence[Outcome], measure: str) -> list[list[float | None]]:
    return [[outcome.measured(f"{measure}_accuracy")] for outcome in outcomes]


def _weights(group: Group, outcome: Outcome, path: Path) -> Path | None:
    if outcome.folder is None:
        return None
    run = Run.load(outcome.folder)
    weights = first_weights(run)
    if weights is None:
        return None
    softmax = not run.experiment.hidden
    title = "Templates of the classes" if softmax else "First-layer weights"
    return plot_weights(weights, run.classes if softmax else None, path, title=title)
