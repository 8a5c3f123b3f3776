"""The chain rule of your own model, written out and derived: what a report derives by hand, in the program's names."""

from collections import OrderedDict

import tinygrad_lab as torch
from tinygrad_lab import nn, viz
from tinygrad_lab.nn import functional as F

torch.manual_seed(0)
model = nn.Sequential(OrderedDict(fc1=nn.Linear(4, 5), relu=nn.ReLU(), fc2=nn.Linear(5, 3)))
x, t = torch.randn(8, 4), torch.randint(0, 3, (8,))
loss = F.cross_entropy(model(x), t)

print(model.summary(x))
assert model.summary(x).parameters == 4 * 5 + 5 + 5 * 3 + 3

# Every operation forward, then every gradient in the order of backpropagation.
found = viz.formulas(loss, params=model, names={"x": x, "t": t})
print(found)

# The same gradients derived in one go, from L = -1/N sum ln p.
derivation = found.derivation()
print(derivation)

# For a report: \input{mlp} in LaTeX with amsmath; the page opens in any browser.
derivation.save("mlp.tex")
derivation.save("mlp.html")

# The last lines of the derivation say what backward() computes.
loss.backward()
assert "∂L/∂fc1.weight = (δ^(1))ᵀ · x" in derivation.text()
delta = derivation.lines[-1].values["D"]  # the numbers behind the symbols of the last line
assert torch.allclose(torch.tensor(delta).T @ x, model.fc1.weight.grad)
