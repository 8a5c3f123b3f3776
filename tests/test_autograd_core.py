"""The recorded graph: what lives how long, what is refused, how gradients accumulate."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tinygrad_lab as lab
from tinygrad_lab import autograd, graph
from tinygrad_lab.tensor import Tensor


@pytest.fixture
def no_gc():
    """Without the cyclic collector, only what is free of reference cycles dies."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*values: float, dtype=lab.float64) -> Tensor:
    return lab.tensor(values if len(values) != 1 else values[0], dtype=dtype, requires_grad=True)


def network():
    """(leaves, loss) of a small network with a leaf used twice, a broadcast, a view and a fused loss."""
    w = lab.randn(3, 4, dtype=lab.float64, requires_grad=True)
    b = lab.randn(3, dtype=lab.float64, requires_grad=True)
    x = lab.randn(5, 4, dtype=lab.float64)
    logits = (x @ w.transpose(0, 1) + b).exp().log() * 2 + b
    loss = lab.nn.functional.cross_entropy(logits, lab.tensor([0, 1, 2, 0, 1])) + (w[0] * w[1]).sum()
    return [w, b], loss


def references(loss: Tensor) -> list[weakref.ref]:
    return [weakref.ref(node) for node in graph.walk([loss.node])]


def assert_dead(nodes: list[weakref.ref]) -> None:
    alive = [node() for node in nodes if node() is not None]
    assert not alive, f"still alive: {alive}"


# Lifetime


def test_dropping_the_loss_frees_every_node(no_gc):
    _, loss = network()
    nodes = references(loss)
    assert len(nodes) > 10
    del loss
    assert_dead(nodes)


@pytest.mark.parametrize("create_graph", [False, True])
def test_dropping_the_loss_after_backward_frees_every_node(no_gc, create_graph):
    leaves, loss = network()
    nodes = references(loss)
    loss.backward(create_graph=create_graph)
    nodes += [ref for x in leaves if x.grad.node is not None for ref in references(x.grad)]
    del loss
    for x in leaves:
        x.grad = None
    del x
    assert_dead(nodes)


def test_recorded_gradients_keep_the_graph_only_while_they_live(no_gc):
    leaves, loss = network()
    nodes = references(loss)
    gradients = autograd.grad(loss, leaves, create_graph=True)
    nodes += [ref for g in gradients for ref in references(g)]
    del loss
    (third,) = autograd.grad(sum((g * g).sum() for g in gradients), leaves[0], retain_graph=True)
    assert third.shape == leaves[0].shape
    del gradients, third
    assert_dead(nodes)


def test_hooks_and_retained_gradients_make_no_cycle(no_gc):
    x = leaf(1.0, 2.0)
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    loss = y.sum()
    nodes = references(loss)
    loss.backward()
    assert y.grad.tolist() == [2.0, 2.0]
    del y, loss
    assert_dead(nodes)


def test_saved_values_are_released_as_the_pass_goes():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * y
    seen = []
    x.register_hook(lambda g: seen.append([node.saved for node in (y.node, z.node)]))
    z.sum().backward()
    assert seen == [[None, None]]


def test_memory_of_saved_values_falls_during_backward(no_gc):
    x = lab.ones(10, dtype=lab.float64, requires_grad=True)
    y, alive = x, []
    watched = []
    for _ in range(5):
        y = y.exp()
        watched.append(weakref.ref(y.array))
        y = y * 1e-3
    loss = y.sum()
    del y
    x.register_hook(lambda g: alive.append(sum(ref() is not None for ref in watched)))
    before = sum(ref() is not None for ref in watched)
    loss.backward()
    assert before >= 4 and alive == [0]


def test_retain_graph_keeps_saved_values_and_adds_gradients():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0


# What is refused


def test_second_backward_names_the_op_and_the_remedy():
    x = leaf(3.0)
    y = x.exp()
    y.backward()
    with pytest.raises(RuntimeError, match=r"exp: .*a second time.*retain_graph=True"):
        y.backward()


def test_second_backward_through_ops_that_saved_nothing_is_fine():
    x = leaf(3.0)
    y = x + x
    y.backward()
    y.backward()
    assert x.grad.item() == 4.0


def test_mutation_after_save_names_the_op_and_the_argument():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * 3.0
    w = (y * y).sum() + z.sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"mul: backward needs its argument 'input' \(shape \(2,\)\).*in-place"):
        w.backward()


