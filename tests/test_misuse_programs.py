"""Mistakes with models, optimizers, data and files, empty batches, and what anomaly mode says; see test_misuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from misuse_table import check_class, check_message, functional, leaf, net, ones, torch

from tinygrad_lab import datasets

# Models and their state


def forgotten_super_init() -> None:
    nn = torch.nn

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(2, 3)

    Forgetful()


def loading(strict: bool = True, without: str = "", **changed: Any) -> None:
    model = net()
    state = {name: value for name, value in model.state_dict().items() if name != without}
    model.load_state_dict({**state, **{name.replace("_", "."): value for name, value in changed.items()}}, strict)


def sgd(params: Any, **options: Any) -> Any:
    return torch.optim.SGD(params, **{"lr": 0.1, **options})


def parameters_used_up() -> None:
    parameters = net().parameters()
    torch.nn.utils.clip_grad_norm_(list(parameters), 1.0)
    sgd(parameters)


# Data


def loader(data: Any, **options: Any) -> Any:
    return torch.utils.data.DataLoader(data, **options)


def rows(*tensors: Any) -> Any:
    return torch.utils.data.TensorDataset(*tensors)


def split(size: int, lengths: list[float]) -> Any:
    return torch.utils.data.random_split(rows(ones(size)), lengths)


MISUSE: dict[str, tuple[Any, ...]] = {
    # Models
    "wrong in_features": (
        lambda: net()(ones(5, 7)),
        RuntimeError,
        r"input \(5, 7\), weight \(4, 3\)",
        r"in layer 'body\.0' = Linear\(in_features=3, out_features=4",
    ),
    "float64 data": (
        lambda: net()(ones(5, 3).double()),
        RuntimeError,
        "input is float64 but weight is float32",
        r"convert one \(x\.float\(\), model\.double\(\)\)",
        "in layer 'body.0'",
    ),
    "forgotten super().__init__()": (
        forgotten_super_init,
        AttributeError,
        r"cannot assign module before Module.__init__\(\) call",
        r"Forgetful.__init__ must begin with super\(\).__init__\(\)",
    ),
    "function as a layer": (
        lambda: torch.nn.Sequential(torch.nn.Linear(2, 3), functional().relu),
        TypeError,
        "not a Module subclass, given as module '1'",
        r"use the layer of that name",
    ),
    "class as a layer": (
        lambda: torch.nn.Sequential(torch.nn.ReLU),
        TypeError,
        r"ReLU is a class, write ReLU\(\.\.\.\)",
    ),
    "dropout of 1.5": (lambda: torch.nn.Dropout(1.5), ValueError, "between 0 and 1, but got 1.5"),
    "batch norm of one row": (
        lambda: torch.nn.BatchNorm1d(3)(ones(1, 3)),
        ValueError,
        r"more than 1 value per channel when training, got input size \[1, 3\]",
        r"drop_last=True\) or eval\(\)",
        "in layer BatchNorm1d",
    ),
    "batch norm of images": (lambda: torch.nn.BatchNorm2d(3)(ones(4, 3)), ValueError, r"4D input .*\(4, 3\)"),
    "missing key": (lambda: loading(without="body.0.bias"), RuntimeError, r'for Net:\s+Missing key.*"body\.0\.bias"'),
    "unexpected key": (lambda: loading(tail_bias=ones(2)), RuntimeError, r'Unexpected key.*"tail\.bias"'),
    "misshapen key": (
        lambda: loading(strict=False, body_0_weight=ones(9, 3)),
        RuntimeError,
        r"size mismatch for body\.0\.weight: .*\(9, 3\) from checkpoint, the shape in current model is \(4, 3\)",
    ),
    "model as state_dict": (lambda: net().load_state_dict(net()), TypeError, "dict-like, got .*Net"),
    # Optimizers: more in test_optim_misuse
    "no parameters": (lambda: sgd([]), ValueError, "empty parameter list", "model without parameters"),
    "parameters used up": (
        parameters_used_up,
        ValueError,
        "empty parameter list",
        "generator that was already used up",
    ),
    "negative learning rate": (lambda: sgd([leaf(2)], lr=-0.1), ValueError, "-0.1", "lr must be at least 0"),
    "optimizer of a model": (lambda: sgd(net()), TypeError, r"got Net: pass its \.parameters\(\)"),
    "optimizer of one tensor": (lambda: sgd(leaf(2)), TypeError, r"shape \(2,\): put it in a list, \[tensor\]"),
    "optimizer of a computed tensor": (
        lambda: sgd([leaf(2) * 2]),
        ValueError,
        r"parameter 0 \(shape \(2,\)\)",
        "a leaf",
    ),
    "beta of 1": (lambda: torch.optim.Adam([leaf(2)], betas=(0.9, 1.0)), ValueError, r"betas\[1\] .*below 1"),
    # Data
    "batch size 0": (lambda: loader(rows(ones(4)), batch_size=0), ValueError, "positive integer.*batch_size=0"),
    "datasets of two lengths": (
        lambda: rows(ones(4, 2), ones(3)),
        AssertionError,
        r"must be the same in \(4, 2\), \(3,\)",
    ),
    "split of too many": (lambda: split(10, [7, 4]), ValueError, r"7 \+ 4 = 11, not 10"),
    "samples of two shapes": (
        lambda: next(iter(loader([ones(2), ones(3)], batch_size=2))),
        RuntimeError,
        r"equal size, but the batch has shapes \[\(2,\), \(3,\)\]",
    ),
    "samples of None": (lambda: next(iter(loader([None]))), TypeError, "found <class 'NoneType'>", "collate_fn"),
    "shuffling nothing": (lambda: loader(rows(ones(0, 3)), shuffle=True), ValueError, "num_samples=0"),
}


@pytest.mark.parametrize("mistake", MISUSE)
def test_message(mistake: str) -> None:
    make, kind, *sayings = MISUSE[mistake]
    check_message(make, kind, sayings)


@pytest.mark.parametrize("mistake", MISUSE)
def test_class_is_pytorchs(mistake: str) -> None:
    make, kind, *_ = MISUSE[mistake]
    with torch.is_pytorch():
        check_class(make, kind)


# An empty batch is no mistake: a mean over nothing is NaN, as in PyTorch; only a maximum does not exist.

EMPTY = {
    "linear": lambda: net()(ones(0, 3)),
    "sum": lambda: ones(0, 3).sum(),
    "mean": lambda: ones(0, 3).mean(),
    "cross_entropy": lambda: functional().cross_entropy(ones(0, 3), torch.zeros(0, dtype=torch.int64)),
    "mse_loss": lambda: functional().mse_loss(ones(0, 3), ones(0, 3)),
    "conv2d": lambda: torch.nn.Conv2d(1, 2, 3)(ones(0, 1, 8, 8)),
    "max": lambda: ones(0, 3).max(),
    "argmax": lambda: ones(0, 3).argmax(0),
    "batch_norm": lambda: torch.nn.BatchNorm1d(3)(ones(0, 3)),
}


def outcome(make: Any) -> Any:
    try:
        result = make().detach().numpy()
    except (RuntimeError, IndexError, ValueError) as error:
        return type(error)
    return result.shape, result.tolist()


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_does_what_it_does_in_pytorch(name: str) -> None:
    ours = outcome(EMPTY[name])
    with torch.is_pytorch():
        assert str(ours) == str(outcome(EMPTY[name]))  # as text, because nan is not nan


# Anomaly mode: errors also name the line of this file on which the op was called.


def nan_in_the_forward_pass() -> None:
    z = torch.tensor([0.0, 1000.0], requires_grad=True)
    p = z.exp() / z.exp().sum()  # the origin
    p.log()


def inf_in_the_backward_pass() -> None:
    root = torch.zeros(3, requires_grad=True).sqrt()  # the origin
    root.sum().backward()


def nan_in_the_data() -> None:
    leaf(2) * torch.tensor([1.0, float("nan")])  # the origin


def nan_in_a_parameter() -> None:
    model = net().body
    model[2].bias.data[1] = float("nan")
    model(ones(5, 3))  # the origin


def backward_twice() -> None:
    loss = (leaf(3) ** 2).sum()  # the origin
    loss.backward()
    loss.backward()


def saved_then_changed() -> None:
    h = leaf(3).exp()
    loss = (h * h).sum()  # the origin
    h.add_(1)
    loss.backward()


ANOMALIES: dict[Any, tuple[str, ...]] = {
    nan_in_the_forward_pass: (
        r"exp produced inf at index \(1,\) of its output \(shape \(2,\)\): input \(shape \(2,\)\) is 1000 there",
        "It became NaN in div",
        "use log_softmax",
    ),
    inf_in_the_backward_pass: (r"sqrt for its operand 'input' gave inf at index \(0,\)", r"sqrt\(x \+ eps\)"),
    nan_in_the_data: (r"mul received nan in its operand 'other' at index \(1,\)", "check the data"),
    nan_in_a_parameter: (r"operand 'bias' at index \(1,\) \(shape \(2,\)\)", "in layer '2' = Linear"),
    backward_twice: ("^pow: .*second time", "retain_graph=True"),
    saved_then_changed: (r"^mul: .*'input' \(shape \(3,\)\)", "Use the out-of-place form"),
}


@pytest.mark.parametrize("mistake", ANOMALIES, ids=lambda mistake: mistake.__name__)
def test_anomaly_mode_names_the_line(mistake: Any) -> None:
    lines = Path(__file__).read_text().splitlines()
    first = mistake.__code__.co_firstlineno
    origin = next(number for number, line in enumerate(lines, 1) if number > first and "# the origin" in line)
    sayings = (*ANOMALIES[mistake], rf"called at .*{Path(__file__).name}:{origin}\b")
    with torch.autograd.detect_anomaly():
        check_message(mistake, RuntimeError, sayings)


# Files


def damaged(folder: Path, damage: Any) -> None:
    path = folder / "model.safetensors"
    torch.save(net().state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    torch.load(path)


def data_of(name: str, folder: Path) -> None:
    getattr(datasets, name)(folder)


FILES: dict[str, tuple[Any, ...]] = {
    "checkpoint cut short": (
        lambda d: damaged(d, lambda b: b[:-4]),
        RuntimeError,
        r"model\.safetensors: damaged",
        "checksum",
    ),
    "checkpoint cut in its header": (
        lambda d: damaged(d, lambda b: b[:20]),
        RuntimeError,
        "cut short within its header",
    ),
    "checkpoint changed": (
        lambda d: damaged(d, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        RuntimeError,
        r"model\.safetensors: damaged or changed since it was written",
    ),
    "file of another kind": (lambda d: damaged(d, lambda b: b"PK\3\4" + b), RuntimeError, "not a safetensors file"),
    "save without a folder": (
        lambda d: torch.save({}, d / "runs" / "x"),
        FileNotFoundError,
        "folder .*runs does not exist",
    ),
    "save of a model": (
        lambda d: torch.save({"epoch": 3, "model": net()}, d / "x"),
        TypeError,
        r"cannot save model: it is a .*Net",
        r"save its state_dict\(\)",
    ),
    "save of a function": (
        lambda d: torch.save({"losses": [1, print]}, d / "x"),
        TypeError,
        r"cannot save losses\[1\]",
    ),
    "MNIST absent": (
        lambda d: data_of("MNIST", d),
        RuntimeError,
        "Put train-images-idx3-ubyte and train-labels-idx1-ubyte .* into .*MNIST/raw",
        "download=True",
    ),
    "CIFAR-10 absent": (
        lambda d: data_of("CIFAR10", d),
        RuntimeError,
        r"Put data_batch_1\.bin, .* into",
        "download=True",
    ),
    "unknown dataset": (lambda d: datasets.load("minst", d), ValueError, "'minst'; there are digits, mnist"),
}


@pytest.mark.parametrize("mistake", FILES)
def test_file(mistake: str, tmp_path: Path) -> None:
    if "save" in mistake or "file" in mistake or "checkpoint" in mistake:
        pytest.importorskip("safetensors")
    make, kind, *sayings = FILES[mistake]
    check_message(lambda: make(tmp_path), kind, sayings)
