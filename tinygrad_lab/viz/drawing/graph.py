"""`viz.graph`: the graph behind a loss, drawn in whatever form is asked for.

What this file lets you do: make a `Graph`, and from it SVG, HTML, PNG, PDF, DOT, text and JSON, or the display of a
notebook. Each form has a file of its own; this one only reads, folds and hands on.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinygrad_lab.serialization import replace_file
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.drawing import export
from tinygrad_lab.viz.drawing.data import to_json
from tinygrad_lab.viz.drawing.dot import to_dot
from tinygrad_lab.viz.drawing.svg import draw
from tinygrad_lab.viz.drawing.text import to_text
from tinygrad_lab.viz.picture import Picture
from tinygrad_lab.viz.reading.folding import fold
from tinygrad_lab.viz.reading.graphs import Reading

__all__ = ["Graph", "graph", "graph_of_call"]

SUFFIXES = ("svg", "html", "png", "pdf", "dot", "txt", "json")


def graph(
    outputs: Tensor | Iterable[Tensor],
    params: Any = None,
    names: Mapping[str, Any] | None = None,
    depth: int | None = None,
    direction: str = "TB",
    values: bool = True,
    max_cards: int = 150,
    engine: str = "builtin",
    timeout: float = 10,
) -> Graph:
    """Draw the graph behind a loss, or behind several tensors.

    params     names of parameters: a Module, a dict of tensors or a list; default: the modules that were called
    names      names of any tensors, for example names=locals()
    depth      levels of modules shown open: 0 draws every outermost module as one card; None opens all
    direction  "TB" from top to bottom, "LR" from left to right
    values     show values and gradients
    max_cards  a larger graph is folded to at most so many cards, and the drawing says so
    engine     "builtin" needs nothing and gives the same bytes everywhere; "dot" has Graphviz lay out the SVG, and goes
               back to the builtin layout where that is missing or takes more than `timeout` seconds

    Made before `backward()`, the drawing shows the gradients as soon as they are there, also after the pass has freed
    the graph. Made after it, it shows what is left: values and gradients of leaves, unless `viz.tracing()` kept more.
    TypeError and ValueError for arguments that are none of these.

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> loss = (x * x).sum()
    >>> g = graph(loss, names={"x": x})
    >>> loss.backward()
    >>> print(g.text())
    graph: 2 steps, 1 parameter with 2 numbers
    <BLANKLINE>
    x: parameter, 2 uses  2       [1 2]  grad [2 4]
    <BLANKLINE>
    t1 = x * x            2       [1 4]  grad [1 1]
    loss = sum(t1)        scalar  5      grad 1
    <BLANKLINE>
    """
    if direction not in ("TB", "LR"):
        raise ValueError(f'direction must be "TB" (top to bottom) or "LR" (left to right), got {direction!r}')
    if engine not in ("builtin", "dot"):
        raise ValueError(f'engine must be "builtin" or "dot", got {engine!r}')
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, got {type(timeout).__name__}")
    if not timeout > 0:
        raise ValueError(f"timeout must be positive, got {timeout!r} seconds")
    fold(Picture(), depth, max_cards)  # refuses what it would refuse later
    reading = Reading(outputs, params, names, values=values, watch=True)
    return Graph(
        reading, depth=depth, direction=direction, values=values, max_cards=max_cards, engine=engine, timeout=timeout
    )


def graph_of_call(module: Any, inputs: tuple[Any, ...], **options: Any) -> Graph:
    """`Module.graph`: the drawing of what `module(*inputs)` returns, with names from the module and from its forward.

    TypeError if it returns no Tensors.
    """
    tensors = list(_tensors(module(*inputs)))
    if not tensors:
        raise TypeError(f"{type(module).__name__}.forward returned no Tensor, so there is nothing to draw")
    try:
        bound = inspect.signature(module.forward).bind(*inputs).arguments
    except (TypeError, ValueError):
        bound = {}
    names = {**bound, **(options.pop("names", None) or {})}
    return graph(tensors, **{"params": module, "names": names, **options})


def _tensors(output: Any) -> Iterator[Tensor]:
    """The Tensors in what a module returned: a Tensor, or a tuple, list or dict of such."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list, dict)):
        for item in output.values() if isinstance(output, dict) else output:
            yield from _tensors(item)


