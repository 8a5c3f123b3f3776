"""The application that commands add themselves to, and how they print."""

from __future__ import annotations

import sys
from typing import Any

import typer

__all__ = ["app", "show", "tell"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Learn, teach and verify backpropagation.",
)


def tell(text: object) -> None:
    """Print, with ? in the place of what the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    print(str(text).encode(encoding, "replace").decode(encoding))


def show(name: str, history: Any) -> None:
    """Print a run's result: one line."""
    validation = history.final_validation_accuracy
    known = "" if validation is None else f"validation {validation:.4f}   "
    tell(
        f"{name:>8}: train {history.final_train_accuracy:.4f}   {known}test {history.test_accuracy:.4f}   "
        f"({history.seconds:.1f} s)"
    )
