"""Where in a model something happens: the path of the layer that failed, and the layers that are running now.

What this file lets you do: turn a chain of nested modules, outermost first, into the path by which the outermost one
knows the innermost ("net.2"), put that path on an exception, and read `module_stack` from an observer. It must not know
Module: a module is here any object with `named_modules()`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from types import CodeType
from typing import Any

__all__ = ["layer_path", "module_stack"]

module_stack: ContextVar[tuple[Any, ...]] = ContextVar("module_stack", default=())
"""The modules whose calls are running, outermost first. Kept only while `graph.observers` is not empty."""

_BEGINNING = "in layer "


def layer_path(chain: Sequence[Any]) -> str:
    """The path of the last module of `chain` as seen from the first, "" for the first itself.

    Where a module is not registered in the one that called it, the path begins anew.
    """
    path = ""
    for caller, called in itertools.pairwise(chain):
        step = next((name for name, module in caller.named_modules() if module is called), None)
        path = "" if step is None else f"{path}.{step}" if path and step else path + step
    return path


def add_layer_note(error: BaseException, call: CodeType) -> None:
    """Note on `error` which layer it comes from; `call` is the code of `Module.__call__`, whose frames are the layers.

    Called while `error` passes through every call, and does its work in the innermost one.
    """
    if any(note.startswith(_BEGINNING) for note in getattr(error, "__notes__", ())):
        return
    frame, chain = sys._getframe(1), []
    while frame is not None:
        if frame.f_code is call:
            chain.append(frame.f_locals["self"])
        frame = frame.f_back  # type: ignore[assignment]
    chain.reverse()
    layer = chain[-1]
    try:
        text = f"{type(layer).__name__}(...)" if any(layer.children()) else repr(layer)
        path = layer_path(chain)
    except Exception:  # a module that was never initialised, or a repr that fails: `error` is what the user must see
        text, path = f"{type(layer).__name__}(...)", ""
    error.add_note(f"{_BEGINNING}'{path}' = {text}" if path else _BEGINNING + text)
