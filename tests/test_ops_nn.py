"""einsum, losses, normalization, dropout, convolution and pooling: what the tests over all samples cannot see.

References: loops written from the definition, np.einsum, closed forms, and PyTorch where it is installed.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygrad_lab as lab
from tinygrad_lab.nn import functional as F

RNG = np.random.default_rng(0)


def leaf(array):
    return lab.from_numpy(np.array(array)).requires_grad_()


def with_torch(ours, theirs, arrays, tolerance=1e-10):
    """Value, gradients, and the gradient of a gradient's square agree with PyTorch's, in float64."""
    torch = pytest.importorskip("torch")
    found = []
    for library, function in ((lab, ours), (torch, theirs)):
        leaves = [library.from_numpy(np.array(array)).requires_grad_() for array in arrays]
        y = function(*leaves)
        first = library.autograd.grad((y * y).sum() + y.sum(), leaves, create_graph=True)
        second = library.autograd.grad(sum((g * g).sum() for g in first), leaves, allow_unused=True)
        found.append([y.detach(), *(g.detach() for g in first), *(g for g in second)])
    for a, b in zip(*found, strict=True):
        a = np.zeros(b.shape) if a is None else a.numpy()
        b = np.zeros(a.shape) if b is None else b.numpy()
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# einsum


@st.composite
def einsum_calls(draw):
    letters = "abcd"
    sizes = {letter: draw(st.integers(0, 3)) for letter in letters}
    parts = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(parts)))
    output = draw(st.permutations(used)) if used else []
    output = "".join(output[: draw(st.integers(0, len(output)))])
    return ",".join(parts) + draw(st.sampled_from(["->" + output, ""])), [
        tuple(sizes[c] for c in part) for part in parts
    ]


@settings(max_examples=150, deadline=None)
@given(einsum_calls(), st.integers(0, 2**32 - 1))
def test_einsum_equals_numpy(call, seed):
    equation, shapes = call
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    leaves = [leaf(array) for array in arrays]
    y = lab.einsum(equation, *leaves)
    np.testing.assert_allclose(y.detach().numpy(), np.einsum(equation, *arrays), rtol=1e-12, atol=1e-12)
    # Multilinear: by Euler's theorem <dy, x_k> is sum(y) for each operand that occurs once.
    y.sum().backward()
    for x in leaves:
        np.testing.assert_allclose((x.grad * x).sum().item(), y.sum().item(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...i,i->...", [(2, 3, 4), (4,)]),
        ("i...,i...", [(3, 2), (3, 2)]),
        ("...ij,...jk", [(2, 1, 3, 4), (5, 4, 2)]),
        ("a...->...", [(3, 2, 2)]),
        ("...,...->...", [(2, 3), (3,)]),
        ("ij,ij->j", [(3, 4), (1, 4)]),
        (" i j , j k -> i k ", [(2, 3), (3, 2)]),
        ("...ii->...i", [(2, 3, 3)]),
        ("...ij->ji", [(2, 3, 4)]),
        ("iij,jk,k->i", [(3, 3, 2), (2, 4), (4,)]),
    ],
)
def test_einsum_equals_torch(equation, shapes):
    torch = pytest.importorskip("torch")
    arrays = [RNG.standard_normal(shape) for shape in shapes]
    with_torch(lambda *x: lab.einsum(equation, *x), lambda *x: torch.einsum(equation, *x), arrays)
    as_list = lab.einsum(equation, [lab.from_numpy(array) for array in arrays])
    np.testing.assert_array_equal(as_list.numpy(), lab.einsum(equation, *map(lab.from_numpy, arrays)).numpy())


# Convolution and pooling


def naive_conv2d(x, w, b, stride, padding, dilation, groups):
    """The definition, one output number at a time; sizes are pairs, padding is ((top, bottom), (left, right))."""
    (n, channels, *_), (o, _, kh, kw) = x.shape, w.shape
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    height = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, o, height, width))
    for i, j, p, q in itertools.product(range(n), range(o), range(height), range(width)):
        group = j // (o // groups)
        per_group = channels // groups
        total = b[j]
        for c, u, v in itertools.product(range(per_group), range(kh), range(kw)):
            total += (
                w[j, c, u, v]
                * x[i, group * per_group + c, p * stride[0] + u * dilation[0], q * stride[1] + v * dilation[1]]
            )
        y[i, j, p, q] = total
    return y


PAIRS = st.tuples(st.integers(1, 2), st.integers(1, 2))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.tuples(st.integers(1, 3), st.integers(1, 3)), PAIRS,
       st.tuples(st.integers(0, 2), st.integers(0, 2)), PAIRS, st.sampled_from([1, 2]))  # fmt: skip
def test_conv2d_is_its_definition(image, kernel, stride, padding, dilation, groups):
    assume(all(s + 2 * p >= d * (k - 1) + 1 for s, p, d, k in zip(image, padding, dilation, kernel, strict=True)))
    x, w, b = (
        RNG.standard_normal((2, 2, *image)),
        RNG.standard_normal((4, 2 // groups, *kernel)),
        RNG.standard_normal(4),
    )
    expected = naive_conv2d(x, w, b, stride, [(p, p) for p in padding], dilation, groups)
    found = F.conv2d(*map(lab.from_numpy, (x, w, b)), stride, padding, dilation, groups)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_conv2d_same_padding_of_an_even_kernel():
    x, w, b = RNG.standard_normal((1, 2, 4, 5)), RNG.standard_normal((3, 2, 2, 4)), np.zeros(3)
    expected = naive_conv2d(x, w, b, (1, 1), ((0, 1), (1, 2)), (1, 1), 1)
    np.testing.assert_allclose(
        F.conv2d(lab.from_numpy(x), lab.from_numpy(w), padding="same").numpy(), expected, rtol=1e-12
    )


def test_conv2d_in_several_chunks(monkeypatch):
    """Images are unfolded a few at a time; the last, smaller chunk uses part of the buffer."""
    from tinygrad_lab.ops import conv

    x, w, b = (RNG.standard_normal(shape) for shape in ((5, 2, 4, 4), (3, 2, 3, 3), (3,)))

    def run():
        leaves = [leaf(array) for array in (x, w, b)]
        y = F.conv2d(*leaves, padding=1)
        (y * y).sum().backward()
        return [y.detach().numpy(), *(each.grad.numpy() for each in leaves)]

    whole = run()
    monkeypatch.setattr(conv, "samples_at_once", lambda *_: 2)
    for a, c in zip(run(), whole, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], {"stride": (2, 1), "padding": (1, 0)}),
        ("conv2d", [(2, 4, 6, 5), (4, 2, 3, 2), (4,)], {"padding": "same", "dilation": 2, "groups": 2}),
        ("conv2d", [(4, 6, 5), (4, 1, 3, 3)], {"groups": 4, "stride": 2}),
        ("conv1d", [(2, 3, 8), (4, 3, 3), (4,)], {"stride": 2, "padding": 1, "dilation": 2}),
        ("conv1d", [(3, 8), (4, 3, 4)], {"padding": "same"}),
        ("avg_pool2d", [(2, 3, 6, 7)], {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("avg_pool2d", [(2, 3, 6, 7)], {"kernel_size": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True}),
        ("avg_pool2d", [(3, 6, 7)], {"kernel_size": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
        ("avg_pool2d", [(3, 6, 7)], {"kernel_size": 2, "divisor_override": 3}),
        ("avg_pool1d", [(3, 7)], {"kernel_size": 3, "padding": 1, "ceil_mode": True}),
        ("max_pool2d", [(2, 3, 6, 7)], {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("max_pool2d", [(2, 3, 7, 7)], {"kernel_size": 2, "ceil_mode": True}),
        ("max_pool2d", [(3, 7, 7)], {"kernel_size": (2, 3), "stride": 1, "dilation": (2, 1), "padding": (1, 0)}),
        ("max_pool1d", [(2, 3, 7)], {"kernel_size": 3, "stride": 2}),
        ("adaptive_avg_pool2d", [(2, 3, 7, 5)], {"output_size": (3, 4)}),
        ("adaptive_avg_pool2d", [(3, 7, 5)], {"output_size": 1}),
        ("adaptive_avg_pool2d", [(3, 4, 4)], {"output_size": (None, 2)}),
        ("adaptive_avg_pool1d", [(2, 3, 7)], {"output_size": 3}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_conv_and_pooling_equal_torch(name, shapes, options):
    functional = pytest.importorskip("torch.nn.functional")
    ours, theirs = getattr(F, name), getattr(functional, name)
    with_torch(
        lambda *x: ours(*x, **options), lambda *x: theirs(*x, **options), [RNG.standard_normal(s) for s in shapes]
    )


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    PAIRS,
    st.booleans(),
)
def test_pooling_is_its_definition(image, kernel, stride, ceil_mode):
    """Values on a coarse grid, so that ties abound: the first of them gets the gradient."""
    assume(all(s >= k for s, k in zip(image, kernel, strict=True)))
    x = RNG.integers(0, 3, (2, 2, *image)).astype("float64")
    counts = [
        -(-(s - k) // t) + 1 if ceil_mode else (s - k) // t + 1 for s, k, t in zip(image, kernel, stride, strict=True)
    ]
    counts = [c - 1 if (c - 1) * t >= s else c for c, t, s in zip(counts, stride, image, strict=True)]
    largest, average, gradient = np.zeros((2, 2, *counts)), np.zeros((2, 2, *counts)), np.zeros(x.shape)
    for n, c, p, q in np.ndindex(largest.shape):
        rows, columns = slice(p * stride[0], p * stride[0] + kernel[0]), slice(q * stride[1], q * stride[1] + kernel[1])
        window = x[n, c, rows, columns]
        largest[n, c, p, q], average[n, c, p, q] = window.max(), window.mean()
        gradient[n, c, rows, columns][np.unravel_index(window.argmax(), window.shape)] += 1
    a = leaf(x)
    y = F.max_pool2d(a, kernel, stride, ceil_mode=ceil_mode)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), largest)
    np.testing.assert_array_equal(a.grad.numpy(), gradient)
    np.testing.assert_allclose(
        F.avg_pool2d(lab.from_numpy(x), kernel, stride, ceil_mode=ceil_mode).numpy(), average, rtol=1e-12
    )


def test_max_pool_of_minus_infinity_and_nan():
    x = lab.tensor([[[-np.inf, -np.inf, np.nan, 1.0]]])
    np.testing.assert_array_equal(F.max_pool1d(x, 2).numpy(), [[[-np.inf, np.nan]]])


# Batch norm's statistics


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 2, 5)])
def test_running_statistics(shape):
    """running <- 0.7 running + 0.3 (mean, unbiased variance), in place; evaluation then normalizes by them."""
    mean, var = lab.zeros(3, dtype=lab.float64), lab.ones(3, dtype=lab.float64)
    expected_mean, expected_var = np.zeros(3), np.ones(3)
    memory = mean.data_ptr(), var.data_ptr()
    for _ in range(3):
        x = RNG.standard_normal(shape) * 3 + 2
        rows = np.moveaxis(x, 1, -1).reshape(-1, 3)
        y = F.batch_norm(lab.from_numpy(x), mean, var, training=True, momentum=0.3)
        expected_mean = 0.7 * expected_mean + 0.3 * rows.mean(0)
        expected_var = 0.7 * expected_var + 0.3 * rows.var(0, ddof=1)
        out = np.moveaxis(y.numpy(), 1, -1).reshape(-1, 3)
        np.testing.assert_allclose(out, (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5), rtol=1e-10, atol=1e-12)
    assert (mean.data_ptr(), var.data_ptr()) == memory
    np.testing.assert_allclose(mean.numpy(), expected_mean, rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), expected_var, rtol=1e-12)
    y = F.batch_norm(lab.from_numpy(x), mean, var)
    normalized = (rows - expected_mean) / np.sqrt(expected_var + 1e-5)
    np.testing.assert_allclose(np.moveaxis(y.numpy(), 1, -1).reshape(-1, 3), normalized, rtol=1e-10)
    np.testing.assert_allclose(mean.numpy(), expected_mean, rtol=1e-12)


def test_two_batches_before_one_backward():
    """The second forward moves the running statistics; the first one's gradient does not depend on them."""
    mean, var = lab.zeros(2), lab.ones(2)
    x, z = leaf(RNG.standard_normal((4, 2)).astype("float32")), leaf(RNG.standard_normal((4, 2)).astype("float32"))
    (
        (F.batch_norm(x, mean, var, training=True) ** 3).sum() + (F.batch_norm(z, mean, var, training=True) ** 3).sum()
    ).backward()
    assert np.abs(x.grad.numpy()).max() > 0 and np.abs(z.grad.numpy()).max() > 0


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 4, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_equals_torch(shape, training):
    torch = pytest.importorskip("torch")
    arrays = [RNG.standard_normal(shape) * 2 + 1, RNG.standard_normal(3), RNG.standard_normal(3)]
    kept = []

    def call(library, functional):
        def run(x, weight, bias):
            mean, var = library.zeros(3, dtype=library.float64), library.full((3,), 2.0, dtype=library.float64)
            y = functional.batch_norm(x, mean, var, weight, bias, training, 0.3, 1e-3)
            kept.append((mean.numpy(), var.numpy()))
            return y

        return run

    with_torch(call(lab, F), call(torch, torch.nn.functional), arrays, 1e-8)
    for a, b in zip(*kept, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_layer_norm_equals_torch():
    torch = pytest.importorskip("torch")
    arrays = [RNG.standard_normal((2, 3, 4)) * 2 + 1, RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))]
    theirs = torch.nn.functional.layer_norm
    with_torch(lambda x, w, b: F.layer_norm(x, (3, 4), w, b), lambda x, w, b: theirs(x, (3, 4), w, b), arrays, 1e-8)


