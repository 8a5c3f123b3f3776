"""What programs written for PyTorch do to modules beside the usual: each must have the effect that it has there."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import nn


class Frozen(nn.Module):
    """A layer whose normalization stays in evaluation while the rest of the model is trained."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(2), nn.Dropout()

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


def test_a_child_that_overrides_train_is_asked():
    net = nn.Sequential(nn.Sequential(Frozen()), nn.Dropout())
    assert net.train() is net and net[1].training and net[0][0].drop.training and not net[0][0].norm.training
    assert not any(module.training for module in net.eval().modules())


def test_conversion_leaves_integer_parameters_alone():
    net = nn.Linear(1, 1)
    net.index = nn.Parameter(lab.arange(3), requires_grad=False)
    net.double()
    assert (net.index.dtype, net.weight.dtype) == (lab.int64, lab.float64)


def test_the_type_float_is_float64():
    """As in PyTorch, whatever the default dtype is."""
    assert nn.Linear(1, 1).to(float).weight.dtype is lab.float64
    assert {x.dtype for x in (lab.zeros(1, dtype=float), lab.ones(1).to(float), lab.tensor([1], dtype=float))} == {
        lab.float64
    }
    assert (lab.zeros(1, dtype=int).dtype, lab.ones(1).to(bool).dtype) == (lab.int64, lab.bool)


def test_numpy_integers_are_sizes():
    one, three = np.int64(1), np.int64(3)
    assert nn.Conv2d(2, 4, three, stride=one, padding=one)(lab.ones(1, 2, 5, 5)).shape == (1, 4, 5, 5)
    assert nn.AvgPool1d(three)(lab.ones(1, 1, 6)).shape == (1, 1, 2)
    assert nn.LayerNorm(three).normalized_shape == (3,)


def test_a_copied_parameter_has_no_gradient_and_a_copied_tensor_has():
    """As in PyTorch: training a copy of a model begins with nothing accumulated."""
    net = nn.Linear(2, 1)
    net(lab.ones(2)).sum().backward()
    twin = copy.deepcopy(net)
    assert net.weight.grad is not None and twin.weight.grad is None and twin.bias.grad is None
    assert twin.weight.requires_grad and twin.weight.tolist() == net.weight.tolist()
    x = lab.ones(1, requires_grad=True)
    (2 * x).sum().backward()
    assert copy.deepcopy(x).grad.tolist() == [2.0]


# The dicts of a module, which programs write to


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1, bias=False)
        self.act = nn.ReLU()
        self.register_buffer("shift", lab.zeros(1))

    def forward(self, x):
        return self.act(self.fc(x)) + self.shift


@pytest.mark.parametrize(
    "copied", [lambda net: net, copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_what_is_written_to_the_dicts_is_used(copied):
    net = copied(Net())
    net._modules["act"] = nn.Sigmoid()
    net.fc._parameters["weight"] = nn.Parameter(lab.zeros(1, 1))
    net._buffers.update(shift=lab.ones(1))
    assert net(lab.ones(1)).tolist() == [1.5]
    assert type(net.act) is nn.Sigmoid and net.get_buffer("shift") is net.shift


def test_what_is_taken_from_the_dicts_is_gone():
    net = Net()
    act = net._modules.pop("act")
    assert isinstance(act, nn.ReLU) and not hasattr(net, "act") and net._modules.pop("training", 3) == 3
    assert net.training
    del net._buffers["shift"]
    with pytest.raises(KeyError):
        net._buffers.pop("shift")
    del net.fc._parameters["weight"]
    assert not hasattr(net, "shift") and not hasattr(net.fc, "weight") and not net.state_dict()
    net.fc.weight = 2 * lab.ones(1, 1)  # computed, as weight normalization does
    assert net.fc(lab.ones(1)).tolist() == [2.0] and not list(net.parameters())
    net._modules.clear()
    assert not hasattr(net, "fc")


def test_a_shallow_copy_writes_to_its_own_dicts():
    net = Net()
    twin = copy.copy(net)
    twin._modules["act"] = nn.Identity()
    assert type(net.act) is nn.ReLU and type(twin.act) is nn.Identity


def test_a_model_is_freed_without_the_garbage_collector():
    net = Net()
    gone = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert gone() is None
    finally:
        gc.enable()
