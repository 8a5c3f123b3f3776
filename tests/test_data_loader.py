"""Datasets, samplers and the loader: PyTorch's semantics, compared with PyTorch itself where it is installed."""

import itertools
import warnings
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinygrad_lab.random import Generator, manual_seed
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)


def rows(count: int) -> TensorDataset:
    """Row i holds 10 * i and 10 * i + 1, label i."""
    features = np.arange(count, dtype=np.float32)[:, None] * 10 + np.array([0, 1], np.float32)
    return TensorDataset(wrap(features), wrap(np.arange(count)))


def labels(loader: DataLoader) -> list:
    return [batch[1].tolist() for batch in loader]


def order(loader: DataLoader) -> list:
    return list(itertools.chain.from_iterable(labels(loader)))


class OneByOne(Dataset):
    """The same samples as a TensorDataset, but not recognisable as one: the loader must fetch them singly."""

    def __init__(self, data):
        self.inner = data

    def __getitem__(self, index):
        return self.inner[index]

    def __len__(self):
        return len(self.inner)


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.booleans(), st.integers(0, 5))
def test_array_batches_equal_row_by_row_batches(count, batch_size, shuffle, drop_last, seed):
    data = rows(count)
    keep = np.random.default_rng(seed).permutation(count)[: count // 2 + 1].tolist()
    for dataset in (data, Subset(data, keep), Subset(Subset(data, keep), list(range(len(keep)))[::-1])):
        options = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last}
        fast = DataLoader(dataset, **options, generator=Generator().manual_seed(seed))
        slow = DataLoader(OneByOne(dataset), **options, generator=Generator().manual_seed(seed))
        batches = list(fast)
        assert len(fast) == len(slow) == len(batches)
        for one, other in zip(batches, slow, strict=True):
            assert type(one) is type(other) is list
            for a, b in zip(one, other, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a.numpy(), b.numpy())


@given(st.integers(1, 30), st.integers(1, 12), st.booleans())
@settings(deadline=None)  # the first example imports PyTorch
def test_lengths_and_sequential_batches_are_pytorchs(count, batch_size, drop_last):
    torch = pytest.importorskip("torch")
    theirs_data = torch.utils.data.TensorDataset(torch.arange(count) * 10, torch.arange(count))
    theirs = torch.utils.data.DataLoader(theirs_data, batch_size, drop_last=drop_last)
    ours = DataLoader(rows(count), batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert labels(ours) == labels(theirs)


def test_shuffling_visits_each_row_once_and_anew_each_time():
    loader = DataLoader(rows(50), batch_size=7, shuffle=True, generator=Generator().manual_seed(1))
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second != list(range(50))
    again = DataLoader(rows(50), batch_size=7, shuffle=True, generator=Generator().manual_seed(1))
    assert order(again) == first
    assert order(again) == second


def test_shuffling_follows_the_global_seed_and_a_restored_state():
    loader = DataLoader(rows(20), batch_size=20, shuffle=True)
    manual_seed(3)
    first = labels(loader)
    labels(loader)
    manual_seed(3)
    assert labels(loader) == first

    generator = Generator().manual_seed(4)
    loader = DataLoader(rows(20), shuffle=True, generator=generator)
    labels(loader)
    state = generator.get_state()
    second = labels(loader)
    generator.set_state(state)
    assert labels(loader) == second


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [4, 6])
def test_a_batch_changed_in_place_leaves_the_data_as_they_were(shuffle, size):
    data = rows(6)
    before = data.tensors[0].array.copy()
    for _ in range(2):
        for batch in DataLoader(data, batch_size=size, shuffle=shuffle):
            batch[0].fill_(7)
    np.testing.assert_array_equal(data.tensors[0].array, before)


def test_rows_that_require_a_gradient_pass_it_on():
    table = wrap(np.ones((4, 2), np.float32)).requires_grad_()
    for shuffle in (False, True):
        table.grad = None
        for (batch,) in DataLoader(TensorDataset(table), batch_size=3, shuffle=shuffle):
            batch.sum().backward()
        np.testing.assert_array_equal(table.grad.numpy(), np.ones((4, 2)))


