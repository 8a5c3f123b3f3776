"""A teacher's own mistakes, registered with one decorator: before it the diagnosis abstains, after it it names them.

A mistake is a function that says what a student would have got. It comes in two kinds: "pass" replaces a rule of the
backward pass, which is then replayed; "array" gives what would have been written down for one parameter. A mistake is
only claimed where it gives exactly the student's arrays, so a careless one can do no harm.
"""

import numpy as np

import tinygrad_lab as torch
from tinygrad_lab import verify
from tinygrad_lab.nn import functional as F
from tinygrad_lab.verify.mistakes import Candidate

rng = np.random.default_rng(0)
X, y = rng.normal(size=(12, 6)), rng.normal(size=12)

# First: a hidden layer with softplus, log(1 + exp(a)), by a student who remembers relu's derivative.

params = {"W": rng.normal(size=(6, 4)), "v": rng.normal(size=4)}


def loss(p):
    h = F.softplus(torch.tensor(X) @ p["W"])
    return ((h @ p["v"] - torch.tensor(y)) ** 2).mean()


def grad(p):
    a = X @ p["W"]
    h = np.log(1 + np.exp(a))
    dr = 2 * (h @ p["v"] - y) / len(y)
    da = np.outer(dr, p["v"]) * (a > 0)
    return {"W": X.T @ da, "v": h.T @ dr}


before = verify.diagnose(loss, params, grad)
print(before, end="\n\n")
assert before.verdict == "unexplained"


@verify.mistake(
    "softplus differentiated as relu",
    says={
        "en": ("softplus is smooth: its derivative is the sigmoid", "da = dh / (1 + np.exp(-a))   (not dh * (a > 0))"),
        "zh": ("softplus 是光滑的:它的导数是 sigmoid", "da = dh / (1 + np.exp(-a))   (不是 dh * (a > 0))"),
    },
)
def softplus_as_relu(problem):
    """In the replay, a rule gets the cotangent g and whatever it names: arguments, `y`, residuals of the op."""
    for step in problem.recording.steps:
        if step.op is not None and step.op.name == "softplus":
            yield verify.Edit(rules={(step, "input"): lambda g, input: g * (input > 0)}, layer=step.name)


after = verify.diagnose(loss, params, grad)
print(after, end="\n\n")
assert [cause.name for cause in after.causes] == ["softplus differentiated as relu"]
assert "它的导数是 sigmoid" in verify.explain(after, "zh")

# Second: a penalty lambda/2 sum(W @ W.T), the sum of the squared column sums, with the gradient of the squared norm.

LAMBDA = 0.03
matrix = {"W": rng.normal(size=(6, 4))}


def penalised(p):
    return ((torch.tensor(X) @ p["W"]) ** 2).mean() + LAMBDA / 2 * (p["W"] @ p["W"].T).sum()


def grad_penalised(p):
    z = X @ p["W"]
    return {"W": X.T @ (2 * z / z.size) + LAMBDA * p["W"]}


@verify.mistake(
    "norm for column sums", kind="array", says={"en": ("sum(W @ W.T) is no squared norm", "lam / 2 * (W**2).sum()")}
)
def norm_for_column_sums(view):
    """A view has the parameter's `value`, the right `gradient`, the student's `hand`, and `groups`: each use's part."""
    penalty = sum(share for kind, _, share in view.groups if kind == "penalty")
    if np.ndim(penalty) == 2:  # lambda times the column sums, in every row
        strength = penalty[0, 0] / view.value.sum(axis=0)[0]
        yield Candidate(view.gradient - penalty + strength * view.value)


found = verify.diagnose(penalised, matrix, grad_penalised)
print(found)
assert [cause.name for cause in found.causes] == ["norm for column sums"]