def test_normalize_has_unit_length_and_no_nan_at_zero():
    x = leaf([[3.0, 4.0], [0.0, 0.0]])
    y = F.normalize(x)
    np.testing.assert_allclose(y.detach().numpy(), [[0.6, 0.8], [0.0, 0.0]])
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


# Dropout


def test_dropout_drops_the_right_share_and_keeps_the_mean():
    lab.manual_seed(0)
    n, p = 100_000, 0.3
    y = F.dropout(lab.ones(n), p).numpy()
    dropped = (y == 0).mean()
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_is_repeatable_and_its_gradient_has_the_same_mask():
    x = leaf(np.ones(1000))
    lab.manual_seed(3)
    y = F.dropout(x, 0.5)
    lab.manual_seed(3)
    np.testing.assert_array_equal(y.detach().numpy(), F.dropout(x, 0.5).detach().numpy())
    assert (F.dropout(x, 0.5) != y).any()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    state = lab.get_rng_state()
    own = [F.dropout(x, 0.5, generator=lab.Generator().manual_seed(5)).detach().numpy() for _ in range(2)]
    np.testing.assert_array_equal(*own)
    np.testing.assert_array_equal(lab.get_rng_state().numpy(), state.numpy())


def test_dropout_options():
    x = lab.ones(50)
    np.testing.assert_array_equal(F.dropout(x, 1.0).numpy(), np.zeros(50))
    assert F.dropout(x, 0.5, training=False) is x and F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, inplace=True) is x and (x == 0).any()
    assert F.dropout(lab.ones(3, dtype=lab.float64)).dtype is lab.float64


