"""What the tables of misuse are written with: a `torch` that is this library or, in a block, PyTorch, and two checks.

A table is {mistake: (a function that makes it, class of the exception, what the message must say ...)}; each saying is
a regular expression that must be found in the message or its notes: what is wrong, with shapes, values or names, and
what to do about it.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import tinygrad_lab


class _Library:
    """Stands for `import torch`: forwards to the library that is chosen."""

    chosen: Any = tinygrad_lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chosen, name)

    @contextlib.contextmanager
    def is_pytorch(self) -> Iterator[None]:
        self.chosen = pytest.importorskip("torch")
        try:
            yield
        finally:
            self.chosen = tinygrad_lab


torch: Any = _Library()


def ones(*shape: int, **options: Any) -> Any:
    return torch.ones(*shape, **options)


def leaf(*shape: int) -> Any:
    return torch.ones(*shape, requires_grad=True)


def ints(*values: Any) -> Any:
    return torch.tensor(values)


def functional() -> Any:
    return torch.nn.functional


def cross_entropy(labels: Any, **options: Any) -> Any:
    return torch.nn.functional.cross_entropy(ones(2, 3), labels, **options)


def net() -> Any:
    """A model with a nested part, so that paths have two steps."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

        def forward(self, x: Any) -> Any:
            return self.body(x)

    return Net()


def check_class(make: Callable[[], Any], kind: type[BaseException]) -> BaseException:
    """The exception that `make` raises, which is of this class. Warnings of misuse count as raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(kind) as raised:
            make()
    return raised.value


def check_message(make: Callable[[], Any], kind: type[BaseException], sayings: Iterable[str]) -> None:
    """`make` raises just this class, and every saying is found in the message and its notes."""
    error = check_class(make, kind)
    told = "\n".join([str(error), *getattr(error, "__notes__", ())])
    assert type(error) is kind
    assert sayings and all(re.search(saying, told, re.DOTALL) for saying in sayings), told
