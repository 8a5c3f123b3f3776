"""Where the user's program is: the innermost frame outside of this package.

For messages that name the user's line instead of a line of ours. It knows nothing of the package but its folder.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["user_frame", "user_stacklevel"]

_PACKAGE = os.path.dirname(__file__) + os.sep


def user_frame() -> Any:
    """The innermost frame whose code is neither a file of this package nor the generated function of an op; or None."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<tinygrad_lab")):
        frame = frame.f_back
    return frame


def user_stacklevel() -> int:
    """The `stacklevel` with which `warnings.warn`, called beside this, names the user's line."""
    target, frame, level = user_frame(), sys._getframe(1), 1
    while frame is not None and frame is not target:
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    return level
