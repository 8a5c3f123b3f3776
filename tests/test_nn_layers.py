"""Layers and losses against PyTorch: repr, state, outputs and gradients from the same weights."""

import inspect
from collections import OrderedDict

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import nn

torch = pytest.importorskip("torch")

X = (4, 3)
IMAGE = (2, 3, 6, 7)

# Each entry makes the same layer in both libraries from their `nn`, and says on which input shapes it is tried.
LAYERS = {
    "Linear(3, 2)": [X, (3,), (2, 4, 3)],
    "Linear(3, 2, bias=False)": [X],
    "Identity(5, unused=True)": [X],
    "Flatten()": [IMAGE],
    "Flatten(0, 1)": [IMAGE],
    "Unflatten(1, (3, 1))": [X],
    "Dropout(0.0)": [X],
    "Dropout(1.0)": [X],
    "BatchNorm1d(3)": [X, (4, 3, 5)],
    "BatchNorm1d(3, eps=1e-3, momentum=None)": [X],
    "BatchNorm1d(3, affine=False)": [X],
    "BatchNorm1d(3, track_running_stats=False)": [X],
    "BatchNorm1d(3, bias=False)": [X],
    "BatchNorm2d(3, momentum=0.3)": [IMAGE],
    "LayerNorm(3)": [X],
    "LayerNorm([6, 7], eps=1e-3)": [IMAGE],
    "LayerNorm(3, elementwise_affine=False)": [X],
    "LayerNorm(3, bias=False)": [X],
    "Conv1d(3, 4, 2)": [(2, 3, 5)],
    "Conv1d(3, 6, 3, stride=2, padding=1, groups=3, bias=False)": [(2, 3, 7)],
    "Conv2d(3, 4, 3)": [IMAGE],
    "Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0))": [IMAGE],
    "Conv2d(3, 6, 3, dilation=2, groups=3, bias=False)": [IMAGE],
    "Conv2d(3, 4, 3, padding='same')": [IMAGE],
    "MaxPool2d(2)": [IMAGE],
    "MaxPool2d(3, stride=2, padding=1, ceil_mode=True)": [IMAGE],
    "AvgPool2d(2)": [IMAGE],
    "AvgPool2d((3, 2), stride=2, padding=1, count_include_pad=False)": [IMAGE],
    "AdaptiveAvgPool2d(1)": [IMAGE],
    "AdaptiveAvgPool2d((2, 3))": [IMAGE],
    "ReLU()": [X],
    "ReLU(inplace=True)": [X],
    "ReLU6()": [X],
    "ReLU6(inplace=True)": [X],
    "LeakyReLU()": [X],
    "LeakyReLU(0.2, inplace=True)": [X],
    "ELU(alpha=0.5)": [X],
    "CELU(alpha=0.5)": [X],
    "SELU()": [X],
    "GELU()": [X],
    "GELU('tanh')": [X],
    "SiLU()": [X],
    "Mish()": [X],
    "Softplus()": [X],
    "Softplus(beta=2.0, threshold=1.0)": [X],
    "Hardtanh()": [X],
    "Hardtanh(-0.5, 0.7)": [X],
    "Hardsigmoid()": [X],
    "Hardswish()": [X],
    "LogSigmoid()": [X],
    "Sigmoid()": [X],
    "Tanh()": [X],
    "Softsign()": [X],
    "Softmax(dim=1)": [X],
    "LogSoftmax(dim=-1)": [X, IMAGE],
    "PReLU()": [X],
    "PReLU(3, init=0.1)": [X, IMAGE],
    "Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2), nn.ReLU()))": [X],
    "Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5))": [IMAGE],
    "Sequential(OrderedDict(body=nn.Linear(3, 3), head=nn.Linear(3, 1)))": [X],
}


def both(text):
    """The layer in both libraries, in float64 and with our weights in both."""
    known = {"OrderedDict": OrderedDict}
    mine = eval("nn." + text, {**known, "nn": nn}).double()
    theirs = eval("nn." + text, {**known, "nn": torch.nn}).double()
    theirs.load_state_dict({name: torch.tensor(value.array) for name, value in mine.state_dict().items()})
    return mine, theirs


