"""Fetch a published file: checksum, progress bar, and a final name that only a complete, verified file ever has.

Knows URLs and files, nothing of what is in them. Needs pooch and tqdm (the `lab` extra), imported when a download
starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def fetch(name: str, folder: Path, mirrors: Sequence[str], md5: str) -> Path:
    """Download `mirror + name` from the first mirror that serves it intact into `folder / name`.

    Data goes to a temporary file in `folder` and gets its name by renaming after the checksum was verified, so an
    interrupted or damaged download leaves nothing that could be taken for the file.

    Args:
        mirrors: addresses that end in a slash, tried in this order.
        md5: the published MD5 sum, in hexadecimal.

    Returns:
        Path of the file.

    Raises:
        RuntimeError: no mirror gave the file; the message says what happened at each.
        ImportError: pooch or tqdm is missing.
    """
    try:
        import pooch
        import tqdm  # noqa: F401  (pooch's progress bar; it is imported late there and fails less clearly)
    except ImportError as error:
        raise ImportError(f"downloading needs {error.name}: pip install 'tinygrad_lab[lab]'") from None
    failures = []
    for mirror in mirrors:
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)
        try:
            return Path(pooch.retrieve(mirror + name, f"md5:{md5}", fname=name, path=folder, downloader=downloader))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch's wrong checksum a ValueError
            failures.append(f"  {mirror}{name}: {_reason(error)}")
    raise RuntimeError(f"could not download {name} to {folder}:\n" + "\n".join(failures))


def _reason(error: Exception) -> str:
    """One line of an error: a failed connection prints several layers of object addresses otherwise."""
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return f"{type(error).__name__}: {' '.join(str(inner).split())[:300]}"
