"""Patches of images (unfold, fold), and the rows of an embedding that max_norm shortens, against PyTorch."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as lab

SIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    SIDES,
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    SIDES,
    st.booleans(),
)
def test_unfold_and_fold_are_pytorchs(image, kernel, dilation, padding, stride, batched):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(*(2,) * batched, 3, *image))
    outcomes = []
    for library in (lab, torch):
        F = importlib.import_module(f"{library.__name__}.nn.functional")
        x = library.tensor(values, requires_grad=True)
        try:
            columns = F.unfold(x, kernel, dilation, padding, stride)
            back = F.fold(columns * columns, image, kernel, dilation, padding, stride)
            back.square().sum().backward()
            outcomes.append([columns.detach().numpy(), back.detach().numpy(), x.grad.numpy()])
        except RuntimeError:
            outcomes.append(None)
    ours, theirs = outcomes
    assert (ours is None) == (theirs is None)
    for one, other in zip(ours or (), theirs or (), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, strict=True)


def test_fold_is_the_adjoint_of_unfold():
    F = lab.nn.functional
    x, c = lab.randn(2, 3, 6, 5, dtype=lab.float64), lab.randn(2, 27, 12, dtype=lab.float64)
    options = {"kernel_size": 3, "padding": 1, "stride": (2, 1), "dilation": (1, 2)}
    left, right = (F.unfold(x, **options) * c[:, :, :9]).sum(), (x * F.fold(c[:, :, :9], (6, 5), **options)).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-12)


def test_convolution_is_a_product_with_patches():
    F = lab.nn.functional
    x, w = lab.randn(2, 3, 6, 5), lab.randn(4, 3, 3, 2)
    product = (w.flatten(1) @ F.unfold(x, (3, 2), padding=1, stride=2)).unflatten(2, (3, 3))
    np.testing.assert_allclose(product.numpy(), F.conv2d(x, w, padding=1, stride=2).numpy(), rtol=1e-4, atol=1e-5)


MISUSES = {
    "a matrix": lambda t, F: F.unfold(t.ones(4, 4)[0], 2),
    "no window": lambda t, F: F.unfold(t.ones(1, 3, 3), 4),
    "stride 0": lambda t, F: F.unfold(t.ones(1, 3, 3), 2, stride=0),
    "negative padding": lambda t, F: F.unfold(t.ones(1, 3, 3), 2, padding=-1),
    "a fraction": lambda t, F: F.unfold(t.ones(1, 3, 3), 2.5),
    "rows of fold": lambda t, F: F.fold(t.ones(5, 4), (3, 3), 2),
    "columns of fold": lambda t, F: F.fold(t.ones(4, 5), (3, 3), 2),
    "a vector to fold": lambda t, F: F.fold(t.ones(4), (3, 3), 2),
    "max_norm of integers": lambda t, F: F.embedding(t.tensor([1]), t.ones(3, 2).long(), max_norm=1.0),
    "index out of range": lambda t, F: F.embedding(t.tensor([7]), t.ones(3, 2), max_norm=1.0),
}


@pytest.mark.parametrize("label", MISUSES)
def test_misuse_raises_pytorchs_error_class(label):
    torch = pytest.importorskip("torch")
    classes = []
    for library in (lab, torch):
        with pytest.raises(Exception) as raised:
            MISUSES[label](library, importlib.import_module(f"{library.__name__}.nn.functional"))
        classes.append(raised.value)
    assert isinstance(classes[0], type(classes[1])) or (label == "a matrix" and type(classes[0]) is RuntimeError)


def test_the_layers():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    outcomes = []
    for library in (lab, torch):
        unfold = library.nn.Unfold((2, 3), padding=1, stride=2)
        fold = library.nn.Fold((5, 6), (2, 3), padding=1, stride=2)
        outcomes.append((repr(unfold), repr(fold), fold(unfold(library.tensor(x))).tolist()))
    assert outcomes[0] == outcomes[1]


# Rows that are used are shortened


@pytest.mark.parametrize("norm_type", [2.0, 1, float("inf"), 0.5, 0])
@pytest.mark.parametrize("max_norm", [4.0, 0.5, 0.0, 100.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_norm_is_pytorchs(norm_type, max_norm, dtype):
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (lab, torch):
        kind = getattr(library, dtype)
        weight = library.arange(15.0, dtype=kind).reshape(5, 3).requires_grad_()
        index, g = library.tensor([[1, 3], [1, 4]]), library.arange(12.0, dtype=kind).reshape(2, 2, 3)
        y = library.nn.functional.embedding(index, weight, 4, max_norm, norm_type)
        (y * y * g).sum().backward()
        outcomes.append([y.detach().numpy(), weight.detach().numpy(), weight.grad.numpy()])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5 if dtype == "float32" else 1e-12, strict=True)


def test_a_value_saved_before_the_rows_were_shortened_is_missed():
    weight = lab.ones(3, 2, requires_grad=True)
    squared = weight * weight
    y = lab.nn.functional.embedding(lab.tensor([0]), weight, max_norm=1.0)
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        (squared.sum() + y.sum()).backward()


def test_embedding_layer_with_max_norm():
    torch = pytest.importorskip("torch")
    for library in (lab, torch):
        table = library.nn.Embedding(4, 3, 0, 1.0, 1.0)
        assert repr(table) == "Embedding(4, 3, padding_idx=0, max_norm=1.0, norm_type=1.0)"
        with library.no_grad():
            table.weight.fill_(2.0)
        table(library.tensor([1, 2]))
        np.testing.assert_allclose(table.weight.detach().abs().sum(dim=1).numpy(), [6, 1, 1, 6], rtol=1e-6)
        made = library.nn.Embedding.from_pretrained(library.ones(2, 3), max_norm=0.5)
        assert made(library.tensor([1])).norm().item() == pytest.approx(0.5, rel=1e-5)
