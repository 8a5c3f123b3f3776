r"""Lines of mathematics as LaTeX, MathML, HTML and text, to be saved or shown in a notebook.

What this file lets you do: give a `Written` its lines (trees of `algebra.formula`) and get every form of them. It knows
nothing of graphs.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_lab.serialization import replace_file
from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra import typeset
from tinygrad_lab.viz.algebra.symbols import Sign

__all__ = ["Line", "Written"]


@dataclass
class Line:
    """An equation and what is said of it: its shape, or why it holds.

    tree    with the names that are shown
    source, values, expected   for checks: the equation in symbols, what they are worth, and what its left side is
    """

    tree: f.Formula
    remark: str = ""
    source: f.Formula | None = None
    values: dict[str, Any] = field(default_factory=dict)
    expected: Any = None


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; } td { padding: .3rem .25rem; vertical-align: middle; }
td.l { text-align: right; white-space: nowrap; } td.n { color: GrayText; padding-left: 1.5rem; font-size: .85rem; }
div.w { overflow: auto hidden; padding-bottom: .3rem; }
math { font: 1.1rem "STIX Two Math", "Cambria Math", "Latin Modern Math", math; }
"""


@dataclass
class Written:
    """Titled sections of lines, with a note on what was left out."""

    title: str
    sections: list[tuple[str, list[Line]]]
    note: str = ""

    @property
    def lines(self) -> list[Line]:
        return [line for _, lines in self.sections for line in lines]

    def latex(self) -> str:
        r"""All lines as one `aligned` environment, for math mode: `$$...$$` in Markdown, or `\[...\]`."""
        return "\\begin{aligned}\n" + self._rows("\\\\[2pt]\n") + "\n\\end{aligned}"

    def _rows(self, end: str) -> str:
        rows = []
        for heading, lines in self.sections:
            rows += [rf"&\textbf{{{heading}}}"] if heading else []
            for line in lines:
                remark = rf" && \text{{{_latex_words(line.remark)}}}" if line.remark else ""
                left, relation, right = (typeset.latex(part) for part in _sides(line.tree))
                rows.append(rf"{left} &{relation} {right}{remark}")
        return end.join(rows)

    def mathml(self) -> str:
        """All lines as one `<math>` element with a table."""
        rows = []
        for heading, lines in self.sections:
            rows += [f"<mtr><mtd><mtext>{html.escape(heading)}</mtext></mtd></mtr>"] if heading else []
            for line in lines:
                cells = "".join(f"<mtd>{typeset.mathml(part)}</mtd>" for part in _sides(line.tree))
                rows.append(f"<mtr>{cells}<mtd><mtext>{html.escape(line.remark)}</mtext></mtd></mtr>")
        return typeset.math_element(f"<mtable>{''.join(rows)}</mtable>", block=True)

    def html(self) -> str:
        """A page of its own: MathML, which browsers draw without a script, and nothing from elsewhere."""
        body = [f"<h1>{html.escape(self.title)}</h1>"]
        for heading, lines in self.sections:
            body += [f"<h2>{html.escape(heading)}</h2>"] if heading else []
            rows = []
            for line in lines:
                left, relation, right = (typeset.mathml(part) for part in _sides(line.tree))
                rows.append(
                    f'<tr><td class="l">{typeset.math_element(left)}</td>'
                    f"<td>{typeset.math_element(relation + right)}</td>"
                    f'<td class="n">{html.escape(line.remark)}</td></tr>'
                )
            body.append(f'<div class="w"><table>{"".join(rows)}</table></div>')
        body += [f"<p>{html.escape(self.note)}</p>"] if self.note else []
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n<body>"
            + "\n".join(body)
            + "</body></html>\n"
        )

    def text(self) -> str:
        """Plain lines, the equals signs below one another."""
        written = []
        for heading, lines in self.sections:
            written += ["", heading] if heading else []
            parts = [[typeset.text(part).strip() for part in _sides(line.tree)] for line in lines]
            width = max((len(left) for left, _, _ in parts), default=0)
            right_width = max((len(right) for _, _, right in parts if len(right) < 60), default=0)
            for line, (left, relation, right) in zip(lines, parts, strict=True):
                remark = f"   ({line.remark})" if line.remark else ""
                written.append(f"  {left:>{width}} {relation} {right:<{right_width if remark else 0}}{remark}".rstrip())
        written += ["", self.note] if self.note else []
        return "\n".join(written).lstrip("\n")

    def save(self, path: str | Path) -> Path:
        r"""Write .tex (an `align*` to \input into a report that uses amsmath), .html or .txt. Returns the path.

        ValueError for another ending, FileNotFoundError if the folder is missing.
        """
        path = Path(path)
        forms = {
            ".tex": lambda: (
                "% needs \\usepackage{amsmath,amssymb}; \\allowdisplaybreaks lets long ones run over pages\n"
                "\\begin{align*}\n" + self._rows(" \\\\\n") + "\n\\end{align*}\n"
            ),
            ".html": self.html,
            ".txt": lambda: self.text() + "\n",
        }
        if path.suffix not in forms:
            raise ValueError(f"formulas are saved as .tex, .html or .txt, not as {path.name!r}")
        replace_file(path.absolute(), [forms[path.suffix]().encode()])
        return path

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """LaTeX, which notebooks typeset also where they are not trusted with HTML, and text."""
        return {"text/plain": self.text(), "text/latex": self._repr_latex_()}


def _sides(tree: f.Formula) -> tuple[f.Tree, f.Tree, f.Tree]:
    """Left side, relation, and all that follows it: the right side and definitions."""
    right: f.Tree = tree.right
    if tree.more:
        right = f.Fence("list", (tree.right, *tree.more))
    return tree.left, Sign(tree.relation), right


def _latex_words(words: str) -> str:
    """A remark inside \\text{...}; mathematical signs in it go into math mode."""
    escaped = "".join(typeset.LATEX_TEXT_ESCAPES.get(c, c) for c in words)
    for sign, command in (("×", r"\times"), ("∂", r"\partial"), ("⊙", r"\odot"), ("δ", r"\delta"), ("∑", r"\sum")):
        escaped = escaped.replace(sign, f"${command}$")
    return escaped
