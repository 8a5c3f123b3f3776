"""Somebody's Python file, run once without being changed or imported, for commands that look into it.

What this file lets you do: load a file as `UserFile`, read its names, call a function of one argument with the file's
parameters, and tell what goes wrong in it in one line with its line number. It must not know what is looked for.
"""

from __future__ import annotations

import inspect
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.problem import arrays_of

__all__ = ["UserFile", "packed", "split_target"]


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
        """RuntimeError, in one line, for what this file's functions raise; other errors pass.

        A TypeError from outside of them says that one of them takes or returns what it should not: ValueError.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            where = self.where(error)
            if not where and isinstance(error, TypeError):
                raise ValueError(f"{self.name}: {error}") from None
            if not where:
                raise
            raise RuntimeError(f"{self.name}, {where}{described(error)}") from None

    # A function of the file, called

    def result(self, f: Callable[..., Any], value: Any) -> tuple[Any, dict[str, Tensor]]:
        """What f returns for `value`, and the Tensors it was given: copies that require a gradient, by name.

        None of them where f does not take Tensors, since it is written in NumPy, and was given arrays.
        """
        arrays, failures = arrays_of(value), []
        # (dtype, as Tensors). Their own first; but what the file mixes them with may be float64.
        for dtype, tensors in ((None, True), (np.float64, True), (None, False)):
            try:
                copies = {key: np.array(array, dtype) for key, array in arrays.items()}
                given = {key: wrap(a).requires_grad_() for key, a in copies.items()} if tensors else {}
                return f(packed(value, list((given or copies).values()))), given
            except (Exception, SystemExit) as error:
                failures.append(error)
        raise max(failures, key=self.line)  # the way that got furthest is the one that was meant

    def line(self, error: BaseException) -> int:
        """The last line of this file that ran before the error; 0 if none did."""
        frames = traceback.extract_tb(error.__traceback__)
        return max((frame.lineno or 0 for frame in frames if frame.filename == self.file), default=0)

    def needed(self, name: str) -> list[str]:
        """The names of the arguments without which the function cannot be called."""
        parameters = inspect.signature(self.names[name]).parameters.values()
        return [p.name for p in parameters if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD]

    def parameter(self, name: str) -> str:
        """The name of the function's one argument."""
        needed = self.needed(name)
        if len(needed) != 1:
            raise ValueError(
                f"{self.name}: {name} takes {len(needed)} arguments ({', '.join(needed)}): let it take one, with all "
                f"parameters in a dict: {name}(params)"
            )
        return needed[0]

    def argument(self, function: str, seed: int) -> Any:
        """Where to look: what make_NAME(seed) returns, or the variable NAME; NAME is the argument's, or else params."""
        wanted = self.parameter(function)
        for name in dict.fromkeys((wanted, "params")):
            maker = self.names.get(f"make_{name}")
            if callable(maker):
                with self.telling():
                    value = maker(seed)
                break
            if name in self.names:
                value = self.names[name]
                break
        else:
            other = "" if wanted == "params" else " and no 'params'"
            raise ValueError(
                f"{self.name} has no '{wanted}'{other} to call {function} with: define params = ..., or "
                f"make_params(seed)"
            )
        for key, array in arrays_of(value).items():
            if array.dtype.kind != "f":
                raise ValueError(f"{self.name}: {name} must hold floating arrays, '{key}' is {array.dtype}")
        return value


def described(error: BaseException) -> str:
    """The class of an error and what it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def packed(form: Any, values: Any) -> Any:
    """`values` in the form of `form`: a dict, a list, a tuple, or the value itself."""
    if isinstance(form, Mapping):
        return dict(zip(form, values, strict=True))
    return type(form)(values) if isinstance(form, (list, tuple)) else values[0]
