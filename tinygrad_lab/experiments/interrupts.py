"""Ctrl-C while something must not be torn in two: it is noted, and looked at where it is safe to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["noted_interrupts"]


@contextlib.contextmanager
def noted_interrupts() -> Iterator[list[bool]]:
    """A context with a list that Ctrl-C adds to instead of interrupting; the second Ctrl-C interrupts at once.

    Outside of the main thread, and where the program handles Ctrl-C itself, nothing changes and the list stays empty.
    """
    pressed: list[bool] = []
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not usual:
        yield pressed
        return

    def note(number: int, frame: Any) -> None:
        if pressed:
            usual(number, frame)
        pressed.append(True)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
