"""A gallery of wrong gradients from real lab reports: each is caught, explained, and its line named.

Writes gallery.md into the current folder: one page to project in class. In every case a report's line stands in the
place of the right one in a derivation, so that what the page shows is what was run.
"""

import linecache
from pathlib import Path

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab import verify
from tinygrad_lab.nn import functional as F

SOFTMAX = """\
def grad(params):
    W, b = params["W"], params["b"]
    z = X @ W + b
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    dz = (p - Y) / N
    dW = X.T @ dz + LAM * W
    db = dz.sum(axis=0)
    return {"W": dW, "b": db}
"""
MLP = """\
def grad(params):
    W1, b1, W2, b2, W3, b3 = params.values()
    a1 = X @ W1 + b1
    h1 = np.maximum(a1, 0)
    a2 = h1 @ W2 + b2
    h2 = np.maximum(a2, 0)
    z = h2 @ W3 + b3
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    d3 = (p - Y) / N
    dW3 = h2.T @ d3 + LAM * W3
    d2 = (d3 @ W3.T) * (a2 > 0)
    dW2 = h1.T @ d2 + LAM * W2
    d1 = (d2 @ W2.T) * (a1 > 0)
    dW1 = X.T @ d1 + LAM * W1
    return {"W1": dW1, "b1": d1.sum(0), "W2": dW2, "b2": d2.sum(0), "W3": dW3, "b3": d3.sum(0)}
"""


class Softmax:
    code, layers = SOFTMAX, [("W", 7, 5)]

    def __init__(self, penalty=0.0, scale=1.0):
        rng = np.random.default_rng(4)
        self.N, self.LAM, features, classes = 12, penalty, self.layers[0][1], self.layers[-1][2]
        self.X, self.y = rng.normal(size=(self.N, features)), rng.integers(0, classes, self.N)
        self.Y = np.eye(classes)[self.y]
        self.params = {}
        for weight, n_in, n_out in self.layers:
            self.params[weight] = scale * rng.normal(size=(n_in, n_out))
            self.params[weight.replace("W", "b")] = 0.3 * rng.normal(size=n_out)

    def logits(self, p):
        return torch.tensor(self.X) @ p["W"] + p["b"]

    def cross_entropy(self, p):
        return F.cross_entropy(self.logits(p), torch.tensor(self.y))

    def penalised(self, p):
        return self.cross_entropy(p) + self.LAM / 2 * sum((p[weight] ** 2).sum() for weight, *_ in self.layers)

    def derivation(self, changes):
        """The derivation with these lines in the place of those, as a function whose lines can be read."""
        code = self.code
        for old, new in changes.items():
            assert code.count(old) == 1, old
            code = code.replace(old, new)
        file = f"derivation {len(shown) + 1}"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        names = {"np": np, **vars(self), "loss": lambda W, b: self.cross_entropy({"W": torch.tensor(W), "b": b}).item()}
        exec(compile(code, file, "exec"), names)
        return names["grad"]


class Mlp(Softmax):
    code, layers = MLP, [("W1", 6, 8), ("W2", 8, 7), ("W3", 7, 4)]

    def logits(self, p):
        h1 = F.relu(torch.tensor(self.X) @ p["W1"] + p["b1"])
        return F.relu(h1 @ p["W2"] + p["b2"]) @ p["W3"] + p["b3"]


shown = []  # (report, title, loss, lines, what is said, remark)


def show(report, title, lines, said, remark, loss=""):
    shown.append((report, title, loss, lines, said, remark))
    print(f"{len(shown):2}. [{report}] {title}")