def test_a_subclass_with_its_own_getitem_is_asked_for_each_row():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(value * 2 for value in super().__getitem__(index))

    assert labels(DataLoader(Doubled(*rows(3).tensors), batch_size=3)) == [[0, 2, 4]]
    assert labels(DataLoader(Subset(Doubled(*rows(3).tensors), [2, 0]), batch_size=2)) == [[4, 0]]


def test_samplers_of_ones_own():
    assert labels(DataLoader(rows(6), batch_size=2, sampler=[5, 0, 3])) == [[5, 0], [3]]
    assert labels(DataLoader(rows(6), batch_sampler=[[1], [2, 4, -1]])) == [[1], [2, 4, 5]]
    assert labels(DataLoader(rows(6), 4, sampler=SequentialSampler(range(5)))) == [[0, 1, 2, 3], [4]]
    with pytest.raises(IndexError):
        list(DataLoader(rows(6), 4, sampler=SequentialSampler(range(7))))
    drawn = labels(DataLoader(rows(6), 4, sampler=RandomSampler(range(6), replacement=True, num_samples=9)))
    assert [len(batch) for batch in drawn] == [4, 4, 1]


def test_batch_size_none_gives_single_samples():
    samples = list(DataLoader(rows(3), batch_size=None))
    assert len(samples) == 3
    assert samples[2][0].tolist() == [20.0, 21.0]
    converted = list(DataLoader([(np.ones(2, np.float32), "a")], batch_size=None))
    assert isinstance(converted[0][0], Tensor)
    assert converted[0][1] == "a"


def test_collate_fn_gets_the_samples():
    loader = DataLoader(rows(5), batch_size=2, collate_fn=lambda samples: [int(label) for _, label in samples])
    assert list(loader) == [[0, 1], [2, 3], [4]]


def test_default_collate_matches_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.data import default_collate as theirs

    Point = namedtuple("Point", "x y")
    batches = [
        [1.5, 2.5],
        [1, 2],
        [True, False],
        ["a", "b"],
        [np.float32(1), np.float32(2)],
        [np.ones((2, 3)), np.zeros((2, 3))],
        [(1, 2.0), (3, 4.0)],
        [[1, 2], [3, 4]],
        [{"a": 1, "b": (2.0, "x")}, {"a": 3, "b": (4.0, "y")}],
        [Point(1, 2), Point(3, 4)],
    ]

    def same(a, b):
        if isinstance(b, torch.Tensor):
            assert a.dtype.name == str(b.dtype).removeprefix("torch.")
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        elif isinstance(b, dict):
            assert list(a) == list(b)
            for key in b:
                same(a[key], b[key])
        elif isinstance(b, (list, tuple)):
            assert type(a) is type(b)
            for x, y in zip(a, b, strict=True):
                same(x, y)
        else:
            assert a == b

    for batch in batches:
        same(default_collate(batch), theirs(batch))


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        ([None, None], TypeError, "collate_fn"),
        ([[1, 2], [3]], RuntimeError, r"equal size, but sizes are \[1, 2\]"),
        ([wrap(np.ones(2)), wrap(np.ones(3))], RuntimeError, "equal size"),
    ],
)
def test_default_collate_refuses(batch, error, text):
    with pytest.raises(error, match=text):
        default_collate(batch)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": -3}, ValueError, "batch_size=-3"),
        ({"batch_size": 2.5}, ValueError, "batch_size=2.5"),
        ({"batch_size": True}, ValueError, "batch_size=True"),
        ({"num_workers": 2, "worker_init_fn": print}, NotImplementedError, "worker_init_fn is called in worker"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor=2 option needs num_workers > 0"),
        ({"persistent_workers": True}, ValueError, "persistent_workers=True option needs num_workers > 0"),
        ({"multiprocessing_context": "spawn"}, ValueError, "multiprocessing_context='spawn' option needs"),
        ({"timeout": -1}, ValueError, "timeout=-1"),
        ({"num_workers": -1}, ValueError, "num_workers=-1"),
        ({"sampler": [0], "shuffle": True}, ValueError, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler option is mutually exclusive"),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, ValueError, "mutually exclusive with drop_last"),
        ({"drop_last": 1}, ValueError, "drop_last=1"),
    ],
)
def test_loader_refuses_what_pytorch_refuses(options, error, text):
    with pytest.raises(error, match=text):
        DataLoader(rows(4), **options)
    torch = pytest.importorskip("torch")
    if error is ValueError:
        with pytest.raises(ValueError):
            torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4)), **options)


