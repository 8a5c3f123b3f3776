"""`import tinygrad_lab.nn.functional as F`: every declared op that PyTorch has in `nn.functional`, under that name.

There is no list to keep: what the declarations of the ops say is what is here.
"""

from __future__ import annotations

from typing import Any

from tinygrad_lab import ops  # noqa: F401  (declares every op)
from tinygrad_lab.absent import absent
from tinygrad_lab.ops.declare import registry

globals().update({name: declared.function for name, declared in registry.items() if "functional" in declared.faces})


def __getattr__(name: str) -> Any:  # only reached when there is no such function
    raise absent(__name__, name, globals())
