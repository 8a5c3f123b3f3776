"""PyTorch's `torch.backends`, for programs that set flags of accelerators, or ask for one: there is none here.

>>> cudnn.deterministic, mps.is_available()
(True, False)
"""

from __future__ import annotations

from types import SimpleNamespace

__all__ = ["cudnn", "mps"]

cudnn = SimpleNamespace(enabled=False, benchmark=False, deterministic=True, is_available=lambda: False)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