# Losses

REDUCTIONS = ["mean", "sum", "none"]
LOSSES = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    *(("smooth_l1_loss", {"beta": beta}) for beta in (0, 0.3, 1.0, 5.0)),
    *(("huber_loss", {"delta": delta}) for delta in (0.3, 1.0, 5.0)),
    ("binary_cross_entropy_with_logits", {}),
    ("kl_div", {"log_target": True}),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options"), LOSSES)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_losses_equal_torch(name, options, reduction):
    functional = pytest.importorskip("torch.nn.functional")
    ours, theirs, arrays = getattr(F, name), getattr(functional, name), RNG.standard_normal((2, 3, 4))
    with_torch(
        lambda a, t: ours(a, t, reduction=reduction, **options),
        lambda a, t: theirs(a, t, reduction=reduction, **options),
        arrays,
    )


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_losses_of_probabilities_equal_torch(reduction):
    functional = pytest.importorskip("torch.nn.functional")
    p, t = RNG.uniform(0.05, 0.95, (2, 3, 4))
    t[0, 0] = 0.0
    found = F.kl_div(lab.from_numpy(np.log(p)), lab.from_numpy(t), reduction=reduction)
    torch = pytest.importorskip("torch")
    expected = functional.kl_div(torch.from_numpy(np.log(p)), torch.from_numpy(t), reduction=reduction)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    if reduction != "batchmean":
        weight = RNG.uniform(0.5, 2, (3, 1))
        with_torch(
            lambda p: F.binary_cross_entropy(p, lab.from_numpy(t), lab.from_numpy(weight), reduction=reduction),
            lambda p: functional.binary_cross_entropy(
                p, torch.from_numpy(t), torch.from_numpy(weight), reduction=reduction
            ),
            [p],
        )


