"""Labels and symbols as vectors: one-hot rows, and rows looked up in a table."""

from __future__ import annotations

import numpy as np

from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.ops.arithmetic import where
from tinygrad_lab.ops.declare import op
from tinygrad_lab.ops.gather import add_slices, check_index
from tinygrad_lab.ops.samples import Sample, integers, normal
from tinygrad_lab.ops.shape import reshape

__all__ = ["embedding", "one_hot"]


@op(
    formula=r"y = \mathrm{onehot}(t)",
    arrays="tensor",
    samples=[Sample(integers(5, high=3), 4), Sample(integers(2, 3, high=3), 3), Sample(np.array([0, 2]))],
    faces="functional",
)
def one_hot(tensor, num_classes=-1):
    """Labels as rows of 0 and 1: int64, shape (..., num_classes); -1 takes the largest label plus 1.

    RuntimeError for labels that are negative, too large or not int64.

    >>> F.one_hot(torch.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype != np.int64:
        raise RuntimeError(
            f"one_hot: is only applicable to an index tensor of dtype int64, got {tensor.dtype}: use .long()"
        )
    if num_classes == -1:
        if not tensor.size:
            raise RuntimeError("one_hot: Can not infer total number of classes from empty tensor")
        num_classes = int(tensor.max()) + 1
    if tensor.size and not (tensor.min() >= 0 and tensor.max() < num_classes):
        raise RuntimeError(
            f"one_hot: Class values must be non-negative and smaller than num_classes={num_classes}, got "
            f"{tensor.min()} to {tensor.max()}"
        )
    return (tensor[..., None] == np.arange(num_classes)).astype(np.int64)


def _embedding_rows(g, input, weight_shape, padding_idx):
    if padding_idx is not None:
        g = where((input != padding_idx % weight_shape[0])[..., None], g, 0.0)
    return add_slices(reshape(g, (input.size, weight_shape[1])), 0, input.reshape(-1), weight_shape)


@op(
    {"weight": _embedding_rows},
    formula=r"y_n = W_{t_n}",
    vjp_formula={"weight": r"\bar W_{t_n} \mathrel{+}= \bar y_n"},
    samples=[
        Sample(integers(5, high=4), normal(4, 3)),
        Sample(integers(2, 3, high=4), normal(4, 2)),
        Sample(integers(high=4), normal(4, 2)),
        Sample(np.zeros((0, 2), int), normal(4, 2)),
    ],
    arrays="input",
    faces="functional",
)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0):
    """Rows of a table: weight[input]. Shapes: input (...) of int64 or int32, weight (V, D) -> (..., D).

    padding_idx   a row that gets no gradient (negative: from the end)
    max_norm      rows that are used and longer are first shortened to this norm, in the table itself, unrecorded
    norm_type     p of that norm

    IndexError for an index out of range, RuntimeError for a wrong dtype or a weight that is no matrix.

    >>> F.embedding(torch.tensor([1, 1]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [3., 4.]])
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, got shape {weight.shape}")
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise AssertionError(
            f"embedding: padding_idx must be within num_embeddings: {padding_idx} for a weight of shape {weight.shape}"
        )
    check_index("embedding", input, len(weight), 0, IndexError)
    if max_norm is not None:
        _shorten(weight, np.unique(input), max_norm, norm_type)
    return weight.take(input, 0)


def _shorten(weight, rows, max_norm, norm_type):
    """Scale these rows of `weight`, in place, to at most `max_norm`: the one forward that changes an operand."""
    if weight.dtype.kind != "f":
        raise RuntimeError(f"embedding: max_norm needs a floating weight, got {weight.dtype}")
    norms = np.linalg.norm(weight[rows], norm_type, axis=1)
    rows, norms = rows[norms > max_norm], norms[norms > max_norm]
    if rows.size:
        weight[rows] *= (max_norm / (norms + 1e-7)).astype(weight.dtype)[:, None]
        mark_mutated(weight)
