"""The table of a model: layers, output shapes, parameters, multiply-adds and memory, from one real forward pass.

What this file lets you do: `summarize(model, x)`, which `model.summary(x)` calls. The model is left as it was: training
flags, buffers (running statistics) and random numbers. It knows Module and the names of the ops that multiply matrices.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinygrad_lab import graph, random
from tinygrad_lab.grad_mode import no_grad
from tinygrad_lab.nn.whereabouts import module_stack
from tinygrad_lab.tensor import Tensor

__all__ = ["Row", "Summary", "summarize"]

MIB = 2.0**20


@dataclass
class Row:
    """One module.

    path, type, depth   "" is the model itself, at depth 0
    output_shape        of its last call; a list for several outputs; None if it was not called, or without an input
    parameters          numbers in its own parameters that no row above has; with `depth` also those folded into it
    trainable           how many of them want a gradient
    shared              numbers in parameters that a row above has already
    multiply_adds       of its own ops in all calls, at this input
    calls               how often it ran
    """

    path: str
    type: str
    depth: int
    output_shape: Any = None
    parameters: int = 0
    trainable: int = 0
    shared: int = 0
    multiply_adds: int = 0
    calls: int = 0


@dataclass(repr=False)
class Summary:
    """`print(model.summary(x))`; plain data in `rows` and the totals, or all of it from `to_dict()`.

    parameters, trainable, frozen      numbers in all parameters, shared ones once
    multiply_adds                      of the whole forward pass
    *_bytes                            of the input, of all intermediate results together, of parameters and buffers
    """

    rows: list[Row]
    parameters: int = 0
    trainable: int = 0
    frozen: int = 0
    multiply_adds: int = 0
    input_bytes: int = 0
    activation_bytes: int = 0
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    ran: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, fit for JSON."""
        return asdict(self)

    def _cells(self) -> list[list[str]]:
        header = ["Layer (type)", "Output shape", "Parameters", "Multiply-adds"]
        return [header] + [
            [
                "  " * row.depth + (f"{row.path} ({row.type})" if row.path else row.type),
                _output_text(row),
                _number(row.parameters) if row.parameters or not row.shared else "shared",
                _number(row.multiply_adds),
            ]
            for row in self.rows
        ]

    def _totals(self) -> list[tuple[str, str]]:
        found = [
            ("Parameters", f"{self.parameters:,}"),
            ("  trainable", f"{self.trainable:,}"),
            ("  frozen", f"{self.frozen:,}"),
        ]
        found += [("Multiply-adds", f"{self.multiply_adds:,}")] if self.ran else []
        found.append(("Memory: parameters", _memory(self.parameter_bytes)))
        found += [("Memory: buffers", _memory(self.buffer_bytes))] if self.buffer_bytes else []
        if self.ran:
            found.append(("Memory: input", _memory(self.input_bytes)))
            found.append(("Memory: activations", _memory(self.activation_bytes)))
        return found

    def _columns(self) -> list[int]:
        return [0, 1, 2, 3] if self.ran else [0, 2]

    def __str__(self) -> str:
        cells = [[row[i] for i in self._columns()] for row in self._cells()]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        right = [False, False, True, True] if self.ran else [False, True]

        def line(row: list[str]) -> str:
            parts = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True)]
            return "  ".join(parts).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        totals = self._totals()
        width = max(len(name) for name, _ in totals)
        numbers = max(len(text) for _, text in totals)
        below = [f"{name.ljust(width)}  {text.rjust(numbers)}" for name, text in totals]
        return "\n".join([line(cells[0]), rule, *map(line, cells[1:]), rule, *below])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        columns = self._columns()
        number = ' style="text-align:right"'
        text = ' style="text-align:left;white-space:pre"'

        def row_html(row: list[str], tag: str) -> str:
            cells = "".join(f"<{tag}{text if i < 2 else number}>{html.escape(row[i])}</{tag}>" for i in columns)
            return f"<tr>{cells}</tr>"

        header, *rows = self._cells()
        body = "".join(row_html(row, "td") for row in rows)
        span = len(columns) - 1
        totals = "".join(
            f'<tr><td colspan="{span}"{text}>{html.escape(name)}</td><td{number}>{value}</td></tr>'
            for name, value in self._totals()
        )
        return f"<table><thead>{row_html(header, 'th')}</thead><tbody>{body}</tbody><tfoot>{totals}</tfoot></table>"


