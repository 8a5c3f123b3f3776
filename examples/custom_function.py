"""An op of one's own, with a gradient derived by hand, checked against autograd and against central differences."""

import tinygrad_lab as torch
from tinygrad_lab.autograd import Function, grad


class Swish(Function):
    """y = x * sigmoid(x), so dy/dx = sigmoid(x) * (1 + x * (1 - sigmoid(x)))."""

    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx, grad_output):
        x, s = ctx.saved_tensors
        return grad_output * s * (1 + x * (1 - s))


x = torch.linspace(-3, 3, 7, dtype=torch.float64).requires_grad_()

(by_hand,) = grad(Swish.apply(x).sum(), x)
(by_autograd,) = grad((x * torch.sigmoid(x)).sum(), x)

h = 1e-6
with torch.no_grad():
    by_differences = (Swish.apply(x + h) - Swish.apply(x - h)) / (2 * h)

print("by hand:       ", by_hand)
print("by autograd:   ", by_autograd)
print("by differences:", by_differences)
assert torch.allclose(by_hand, by_autograd, atol=1e-12)
assert torch.allclose(by_hand, by_differences, atol=1e-8)