def close(mine, theirs, rtol=1e-10):
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("text", LAYERS)
def test_repr_and_state_are_those_of_pytorch(text):
    mine, theirs = both(text)
    assert repr(mine) == repr(theirs)
    assert [(name, value.shape) for name, value in mine.state_dict().items()] == [
        (name, tuple(value.shape)) for name, value in theirs.state_dict().items()
    ]
    assert [name for name, _ in mine.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in mine.named_buffers()] == [name for name, _ in theirs.named_buffers()]
    assert [name for name, _ in mine.named_modules()] == [name for name, _ in theirs.named_modules()]
    mine.load_state_dict(theirs.state_dict())  # and PyTorch's tensors can be loaded here


@pytest.mark.parametrize("text, shape", [(text, shape) for text, shapes in LAYERS.items() for shape in shapes])
def test_outputs_and_gradients_from_equal_weights(text, shape):
    mine, theirs = both(text)
    rng = np.random.default_rng(0)
    for training in (True, True, False):  # twice in training, so that running statistics have moved
        mine.train(training)
        theirs.train(training)
        mine.zero_grad()
        theirs.zero_grad()
        values = rng.normal(size=shape)
        x, t = lab.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        y, z = mine(x.clone()), theirs(t.clone())  # clones, because inplace=True may not write into a leaf
        close(y, z)
        weights = rng.normal(size=y.shape)
        (y * lab.tensor(weights)).sum().backward()
        (z * torch.tensor(weights)).sum().backward()
        # PyTorch's gradient of hardsigmoid multiplies by a 1/6 in single precision, whatever the dtype.
        close(x.grad, t.grad, 1e-7 if text.startswith("Hardsigmoid") else 1e-10)
        for (name, parameter), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            assert parameter.grad is not None, name
            close(parameter.grad, other.grad)
        for name, buffer in mine.named_buffers():
            close(buffer, theirs.get_buffer(name))


def test_embedding():
    mine, theirs = both("Embedding(5, 3, padding_idx=-1)")
    assert repr(mine) == repr(theirs) == "Embedding(5, 3, padding_idx=4)"
    assert not mine.weight.array[4].any()
    labels = np.array([[0, 4], [2, 2]])
    y, z = mine(lab.tensor(labels)), theirs(torch.tensor(labels))
    close(y, z)
    (y * y).sum().backward()
    (z * z).sum().backward()
    close(mine.weight.grad, theirs.weight.grad)
    table = lab.ones(4, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert frozen.weight.array is table.array and not frozen.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_dropout_in_training_is_drawn_from_the_global_generator():
    layer, x = nn.Dropout(0.25), lab.ones(100, 100)
    lab.manual_seed(1)
    y = layer(x)
    lab.manual_seed(1)
    np.testing.assert_array_equal(y.array, layer(x).array)
    np.testing.assert_allclose(np.unique(y.array), [0, 1 / 0.75], rtol=1e-6)
    assert abs((y.array == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(layer.eval()(x).array, x.array)


LABELS = np.array([0, 2, 1, 2])
WEIGHT = np.array([0.5, 1.0, 2.0])
SCORES = ("normal", X)
CHANCES = ("chance", X)
LOSSES = [
    ("CrossEntropyLoss", {}, SCORES, LABELS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, SCORES, LABELS),
    ("CrossEntropyLoss", {"ignore_index": 2, "reduction": "sum"}, SCORES, LABELS),
    ("CrossEntropyLoss", {"reduction": "none"}, SCORES, CHANCES),
    ("NLLLoss", {"weight": WEIGHT}, SCORES, LABELS),
    ("NLLLoss", {"ignore_index": 0, "reduction": "none"}, SCORES, LABELS),
    ("MSELoss", {}, SCORES, SCORES),
    ("MSELoss", {"reduction": "none"}, SCORES, SCORES),
    ("L1Loss", {"reduction": "sum"}, SCORES, SCORES),
    ("SmoothL1Loss", {"beta": 0.5}, SCORES, SCORES),
    ("HuberLoss", {"delta": 0.5}, SCORES, SCORES),
    ("BCELoss", {}, CHANCES, CHANCES),
    ("BCELoss", {"weight": WEIGHT, "reduction": "sum"}, CHANCES, CHANCES),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT}, SCORES, CHANCES),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "reduction": "none"}, SCORES, CHANCES),
    ("KLDivLoss", {"reduction": "batchmean"}, SCORES, CHANCES),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, SCORES, SCORES),
    ("CosineSimilarity", {}, SCORES, SCORES),
    ("CosineSimilarity", {"dim": 0, "eps": 1e-3}, SCORES, SCORES),
]


