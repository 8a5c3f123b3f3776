r"""Softmax regression, derived by hand: its gradient as a loop, as matrices, by autograd, and by differences.

**Model.** A row $x_n$ of $X$ has $D$ pixels; $W$ is $D \times C$, $b$ has $C$ entries, $y_n$ is the class:

$$z_n = x_n W + b, \qquad p_{nk} = \frac{e^{z_{nk}}}{\sum_j e^{z_{nj}}}, \qquad
  L = -\frac1N \sum_n \log p_{n y_n} + \frac{\lambda}{2} \sum_{dk} W_{dk}^2$$

**Step 1, one sample's loss.** $-\log p_{y} = -z_y + \log\sum_j e^{z_j}$, so for each class

$$\frac{\partial(-\log p_y)}{\partial z_k} = -[k = y] + \frac{e^{z_k}}{\sum_j e^{z_j}} = p_k - [k = y].$$

**Step 2, the logits.** $z_k = \sum_d x_d W_{dk} + b_k$, so $\partial z_k / \partial W_{dk} = x_d$ and
$\partial z_k/\partial b_k = 1$; class $k$'s weights move no other logit.

**Step 3, the chain rule,** averaged over the samples, and the penalty's own derivative $\lambda W$, once:

$$\frac{\partial L}{\partial W_{dk}} = \frac1N \sum_n x_{nd}\,(p_{nk} - [k = y_n]) + \lambda W_{dk}, \qquad
  \frac{\partial L}{\partial b_k} = \frac1N \sum_n (p_{nk} - [k = y_n]).$$

**Step 4, as matrices.** With the one-hot rows $Y$ and $\delta = (P - Y)/N$:
$\nabla_W L = X^\top \delta + \lambda W$ and $\nabla_b L = \delta^\top \mathbf 1$.
The sum over $n$ is the inner dimension of $X^\top \delta$: the shapes leave no other order.
"""

import timeit

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab import datasets, verify
from tinygrad_lab.nn import functional as F

LAMBDA = 0.01
x, y = datasets.load("digits").train.tensors
X, y = x.numpy()[:300].astype(np.float64), y.numpy()[:300]
(N, D), C = X.shape, 10
rng = np.random.default_rng(0)
params = {"W": 0.1 * rng.normal(size=(D, C)), "b": 0.1 * rng.normal(size=C)}


def loss(p):
    """The loss, with Tensors: what is differentiated."""
    logits = torch.tensor(X) @ p["W"] + p["b"]
    return F.cross_entropy(logits, torch.tensor(y)) + LAMBDA / 2 * (p["W"] ** 2).sum()


def gradient_loop(p):
    """Step 3 as it stands: sample by sample, class by class, pixel by pixel."""
    W, b = p["W"], p["b"]
    dW, db = np.zeros((D, C)), np.zeros(C)
    for n in range(N):
        z = [sum(X[n, d] * W[d, k] for d in range(D)) + b[k] for k in range(C)]
        e = [np.exp(z_k - max(z)) for z_k in z]  # the largest logit taken off: exp cannot overflow, p stays the same
        for k in range(C):
            error = e[k] / sum(e) - (k == y[n])
            db[k] += error / N
            for d in range(D):
                dW[d, k] += X[n, d] * error / N
    return {"W": dW + LAMBDA * W, "b": db}


def gradient_matrices(p):
    """Step 4."""
    z = X @ p["W"] + p["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    delta = e / e.sum(axis=1, keepdims=True)
    delta[np.arange(N), y] -= 1
    delta /= N
    return {"W": X.T @ delta + LAMBDA * p["W"], "b": delta.sum(axis=0)}


def gradient_autograd(p):
    """The engine's: nothing was derived here."""
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    loss(tensors).backward()
    return {name: tensor.grad.numpy() for name, tensor in tensors.items()}


# All three, and central differences (f(x + h) - f(x - h)) / 2h, are one gradient.
ways = (gradient_loop, gradient_matrices, gradient_autograd)
gradients = {f.__name__.removeprefix("gradient_"): f(params) for f in ways}
numerical = {
    name: verify.numerical_gradient(lambda v, name=name: loss({**params, name: v}), torch.tensor(params[name])).value
    for name in params
}
for name in params:
    for way, found in gradients.items():
        assert np.abs(found[name] - gradients["autograd"][name]).max() < 1e-14, way
        assert np.abs(found[name] - numerical[name]).max() < 1e-9, way

print("entry        numerical        analytic         relative error")
for name, index in [*(("W", (int(d), int(k))) for d, k in rng.integers((D, C), size=(8, 2))), ("b", (0,)), ("b", (7,))]:
    a, m = numerical[name][index], gradients["matrices"][name][index]
    error = abs(a - m) / max(abs(a), abs(m))
    print(f"{name}[{', '.join(map(str, index))}]".ljust(10), f"{a: .9e}  {m: .9e}  {error:.2e}")
    assert error < 1e-6

# The checker chooses its own steps and says how sure it is; the diagnosis and the lines have nothing to say.
check = verify.gradcheck(loss, {name: torch.tensor(a) for name, a in params.items()}, gradient_matrices(params))
print(check)
assert check
assert verify.diagnose(loss, params, gradient_matrices) and verify.check_steps(loss, params, gradient_matrices)

seconds = {
    f.__name__: min(timeit.repeat(lambda f=f: f(params), number=n, repeat=3)) / n
    for f, n in ((gradient_loop, 1), (gradient_matrices, 100), (gradient_autograd, 100))
}
for name, s in seconds.items():
    print(f"{name:18} {1e3 * s:9.3f} ms   {seconds['gradient_loop'] / s:8.1f} times the loop's speed")

# A gradient that is right makes the model learn.
for _ in range(300):
    params = {name: params[name] - 0.5 * g for name, g in gradient_matrices(params).items()}
accuracy = float(((X @ params["W"] + params["b"]).argmax(axis=1) == y).mean())
print(f"training accuracy after 300 steps: {accuracy:.3f}")
assert accuracy > 0.95