def test_empty_data():
    empty = TensorDataset(wrap(np.ones((0, 2), np.float32)), wrap(np.ones(0, np.int64)))
    assert len(DataLoader(empty)) == 0
    assert list(DataLoader(empty, batch_size=3)) == []
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader(empty, shuffle=True)


def test_length_unknown():
    loader = DataLoader(rows(4), sampler=iter([1, 2]))
    with pytest.raises(TypeError, match="__len__"):
        len(loader)


@pytest.mark.parametrize(
    ("tensors", "error", "text"),
    [
        ((), IndexError, "at least one"),
        ((np.ones(3),), TypeError, "argument 0 is a ndarray.*from_numpy"),
        ((wrap(np.ones(3)), wrap(np.array(1.0))), IndexError, "argument 1 is 0-d"),
        ((wrap(np.ones((3, 2))), wrap(np.ones(4))), AssertionError, r"\(3, 2\), \(4,\)"),
    ],
)
def test_tensor_dataset_refuses(tensors, error, text):
    with pytest.raises(error, match=text):
        TensorDataset(*tensors)


def test_concatenation():
    both = rows(3) + rows(2)
    assert isinstance(both, ConcatDataset)
    assert len(both) == 5
    assert [both[i][1].item() for i in (0, 2, 3, 4, -1, -5)] == [0, 2, 0, 1, 1, 0]
    assert labels(DataLoader(both, batch_size=4)) == [[0, 1, 2, 0], [1]]
    with pytest.raises(ValueError, match="-6"):
        both[-6]
    with pytest.raises(IndexError, match="5"):
        both[5]
    with pytest.raises(AssertionError, match="empty"):
        ConcatDataset([])
    with pytest.raises(NotImplementedError, match="Bare must define __getitem__"):
        type("Bare", (Dataset,), {})()[0]


def test_concatenation_of_empty_and_full():
    empty = TensorDataset(wrap(np.ones(0)))
    assert ConcatDataset([empty, rows(2), empty, rows(1)])[2][1].item() == 0


@given(st.integers(0, 40), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 3))
@settings(deadline=None)  # the first example imports PyTorch
def test_random_split_partitions(size, weights, seed):
    torch = pytest.importorskip("torch")
    if sum(weights) == 0:
        weights = [1]
    fractions = [weight / sum(weights) for weight in weights]
    assume(sum(fractions) <= 1)  # above it, by rounding, PyTorch takes them for sizes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that are empty
        parts = random_split(range(size), fractions, Generator().manual_seed(seed))
        theirs = torch.utils.data.random_split(range(size), fractions)
        again = random_split(range(size), [len(part) for part in parts], Generator().manual_seed(seed))
    assert [len(part) for part in parts] == [len(part) for part in theirs]
    assert sorted(index for part in parts for index in part.indices) == list(range(size))
    assert [part.indices for part in again] == [part.indices for part in parts]


def test_random_split_is_seeded_by_default():
    manual_seed(0)
    first = [part.indices for part in random_split(range(20), [12, 8])]
    manual_seed(0)
    assert [part.indices for part in random_split(range(20), [12, 8])] == first


@pytest.mark.parametrize(
    ("lengths", "text"),
    [([3, 4], "3 [+] 4 = 7, not 10"), ([12, -2], r"lengths\[1\] is -2"), ([0.5, 0.4], r"0\.5"), ([1.5, -0.5], "1.5")],
)
def test_random_split_refuses(lengths, text):
    with pytest.raises(ValueError, match=text):
        random_split(range(10), lengths)


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="index 1 is 0"):
        random_split(range(2), [0.99, 0.01])


def test_random_sampler():
    sampler = RandomSampler(range(4), num_samples=10, generator=Generator().manual_seed(0))
    drawn = list(sampler)
    assert len(sampler) == len(drawn) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=300, generator=Generator().manual_seed(0)))
    assert set(drawn) == {0, 1, 2}
    assert all(type(index) is int for index in drawn)
    with pytest.raises(ValueError, match="num_samples=0"):
        RandomSampler(range(3), num_samples=0)
    with pytest.raises(TypeError, match="replacement=1"):
        RandomSampler(range(3), replacement=1)