def case(report, title, model, changes, expected, remark, loss=None, formula="", only_new=False):
    """Diagnose a report's gradient; exactly the mistakes `expected` must be named (none: no claim is made)."""
    indented = {f"    {old}\n": "".join(f"    {line}\n" for line in new.splitlines()) for old, new in changes.items()}
    grad = model.derivation(indented)
    loss = loss or model.penalised
    with np.errstate(all="ignore"):
        diagnosis = verify.diagnose(loss, model.params, grad)
    found = sorted(cause.name for cause in diagnosis.causes)
    assert not diagnosis and found == sorted(expected), f"{title}: {found}\n{diagnosis}"
    said = verify.explain(diagnosis)
    if diagnosis.verdict != "non-finite" and changes:
        departure = verify.check_steps(loss, model.params, grad)
        if departure.line:
            assert any(departure.text in new for new in changes.values()), f"{title}: {departure}"
            said += f"\nfirst line that departs: {departure.text}"
    lines = []
    for old, new in changes.items():
        lines += [] if only_new else [f"- {old}"]
        lines += [f"+ {line}" for line in new.splitlines()]
    show(report, title, lines, said, remark, formula)


softmax, mlp, far = Softmax(), Mlp(), Softmax(scale=1000.0)
softmax_l2, mlp_l2 = Softmax(penalty=0.03), Mlp(penalty=0.03)


def of_probabilities(formula):
    """The loss formula(q, Y) of the probabilities q."""
    return lambda p: formula(F.softmax(softmax.logits(p), 1), torch.tensor(softmax.Y))


def naive(shift):
    """Cross-entropy of logits in the thousands, with exp written out."""

    def loss(p):
        z = far.logits(p)
        e = torch.exp(z - shift(z))
        return -torch.log((e / e.sum(1, keepdim=True))[torch.arange(far.N), torch.tensor(far.y)]).mean()

    return loss


