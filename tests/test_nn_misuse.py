"""Misuse of modules: PyTorch's exception class, and a text that names what is wrong."""

import numpy as np
import pytest

import tinygrad_lab as lab
import tinygrad_lab.nn.functional as F
from tinygrad_lab import nn


class Forgot(nn.Module):
    def __init__(self, value):
        self.value = value


class NoForward(nn.Module):
    pass


class Late(nn.Module):
    def __init__(self):
        self.size = 3  # plain attributes are fine before super().__init__()


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def assign(name, value):
    def run():
        module = nn.BatchNorm1d(2)
        module.child = nn.Identity()
        setattr(module, name, value)

    return run


CASES = {
    "parameter before init": (
        lambda: Forgot(nn.Parameter(lab.ones(1))),
        AttributeError,
        "cannot assign parameters before Module.__init__() call: Forgot.__init__ must begin with super().__init__()",
    ),
    "module before init": (
        lambda: Forgot(nn.Identity()),
        AttributeError,
        "cannot assign module before Module.__init__() call",
    ),
    "buffer before init": (
        lambda: Late().register_buffer("b", lab.ones(1)),
        AttributeError,
        "cannot assign buffer before Module.__init__() call",
    ),
    "call before init": (
        lambda: Late()(1),
        AttributeError,
        "Late.__init__ must begin with super().__init__(), and did not call it",
    ),
    "missing forward": (
        lambda: NoForward()(1),
        NotImplementedError,
        'Module [NoForward] is missing the required "forward" function',
    ),
    "calling a list": (lambda: nn.ModuleList()(1), NotImplementedError, "call its modules in a loop"),
    "calling a dict": (lambda: nn.ModuleDict()(1), NotImplementedError, "by key"),
    "unknown attribute": (lambda: net().wieght, AttributeError, "'Sequential' object has no attribute 'wieght'"),
    "delete unknown": (lambda: delattr(net(), "wieght"), AttributeError, "wieght"),
    "tensor as parameter": (
        assign("weight", lab.ones(2)),
        TypeError,
        "cannot assign 'Tensor' as parameter 'weight' (nn.Parameter or None expected)",
    ),
    "array as buffer": (
        assign("running_mean", np.ones(2)),
        TypeError,
        "cannot assign 'ndarray' as buffer 'running_mean' (Tensor or None expected)",
    ),
    "number as child": (
        assign("child", 3),
        TypeError,
        "cannot assign 'int' as child module 'child' (nn.Module or None expected)",
    ),
    "register a tensor as parameter": (
        lambda: nn.Module().register_parameter("w", lab.ones(1)),
        TypeError,
        "cannot assign 'Tensor' object to parameter 'w'",
    ),
    "register an array as buffer": (
        lambda: nn.Module().register_buffer("b", np.ones(1)),
        TypeError,
        "cannot assign 'ndarray' object to buffer 'b'",
    ),
    "buffer with a point": (
        lambda: nn.Module().register_buffer("a.b", lab.ones(1)),
        KeyError,
        'buffer name can\'t contain "."',
    ),
    "parameter without a name": (
        lambda: nn.Module().register_parameter("", None),
        KeyError,
        "parameter name can't be empty string",
    ),
    "module named by a number": (
        lambda: nn.Module().add_module(0, nn.Identity()),
        TypeError,
        "module name should be a string. Got int",
    ),
    "name taken by a method": (
        lambda: nn.Module().register_buffer("train", lab.ones(1)),
        KeyError,
        "attribute 'train' already exists",
    ),
    "key taken by a method": (
        lambda: nn.ModuleDict({"keys": nn.Identity()}),
        KeyError,
        "attribute 'keys' already exists",
    ),
    "a function in a Sequential": (
        lambda: nn.Sequential(nn.Linear(1, 1), F.softmax),
        TypeError,
        "function is not a Module subclass",
    ),
    "an instance forgotten": (lambda: nn.Sequential(nn.ReLU), TypeError, "type is not a Module subclass"),
    "update a ModuleDict with a number": (
        lambda: nn.ModuleDict().update(3),
        TypeError,
        "ModuleDict.update should be called with an iterable of key/value pairs, but got int",
    ),
    "missing key": (lambda: nn.ModuleDict()["a"], KeyError, "a"),
    "delete a missing key": (lambda: nn.ModuleDict().pop("a"), KeyError, "a"),
    "index out of range": (lambda: net()[3], IndexError, "index 3 is out of range: this Sequential has 3 modules"),
    "insert out of range": (lambda: net().insert(9, nn.ReLU()), IndexError, "Index out of range: 9"),
    "path to nowhere": (lambda: net().get_submodule("0.nothing"), AttributeError, "Linear has no attribute `nothing`"),
    "path to a parameter": (lambda: net().get_submodule("0.weight"), AttributeError, "`weight` is not an nn.Module"),
    "path to no parameter": (
        lambda: net().get_parameter("0.in_features"),
        AttributeError,
        "`in_features` is not an nn.Parameter",
    ),
    "path to no buffer": (lambda: net().get_buffer("0.weight"), AttributeError, "`weight` is not a buffer"),
    "path to a missing parameter": (
        lambda: net().get_parameter("0.nothing"),
        AttributeError,
        "Linear has no attribute `nothing`",
    ),
    "train with a number": (lambda: net().train(1), ValueError, "training mode is expected to be boolean"),
    "to an integer dtype": (
        lambda: net().to(lab.int64),
        TypeError,
        "nn.Module.to only accepts floating point dtypes, but got desired dtype=int64",
    ),
    "to another device": (lambda: net().to("cuda"), RuntimeError, "device 'cuda' is not available"),
    "layer on another device": (lambda: nn.Linear(1, 1, device="cuda"), RuntimeError, "device 'cuda' is not available"),
    "wrong in_features": (lambda: net()(lab.ones(5, 7)), RuntimeError, "linear: input (5, 7), weight (4, 3)"),
    "layers in a list": (
        lambda: nn.Sequential([nn.Linear(3, 4), nn.ReLU()]),
        TypeError,
        "list is not a Module subclass, given as module '0': unpack it, Sequential(*layers)",
    ),
    "a tensor for a parameter": (
        lambda: setattr(nn.Linear(1, 1), "weight", lab.ones(1, 1)),
        TypeError,
        "wrap it in nn.Parameter, or under no_grad() copy its values, weight.copy_(...)",
    ),
    "a model for its output": (
        lambda: F.cross_entropy(nn.Linear(3, 4), lab.tensor([0])),
        TypeError,
        "argument 'input' must be Tensor, not Linear; call it first, as Linear(...)(x)",
    ),
    "logits and labels swapped": (
        lambda: F.cross_entropy(lab.tensor([0, 1]), lab.ones(2, 3)),
        RuntimeError,
        "are the two swapped? cross_entropy(logits, labels)",
    ),
    "inputs for a loss's options": (
        lambda: nn.MSELoss(lab.ones(2), lab.ones(2)),
        TypeError,
        "MSELoss: makes a loss, and takes no inputs: MSELoss()(input, target)",
    ),
    "wrong dtype": (
        lambda: net()(lab.ones(5, 3).double()),
        RuntimeError,
        "linear: input is float64 but weight is float32",
    ),
    "an array with a typo in the name": (
        lambda: F.sofmax,
        AttributeError,
        "module 'tinygrad_lab.nn.functional' has no attribute 'sofmax': did you mean softmax",
    ),
    "no such function": (
        lambda: F.qqq,
        AttributeError,
        "'tinygrad_lab.nn.functional' has no attribute 'qqq'; if PyTorch",
    ),
    "parameter of integers": (
        lambda: nn.Parameter(lab.ones(2, dtype=lab.int64)),
        RuntimeError,
        "only Tensors of floating point dtype can require gradients",
    ),
    "parameter of an array": (
        lambda: nn.Parameter(np.ones(2)),
        TypeError,
        "Parameter data must be a Tensor, got ndarray",
    ),
    "state_dict of something else": (
        lambda: net().load_state_dict([1]),
        TypeError,
        "Expected state_dict to be dict-like, got <class 'list'>.",
    ),
    "negative size": (lambda: nn.Linear(-1, 2), RuntimeError, "negative size"),
    "dropout probability": (
        lambda: nn.Dropout(1.5),
        ValueError,
        "dropout probability has to be between 0 and 1, but got 1.5",
    ),
    "batch norm dimensions": (
        lambda: nn.BatchNorm2d(3)(lab.ones(2, 3)),
        ValueError,
        "expected 4D input (got 2D input of shape (2, 3))",
    ),
    "batch norm dimensions 1d": (
        lambda: nn.BatchNorm1d(3)(lab.ones(3)),
        ValueError,
        "expected 2D or 3D input (got 1D input",
    ),
    "padding index": (
        lambda: nn.Embedding(3, 2, padding_idx=3),
        AssertionError,
        "Padding_idx must be within num_embeddings",
    ),
    "embedding of a vector": (
        lambda: nn.Embedding.from_pretrained(lab.ones(3)),
        AssertionError,
        "expected to be 2-dimensional, got shape (3,)",
    ),
    "groups": (
        lambda: nn.Conv2d(3, 4, 1, groups=2),
        ValueError,
        "in_channels must be divisible by groups, got 3 and 2",
    ),
    "groups of outputs": (
        lambda: nn.Conv1d(4, 3, 1, groups=2),
        ValueError,
        "out_channels must be divisible by groups, got 3 and 2",
    ),
    "no groups": (lambda: nn.Conv2d(3, 4, 1, groups=0), ValueError, "groups must be a positive integer"),
    "padding text": (lambda: nn.Conv2d(3, 4, 1, padding="all"), ValueError, "Invalid padding string 'all'"),
    "padding same with stride": (
        lambda: nn.Conv2d(3, 4, 3, 2, padding="same"),
        ValueError,
        "padding='same' is not supported for strided",
    ),
    "padding mode": (lambda: nn.Conv2d(3, 4, 1, padding_mode="reflect"), ValueError, "padding_mode='reflect'"),
    "unflatten": (lambda: nn.Unflatten("a", 3), TypeError, "Unflatten needs an int and a tuple of ints"),
    "hardtanh": (lambda: nn.Hardtanh(1, -1), ValueError, "min_val 1 must not be greater than max_val -1"),
    "deprecated loss option": (
        lambda: nn.MSELoss(True),
        TypeError,
        "MSELoss: size_average and reduce are long deprecated",
    ),
    "label out of range": (
        lambda: nn.CrossEntropyLoss()(lab.ones(2, 3), lab.tensor([0, 3])),
        IndexError,
        "Target 3 is out of bounds",
    ),
    "init of a list": (lambda: nn.init.zeros_([1.0]), TypeError, "nn.init fills Tensors in place, got list"),
    "init of read-only memory": (lambda: nn.init.ones_(lab.ones(1).expand((3,))), RuntimeError, "read-only"),
    "init of a vector": (
        lambda: nn.init.xavier_uniform_(lab.ones(3)),
        ValueError,
        "fewer than 2 dimensions, got shape (3,)",
    ),
    "init mode": (
        lambda: nn.init.kaiming_normal_(lab.ones(3, 3), mode="fan"),
        ValueError,
        "Mode fan not supported, please use one of ['fan_in', 'fan_out']",
    ),
    "init nonlinearity": (lambda: nn.init.calculate_gain("swish"), ValueError, "Unsupported nonlinearity swish"),
    "init slope": (
        lambda: nn.init.calculate_gain("leaky_relu", "a"),
        ValueError,
        "negative_slope a not a valid number",
    ),
    "init bounds": (lambda: nn.init.uniform_(lab.ones(3), 2, 1), RuntimeError, "from=2 > to=1"),
    "init negative std": (lambda: nn.init.normal_(lab.ones(3), 0, -1), RuntimeError, "std >= 0.0, but found std -1"),
    "init eye": (
        lambda: nn.init.eye_(lab.ones(3)),
        ValueError,
        "Only tensors with 2 dimensions are supported, got shape (3,)",
    ),
    "init dirac": (
        lambda: nn.init.dirac_(lab.ones(3)),
        ValueError,
        "Only tensors with 3, 4, or 5 dimensions are supported",
    ),
    "init dirac groups": (
        lambda: nn.init.dirac_(lab.ones(3, 1, 1), 2),
        ValueError,
        "dim 0 must be divisible by groups",
    ),
    "init orthogonal": (lambda: nn.init.orthogonal_(lab.ones(3)), ValueError, "Only tensors with 2 or more dimensions"),
    "init generator": (
        lambda: nn.init.normal_(lab.ones(3), generator=np.random.default_rng()),
        TypeError,
        "generator must be a tinygrad_lab.Generator",
    ),
    "vector of another length": (
        lambda: nn.utils.vector_to_parameters(lab.ones(3), net().parameters()),
        RuntimeError,
        "the parameters have 26 entries together, but the vector has shape (3,)",
    ),
    "vector of another type": (
        lambda: nn.utils.vector_to_parameters([1.0], net().parameters()),
        TypeError,
        "expected torch.Tensor, but got: list",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_misuse(case):
    run, kind, text = CASES[case]
    with pytest.raises(kind) as raised:
        run()
    assert type(raised.value) is kind
    assert text in (str(raised.value) if kind is not KeyError else raised.value.args[0])


def test_a_failed_change_of_a_container_changes_nothing():
    row = net()
    before = list(row)
    for change in (lambda: row.insert(1, "x"), lambda: row.append(3), lambda: row.insert(7, nn.ReLU())):
        with pytest.raises((TypeError, IndexError)):
            change()
        assert list(row) == before


def test_clipping_a_non_finite_norm():
    w = lab.ones(2).requires_grad_()
    w.grad = lab.tensor([np.inf, 1.0], dtype=lab.float32)
    with pytest.raises(RuntimeError, match=r"total norm of order 2.0 for gradients from `parameters` is non-finite"):
        nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
    assert w.grad.array[1] == 1.0