def test_weighted_sampler():
    sampler = WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=Generator().manual_seed(0))
    counts = np.bincount(list(sampler), minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] / 4000 - 0.75) < 0.03  # four standard deviations
    assert sorted(WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([1.0], 0), "num_samples=0"),
        (([1.0], True), "num_samples=True"),
        (([1.0], 1, 1), "replacement=1"),
        (([[1.0]], 1), r"\(1, 1\)"),
        (([-1.0, 2.0], 1), "none below 0"),
        (([0.0], 1), "at least one above 0"),
        (([float("nan")], 1), "finite"),
        (([1.0, 0.0], 2, False), "num_samples=2 without replacement from 1"),
    ],
)
def test_weighted_sampler_refuses(arguments, text):
    with pytest.raises(ValueError, match=text):
        WeightedRandomSampler(*arguments)


@given(st.integers(0, 20), st.integers(1, 7), st.booleans())
@settings(deadline=None)  # the first example imports PyTorch
def test_batch_sampler_is_pytorchs(size, batch_size, drop_last):
    torch = pytest.importorskip("torch")
    ours = BatchSampler(SequentialSampler(range(size)), batch_size, drop_last)
    theirs = torch.utils.data.BatchSampler(range(size), batch_size, drop_last)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)


def test_a_sampler_must_say_its_order():
    with pytest.raises(NotImplementedError, match="__iter__"):
        list(Sampler())


# Samples of other kinds


def test_numpy_strings_are_collated_and_converted_as_strings():
    labels = np.array(["cat", "dog"])
    assert default_collate([labels[0], labels[1]]) == ["cat", "dog"]
    assert default_collate([(1, labels[0]), (2, labels[1])])[1] == ("cat", "dog")
    assert default_convert(labels) is labels and default_convert(labels[0]) == "cat"


def test_a_batch_is_a_mapping_of_the_samples_kind():
    class Features(UserDict):
        def sizes(self):
            return {key: value.shape for key, value in self.items()}

    assert default_collate([Features(x=1.0), Features(x=2.0)]).sizes() == {"x": (2,)}
    ordered = default_collate([OrderedDict(b=1, a=2)] * 2)
    assert type(ordered) is OrderedDict and list(ordered) == ["b", "a"]
    counted = default_collate([defaultdict(list, x=1), defaultdict(list, x=2)])
    assert counted["x"].tolist() == [1, 2] and counted["other"] == []
    assert default_convert(MappingProxyType({"x": np.ones(1)}))["x"].tolist() == [1.0]
    assert type(default_collate([{"x": 1}])) is dict


def test_a_sample_alone_comes_as_a_list_that_can_be_changed():
    (sample,) = DataLoader(TensorDataset(wrap(np.ones((1, 2)))), batch_size=None)
    assert type(sample) is list and sample[0].tolist() == [1.0, 1.0]


def test_getitems_gives_the_samples_of_a_batch_at_once():
    class Table(TensorDataset):
        def __getitems__(self, indices):
            asked.append(list(indices))
            return [self[index] for index in indices]

    asked: list = []
    loader = DataLoader(Table(wrap(np.arange(3))), batch_size=2)
    assert [batch[0].tolist() for batch in loader] == [[0, 1], [2]] and asked == [[0, 1], [2]]


@pytest.mark.parametrize("batch", [[1.0, None], [(1, 0.5), (2, None)], [wrap(np.ones(1)), 1.0], [np.ones(1), None]])
def test_samples_without_a_value_are_no_numbers(batch):
    with pytest.raises(TypeError):
        default_collate(batch)


def test_options_of_workers_change_no_batch():
    def batches(**options):
        return [x.tolist() for x in DataLoader(range(5), 2, True, generator=Generator().manual_seed(1), **options)]

    assert batches(num_workers=2, persistent_workers=True, prefetch_factor=4, pin_memory=True, timeout=9) == batches()


def test_a_subset_is_visited_in_a_new_order_each_time():
    sampler = SubsetRandomSampler([5, 1, 3, 9, 7], Generator().manual_seed(0))
    orders = [list(sampler) for _ in range(20)]
    assert all(sorted(order) == [1, 3, 5, 7, 9] for order in orders) and len(set(map(tuple, orders))) > 10
    assert len(sampler) == 5 and len(DataLoader(range(10), 2, sampler=sampler)) == 3