@pytest.mark.parametrize("name, options, first, second", LOSSES)
def test_losses(name, options, first, second):
    rng = np.random.default_rng(1)

    def drawn(what):
        if isinstance(what, np.ndarray):
            return what
        return rng.normal(size=what[1]) if what[0] == "normal" else rng.uniform(0.1, 0.9, what[1])

    def made(library):
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(library.nn, name)(**given)

    mine, theirs = made(lab), made(torch)
    assert repr(mine) == repr(theirs) and list(mine.state_dict()) == list(theirs.state_dict())
    inputs, targets = drawn(first), drawn(second)
    x, t = lab.tensor(inputs, requires_grad=True), torch.tensor(inputs, requires_grad=True)
    y, z = mine(x, lab.tensor(targets)), theirs(t, torch.tensor(targets))
    close(y, z)
    y.sum().backward()
    z.sum().backward()
    close(x.grad, t.grad)


def test_signatures_begin_as_in_pytorch():
    """Every argument we have stands where PyTorch has it, with its default; PyTorch may have more behind it."""
    for name in nn.__all__:
        mine = getattr(nn, name)
        if not (inspect.isclass(mine) and issubclass(mine, nn.Module)) or mine in (nn.Module, nn.Sequential):
            continue
        theirs = inspect.signature(getattr(torch.nn, name)).parameters
        for position, (argument, parameter) in enumerate(inspect.signature(mine).parameters.items()):
            if "args" in theirs and "kwargs" in theirs:  # PyTorch takes and ignores anything there
                continue
            assert argument in theirs, (name, argument)
            if parameter.kind is not parameter.KEYWORD_ONLY:
                assert list(theirs)[position] == argument, (name, argument)
            assert parameter.default == theirs[argument].default, (name, argument)


def test_module_containers_print_as_in_pytorch():
    def made(nn):
        net = nn.Module()
        net.rows = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Linear(1, 2), nn.ReLU()])
        net.table = nn.ModuleDict({"a": nn.Sequential(nn.Linear(1, 1)), "b": nn.ModuleList()})
        net.none = None
        return net

    assert repr(made(nn)) == repr(made(torch.nn))


def test_a_subclass_with_extra_repr_of_several_lines_prints_as_in_pytorch():
    def made(nn):
        class Net(nn.Module):
            def __init__(self, child):
                super().__init__()
                if child:
                    self.child = nn.Identity()

            def extra_repr(self):
                return "one\ntwo"

        return [Net(False), Net(True)]

    assert repr(made(nn)) == repr(made(torch.nn))


def test_load_state_dict_errors_read_as_in_pytorch():
    def message(nn, zeros):
        net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        try:
            net.load_state_dict({"0.weight": zeros(2, 2), "1.weight": zeros(3), "2.bias": zeros(1)})
        except RuntimeError as error:
            return str(error).replace("torch.Size([2, 2])", "(2, 2)").replace("torch.Size([3, 2])", "(3, 2)")

    assert message(nn, lab.zeros) == message(torch.nn, torch.zeros)


@pytest.mark.parametrize(
    "text",
    [
        *(f"{name}(inplace=True)" for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish")),
        *(f"{name}(inplace=True)" for name in ("LeakyReLU", "ELU", "CELU", "Hardtanh")),
        "Dropout(1.0, inplace=True)",
        "Dropout2d(1.0, inplace=True)",
    ],
)
def test_inplace_overwrites_the_input(text):
    mine, theirs = both(text)
    values = np.array([[-1.0, 0.5], [2.0, -0.25]]).reshape(1, 2, 2, 1)
    x, t = lab.tensor(values), torch.tensor(values)
    assert mine(x) is x
    theirs(t)
    close(x, t)
    x, t = (each.tensor(values, requires_grad=True) for each in (lab, torch))
    for layer, each in ((mine, x), (theirs, t)):
        inside = each * 2
        ((layer(inside) + inside) * inside).sum().backward()  # the skip connection sees the new values
    close(x.grad, t.grad, 1e-6)


def test_a_tensor_given_to_the_constructor_of_an_activation_is_refused():
    with pytest.raises(TypeError, match=r"make the layer, then call it: ReLU\(\)\(x\)"):
        nn.ReLU(lab.ones(2))
    with pytest.raises(TypeError, match=r"CrossEntropyLoss\(\)\(input, target\)"):
        nn.CrossEntropyLoss(lab.ones(2, 2), lab.tensor([0, 1]))
