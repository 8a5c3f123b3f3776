"""A page of HTML in one file: text, tables, code and figures, light or dark as the reader's system is.

What this file lets you do: collect sections in a `Page` and write it. All text is escaped, figures are embedded, there
is no script, and the page's own policy forbids fetching anything. It knows nothing of runs.
"""

from __future__ import annotations

import base64
import html
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tinygrad_lab.experiments.figures.style import COLOURS, GRID, INK, MUTED, drawing

__all__ = ["Page"]

_DARK = {INK: "#e9e9e7", MUTED: "#a9adb3", GRID: "#3a3f46", COLOURS[0]: "#2f8fd0"}  # and what they are on a dark ground

_CSS = """
:root { color-scheme: light dark; --ink: #1a1a1a; --muted: #5c5c5c; --paper: #ffffff; --soft: #f4f5f7; --line: #d8d8d8;
  --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e9e7; --muted: #a9adb3; --paper: #15181c; --soft: #1f2329;
  --line: #3a3f46; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.45rem; margin: 3rem 0 .8rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0 1rem; } .lead, figcaption { color: var(--muted); }
nav { margin: 1.2rem 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; } a { color: var(--accent); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.6rem 0; }
.facts div { background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; }
.facts dt { color: var(--muted); font-size: .9rem; } .facts dd { margin: 0; font-size: 1.5rem; font-weight: 600;
  overflow-wrap: anywhere; }
figure { margin: 1.4rem 0; } figure img { display: block; max-width: 100%; height: auto; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td.number, th.number { text-align: right; } td.best { font-weight: 700; }
pre { background: var(--soft); border-radius: .5rem; padding: .9rem 1.1rem; overflow-x: auto;
  font: .92rem/1.45 ui-monospace, monospace; }
summary { cursor: pointer; color: var(--accent); margin: .8rem 0; }
@media print { details > * { display: block; } nav { display: none; } }
"""


def _escape(text: object) -> str:
    """`text` for HTML, as an attribute too; what XML and terminals cannot hold becomes a replacement character."""
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text)))


def _cell(value: object, best: bool) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if is_number else "" if value is None else value
    kinds = ["number"] * is_number + ["best"] * best
    return f'<td class="{" ".join(kinds)}">{_escape(text)}</td>'


def themed_svg(figure: Any) -> str:
    """The figure as SVG on no ground, whose lines and text follow the reader's light or dark scheme.

    Text is drawn as outlines, so that it looks the same and fits wherever the page is opened.
    """
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", transparent=True)
    opening, _, body = buffer.getvalue().partition("<svg ")[2].partition(">")
    body = re.sub("<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)  # addresses, dates
    light = dark = ""
    for index, (colour, other) in enumerate(_DARK.items()):
        body = body.replace(colour, f"var(--c{index})")
        light += f"--c{index}:{colour};"
        dark += f"--c{index}:{other};"
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return f"<svg {opening}>{style}{body}"


class Page:
    """A page being written: add sections and what stands in them, in their order, then `write` it.

    >>> page = Page("Run <1>", "digits")
    >>> page.section("Results")
    >>> page.table(["part", "accuracy"], [["test", 0.95]])
    >>> "<h1>Run &lt;1&gt;</h1>" in page.html() and "0.9500" in page.html()
    True
    """

    def __init__(self, title: str, lead: str) -> None:
        self.title, self.lead = title, lead
        self.sections: list[str] = []
        self.parts: list[str] = []

    def section(self, title: str) -> None:
        """Begin a section."""
        self.sections.append(title)
        self.parts.append(f'<h2 id="s{len(self.sections)}">{_escape(title)}</h2>')

    def text(self, text: str) -> None:
        """A paragraph."""
        self.parts.append(f"<p>{_escape(text)}</p>")

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Figures to be seen at once: (what, how much)."""
        cells = "".join(f"<div><dt>{_escape(name)}</dt><dd>{_escape(value)}</dd></div>" for name, value in facts)
        self.parts.append(f'<dl class="facts">{cells}</dl>')

    def code(self, text: str) -> None:
        """Text as it is, to copy."""
        self.parts.append(f"<pre>{_escape(text)}</pre>")

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        fold: str = "",
        best: Iterable[tuple[int, int]] = (),
    ) -> None:
        """A table: floats with four digits; the (row, column) cells `best` in bold; behind the words `fold`, if any."""
        marked = set(best)
        numbers = [
            bool(rows) and all(isinstance(row[i], (int, float, type(None))) for row in rows) for i in range(len(head))
        ]
        top = "".join(
            f'<th class="{"number" if number else ""}">{_escape(name)}</th>'
            for name, number in zip(head, numbers, strict=True)
        )
        lines = "".join(
            f"<tr>{''.join(_cell(value, (i, j) in marked) for j, value in enumerate(row))}</tr>"
            for i, row in enumerate(rows)
        )
        table = f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'
        self.parts.append(f"<details><summary>{_escape(fold)}</summary>{table}</details>" if fold else table)

    def figure(self, figure: Any, what: str, caption: str = "") -> None:
        """A matplotlib figure; `what` is read to those who cannot see it."""
        data = base64.b64encode(themed_svg(figure).encode()).decode()
        width = round(figure.get_figwidth() * 72)  # a wide figure fills the page, a small one stays small
        caption = f"<figcaption>{_escape(caption)}</figcaption>" if caption else ""
        image = f'<img width="{width}" alt="{_escape(what)}" src="data:image/svg+xml;base64,{data}">'
        self.parts.append(f"<figure>{image}{caption}</figure>")

    def html(self) -> str:
        """The whole page."""
        links = "".join(f'<a href="#s{i + 1}">{_escape(title)}</a>' for i, title in enumerate(self.sections))
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_escape(self.title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
            f'<h1>{_escape(self.title)}</h1>\n<p class="lead">{_escape(self.lead)}</p>\n<nav>{links}</nav>\n'
            + "\n".join(self.parts)
            + "\n</main>\n</body>\n</html>\n"
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_text(self.html(), encoding="utf-8", newline="\n")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return target
