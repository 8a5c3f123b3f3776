"""Mistakes that a user makes, as calls that must raise in both libraries, with the same class of error.

Each is a function of (torch, F): the library, ours or PyTorch, and its nn.functional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _twice(torch: Any) -> None:
    loss = (torch.ones(2, requires_grad=True) ** 2).sum()
    loss.backward()
    loss.backward()


def _saved_then_changed(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    z = y * y
    y.add_(1)
    z.sum().backward()


def _wrong_grad_shape(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    (x * 2).backward(torch.ones(3))


def _set_grad(torch: Any, value: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    x.grad = value


def _inputs(torch: Any, inputs: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward(inputs=inputs)


def _setitem(torch: Any, index: Any, value: Any) -> None:
    torch.zeros(3, 4)[index] = value


def _bad_hook(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: torch.ones(3))
    (x * 2).sum().backward()


MISUSES: dict[str, Callable[[Any, Any], Any]] = {
    # autograd
    "backward of a non-scalar": lambda torch, F: (torch.ones(3, requires_grad=True) * 2).backward(),
    "backward without a graph": lambda torch, F: torch.ones(1).backward(),
    "backward twice": lambda torch, F: _twice(torch),
    "a saved value changed in place": lambda torch, F: _saved_then_changed(torch),
    "a cotangent of the wrong shape": lambda torch, F: _wrong_grad_shape(torch),
    "a leaf changed in place": lambda torch, F: torch.ones(2, requires_grad=True).add_(1),
    "a view of a leaf changed in place": lambda torch, F: torch.ones(2, 2, requires_grad=True)[0].zero_(),
    "assignment into a leaf": lambda torch, F: torch.ones(2, requires_grad=True).__setitem__(0, 5.0),
    "requires_grad for integers": lambda torch, F: torch.tensor([1, 2], requires_grad=True),
    "requires_grad_ for integers": lambda torch, F: torch.tensor([1, 2]).requires_grad_(),
    "requires_grad off for a computed tensor": lambda torch, F: setattr(
        torch.ones(2, requires_grad=True) * 2, "requires_grad", False
    ),
    "numpy() of a tensor with a gradient": lambda torch, F: torch.ones(2, requires_grad=True).numpy(),
    "retain_grad without requires_grad": lambda torch, F: torch.ones(2).retain_grad(),
    "register_hook without requires_grad": lambda torch, F: torch.ones(2).register_hook(print),
    "a hook that returns the wrong shape": lambda torch, F: _bad_hook(torch),
    "a grad of the wrong shape": lambda torch, F: _set_grad(torch, torch.ones(3)),
    "a grad of the wrong dtype": lambda torch, F: _set_grad(torch, torch.ones(2, dtype=torch.float64)),
    "a grad that is a list": lambda torch, F: _set_grad(torch, [1.0, 2.0]),
    "backward(inputs=[])": lambda torch, F: _inputs(torch, []),
    "backward(inputs=) that need no gradient": lambda torch, F: _inputs(torch, [torch.ones(2)]),
    "a gradient that is a list": lambda torch, F: (torch.ones(2, requires_grad=True) * 2).backward([1.0, 1.0]),
    "no_grad on a function that then is differentiated": lambda torch, F: torch.no_grad()(lambda x: x * 2)(
        torch.ones(1, requires_grad=True)
    ).backward(),
    # shapes
    "add of shapes that do not broadcast": lambda torch, F: torch.ones(2, 3) + torch.ones(4),
    "matmul of sizes that do not fit": lambda torch, F: torch.ones(2, 3) @ torch.ones(2, 3),
    "matmul with a scalar": lambda torch, F: torch.ones(2, 3) @ torch.tensor(2.0),
    "matmul of different dtypes": lambda torch, F: torch.ones(2, 3) @ torch.ones(3, 2, dtype=torch.float64),
    "reshape to another size": lambda torch, F: torch.ones(6).reshape(4, 2),
    "reshape with two -1": lambda torch, F: torch.ones(6).reshape(-1, -1),
    "view to another size": lambda torch, F: torch.ones(6).view(4, 2),
    "transpose of a missing dim": lambda torch, F: torch.ones(2, 3).transpose(0, 2),
    "permute that repeats a dim": lambda torch, F: torch.ones(2, 3).permute(0, 0),
    "permute with too few dims": lambda torch, F: torch.ones(2, 3).permute(0),
    "expand of a size that is not 1": lambda torch, F: torch.ones(2, 3).expand(4, 3),
    "sum over a missing dim": lambda torch, F: torch.ones(2, 3).sum(2),
    "sum over a repeated dim": lambda torch, F: torch.ones(2, 3).sum((0, 0)),
    "mean of integers": lambda torch, F: torch.tensor([1, 2]).mean(),
    "softmax over a missing dim": lambda torch, F: torch.ones(2, 3).softmax(2),
    "in-place add that would change the shape": lambda torch, F: torch.ones(3).add_(torch.ones(2, 3)),
    "in-place add of floats to integers": lambda torch, F: torch.tensor([1, 2]).add_(0.5),
    "in-place on an expanded tensor": lambda torch, F: torch.ones(3, 1).expand(3, 4).add_(1),
    "linear with the wrong in_features": lambda torch, F: F.linear(torch.ones(2, 3), torch.ones(4, 5)),
    "linear with the wrong bias": lambda torch, F: F.linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(5)),
    "linear of different dtypes": lambda torch, F: F.linear(torch.ones(2, 3), torch.ones(4, 3, dtype=torch.float64)),
    "size of a missing dim": lambda torch, F: torch.ones(2, 3).size(2),
    # indexing
    "index out of range": lambda torch, F: torch.ones(3)[5],
    "too many indices": lambda torch, F: torch.ones(3)[0, 0],
    "a float as an index": lambda torch, F: torch.ones(3)[1.0],
    "a float tensor as an index": lambda torch, F: torch.ones(3)[torch.tensor([1.0])],
    "a mask of the wrong shape": lambda torch, F: torch.ones(3)[torch.tensor([True, False])],
    "index tensor out of range": lambda torch, F: torch.ones(3)[torch.tensor([0, 7])],
    "assignment of the wrong shape": lambda torch, F: _setitem(torch, 0, torch.ones(5)),
    "assignment out of range": lambda torch, F: _setitem(torch, 7, 1.0),
    # values and types
    "add of a string": lambda torch, F: torch.ones(2) + "a",
    "add of None": lambda torch, F: torch.add(torch.ones(2), None),
    "exp of a number": lambda torch, F: torch.exp(1.0),
    "exp of a list": lambda torch, F: torch.exp([1.0]),
    "minus of bools": lambda torch, F: torch.tensor([True]) - torch.tensor([False]),
    "integer to a negative power": lambda torch, F: torch.tensor([1, 2]) ** -1,
    "division with an unknown rounding_mode": lambda torch, F: torch.div(torch.ones(2), 2, rounding_mode="up"),
    "item of several elements": lambda torch, F: torch.ones(2).item(),
    "bool of several elements": lambda torch, F: bool(torch.ones(2)),
    "bool of no elements": lambda torch, F: bool(torch.ones(0)),
    "float of several elements": lambda torch, F: float(torch.ones(2)),
    "len of a scalar": lambda torch, F: len(torch.tensor(1.0)),
    "iteration over a scalar": lambda torch, F: list(torch.tensor(1.0)),
    "a float tensor as a list index": lambda torch, F: [1, 2][torch.tensor(1.0)],
    "an unknown method": lambda torch, F: torch.ones(2).no_such_method(),
    "an unknown argument": lambda torch, F: torch.sum(torch.ones(2), axes=0),
    # creation
    "tensor of a ragged list": lambda torch, F: torch.tensor([[1.0, 2.0], [3.0]]),
    "tensor of strings": lambda torch, F: torch.tensor(["a"]),
    "tensor of None": lambda torch, F: torch.tensor([None]),
    "zeros with a negative size": lambda torch, F: torch.zeros(-1),
    "zeros with a float size": lambda torch, F: torch.zeros(2.5),
    "arange with step 0": lambda torch, F: torch.arange(0, 3, 0),
    "arange the wrong way": lambda torch, F: torch.arange(3, 0),
    "linspace with a negative number of steps": lambda torch, F: torch.linspace(0, 1, -1),
    "from_numpy of a list": lambda torch, F: torch.from_numpy([1.0]),
    "from_numpy of objects": lambda torch, F: torch.from_numpy(np.array([None])),
    "an integer default dtype": lambda torch, F: torch.set_default_dtype(torch.int64),
    "a device that does not exist": lambda torch, F: torch.zeros(2, device="cuda"),
    # random
    "randint without a range": lambda torch, F: torch.randint(3, 3, (2,)),
    "randperm of a negative number": lambda torch, F: torch.randperm(-1),
    "multinomial of negative weights": lambda torch, F: torch.multinomial(torch.tensor([1.0, -1.0]), 1),
    "multinomial of too many samples": lambda torch, F: torch.multinomial(torch.tensor([1.0, 1.0]), 3),
    "bernoulli of 2": lambda torch, F: torch.bernoulli(torch.tensor([2.0])),
    "a generator state of the wrong kind": lambda torch, F: torch.Generator().set_state(torch.zeros(3)),
    # losses
    "a label out of range": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 3])),
    "a negative label": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([0, -1])),
    "labels of another batch size": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 1, 2])),
    "labels that are floats": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([0.0, 1.0])),
    "labels with an extra dimension": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([[0], [1]])),
    "one-hot integer labels": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.int64)),
    "class weights of the wrong size": lambda torch, F: F.cross_entropy(
        torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(2)
    ),
    "an unknown reduction": lambda torch, F: F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 1]), reduction="avg"),
    "label smoothing above 1": lambda torch, F: F.cross_entropy(
        torch.ones(2, 3), torch.tensor([0, 1]), label_smoothing=1.5
    ),
    "nll_loss with a label out of range": lambda torch, F: F.nll_loss(torch.ones(2, 3), torch.tensor([0, 3])),
    "nll_loss of float labels": lambda torch, F: F.nll_loss(torch.ones(2, 3), torch.tensor([0.0, 1.0])),
}
