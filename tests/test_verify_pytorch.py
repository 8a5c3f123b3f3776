"""autograd.gradcheck and gradgradcheck: PyTorch's signatures, results and errors; and what PyTorch's let through."""

import inspect

import numpy as np
import pytest

import tinygrad_lab
from tinygrad_lab import autograd

RNG = np.random.default_rng(5)


def tensor(*shape, grad=True):
    return tinygrad_lab.tensor(RNG.standard_normal(shape), dtype=tinygrad_lab.float64).requires_grad_(grad)


class Wrong(autograd.Function):
    """exp with a gradient that is twice too large."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return 2 * g * y


class WrongTwice(autograd.Function):
    """x**2 whose gradient is right, and loses its history, so that its second derivative is 0."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x.detach()


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_signatures_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (autograd, torch.autograd))
    assert list(ours) == list(theirs)
    for parameter in ours:
        assert ours[parameter].default == theirs[parameter].default, parameter
        assert ours[parameter].kind == theirs[parameter].kind, parameter


def test_right_gradients():
    x, w = tensor(3, 4), tensor(2, 4)
    for function in (lambda x, w: (x @ w.T).tanh(), lambda x, w: (x.relu() @ w.T).softmax(1)):
        assert autograd.gradcheck(function, (x, w)) is True
        assert autograd.gradgradcheck(function, (x, w)) is True
    assert autograd.gradcheck(lambda x: x.exp(), x, fast_mode=True)
    assert autograd.gradcheck(lambda x, y: x * y, (x, tensor(3, 4, grad=False)))
    assert autograd.gradgradcheck(lambda x: 3 * x, x)
    assert autograd.gradgradcheck(lambda x: x**3, x, grad_outputs=tinygrad_lab.ones(3, 4))


def test_wrong_gradients_raise_the_report_or_give_false():
    x = tensor(3)
    with pytest.raises(autograd.GradcheckError, match="gradcheck: WRONG GRADIENT") as caught:
        autograd.gradcheck(Wrong.apply, x)
    assert isinstance(caught.value, RuntimeError) and caught.value.result.verdict == "wrong"
    assert autograd.gradcheck(Wrong.apply, x, raise_exception=False) is False
    assert autograd.gradcheck(WrongTwice.apply, x)
    with pytest.raises(autograd.GradcheckError, match="gradgradcheck: WRONG"):
        autograd.gradgradcheck(WrongTwice.apply, x)
    assert autograd.gradgradcheck(WrongTwice.apply, x, raise_exception=False) is False


def test_small_gradients_are_checked_too():
    """PyTorch's default tolerance of 1e-5 passes the wrong gradient of a loss that is scaled down."""
    x = tensor(3)
    assert autograd.gradcheck(lambda x: 1e-7 * Wrong.apply(x), x, raise_exception=False) is False


def test_what_cannot_be_decided_does_not_pass():
    x = tensor(3)
    with pytest.raises(autograd.GradcheckError, match="NOT DECIDED"):
        autograd.gradcheck(lambda x: 1e9 + 1e-9 * x.sin().sum(), x)


def test_errors():
    with pytest.raises(ValueError, match=r"at least one input tensor to require gradient.*requires_grad=True"):
        autograd.gradcheck(lambda x: x, tensor(3, grad=False))
    with pytest.raises(ValueError, match="gradgradcheck expects at least one input"):
        autograd.gradgradcheck(lambda x: x, tensor(3, grad=False))
    with pytest.raises(NotImplementedError, match="check_forward_ad=True"):
        autograd.gradcheck(lambda x: x, tensor(3), check_forward_ad=True)
    with pytest.raises(ValueError, match="got 2 grad_outputs for 1 outputs"):
        autograd.gradgradcheck(lambda x: x * x, tensor(3), [tensor(3), tensor(3)])
    with pytest.raises(AttributeError, match="has no attribute 'gradchek'"):
        _ = autograd.gradchek


def test_inputs_are_left_alone():
    x = tensor(4)
    before = x.array.tobytes()
    autograd.gradcheck(lambda x: x.sin(), x)
    autograd.gradgradcheck(lambda x: x.sin(), x)
    assert x.array.tobytes() == before and x.grad is None and x.is_leaf


def test_the_core_does_not_load_the_checker():
    import subprocess
    import sys

    code = "import sys, tinygrad_lab; assert not any(name.startswith('tinygrad_lab.verify') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
