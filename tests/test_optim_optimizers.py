"""Optimizers: PyTorch's trajectories, convergence, resuming, memory. Gradients are given by hand: no op is used."""

import copy
import inspect
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lab import grad_mode, graph, optim
from tinygrad_lab.optim import rules
from tinygrad_lab.tensor import Tensor, wrap

OPTIMIZERS = {
    name: cls
    for name, cls in vars(optim).items()
    if inspect.isclass(cls) and issubclass(cls, optim.Optimizer) and cls is not optim.Optimizer
}

OPTIONS = {
    "SGD": [
        {"lr": 0.05},
        {"lr": 0.05, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
        {"lr": 0.01, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1, "maximize": True},
    ],
    "Adam": [
        {},
        {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-3},
        {"lr": 0.02, "weight_decay": 0.1},
        {"lr": 0.02, "amsgrad": True, "weight_decay": 0.01},
        {"lr": 0.02, "amsgrad": True, "maximize": True, "betas": (0.3, 0.9)},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "AdamW": [{}, {"lr": 0.05, "weight_decay": 0.3}, {"lr": 0.02, "amsgrad": True, "maximize": True}],
    "Adamax": [{}, {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-4}, {"weight_decay": 0.1, "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.02},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"centered": True, "weight_decay": 0.1},
        {"momentum": 0.9, "alpha": 0.9, "lr": 0.001},
        {"momentum": 0.5, "centered": True, "maximize": True, "eps": 1e-4},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1},
        {"initial_accumulator_value": 0.5, "eps": 1e-4, "maximize": True},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}, {"eps": 1e-3, "maximize": True}],
    "ProximalSGD": [{"lr": 0.05}, {"lr": 0.05, "l1": 0.5}, {"lr": 0.05, "momentum": 0.9, "l1": 0.2, "l2": 0.3}],
}
OURS = {"ProximalSGD"}  # which PyTorch does not have; tests/test_optim_proximal.py has its references
PYTORCHS = [name for name in OPTIMIZERS if name not in OURS]
CASES = [(name, options) for name in OPTIONS for options in OPTIONS[name]]

# The last shape is cut into blocks, the last but one goes through scratch arrays in one piece.
SHAPES = [(5, 4), (4,), (), (0, 3), (100, 90), (190, 180)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(rules, "BLOCK", 15_000)
    assert SHAPES[-2][0] * SHAPES[-2][1] > rules.SMALL


def test_options_cover_every_optimizer():
    assert set(OPTIONS) == set(OPTIMIZERS) == set(RATES)


def initial(dtype="float64"):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


STEEPNESS = [np.asarray(np.cos(np.arange(np.prod(shape, dtype=int))) + 1.5).reshape(shape) for shape in SHAPES]


def gradient(p, number, step, sign=1.0):
    """Of a bumpy bowl that shakes from step to step; computed from each library's own values."""
    value = STEEPNESS[number] * (p - 0.3) - p / (1 + p * p) + np.sin(step + number)
    return np.asarray(sign * value, dtype=p.dtype)


def run(optimizer, params, steps, start=0, skip=()):
    sign = -1.0 if optimizer.param_groups[0].get("maximize") else 1.0
    for step in range(start, start + steps):
        for number, param in enumerate(params):
            param.grad = None if (step, number) in skip else wrap(gradient(param.array, number, step, sign))
        optimizer.step()


def leaves(arrays):
    return [wrap(array.copy()).requires_grad_() for array in arrays]


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if case[0] in PYTORCHS])
def test_trajectory_is_pytorchs(name, options):
    torch = pytest.importorskip("torch")
    skip = {(step, 1) for step in range(3, 9)}  # a parameter without gradient keeps its state and its step count
    ours, theirs = leaves(initial()), [torch.tensor(a, requires_grad=True) for a in initial()]
    optimizer = OPTIMIZERS[name](ours, **options)
    reference = getattr(torch.optim, name)(theirs, **options)
    for step in range(200):
        run(optimizer, ours, 1, step, skip)
        for number, param in enumerate(theirs):
            value = gradient(param.detach().numpy(), number, step, -1.0 if "maximize" in options else 1.0)
            param.grad = None if (step, number) in skip else torch.from_numpy(value)
        reference.step()
        if step in (0, 1, 20, 199):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=0, atol=1e-10)
    for param, other in zip(ours, theirs, strict=True):
        saved, expected = optimizer.state[param], reference.state[other]
        assert {key for key, value in expected.items() if value is not None} == set(saved)
        for key, value in saved.items():
            assert value.dtype.name == str(expected[key].dtype).removeprefix("torch."), key
            np.testing.assert_allclose(value.array, expected[key].numpy(), rtol=1e-10, atol=1e-10, err_msg=key)


