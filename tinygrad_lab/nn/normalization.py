"""Layers that act differently in training, or that normalize: Dropout, BatchNorm, LayerNorm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_lab.creation import ones, zeros
from tinygrad_lab.dtypes import int64
from tinygrad_lab.graph import mark_mutated
from tinygrad_lab.nn import functional as F
from tinygrad_lab.nn import init
from tinygrad_lab.nn.module import Module
from tinygrad_lab.nn.parameter import empty_parameter
from tinygrad_lab.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "Dropout", "Dropout2d", "LayerNorm"]


class Dropout(Module):
    """In training, each entry becomes 0 with probability `p` and the others grow by 1 / (1 - p); else the identity.

    Drawn from the global generator. With `inplace` the input is overwritten.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """In training, whole channels of (N, C, H, W) become 0 with probability `p`; else as `Dropout`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout2d.html
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class _BatchNorm(Module):
    """What the batch normalizations share.

    Each channel is normalized over the batch: y = (x - mean) / sqrt(var + eps) * weight + bias.

    In training mean and (biased) variance are the batch's, and the buffers running_mean and running_var move towards
    them by `momentum` (None: they are plain averages); in evaluation the buffers are used. `affine=False`: no weight
    and bias; `track_running_stats=False`: no buffers, always the batch's. ValueError for a wrong number of dimensions.
    """

    dimensions: tuple[int, ...]  # that an input may have
    _may_lack = ("num_batches_tracked",)  # PyTorch's files have it since version 0.4.1

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats

        def parameter(wanted: bool) -> Any:
            return empty_parameter(num_features, dtype=dtype, device=device) if wanted else None

        self.register_parameter("weight", parameter(affine))
        self.register_parameter("bias", parameter(affine and bias))
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype, device=device) if tracked else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype, device=device) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype=int64) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, no statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.dimensions:
            expected = " or ".join(f"{count}D" for count in self.dimensions)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input of shape {input.shape})")
        factor = self.momentum
        updating = self.training and self.track_running_stats
        if updating:
            count = self.num_batches_tracked.array
            count += 1
            mark_mutated(count)
            if factor is None:
                factor = 1.0 / float(count)
        known = not self.training or updating
        return F.batch_norm(
            input,
            self.running_mean if known else None,
            self.running_var if known else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if factor is None else factor,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L): see `_BatchNorm` for what the options do.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html
    """

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W): see `_BatchNorm` for what the options do.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """

    dimensions = (4,)


class LayerNorm(Module):
    """Normalize over the last dimensions, `normalized_shape`: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        several = isinstance(normalized_shape, Iterable)
        self.normalized_shape = tuple(normalized_shape) if several else (normalized_shape,)
        self.eps, self.elementwise_affine = eps, elementwise_affine

        def parameter(wanted: bool) -> Any:
            return empty_parameter(*self.normalized_shape, dtype=dtype, device=device) if wanted else None

        self.register_parameter("weight", parameter(elementwise_affine))
        self.register_parameter("bias", parameter(elementwise_affine and bias))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
