"""Softmax regression and an MLP drawn at three levels of detail, as SVG files in the folder named (or in a new one)."""

import sys
import tempfile
from pathlib import Path

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.nn import functional as F

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 1, 0, 2])

# Softmax regression from raw ops: every op is a card.
W = torch.randn(4, 3, requires_grad=True)
b = torch.zeros(3, requires_grad=True)
scores = x @ W + b
loss = -scores.log_softmax(dim=1)[torch.arange(6), y].mean()
drawing = viz.graph(loss, names=locals(), direction="LR")
loss.backward()  # the drawing was made before: it now shows the gradients too
print(drawing.save(folder / "softmax.svg"))
print(drawing.text())


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, h):
        return h + self.fc(h).relu()


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.block = Residual(5)
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.block(self.first(x).relu()))


# All ops (depth=None), the layers (1), the whole model as one card (0).
mlp = MLP()
loss = F.cross_entropy(mlp(x), y)
drawings = {depth: viz.graph(loss, mlp, {"x": x, "y": y}, depth=depth, direction="LR") for depth in (None, 1, 0)}
loss.backward()
for depth, drawing in drawings.items():
    print(drawing.save(folder / f"mlp-{'ops' if depth is None else depth}.svg"))

counts = [sum(node.kind in ("op", "fold", "loss") for node in drawing.picture.nodes) for drawing in drawings.values()]
assert counts == [7, 5, 2], counts
assert all(node.gradient is not None for node in drawings[None].picture.nodes if node.requires_grad)
