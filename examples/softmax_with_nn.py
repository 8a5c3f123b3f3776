"""Softmax regression as a PyTorch user writes it: a module, a loss, an optimizer, a data loader."""

import tinygrad_lab as torch
from tinygrad_lab import datasets, nn
from tinygrad_lab.utils.data import DataLoader

torch.manual_seed(0)
splits = datasets.load("digits")

model = nn.Linear(64, 10)
criterion = nn.CrossEntropyLoss()  # takes logits: the softmax is part of the loss
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

for epoch in range(20):
    for x, y in DataLoader(splits.train, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

x, y = splits.test.tensors
with torch.no_grad():
    accuracy = (model(x).argmax(dim=1) == y).float().mean().item()
print(f"test accuracy {accuracy:.4f}")
assert accuracy > 0.95
