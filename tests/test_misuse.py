"""Mistakes with tensors: each with its exception, and a message that says what is wrong and what to do.

The format of the table is told in misuse_table. Where PyTorch is installed every mistake is made there too, and must
raise the same class, but for PYTORCH_DIFFERS. Mistakes with models, optimizers, data and files are in
test_misuse_programs; more of them, by room, in test_nn_misuse, test_optim_misuse and misuse.py.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from misuse_table import check_class, check_message, cross_entropy, functional, ints, leaf, net, ones, torch

# Autograd


def second_backward() -> None:
    loss = (leaf(2, 3) ** 2).sum()
    loss.backward()
    loss.backward()


def computed_before_the_loop() -> None:
    features = leaf(3).exp()
    for _ in range(2):
        (features * 2).sum().backward()


def changed_after_it_was_saved() -> None:
    h = leaf(2, 3).exp()
    loss = (h * h).sum()
    h += 1
    loss.backward()


def parameter_updated_before_backward() -> None:
    w = leaf(3)
    loss = (w * w).sum()
    with torch.no_grad():
        w.sub_(0.1)
    loss.backward()


def stale_view() -> None:
    x = leaf(4) * 2
    first = x[:2]
    x.add_(1)
    first.exp()


def changed_through_detach() -> None:
    x = leaf(4) * 2
    x.detach().zero_()
    x.exp()


def recorded_under_no_grad() -> None:
    w = leaf(3)
    with torch.no_grad():
        loss = (w * 2).sum()
    loss.backward()


def grad_of_another_shape() -> None:
    leaf(2, 3).grad = ones(3, 2)


def hook_that_changes_the_shape() -> None:
    w = leaf(2)
    w.register_hook(lambda g: g.sum())
    (w * 2).sum().backward()


def gradient_of_an_unused_tensor() -> None:
    used, unused = leaf(2), leaf(3)
    torch.autograd.grad((used * 2).sum(), [used, unused])


def function_with_too_many_gradients() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2, g

    Twice.apply(leaf(3)).sum().backward()


def assignment(index: Any, value: Any) -> None:
    torch.zeros(3, 4)[index] = value


BROADCAST = "must be equal or one of them 1"

MISUSE: dict[str, tuple[Any, ...]] = {
    # Shapes
    "add": (
        lambda: ones(2, 3) + ones(4),
        RuntimeError,
        "^add: shapes do not broadcast",
        r"\(2, 3\).*\(4,\)",
        BROADCAST,
    ),
    "matmul": (lambda: ones(2, 3) @ ones(2, 3), RuntimeError, r"^matmul: .*\(2x3 and 2x3\)", r"transpose one \(\.T\)"),
    "matmul of two dtypes": (
        lambda: ones(2, 3) @ ones(3, 2, dtype=torch.float64),
        RuntimeError,
        "same dtype, but got float32 and float64",
        r"convert one \(\.float\(\)",
    ),
    "bmm": (
        lambda: torch.bmm(ones(2, 3, 4), ones(5, 4, 3)),
        RuntimeError,
        r"\(2, 3, 4\) and \(5, 4, 3\)",
        "matmul broad",
    ),
    "linear": (
        lambda: functional().linear(ones(5, 7), ones(4, 3)),
        RuntimeError,
        r"^linear: input \(5, 7\), weight \(4, 3\)",
        "last size of the input must be the weight's second",
    ),
    "cat": (
        lambda: torch.cat([ones(2, 3), ones(2, 4)]),
        RuntimeError,
        r"\(2, 3\) but got \(2, 4\) for tensor number 1",
    ),
    "cat of a tensor": (
        lambda: torch.cat(ones(2)),
        TypeError,
        "'tensors' must be a tuple or list of Tensors, not Tensor",
    ),
    "cat with None": (lambda: torch.cat([ones(2), None]), TypeError, r"'tensors\[1\]' must be Tensor, not NoneType"),
    "stack": (lambda: torch.stack([ones(2), ones(3)]), RuntimeError, r"got \(2,\) at entry 0 and \(3,\) at entry 1"),
    "where": (
        lambda: torch.where(ones(3) > 0, ones(2), ones(2)),
        RuntimeError,
        r"condition: bool \(3,\), input: float32",
    ),
    "where on floats": (
        lambda: torch.where(ones(2), ones(2), ones(2)),
        RuntimeError,
        r"boolean tensor, but got float32 of shape \(2,\)",
        r"compare \(x > 0\) or convert it with \.bool\(\)",
    ),
    "reshape": (lambda: ones(6).reshape(4, 2), RuntimeError, r"\(4, 2\).*\(6,\)", "has 8 elements, the tensor has 6"),
    "reshape with -1": (lambda: ones(6).reshape(4, -1), RuntimeError, "6 elements cannot be divided into groups of 4"),
    "view": (lambda: ones(2, 3).t().view(6), RuntimeError, r"shape \(3, 2\)", r"Use \.reshape\(\.\.\.\), which copies"),
    "expand": (lambda: ones(2, 3).expand(4, 3), RuntimeError, r"\(4, 3\).*\(2, 3\)", "only .* size 1 can be repeated"),
    "transpose": (lambda: ones(2, 3).transpose(0, 2), IndexError, r"range of \[-2, 1\], but got 2", r"\(2, 3\)"),
    "permute": (lambda: ones(2, 3).permute(0, 0), RuntimeError, r"\(0, 0\) must name each of the 2 dimensions"),
    "unflatten": (lambda: ones(2, 6).unflatten(1, (4, 2)), RuntimeError, r"\[4, 2\] don't multiply up .* dim 1 \(6\)"),
    "conv2d channels": (
        lambda: functional().conv2d(ones(1, 3, 8, 8), ones(4, 1, 3, 3)),
        RuntimeError,
        r"weight of size \(4, 1, 3, 3\), expected input \(1, 3, 8, 8\) to have 1 channels, but got 3",
    ),
    "conv2d of a small image": (
        lambda: functional().conv2d(ones(1, 3, 2, 2), ones(4, 3, 3, 3)),
        RuntimeError,
        r"kernel is larger than the image: kernel size \(3, 3\).*image of \(2, 2\)",
    ),
    "einsum sizes": (
        lambda: torch.einsum("ij,jk->ik", ones(2, 3), ones(4, 5)),
        RuntimeError,
        r"subscript 'j' in 'ij,jk->ik' has size 4 in an operand of shape \(4, 5\), but 3 in an earlier one",
    ),
    "einsum operands": (
        lambda: torch.einsum("ij,jk->ik", ones(2, 3)),
        RuntimeError,
        "has 2 operands, but 1 were given",
    ),
    "einsum output": (lambda: torch.einsum("ij->ik", ones(2, 3)), RuntimeError, "output 'ik' must occur in an operand"),
    "layer_norm": (lambda: functional().layer_norm(ones(2, 3), (4,)), RuntimeError, r"\(\*, 4\), but got .* \(2, 3\)"),
    "softmax without dim": (lambda: ones(2, 3).softmax(), TypeError, "dim must be an int", r"\(usually 1 or -1\)"),
    "sum over a missing dim": (lambda: ones(2, 3).sum(2), IndexError, r"^sum: .*\[-2, 1\], but got 2", r"\(2, 3\)"),
    "max of nothing": (lambda: torch.ones(0).max(), RuntimeError, "without elements", r"\(0,\)"),
    # Indices
    "index out of range": (lambda: ones(2, 3)[5], IndexError, "index 5 is out of bounds .* size 2", r"\(2, 3\)"),
    "too many indices": (lambda: ones(3)[0, 0], IndexError, "too many indices", "1-dimensional, but 2 were indexed"),
    "index tensor out of range": (lambda: ones(3)[ints(0, 7)], IndexError, "index 7 is out of bounds .* size 3"),
    "float index": (lambda: ones(3)[ones(1)], IndexError, "must be int64, int32 or bool tensors, got float32"),
    "mask of another shape": (lambda: ones(3)[ints(True, False)], IndexError, "size of axis is 3 .* boolean axis is 2"),
    "assigned shape": (
        lambda: assignment(0, ones(5)),
        RuntimeError,
        r"\(5,\) does not fit into x\[index\] of shape \(4,\)",
    ),
    "embedding index": (
        lambda: torch.nn.Embedding(10, 3)(ints(4, 10)),
        IndexError,
        "index 10 .* size 10",
        "in layer Emb",
    ),
    "gather index": (lambda: ones(2, 3).gather(1, ints([0, 3])), RuntimeError, "index 3 .* dimension 1 with size 3"),
    "one_hot": (lambda: functional().one_hot(ints(0, 5), 3), RuntimeError, "smaller than num_classes=3, got 0 to 5"),
    # Autograd
    "backward of many values": (
        lambda: (leaf(2, 3) * 2).backward(),
        RuntimeError,
        r"only for scalar outputs, this one has shape \(2, 3\)",
        r"reduce it \(\.sum\(\) or \.mean\(\)\) or pass gradient=",
    ),
    "backward twice": (second_backward, RuntimeError, r"^pow: .*second time.*\(2, 3\)", "retain_graph=True"),
    "computed before the loop": (computed_before_the_loop, RuntimeError, "^exp: .*before the training loop"),
    "backward without a graph": (lambda: ones(3).sum().backward(), RuntimeError, r"shape \(\)", "requires_grad=True"),
    "recorded under no_grad": (recorded_under_no_grad, RuntimeError, "nothing was recorded", r"outside no_grad\(\)"),
    "saved, then changed": (
        changed_after_it_was_saved,
        RuntimeError,
        r"^mul: backward needs its argument 'input' \(shape \(2, 3\)\), which was changed by an in-place operation",
        r"x = x \+ 1 instead of x \+= 1",
    ),
    "updated before backward": (
        parameter_updated_before_backward,
        RuntimeError,
        "^mul: ",
        r"change it after backward\(\)",
    ),
    "leaf in place": (
        lambda: leaf(2, 3).add_(1),
        RuntimeError,
        r"^add_: a leaf .*\(2, 3\)",
        r"under torch\.no_grad\(\)",
    ),
    "view of a leaf in place": (lambda: leaf(2, 3)[0].zero_(), RuntimeError, "^zero_: a view of a leaf", "no_grad"),
    "assignment into a leaf": (lambda: leaf(2).__setitem__(0, 1.0), RuntimeError, "^setitem: a leaf", "no_grad"),
    "expanded in place": (lambda: ones(3, 1).expand(3, 4).add_(1), RuntimeError, "shared by several", r"clone\(\) it"),
    "in place to another shape": (
        lambda: ones(3).add_(ones(2, 3)),
        RuntimeError,
        r"\(3,\).*\(2, 3\)",
        "out-of-place form",
    ),
    "in place to another dtype": (lambda: ints(1, 2).mul_(0.5), RuntimeError, "float32 .* int64", "out-of-place form"),
    "stale view": (
        stale_view,
        RuntimeError,
        r"'input' \(computed by getitem, shape \(2,\)\)",
        r"Change the tensor itself",
    ),
    "changed through detach()": (
        changed_through_detach,
        RuntimeError,
        r"^exp: .*computed by mul.*\(4,\)",
        r"clone\(\)",
    ),
    "integers with a gradient": (
        lambda: torch.tensor([1, 2], requires_grad=True),
        RuntimeError,
        r"this one is int64 with shape \(2,\)",
        r"convert it first with \.float\(\)",
    ),
    "cotangent of another shape": (
        lambda: (leaf(2, 3) * 2).backward(ones(3, 2)),
        RuntimeError,
        r"gradient has shape \(3, 2\) and the output has shape \(2, 3\)",
    ),
    "grad of another shape": (grad_of_another_shape, RuntimeError, r"got float32 \(3, 2\) for float32 \(2, 3\)"),
    "hook of another shape": (hook_that_changes_the_shape, RuntimeError, r"None or a Tensor of shape \(2,\), got \(\)"),
    "grad of an unused tensor": (
        gradient_of_an_unused_tensor,
        RuntimeError,
        r"inputs\[1\] .*\(3,\)",
        "allow_unused=True",
    ),
    "Function with one gradient too many": (
        function_with_too_many_gradients,
        RuntimeError,
        r"Twice returned an incorrect number of gradients \(expected 1, got 2\)",
        "one per argument of forward",
    ),
    "gradient of class weights": (
        lambda: cross_entropy(ints(0, 1), weight=leaf(3)),
        RuntimeError,
        r"not differentiable with respect to 'weight': detach\(\) it",
    ),
    "numpy() with a gradient": (lambda: leaf(2).numpy(), RuntimeError, r"tensor\.detach\(\)\.numpy\(\)"),
    "copy of a computed tensor": (lambda: copy.deepcopy(leaf(2) * 2), RuntimeError, r"copy x\.detach\(\)"),
    # Labels and losses
    "label out of range": (lambda: cross_entropy(ints(0, 3)), IndexError, "Target 3", r"in \[0, 2\] .*\(2, 3\)"),
    "negative label": (lambda: cross_entropy(ints(0, -1)), IndexError, "Target -1", "ignore_index=-100"),
    "float labels": (lambda: cross_entropy(torch.tensor([0.0, 1.0])), RuntimeError, r"got \(2,\)", r"target\.long\(\)"),
    "one-hot labels": (
        lambda: cross_entropy(ints([1, 0, 0], [0, 1, 0])),
        RuntimeError,
        r"must have shape \(2,\) for an input of shape \(2, 3\), got \(2, 3\)",
        r"one-hot\? Then give labels, target\.argmax\(1\)",
    ),
    "labels in a column": (
        lambda: cross_entropy(ints([0], [1])),
        RuntimeError,
        r"got \(2, 1\)",
        r"squeeze\(\) removes",
    ),
    "labels of another batch": (lambda: cross_entropy(ints(0, 1, 2)), ValueError, r"\(2\) .* \(3\)", r"input \(2, 3\)"),
    "labels in a list": (
        lambda: cross_entropy([0, 1]),
        TypeError,
        "'target' must be Tensor, not list",
        r"torch\.tensor",
    ),
    "class weights": (lambda: cross_entropy(ints(0, 1), weight=ones(2)), RuntimeError, r"shape \(3,\), got \(2,\)"),
    "unknown reduction": (
        lambda: functional().mse_loss(ones(2), ones(2), reduction="avg"),
        ValueError,
        "'avg' is not a valid value for reduction: use 'mean', 'sum' or 'none'",
    ),
    "losses of two shapes": (
        lambda: functional().mse_loss(ones(5, 1), ones(5)),
        UserWarning,
        r"target size \(5,\) that is different to the input size \(5, 1\)",
        r"input\.squeeze\(1\) or target\.reshape\(input\.shape\)",
    ),
    "logits as probabilities": (
        lambda: functional().binary_cross_entropy(ones(2) * 1.5, ones(2)),
        RuntimeError,
        "between 0 and 1, got 1.5 to 1.5",
        "for logits use binary_cross_entropy_with_logits",
    ),
    # Values and names
    "bool of several": (
        lambda: bool(ones(2) > 0),
        RuntimeError,
        r"ambiguous \(shape \(2,\)\)",
        r"\.any\(\) or \.all\(\)",
    ),
    "item of several": (lambda: ones(2, 3).item(), RuntimeError, r"6 elements \(shape \(2, 3\)\)", r"\.tolist\(\)"),
    "range of a float": (lambda: range(torch.tensor(2.0)), TypeError, "only integer tensors .* this one is float32"),
    "unknown dtype": (lambda: ones(2, dtype="float23"), TypeError, "'float23'", "supported are float32, float64"),
    "mean of integers": (lambda: ints(1, 2).mean(), RuntimeError, "int64", r"use \.float\(\)"),
    "ragged list": (lambda: torch.tensor([[1.0, 2.0], [3.0]]), ValueError, "do not form a rectangular array"),
    "negative size": (lambda: torch.zeros(2, -1), RuntimeError, r"negative size: \(2, -1\)"),
    "number plus text": (lambda: ones(2) + "a", TypeError, "operands must be Tensors or numbers, not str"),
    "cuda": (lambda: ones(2).to("cuda"), RuntimeError, "'cuda' is not available", "use device='cpu'"),
    "model.cuda()": (lambda: net().cuda(), RuntimeError, "'cuda' is not available", "use device='cpu'"),
    "misspelt method": (lambda: ones(2).summ(), AttributeError, "no attribute 'summ'", "tinygrad_lab's Tensor"),
    "misspelt attribute set": (lambda: setattr(ones(2), "require_grad", True), AttributeError, "'require_grad'"),
    "misspelt function": (lambda: torch.sofmax(ones(2), 0), AttributeError, "'sofmax'", r"did you mean softmax"),
    "misspelt loss": (
        lambda: functional().crossentropy,
        AttributeError,
        "'crossentropy': did you mean .*cross_entropy",
    ),
    "unknown argument": (lambda: torch.sum(ones(2), axes=0), TypeError, "unexpected keyword argument 'axes'"),
}

# Where PyTorch raises another class, or nothing.
PYTORCH_DIFFERS = {
    "cuda": "an AssertionError, because it was not compiled for it, or nothing where it was",
    "model.cuda()": "an AssertionError, because it was not compiled for it, or nothing where it was",
    "changed through detach()": "it goes on: exp saves its own output, and what it was computed from is not looked at",
    "stale view": "views are recorded anew when their base changes",
    "misspelt attribute set": "its tensors take any attribute, so that `require_grad = True` does nothing, silently",
}


@pytest.mark.parametrize("mistake", MISUSE)
def test_message(mistake: str) -> None:
    make, kind, *sayings = MISUSE[mistake]
    check_message(make, kind, sayings)


@pytest.mark.parametrize("mistake", [mistake for mistake in MISUSE if mistake not in PYTORCH_DIFFERS])
def test_class_is_pytorchs(mistake: str) -> None:
    make, kind, *_ = MISUSE[mistake]
    with torch.is_pytorch():
        check_class(make, kind)
