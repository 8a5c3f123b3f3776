"""gradcheck of functions of every kind, and of models; what is borrowed is given back to the bit."""

import numpy as np
import pytest

import tinygrad_lab
from tinygrad_lab import nn
from tinygrad_lab.nn import functional as F
from tinygrad_lab.verify import check_arrays, gradcheck

RNG = np.random.default_rng(3)


def tensor(*shape, dtype=None, grad=True):
    return tinygrad_lab.tensor(RNG.standard_normal(shape), dtype=dtype or tinygrad_lab.float64).requires_grad_(grad)


class Scaled(tinygrad_lab.autograd.Function):
    """x**2 with a gradient that is 1% too large."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2.02


# Functions of Tensors


def test_scalar_and_other_outputs():
    assert gradcheck(lambda x: (x.exp() * x).sum(), tensor(3, 2))
    assert gradcheck(lambda x: x.softmax(1), tensor(3, 4))
    assert gradcheck(lambda x, y: (x @ y, (x * 2).sum()), (tensor(2, 3), tensor(3, 2)))
    assert gradcheck(lambda p: {"y": p["a"] * p["b"]}, {"a": tensor(3), "b": tensor(3)})


def test_a_wrong_rule_is_found():
    result = gradcheck(Scaled.apply, tensor(4))
    assert result.verdict == "wrong"
    np.testing.assert_allclose([e.gradient / e.numerical for e in result.worst()], 1.01, rtol=1e-6)


def test_each_output_by_itself():
    result = gradcheck(lambda x: x.cumsum(0) if hasattr(x, "cumsum") else x, tensor(3), outputs="each")
    assert result and [p.name for p in result.parameters] == [f"output {i} by input" for i in range(3)]


def test_only_inputs_that_require_gradients_are_checked():
    result = gradcheck(lambda x, y: x * y, (tensor(3), tensor(3, grad=False)))
    assert [p.name for p in result.parameters] == ["input 0"]
    both = gradcheck(lambda x, y: x * y, (tensor(3, grad=False), tensor(3, grad=False)), names=["x", "y"])
    assert [p.name for p in both.parameters] == ["x", "y"]


def test_integer_inputs_are_passed_on():
    labels = tinygrad_lab.tensor([0, 2, 1])
    assert gradcheck(F.cross_entropy, (tensor(3, 4), labels))


def test_float32_inputs_are_checked_in_float64():
    seen = []

    def f(x):
        seen.append(x.dtype)
        return x.sin().sum()

    assert gradcheck(f, tensor(3, dtype=tinygrad_lab.float32))
    assert set(seen) == {tinygrad_lab.float64}


def test_a_float32_graph_with_constants_of_its_own_runs_again_in_float64():
    weight = tensor(4, 3, dtype=tinygrad_lab.float32, grad=False)
    result = gradcheck(lambda x: F.linear(x, weight).tanh(), tensor(2, 3, dtype=tinygrad_lab.float32))
    assert result and "run again in float64" in str(result)


def test_masks_read_off_the_graph_settle_several_kinks():
    w = tinygrad_lab.tensor([[1.0, -2.0, 3.0]], dtype=tinygrad_lab.float64)
    result = gradcheck(lambda x: ((x @ w).relu() * w).sum(), tinygrad_lab.zeros(2, 1).double())
    assert result and "kinks" in str(result)


@pytest.mark.parametrize(
    ("op", "point"),
    [
        (lambda x: x.relu(), [0.0, 1.0, -1.0]),
        (lambda x: x.abs(), [0.0, 1.0, -1.0]),
        (lambda x: x.clamp(-1, 1), [-1.0, 1.0, 0.3]),
        (lambda x: tinygrad_lab.maximum(x, x * 0 + 1), [1.0, 0.5, 2.0]),
        (lambda x: x.amax(), [2.0, 2.0, 1.0]),
        (lambda x: x.max(0).values, [2.0, 2.0, 1.0]),
        (lambda x: F.max_pool2d(x.reshape(1, 1, 3).unsqueeze(0), (1, 3)), [2.0, 2.0, 1.0]),
    ],
)
def test_kinks_of_ops_are_no_errors(op, point):
    result = gradcheck(lambda x: op(x).sum(), tinygrad_lab.tensor(point, dtype=tinygrad_lab.float64))
    assert result and result.parameters[0].counts().get("kink", 0) > 0, result


def test_hand_derived_gradients_of_a_function_of_tensors():
    x = tensor(3)
    assert gradcheck(lambda x: (x**3).sum(), x, lambda x: 3 * x**2)
    assert gradcheck(lambda x: (x**3).sum(), x, lambda x: 2 * x**2).verdict == "wrong"
    assert gradcheck(lambda x: (x**3).sum(), x, 3 * x.numpy(force=True) ** 2)


def test_dropout_draws_the_same_mask_each_time_and_the_generator_is_given_back():
    state = tinygrad_lab.random.default_generator.get_state().array.copy()
    assert gradcheck(lambda x: F.dropout(x, 0.5) * x, tensor(4, 5))
    np.testing.assert_array_equal(tinygrad_lab.random.default_generator.get_state().array, state)


def test_no_gradient_is_left_behind():
    x = tensor(3)
    gradcheck(lambda x: (x * x).sum(), x)
    assert x.grad is None


# NumPy


D = RNG.standard_normal((6, 3))


def test_numpy_with_a_gradient_by_hand():
    params = {"W": RNG.standard_normal((3, 2)), "b": np.zeros(2)}

    def loss(p):
        return np.mean((D @ p["W"] + p["b"]) ** 2)

    def gradient(p):
        r = (D @ p["W"] + p["b"]) / 6
        return {"b": r.sum(0), "W": D.T @ r}

    assert gradcheck(loss, params, gradient)
    assert gradcheck(loss, params, gradient(params))
    wrong = gradcheck(loss, params, lambda p: {**gradient(p), "b": gradient(p)["b"].sum()})
    assert "the gradient has shape (), its parameter (2,)" in str(wrong)


def test_numpy_functions_of_several_arrays():
    a, b = RNG.standard_normal((2, 4))
    assert gradcheck(lambda a, b: a @ b, (a, b), lambda a, b: (b, a))
    assert gradcheck(lambda a, b: a @ b, (a, b), lambda a, b: (a, a)).verdict == "wrong"
    assert gradcheck(lambda a, k: a[k].sum(), (a, np.array([0, 2])), lambda a, k: np.isin(np.arange(4), k) * 1.0)


@pytest.mark.parametrize("outputs", ["project", "each"])
def test_numpy_jacobians(outputs):
    x = RNG.standard_normal(4)
    assert gradcheck(np.sin, x, lambda x: np.diag(np.cos(x)), outputs=outputs)
    assert gradcheck(lambda x: D[:4].T @ x, x, D[:4].T, outputs=outputs)
    assert gradcheck(lambda x: D[:4].T @ x, x, 2 * D[:4].T, outputs=outputs).verdict == "wrong"


def test_python_numbers():
    assert gradcheck(lambda x: x**2, 3.0, 6.0)


# Models


def model_and_loss(dtype=None):
    tinygrad_lab.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 3))
    if dtype is not None:
        model = model.to(dtype)
    x, y = tensor(6, 4, dtype=dtype or tinygrad_lab.float32, grad=False), tinygrad_lab.tensor([0, 1, 2, 0, 1, 2])
    return model, lambda: F.cross_entropy(model(x), y)


def bits(model):
    state = {
        name: (id(t), id(t.array), t.array.dtype, t.array.tobytes())
        for name, t in model.state_dict(keep_vars=True).items()
    }
    grads = [None if p.grad is None else p.grad.array.tobytes() for p in model.parameters()]
    return state, grads, [module.training for module in model.modules()]


@pytest.mark.parametrize("dtype", [None, tinygrad_lab.float64])
def test_all_parameters_of_a_model_by_name(dtype):
    model, loss = model_and_loss(dtype)
    loss().backward()
    before = bits(model)
    result = gradcheck(loss, model)
    assert result and [p.name for p in result.parameters] == [name for name, _ in model.named_parameters()]
    assert bits(model) == before
    assert gradcheck(lambda m: (m(tinygrad_lab.ones(2, 4, dtype=dtype)) ** 2).sum(), nn.Sequential(model[0]))


def test_a_wrong_layer_is_named():
    class Bad(nn.Linear):
        def forward(self, input):
            return super().forward(input) + Scaled.apply(self.bias)

    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Bad(4, 2)).double()
    x = tensor(5, 3, grad=False)
    result = gradcheck(lambda: model(x).sum(), model)
    assert {p.name for p in result.parameters if p.verdict == "wrong"} == {"2.bias"}


def test_frozen_parameters_are_left_out():
    model, loss = model_and_loss()
    model[0].requires_grad_(False)
    assert gradcheck(loss, model).parameters[0].name == "1.weight"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("calls", [1, 2, 5, 60])
def test_a_model_is_the_same_bits_after_an_exception(error, calls):
    model, loss = model_and_loss(tinygrad_lab.float64)
    loss().backward()
    before = bits(model)
    state = tinygrad_lab.random.default_generator.get_state().array.copy()
    count = 0

    def interrupted():
        nonlocal count
        count += 1
        if count == calls:
            model[0].weight.array[...] = 7.0
            raise error
        return loss()

    with pytest.raises(error):
        gradcheck(interrupted, model)
    assert bits(model) == before
    np.testing.assert_array_equal(tinygrad_lab.random.default_generator.get_state().array, state)


@pytest.mark.parametrize("calls", [1, 4, 20])
def test_tensors_and_arrays_are_the_same_bits_after_an_interrupt(calls):
    x, a = tensor(3, 2), RNG.standard_normal(4)
    before, count = (x.array.tobytes(), a.tobytes()), 0

    def f(value):
        nonlocal count
        count += 1
        if count == calls:
            raise KeyboardInterrupt
        return (value**2).sum()

    for arguments in ((x,), (a, 2 * a)):
        count = 0
        with pytest.raises(KeyboardInterrupt):
            gradcheck(f, *arguments)
    assert (x.array.tobytes(), a.tobytes()) == before and x.grad is None


# PyTorch and JAX


def test_functions_of_pytorch_tensors():
    torch = pytest.importorskip("torch")
    x, y = torch.randn(3, 2, dtype=torch.float64, requires_grad=True), torch.randn(2)
    assert gradcheck(lambda x, y: torch.sin(x) @ y.double(), (x, y))
    assert [p.name for p in gradcheck(lambda x, y: x * y, (x, y)).parameters] == ["input 0"]
    assert gradcheck(lambda x: (x**3).sum(), x, lambda x: 2 * x**2).verdict == "wrong"
    assert x.grad is None


def test_models_of_pytorch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Dropout(0.2))
    model = model.double()
    x = torch.randn(6, 4, dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pointers = [p.data_ptr() for p in model.parameters()]
    result = gradcheck(lambda: model(x).pow(2).sum(), model)
    assert result and [p.name for p in result.parameters] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert pointers == [p.data_ptr() for p in model.parameters()]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_functions_of_jax_arrays():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(RNG.standard_normal((3, 2)))
    assert gradcheck(lambda x: jax.numpy.sin(x).sum(), x).verdict == "ok"
    assert gradcheck(lambda x: (x**3).sum(), x, lambda x: 2 * x**2).verdict == "wrong"


def test_neither_pytorch_nor_jax_is_imported():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from tinygrad_lab.verify import gradcheck; "
        "assert gradcheck(lambda x: x @ x, np.ones(2), lambda x: 2 * x); "
        "assert not {'torch', 'jax', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Misuse


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradcheck(np.sum, np.ones(3)), TypeError, "NumPy does not differentiate: give the gradient to check"),
        (lambda: gradcheck(np.sum, np.ones(3, int), np.ones(3)), ValueError, "nothing to check"),
        (lambda: gradcheck(np.sum, np.ones(3), np.ones(3), outputs="all"), ValueError, "'project' or 'each'"),
        (lambda: gradcheck(lambda x: None, np.ones(3), np.ones(3)), TypeError, "f returned no floating array"),
        (lambda: gradcheck(np.dot, (np.ones(3), np.ones(3)), [np.ones(3)]), ValueError, "got 1 gradients for 2 inputs"),
        (lambda: gradcheck(np.sum, np.ones(3), np.ones(3), names=["a", "b"]), ValueError, "got 2 names for 1"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_result_equals_that_of_the_check_on_arrays():
    x = RNG.standard_normal(4)
    ours = gradcheck(lambda x: np.sum(np.exp(x)), x, np.exp)
    assert ours.evaluations == check_arrays(lambda a: np.sum(np.exp(a[0])), [x], [np.exp(x)]).evaluations


def test_a_gradient_of_one_number_is_no_jacobian():
    x = np.array([1.0, 2.0, 3.0])
    for f in (lambda x: (np.sum(x**2), 0.9), lambda x: x**2):
        result = gradcheck(f, x, 2 * x)
        assert not result and "the gradient given is that of one number: let f return one number" in str(result)
    assert gradcheck(lambda x: x**2, x, np.diag(2 * x))
