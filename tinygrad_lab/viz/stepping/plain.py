"""The steps of a loss as text: for terminals, and for notebooks that show nothing else.

What this file lets you do: `as_text(data)` writes the data of a page (`stepping.story`) line by line. It knows that
data only.
"""

from __future__ import annotations

from typing import Any

from tinygrad_lab.viz.stepping.numbers import shown

__all__ = ["as_text"]

FEW = 8  # elements up to which an array is written out


def as_text(data: dict[str, Any]) -> str:
    """Every step in one or a few lines."""
    steps, nodes = data["steps"], data["nodes"]
    ops = sum(step["phase"] == "forward" for step in steps)
    lines = [f"{data['title']}: {ops} op{'s' * (ops != 1)}, {len(steps)} steps"]
    lines += [f"! {warning['text']}" for warning in data["warnings"]]
    lines += [f"({remark})" for remark in data["remarks"]]
    width = len(str(len(steps)))
    before = ""
    for i, step in enumerate(steps, 1):
        part = "Forward" if step["phase"] == "forward" else "Backward"
        if part != before:
            lines += ["", part]
        before = part
        node = nodes[step["node"]]
        if step["phase"] == "forward":
            operands = ", ".join(nodes[operand["node"]]["name"] for operand in step["operands"])
            told = [f"{node['name']} = {node['op']}({operands})  {_array(data, step['value'])}"]
        elif step["phase"] == "seed":
            told = [f"{step['title']}  (the start of the backward pass)"]
        else:
            told = [f"{node['op']} hands on ∂L/∂{node['name']}:", *_backward(data, step)]
        lines += [f"{i if k == 0 else '':>{width}}  {'  ' * (k > 0)}{line}" for k, line in enumerate(told)]
    return "\n".join(line.rstrip() for line in lines)


def _backward(data: dict[str, Any], step: dict[str, Any]) -> list[str]:
    lines = []
    for block in step["blocks"]:
        name = data["nodes"][block["node"]]["name"]
        if block["value"] is None:  # for a function with several outputs, which collects their gradients
            lines.append(f"its gradient is handed to {name}")
            continue
        line = f"∂L/∂{name} {'=' if 'before' not in block else '+='} {_array(data, block['value'])}"
        if "raw" in block:
            line += f", the sum over {block['copies']} copies"
        if "before" in block:
            line += f", now {_array(data, block['after'])}"
        if block["leaf"] and block["last"]:
            line += "  (leaf: the optimizer will use this)"
        lines.append(line)
    return [*lines, *(f"{each['name']} gets no gradient: {each['why']}" for each in step["skipped"])]


def _array(data: dict[str, Any], index: int | None) -> str:
    """An array in a few words: its numbers, or shape and range."""
    if index is None:
        return "not known"
    array = data["arrays"][index]
    shape = "×".join(map(str, array["shape"]))
    if "values" in array:
        numbers = [float(number) for number in array["values"].split()]
        if len(numbers) <= FEW:
            text = ", ".join(map(shown, numbers))
            return text if not array["shape"] else f"{shape} [{text}]"
        finite = [number for number in numbers if abs(number) < float("inf")]
        ends = (min(finite), max(finite)) if finite else None
    else:
        ends = (float(array["statistics"][0]), float(array["statistics"][2])) if "statistics" in array else None
    return f"{shape}, {f'from {shown(ends[0])} to {shown(ends[1])}' if ends else 'nothing finite'}"
