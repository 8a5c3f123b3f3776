"""Gradient modes: whether ops are recorded, local to the thread and to the async task.

What this file lets you do: switch recording off and on, for a block, for a decorated function, or from here on. It
knows nothing else of the package.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextvars import ContextVar, Token
from typing import Any

__all__ = ["enable_grad", "grad_enabled", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]

recording: ContextVar[bool] = ContextVar("grad_mode", default=True)
is_grad_enabled = grad_enabled = recording.get


class _GradMode:
    """Sets whether ops are recorded, for a `with` block or for the calls of a decorated function or generator."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(recording.set(self.mode))

    def __exit__(self, *exception: object) -> None:
        recording.reset(self._tokens.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot decorate the async generator {function.__name__}: the mode would leak "
                f"into its caller at every yield; put a with block between the yields"
            )
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                return (yield from _InMode(self.mode, function(*args, **kwargs)))

            return generate

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with _GradMode(self.mode):
                    return await function(*args, **kwargs)

            return call_async

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(self.mode):
                return function(*args, **kwargs)

        return call


class _InMode(Generator[Any, Any, Any]):
    """A generator whose own code runs in a gradient mode; between its yields the caller's mode holds."""

    def __init__(self, mode: bool, inside: Generator[Any, Any, Any]) -> None:
        self.mode, self.inside = mode, inside

    def send(self, value: Any) -> Any:
        with _GradMode(self.mode):
            return self.inside.send(value)

    def throw(self, *exception: Any) -> Any:
        with _GradMode(self.mode):
            return self.inside.throw(*exception)

    def close(self) -> None:
        with _GradMode(self.mode):
            self.inside.close()


class no_grad(_GradMode):
    """Ops in this block (or decorated function) are not recorded, so nothing in it requires a gradient.

    Local to the current thread and async task. `@no_grad` and `@no_grad()` both decorate.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html
    """

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(no_grad):
    """Ops in this block (or decorated function) are recorded again, also inside `no_grad`."""

    def __init__(self) -> None:
        _GradMode.__init__(self, True)


class set_grad_enabled(_GradMode):
    """Switch recording on or off, at once; as a `with` block, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._tokens.append(recording.set(self.mode))

    def __enter__(self) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.__exit__()
        return super().__call__(function)


class inference_mode(no_grad):
    """`no_grad` under PyTorch's other name; `inference_mode(False)` is `enable_grad`."""

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls, mode if callable(mode) else None)

    def __init__(self, mode: Any = True) -> None:
        _GradMode.__init__(self, not mode)