def _output_text(row: Row) -> str:
    if not row.calls:
        return "not called"
    return _shape_text(row.output_shape) + (f" x{row.calls}" if row.calls > 1 else "")


def _memory(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB" if size < MIB else f"{size / MIB:.2f} MiB"


def _number(count: int) -> str:
    return f"{count:,}" if count else "-"


def _shape_text(shape: Any) -> str:
    if isinstance(shape, list):
        return ", ".join(map(_shape_text, shape))
    return "(" + ", ".join(map(str, shape)) + ")" if shape is not None else "-"


# Multiply-adds, as torchinfo counts them: each weight for each place where it is used, and a bias like one weight more.


def _linear(arguments: dict[str, Any], output: Any) -> int:
    return output.size * (arguments["input"].shape[-1] + (arguments["bias"] is not None))


def _matmul(arguments: dict[str, Any], output: Any) -> int:
    return int(output.size * arguments["input"].shape[-1])


def _contract(arguments: dict[str, Any], output: Any) -> int:
    sizes: dict[str, int] = {}
    for letters, operand in zip(arguments["subscripts"], arguments["operands"], strict=True):
        sizes.update(zip(letters, np.shape(operand), strict=True))
    return math.prod(sizes.values()) * max(len(arguments["operands"]) - 1, 1)


def _conv(arguments: dict[str, Any], output: Any) -> int:
    return output.size * (math.prod(arguments["weight"].shape[1:]) + (arguments["bias"] is not None))


def _conv_input(arguments: dict[str, Any], output: Any) -> int:
    return int(arguments["grad"].size * math.prod(arguments["weight"].shape[1:]))


COUNTED: dict[str, Callable[[dict[str, Any], Any], int]] = {
    "linear": _linear,
    "matmul": _matmul,
    "product": _matmul,
    "contract": _contract,
    "conv2d": _conv,
    "conv2d_input": _conv_input,
}


@dataclass
class _Watch(graph.Observer):
    """Counts what every op that runs costs, for the innermost module whose call is running."""

    multiply_adds: dict[Any, int] = field(default_factory=dict)
    total: int = 0
    activation_bytes: int = 0

    def forward(self, op: Any, arguments: dict[str, Any], output: Any, node: Any) -> None:
        array = output.array
        if not op.view:  # a view takes no memory
            self.activation_bytes += array.nbytes
        if op.name in COUNTED:
            count = int(COUNTED[op.name](arguments, array))
            stack = module_stack.get()
            self.total += count
            if stack:
                self.multiply_adds[stack[-1]] = self.multiply_adds.get(stack[-1], 0) + count


def _shapes(output: Any) -> Any:
    if isinstance(output, Tensor):
        return tuple(output.shape)
    if isinstance(output, dict):
        return _shapes(list(output.values()))
    if isinstance(output, (tuple, list)):
        return [_shapes(item) for item in output]
    return None


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors(value.values())
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode, not recorded; afterwards flags, buffers and random numbers are what they were."""
    modules = list(model.modules())
    training = [module.training for module in modules]
    held = [(module, name, buffer) for module in modules for name, buffer in module._buffers.items()]
    values = [None if buffer is None else buffer.array.copy() for _, _, buffer in held]
    state = random.get_rng_state()
    try:
        for module in modules:
            module.training = False
        with no_grad():
            yield
    finally:
        for module, flag in zip(modules, training, strict=True):
            module.training = flag
        for (module, name, buffer), before in zip(held, values, strict=True):
            if module._buffers.get(name) is not buffer:
                setattr(module, name, buffer)
            if before is not None and buffer.array.tobytes() != before.tobytes():
                buffer.array[...] = before
        random.set_rng_state(state)


def summarize(model: Any, inputs: tuple[Any, ...] = (), depth: int | None = None, **named: Any) -> Summary:
    """The summary of `model` for these inputs; without inputs only its parameters.

    depth   modules deeper than this are counted with the one that they are in (0: the model alone)

    TypeError if no input is a Tensor, ValueError for a negative depth. An error of the model's forward passes through.

    >>> from tinygrad_lab import nn
    >>> print(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary(Tensor([[1.0, 2.0, 3.0, 4.0]])))
    Layer (type)  Output shape  Parameters  Multiply-adds
    -----------------------------------------------------
    Sequential    (1, 3)                 -              -
      0 (Linear)  (1, 3)                15             15
      1 (ReLU)    (1, 3)                 -              -
    -----------------------------------------------------
    Parameters             15
      trainable            15
      frozen                0
    Multiply-adds          15
    Memory: parameters   60 B
    Memory: input        16 B
    Memory: activations  24 B
    """
    if depth is not None and depth < 0:
        raise ValueError(f"summary: depth must be 0 or more, got {depth}")
    given = list(_tensors([*inputs, *named.values()]))
    if (inputs or named) and not given:
        kinds = ", ".join(type(value).__name__ for value in (*inputs, *named.values()))
        raise TypeError(f"summary: give the model's inputs as Tensors, such as torch.zeros(1, 784), not {kinds}")
    rows = _rows(model)
    summary = Summary(list(rows.values()))
    if given:
        summary.ran = True
        summary.input_bytes = sum(tensor.array.nbytes for tensor in given)
        _run(model, inputs, named, rows, summary)
    for parameter in model.parameters():
        summary.parameters += parameter.array.size
        summary.trainable += parameter.array.size if parameter.requires_grad else 0
        summary.parameter_bytes += parameter.array.nbytes
    summary.frozen = summary.parameters - summary.trainable
    summary.buffer_bytes = sum(buffer.array.nbytes for buffer in model.buffers())
    if depth is not None:
        summary.rows = _folded(summary.rows, depth)
    return summary


def _rows(model: Any) -> dict[Any, Row]:
    """A row for every module, with the parameters that are its own."""
    rows, seen = {}, set()
    for path, module in model.named_modules():
        row = rows[module] = Row(path, type(module).__name__, path.count(".") + 1 if path else 0)
        for parameter in module.parameters(recurse=False):
            if parameter in seen:
                row.shared += parameter.array.size
                continue
            seen.add(parameter)
            row.parameters += parameter.array.size
            row.trainable += parameter.array.size if parameter.requires_grad else 0
    return rows


def _run(model: Any, inputs: tuple[Any, ...], named: dict[str, Any], rows: dict[Any, Row], summary: Summary) -> None:
    def note(module: Any, args: Any, output: Any) -> None:
        rows[module].calls += 1
        rows[module].output_shape = _shapes(output)

    watch = _Watch()
    handles = [module.register_forward_hook(note) for module in rows]
    others = graph.observers[:]
    graph.observers[:] = [watch]
    try:
        with _undisturbed(model):
            model(*inputs, **named)
    finally:
        graph.observers[:] = others
        for handle in handles:
            handle.remove()
    for module, count in watch.multiply_adds.items():
        if module in rows:
            rows[module].multiply_adds += count
    summary.multiply_adds, summary.activation_bytes = watch.total, watch.activation_bytes


def _folded(rows: list[Row], depth: int) -> list[Row]:
    """The rows down to `depth`, with what is below counted in."""
    kept: list[Row] = []
    for row in rows:
        if row.depth <= depth:
            kept.append(row)
            continue
        into = kept[-1]  # rows stand in the order of the tree: the last one kept is the ancestor
        into.parameters += row.parameters
        into.trainable += row.trainable
        into.shared += row.shared
        into.multiply_adds += row.multiply_adds
    return kept