@pytest.mark.parametrize(("weighted", "positive"), list(itertools.product([False, True], repeat=2)))
def test_logit_weights_equal_torch(weighted, positive):
    torch = pytest.importorskip("torch")
    weight, pos_weight = RNG.uniform(0.5, 2, (3, 1)), RNG.uniform(0.5, 2, 4)

    def call(library, functional):
        def run(a, t):
            given = {"weight": library.from_numpy(weight)} if weighted else {}
            if positive:
                given["pos_weight"] = library.from_numpy(pos_weight)
            return functional.binary_cross_entropy_with_logits(a, t, **given)

        return run

    with_torch(call(lab, F), call(torch, torch.nn.functional), [RNG.standard_normal((3, 4)), RNG.uniform(0, 1, (3, 4))])


@pytest.mark.parametrize("dtype", [lab.uint8, lab.int32, lab.int64], ids=str)
@pytest.mark.parametrize("ignored", [-100, -1, 1, 5, 255])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_ignored_positions_do_not_count_whatever_their_label(loss, ignored, dtype):
    """5 classes, 300 positions: the label may be none of the classes, and the dtype too narrow to count positions."""
    if ignored < 0 and dtype is lab.uint8:
        pytest.skip("uint8 has no negative labels")
    generator = np.random.default_rng(3)
    scores = np.log(generator.random((300, 5)) + 0.1)
    labels = np.where(np.arange(300) % 7 == 0, ignored, generator.integers(5, size=300))
    kept = labels != ignored
    for weight in (None, lab.tensor(generator.random(5))):
        x = lab.tensor(scores, requires_grad=True)
        value = loss(x, lab.tensor(labels, dtype=dtype), weight, ignore_index=ignored)
        (slope,) = lab.autograd.grad(value, x, create_graph=True)
        own = lab.tensor(scores[kept], requires_grad=True)
        expected = loss(own, lab.tensor(labels[kept]), weight)
        (own_slope,) = lab.autograd.grad(expected, own, create_graph=True)
        np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-13)
        np.testing.assert_allclose(slope.numpy(force=True)[kept], own_slope.numpy(force=True), rtol=1e-12, atol=1e-18)
        assert not slope.numpy(force=True)[~kept].any()
        if loss is F.cross_entropy:
            (second,) = lab.autograd.grad((slope**2).sum(), x)
            (own_second,) = lab.autograd.grad((own_slope**2).sum(), own)
            np.testing.assert_allclose(second.numpy()[kept], own_second.numpy(), rtol=1e-9, atol=1e-18)
            assert not second.numpy()[~kept].any()


