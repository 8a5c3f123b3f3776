"""Tensors apart from gradients: dtype promotion, creation functions, printing, conversion, random generators."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import tinygrad_lab as lab

DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]


@pytest.fixture
def default_dtype():
    """Restores the default dtype of both libraries."""
    before = lab.get_default_dtype()
    yield
    lab.set_default_dtype(before)


def operand(library, kind: str, dtype: str):
    """A tensor with dimensions, a 0-d tensor, or a Python number, of a dtype."""
    if kind == "number":
        return {"f": 1.5, "i": 1, "u": 1, "b": True}[np.dtype(dtype).kind]
    return library.tensor([1, 1] if kind == "dim" else 1, dtype=getattr(library, dtype))


KINDS = [pair for pair in itertools.product(["dim", "0-d", "number"], repeat=2) if pair != ("number", "number")]


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("dtype", DTYPES)
def test_promotion_equals_pytorch(dtype, kinds):
    torch = pytest.importorskip("torch")
    for other in DTYPES:
        found = []
        for library in (lab, torch):
            a, b = operand(library, kinds[0], dtype), operand(library, kinds[1], other)
            results = [a + b, a * b, a / b, library.where(library.tensor([True, False]), a, b)]
            found.append([str(y.dtype).split(".")[1] for y in results])
            if "number" not in kinds:
                found[-1].append(str(library.result_type(a, b)).split(".")[1])
        assert found[0] == found[1], (kinds, dtype, other)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, repeat=2)))
def test_promote_types_equals_pytorch(a, b):
    torch = pytest.importorskip("torch")
    ours = lab.promote_types(getattr(lab, a), getattr(lab, b))
    assert ours.name == str(torch.promote_types(getattr(torch, a), getattr(torch, b))).split(".")[1]


@pytest.mark.parametrize("default", ["float16", "float32", "float64"])
def test_default_dtype(default, default_dtype):
    lab.set_default_dtype(getattr(lab, default))
    assert lab.get_default_dtype().name == default
    for made in (
        lab.tensor(1.5),
        lab.zeros(2),
        lab.tensor([1, 2]) * 0.5,
        lab.tensor([1, 2]) / 2,
        lab.arange(0, 1, 0.5),
    ):
        assert made.dtype.name == default
    assert lab.tensor([1]).dtype is lab.int64 and lab.tensor(np.zeros(2, "float32")).dtype is lab.float32


def test_float32_with_a_python_float_stays_float32():
    x = lab.tensor([1.0, 2.0], requires_grad=True)
    y = ((x * 2.5 + 1) ** 2 / 3).mean()
    y.backward()
    assert y.dtype is lab.float32 and x.grad.dtype is lab.float32


CREATIONS = {
    "tensor of floats": lambda t: t.tensor([[1.5, 2.0], [3.0, 4.0]]),
    "tensor of ints": lambda t: t.tensor([1, 2]),
    "tensor of bools": lambda t: t.tensor([True, False]),
    "tensor of mixed": lambda t: t.tensor([1, 2.5]),
    "tensor of ints and bools": lambda t: t.tensor([1, True]),
    "empty tensor": lambda t: t.tensor([]),
    "nested empty tensor": lambda t: t.tensor([[], []]),
    "tensor of a number": lambda t: t.tensor(3),
    "tensor of an array": lambda t: t.tensor(np.array([1.0, 2.0])),
    "tensor of float32 scalars": lambda t: t.tensor([np.float32(1.5), np.float32(2.5)]),
    "tensor of tensors": lambda t: t.tensor([t.tensor(1.0), t.tensor(2.0)]),
    "tensor with dtype": lambda t: t.tensor([1.7, -2.7], dtype=t.int64),
    "tensor of a tuple": lambda t: t.tensor((1.0, 2.0)),
    "as_tensor": lambda t: t.as_tensor([1.0, 2.0], dtype=t.float64),
    "from_numpy": lambda t: t.from_numpy(np.arange(3)),
    "legacy Tensor": lambda t: t.Tensor([1, 2]),
    "zeros": lambda t: t.zeros(2, 3),
    "zeros of a tuple": lambda t: t.zeros((2, 3), dtype=t.int32),
    "zeros 0-d": lambda t: t.zeros(()),
    "ones": lambda t: t.ones(2, dtype=t.bool),
    "full": lambda t: t.full((2, 2), 1.5),
    "full of an int": lambda t: t.full((2,), 7),
    "full of a bool": lambda t: t.full((2,), True),
    "eye": lambda t: t.eye(3),
    "eye n m": lambda t: t.eye(2, 3, dtype=t.int64),
    "arange": lambda t: t.arange(5),
    "arange start end": lambda t: t.arange(2, 7),
    "arange step": lambda t: t.arange(0, 10, 3),
    "arange down": lambda t: t.arange(5, 0, -2),
    "arange floats": lambda t: t.arange(0, 1, 0.25),
    "arange float end": lambda t: t.arange(3.0),
    "arange uneven": lambda t: t.arange(0.0, 1.0, 0.3),
    "arange dtype": lambda t: t.arange(3, dtype=t.float64),
    "arange empty": lambda t: t.arange(0),
    "linspace": lambda t: t.linspace(0, 1, 5),
    "linspace one": lambda t: t.linspace(2, 3, 1),
    "linspace none": lambda t: t.linspace(0, 1, 0),
    "linspace double": lambda t: t.linspace(-1, 1, 7, dtype=t.float64),
    "logspace": lambda t: t.logspace(0, 2, 3),
    "zeros_like": lambda t: t.zeros_like(t.tensor([1, 2])),
    "zeros_like with dtype": lambda t: t.zeros_like(t.tensor([1, 2]), dtype=t.float64),
    "ones_like": lambda t: t.ones_like(t.tensor([[1.0], [2.0]])),
    "full_like": lambda t: t.full_like(t.tensor([1.0, 2.0]), 3),
    "full_like of ints": lambda t: t.full_like(t.tensor([1, 2]), 3),
    "shape of empty": lambda t: t.zeros_like(t.empty(2, 0)),
    "shape of rand": lambda t: t.zeros_like(t.rand(2, 3)),
    "shape of randn": lambda t: t.zeros_like(t.randn((2,), dtype=t.float64)),
    "shape of randint": lambda t: t.zeros_like(t.randint(0, 5, (2, 2))),
    "shape of randint high": lambda t: t.zeros_like(t.randint(5, (3,))),
    "shape of randperm": lambda t: t.zeros_like(t.randperm(4)),
    "sorted randperm": lambda t: t.tensor(sorted(t.randperm(6).tolist())),
    "shape of rand_like": lambda t: t.zeros_like(t.rand_like(t.ones(2, 3, dtype=t.float64))),
    "shape of normal": lambda t: t.zeros_like(t.normal(0.0, 1.0, (2, 3))),
    "normal without spread": lambda t: t.normal(t.tensor([1.0, 2.0]), t.tensor([0.0, 0.0])),
    "multinomial of one class": lambda t: t.multinomial(t.tensor([[0.0, 1.0], [1.0, 0.0]]), 1),
    "bernoulli of certainties": lambda t: t.bernoulli(t.tensor([0.0, 1.0, 1.0])),
}


@pytest.mark.parametrize("label", CREATIONS)
def test_creation_equals_pytorch(label):
    torch = pytest.importorskip("torch")
    ours, theirs = CREATIONS[label](lab), CREATIONS[label](torch)
    assert ours.dtype.name == str(theirs.dtype).split(".")[1]
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-12)
    assert ours.is_leaf and not ours.requires_grad


def test_tensor_copies_and_from_numpy_shares():
    array = np.zeros(2, "float32")
    copied, shared = lab.tensor(array), lab.from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [0.0, 0.0] and shared.tolist() == [5.0, 0.0]
    shared.add_(1)
    assert array.tolist() == [6.0, 1.0]


def test_conversion_to_python_and_numpy():
    x = lab.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]] and x.numpy() is x.array
    assert np.asarray(x).dtype == np.float32 and np.array(x, dtype="float64").sum() == 10
    assert float(lab.tensor(2.5)) == 2.5 and int(lab.tensor([3])) == 3 and [10, 20][lab.tensor(1)] == 20
    assert f"{lab.tensor(2.5):.2f}" == "2.50" and bool(lab.tensor(1)) and len(x) == 2
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert 3.0 in x and 7.0 not in x


def test_arrays_and_tensors_mix_in_either_order():
    x, a = lab.tensor([1.0, 2.0], dtype=lab.float64), np.array([3.0, 4.0])
    for y, expected in [(a + x, [4, 6]), (x + a, [4, 6]), (a - x, [2, 2]), (2 / x, [2, 1]), (a * x, [3, 8])]:
        assert isinstance(y, lab.Tensor) and y.tolist() == expected


PRINTED = [
    (lambda t: t.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda t: t.tensor([1, 2]), "tensor([1, 2])"),
    (lambda t: t.tensor(3), "tensor(3)"),
    (lambda t: t.tensor([1.0], dtype=t.float64), "tensor([1.], dtype=float64)"),
    (lambda t: t.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda t: t.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<MulBackward>)"),
    (lambda t: t.tensor([]), "tensor([])"),
    (lambda t: t.tensor([1], dtype=t.uint8), "tensor([1], dtype=uint8)"),
]


@pytest.mark.parametrize(("make", "text"), PRINTED, ids=[text for _, text in PRINTED])
def test_printing(make, text):
    assert repr(make(lab)) == text


def test_large_tensors_are_summarised():
    text = repr(lab.zeros(100, 100))
    assert "..." in text and len(text) < 1000


def test_printing_names_the_op_of_a_computed_tensor():
    x = lab.ones(2, requires_grad=True)
    assert "grad_fn=<ExpBackward>" in repr(x.exp())


@pytest.mark.parametrize("dtype", DTYPES)
def test_pickle_and_deepcopy(dtype):
    x = lab.tensor([1, 0], dtype=getattr(lab, dtype))
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert made.dtype is x.dtype and made.tolist() == x.tolist() and made.array is not x.array


@pytest.mark.parametrize(
    "make", [lab.from_numpy, lab.as_tensor, lab.tensor, lambda a: pickle.loads(pickle.dumps(lab.tensor(a)))]
)
def test_unpickled_arrays_compute_with_others(make):
    """Their dtype objects are equal to NumPy's, but others; ops must not take them for another dtype."""
    a = pickle.loads(pickle.dumps(np.ones((2, 3), np.float32)))[:, ::2]
    x = make(a)
    assert (x @ lab.ones(2, 4)).tolist() == [[2.0] * 4] * 2 and lab.nn.Linear(2, 1)(x).dtype is lab.float32
    assert (make is lab.from_numpy) <= np.shares_memory(x.array, a)


