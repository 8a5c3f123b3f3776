"""A multi-layer perceptron with dropout, a learning-rate schedule, and its weights saved and loaded."""

import tempfile
from pathlib import Path

import tinygrad_lab as torch
from tinygrad_lab import datasets, nn
from tinygrad_lab.nn import functional as F
from tinygrad_lab.utils.data import DataLoader


class MLP(nn.Module):
    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.dropout(F.relu(self.hidden(x))))


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


torch.manual_seed(0)
splits = datasets.load("digits")
model = MLP(64, 128, 10)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
print(model)

for epoch in range(30):
    model.train()
    for x, y in DataLoader(splits.train, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    scheduler.step()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: validation accuracy {accuracy(model, *splits.validation.tensors):.4f}")

test_accuracy = accuracy(model, *splits.test.tensors)
print(f"test accuracy {test_accuracy:.4f}")
assert test_accuracy > 0.96

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mlp.safetensors"
    torch.save(model.state_dict(), path)
    loaded = MLP(64, 128, 10)
    loaded.load_state_dict(torch.load(path))
assert accuracy(loaded, *splits.test.tensors) == test_accuracy