def test_losses_at_their_edges_equal_torch():
    """Certain misses, logits of +-1000, zero vectors."""
    torch = pytest.importorskip("torch")
    results = []
    for library, functional in ((lab, F), (torch, torch.nn.functional)):
        p = library.tensor([0.0, 1.0, 0.0, 1.0]).requires_grad_()
        t = library.tensor([0.0, 1.0, 1.0, 0.0])
        loss = functional.binary_cross_entropy(p, t, reduction="none")
        (slope,) = library.autograd.grad(loss.sum(), p)
        z = library.tensor([-1000.0, 1000.0, 1000.0, -1000.0]).requires_grad_()
        stable = functional.binary_cross_entropy_with_logits(z, t, reduction="none")
        (first,) = library.autograd.grad(stable.sum(), z, create_graph=True)
        (second,) = library.autograd.grad((first * library.ones(4)).sum(), z)
        a = library.zeros(2, 3).requires_grad_()
        cosine = functional.cosine_similarity(a, library.ones(2, 3))
        (turn,) = library.autograd.grad(cosine.sum(), a)
        results.append([x.detach().numpy() for x in (loss, slope, stable, first, second, cosine, turn)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_different_shapes_warn_and_broadcast(name):
    column, row = lab.tensor([[1.0], [2.0]]), lab.tensor([1.0, 2.0])
    with pytest.warns(UserWarning, match=r"target size \(2,\).*input size \(2, 1\).*squeeze") as caught:
        loss = getattr(F, name)(column, row, reduction="none")
    assert loss.shape == (2, 2)
    if "smooth" not in name:
        assert caught[0].filename == __file__  # the caller's line, not ours


def test_cosine_similarity_equals_torch():
    functional = pytest.importorskip("torch.nn.functional")
    arrays = [RNG.standard_normal((2, 3, 4)), RNG.standard_normal((3, 1))]
    for dim in (0, 1, -1):
        with_torch(
            lambda a, b, dim=dim: F.cosine_similarity(a, b, dim),
            lambda a, b, dim=dim: functional.cosine_similarity(a, b, dim),
            arrays,
        )


# Errors: PyTorch's class, and what is at fault by shape or value

X, SQUARE, IMAGE, KERNEL = lab.ones(3, 4), lab.ones(3, 3), lab.ones(2, 3, 5, 5), lab.ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: lab.mm(X, X), RuntimeError, r"3x4 and 3x4"),
        (lambda: lab.mm(X, lab.ones(4)), RuntimeError, r"mm: .*\(3, 4\) and \(4,\)"),
        (lambda: lab.bmm(lab.ones(2, 3, 4), lab.ones(3, 4, 2)), RuntimeError, r"bmm: .*\(2, 3, 4\) and \(3, 4, 2\)"),
        (lambda: lab.mv(X, lab.ones(3)), RuntimeError, r"mv: .*\(3, 4\) and \(3,\)"),
        (lambda: lab.dot(lab.ones(3), lab.ones(4)), RuntimeError, r"dot: .*\(3,\) and \(4,\)"),
        (lambda: lab.outer(X, X), RuntimeError, r"outer: .*\(3, 4\)"),
        (lambda: lab.addmm(lab.ones(5), X, X.T), RuntimeError, r"addmm: .*\(3, 3\), got \(5,\)"),
        (lambda: lab.tensordot(X, X, 1), RuntimeError, r"tensordot: .*\(3, 4\).*\(3, 4\)"),
        (lambda: lab.einsum("ij,jk", X), RuntimeError, r"2 operands, but 1"),
        (lambda: lab.einsum("ijk->i", X), RuntimeError, r"'ijk' name 3 dimensions.*\(3, 4\)"),
        (lambda: lab.einsum("ij,jk->ik", X, X), RuntimeError, r"'j'.*size 3.*\(3, 4\).*4 in an earlier"),
        (lambda: lab.einsum("ii", X), RuntimeError, r"'i'"),
        (lambda: lab.einsum("ij->iz", X), RuntimeError, r"must occur in an operand"),
        (lambda: lab.einsum("i1->i", X), RuntimeError, r"letters"),
        (lambda: lab.einsum(X, X), TypeError, r"equation"),
        (lambda: lab.einsum("ij,jk", X, X.T.double()), RuntimeError, r"float32.*float64"),
        (lambda: F.mse_loss(X, X, reduction="avg"), ValueError, r"'avg' is not a valid value"),
        (lambda: F.mse_loss(X.long(), X.long()), NotImplementedError, r"mse_loss: .*int64.*float"),
        (lambda: F.huber_loss(X, X, delta=0), RuntimeError, r"delta, got 0"),
        (lambda: F.smooth_l1_loss(X, X, beta=-1), RuntimeError, r"beta, got -1"),
        (lambda: F.binary_cross_entropy(X, lab.ones(4)), ValueError, r"\(4,\).*\(3, 4\)"),
        (lambda: F.binary_cross_entropy(X + 1, X), RuntimeError, r"input should be between 0 and 1.*with_logits"),
        (lambda: F.binary_cross_entropy(X, X * -1), RuntimeError, r"target should be between 0 and 1, got -1"),
        (lambda: F.binary_cross_entropy(X, X.long()), RuntimeError, r"float32 and int64.*float"),
        (lambda: F.binary_cross_entropy_with_logits(X, lab.ones(3)), ValueError, r"\(3,\).*\(3, 4\)"),
        (lambda: F.binary_cross_entropy_with_logits(X, X, pos_weight=lab.ones(3)), RuntimeError, r"\(3,\).*\(3, 4\)"),
        (lambda: F.kl_div(X, X, reduction="avg"), ValueError, r"'avg'"),
        (lambda: F.kl_div(X, 3), TypeError, r"kl_div: input and target must be Tensors, got int"),
        (lambda: F.cosine_similarity(X, SQUARE), RuntimeError, r"\(3, 4\) and \(3, 3\)"),
        (lambda: F.cosine_similarity(lab.ones(3), lab.ones(3)), IndexError, r"Dimension out of range"),
        (lambda: F.layer_norm(X, (3,)), RuntimeError, r"\[3\].*\(\*, 3\).*\(3, 4\)"),
        (lambda: F.layer_norm(X, (4,), lab.ones(3)), RuntimeError, r"weight .*\(3,\)"),
        (lambda: F.layer_norm(X, ()), RuntimeError, r"at least 1-dimensional"),
        (lambda: F.batch_norm(lab.ones(1, 3), None, None, training=True), ValueError, r"more than 1 value .*\[1, 3\]"),
        (lambda: F.batch_norm(X, None, None), RuntimeError, r"running_mean and running_var"),
        (lambda: F.batch_norm(X, lab.ones(3), lab.ones(3)), RuntimeError, r"running_mean should contain 4 .*\(3,\)"),
        (lambda: F.dropout(X, 1.5), ValueError, r"between 0 and 1, but got 1.5"),
        (lambda: F.conv2d(lab.ones(2, 4, 5, 5), KERNEL), RuntimeError, r"to have 3 channels, but got 4"),
        (lambda: F.conv2d(lab.ones(5, 5), KERNEL), RuntimeError, r"3D .*4D .*\(5, 5\)"),
        (lambda: F.conv2d(IMAGE, KERNEL, lab.ones(3)), RuntimeError, r"4 elements, but got bias of size \(3,\)"),
        (lambda: F.conv2d(lab.ones(2, 3, 2, 2), KERNEL), RuntimeError, r"\(3, 3\).*\(2, 2\).*too small"),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=2, padding="same"), RuntimeError, r"strided"),
        (lambda: F.conv2d(IMAGE, KERNEL, padding="full"), RuntimeError, r"'full'.*'same'"),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=0), RuntimeError, r"stride must be at least 1"),
        (lambda: F.conv2d(IMAGE, KERNEL.double()), RuntimeError, r"float32.*float64"),
        (lambda: F.conv2d(IMAGE, KERNEL, groups=3), RuntimeError, r"groups=3"),
        (lambda: F.conv1d(IMAGE, KERNEL), RuntimeError, r"conv1d: expected 2D .*3D"),
        (lambda: F.max_pool2d(IMAGE, 6), RuntimeError, r"max_pool2d: .*\(6, 6\).*\(5, 5\)"),
        (lambda: F.max_pool2d(IMAGE, 2, padding=2), RuntimeError, r"at most half"),
        (lambda: F.max_pool2d(X, 2), RuntimeError, r"3D .*4D .*\(3, 4\)"),
        (lambda: F.max_pool2d(IMAGE, 2, return_indices=True), NotImplementedError, r"return_indices"),
        (lambda: F.max_pool2d(IMAGE, (2, 2, 2)), (RuntimeError, TypeError), r"kernel_size.*\(2, 2, 2\)"),
        (lambda: F.avg_pool2d(X, 2), RuntimeError, r"\(3, 4\)"),
        (lambda: F.adaptive_avg_pool2d(X, 2), RuntimeError, r"\(3, 4\)"),
    ],
)  # fmt: skip
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("options", [{"ceil_mode": True}, {"padding": 1, "count_include_pad": False}])
def test_the_average_of_integers_is_that_of_equal_floats(options: dict[str, object]) -> None:
    x = lab.arange(25).reshape(1, 1, 5, 5)
    assert F.avg_pool2d(x, 2, **options).tolist() == F.avg_pool2d(x.float(), 2, **options).tolist()
