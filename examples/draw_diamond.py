"""Why the order of the backward pass matters: a diamond, where two paths lead from the loss back to one tensor.

        x --> a --> b --> d            d = b * c, b = a + 1, c = 2 a, a = x * x
               \\--> c --/

The gradient of `a` is complete only when both b and c have handed on theirs. Whoever goes on from `a` as soon as the
first has arrived hands on too little, or hands on twice: with every diamond more, twice as often.
"""

import sys
import tempfile
from pathlib import Path

import tinygrad_lab as torch
from tinygrad_lab import viz

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)

x = torch.tensor(3.0, requires_grad=True)
a = x * x
b, c = a + 1, 2 * a
d = b * c
drawing = viz.graph(d, names={"x": x, "a": a, "b": b, "c": c, "d": d})
steps = viz.step(d, names={"x": x, "a": a, "b": b, "c": c, "d": d}, title="A diamond")
d.backward()
print(drawing.text())
print(drawing.save(folder / "diamond.svg"))
print(steps.save(folder / "diamond.html"))

gradient = {node.name: None if node.gradient is None else node.gradient.item() for node in drawing.picture.nodes}
through_b, through_c = gradient["b"] * 1, gradient["c"] * 2
print(f"a gets {through_b:g} through b and {through_c:g} through c: {gradient['a']:g} in all")
assert gradient["a"] == through_b + through_c == 38
assert x.grad.item() == 38 * 2 * 3

# Thirty diamonds on top of each other have 2**30 paths. Visited in the right order, each op runs its rule once.
y = torch.tensor(1.0, requires_grad=True)
top = y
for _ in range(30):
    top = top + top
print(viz.graph(top, values=False).save(folder / "thirty.svg"))
top.backward()
assert y.grad.item() == 2.0**30