case(
    "000", "The bias never moves", softmax, {"db = dz.sum(axis=0)": "db = -np.sum(Y - p) / N"},
    ["summed over all axes"], "Every row of p - y sums to 0, so the sum over everything is 0 whatever the data.",
)  # fmt: skip
case(
    "000", "A loss without its minus", softmax, {}, ["sign"],
    "The derivation belongs to the right loss: it climbs where it should descend, or the print is wrong.",
    lambda p: -softmax.cross_entropy(p), "np.sum(Y * np.log(p)) / N",
)  # fmt: skip
case(
    "000", "onehot * log(p) where p underflows", far, {}, ["non-finite"],
    "0 * -inf is NaN. log_softmax never forms p.",
    lambda p: -(torch.tensor(far.Y) * torch.log(F.softmax(far.logits(p), 1))).mean(), "-np.mean(Y * np.log(p))",
)  # fmt: skip
case(
    "001", "Softmax of large logits", far, {}, ["non-finite"],
    "exp(710) overflows. The row's maximum can be taken off: it changes no probability.",
    naive(lambda z: 0.0), "cross-entropy with e = np.exp(z)",
)  # fmt: skip
case(
    "002", "A numerical gradient that never takes h off again", softmax,
    {"dW = X.T @ dz + LAM * W": """\
dW = np.zeros(W.shape)
for i, j in np.ndindex(W.shape):
    before = loss(W, b)
    W[i, j] += 1e-4
    dW[i, j] = (loss(W, b) - before) / 1e-4"""},
    ["numerical gradient, no reset"],
    "Each entry is measured where all entries before it were moved, and W is left corrupted.",
)  # fmt: skip
case(
    "003", "p + y", mlp_l2, {"d3 = (p - Y) / N": "d3 = np.zeros(p.shape)\nd3[range(N), y] = 1\nd3 += p\nd3 /= N"},
    ["one-hot added"], "The one-hot rows are subtracted: d3[range(N), y] -= 1.",
)  # fmt: skip
case(
    "003", "The layer's input before its activation", mlp_l2,
    {"dW3 = h2.T @ d3 + LAM * W3": "dW3 = a2.T @ d3 + LAM * W3",
     "dW2 = h1.T @ d2 + LAM * W2": "dW2 = a1.T @ d2 + LAM * W2"},
    ["pre-activation"], "Forward multiplied h with the weight, so h stands in its gradient. The biases are right.",
)  # fmt: skip
case(
    "003", "Both at once, as in the report", mlp_l2,
    {"d3 = (p - Y) / N": "d3 = (p + Y) / N", "dW3 = h2.T @ d3 + LAM * W3": "dW3 = a2.T @ d3 + LAM * W3",
     "dW2 = h1.T @ d2 + LAM * W2": "dW2 = a1.T @ d2 + LAM * W2"},
    ["one-hot added", "pre-activation"], "Two mistakes that spoil every array are told apart.",
)  # fmt: skip
case(
    "004", "The maximum of the whole batch", far, {}, ["non-finite"],
    "A row 746 below the batch's maximum is all zeros, and 0 / 0 is NaN: each row needs its own maximum.",
    naive(lambda z: z.max()), "cross-entropy with e = np.exp(z - z.max())",
)  # fmt: skip
case(
    "004", "A formula for relu's derivative", mlp,
    {"d2 = (d3 @ W3.T) * (a2 > 0)": "d2 = (d3 @ W3.T) * np.maximum(0, a2 + 1e-15 / np.abs(a2 + 1e-15))",
     "d1 = (d2 @ W2.T) * (a1 > 0)": "d1 = (d2 @ W2.T) * np.maximum(0, a1 + 1e-15 / np.abs(a1 + 1e-15))"},
    ["relu value instead of mask"], "The formula is relu itself; its derivative is 1 or 0.",
)  # fmt: skip
case(
    "004", "p - y for another loss", softmax, {"dz = (p - Y) / N": "dz = (p - Y) / (N * Y.shape[1])"},
    ["gradient of another loss"], "Close enough to train (cosine 0.99), and still not this loss's gradient.",
    of_probabilities(lambda q, Y: -(Y * torch.log(q) + (1 - Y) * torch.log(1 - q)).mean()),
    "-np.mean(Y * np.log(p) + (1 - Y) * np.log(1 - p))", only_new=True,
)  # fmt: skip
case(
    "004", "A summed loss, an averaged gradient", softmax,
    {"dz = (p - Y) / N": "slope = 2 * (p - Y)\ndz = p * (slope - (slope * p).sum(axis=1, keepdims=True)) / N"},
    ["times 1/N"], "The learning rate hides the factor; a check does not.",
    of_probabilities(lambda q, Y: ((q - Y) ** 2).sum()), "np.sum((p - Y) ** 2)", only_new=True,
)  # fmt: skip
case(
    "004", "An averaged loss, a summed gradient", mlp, {"d3 = (p - Y) / N": "d3 = p - Y"},
    ["times N"], "The step grows with the batch.",
)  # fmt: skip
case(
    "004", "The penalty once for every sample", softmax_l2,
    {"dW = X.T @ dz + LAM * W": "dW = sum(np.outer(x, d) + LAM * W for x, d in zip(X, dz))"},
    ["penalty times N"], "The penalty does not depend on the samples: add it after their sum.",
)  # fmt: skip
case(
    "004", "A penalty in the gradient only", mlp_l2, {}, ["extra penalty"],
    "The curve that is printed is not the one that is descended.", mlp.cross_entropy, "cross-entropy without penalty",
)  # fmt: skip
case(
    "004", "A penalty that is no norm", softmax_l2, {}, [],
    "sum(W @ W.T) is the sum of the squared column sums, not of the squares; the gradient is the norm's. It is in no "
    "catalogue, so no claim is made; a_mistake_of_your_own.py adds it.",
    lambda p: softmax_l2.cross_entropy(p) + 0.03 / 2 * (p["W"] @ p["W"].T).sum(),
    "cross-entropy + LAM / 2 * np.sum(W @ W.T)",
)  # fmt: skip

# Three mistakes that are not in a gradient, caught by measuring.

