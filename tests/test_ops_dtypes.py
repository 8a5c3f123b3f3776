"""What dtypes must not lose: sums of halves, numbers out of range, integers divided by 0, the default dtype."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lab as torch
import tinygrad_lab.nn.functional as F

# Halves: 2048 + 1 is 2048 in them, and 256 * 256 overflows. Sums are made in float32, as in PyTorch.

HALVES = {
    "sum": (lambda x: x.sum(0), np.ones((5000, 2)), 5000),
    "mean": (lambda x: x.mean(), np.ones(100_000), 1),
    "mean of large": (lambda x: x.mean(0), np.full((50, 2), 6e4), 6e4),
    "var": (lambda x: x.var(0), np.full((5000, 2), 300.0), 0),
    "std": (lambda x: x.std(0, correction=0), np.stack([np.full(50, -400.0), np.full(50, 400.0)]), 400),
    "norm": (lambda x: x.norm(dim=0), np.full((5000, 2), 30.0), 30 * 5000**0.5),
    "1-norm": (lambda x: x.norm(1, 0), np.ones((5000, 2)), 5000),
    "cumsum": (lambda x: x.cumsum(0)[-1], np.ones((5000, 2)), 5000),
    "softmax": (lambda x: x.softmax(0), np.zeros((4096, 2)), 1 / 4096),
    "log_softmax": (lambda x: x.log_softmax(0), np.zeros((4096, 2)), -np.log(4096)),
    "logsumexp": (lambda x: x.logsumexp(0), np.zeros((4096, 2)), np.log(4096)),
    "mse_loss": (lambda x: F.mse_loss(x, x * 0), np.full((300, 2), 200.0), 4e4),
    "layer_norm": (lambda x: F.layer_norm(x, (600,)), np.tile([-300.0, 300.0], 300), np.tile([-1, 1], 300)),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, training=True)[0],
        np.tile([[-300.0], [300.0]], (300, 2)),
        -1,
    ),
    "sum_to_size": (lambda x: x.sum_to_size(1, 2), np.ones((5000, 2)), 5000),
}


@pytest.mark.parametrize("name", HALVES)
def test_sums_of_halves_are_made_in_float32(name: str) -> None:
    function, values, expected = HALVES[name]
    y = function(torch.tensor(values.astype(np.float16)))
    assert y.dtype == torch.float16
    np.testing.assert_allclose(y.numpy().astype(float), np.broadcast_to(expected, y.shape), rtol=2e-3)


def test_gradients_of_broadcast_halves_are_summed_in_float32() -> None:
    bias = torch.zeros(2, dtype=torch.float16, requires_grad=True)
    (torch.zeros(5000, 2, dtype=torch.float16) + bias).sum().backward()
    assert bias.grad.dtype == torch.float16 and bias.grad.tolist() == [5000, 5000]


# Numbers that a dtype does not have

OUT_OF_RANGE = {
    "tensor": lambda: torch.tensor([1, 300], dtype=torch.uint8),
    "tensor of nan": lambda: torch.tensor([float("nan")], dtype=torch.int64),
    "tensor int32": lambda: torch.tensor([2**31], dtype=torch.int32),
    "tensor float16": lambda: torch.tensor([1e6], dtype=torch.float16),
    "full": lambda: torch.full((2,), float("inf"), dtype=torch.int64),
    "full_like": lambda: torch.full_like(torch.zeros(2, dtype=torch.uint8), 256),
    "fill_": lambda: torch.zeros(2, dtype=torch.uint8).fill_(300),
    "fill_ inf": lambda: torch.zeros(2, dtype=torch.int64).fill_(float("inf")),
    "setitem": lambda: torch.zeros(2, dtype=torch.uint8).__setitem__(0, 300),
    "setitem inf": lambda: torch.zeros(2, dtype=torch.int64).__setitem__(0, float("inf")),
    "masked_fill": lambda: torch.zeros(2, dtype=torch.int64).masked_fill(torch.tensor([True, False]), -float("inf")),
    "masked_fill float16": lambda: torch.zeros(2, dtype=torch.float16).masked_fill(torch.tensor([True, False]), -1e9),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"cannot be converted to .* without overflow"):
        OUT_OF_RANGE[name]()


def test_numbers_at_the_ends_of_the_range_are_taken() -> None:
    assert torch.tensor([0, 255, -1], dtype=torch.uint8).tolist() == [0, 255, 255]
    assert torch.zeros(1, dtype=torch.uint8).fill_(-1).item() == 255
    assert torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32).tolist() == [-(2**31), 2**31 - 1]
    assert torch.full((1,), 7, dtype=torch.bool).item() is True
    assert torch.tensor([float("inf"), 65504], dtype=torch.float16).tolist() == [float("inf"), 65504]
    assert torch.zeros(1, dtype=torch.float16).masked_fill(torch.tensor(True), -float("inf")).item() == -float("inf")


def test_fill_takes_a_tensor_and_its_gradient() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    x = torch.zeros(4).fill_(value)
    (x * torch.arange(4.0)).sum().backward()
    assert x.tolist() == [3] * 4 and value.grad.item() == 6
    with pytest.raises(RuntimeError, match="0-dimensional"):
        torch.zeros(4).fill_(torch.ones(4))


# Division of integers

DIVISIONS = {
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "div floor": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "div trunc": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_division_of_integers_by_zero_is_refused(name: str) -> None:
    divide = DIVISIONS[name]
    a = torch.tensor([5, 6])
    for other in (0, torch.tensor([1, 0]), torch.tensor(0)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            divide(a, other)
    assert not np.isfinite(divide(a.double(), 0.0).numpy()).any()
    assert divide(torch.zeros(0, dtype=torch.int64), torch.tensor([3])).shape == (0,)


@pytest.mark.parametrize("name", [*DIVISIONS, "**"])
def test_bools_are_no_numbers_to_divide(name: str) -> None:
    divide = DIVISIONS.get(name, lambda a, b: a**b)
    with pytest.raises(NotImplementedError, match="bool"):
        divide(torch.tensor([True]), torch.tensor([True]))
    assert divide(torch.tensor([True]), 1).dtype == torch.int64


def test_truncated_division_of_large_integers_is_exact() -> None:
    a, b = [2**60 + 1, -(2**60) - 1, 7, -7, -8, 8], [3, 3, -2, 2, 2, -3]
    expected = [abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1) for x, y in zip(a, b, strict=True)]
    assert torch.div(torch.tensor(a), torch.tensor(b), rounding_mode="trunc").tolist() == expected


# Dimensions and dtypes that nothing names


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "var", "std", "norm"])
def test_an_empty_list_of_dimensions_means_all(name: str) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    y, expected = getattr(x, name)(dim=[]), getattr(x, name)()
    assert y.shape == () and y.item() == expected.item()
    assert torch.equal(torch.autograd.grad(y, x)[0], torch.autograd.grad(expected, x)[0])


def test_where_of_two_numbers_has_the_default_dtype() -> None:
    mask = torch.tensor([True, False])
    assert torch.where(mask, 1.0, 0.0).dtype == torch.where(mask, 1, 0.5).dtype == torch.float32
    assert torch.where(mask, 1, 0).dtype == torch.int64
    assert torch.where(mask, True, False).dtype == torch.bool


# Integers made of what requires a gradient

CONVERSIONS = {
    "long": lambda x: x.long(),
    "int": lambda x: x.int(),
    "byte": lambda x: x.byte(),
    "bool": lambda x: x.bool(),
    "to": lambda x: x.to(torch.int64),
    "type_as": lambda x: x.type_as(torch.zeros(1, dtype=torch.int32)),
}


@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("computed", [False, True])
def test_integers_have_no_history(name: str, computed: bool) -> None:
    x = torch.tensor([0.5, 2.5], requires_grad=True)
    y = CONVERSIONS[name](x * 1 if computed else x)
    assert not y.requires_grad and y.is_leaf
    assert y.numpy().tolist() == [0, 2] if name != "bool" else [True, True]


def test_indices_may_be_computed_from_what_requires_a_gradient() -> None:
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    picked = x.gather(0, x.long()) * F.one_hot(x.long(), 2).sum(1) + F.embedding(x.long(), torch.ones(2, 1))[:, 0]
    picked.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_integers_can_be_overwritten_with_what_requires_a_gradient() -> None:
    loss, counts = torch.tensor(2.7, requires_grad=True), torch.zeros(3, dtype=torch.int64)
    counts[0] = loss
    counts[1:].copy_((loss * 2).expand(2))
    assert counts.tolist() == [2, 5, 5] and not counts.requires_grad


def test_binary_targets_of_another_floating_dtype_are_promoted() -> None:
    logits, target = torch.tensor([0.5, -1.0], requires_grad=True), np.array([1.0, 0.25])
    loss = F.binary_cross_entropy_with_logits(logits, torch.tensor(target))
    loss.backward()
    x = logits.detach().numpy().astype(float)
    assert loss.dtype == torch.float64 and logits.grad.dtype == torch.float32
    np.testing.assert_allclose(loss.item(), (np.log1p(np.exp(x)) - x * target).mean())
    np.testing.assert_allclose(logits.grad.numpy(), (1 / (1 + np.exp(-x)) - target) / 2, rtol=1e-6)


def test_hooks_keep_the_dtype() -> None:
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    x.register_hook(lambda g: g.float())
    with pytest.raises(RuntimeError, match=r"must not change the dtype, here from float64 to float32"):
        x.sum().backward()


def test_running_sums_of_float32_are_made_in_float64() -> None:
    x = np.random.default_rng(0).random(200_000).astype(np.float32)
    np.testing.assert_allclose(torch.tensor(x).cumsum(0).numpy(), x.astype(np.float64).cumsum(), rtol=1e-7)


def test_limits_of_dtypes_are_python_numbers() -> None:
    for dtype, theirs in ((torch.float16, np.float16), (torch.float32, np.float32), (torch.float64, np.float64)):
        limits = torch.finfo(dtype)
        assert {type(getattr(limits, name)) for name in ("eps", "max", "min", "tiny")} == {float}
        assert (limits.max, limits.eps, limits.bits) == (
            np.finfo(theirs).max,
            np.finfo(theirs).eps,
            np.finfo(theirs).bits,
        )
    assert torch.finfo().max == torch.finfo(torch.float32).max
    assert torch.iinfo(torch.uint8).max == 255
    with pytest.raises(TypeError, match="iinfo"):
        torch.finfo(torch.int64)
    for dtype in (torch.float32, torch.bool):
        with pytest.raises(TypeError, match="finfo"):
            torch.iinfo(dtype)


# Random numbers


def test_randint_takes_its_arguments_by_name_and_checks_them() -> None:
    assert set(torch.randint(high=2, size=(99,)).tolist()) == {0, 1}
    assert torch.randint(0, 256, (9,), dtype=torch.uint8).dtype == torch.uint8
    with pytest.raises(RuntimeError, match="299 cannot be converted to uint8"):
        torch.randint(0, 300, (2,), dtype=torch.uint8)
    with pytest.raises(TypeError, match="float"):
        torch.randint(0, 2.5, (2,))
    with pytest.raises(TypeError, match="size"):
        torch.randint(5)


def test_normal_has_the_dtype_of_its_tensors() -> None:
    mean = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert torch.normal(mean, 1.0).dtype == torch.normal(0.0, mean).dtype == torch.float64
    assert torch.equal(torch.normal(mean, 0.0), mean)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        torch.normal(mean, torch.ones(3))


@pytest.mark.parametrize("empty", [[], ()])
def test_all_and_any_over_no_dimensions_reduce_nothing(empty: object) -> None:
    x = torch.tensor([[True, False]])
    for reduction in (torch.all, torch.any):
        assert reduction(x, dim=empty).tolist() == [[True, False]]
        assert reduction(torch.tensor([2.0, 0.0]), dim=empty).tolist() == [True, False]
