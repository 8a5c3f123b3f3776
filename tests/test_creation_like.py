"""Tensors made from others (`x.new_zeros(...)`, `zeros_like`) and the ways to name a size, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lab as lab

CALLS = {
    "new_zeros": lambda t, x: x.new_zeros(2, 3),
    "new_zeros of a tuple": lambda t, x: x.new_zeros((2, 3)),
    "new_zeros of size=": lambda t, x: x.new_zeros(size=(2,)),
    "new_zeros 0-d": lambda t, x: x.new_zeros(()),
    "new_zeros dtype": lambda t, x: x.new_zeros(2, dtype=t.float64, device="cpu"),
    "new_ones": lambda t, x: x.new_ones((1, 2)),
    "new_ones of an empty list": lambda t, x: x.new_ones([]),
    "new_ones requires_grad": lambda t, x: x.new_ones(2, dtype=t.float32, requires_grad=True),
    "new_empty": lambda t, x: t.zeros_like(x.new_empty(2, 0, 3)),
    "new_full": lambda t, x: x.new_full((2,), 1.5),
    "new_full of a tensor": lambda t, x: x.new_full((2,), t.tensor(3)),
    "new_full by names": lambda t, x: x.new_full(size=(2,), fill_value=1, dtype=t.bool),
    "new_tensor of a list": lambda t, x: x.new_tensor([1.5, 2]),
    "new_tensor of ints": lambda t, x: x.new_tensor([[1], [0]]),
    "new_tensor of bools": lambda t, x: x.new_tensor([True, False]),
    "new_tensor of an array": lambda t, x: x.new_tensor(np.arange(3)),
    "new_tensor dtype": lambda t, x: x.new_tensor(1.5, dtype=t.float64, requires_grad=True),
    "zeros size=": lambda t, x: t.zeros(size=(2, 1)),
    "ones size=": lambda t, x: t.ones(size=[2]),
    "empty size=": lambda t, x: t.zeros_like(t.empty(size=(2,))),
    "rand size=": lambda t, x: t.zeros_like(t.rand(size=(2, 2), dtype=t.float64)),
    "randn size=": lambda t, x: t.zeros_like(t.randn(size=(3,))),
    "randint high, size=": lambda t, x: t.zeros_like(t.randint(5, size=(3,))),
    "randint by names": lambda t, x: t.zeros_like(t.randint(low=2, high=5, size=(3,))),
    "randn_like device": lambda t, x: t.zeros_like(t.randn_like(x.double(), device="cpu", requires_grad=True)),
    "rand_like device": lambda t, x: t.zeros_like(t.rand_like(x.double(), device="cpu")),
    "randint_like device": lambda t, x: t.zeros_like(t.randint_like(x.long(), 3, device="cpu")),
    # refused
    "negative size": lambda t, x: x.new_zeros(-1),
    "integers that require gradients": lambda t, x: x.long().new_zeros(2, requires_grad=True),
    "fractions of a size": lambda t, x: x.new_ones(2.5),
    "size twice": lambda t, x: t.zeros(2, size=(2,)),
    "text": lambda t, x: x.new_tensor("a"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("label", CALLS)
def test_tensors_like_another_are_pytorchs(label, dtype):
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (lab, torch):
        x = library.ones(2, dtype=getattr(library, dtype))
        try:
            made = CALLS[label](library, x)
            outcomes.append((made.tolist(), str(made.dtype).split(".")[1], made.requires_grad, made.is_leaf))
        except Exception as error:
            outcomes.append(type(error).__name__)
    assert outcomes[0] == outcomes[1]


def test_a_new_tensor_shares_nothing():
    x = lab.ones(2, requires_grad=True)
    y = (x * 2).new_tensor(x.detach())
    y[0] = 5
    assert x.tolist() == [1.0, 1.0] and not y.requires_grad and y.is_leaf


def test_another_device_is_refused():
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        lab.ones(1).new_zeros(2, device="cuda")


@pytest.mark.parametrize("results", [(1, 2), (), [None], None, 3])
def test_a_function_must_return_a_tensor(results):
    class Nothing(lab.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return results

    for requires_grad in (True, False):
        with pytest.raises(TypeError, match=r"Nothing.forward: expected to return a Tensor, or a tuple with at least"):
            Nothing.apply(lab.ones(2, requires_grad=requires_grad))


def test_the_dtype_of_a_list_follows_from_all_its_elements():
    double, half = lab.tensor(0.1, dtype=lab.float64), lab.tensor(0.5, dtype=lab.float16)
    for data, dtype in [
        ([double, double], lab.float64),
        ([0, np.float64(1.5)], lab.float64),
        ([0.1, np.float64(0.1)], lab.float64),
        ([np.float32(1), 2], lab.float32),
        ([np.int64(2), 2.5], lab.float32),
        ([half, 1], lab.float16),
        ([lab.tensor(1, dtype=lab.int32)], lab.int32),
        ([[True], [np.int32(2)]], lab.int32),
        ([np.ones(2), np.zeros(2)], lab.float64),
    ]:
        assert lab.tensor(data).dtype is lab.as_tensor(data).dtype is dtype, data
    assert lab.tensor([double]).item() == 0.1
    assert lab.tensor([lab.ones(1), 2.0]).tolist() == [1.0, 2.0] and lab.tensor([lab.ones(1, 1)]).shape == (1,)
