"""The application that commands add themselves to, and how they print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tinygrad_lab import __version__
from tinygrad_lab.experiments import parse_field

__all__ = [
    "DATA",
    "DOWNLOAD",
    "QUIET",
    "RESUME",
    "SET",
    "app",
    "assignment",
    "changed_fields",
    "one_line",
    "show",
    "tell",
]

# Options that several commands have.
SET = typer.Option("--set", metavar="FIELD=VALUE", help="Another value for a field; may be given several times.")
DATA = typer.Option(help="Folder with the data set's files.")
DOWNLOAD = typer.Option(help="Download the data set if it is not there.")
RESUME = typer.Option(help="Go on from the checkpoint in the run's folder.")
QUIET = typer.Option(help="No progress bar.")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Learn, teach and verify backpropagation.",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tinygrad_lab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def tell(text: object) -> None:
    """Print, with ? in the place of what the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    print(str(text).encode(encoding, "replace").decode(encoding))


def one_line(error: Exception) -> str:
    """What an error says, for the terminal.

    >>> one_line(FileNotFoundError(2, "No such file or directory", "a.png"))
    'a.png: No such file or directory'
    """
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def show(name: str, history: Any) -> None:
    """Print a run's result: one line."""
    validation = history.final_validation_accuracy
    known = "" if validation is None else f"validation {validation:.4f}   "
    tell(
        f"{name:>8}: train {history.final_train_accuracy:.4f}   {known}test {history.test_accuracy:.4f}   "
        f"({history.seconds:.1f} s)"
    )


def assignment(text: str) -> tuple[str, str]:
    """('lr', '0.1') from 'lr=0.1'. ValueError if there is no =."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected FIELD=VALUE, for example lr=0.1, got {text!r}")
    return name.strip(), value


def changed_fields(texts: Sequence[str] | None) -> dict[str, Any]:
    """The fields of an experiment that --set gives."""
    return {name: parse_field(name, value) for name, value in map(assignment, texts or [])}
