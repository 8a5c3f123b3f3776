"""The reference page of formulas, made from the declarations of the ops.

`python tests/formulas_page.py` prints the page; with `--write` it writes docs/formulas.md. A test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from op_cases import entries

from tinygrad_lab.ops.declare import Composition
from tinygrad_lab.viz.algebra.formula import parse
from tinygrad_lab.viz.algebra.typeset import latex

PAGE = Path(__file__).parent.parent / "docs" / "formulas.md"

HEAD = r"""# Formulas of all operations

Written by `python tests/formulas_page.py --write` from the declarations in `tinygrad_lab/ops`. Each formula stands
beside the code that it describes, and the tests evaluate it: `tests/test_viz_equations.py` compares the formulas and
rules of all operations that have rules with what the code computes.

How to read them:

- $`y`$ is the result, $`a, b, \dots`$ the operands in the order of the call. Capitals are matrices, and two of them
  side by side are multiplied as such; $`\odot`$ is the elementwise product.
- $`\bar y`$ is the gradient of the loss with respect to $`y`$, and a rule says what it adds to the gradient of an
  operand.
- $`[a > 0]`$ is 1 where the condition holds, else 0.
- $`\sum`$ without an index runs over the dimensions that the operation reduces, with "copies" over those along which
  broadcasting repeated the operand. That sum is not written for operators that broadcast: every operand's gradient is
  summed to its shape.
- $`+=`$ with indices: what arrives at the same place is added up.
- In convolutions and pooling $`s`$ is the stride, $`d`$ the dilation, $`r`$ the padding; elements outside count as 0.
- "Those of its parts": the operation is composed of others, and its gradients follow from their rules. A dash: it has
  no gradient.

`viz.formulas(loss)` writes the rules of a whole graph down with the names of its tensors.
"""


def cell(source: str) -> str:
    """A formula for a table in Markdown, where a bar would end the cell."""
    tree = parse(source)
    written = latex(tree).replace(r"\mathbin{|}", r"\mathbin{\vert}").replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return f"$`{written}`$"


def rules(entry: Any) -> str:
    made = [f"`{argument}`: {cell(source)}" for argument, source in getattr(entry, "vjp_formula", {}).items()]
    return "<br>".join(made) or ("those of its parts" if isinstance(entry, Composition) else "-")


def page() -> str:
    lines = [HEAD]
    rooms: dict[str, list[Any]] = {}
    for entry in entries():
        source = entry.forward if hasattr(entry, "forward") else entry.function
        rooms.setdefault(source.__module__.rpartition(".")[2], []).append(entry)
    for room in sorted(rooms):
        lines += [f"## {room}", "", "| operation | formula | gradients |", "|---|---|---|"]
        for entry in sorted(rooms[room], key=lambda entry: entry.name):
            lines.append(f"| {entry.name} | {cell(entry.formula)} | {rules(entry)} |")
        lines.append("")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
