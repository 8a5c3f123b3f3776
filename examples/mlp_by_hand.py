r"""A three-layer perceptron with an L2 penalty, derived by hand: as loops, as matrices and by autograd, checked.

**Model.** $a_1 = X W_1 + b_1$, $h_1 = \max(a_1, 0)$, $a_2 = h_1 W_2 + b_2$, $h_2 = \max(a_2, 0)$, $z = h_2 W_3 + b_3$,
$p = \mathrm{softmax}(z)$ row by row, and

$$L = -\frac1N \sum_n \log p_{n y_n} + \frac{\lambda}{2} \sum_{l=1}^3 \lVert W_l \rVert^2.$$

Write $\delta_l$ for the derivative of $L$ by what layer $l$ puts out before its activation.

**Step 1, the top:** $\delta_3 = (P - Y)/N$, as in softmax regression.

**Step 2, a layer's own parameters.** $a_l = h_{l-1} W_l + b_l$ with $h_0 = X$:
$\nabla_{W_l} L = h_{l-1}^\top \delta_l + \lambda W_l$ and $\nabla_{b_l} L = \delta_l^\top \mathbf 1$.
What $W_l$ was multiplied with is $h_{l-1}$, after the activation, not $a_{l-1}$.

**Step 3, one layer down.** $h_{l-1}$ reaches $L$ through $a_l$ alone:
$\partial L / \partial h_{l-1} = \delta_l W_l^\top$.

**Step 4, through the activation.** $\max(a, 0)$ has slope 1 where $a > 0$ and 0 elsewhere (at 0 by convention):
$\delta_{l-1} = (\delta_l W_l^\top) \odot [a_{l-1} > 0]$. Steps 2 to 4 repeat until the data is reached.
"""

import timeit

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab import datasets, verify
from tinygrad_lab.nn import functional as F

LAMBDA = 0.001
x, y = datasets.load("digits").train.tensors
X, y = x.numpy()[:100].astype(np.float64), y.numpy()[:100]
N, SIZES = len(X), (64, 16, 12, 10)
rng = np.random.default_rng(0)
params = {}
for i in (1, 2, 3):
    params[f"W{i}"] = rng.normal(size=SIZES[i - 1 : i + 1]) * np.sqrt(2 / SIZES[i - 1])
    params[f"b{i}"] = 0.1 * rng.normal(size=SIZES[i])


def loss(p):
    h1 = F.relu(torch.tensor(X) @ p["W1"] + p["b1"])
    h2 = F.relu(h1 @ p["W2"] + p["b2"])
    penalty = sum((p[name] ** 2).sum() for name in ("W1", "W2", "W3"))
    return F.cross_entropy(h2 @ p["W3"] + p["b3"], torch.tensor(y)) + LAMBDA / 2 * penalty


def gradient_loop(p):
    """One sample at a time, unit by unit: each unit hands its error to the units that fed it."""
    grads = {name: np.zeros(array.shape) for name, array in p.items()}
    for x_n, y_n in zip(X, y, strict=True):
        h, a = [list(x_n)], []
        for i in (1, 2, 3):
            W, b = p[f"W{i}"], p[f"b{i}"]
            a.append([sum(h_d * W[d, k] for d, h_d in enumerate(h[-1])) + b[k] for k in range(len(b))])
            h.append([max(a_k, 0.0) for a_k in a[-1]])
        e = [np.exp(z_k - max(a[-1])) for z_k in a[-1]]
        delta = [(e_k / sum(e) - (k == y_n)) / N for k, e_k in enumerate(e)]
        for i in (3, 2, 1):
            W, below = p[f"W{i}"], [0.0] * len(h[i - 1])
            for k, delta_k in enumerate(delta):
                grads[f"b{i}"][k] += delta_k
                for d, h_d in enumerate(h[i - 1]):
                    grads[f"W{i}"][d, k] += h_d * delta_k
                    below[d] += delta_k * W[d, k]
            if i > 1:
                delta = [g if a_d > 0 else 0.0 for g, a_d in zip(below, a[i - 2], strict=True)]
    for name in ("W1", "W2", "W3"):
        grads[name] += LAMBDA * p[name]  # once, not once for every sample
    return grads


def gradient_matrices(p):
    """Steps 1 to 4, a line each."""
    a1 = X @ p["W1"] + p["b1"]
    h1 = np.maximum(a1, 0)
    a2 = h1 @ p["W2"] + p["b2"]
    h2 = np.maximum(a2, 0)
    z = h2 @ p["W3"] + p["b3"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    d3 = e / e.sum(axis=1, keepdims=True)
    d3[np.arange(N), y] -= 1
    d3 /= N
    d2 = d3 @ p["W3"].T * (a2 > 0)
    d1 = d2 @ p["W2"].T * (a1 > 0)
    dW3 = h2.T @ d3 + LAMBDA * p["W3"]
    dW2 = h1.T @ d2 + LAMBDA * p["W2"]
    dW1 = X.T @ d1 + LAMBDA * p["W1"]
    return {"W1": dW1, "b1": d1.sum(axis=0), "W2": dW2, "b2": d2.sum(axis=0), "W3": dW3, "b3": d3.sum(axis=0)}


def gradient_autograd(p):
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    loss(tensors).backward()
    return {name: tensor.grad.numpy() for name, tensor in tensors.items()}


ways = (gradient_loop, gradient_matrices, gradient_autograd)
gradients = {f.__name__.removeprefix("gradient_"): f(params) for f in ways}
for name in params:
    for way, found in gradients.items():
        assert np.abs(found[name] - gradients["autograd"][name]).max() < 1e-14, f"{way}, {name}"

# Every element of every parameter against differences, which know where relu has its kinks; then the table.
tensors = {name: torch.tensor(array) for name, array in params.items()}
check = verify.gradcheck(loss, tensors, gradients["matrices"], mode="full")
print(check)
assert check

print("entry        numerical        analytic         relative error")
for name in params:
    index = tuple(int(i) for i in rng.integers(params[name].shape))
    a, m = check[name].numerical[index], gradients["matrices"][name][index]
    error = abs(a - m) / max(abs(a), abs(m), 1e-300)
    print(f"{name}[{', '.join(map(str, index))}]".ljust(11), f"{a: .9e}  {m: .9e}  {error:.2e}")
    assert abs(a - m) <= 1e-9

assert verify.diagnose(loss, params, gradient_matrices) and verify.check_steps(loss, params, gradient_matrices)

seconds = {
    f.__name__: min(timeit.repeat(lambda f=f: f(params), number=n, repeat=3)) / n
    for f, n in ((gradient_loop, 1), (gradient_matrices, 100), (gradient_autograd, 100))
}
for name, s in seconds.items():
    print(f"{name:18} {1e3 * s:9.3f} ms   {seconds['gradient_loop'] / s:8.1f} times the loop's speed")

for _ in range(200):
    params = {name: params[name] - 0.3 * g for name, g in gradient_matrices(params).items()}
with torch.no_grad():
    value = loss({name: torch.tensor(array) for name, array in params.items()}).item()
print(f"loss after 200 steps: {value:.4f}")
assert value < 0.2