h, point = 1e-2, np.array([0.3])
error = verify.numerical_gradient(lambda x: np.exp(x).sum(), point, h=h).value[0] - np.exp(0.3)
sixth = h**2 / 6 * np.exp(0.3)
assert abs(error / sixth - 1) < 1e-3
show(
    "003", "The error of the central difference", ["- h**2 / 6 * f'''(x)", "+ h**2 / 2 * f'''(x)"],
    f"f = exp at x = 0.3, h = 0.01\n"
    f"measured error  {error:.4e}\nh^2/6 f'''      {sixth:.4e}\nh^2/2 f'''      {3 * sixth:.4e}",
    "verify.step_size_study(f, x).plot() draws this branch and the rounding that meets it.",
)  # fmt: skip

x = torch.tensor(np.random.default_rng(0).normal(2.0, 3.0, (8, 3)))
mean, std = x.mean(0), torch.sqrt(x.var(0, correction=0) + 1e-5)
output = F.batch_norm(x, None, None, weight=std, bias=mean, training=True)
apart = (output - x).abs().max().item()
assert apart < 1e-12
show(
    "004", "Batch normalisation that does nothing", ["+ gamma, beta = np.sqrt(x.var(0) + eps), x.mean(0)"],
    f"largest |batch_norm(x) - x| = {apart:.0e}: the layer is the identity",
    "gamma and beta are learned; set from the batch, they undo what the layer did.",
)  # fmt: skip

w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
(w**2).sum().backward()
optimizer = torch.optim.Adam([w], lr=0.1)
before = w.detach().clone()
optimizer.step()
step = (before - w).abs().max().item() / 0.1
uncorrected = {(b1, b2): (1 - b1) / np.sqrt(1 - b2) for b1, b2 in ((0.9, 0.999), (0.9, 0.9))}
assert abs(step - 1) < 1e-6
show(
    "004", "Adam without bias correction",
    ["- w -= lr * (m / (1 - b1**t)) / np.sqrt(v / (1 - b2**t))", "+ w -= lr * m / np.sqrt(v)"],
    f"first step, with correction:    {step:.2f} lr\n"
    + "\n".join(f"without, betas {betas}: {size:.2f} lr" for betas, size in uncorrected.items()),
    "m and v begin at 0; the first step has the wrong length until they have warmed up.",
)  # fmt: skip

# The page.


def verdict(said):
    """What is said, in a few words, for the table."""
    lines = said.splitlines()
    named = [line[3:].split(" (")[0].split(", layer")[0] for line in lines if line[:3] in ("-> ", "1. ", "2. ")]
    origin = [line.split(": ")[1] for line in lines if line.startswith("origin")]
    if "no known pattern" in said:
        return "wrong; no known pattern"
    return " and ".join(named + origin) or "measured"


page = [
    "# A gallery of wrong gradients", "",
    "From real lab reports: each is caught and explained by `verify.diagnose`, and its line found by "
    "`verify.check_steps`. Written by [gallery_of_wrong_gradients.py](../examples/gallery_of_wrong_gradients.py).", "",
    "| | report | what happened | what is said |", "|---|---|---|---|",
    *(f"| {i} | {case[0]} | {case[1]} | {verdict(case[4])} |" for i, case in enumerate(shown, 1)), "",
    "Two right derivations. In each case below, a report's line (`+`) stands in the place of the right one (`-`).", "",
    "```python", SOFTMAX.rstrip(), "```", "", "```python", MLP.rstrip(), "```", "",
]  # fmt: skip
for i, (report, title, loss, lines, said, remark) in enumerate(shown, 1):
    page += [f"## {i}. {title} ({report})", ""]
    page += [f"The loss is `{loss}`.", ""] if loss else []
    page += ["```diff", *lines, "```", ""] if lines else []
    page += ["```text", said, "```", "", remark, ""]
Path("gallery.md").write_text("\n".join(page), encoding="utf-8")
print(f"gallery.md: {len(shown)} cases")
assert len(shown) == 19
