"""Recorded steps of small programs, which the tests of the step page share."""

from __future__ import annotations

import json

import tinygrad_lab as torch
from tinygrad_lab import nn, viz

__all__ = [
    "HOSTILE",
    "attention_steps",
    "broken_steps",
    "data_of",
    "hostile_steps",
    "long_steps",
    "mnist_steps",
    "residual_steps",
]

HOSTILE = [
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 2'>",
    "<b>bold</b> & \"quoted\" 'name' \\ back\\slash",
    "line\u2028separator\u2029paragraph\nnew line\x00nul",
    "\u202eright to left\u202d \u05d0\u05d1\u05d2 \u0627\u0644",
    "🙂 👩‍👩‍👧 \ud800 half a pair",
    "]]> --> ${data.title} $title $js {{x}}",
    "x" * 10_000,
]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        h = self.fc1(x).relu()
        return self.fc3(self.fc2(h).relu() + h)


def residual_steps():
    torch.manual_seed(1)
    model, x, y = Residual(), torch.randn(3, 2), torch.tensor([0, 1, 1])
    with viz.tracing():
        loss = nn.functional.nll_loss(nn.functional.log_softmax(model(x), 1), y)
    return viz.step(loss, model, {"x": x, "y": y}, title="Residual MLP")


def mnist_steps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    x, y = torch.rand(64, 784), torch.randint(0, 10, (64,))
    return viz.step(nn.functional.cross_entropy(model(x), y), model, {"x": x, "y": y}, title="MNIST 784-256-10")


def attention_steps():
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(12)])
    h = x = torch.randn(2, 5, 8)
    for q, k, v in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        weights = (q(h) @ k(h).transpose(-1, -2) / 8**0.5).softmax(-1)
        h = h + weights @ v(h)
    return viz.step(h.square().mean(), layers, {"x": x}, title="Attention")


def broken_steps():
    x = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    w = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    return viz.step((x @ w).log().mean(), {"w": w}, {"x": x}, title="Logarithm of what is not positive")


def hostile_steps():
    tensors = {name: torch.full((2, 2), 0.5, requires_grad=True) for name in HOSTILE}
    total = None
    for tensor in tensors.values():
        total = tensor if total is None else total * tensor
    return viz.step(total.sum(), tensors, title=HOSTILE[0])


def long_steps(count=300):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x
    for _ in range(count):
        y = y * 1.01
    return viz.step(y.sum(), {"x": x})


def data_of(steps):
    return json.loads(steps.to_json())
