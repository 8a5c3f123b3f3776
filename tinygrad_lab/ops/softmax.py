"""Softmax and its logarithm, each one op and stable for logits of any size."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.dtypes import add_up
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.elementwise import exp
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal

__all__ = ["log_softmax", "softmax"]

ALONG = [Sample(normal(3, 4), 1), Sample(normal(2, 3, 4), 0), Sample(normal(2, 3, 4), -1), Sample(normal(5), 0)]


def _require_dim(name, dim):
    if not isinstance(dim, int):
        raise TypeError(
            f"{name}: dim must be an int, the dimension that holds the classes (usually 1 or -1), got {dim!r}"
        )


@op(
    {"input": lambda g, y, dim: y * (g - sum_(g * y, dim, True))},
    formula=r"y = e^{a} / \textstyle\sum e^{a}",
    vjp_formula={"input": r"\bar a = y \odot (\bar y - \textstyle\sum \bar y \odot y)"},
    samples=ALONG,
    floats="input",
    faces="torch method functional",
)
def softmax(input, dim=None, *, dtype=None):
    """exp(input) / sum(exp(input)) along `dim`: positive and summing to 1. Shape as `input`.

    The largest logit is subtracted first, so that nothing overflows.

    >>> torch.softmax(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), dim=1)
    tensor([[0.5, 0.5],
            [1. , 0. ]])
    """
    _require_dim("softmax", dim)
    e = np.subtract(input, np.max(input, axis=dim, keepdims=True, initial=-np.inf), dtype=dtype and dtype.numpy)
    e = np.exp(e, out=e if e.ndim else None)  # NumPy made a number of a 0-d result
    e /= add_up(e, dim, True)
    return e


@op(
    {"input": lambda g, y, dim: g - exp(y) * sum_(g, dim, True)},
    formula=r"y = a - \ln \textstyle\sum e^{a}",
    vjp_formula={"input": r"\bar a = \bar y - e^{y} \odot \textstyle\sum \bar y"},
    samples=ALONG,
    floats="input",
    faces="torch method functional",
)
def log_softmax(input, dim=None, *, dtype=None):
    """log(softmax(input)) along `dim`, without the overflow and underflow of computing it in two steps.

    >>> torch.log_softmax(torch.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    _require_dim("log_softmax", dim)
    z = np.subtract(input, np.max(input, axis=dim, keepdims=True, initial=-np.inf), dtype=dtype and dtype.numpy)
    z -= np.log(add_up(np.exp(z), dim, True))
    return z
