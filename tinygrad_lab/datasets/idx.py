"""Read IDX files, the format in which MNIST and its relatives are published, gzipped or not, into arrays.

A file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit integer, and the
values (described at the MNIST page, http://yann.lecun.com/exdb/mnist/). Only unsigned bytes are read: these data sets
use no other type. This file knows bytes and arrays, not what they show.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path | str, ndim: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; gzip is recognised by content, whatever the name says.
        ndim: how many dimensions the array must have (3 for images, 1 for labels).

    Returns:
        A new uint8 array of `ndim` dimensions.

    Raises:
        RuntimeError: the file is damaged, cut short, too long or something else; the message names it.
        OSError: the file cannot be read.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error, struct.error) as error:
            raise RuntimeError(f"{path}: damaged or cut short gzip file ({error}); delete it, fetch it again") from None
    return parse_idx(data, ndim, str(path))


def parse_idx(data: bytes, ndim: int, name: str) -> np.ndarray:
    """Read the bytes of an uncompressed IDX file; `name` stands in the errors. As `read_idx` otherwise.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), 1, "two labels")
    array([7, 9], dtype=uint8)
    """
    if len(data) < 4:
        raise RuntimeError(f"{name}: {len(data)} bytes are too few for an IDX file")
    if data[0] or data[1]:
        raise RuntimeError(f"{name}: not an IDX file (it begins with {data[:4].hex()}, an IDX file with 0000)")
    code, dims = data[2], data[3]
    if code != _UNSIGNED_BYTE:
        raise RuntimeError(f"{name}: IDX type code 0x{code:02x}, expected 0x08 (unsigned bytes)")
    if dims != ndim:
        raise RuntimeError(f"{name}: holds {_kind(dims)}, expected {_kind(ndim)}; are two files mixed up?")
    start = 4 + 4 * ndim
    if len(data) < start:
        raise RuntimeError(f"{name}: ends within its header, after {len(data)} bytes of {start}")
    shape = struct.unpack(f">{ndim}I", data[4:start])
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise RuntimeError(
            f"{name}: {'cut short' if len(data) < expected else 'too long'}: the header announces shape {shape}, "
            f"which takes {expected} bytes, and the file has {len(data)}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()  # writable


def _kind(ndim: int) -> str:
    return {1: "a 1-d array (labels)", 3: "a 3-d array (images)"}.get(ndim, f"a {ndim}-d array")
