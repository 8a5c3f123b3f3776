"""`tinygrad-lab predict`: what a trained model sees in one's own images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinygrad_lab.commands.application import app, one_line, tell
from tinygrad_lab.experiments import Run
from tinygrad_lab.experiments.predict import plot_prediction, predict


@app.command(name="predict")
def predict_command(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG or whatever Pillow opens.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a figure of each image.")] = None,
) -> int:
    """Predict what is in your own images, such as photos of handwritten digits.

    Each image is brought to the form of the data set that the run was trained on, and shown so. Exit code 1 if one of
    them could not be used; the others are predicted.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, {out} is a file")
    run, failed = Run.load(folder), 0
    encoding = sys.stdout.encoding or "utf-8"
    blocks = "█".encode(encoding, "ignore") != b""
    for place, path in enumerate(images):
        try:
            (prediction,) = predict(run, [path])
        except (ValueError, RuntimeError, OSError) as error:
            print(f"tinygrad-lab: {one_line(error)}", file=sys.stderr)
            failed += 1
            continue
        tell(prediction.text() if blocks else prediction.text(" .:*#", "="))
        if out is not None:
            alike = [other for other in images[:place] if other.stem == path.stem]
            name = path.stem + (f"-{len(alike) + 1}" if alike else "")
            tell(f"figure: {plot_prediction(prediction, out / f'{name}.png')}")
        tell("")
    return 1 if failed else 0
