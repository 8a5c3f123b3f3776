"""Keeping what a graph forgets: the user's source line, values and gradients of every op that runs under `tracing()`.

A graph keeps what its rules need, and frees that in the backward pass. Inside `with viz.tracing():` each recorded op
leaves a `Record`, which lives as long as its node; pictures made later, also after backward, read them.
"""

from __future__ import annotations

import itertools
import linecache
import weakref
from typing import Any

import numpy as np

from tinygrad_lab import graph
from tinygrad_lab.callers import user_frame
from tinygrad_lab.hooks import Watch
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.viz.picture import SourceLine

__all__ = ["Record", "keep_gradient", "record_of", "tracing"]


class Record:
    """What one node computed: value, gradient (None until a backward pass), operands by argument, and where."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None
        self.gradient: np.ndarray | None = None
        self.passes = 0  # backward passes that have left a gradient here
        self.arguments: dict[str, Any] = {}
        self.source: SourceLine | None = None


_keys = itertools.count(-1, -1)  # below 0: hooks of users have the others
_records: weakref.WeakKeyDictionary[graph.Node, Record] = weakref.WeakKeyDictionary()


def record_of(node: graph.Node) -> Record | None:
    """What was kept of `node`, if it ran under `tracing()`."""
    return _records.get(node)


def keep_gradient(node: graph.Node, record: Record) -> None:
    """Have backward passes leave the gradient of `node`'s output in `record`, for as long as somebody holds that.

    The gradients of several passes add up, as in `.grad`. The node refers to the record weakly, and the record not to
    the node.
    """
    if node.watch is None:
        node.watch = Watch(wrap)
    watch, key = weakref.ref(node.watch), next(_keys)  # weakly, so that nothing waits for the cyclic collector

    def forget(_: Any) -> None:
        found = watch()
        if found is not None:
            found.hooks.pop(key, None)

    kept = weakref.ref(record, forget)

    def hook(gradient: Tensor) -> None:
        found = kept()
        if found is not None:
            before = found.gradient
            found.passes += 1
            found.gradient = gradient.array.copy() if before is None else before + gradient.array

    node.watch.hooks[key] = hook


class tracing(graph.Observer):  # a context manager, named like a function
    """Keep source lines, values and gradients of what runs inside, for pictures made after `backward()`.

    Takes the memory of a copy of every output. May be entered again and nested.

    >>> from tinygrad_lab.viz.reading.graphs import read
    >>> x = Tensor([3.0]).requires_grad_()
    >>> with tracing():
    ...     loss = (x * x).sum()
    >>> loss.backward()
    >>> [node.gradient.tolist() for node in read(loss).nodes]
    [[6.0], [1.0], 1.0]
    """

    def __enter__(self) -> tracing:
        graph.observers.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        graph.observers.remove(self)

    def forward(self, op: Any, arguments: dict[str, Any], output: Any, node: graph.Node | None) -> None:
        if node is None or node in _records:
            return
        record = _records[node] = Record()
        record.value = output.array.copy()
        record.arguments = {name: value for name, value in arguments.items() if not callable(value)}
        record.source = source_line()
        keep_gradient(node, record)


def source_line() -> SourceLine | None:
    """The line of the user's program that is running, if there is one."""
    frame = user_frame()
    if frame is None:
        return None
    file, number = frame.f_code.co_filename, frame.f_lineno
    return SourceLine(file, number, linecache.getline(file, number, frame.f_globals).strip())
