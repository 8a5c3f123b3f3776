"""In-place changes, hooks, retained gradients and gradient modes."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab.nn import functional as F
from tinygrad_lab.tensor import Tensor


def leaf(*values: float, dtype=lab.float64) -> Tensor:
    return lab.tensor(values if len(values) != 1 else values[0], dtype=dtype, requires_grad=True)


# In-place


def test_in_place_on_a_leaf_is_refused_unless_under_no_grad():
    x = leaf(1.0, 2.0)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0), lambda: x[:1].mul_(2)):
        with pytest.raises(RuntimeError, match=r"leaf Variable that requires grad.*no_grad"):
            change()
    with lab.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0] and x.is_leaf and x.requires_grad


def test_augmented_assignment_to_an_item():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2
    y[1] += v
    (y * y).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), [2.0, 14.0, 6.0])
    np.testing.assert_allclose(x.grad.numpy(), [8.0, 56.0, 24.0])
    assert v.grad.item() == 28.0


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/="])
@pytest.mark.parametrize("index", ["0", "1:", "[0, 2]", "[True, False, True]"])
def test_augmented_assignment_equals_pytorch(operator, index):
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (lab, torch):
        x = library.tensor([1.0, 2.0, 3.0], dtype=library.float64, requires_grad=True)
        v = library.tensor(5.0, dtype=library.float64, requires_grad=True)
        y = x * 3
        exec(f"y[{index}] {operator} v")
        (y * y).sum().backward()
        outcomes.append([y.detach().numpy(), x.grad.numpy(), v.grad.numpy()])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_assignment_cuts_the_gradient_of_what_it_overwrites():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0, 20.0)
    y = x * 1
    y[1:] = v
    (y * lab.tensor([1.0, 2.0, 3.0], dtype=lab.float64)).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0] and v.grad.tolist() == [2.0, 3.0]


def test_in_place_ops_on_a_computed_tensor_are_differentiated():
    x = leaf(1.0, 2.0)
    y = x * 1
    y += 1
    y *= x
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_a_constant_buffer_becomes_part_of_the_graph():
    buffer = lab.zeros(3, dtype=lab.float64)
    x = leaf(5.0)
    buffer[1] = x * x
    buffer.sum().backward()
    assert x.grad.item() == 10.0 and not buffer.is_leaf


# Hooks and retained gradients


def test_hooks_see_and_replace_the_complete_gradient():
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    doubling = y.register_hook(lambda g: g * 2)
    (y.sum() + y.sum()).backward(retain_graph=True)
    assert seen == [[2.0, 2.0]] and x.grad.tolist() == [12.0, 12.0]
    doubling.remove()
    (y.sum()).backward()
    assert x.grad.tolist() == [15.0, 15.0]


def test_leaf_hooks_run_once_per_pass():
    x = leaf(1.0, 2.0)
    seen = []
    with x.register_hook(lambda g: seen.append(g.tolist())):
        (x * x + x).sum().backward()
    (x * x).sum().backward()
    assert seen == [[3.0, 5.0]]


def test_retained_gradients():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [6.0, 12.0] and y.retains_grad
    with pytest.warns(UserWarning, match="not a leaf"):
        assert (x * 2).grad is None


# Gradient modes


def test_modes_nest_and_decorate():
    x = leaf(1.0)
    with lab.no_grad():
        assert not (x * 2).requires_grad
        with lab.enable_grad():
            assert (x * 2).requires_grad
        assert not lab.is_grad_enabled()
    assert lab.no_grad(lambda: (x * 2).requires_grad)() is False
    assert lab.no_grad()(lambda: (x * 2).requires_grad)() is False
    assert lab.inference_mode()(lambda: (x * 2).requires_grad)() is False
    with lab.inference_mode(False):
        assert (x * 2).requires_grad
    with lab.set_grad_enabled(False):
        assert not lab.is_grad_enabled()
    lab.set_grad_enabled(False)
    assert not lab.is_grad_enabled()
    lab.set_grad_enabled(True)


def test_modes_survive_errors():
    with pytest.raises(ZeroDivisionError), lab.no_grad():
        _ = 1 / 0
    assert lab.is_grad_enabled()


def test_a_thread_has_its_own_mode():
    inside, go, done = [], threading.Event(), threading.Event()

    def work():
        go.wait(5)
        inside.append(lab.is_grad_enabled())
        with lab.no_grad():
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    with lab.no_grad():
        go.set()
        assert done.wait(5)
        assert not lab.is_grad_enabled()
    thread.join()
    assert inside == [True] and lab.is_grad_enabled()


def test_an_async_task_has_its_own_mode():
    seen = []

    async def quiet():
        with lab.no_grad():
            await asyncio.sleep(0)
            seen.append(("quiet", lab.is_grad_enabled()))
            await asyncio.sleep(0)

    async def recording():
        for _ in range(3):
            seen.append(("recording", lab.is_grad_enabled()))
            await asyncio.sleep(0)

    async def both():
        await asyncio.gather(quiet(), recording())

    asyncio.run(both())
    assert ("quiet", False) in seen
    assert all(mode for who, mode in seen if who == "recording")


def test_two_threads_record_and_differentiate_at_once():
    results = [0.0] * 4

    def work(i):
        x = leaf(float(i + 1))
        y = x
        for _ in range(200):
            y = y * 1.0 + x * 0.01
        y.backward()
        results[i] = x.grad.item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(results, 3.0)


def test_what_only_a_recorded_pass_needs_may_change_before_another():
    logits = lab.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True)
    labels = lab.tensor([0, 1])

    def loss():
        scores = logits * 1
        value = F.cross_entropy(scores, labels)
        scores.clamp_(max=0)
        return value

    (expected,) = lab.autograd.grad(F.cross_entropy(logits * 1, labels), logits)
    (gradient,) = lab.autograd.grad(loss(), logits)
    assert lab.equal(gradient, expected)
    with pytest.raises(RuntimeError, match=r"label_cross_entropy: backward needs its argument 'input'"):
        lab.autograd.grad(loss(), logits, create_graph=True)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_cotangent_that_a_pass_starts_from_may_be_changed_in_place(shape):
    class Doubled(lab.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.mul_(2)

    x = lab.ones(shape).requires_grad_()
    for _ in range(2):  # what one pass changed, the next does not see
        x.grad = None
        Doubled.apply(x).backward()
        assert x.grad.item() == 2
    loss = x + 3
    loss.register_hook(lambda g: g.mul_(10))
    loss.backward()
    assert x.grad.item() == 12
    (gradient,) = lab.autograd.grad(x + 3, x, create_graph=True)
    assert gradient.detach().add_(1).item() == 2


def test_what_an_op_makes_has_all_that_a_node_and_a_tensor_have():
    y = lab.relu(lab.ones(2).requires_grad_())
    for made in (y, y.node):
        for name in type(made).__slots__:
            getattr(made, name)  # the text of an op sets each by hand; AttributeError if one was forgotten
