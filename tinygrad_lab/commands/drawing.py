"""`tinygrad-lab graph`: the graph of what a file computes, drawn."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tinygrad_lab import Tensor, viz
from tinygrad_lab.commands.application import app, tell
from tinygrad_lab.experiments import Run
from tinygrad_lab.nn import Module, functional
from tinygrad_lab.verify.userfile import UserFile, split_target


@app.command()
def graph(
    target: Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="NAME is loss if it is left out.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="x.svg, .html, .png, .pdf, .dot, .txt or .json.")] = Path(
        "graph.svg"
    ),
    depth: Annotated[int | None, typer.Option(help="Levels of modules shown open [default: all].")] = None,
    direction: Annotated[str, typer.Option(help="TB: from top to bottom; LR: from left to right.")] = "TB",
    max_cards: Annotated[int, typer.Option(help="A larger graph is folded to so many cards.")] = 150,
    values: Annotated[bool, typer.Option(help="Show values and gradients.")] = True,
    engine: Annotated[str, typer.Option(help="builtin, or dot: laid out by Graphviz.")] = "builtin",
    timeout: Annotated[float, typer.Option(help="Seconds that Graphviz may take.")] = 10.0,
) -> None:
    """Draw the graph that a file computes. The file is run, but not changed.

    NAME is a Tensor, a function that returns one, or a Module, which is called with the file's example_input (a Tensor,
    or a tuple of several). A function takes no argument, or one: it is called with the file's params (or
    make_params(0)), as gradcheck calls it. Tensors are named as the file names them. Exit code 2 if the file does not
    load or has no such thing, 1 if a program that PNG or PDF needs is missing.
    """
    path, name = split_target(target, "loss")
    options: dict[str, Any] = {"depth": depth, "direction": direction, "values": values, "max_cards": max_cards}
    options |= {"engine": engine, "timeout": timeout}
    with viz.tracing():  # the file may go backward itself, and what that frees is kept
        file = UserFile(Path(path))
        with file.telling():
            drawn = _drawn(file, name, options)
    tell(f"graph of {name}: {drawn.save(out)}")


def draw_run(finished: Run, splits: Any, folder: Path, images: int = 8) -> list[Path]:
    """Write the picture and the step page of a finished run's loss on a few test images; the paths."""
    features, labels = splits.test[:images]
    x, y = Tensor(finished.preprocessor(features.numpy())), labels
    finished.model.zero_grad()
    loss = functional.cross_entropy(finished.model(x), y)
    names = {"x": x, "y": y}
    drawn = viz.graph(loss, finished.model, names, direction="LR")
    steps = viz.step(loss, finished.model, names, title="The demo's MLP")
    loss.backward()
    return [drawn.save(folder / "graph.svg"), steps.save(folder / "steps.html")]


def _drawn(file: UserFile, name: str, options: dict[str, Any]) -> viz.Graph:
    if name not in file.names:
        there = [key for key, value in file.names.items() if key[0] != "_" and _kind(value)]
        raise ValueError(f"{file.name} has no '{name}'" + (f"; it has {', '.join(there)}" if there else ""))
    found = file.names[name]
    kind = _kind(found)
    if kind == "module":
        if "example_input" not in file.names:
            raise ValueError(
                f"{file.name}: {name} is a Module, and there is no example_input to call it with: define "
                f"example_input = torch.randn(...), or a tuple of several"
            )
        given = file.names["example_input"]
        return found.graph(*(given if isinstance(given, tuple) else (given,)), names=_names(file), **options)
    if kind == "function":
        if file.needed(name):
            value = file.argument(name, seed=0)
            if hasattr(value, "named_parameters"):
                found, options["params"] = found(value), value
            else:
                found, leaves = file.result(found, value)
                options["params"] = _called(leaves, value, file.parameter(name))
        else:
            found = found()
        kind = _kind(found)
    if kind != "tensor":
        what = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
        remedy = f": write model = {found.__name__}(...), and name model" if isinstance(found, type) else ""
        raise ValueError(f"{file.name}: {name} is {what}, not a Tensor{remedy}")
    return viz.graph(found, names=_names(file), **options)


def _kind(value: Any) -> str:
    """Which of the things that can be drawn `value` is; "" for none."""
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, (list, tuple)):
        return "tensor" if value and all(isinstance(item, Tensor) for item in value) else ""
    if isinstance(value, Module):
        return "module"
    return "function" if inspect.isfunction(value) else ""


def _called(leaves: dict[str, Tensor], value: Any, argument: str) -> dict[str, Tensor]:
    """The Tensors that a function was called with by the names that it knows them by: W, params[0], or x."""
    if isinstance(value, Mapping):
        return leaves
    listed = isinstance(value, (list, tuple))
    return {f"{argument}[{key}]" if listed else argument: leaf for key, leaf in leaves.items()}


def _names(file: UserFile) -> dict[str, Any]:
    """The file's tensors and arrays by name, those in its dicts among them (params = {"W": ..., "b": ...})."""
    found = dict(file.names)
    for value in file.names.values():
        if isinstance(value, Mapping):
            for key, item in value.items():
                if isinstance(key, str) and isinstance(item, (Tensor, np.ndarray)):
                    found.setdefault(key, item)
    return found