@pytest.mark.parametrize("name", PYTORCHS)
def test_signature_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours = inspect.signature(OPTIMIZERS[name].__init__).parameters
    theirs = inspect.signature(getattr(torch.optim, name).__init__).parameters
    left_out = {"foreach", "fused", "capturable", "differentiable"}
    assert {k: p.default for k, p in ours.items()} == {k: p.default for k, p in theirs.items() if k not in left_out}
    positional = [k for k, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == list(theirs)[: len(positional)]
    with pytest.raises(TypeError, match="foreach"):
        OPTIMIZERS[name]([Tensor(3)], foreach=True)


RATES = {
    "SGD": 0.001,
    "Adam": 0.02,
    "AdamW": 0.02,
    "Adamax": 0.05,
    "NAdam": 0.02,
    "RMSprop": 0.002,
    "Adagrad": 0.5,
    "Adadelta": 1.0,
    "ProximalSGD": 0.001,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parabola(name, dtype):
    w = wrap(np.array([3.0, -2.0], dtype)).requires_grad_()
    options = {"weight_decay": 0.0} if name == "AdamW" else {}
    optimizer = OPTIMIZERS[name]([w], lr=RATES[name] * (100 if "SGD" in name else 1), **options)
    for _ in range(3000):
        w.grad = wrap(2 * (w.array - np.array([1.0, 2.0], dtype)))
        optimizer.step()
    assert w.array.dtype == dtype
    np.testing.assert_allclose(w.array, [1.0, 2.0], atol=0.02)


VALLEY = {
    "SGD": {"momentum": 0.9},
    "ProximalSGD": {"momentum": 0.9},
    "AdamW": {"weight_decay": 0.0},
    "Adadelta": {"rho": 0.999},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rosenbrock(name):
    w = wrap(np.array([-1.2, 1.0])).requires_grad_()
    optimizer = OPTIMIZERS[name]([w], lr=RATES[name], **VALLEY.get(name, {}))
    for _ in range(10_000):
        x, y = w.array
        w.grad = wrap(np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]))
        optimizer.step()
    np.testing.assert_allclose(w.array, [1.0, 1.0], atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_resumes_to_the_bit(name, options, dtype):
    one = leaves(initial(dtype))
    first = OPTIMIZERS[name]([{"params": one[:2], "lr": 0.01}, {"params": one[2:]}], **options)
    run(first, one, 7)
    saved = copy.deepcopy(first.state_dict())
    two = leaves([param.array for param in one])
    second = OPTIMIZERS[name]([{"params": two[:2]}, {"params": two[2:]}])
    second.load_state_dict(saved)
    assert second.param_groups[0]["lr"] == 0.01
    run(first, one, 7, 7)
    run(second, two, 7, 7)
    for a, b in zip(one, two, strict=True):
        assert a.array.dtype == dtype
        np.testing.assert_array_equal(a.array, b.array)
    for a, b in zip(first.state_dict()["state"].items(), second.state_dict()["state"].items(), strict=True):
        assert a[0] == b[0] and all(a[1][key].tolist() == b[1][key].tolist() for key in a[1])


@pytest.mark.parametrize("name", PYTORCHS)
def test_state_dict_layout_is_pytorchs_and_theirs_can_be_loaded(name):
    torch = pytest.importorskip("torch")
    ours, theirs = leaves(initial()), [torch.tensor(a, requires_grad=True) for a in initial()]
    named = [(f"p{i}", p) for i, p in enumerate(ours)]
    optimizer = OPTIMIZERS[name]([{"params": named[:2]}, {"params": named[2:], "lr": 0.5}])
    named = [(f"p{i}", p) for i, p in enumerate(theirs)]
    reference = getattr(torch.optim, name)([{"params": named[:2]}, {"params": named[2:], "lr": 0.5}])
    for number, param in enumerate(theirs):
        param.grad = torch.from_numpy(gradient(param.detach().numpy(), number, 0))
    reference.step()
    run(optimizer, ours, 1)
    saved = reference.state_dict()
    left_out = {"foreach", "fused", "capturable", "differentiable"}
    for mine, other in zip(optimizer.state_dict()["param_groups"], saved["param_groups"], strict=True):
        assert mine == {key: value for key, value in other.items() if key not in left_out}
    if name != "SGD":
        assert list(optimizer.state_dict()["state"]) == list(saved["state"])
    for values in saved["state"].values():
        values.update({key: wrap(value.numpy().copy()) for key, value in values.items() if value is not None})
    again = leaves([param.array for param in ours])
    loaded = OPTIMIZERS[name](again)
    with pytest.raises(ValueError, match="different number of parameter groups: 2, the optimizer has 1"):
        loaded.load_state_dict(saved)
    loaded = OPTIMIZERS[name]([{"params": again[:2]}, {"params": again[2:]}])
    loaded.load_state_dict(saved)
    run(optimizer, ours, 3, 1)
    run(loaded, again, 3, 1)
    for a, b in zip(ours, again, strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-12, atol=1e-7 if name == "NAdam" else 1e-12)


def layouts(array, kind):
    if kind == "F":
        return np.asfortranarray(array)
    if kind == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return array.copy()


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(CASES),
    shape=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    layout=st.sampled_from(["C", "F", "strided"]),
    grad_layout=st.sampled_from(["C", "F", "strided"]),
    block=st.integers(1, 20),
)
def test_blocks_and_layouts_do_not_change_the_result(case, shape, layout, grad_layout, block):
    name, options = case
    rng = np.random.default_rng(1)
    values, grads = rng.normal(size=shape), rng.normal(size=(4, *shape))

    def result(layout, grad_layout):
        param = wrap(layouts(values, layout)).requires_grad_()
        optimizer = OPTIMIZERS[name]([param], **options)
        for g in grads:
            given_grad = layouts(g, grad_layout)
            given_grad.flags.writeable = False
            param.grad = wrap(given_grad)
            optimizer.step()
        assert param.array.strides == layouts(values, layout).strides
        return param.array

    expected = result("C", "C")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "BLOCK", block)
        patch.setattr(rules, "SMALL", 0)
        patch.setattr("tinygrad_lab.optim.optimizer.SMALL", 0)
        patch.setattr("tinygrad_lab.optim.sgd.SMALL", 0)
        np.testing.assert_array_equal(result(layout, grad_layout), expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_step_allocates_nothing_large_and_keeps_every_buffer(name, options, order):
    param = wrap(np.ones((1000, 500), "float32", order)).requires_grad_()
    param.grad = wrap(np.ones((1000, 500), "float32", order))
    array, grad = param.array, param.grad.array
    optimizer = OPTIMIZERS[name]([param], **options)
    optimizer.step()
    buffers = {key: value.array for key, value in optimizer.state[param].items()}
    tracemalloc.start()
    try:
        optimizer.step()
        assert tracemalloc.get_traced_memory()[1] < 50_000  # the parameter has 2,000,000 bytes
    finally:
        tracemalloc.stop()
    assert param.array is array and param.grad.array is grad and (grad == 1).all()
    assert all(optimizer.state[param][key].array is buffer for key, buffer in buffers.items())
    assert all(buffer.dtype == "float32" for buffer in buffers.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numpy_scalars_as_options_keep_float32(name):
    param = wrap(np.ones((5, 4), "float32")).requires_grad_()
    decay = "l2" if name in OURS else "weight_decay"
    optimizer = OPTIMIZERS[name]([param], lr=np.float64(0.1), **{decay: np.float64(0.01)})
    run(optimizer, [param], 2)
    assert param.array.dtype == "float32"
    assert all(value.array.dtype == "float32" for value in optimizer.state[param].values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_is_reported_as_a_mutation(name):
    used, unused = leaves([np.ones(3), np.ones(3)])
    optimizer = OPTIMIZERS[name]([used, unused])
    before = graph.last_mutation(used.array)
    used.grad = wrap(np.ones(3))
    optimizer.step()
    assert graph.last_mutation(used.array) > before
    assert graph.last_mutation(unused.array) == 0 and unused.array.tolist() == [1, 1, 1]
    assert used.is_leaf and used.requires_grad


def test_options_and_state_may_change_between_steps():
    (w,) = leaves([np.ones(2)])
    optimizer = optim.SGD([w], lr=0.5, momentum=0.9)
    w.grad = wrap(np.ones(2))
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.state.clear()
    optimizer.step()
    assert w.tolist() == [0.25, 0.25]
    w.data = wrap(np.array([7.0, 7.0]))  # another array: the optimizer must not write into the old one
    optimizer.param_groups[0]["momentum"] = 0
    optimizer.step()
    assert w.tolist() == [6.75, 6.75]


def test_dtypes_may_be_mixed_within_a_group():
    arrays = [np.ones(3, dtype) for dtype in ("float32", "float64", "float16", "float32")]
    params = leaves(arrays)
    for param in params:
        param.grad = wrap(param.array.copy())
    optim.Adam(params, lr=0.125).step()
    assert [param.array.dtype for param in params] == [array.dtype for array in arrays]


def test_closure_runs_with_gradients_even_under_no_grad():
    (w,) = leaves([np.ones(2)])
    seen = []

    def closure():
        seen.append(grad_mode.is_grad_enabled())
        w.grad = wrap(np.ones(2))
        return 3.5

    with grad_mode.no_grad():
        assert optim.SGD([w], lr=0.5).step(closure) == 3.5
    assert seen == [True] and w.tolist() == [0.5, 0.5]


def test_zero_grad():
    (w,) = leaves([np.ones(2)])
    optimizer = optim.SGD([w])
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is None
    w.grad = wrap(np.ones(2))
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert w.grad is None


def test_loading_copies_and_casts():
    one, two = leaves([np.ones((5, 4))])[0], leaves([np.ones((5, 4), "float32")])[0]
    first, second = optim.Adam([one]), optim.Adam([two])
    run(first, [one], 2)
    saved = first.state_dict()
    second.load_state_dict(saved)
    mean = second.state[two]["exp_avg"].array
    assert mean.dtype == "float32" and not np.shares_memory(mean, saved["state"][0]["exp_avg"].array)
    assert second.state[two]["step"].item() == 2 and second.state[two]["step"].shape == ()


def test_deepcopy_trains_on_its_own():
    params = leaves([np.ones((5, 4))])
    optimizer = optim.Adam(params)
    run(optimizer, params, 2)
    copied, own = copy.deepcopy((optimizer, params))
    run(copied, own, 2)
    assert optimizer.state[params[0]]["step"].item() == 2 and copied.state[own[0]]["step"].item() == 4


def test_repr_lists_groups_and_options():
    text = repr(optim.SGD([Tensor(3)], lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n") and text.endswith("\n)")


def test_an_optimizer_needs_only_a_rule():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr=1.0):
            super().__init__(params, {"lr": lr})

        def _rule(self, group, dtype):
            def update(param, values, grad):
                values -= group["lr"] * np.sign(grad)

            return update

    (w,) = leaves([np.array([1.0, 2.0])])
    w.grad = wrap(np.array([5.0, -5.0]))
    SignDescent([w]).step()
    assert w.tolist() == [0, 3]


def test_options_changed_between_steps_count_and_rules_are_not_shared_by_copies():
    """A rule is kept from step to step: it must notice new options, and a copy must not write into the old state."""
    param = Tensor([1.0]).requires_grad_()
    param.grad = Tensor([1.0])
    optimizer = optim.SGD([param], lr=0.5, momentum=0.5)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert param.item() == 1 - 0.5 - 0.25 * 1.5
    copied, own = copy.deepcopy((optimizer, param))
    own.grad = Tensor([1.0])
    copied.step()
    assert optimizer.state[param]["momentum_buffer"].item() == 1.5
    assert copied.state[own]["momentum_buffer"].item() == 1.75
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["lr"] == 0.25