# Random generators


def draws(generator=None):
    return [
        lab.rand(3, generator=generator).tolist(),
        lab.randn(2, 2, generator=generator, dtype=lab.float64).tolist(),
        lab.randint(0, 100, (4,), generator=generator).tolist(),
        lab.randperm(5, generator=generator).tolist(),
        lab.bernoulli(lab.full((5,), 0.5), generator=generator).tolist(),
        lab.multinomial(lab.tensor([1.0, 2.0, 3.0]), 2, generator=generator).tolist(),
        lab.normal(0.0, 1.0, (2,), generator=generator).tolist(),
    ]


def test_seeds_repeat_to_the_bit():
    lab.manual_seed(3)
    first = draws()
    lab.manual_seed(3)
    assert draws() == first
    assert draws() != first
    assert draws(lab.Generator().manual_seed(3)) == first
    assert lab.initial_seed() == 3


def test_generator_state_round_trip():
    generator = lab.Generator().manual_seed(11)
    generator.numpy.random(5)
    state = generator.get_state()
    assert state.dtype is lab.uint8 and state.ndim == 1
    first = draws(generator)
    other = lab.Generator()
    other.set_state(state)
    assert draws(other) == first and other.initial_seed() == 11
    generator.set_state(state)
    assert draws(generator) == first


