"""Somebody's Python file, run once without being changed or imported, for commands that look into it.

What this file lets you do: load a file as `UserFile`, read its names, and tell what goes wrong in it in one line with
its line number. It must not know what is looked for.
"""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["UserFile", "split_target"]


def split_target(target: str, default: str) -> tuple[str, str]:
    """FILE.py:NAME -> its parts, with `default` for a NAME that is left out; a colon of C:\\ is none of ours."""
    name, colon, chosen = target.rpartition(":")
    return (name, chosen) if colon and chosen.isidentifier() else (target, default)


class UserFile:
    """A Python file, run once as a module that is not imported anywhere."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        self.file = str(path.resolve())
        module = types.ModuleType(f"file_{path.stem}")
        module.__file__ = self.file
        sys.modules[module.__name__] = module  # dataclasses look their module up
        folder = str(path.resolve().parent)
        sys.path.insert(0, folder)  # what stands beside the file can be imported by it
        try:
            exec(compile(path.read_bytes(), self.file, "exec"), module.__dict__)
        except SyntaxError as error:
            text = f": {error.text.strip()}" if error.text and error.text.strip() else ""
            other = f" of {error.filename}" if error.filename not in (self.file, None) else ""
            line = f"line {error.lineno}{other}: " if error.lineno else ""
            raise ValueError(f"{self.name} does not load: {line}{error.msg}{text}") from None
        except (Exception, SystemExit) as error:
            raise ValueError(f"{self.name} does not load: {self.where(error)}{described(error)}") from None
        finally:
            sys.path.remove(folder)
        self.names: dict[str, Any] = module.__dict__

    def where(self, error: BaseException) -> str:
        """'line 12, in grad: ', the place in this file where the error came from; '' if it did not."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.file]
        if not frames:
            return ""
        function = frames[-1].name
        return f"line {frames[-1].lineno}{'' if function == '<module>' else f', in {function}'}: "

    @contextmanager
    def telling(self) -> Iterator[None]:
        """RuntimeError, in one line, for what this file's functions raise; other errors pass."""
        try:
            yield
        except (Exception, SystemExit) as error:
            where = self.where(error)
            if not where:
                raise
            raise RuntimeError(f"{self.name}, {where}{described(error)}") from None


def described(error: BaseException) -> str:
    """The class of an error and what it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
