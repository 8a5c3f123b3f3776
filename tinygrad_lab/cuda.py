"""PyTorch's `torch.cuda`, for programs that ask whether there is a GPU: there is none here."""

from __future__ import annotations

from tinygrad_lab.absent import absent

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all"]


def is_available() -> bool:
    """False: tinygrad_lab computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Does nothing: no generator lives on a GPU."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Does nothing: there is no memory of a GPU."""


def __getattr__(name: str) -> object:  # only reached when there is no such name
    error = absent(__name__, name, __all__)
    raise AttributeError(f"{error} (there is no GPU: torch.cuda.is_available() is False here)")