def test_mutation_of_a_saved_output_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.mul_(2.0)
    with pytest.raises(RuntimeError, match="exp: backward needs its output"):
        y.sum().backward()


def test_mutation_of_what_no_rule_needs_is_allowed():
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y + 2
    y.mul_(5.0)
    (y.sum() + z.sum()).backward()
    assert x.grad.tolist() == [6.0, 6.0]


@pytest.mark.parametrize("through", ["data", "detach", "view", "numpy"])
def test_mutation_through_shared_memory_is_noticed(through):
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    other = {"data": lambda: x.data, "detach": x.detach, "view": lambda: x.data[:1], "numpy": lambda: x.data}[through]()
    other.add_(1.0)
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_an_optimizer_step_between_forward_and_backward_is_noticed():
    w = leaf(1.0, 2.0)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    with lab.no_grad():
        w.sub_(w.grad)
    with pytest.raises(RuntimeError, match="mul"):
        loss.backward()


def test_use_of_a_stale_view_is_refused():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    view = y[:2]
    y.mul_(3.0)
    with pytest.raises(
        RuntimeError, match=r"its argument 'input' \(computed by getitem, shape \(2,\)\) was changed in place"
    ):
        view * 2


def test_backward_without_a_graph_says_what_to_do():
    with pytest.raises(RuntimeError, match="does not require grad"):
        lab.ones(1).sum().backward()
    with lab.no_grad():
        loss = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        loss.backward()


def test_backward_of_a_vector_names_its_shape():
    with pytest.raises(RuntimeError, match=r"scalar outputs, this one has shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()


def test_a_cotangent_of_the_wrong_shape_names_both_shapes():
    with pytest.raises(RuntimeError, match=r"shape \(3,\).*shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(lab.ones(3))


def test_an_override_that_returns_a_wrong_shape_is_named():
    x = leaf(1.0, 2.0)
    y = x.exp().sum()
    with pytest.raises(
        RuntimeError, match=r"exp: its backward returned a gradient of shape \(3,\) for an operand of shape"
    ):
        graph.run_backward(
            [(y.node, np.ones(()))],
            rules=lambda node: (lambda g, node: (np.ones(3),)) if node.op.name == "exp" else None,
        )


def test_one_pass_may_use_another_rule():
    x = leaf(1.0, 2.0)
    y = x.exp().sum()
    arrived = graph.run_backward(
        [(y.node, np.ones(()))], rules=lambda node: (lambda g, node: (g * 7,)) if node.op.name == "exp" else None
    )
    np.testing.assert_array_equal(arrived[x], [7.0, 7.0])


# Accumulation


def test_gradients_accumulate_in_place_and_start_unshared():
    x = leaf(1.0, 2.0)
    (x * 1.0).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert x.grad.tolist() == [3.0, 5.0]


def test_two_leaves_that_get_the_same_cotangent_do_not_share_it():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = lab.ones(2, dtype=lab.float64)
    (x + y).backward(g)
    x.grad.add_(1)
    assert y.grad.tolist() == [1.0, 1.0] and g.tolist() == [1.0, 1.0]


def test_backward_with_inputs_fills_those_only():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * y).sum().backward(inputs=[y])
    assert x.grad is None and y.grad.tolist() == [1.0, 2.0]


def test_gradient_has_the_dtype_of_its_leaf():
    x = leaf(1.0, 2.0, dtype=lab.float32)
    y = leaf(3.0, 4.0)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (lab.float32, lab.float64)


def test_third_derivatives():
    x = leaf(2.0)
    y, derivatives = x**5, []
    for _ in range(4):
        (y,) = autograd.grad(y, x, create_graph=True)
        derivatives.append(y.item())
    assert derivatives == [80.0, 160.0, 240.0, 240.0]


def test_backward_create_graph_leaves_recorded_gradients():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad and first.item() == 12.0
    x.grad = None
    first.backward()
    assert x.grad.item() == 12.0


def test_a_leaf_that_was_frozen_meanwhile_gets_no_gradient():
    x, w = (lab.ones(2).requires_grad_() for _ in range(2))
    y = (x * w).sum()
    w.requires_grad_(False)
    y.backward()
    assert w.grad is None and x.grad.tolist() == [1.0, 1.0]
