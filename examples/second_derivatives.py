"""Derivatives of derivatives: create_graph, the Hessian, and Newton's method on logistic regression."""

import tinygrad_lab as torch
from tinygrad_lab.autograd import functional, grad

# d/dx and d2/dx2 of x**3, from one rule: under create_graph the backward pass is itself recorded.
x = torch.tensor(2.0, requires_grad=True)
(first,) = grad(x**3, x, create_graph=True)
(second,) = grad(first, x)
print(f"x**3 at 2: derivative {first.item()}, second derivative {second.item()}")
assert (first.item(), second.item()) == (12.0, 12.0)

# Newton's method: w - H^-1 g, with gradient and Hessian of the logistic loss from autograd.
torch.manual_seed(0)
features = torch.randn(200, 3, dtype=torch.float64)
true_w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
labels = torch.bernoulli(torch.sigmoid(features @ true_w))


def loss(w: torch.Tensor) -> torch.Tensor:
    logits = features @ w
    return (torch.nn.functional.softplus(logits) - labels * logits).mean()


w = torch.zeros(3, dtype=torch.float64)
for step in range(8):
    gradient = functional.jacobian(loss, w)
    hessian = functional.hessian(loss, w)
    # Conjugate gradients solve H d = g with products H v alone.
    direction = torch.zeros(3, dtype=torch.float64)
    residual, search = gradient.clone(), gradient.clone()
    for _ in range(3):
        product = functional.hvp(loss, w, search)[1]
        alpha = (residual @ residual) / (search @ product)
        direction, previous = direction + alpha * search, residual
        residual = residual - alpha * product
        search = residual + (residual @ residual) / (previous @ previous) * search
    assert torch.allclose(hessian @ direction, gradient, atol=1e-8)
    w = w - direction
    print(f"step {step + 1}: |gradient| {gradient.norm().item():.2e}")
    if gradient.norm().item() < 1e-9:
        break
print("w =", w)
assert gradient.norm().item() < 1e-6
