"""Backward hooks of modules: what they see and change, run in PyTorch too."""

from __future__ import annotations

import collections
import copy
import warnings

import numpy as np
import pytest

import tinygrad_lab as lab


class Recorder:
    """A hook that notes (label, gradients of inputs, gradients of outputs) and returns what `change` makes of them."""

    def __init__(self, seen, label, change=None):
        self.seen, self.label, self.change = seen, label, change

    def __call__(self, module, *gradients):
        self.seen.append(
            (self.label, *([None if g is None else g.tolist() for g in group] for group in gradients)),
        )
        return None if self.change is None else self.change(*gradients)


def layer(torch, rows=2, columns=2):
    made = torch.nn.Linear(rows, columns).double()
    with torch.no_grad():
        made.weight.copy_(torch.tensor(np.arange(1.0, rows * columns + 1).reshape(columns, rows)))
        made.bias.zero_()
    return made


def leaf(torch, *values):
    return torch.tensor([list(values)], dtype=torch.float64, requires_grad=True)


def one_layer(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    (f(x) ** 2).sum().backward()
    return x.grad, f.weight.grad, f.bias.grad


def no_gradient_for_the_input(torch, seen):
    f = layer(torch)
    f.register_full_backward_hook(Recorder(seen, "f"))
    f(torch.ones(1, 2, dtype=torch.float64)).sum().backward()
    return f.weight.grad


def replaced(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "first", lambda gi, go: (gi[0] * 10,)))
    f.register_full_backward_hook(Recorder(seen, "second", lambda gi, go: (None,)))
    f(x).sum().backward()
    return x.grad, f.weight.grad


def replaced_at_the_output(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_pre_hook(Recorder(seen, "before", lambda go: (go[0] * 7,)))
    f.register_full_backward_hook(Recorder(seen, "after"))
    f(x).sum().backward()
    return x.grad, f.weight.grad


def only_before(torch, seen):
    f = layer(torch)
    f.register_full_backward_pre_hook(Recorder(seen, "before", lambda go: (go[0] * 7,)))
    f(torch.ones(1, 2, dtype=torch.float64)).sum().backward()
    return f.weight.grad


def order_in_a_stack(torch, seen):
    x = leaf(torch, 1.0, -2.0)
    model = torch.nn.Sequential(layer(torch), torch.nn.ReLU(), layer(torch))
    model.register_full_backward_hook(Recorder(seen, "model"))
    for name, child in model.named_children():
        child.register_full_backward_hook(Recorder(seen, name))
    model(x).sum().backward()
    return x.grad, model[0].weight.grad


def the_same_layer_twice(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f", lambda gi, go: (gi[0] * 2,)))
    f(f(x).square()).sum().backward()
    return x.grad, f.weight.grad


def an_input_used_elsewhere(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    h = x * 2
    (f(h) * h).sum().backward()
    return (x.grad,)


def several_inputs_and_outputs(torch, seen):
    class Two(torch.nn.Module):
        def forward(self, a, scale, b, *, c=None):
            return a * scale + b + c, a * b

    f, a, b, c = Two(), leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 4.0), leaf(torch, 5.0, 6.0)
    f.register_full_backward_hook(Recorder(seen, "f", lambda gi, go: (gi[0] + 1, None, gi[2] * 2)))
    first, second = f(a, 3, b, c=c)
    (first + second).sum().backward()
    first, second = f(a, 3, b, c=c)
    second.sum().backward()
    return a.grad, b.grad, c.grad


def the_identity(torch, seen):
    f, x = torch.nn.Identity(), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    (f(x) * x).sum().backward()
    return (x.grad,)


def gradient_penalty(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(lambda m, gi, go: (gi[0] * 3,))
    (g,) = torch.autograd.grad(f(x).pow(3).sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    return g, x.grad, f.weight.grad


def gradient_of_the_weight_only(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    return torch.autograd.grad(f(x).sum(), f.weight)


def two_backward_passes(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    y = f(x).sum()
    y.backward(retain_graph=True)
    (y * 2).backward()
    return (x.grad,)


def removed_and_unrecorded(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    handle = f.register_full_backward_hook(Recorder(seen, "f"))
    with torch.no_grad():
        assert not f(x).requires_grad
    handle.remove()
    f(x).sum().backward()
    return (x.grad,)


def forward_hooks_beside(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    f.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    f.register_forward_hook(lambda m, args, output: output * 5)
    f(x).sum().backward()
    return (x.grad,)


def a_copied_module(torch, seen):
    f, x = layer(torch), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(lambda m, gi, go: (gi[0] * 4,))
    copy.deepcopy(f)(x).sum().backward()
    return (x.grad,)


def a_named_tuple(torch, seen):
    pair = collections.namedtuple("pair", "double count")

    class Named(torch.nn.Module):
        def forward(self, a):
            return pair(a * 2, 3)

    f, x = Named(), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    y = f(x)
    y.double.sum().backward()
    seen.append(y.count)
    return (x.grad,)


def an_output_that_is_a_dict(torch, seen):
    class Named(torch.nn.Module):
        def forward(self, a):
            return {"y": a * 2}

    f, x = Named(), leaf(torch, 1.0, -2.0)
    f.register_full_backward_hook(Recorder(seen, "f"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        f(x)["y"].sum().backward()
    seen.append(any("For backward hooks to be called" in str(w.message) for w in caught))
    return (x.grad,)


PROGRAMS = [
    one_layer,
    no_gradient_for_the_input,
    replaced,
    replaced_at_the_output,
    only_before,
    order_in_a_stack,
    the_same_layer_twice,
    an_input_used_elsewhere,
    several_inputs_and_outputs,
    the_identity,
    gradient_penalty,
    gradient_of_the_weight_only,
    two_backward_passes,
    removed_and_unrecorded,
    forward_hooks_beside,
    a_copied_module,
    a_named_tuple,
    an_output_that_is_a_dict,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_hooks_see_and_change_what_pytorchs_do(program):
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (lab, torch):
        seen = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = program(library, seen)
        results = results if isinstance(results, tuple) else (results,)
        outcomes.append((seen, [None if result is None else result.tolist() for result in results]))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ((1, 2), "invalid number of grad_input, got 2, but expected a tuple of 1"),
        (lab.ones(1, 2), "got a Tensor, but expected a tuple of 1"),
        ((lab.ones(3, 3),), r"changed the size of a grad_input from \(1, 2\) to \(3, 3\)"),
        (("text",), "grad_input 0 .* must be a Tensor or None, got str"),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused(returned, message):
    f, x = lab.nn.Linear(2, 2), lab.ones(1, 2, requires_grad=True)
    f.register_full_backward_hook(lambda module, grad_input, grad_output: returned)
    with pytest.raises(RuntimeError, match=f"Backward hook of Linear.*{message}"):
        f(x).sum().backward()


def test_no_input_gradient_can_be_made_up():
    f = lab.nn.Linear(2, 2)
    f.register_full_backward_hook(lambda module, grad_input, grad_output: (lab.ones(1, 2),))
    with pytest.raises(RuntimeError, match="where no input requires gradient should always return None"):
        f(lab.ones(1, 2)).sum().backward()


def test_an_argument_without_gradient_has_none():
    class Sum(lab.nn.Module):
        def forward(self, a, b):
            return a + b

    seen = []
    f = Sum()
    f.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append(grad_input))
    f(lab.ones(2, requires_grad=True), lab.ones(2)).sum().backward()
    assert seen[0][0].tolist() == [1.0, 1.0] and seen[0][1] is None
