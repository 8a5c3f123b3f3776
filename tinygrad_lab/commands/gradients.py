"""`tinygrad-lab gradcheck` and `diagnose`: gradients that a student's file derives by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinygrad_lab.commands.application import app, tell
from tinygrad_lab.verify.student import diagnose_file, gradcheck_file

SEED = typer.Option(help="Seed handed to make_params, and of the directions that are tried.")


@app.command()
def gradcheck(
    target: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", help="FUNCTION is loss if it is left out.")],
    mode: Annotated[str, typer.Option(help="full: every element; fast: about 40 evaluations; auto: by size.")] = "auto",
    seed: Annotated[int, SEED] = 0,
) -> int:
    """Check a gradient against differences: the one derived by hand in the file, or else autograd's.

    The file defines params (or make_params(seed)), loss(params) and, if it was derived by hand, grad(params). Exit
    code 1 if an element is wrong or cannot be decided, 2 if the file does not load or has no such function.
    """
    result = gradcheck_file(target, mode, seed)
    tell(result)
    return 0 if result else 1


@app.command()
def diagnose(
    path: Annotated[Path, typer.Argument(metavar="FILE.py", help="Defines params, loss(params) and grad(params).")],
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    seed: Annotated[int, SEED] = 0,
) -> int:
    """Say what is wrong with the gradient that a file derives by hand, and in which line.

    The file defines params (or make_params(seed)), loss(params) and grad(params). Exit code 1 if the gradient is wrong,
    2 if the file does not load or has no such function.
    """
    diagnosis, report = diagnose_file(path, language, seed)
    tell(report)
    return 0 if diagnosis else 1
