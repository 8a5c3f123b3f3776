"""A log-softmax written as in the book overflows: the drawing flags the first infinity and what became NaN of it."""

import sys
import tempfile
from pathlib import Path

import tinygrad_lab as torch
from tinygrad_lab import viz

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)

x = torch.tensor([[1.0, 2.0], [200.0, 1.0]])
W = torch.tensor([[1.0, -1.0], [0.0, 1.0]], requires_grad=True)
y = torch.tensor([0, 0])


def naive(z):
    e = z.exp()  # exp(200) is too large for float32
    return (e / e.sum(dim=1, keepdim=True)).log()


def loss_of(log_softmax):
    z = x @ W
    return -log_softmax(z)[torch.arange(2), y].mean()


wrong = loss_of(naive)
drawing = viz.graph(wrong, names={"x": x, "W": W, "y": y}, direction="LR")
wrong.backward()
print(drawing.text())
print(drawing.save(folder / "nan.svg"))
bad = [node.symbol for node in drawing.picture.nodes if node.value is not None and not abs(node.value).max() < 1e30]
print(f"not finite, in the order of the program: {', '.join(bad)}")
assert bad[0] == "exp" and torch.isnan(wrong) and torch.isnan(W.grad).any()

# The same with the maximum subtracted first, as the library's op does.
right = loss_of(lambda z: z.log_softmax(dim=1))
W.grad = None
right.backward()
assert torch.isfinite(right) and torch.isfinite(W.grad).all()
print(f"with log_softmax the loss is {right.item():.3g}, and every gradient is finite")
