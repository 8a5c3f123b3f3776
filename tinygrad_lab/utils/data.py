"""The loader that cuts a dataset into batches, and the other names of `torch.utils.data`.

A `TensorDataset` (also a `Subset` of one, so what `random_split` returns) is batched by indexing its arrays once a
batch: no Python loop over rows. There are no worker processes. This file knows tensors, datasets and samplers, no
model, file format or particular data.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence, Sized
from typing import Any

import numpy as np

from tinygrad_lab.creation import as_tensor, tensor
from tinygrad_lab.ops.declare import registry
from tinygrad_lab.random import Generator
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.utils.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from tinygrad_lab.utils.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "random_split",
]


def default_collate(batch: Sequence[Any]) -> Any:
    """Turn a list of samples into one batch, as PyTorch does.

    Tensors and arrays are stacked along a new dimension 0; Python floats become float64, integers int64, bools bool;
    strings stay as they are; mappings, tuples and lists are collated member by member (a tuple gives a list).

    Raises:
        RuntimeError: shapes, or the lengths of sequences, differ between samples.
        TypeError: a sample holds something else (None, say): pass your own `collate_fn`.

    >>> default_collate([{"x": 1.5, "name": "a"}, {"x": 2.5, "name": "b"}])["x"].tolist()
    [1.5, 2.5]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, np.ndarray):
        return _stack([as_tensor(array) for array in batch])
    if isinstance(first, (str, bytes)):  # before NumPy's scalars: np.str_ is both
        return batch
    if isinstance(first, np.generic):
        return as_tensor(np.asarray(batch))
    if isinstance(first, float):
        if any(value is None for value in batch):  # NumPy would make NaN of it
            raise TypeError(f"default_collate: must be a number in every sample, found None among {batch[:4]!r:.80}")
        return wrap(np.array(batch, dtype=np.float64))
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, Mapping):
        return _mapping_like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        lengths = sorted({len(sample) for sample in batch})
        if len(lengths) > 1:
            raise RuntimeError(f"each element in list of batch should be of equal size, but sizes are {lengths}")
        members = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*members) if hasattr(first, "_fields") else members
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}. "
        "Pass a collate_fn to DataLoader for other samples"
    )


def default_convert(sample: Any) -> Any:
    """Turn the NumPy arrays and scalars in one sample into tensors; used where `batch_size=None` turns batching off.

    Arrays of strings and objects stay as they are. A tuple gives a list, as in PyTorch.

    >>> default_convert((np.ones(2, np.float32), "label"))
    [tensor([1., 1.]), 'label']
    """
    if isinstance(sample, (np.ndarray, np.generic)):
        return sample if sample.dtype.kind in "SUO" else as_tensor(np.asarray(sample))
    if isinstance(sample, Mapping):
        return _mapping_like(sample, {key: default_convert(value) for key, value in sample.items()})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(default_convert(value) for value in sample))
    if isinstance(sample, (tuple, list)):
        return [default_convert(value) for value in sample]
    return sample


