"""Large products of matrices: however they are cut and laid out in memory, they are the product."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lab as torch
from tinygrad_lab import nn
from tinygrad_lab.memory import CACHE_LINE
from tinygrad_lab.ops.products import LARGE, product

SHAPES = {
    "small": (5, 7, 3),
    "in one piece: few rows": (100, 64, 784),
    "in one piece: deep": (300, 200, 400),
    "in one piece: five times as wide as high": (256, 16, 1300),
    "two pieces, square": (256, 32, 256),
    "two pieces, high": (1024, 16, 520),
    "four pieces": (256, 64, 784),
    "pieces of unequal width": (300, 10, 601),
    "nothing to sum over": (256, 0, 256),
}


def operand(rows: int, columns: int, layout: str, seed: int) -> np.ndarray:
    """Normal float32 numbers, (rows, columns), lying in memory as `layout` says."""
    drawn = np.random.default_rng(seed).standard_normal((2 * rows, 2 * columns)).astype(np.float32)
    if layout == "strided":
        return drawn[::2, ::2]
    return np.array(drawn[:rows, :columns], order=layout)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("layouts", ["CC", "FC", "CF", "FF", "strided C", "C strided"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_the_product_in_float64(shape: tuple[int, int, int], layouts: str) -> None:
    rows, inner, columns = shape
    left, right = layouts.split() if " " in layouts else layouts
    a, b = operand(rows, inner, left, 0), operand(inner, columns, right, 1)
    found = product(a, b)
    # Sums of `inner` products of numbers around 1, each rounded to 2**-24 of itself.
    np.testing.assert_allclose(found, a.astype(np.float64) @ b.astype(np.float64), atol=2**-20 * (inner + 1))
    assert found.dtype == np.float32
    assert found.shape == (rows, columns)
    assert found.flags.c_contiguous


def test_linear_and_matmul_differentiate_twice_through_pieces() -> None:
    generator = np.random.default_rng(2)
    x, w = (torch.tensor(generator.standard_normal(shape), requires_grad=True) for shape in ((20, 300), (256, 300)))
    for y in (nn.functional.linear(x, w), x @ w.T):
        (slope,) = torch.autograd.grad((y**2).sum() / 2, w, create_graph=True)
        assert slope.numel() >= LARGE
        np.testing.assert_allclose(slope.numpy(force=True), y.numpy(force=True).T @ x.numpy(force=True), rtol=1e-12)
        (second,) = torch.autograd.grad(slope.sum(), w)  # d/dw of sum((x w^T)^T x): sums of x^T x, in each row alike
        expected = (x.numpy(force=True).T @ x.numpy(force=True)).sum(0)
        np.testing.assert_allclose(second.numpy(), np.broadcast_to(expected, w.shape), rtol=1e-9, atol=1e-9)


def test_parameters_and_their_gradients_start_at_a_cache_line() -> None:
    layer = nn.Linear(300, 200)
    layer(torch.ones(4, 300)).sum().backward()
    assert layer.weight.grad is not None
    for array in (layer.weight.array, layer.bias.array, layer.weight.grad.array):
        assert array.ctypes.data % CACHE_LINE == 0


def test_aligned_memory_is_no_view() -> None:
    """Autograd tells views, which others may look into too, from memory that one tensor owns."""
    layer = nn.Linear(300, 200)
    y = layer(torch.ones(4, 300))
    y.sum().backward()
    assert layer.weight.grad is not None
    first = layer.weight.grad.array
    layer(torch.ones(4, 300)).sum().backward()
    assert layer.weight.grad.array is first  # taken over as it was made, then added to in place
    saved = layer(torch.ones(4, 300)) @ layer.weight
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        saved.sum().backward()