def test_global_state_round_trip():
    lab.manual_seed(5)
    state = lab.get_rng_state()
    first = draws()
    lab.set_rng_state(state)
    assert draws() == first


def test_a_generator_does_not_disturb_the_global_one():
    lab.manual_seed(1)
    expected = lab.rand(3).tolist()
    lab.manual_seed(1)
    lab.rand(100, generator=lab.Generator())
    assert lab.rand(3).tolist() == expected


def test_random_values_have_the_right_distribution():
    """Means and spreads within five standard errors, for a fixed seed."""
    generator = lab.Generator().manual_seed(0)
    n = 40_000
    uniform = lab.rand(n, generator=generator).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 5 * 0.2887 / n**0.5
    normal = lab.randn(n, generator=generator).numpy()
    assert abs(normal.mean()) < 5 / n**0.5 and abs(normal.std() - 1) < 5 / (2 * n) ** 0.5
    whole = lab.randint(-2, 3, (n,), generator=generator).numpy()
    assert set(whole.tolist()) == {-2, -1, 0, 1, 2}
    picked = lab.multinomial(lab.tensor([1.0, 3.0]), n, replacement=True, generator=generator).numpy()
    assert abs(picked.mean() - 0.75) < 5 * 0.4330 / n**0.5


def test_the_device_has_a_type_and_equals_its_name():
    device = lab.ones(2).device
    assert device.type == "cpu" and device.index is None and str(device) == "cpu"
    assert device == lab.device("cpu") and device == "cpu" and device != "cuda"
    assert lab.ones(2).to(device).device is lab.zeros(1, device=device).device


def test_numpys_functions_of_tensors_give_tensors():
    x = lab.tensor([1.0, 4.0])
    for y in (np.sqrt(x), np.add(np.ones(2, "float32"), x), np.maximum(x, 1.5), np.isnan(x), np.sqrt(x[0])):
        assert type(y) is lab.Tensor
    assert np.sqrt(x).tolist() == [1.0, 2.0] and np.sqrt(x).dtype is lab.float32
    assert np.isnan(x).dtype is lab.bool and np.sqrt(x[0]).shape == ()
    assert np.concatenate([x, x]).dtype == np.float32  # not a function of elements: an array
    assert np.add(x, 1j).dtype == np.complex64  # no tensor holds that
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\)"):
        np.sqrt(x.requires_grad_())


def test_python_repeats_reverses_and_pickles_as_with_pytorch():
    three = lab.tensor(3)
    assert [1] * three == [1, 1, 1] and (0,) * three == (0, 0, 0) and "-" * three == "---"
    assert reversed(lab.arange(3)).tolist() == [2, 1, 0]
    assert sorted(lab.randperm(three).tolist()) == [0, 1, 2]
    assert pickle.loads(pickle.dumps(lab.float32)) is lab.float32
