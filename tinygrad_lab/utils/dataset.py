"""Datasets: rows of tensors, subsets, concatenations and random splits, with PyTorch's names and semantics.

A dataset is anything with `__getitem__` and `__len__`; what is here combines such things. It knows nothing of batches,
loaders, files or any particular data.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from tinygrad_lab.random import Generator, source
from tinygrad_lab.tensor import Tensor


class Dataset:
    """Base class: subclasses define `__getitem__(index)` and `__len__()`. `a + b` is `ConcatDataset([a, b])`."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__, which returns one sample")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__, the number of samples")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, item: Any) -> Any:
        return cls  # Dataset[int], as annotated programs write


class TensorDataset(Dataset):
    """Samples are rows of tensors: item i is `(tensors[0][i], tensors[1][i], ...)`.

    Args:
        tensors: any dtypes and shapes with the same size N in dimension 0.

    Raises:
        AssertionError: the sizes in dimension 0 differ (the class that PyTorch raises).
        TypeError: an argument is not a Tensor.  IndexError: no tensor, or a 0-d one.

    >>> from tinygrad_lab.creation import tensor
    >>> data = TensorDataset(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([0, 1]))
    >>> len(data), data[1][0].tolist(), data[1][1].item()
    (2, [3.0, 4.0], 1)
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise IndexError("TensorDataset needs at least one tensor")
        for position, value in enumerate(tensors):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"TensorDataset: argument {position} is a {type(value).__name__}, not a Tensor; "
                    "wrap an array with from_numpy or as_tensor"
                )
            if not value.shape:
                raise IndexError(f"TensorDataset: argument {position} is 0-d, so it has no rows")
        if any(value.shape[0] != tensors[0].shape[0] for value in tensors):
            shapes = ", ".join(str(tuple(value.shape)) for value in tensors)
            raise AssertionError(f"Size mismatch between tensors: dimension 0 must be the same in {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(value[index] for value in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order.

    >>> Subset("abcd", [3, 0])[0]
    'd'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """One dataset after the other; an index counts through all of them, a negative one from the end.

    Raises:
        AssertionError: there is no dataset (the class that PyTorch raises).
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ValueError(f"absolute value of index {index} should not exceed dataset length {len(self)}")
            index += len(self)
        if index >= len(self):
            raise IndexError(f"index {index} is out of range for a dataset of {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """Cut a dataset into disjoint random subsets that cover it.

    Args:
        lengths: sizes that sum to `len(dataset)`, or fractions that sum to 1 (each rounded down, what remains is given
            out one by one from the first subset on).
        generator: source of the permutation; the global one by default.

    Raises:
        ValueError: the sizes do not sum to the length, or one is negative.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    size = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1, but {fraction}")
        counts = [math.floor(size * fraction) for fraction in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
        for i, count in enumerate(counts):
            if count == 0:
                warnings.warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2
                )
    else:
        counts = []
        for i, length in enumerate(lengths):
            if length != int(length) or length < 0:
                raise ValueError(
                    f"lengths[{i}] is {length}; give sizes that sum to {size} or fractions that sum to 1, none below 0"
                )
            counts.append(int(length))
        if sum(counts) != size:
            raise ValueError(
                "Sum of input lengths does not equal the length of the input dataset: "
                f"{' + '.join(map(str, counts)) or '0'} = {sum(counts)}, not {size}"
            )
    order = source(generator).permutation(size).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)]
