"""A page that steps through backpropagation: `viz.step(loss)` and what it returns.

What this file lets you do: record a loss and save its steps as one HTML file that works offline, as JSON, or as text,
and show them in a notebook. The page is `page.html`, `page.css` and the `.js` files beside this one, the
graph in it `drawing.svg`'s, its data `stepping.story`'s.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from tinygrad_lab.serialization import replace_file
from tinygrad_lab.tensor import Tensor
from tinygrad_lab.viz.drawing import svg
from tinygrad_lab.viz.palette import dark_rules
from tinygrad_lab.viz.stepping.plain import as_text
from tinygrad_lab.viz.stepping.story import Story, tell

__all__ = ["Steps", "step"]


def step(
    loss: Tensor,
    params: Any = None,
    names: Mapping[str, Any] | None = None,
    title: str = "",
    max_steps: int = 200,
) -> Steps:
    """Record the forward and the backward pass of `loss`, one step per op, to look at each of them.

    loss       a tensor with one element and a history; call this before `loss.backward()`, or keep the graph
    params     names of parameters: a Module, a dict of tensors or a list of them; default: the modules that were called
    names      names of any tensors: a dict such as locals()
    title      of the page
    max_steps  of a longer graph the first and the last steps are told

    The program is left as it was: `.grad` is not touched, hooks do not run, the graph is not freed.

    Raises TypeError if the loss is no Tensor; RuntimeError if it is no scalar, was not recorded, or has been freed by
    backward(); ValueError if max_steps is below 5.

    >>> x = Tensor([1.0, 2.0]).requires_grad_()
    >>> steps = step((x * x).sum(), names={"x": x})
    >>> print(steps)  # doctest: +ELLIPSIS
    Backpropagation, step by step: 2 ops, 5 steps
    ...
    >>> steps.save("steps.html")  # doctest: +SKIP
    """
    if not isinstance(max_steps, int):
        raise TypeError(f"viz.step: max_steps must be an int, got {type(max_steps).__name__}")
    if max_steps < 5:
        raise ValueError(
            f"viz.step: max_steps must be at least 5 (two ops there and back, and the seed), got {max_steps}"
        )
    return Steps(tell(loss, params, names, title, max_steps))


class Steps:
    """The recorded steps of a loss. `picture` is the graph with all values and gradients; see `step`."""

    def __init__(self, story: Story) -> None:
        self.picture = story.picture
        self._data = story.data

    def __len__(self) -> int:
        return len(self._data["steps"])

    def to_json(self) -> str:
        """The page's data: steps, nodes and arrays. The same program gives the same text."""
        return json.dumps(self._data, ensure_ascii=False, separators=(",", ":"))

    def text(self) -> str:
        """All steps in words and numbers, for terminals and for notebooks that are not trusted."""
        return as_text(self._data)

    def html(self) -> str:
        """The page: one file that needs no network."""
        css = _file("page.css")
        script = "".join(map(_file, ("page_parts.js", "page_steps.js", "page.js")))
        css += dark_rules('[data-theme="dark"] .tgl')
        drawing = svg.draw(replace(self.picture, title="", remarks=[]), direction="TB", values=True)
        drawing = re.sub(r"<style>.*?</style>", "", drawing, count=1)  # the page's theme can be chosen
        policy = (
            f"default-src 'none'; base-uri 'none'; form-action 'none'; script-src {_hash(script)}; "
            f"style-src {_hash(css)}"
        )
        page = Template(_file("page.html")).substitute(
            policy=policy,
            title=html.escape(self._data["title"]),
            css=css,
            svg=drawing,
            data=_in_script(self.to_json()),
            js=script,
        )
        return page.encode("utf-8", "replace").decode()  # half a surrogate pair in a name is no text

    def save(self, path: str | Path) -> Path:
        """Write the page (.html), the data (.json) or the text (.txt), and return the path.

        Raises ValueError for another ending, FileNotFoundError if the folder is missing.
        """
        path = Path(path)
        forms = {".html": self.html, ".htm": self.html, ".json": self.to_json, ".txt": self.text}
        if path.suffix.lower() not in forms:
            raise ValueError(f"viz.step saves .html, .json and .txt, not '{path.suffix}' ({path.name})")
        replace_file(path.absolute(), [forms[path.suffix.lower()]().encode("utf-8", "replace")])
        return path

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For notebooks: the page in a frame of its own, and the text where a notebook is not trusted."""
        page = html.escape(self.html())
        frame = (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" width="100%" height="720" '
            f'title="{html.escape(self._data["title"])}" style="border:1px solid #c9d0d8;border-radius:8px"></iframe>'
        )
        return {"text/html": frame, "text/plain": self.text()}


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy allows this one script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _in_script(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
