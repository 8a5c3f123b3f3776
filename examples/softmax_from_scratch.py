"""Softmax regression from raw ops: every step of the model and of the training loop is written out."""

import tinygrad_lab as torch
from tinygrad_lab import datasets

torch.manual_seed(0)
splits = datasets.load("digits")
x, y = splits.train.tensors  # (1077, 64) pixels in [0, 1], (1077,) labels 0 to 9
one_hot = torch.eye(10)[y]

W = (torch.randn(64, 10) * 0.01).requires_grad_()
b = torch.zeros(10, requires_grad=True)

for epoch in range(200):
    logits = x @ W + b
    log_probabilities = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    loss = -(one_hot * log_probabilities).sum(dim=1).mean()

    loss.backward()
    with torch.no_grad():
        for parameter in (W, b):
            parameter -= 1.0 * parameter.grad
            parameter.grad = None
    if epoch % 50 == 49:
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

x_test, y_test = splits.test.tensors
accuracy = ((x_test @ W + b).argmax(dim=1) == y_test).float().mean().item()
print(f"test accuracy {accuracy:.4f}")
assert accuracy > 0.93
