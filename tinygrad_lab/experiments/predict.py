"""What a trained model sees in one's own images: the image in its data set's form, and a probability for each class.

What this file lets you do: `predict` image files with a finished run, and show the result as text or as a figure. It
knows runs; how a photo comes to look like MNIST is in `handwriting`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab import grad_mode
from tinygrad_lab.experiments.figures.style import COLOURS, MUTED, drawn, finish, new_figure, plain
from tinygrad_lab.experiments.handwriting import like, read_image
from tinygrad_lab.experiments.history import Run
from tinygrad_lab.tensor import wrap

__all__ = ["Prediction", "plot_prediction", "predict"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model makes of an image.

    path            the image file
    original        float32 (height, width, 3) in [0, 1]: as read, at most 512 pixels long
    seen            float32 (channels, height, width) in [0, 1]: what is handed to the model, before preprocessing
    classes         names
    scores          float array (classes,): probabilities; of the model "linear", which has none, its outputs
    probabilistic   whether the scores are probabilities
    """

    path: Path
    original: np.ndarray
    seen: np.ndarray
    classes: list[str]
    scores: np.ndarray
    probabilistic: bool = True

    @property
    def index(self) -> int:
        """Of the predicted class."""
        return int(self.scores.argmax())

    @property
    def label(self) -> str:
        """Name of the predicted class."""
        return self.classes[self.index]

    def shown(self, index: int) -> str:
        """A score as people read it."""
        return f"{self.scores[index]:.1%}" if self.probabilistic else f"{self.scores[index]:.3f}"

    def text(self, shades: str = " ░▒▓█", bar: str = "█") -> str:
        """The image as the model sees it, two characters a pixel, and the scores as a table with bars.

        >>> seen = np.array([[[0.0, 1.0], [0.5, 0.0]]])
        >>> print(Prediction(Path("a.png"), seen, seen, ["0", "1"], np.array([0.25, 0.75])).text(" .#", "="))
        a.png: 1 (75.0%)
        +----+
        |  ##|
        |..  |
        +----+
          0   25.0%  =====
        > 1   75.0%  ===============
        """
        grey = self.seen[0] if len(self.seen) == 1 else np.tensordot([0.299, 0.587, 0.114], self.seen, 1)
        levels = np.clip((grey * (len(shades) - 1)).round().astype(int), 0, len(shades) - 1)
        frame = "+" + "--" * grey.shape[1] + "+"
        picture = [frame, *("|" + "".join(2 * shades[level] for level in row) + "|" for row in levels), frame]
        wide = max(map(len, self.classes))
        full = 1.0 if self.probabilistic else max(float(self.scores.max()), 1e-12)
        table = [
            f"{'>' if i == self.index else ' '} {name:<{wide}}  {self.shown(i):>6}  "
            + bar * round(20 * max(float(self.scores[i]), 0.0) / full)
            for i, name in enumerate(self.classes)
        ]
        lines = [f"{self.path.name}: {self.label} ({self.shown(self.index)})", *picture, *table]
        return "\n".join(line.rstrip() for line in lines)


def predict(run: Run | str | os.PathLike[str], images: Iterable[str | os.PathLike[str]]) -> list[Prediction]:
    """Predict the classes of image files.

    Args:
        run: a finished run, or its folder.
        images: files that Pillow opens. For digits, handwriting: dark on light or light on dark, anywhere in the
            image, one digit each. See `handwriting.like` for what becomes of them.

    Returns:
        One Prediction for each image, in their order.

    Raises:
        ValueError: the folder holds no finished run, or there is no ink in an image; it is named.
        RuntimeError: a damaged run or image, a format that Pillow does not know, an image of too many pixels.
        OSError: an image cannot be read.
        ImportError: Pillow or SciPy is missing.
    """
    finished = run if isinstance(run, Run) else Run.load(run)
    predictions = []
    for path in map(Path, images):
        original = read_image(path)
        try:
            seen = like(finished.experiment.dataset, original)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        scores = _scores(finished, seen)
        probabilistic = finished.experiment.model != "linear"
        predictions.append(Prediction(path, original, seen, finished.classes, scores, probabilistic))
    return predictions


def _scores(run: Run, seen: np.ndarray) -> np.ndarray:
    features = run.preprocessor(seen.reshape(1, *run.preprocessor.input_shape))
    run.model.eval()
    with grad_mode.no_grad():
        outputs = run.model(wrap(np.ascontiguousarray(features, np.float32)))
        return (outputs if run.experiment.model == "linear" else outputs.softmax(1)).array[0]


@drawn
def plot_prediction(prediction: Prediction, path: str | os.PathLike[str] | None = None) -> Any:
    """The image as it was, as the model sees it, and the scores as bars.

    Returns the matplotlib Figure, or if `path` (.png or .svg) is given the Path to which it is written.
    """
    figure = new_figure(13, 4.6)
    figure.suptitle(plain(f"{prediction.path.name}: {prediction.label} ({prediction.shown(prediction.index)})", 90))
    given, seen, bars = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    given.imshow(prediction.original)
    pixels = prediction.seen.transpose(1, 2, 0)
    seen.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=1)
    for axes, title in ((given, "the image"), (seen, "as the model sees it")):
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    count = len(prediction.classes)
    colours = [COLOURS[1] if i == prediction.index else COLOURS[0] for i in range(count)]
    bars.barh(range(count), prediction.scores, color=colours)
    bars.set_yticks(range(count), [plain(name, 24) for name in prediction.classes])
    bars.invert_yaxis()
    bars.set_title("probability" if prediction.probabilistic else "output")
    if prediction.probabilistic:
        bars.set_xlim(0, 1.18)
        bars.set_xticks([0, 0.5, 1])
    for i in range(count):
        place = max(float(prediction.scores[i]), 0.0)
        bars.annotate(
            prediction.shown(i), (place, i), (4, 0), textcoords="offset points", va="center", fontsize=12, color=MUTED
        )
    return finish(figure, path)
