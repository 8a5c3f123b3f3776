"""Shapes, parts and indices: what the samples cannot show. Views share memory and copies do not, errors are PyTorch's,
random indices read and write what PyTorch's do and get as much gradient as they were read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as ours
import tinygrad_lab.nn.functional as F


def libraries():
    torch = pytest.importorskip("torch")
    return (ours, F), (torch, torch.nn.functional)


def matrix(torch, rows=3, columns=4):
    return torch.arange(rows * columns, dtype=torch.float64).reshape(rows, columns)


VIEWS = {
    "view": lambda x: x.view(4, 3),
    "reshape": lambda x: x.reshape(2, 6),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x[None].squeeze(0),
    "squeeze of a transpose": lambda x: x[None].transpose(0, 2).squeeze(),
    "transpose": lambda x: x.transpose(0, 1),
    "t": lambda x: x.t(),
    "permute": lambda x: x.permute(1, 0),
    "movedim": lambda x: x.movedim(0, 1),
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "tensor_split": lambda x: x.tensor_split(2)[0],
    "unbind": lambda x: x.unbind()[2],
    "diagonal": lambda x: x.diagonal(1),
    "slice": lambda x: x[1:, ::2],
    "int": lambda x: x[1],
    "0-d tensor": lambda x: x[ours.tensor(1)] if isinstance(x, ours.Tensor) else x[1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    x = matrix(ours)
    part = VIEWS[name](x)
    assert np.shares_memory(part.numpy(), x.numpy())
    part.fill_(-1.0)
    assert (x == -1).sum() == part.numel()


COPIES = {
    "flip": lambda x: x.flip(0),
    "flip nothing": lambda x: x.flip(()),
    "roll": lambda x: x.roll(1, 0),
    "repeat": lambda x: x.repeat(1, 1),
    "repeat one row": lambda x: x[:1].repeat(3, 1),
    "tile": lambda x: x.tile((1,)),
    "cat": lambda x: ours.cat([x]),
    "stack": lambda x: ours.stack([x]),
    "index_select": lambda x: x.index_select(0, ours.tensor([0, 1])),
    "gather": lambda x: x.gather(0, ours.zeros(1, 4, dtype=ours.int64)),
    "array index": lambda x: x[[0, 1]],
    "masked_select": lambda x: x.masked_select(x > 2),
    "diag": lambda x: x.diag(),
    "tril": lambda x: x.tril(9),
    "pad nothing": lambda x: F.pad(x, (0, 0)),
    "reflect nothing": lambda x: F.pad(x, (0, 0), "reflect"),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "scatter": lambda x: x.scatter(0, ours.zeros(0, 4, dtype=ours.int64), 1.0),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not(name):
    x = matrix(ours)
    assert not np.shares_memory(COPIES[name](x).numpy(), x.numpy())


def test_view_refuses_to_copy():
    x = matrix(ours).t()
    with pytest.raises(RuntimeError, match=r"view: shape \(12,\) .* strides .*reshape"):
        x.view(12)
    assert x.reshape(12).shape == (12,)
    with pytest.raises(RuntimeError, match=r"view: shape \(5, -1\) is invalid for a tensor of shape \(3, 4\)"):
        matrix(ours).view(5, -1)


def test_a_view_of_a_leaf_cannot_be_written():
    x = matrix(ours).requires_grad_()
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x.diagonal().fill_(0.0)


def test_writing_through_a_view_after_it_was_saved_is_found():
    x = matrix(ours).requires_grad_()
    y = x * 1.0
    z = (y * y).sum()
    y.select(0, 1).mul_(2.0)
    with pytest.raises(RuntimeError, match="in-place"):
        z.backward()


# Errors: each call raises the same class in both libraries. t: the library, F: its functional, x: a 3x4 matrix.

MISUSE = {
    "view wrong size": lambda t, F, x: x.view(5),
    "view two -1": lambda t, F, x: x.view(-1, -1),
    "view strides": lambda t, F, x: x.t().view(12),
    "flatten order": lambda t, F, x: t.flatten(x, 1, 0),
    "flatten dim": lambda t, F, x: t.flatten(x, 0, 2),
    "unflatten": lambda t, F, x: t.unflatten(x, 1, (2, 3)),
    "squeeze dim": lambda t, F, x: t.squeeze(x, 5),
    "unsqueeze dim": lambda t, F, x: t.unsqueeze(x, 3),
    "unsqueeze negative dim": lambda t, F, x: t.unsqueeze(x, -4),
    "expand": lambda t, F, x: x.expand(2, 4),
    "broadcast_to": lambda t, F, x: t.broadcast_to(x, (2, 3)),
    "repeat too few": lambda t, F, x: x.repeat(2),
    "repeat negative": lambda t, F, x: x.repeat(2, -1),
    "flip twice": lambda t, F, x: t.flip(x, (0, 0)),
    "flip dim": lambda t, F, x: t.flip(x, (5,)),
    "roll pairs": lambda t, F, x: t.roll(x, (1, 2), 0),
    "roll without dims": lambda t, F, x: t.roll(x, (1, 2)),
    "movedim pairs": lambda t, F, x: t.movedim(x, (0, 1), (0,)),
    "movedim twice": lambda t, F, x: t.movedim(x, (0, 0), (0, 1)),
    "movedim dim": lambda t, F, x: t.movedim(x, 0, 5),
    "narrow end": lambda t, F, x: t.narrow(x, 0, 2, 2),
    "narrow start": lambda t, F, x: t.narrow(x, 0, 5, 1),
    "narrow length": lambda t, F, x: t.narrow(x, 0, 0, -1),
    "narrow 0-d": lambda t, F, x: t.narrow(t.tensor(1.0), 0, 0, 1),
    "select index": lambda t, F, x: t.select(x, 0, 3),
    "select 0-d": lambda t, F, x: t.select(t.tensor(1.0), 0, 0),
    "diagonal same dims": lambda t, F, x: t.diagonal(x, 0, 0, -2),
    "diagonal of a vector": lambda t, F, x: t.diagonal(x[0]),
    "diag of a stack": lambda t, F, x: t.diag(x[None]),
    "diag_embed same dims": lambda t, F, x: t.diag_embed(x, 0, 0, 0),
    "tril of a vector": lambda t, F, x: t.tril(x[0]),
    "trace of a vector": lambda t, F, x: t.trace(x[0]),
    "t of a stack": lambda t, F, x: t.t(x[None]),
    "cat nothing": lambda t, F, x: t.cat([]),
    "cat one tensor": lambda t, F, x: t.cat(x),
    "cat dimensions": lambda t, F, x: t.cat([x, x[0]]),
    "cat sizes": lambda t, F, x: t.cat([x, t.zeros(3, 5)]),
    "cat 0-d": lambda t, F, x: t.cat([t.tensor(1.0)]),
    "cat dim": lambda t, F, x: t.cat([x], 5),
    "stack nothing": lambda t, F, x: t.stack([]),
    "stack shapes": lambda t, F, x: t.stack([x, x[0]]),
    "stack dim": lambda t, F, x: t.stack([x, x], 4),
    "split 0": lambda t, F, x: t.split(x, 0),
    "split negative": lambda t, F, x: t.split(x, -1),
    "split sum": lambda t, F, x: t.split(x, [1, 1]),
    "split 0-d": lambda t, F, x: t.split(t.tensor(1.0), 1),
    "chunk 0": lambda t, F, x: t.chunk(x, 0),
    "tensor_split 0": lambda t, F, x: t.tensor_split(x, 0),
    "unbind 0-d": lambda t, F, x: t.unbind(t.tensor(1.0)),
    "meshgrid of a matrix": lambda t, F, x: t.meshgrid(x, indexing="ij"),
    "meshgrid indexing": lambda t, F, x: t.meshgrid(x[0], indexing="ab"),
    "repeat_interleave size": lambda t, F, x: t.repeat_interleave(x, t.tensor([1, 2]), 0),
    "pad odd": lambda t, F, x: F.pad(x, (1,)),
    "pad too many": lambda t, F, x: F.pad(x, (1, 1, 1, 1, 1, 1)),
    "pad crops all": lambda t, F, x: F.pad(x, (-3, -2)),
    "pad mode": lambda t, F, x: F.pad(x, (1, 1), "bad"),
    "pad reflect too far": lambda t, F, x: F.pad(x, (4, 1), "reflect"),
    "pad circular too far": lambda t, F, x: F.pad(x, (5, 1), "circular"),
    "pad reflect value": lambda t, F, x: F.pad(x, (1, 1), "reflect", 1.0),
    "pad reflect dimensions": lambda t, F, x: F.pad(x, (1, 1, 1, 1), "reflect"),
    "pad circular vector": lambda t, F, x: F.pad(x[0], (1, 1), "circular"),
    "index_select range": lambda t, F, x: t.index_select(x, 0, t.tensor([3])),
    "index_select negative": lambda t, F, x: t.index_select(x, 0, t.tensor([-1])),
    "index_select matrix": lambda t, F, x: t.index_select(x, 0, t.tensor([[1]])),
    "index_select dtype": lambda t, F, x: t.index_select(x, 0, t.tensor([1.0])),
    "gather range": lambda t, F, x: t.gather(x, 0, t.tensor([[3]])),
    "gather negative": lambda t, F, x: t.gather(x, 0, t.tensor([[-1]])),
    "gather dimensions": lambda t, F, x: t.gather(x, 0, t.tensor([1])),
    "gather wide": lambda t, F, x: t.gather(x, 0, t.tensor([[0, 0, 0, 0, 0]])),
    "gather dtype": lambda t, F, x: t.gather(x, 0, t.tensor([[0.0]])),
    "scatter dtype": lambda t, F, x: t.scatter(x, 0, t.tensor([[0, 1]]), t.tensor([[1, 2]])),
    "scatter small src": lambda t, F, x: t.scatter(x, 0, t.tensor([[0, 1]]), x[:1, :1]),
    "scatter neither": lambda t, F, x: t.scatter(x, 0, t.tensor([[0, 1]])),
    "scatter_add range": lambda t, F, x: t.scatter_add(x, 0, t.tensor([[0, 9]]), x[:1, :2]),
    "scatter_add small src": lambda t, F, x: t.scatter_add(x, 0, t.tensor([[0, 1]]), x[:1, :1]),
    "scatter_add dtype": lambda t, F, x: t.scatter_add(x, 0, t.tensor([[0, 1]]), t.ones(1, 2, dtype=t.float32)),
    "index_add range": lambda t, F, x: t.index_add(x, 0, t.tensor([0, 9]), x[:2]),
    "index_add negative": lambda t, F, x: t.index_add(x, 0, t.tensor([0, -1]), x[:2]),
    "index_add count": lambda t, F, x: t.index_add(x, 0, t.tensor([0, 1]), x),
    "index_add shape": lambda t, F, x: t.index_add(x, 0, t.tensor([0, 1]), x[:2, :3]),
    "index_add dtype": lambda t, F, x: t.index_add(x, 0, t.tensor([0, 1]), t.ones(2, 4, dtype=t.float32)),
    "index_fill range": lambda t, F, x: t.index_fill(x, 0, t.tensor([0, 7]), 3),
    "masked_fill vector": lambda t, F, x: t.masked_fill(x, x > 3, t.ones(2)),
    "masked_fill mask": lambda t, F, x: t.masked_fill(x, x, 1.0),
    "masked_select mask": lambda t, F, x: t.masked_select(x, x),
    "masked_select shapes": lambda t, F, x: t.masked_select(x, t.tensor([True, False])),
    "take range": lambda t, F, x: t.take(x, t.tensor([12])),
    "take_along_dim dimensions": lambda t, F, x: t.take_along_dim(x, t.tensor([1]), 0),
    "one_hot large": lambda t, F, x: F.one_hot(t.tensor([0, 2]), 2),
    "one_hot negative": lambda t, F, x: F.one_hot(t.tensor([0, -2]), 2),
    "one_hot dtype": lambda t, F, x: F.one_hot(t.tensor([0, 2], dtype=t.int32), 3),
    "one_hot nothing": lambda t, F, x: F.one_hot(t.zeros(0, dtype=t.int64)),
    "embedding range": lambda t, F, x: F.embedding(t.tensor([0, 3]), x),
    "embedding negative": lambda t, F, x: F.embedding(t.tensor([0, -1]), x),
    "embedding dtype": lambda t, F, x: F.embedding(t.tensor([0.0]), x),
    "embedding vector": lambda t, F, x: F.embedding(t.tensor([0]), x[0]),
    "embedding padding_idx": lambda t, F, x: F.embedding(t.tensor([0]), x, padding_idx=9),
    "where with one branch": lambda t, F, x: t.where(x > 1, x),
    "x[3]": lambda t, F, x: x[3],
    "x[0, -5]": lambda t, F, x: x[0, -5],
    "too many indices": lambda t, F, x: x[0, 0, 0],
    "mask shape": lambda t, F, x: x[t.tensor([True, False])],
    "array out of range": lambda t, F, x: x[t.tensor([0, 3])],
    "float index": lambda t, F, x: x[1.0],
    "float tensor index": lambda t, F, x: x[t.tensor([1.0])],
    "index shapes": lambda t, F, x: x[t.tensor([0, 1]), t.tensor([0, 1, 2])],
    "set out of range": lambda t, F, x: x.__setitem__(3, 0.0),
    "set mixed out of range": lambda t, F, x: x[None].__setitem__((0, 3, [0]), 0.0),
    "masked_fill_ on a leaf": lambda t, F, x: x.clone().requires_grad_().masked_fill_(x > 1, 0.0),
    "scatter_add_ of another shape": lambda t, F, x: x.scatter_add_(0, t.tensor([[9]]), x),
}


def outcome(call, t, functional):
    try:
        call(t, functional, matrix(t))
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_raises_pytorchs_class(name):
    (mine, theirs) = (outcome(MISUSE[name], *library) for library in libraries())
    assert theirs is not None, "PyTorch accepts this"
    assert type(mine) is type(theirs), f"{mine!r}; PyTorch: {theirs!r}"


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_explained(name):
    error = outcome(MISUSE[name], ours, F)
    assert error is not None and len(str(error).split()) >= 6, repr(error)


def test_messages_name_what_is_at_fault():
    x = matrix(ours)
    with pytest.raises(IndexError, match=r"index 3 is out of bounds.*size 3"):
        x[3]
    with pytest.raises(RuntimeError, match=r"gather: index 9 is out of bounds for dimension 1 with size 4"):
        ours.gather(x, 1, ours.tensor([[9]]))
    with pytest.raises(RuntimeError, match=r"cat: Sizes .* \(3, 4\) but got \(3, 5\) for tensor number 1"):
        ours.cat([x, ours.zeros(3, 5)])


# Indexing


@st.composite
def indices(draw, shape, unique=False):
    """A tuple of ints, slices, None, Ellipsis and integer arrays of one common size, for an array of `shape`."""
    count = draw(st.integers(1, 2 if unique else 3))
    parts, dims = [], list(shape)
    stop = draw(st.integers(0, len(dims)))
    for dim in dims[:stop]:
        kind = draw(st.sampled_from(["int", "slice", "array"]))
        if kind == "int":
            parts.append(draw(st.integers(-dim, dim - 1)))
        elif kind == "slice":
            parts.append(slice(draw(st.integers(0, dim)), draw(st.integers(0, dim)), draw(st.integers(1, 2))))
        else:
            entries = st.lists(st.integers(-dim, dim - 1), min_size=count, max_size=count)
            if unique:
                entries = st.permutations(range(dim)).map(lambda order: order[:count])
            parts.append(list(draw(entries)))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if draw(st.booleans()) and stop == len(dims):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    elif draw(st.booleans()):
        parts.append(Ellipsis)
    return tuple(parts)


SHAPE = (2, 3, 4)


@given(indices(SHAPE))
@settings(max_examples=200, deadline=None)
def test_getitem_is_pytorchs_and_its_gradient_counts_reads(index):
    torch = pytest.importorskip("torch")
    values = np.arange(24.0).reshape(SHAPE)
    x = ours.tensor(values, requires_grad=True)
    y = x[index]
    expected = torch.from_numpy(values)[index]
    assert y.shape == tuple(expected.shape)
    np.testing.assert_array_equal(y.detach().numpy(), expected.numpy())
    y.sum().backward()
    reads = np.bincount(expected.numpy().astype(int).ravel(), minlength=24).reshape(SHAPE)
    np.testing.assert_array_equal(x.grad.numpy(), reads)


@given(indices(SHAPE, unique=True), st.booleans())
@settings(max_examples=200, deadline=None)
def test_setitem_is_pytorchs(index, recorded):
    torch = pytest.importorskip("torch")
    results = []
    for library in (ours, torch):
        x = library.zeros(SHAPE, dtype=library.float64)
        shape = tuple(x[index].shape)
        v = (library.arange(int(np.prod(shape)), dtype=library.float64).reshape(shape) + 1).requires_grad_(recorded)
        x[index] = v
        gradient = None
        if recorded:
            (x * library.arange(24, dtype=library.float64).reshape(SHAPE)).sum().backward()
            gradient = v.grad.numpy()
        results.append((x.detach().numpy(), gradient))
    (mine, mine_gradient), (theirs, their_gradient) = results
    np.testing.assert_array_equal(mine, theirs)
    if recorded:
        np.testing.assert_array_equal(mine_gradient, their_gradient)


@given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_mask_reads_what_numpy_reads(bits):
    values, mask = np.arange(6.0).reshape(2, 3), np.array(bits).reshape(2, 3)
    x = ours.tensor(values, requires_grad=True)
    y = x[ours.tensor(mask)]
    np.testing.assert_array_equal(y.detach().numpy(), values[mask])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), mask)


def test_integers_are_applied_before_arrays():
    x = ours.zeros(2, 3, 4)
    assert x[0, :, [0, 1]].shape == (3, 2)  # NumPy gives (2, 3)
    assert x[ours.tensor(0), :, [0, 1]].shape == (3, 2)
    x[0, :, [0, 1]] = ours.arange(6.0).reshape(3, 2)
    assert x[0, 2].tolist() == [4.0, 5.0, 0.0, 0.0]


# Joining and parting


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 1))
@settings(deadline=None)
def test_split_and_cat_round_trip(sizes, dim):
    shape = [2, 2]
    shape[dim] = sum(sizes)
    x = ours.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    parts = ours.split(x, sizes, dim)
    assert [part.shape[dim] for part in parts] == sizes
    y = ours.cat(parts, dim)
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())


@given(st.integers(0, 9), st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None)
def test_parts_are_pytorchs(size, pieces, step):
    (mine, _), (theirs, _) = libraries()
    for cut in (
        lambda t, x: t.chunk(x, pieces),
        lambda t, x: t.split(x, step),
        lambda t, x: t.tensor_split(x, pieces),
        lambda t, x: t.tensor_split(x, (1, step)),
    ):
        ours_, torchs = (cut(t, t.arange(size)) for t in (mine, theirs))
        assert [part.tolist() for part in ours_] == [part.tolist() for part in torchs]


def test_cat_promotes_and_skips_empty_vectors():
    y = ours.cat([ours.tensor([[1, 2]]), ours.tensor([]), ours.tensor([[0.5, 1.5]], dtype=ours.float16)])
    assert y.dtype is ours.float32 and y.tolist() == [[1.0, 2.0], [0.5, 1.5]]
    a, empty = ours.ones(2, 2, requires_grad=True), ours.zeros(0, requires_grad=True)
    ours.cat([empty, a], 1).sum().backward()
    assert empty.grad.shape == (0,) and a.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@given(st.integers(-3, 4), st.integers(-3, 4), st.sampled_from(["constant", "reflect", "replicate", "circular"]))
@settings(deadline=None)
def test_pad_is_pytorchs(left, right, mode):
    results = []
    for t, functional in libraries():
        x = matrix(t, 2, 5).requires_grad_()
        try:
            y = functional.pad(x, (left, right), mode)
        except RuntimeError:
            results.append(None)
            continue
        if not y.numel():
            results.append(None)  # PyTorch's modes disagree on whether nothing may be left
            continue
        (y * y).sum().backward()
        results.append((y.tolist(), x.grad.tolist()))
    # Around less than it adds, PyTorch 2.13's circular mode returns uninitialised memory; ours refuses.
    refused = results[0] is None and mode == "circular" and max(left, right) > 5 + min(left, 0) + min(right, 0)
    assert refused or results[0] == results[1]


# Scattering, masks, tables


def test_scatter_add_reads_a_corner_of_a_larger_source():
    x, src = ours.zeros(3, 4), ours.ones(4, 5, requires_grad=True)
    y = ours.scatter_add(x, 0, ours.tensor([[0, 0], [2, 0]]), src)
    assert y.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    y.sum().backward()
    assert src.grad.sum().item() == 4 and src.grad[:2, :2].sum().item() == 4  # PyTorch cannot differentiate this


INPLACE = {
    "masked_fill_": lambda t, x: x.masked_fill_(x > 5, -1.0),
    "scatter_ value": lambda t, x: x.scatter_(1, t.tensor([[0], [2]]), 9.0),
    "scatter_ src": lambda t, x: x.scatter_(0, t.tensor([[2, 1]]), matrix(t)[:1, :2] * 10),
    "scatter_add_": lambda t, x: x.scatter_add_(0, t.tensor([[2, 1], [2, 1]]), matrix(t)[:2, :2]),
    "index_add_": lambda t, x: x.index_add_(0, t.tensor([0, 0]), matrix(t)[:2], alpha=2),
    "index_fill_": lambda t, x: x.index_fill_(1, t.tensor([0, 3]), 7),
}


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_forms(name):
    results = []
    for t, _ in libraries():
        leaf = matrix(t).requires_grad_()
        x = leaf * 1.0
        assert INPLACE[name](t, x) is x
        (x * x).sum().backward()
        results.append((x.tolist(), leaf.grad.tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("padding_idx", [None, 1, -1])
def test_embedding_gradient_is_pytorchs(padding_idx):
    results = []
    for t, functional in libraries():
        weight = matrix(t, 4, 3).requires_grad_()
        y = functional.embedding(t.tensor([[1, 3, 1], [0, 1, 3]]), weight, padding_idx)
        (y * y).sum().backward()
        results.append((y.tolist(), weight.grad.tolist()))
    assert results[0] == results[1]


def test_many_contributions_to_a_row_are_all_added():
    rng = np.random.default_rng(0)
    index, rows = rng.integers(0, 7, 500), rng.standard_normal((500, 3))
    expected = np.zeros((7, 3))
    np.add.at(expected, index, rows)
    for given_index in (index, index.astype(np.int32)):
        found = ours.index_add(np.zeros((7, 3)), 0, given_index, rows)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    weight = ours.zeros(7, 3, dtype=ours.float64).requires_grad_()
    (F.embedding(ours.tensor(index), weight) * ours.tensor(rows)).sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), expected, atol=1e-12)


def test_where_forms():
    x = ours.tensor([1.0, 5.0, 2.0])
    assert [index.tolist() for index in ours.where(x > 1)] == [[1, 2]]
    assert x.where(x > 1, 0.0).tolist() == [0.0, 5.0, 2.0]
    assert ours.where(x > 1, x, -1.0).tolist() == [-1.0, 5.0, 2.0]


def test_meshgrid_takes_a_list_and_gives_views():
    x = ours.arange(3.0)
    rows, columns = ours.meshgrid([x, ours.arange(2.0)], indexing="ij")
    assert rows.shape == columns.shape == (3, 2) and np.shares_memory(rows.numpy(), x.numpy())


def test_repeat_interleave_takes_a_tensor():
    x = ours.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = ours.repeat_interleave(x, ours.tensor([2, 1]), dim=0)
    assert y.tolist() == [[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_a_list_that_holds_sequences_is_a_tuple_of_indices():
    x = ours.arange(12.0).view(3, 4)
    rows, columns = ours.tensor([0, 1]), ours.tensor([1, 2])
    for index in ([rows, columns], [[0, 1], [1, 2]], [rows.numpy(), columns.numpy()], [range(2), range(1, 3)]):
        assert x[index].tolist() == [1.0, 6.0]
        y = x.clone()
        y[index] = 0
        assert (y == 0).sum() == 3 and y[0, 1] == y[1, 2] == 0
    assert x[[ours.tensor(0), ours.tensor(1)]].item() == 1.0
    assert x[[0, slice(1, 3)]].tolist() == [1.0, 2.0] and x[[0, None]].shape == (1, 4)
    assert x[list(ours.where(x > 9))].tolist() == [10.0, 11.0]
    assert x[[0, 2]].shape == (2, 4) and x[[True, False, True]].shape == (2, 4)  # numbers: rows, and a mask


def test_parts_taken_by_arrays_lie_in_order_in_memory():
    x = ours.arange(12.0).view(3, 4)
    y = x[:, [2, 0]]
    assert y.is_contiguous() and y.view(-1).tolist() == [2, 0, 6, 4, 10, 8]
    y.reshape(-1).add_(100)
    assert y[0, 0] == 102  # reshape was a view, as in PyTorch
