"""PyTorch's `torch.cuda`, for programs that ask whether there is a GPU: there is none here."""

from __future__ import annotations

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]


def is_available() -> bool:
    """False: tinygrad_lab computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Does nothing: no generator lives on a GPU."""


manual_seed_all = manual_seed
