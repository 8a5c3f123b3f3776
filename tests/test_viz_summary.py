"""model.summary: counted by hand, against torchinfo's conventions, and without side effects."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F


def cells(summary):
    return {row.path: row for row in summary.rows}


def test_mlp_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    found = model.summary(torch.zeros(64, 1, 28, 28))
    rows = cells(found)
    assert rows["1"].output_shape == (64, 256) and rows["3"].output_shape == rows[""].output_shape == (64, 10)
    assert rows["0"].output_shape == (64, 784)
    assert rows["1"].parameters == 784 * 256 + 256 == 200_960 and rows["3"].parameters == 2_570
    # torchinfo's total_mult_adds: batch times the layer's parameters
    assert rows["1"].multiply_adds == 64 * 200_960 and rows["3"].multiply_adds == 64 * 2_570
    assert found.multiply_adds == 64 * (200_960 + 2_570)
    assert (found.parameters, found.trainable, found.frozen) == (203_530, 203_530, 0)
    assert found.input_bytes == 64 * 784 * 4 and found.parameter_bytes == 203_530 * 4
    assert found.activation_bytes == 64 * (256 + 256 + 10) * 4  # flatten is a view


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 6 * 6, 10),
    )


def test_cnn_by_hand():
    model = cnn()
    found = model.summary(torch.zeros(2, 1, 28, 28))
    rows = cells(found)
    assert rows["0"].output_shape == (2, 8, 28, 28) and rows["3"].output_shape == (2, 8, 14, 14)
    assert rows["4"].output_shape == (2, 16, 6, 6)
    assert rows["0"].parameters == 80 and rows["4"].parameters == 8 * 9 * 16 + 16 == 1_168
    # torchinfo: parameters of the layer (with the bias) times the places of its output
    assert rows["0"].multiply_adds == 2 * 28 * 28 * 80
    assert rows["4"].multiply_adds == 2 * 6 * 6 * 1_168
    assert rows["6"].multiply_adds == 2 * (576 * 10 + 10)
    assert found.parameters == 80 + 16 + 1_168 + 5_770
    assert found.buffer_bytes > 0


def test_conv1d_and_groups():
    assert nn.Conv1d(4, 6, 3, bias=False).summary(torch.zeros(2, 4, 10)).multiply_adds == 2 * 8 * 6 * 4 * 3
    assert nn.Conv2d(4, 8, 3, groups=2).summary(torch.zeros(1, 4, 5, 5)).multiply_adds == 9 * 8 * (2 * 9 + 1)


class Functional(nn.Module):
    """Nothing but functional calls and bare parameters."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(5, 3))

    def forward(self, x):
        h = x @ self.W  # 4 x 5 @ 5 x 3
        b = torch.bmm(torch.zeros(2, 4, 3), torch.zeros(2, 3, 6))
        e = torch.einsum("ij,kj->ik", h, torch.zeros(7, 3))
        return F.linear(h, torch.zeros(2, 3)), b, {"e": e}


def test_functional_calls_are_counted():
    found = Functional().summary(torch.zeros(4, 5))
    (row,) = found.rows
    assert row.multiply_adds == found.multiply_adds == 4 * 3 * 5 + 2 * 4 * 6 * 3 + 4 * 7 * 3 + 4 * 2 * 3
    assert row.output_shape == [(4, 2), (2, 4, 6), [(4, 7)]] and row.parameters == 15


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.unused = nn.Linear(2, 2)
        self.a.bias.requires_grad_(False)

    def forward(self, x):
        return self.b(self.a(self.a(x)))


def test_shared_frozen_repeated_and_unused():
    found = Tied().summary(torch.zeros(1, 3))
    rows = cells(found)
    assert (rows["a"].parameters, rows["a"].trainable, rows["a"].calls) == (12, 9, 2)
    assert (rows["b"].parameters, rows["b"].shared) == (3, 9)
    assert rows["unused"].calls == 0
    assert (found.parameters, found.trainable, found.frozen) == (21, 18, 3)
    assert found.parameters == sum(row.parameters for row in found.rows)
    text = str(found)
    assert "not called" in text and "(1, 3) x2" in text


def test_depth_folds():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 3))), nn.Linear(3, 2))
    whole, folded = model.summary(torch.zeros(1, 4)), model.summary(torch.zeros(1, 4), depth=1)
    assert [row.path for row in folded.rows] == ["", "0", "1"]
    assert cells(folded)["0"].parameters == 15 + 12 and cells(folded)["0"].multiply_adds == 15 + 12
    assert folded.parameters == whole.parameters and folded.multiply_adds == whole.multiply_adds
    assert [row.path for row in model.summary(torch.zeros(1, 4), depth=0).rows] == [""]
    with pytest.raises(ValueError, match="depth"):
        model.summary(torch.zeros(1, 4), depth=-1)


class Counting(nn.Module):
    """Changes its buffers in every forward, in place and anew, and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("last", torch.zeros(2))
        self.inner = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
        self.seen = []

    def forward(self, x):
        self.calls += 1
        self.last = x.detach()[0, :2]
        self.seen.append(self.training)
        return self.inner(x) + torch.rand(3)


def test_no_side_effects():
    model = Counting()
    model.inner[1].eval()
    flags = [module.training for module in model.modules()]
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    last = model.last
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    x = torch.rand(5, 3)
    torch.manual_seed(3)
    model.summary(x)
    assert (torch.rand(4) == expected).all()
    assert [module.training for module in model.modules()] == flags
    assert model.seen == [False]
    assert model.last is last
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert not model._hooks and not any(module._hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_state_is_restored_after_an_error():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        model.summary(torch.zeros(1, 3))
    assert all(module.training and not module._hooks for module in model.modules())


@pytest.mark.parametrize("given", [((1, 3),), (np.zeros((1, 3)),), (3,)])
def test_inputs_are_tensors(given):
    with pytest.raises(TypeError, match=r"torch\.zeros"):
        nn.Linear(3, 2).summary(*given)


def test_without_an_input_only_parameters():
    found = nn.Sequential(nn.Linear(3, 2)).summary()
    assert found.parameters == 8 and not found.ran
    assert "Output shape" not in str(found) and "Multiply-adds" not in str(found)


def test_plain_data_and_displays():
    found = cnn().summary(torch.zeros(1, 1, 28, 28))
    data = json.loads(json.dumps(found.to_dict()))
    assert data["parameters"] == found.parameters and len(data["rows"]) == 8
    assert repr(found) == str(found) and str(found).splitlines()[0].split()[0] == "Layer"
    page = found._repr_html_()
    assert page.count("<tr>") == 1 + 8 + len(found._totals()) and "<script" not in page


def test_hostile_names_in_the_table():
    class Net(nn.Module):
        def forward(self, x):
            return x

    Net.__name__ = "<script>alert(1)</script>"
    assert "<script>" not in Net().summary(torch.zeros(1))._repr_html_()


def test_summary_agrees_with_torchinfo_on_its_counts():
    torchinfo = pytest.importorskip("torchinfo")
    reference = pytest.importorskip("torch")
    theirs = reference.nn.Sequential(
        reference.nn.Conv2d(1, 4, 3), reference.nn.ReLU(), reference.nn.Flatten(), reference.nn.Linear(4 * 26 * 26, 10)
    )
    ours = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
    wanted = torchinfo.summary(theirs, input_size=(3, 1, 28, 28), verbose=0)
    found = ours.summary(torch.zeros(3, 1, 28, 28))
    assert (found.parameters, found.multiply_adds) == (wanted.total_params, wanted.total_mult_adds)