def _mapping_like(sample: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """`values` in a mapping of the class of `sample`, or in a dict where that cannot be made."""
    if type(sample) is dict:
        return values
    try:
        if not isinstance(sample, MutableMapping):
            return type(sample)(values)  # type: ignore[call-arg]
        made = copy.copy(sample)  # keeps what else it has, a default_factory say
        made.update(values)
        return made
    except TypeError:
        return values


class DataLoader:
    """Iterate over a dataset in batches.

    Args:
        dataset: anything with `__getitem__` and `__len__`; `__getitems__(indices)`, if there is one, gives
            a list of samples at once.
        batch_size: samples a batch; None turns batching off, each sample then comes alone through `default_convert`.
        shuffle: visit in a new random order at each iteration.
        sampler: an iterable of indices, instead of `shuffle`.
        batch_sampler: an iterable of lists of indices, instead of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        num_workers, timeout, multiprocessing_context, prefetch_factor, persistent_workers, in_order: of worker
            processes. There are none: batches are loaded in this process, in order, and are the same.
        collate_fn: makes a batch of a list of samples; `default_collate` unless given.
        pin_memory, pin_memory_device: of no effect, as in PyTorch where there is no GPU.
        drop_last: leave out a last batch that would be shorter.
        generator: source of the shuffling; the global one (`manual_seed`) by default.
        worker_init_fn: only None, where `num_workers` is not 0: there is no worker to call it in.

    With the default collation, batches of a `TensorDataset` come from one array index each. They are copies, which
    programs may change in place.

    Raises:
        ValueError: `batch_size` is not a positive integer, options exclude each other (those of workers need some), a
            negative `num_workers` or `timeout`, or `shuffle=True` with an empty dataset.
        NotImplementedError: `worker_init_fn`.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> len(loader), [batch.tolist() for batch in loader]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        for name, value in {"num_workers": num_workers, "timeout": timeout}.items():
            if value < 0:
                raise ValueError(f"{name} option should be non-negative, but got {name}={value}")
        of_workers = {
            "prefetch_factor": prefetch_factor,
            "persistent_workers": persistent_workers,
            "multiprocessing_context": multiprocessing_context,
        }
        for name, value in of_workers.items():
            if value and num_workers == 0:
                raise ValueError(f"{name}={value!r} option needs num_workers > 0")
        if worker_init_fn is not None and num_workers > 0:
            raise NotImplementedError(
                "worker_init_fn is called in worker processes, and there are none here: leave it out, and seed with "
                "torch.manual_seed or generator="
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.drop_last = drop_last
        self.generator = generator

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            for index in self.sampler:
                yield self.collate_fn(self.dataset[index])
            return
        fetch = getattr(self.dataset, "__getitems__", None)  # PyTorch's protocol for many samples at once
        source = _rows_of(self.dataset) if self.collate_fn is default_collate and fetch is None else None
        if source is None:
            for batch in self.batch_sampler:
                yield self.collate_fn(fetch(batch) if fetch else [self.dataset[index] for index in batch])
            return
        tensors, positions = source
        for rows in self._batches_of_rows():
            where = rows if positions is None else positions[rows]
            yield [_take(value, where) for value in tensors]

    def __len__(self) -> int:
        """Number of batches (of samples, where `batch_size=None`)."""
        counted = self.sampler if self.batch_sampler is None else self.batch_sampler
        if not isinstance(counted, Sized):
            raise TypeError(f"the length of {type(counted).__name__} is not known: it does not define __len__")
        return len(counted)

    def _batches_of_rows(self) -> Iterator[slice | np.ndarray]:
        """The batches of the batch sampler as slices or index arrays, without a Python list of indices if possible."""
        sampler = self.sampler
        order: np.ndarray | None = None
        if self.batch_size is not None and type(sampler) is RandomSampler:
            order = sampler.order()
            total = len(order)
        elif self.batch_size is not None and type(sampler) is SequentialSampler and sampler.data_source is self.dataset:
            total = len(sampler)
        else:
            for batch in self.batch_sampler or ():
                yield np.array([int(index) for index in batch], dtype=np.int64)
            return
        stop = total - total % self.batch_size if self.drop_last else total
        for start in range(0, stop, self.batch_size):
            rows = slice(start, min(start + self.batch_size, stop))
            yield rows if order is None else order[rows]


def _stack(values: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape along a new dimension 0; the op `stack` is asked only where it has more to do than copy."""
    for place, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise TypeError(f"default_collate: sample 0 is a tensor, but sample {place} is {type(value).__name__}")
    shapes = list(dict.fromkeys(value.shape for value in values))
    if len(shapes) > 1:
        raise RuntimeError(f"stack expects each tensor to be equal size, but the batch has shapes {shapes}")
    if any(value.requires_grad or value.dtype != values[0].dtype for value in values):
        return registry["stack"].function(list(values), 0)
    return wrap(np.stack([value.array for value in values]))


def _rows_of(dataset: Any) -> tuple[tuple[Tensor, ...], np.ndarray | None] | None:
    """The tensors whose rows `dataset` serves and the position of each of its samples in them (None: all, in order).

    None where samples must be fetched one by one: `dataset` is neither a TensorDataset nor a Subset of one, or a
    subclass has its own `__getitem__`.
    """
    getitem = getattr(type(dataset), "__getitem__", None)
    if isinstance(dataset, TensorDataset) and getitem is TensorDataset.__getitem__:
        return dataset.tensors, None
    if isinstance(dataset, Subset) and getitem is Subset.__getitem__:
        inner = _rows_of(dataset.dataset)
        if inner is not None:
            indices = np.asarray(dataset.indices, dtype=np.int64)
            return inner[0], indices if inner[1] is None else inner[1][indices]
    return None


def _take(value: Tensor, rows: slice | np.ndarray) -> Tensor:
    """A copy of rows of a tensor: recorded if it requires a gradient."""
    if value.requires_grad:
        return value[rows].clone() if isinstance(rows, slice) else value[rows]
    return wrap(np.array(value.array[rows]) if isinstance(rows, slice) else value.array[rows])