class Graph:
    """A graph ready to be drawn: `.svg()`, `.html()`, `.dot()`, `.text()`, `.json()`, `.save(path)`, `.picture`.

    A notebook shows the drawing where it may, and the text everywhere. Holds values and gradients, not the graph.
    """

    def __init__(
        self,
        reading: Reading,
        *,
        depth: int | None,
        direction: str,
        values: bool,
        max_cards: int,
        engine: str,
        timeout: float,
    ) -> None:
        self._reading, self._depth, self._max_cards = reading, depth, max_cards
        self._direction, self._values, self._engine, self._timeout = direction, values, engine, timeout

    @property
    def picture(self) -> Picture:
        """What is drawn, as plain data: folded, with the gradients that are there by now."""
        self._reading.refresh()
        return fold(self._reading.picture, self._depth, self._max_cards)

    def svg(self) -> str:
        """The drawing as SVG: needs no program, and no fonts but a monospaced one."""
        return self._svg(self.picture)

    def _svg(self, picture: Picture) -> str:
        if self._engine == "dot":
            try:
                text = to_dot(picture, self._direction, self._values)
                drawn = export.run_dot(text, "svg", self._timeout).decode()
                return drawn[drawn.index("<svg") :]  # without a prologue it may stand inside a page
            except (export.DotMissing, export.DotTimeout) as error:
                reason = "was not found" if isinstance(error, export.DotMissing) else f"took over {self._timeout:g} s"
                picture.remarks = [*picture.remarks, f"drawn with the builtin layout: Graphviz {reason}"]
        return draw(picture, direction=self._direction, values=self._values)

    def html(self) -> str:
        """The drawing as one HTML file with pan and zoom, light and dark, and the text form."""
        picture = self.picture
        title = picture.title or "Graph"  # the page's heading
        return export.as_page(self._svg(replace(picture, title="")), self.text(), title)

    def dot(self) -> str:
        """The graph in Graphviz's language, with or without Graphviz."""
        return to_dot(self.picture, self._direction, self._values)

    def text(self) -> str:
        """The graph in letters: one line per op, grouped by module calls."""
        return to_text(self.picture, self._values)

    def json(self, indent: int | None = None) -> str:
        """The picture as JSON: nodes, edges, calls, outputs and remarks."""
        return to_json(self.picture, indent)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the form that the suffix names, svg, html, png, pdf, dot, txt or json, whole or not. Returns the path.

        PNG is made by the package resvg_py or by Graphviz, PDF by Graphviz. ValueError for another suffix, RuntimeError
        if a program is missing (it says which, and how to install it), FileNotFoundError if the folder is.
        """
        path = Path(path)
        form = path.suffix[1:].lower()
        if form not in SUFFIXES:
            raise ValueError(f"cannot save a graph as {path.name!r}: the suffix must be .{', .'.join(SUFFIXES)}")
        if form in ("png", "pdf"):
            svg = draw(self.picture, direction=self._direction, values=self._values)
            prefer_dot = self._engine == "dot"
            content = export.to_image(self.dot(), svg, form, self._timeout, prefer_dot=prefer_dot)
        else:
            content = getattr(self, "text" if form == "txt" else form)().encode(errors="replace")
        replace_file(path.absolute(), [content])
        return path

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For notebooks: the drawing, and the text form for where a drawing is not trusted or not possible."""
        svg, text = self.svg(), self.text()
        return {"image/svg+xml": svg, "text/html": export.as_fragment(svg, text), "text/plain": text}
