"""Save and load tensors, state dicts and whole checkpoints in one safetensors file, without pickle.

`save` writes any nesting of dicts, lists, tuples, numbers, strings, None and bools with tensors anywhere in it; `load`
gives it back. Every tensor is a plain safetensors entry, so `safetensors.torch.load_file` reads a saved state dict, and
`load` reads PyTorch users' files. What safetensors cannot hold (the structure, and all that is no tensor) is JSON in
the file's metadata, beside a SHA-256 of the whole file. The checksum tells of damage; it is no signature. Nothing in a
file can make `load` run code.

A file appears under its name only when it is whole: it is written beside it, forced to disk, then renamed. This file
knows tensors, and nothing of modules or optimizers; whatever has a `state_dict` can be saved through it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lab.ops.convert import check_device
from tinygrad_lab.tensor import Tensor, wrap

_KEY, _BEGINNING = "tinygrad_lab", '{"structure":'  # our one entry in the file's metadata, and how its value begins
_DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_MAX_DEPTH = 100
_BLANK = "0" * 64


def save(obj: Any, path: Any) -> None:
    """Write a tensor, a state dict or a nested structure of such to one file.

    Args:
        obj: a Tensor (any dtype, shape and memory layout), or dicts, OrderedDicts, lists, tuples, ints, floats,
            strings, bools and None, nested at will, with tensors anywhere. Keys may be all but tensors and containers.
            Floats keep every bit, also inf and nan. Tensors that share memory are saved each for itself.
        path: the file, which is replaced as a whole or not at all; its folder must exist. Or an open binary file (also
            io.BytesIO), which is written to.

    Raises:
        TypeError: an object that cannot be saved, named by its place in the structure.
        ValueError: the structure contains itself, or is nested more than 100 deep.
        OSError: the file cannot be written; what stood there before is untouched.
        ImportError: safetensors is missing.

    >>> import tempfile
    >>> from tinygrad_lab.creation import tensor
    >>> path = tempfile.mkdtemp() + "/checkpoint.safetensors"
    >>> save({"model": {"weight": tensor([1.0, 2.0])}, "epoch": 3, "best": (0.5, None)}, path)
    >>> load(path)
    {'model': {'weight': tensor([1., 2.])}, 'epoch': 3, 'best': (0.5, None)}
    """
    safetensors = _library()
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(obj, "", arrays, 0)
    note = json.dumps({"structure": structure, "sha256": _BLANK}, separators=(",", ":"), allow_nan=False)
    content = safetensors.save(arrays, {_KEY: note})
    digest = hashlib.sha256(content).hexdigest().encode()
    at = _digest_position(content)
    whole = memoryview(content)
    parts: list[Any] = [whole[:at], digest, whole[at + len(digest) :]]
    if hasattr(path, "write"):
        path.write(b"".join(parts))
    else:
        replace_file(Path(os.path.realpath(path)), parts)


def load(path: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` wrote, or any safetensors file (then: a dict of tensors, in the file's order).

    Tensors come back with their dtype and shape, contiguous, and without `requires_grad`; OrderedDicts come back as
    dicts. `path` may be an open binary file, which is read from where it stands to its end. `map_location` is a device,
    as in PyTorch (here "cpu"). No code of a file ever runs, whatever `weights_only` says.

    Raises:
        RuntimeError: the file is cut short, changed, not a safetensors file, or holds a dtype that does not exist here;
            the message names it. Or `map_location` is another device.
        OSError: the file cannot be read.
        ImportError: safetensors is missing.
    """
    safetensors = _library()
    check_device(map_location)
    content = path.read() if hasattr(path, "read") else Path(path).read_bytes()
    header = _header(content, path)
    metadata = header.pop("__metadata__", {})
    # Either mark makes a file ours, so that damage to one of them is noticed too.
    ours = _KEY in metadata or any(str(value).startswith(_BEGINNING) for value in metadata.values())
    if ours:
        _verify(content, path)
    for name, entry in header.items():
        if entry.get("dtype") not in _DTYPES:
            raise RuntimeError(
                f"{path}: tensor {name!r} has dtype {entry.get('dtype')}, which does not exist here; convert it to one "
                f"of {', '.join(_DTYPES)} where the file was made"
            )
    try:
        arrays = safetensors.load(content)
        # Arrays of the library may be read-only views of its buffers; a parameter must be writable.
        tensors = {name: wrap(arrays[name] if arrays[name].flags.writeable else arrays[name].copy()) for name in header}
    except Exception as error:  # SafetensorError derives from Exception alone
        raise RuntimeError(f"{path}: damaged safetensors file ({error})") from None
    if not ours:
        return tensors
    try:
        return _decode(json.loads(metadata[_KEY])["structure"], tensors)
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise RuntimeError(f"{path}: its metadata describes no structure that save writes ({error!r})") from None


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("saving and loading need safetensors: pip install 'tinygrad_lab[lab]'") from None
    return safetensors.numpy


# The structure: JSON itself where Python and JSON agree, else an object with one member that names the type.


def _encode(obj: Any, path: str, arrays: dict[str, np.ndarray], depth: int) -> Any:
    """JSON of a structure; its tensors go to `arrays` under the path where they stand."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"{path[:200]}...: nested deeper than {_MAX_DEPTH} levels; does the structure contain itself?")
    kind = type(obj)
    if isinstance(obj, Tensor):
        name = path or "tensor"
        while name in arrays or name == "__metadata__":  # {"a": {"b": t}, "a.b": u}, or safetensors' reserved name
            name += "'"
        arrays[name] = np.asarray(obj.array, order="C")
        return {"tensor": name}
    if obj is None or kind in (bool, int, str):
        return obj
    if kind is float:
        return obj if math.isfinite(obj) else {"float": struct.pack(">d", obj).hex()}
    if kind is list:
        return [_encode(value, f"{path}[{i}]", arrays, depth + 1) for i, value in enumerate(obj)]
    if kind is tuple:
        return {"tuple": [_encode(value, f"{path}[{i}]", arrays, depth + 1) for i, value in enumerate(obj)]}
    if kind in (dict, OrderedDict):
        pairs = []
        for key, value in obj.items():
            if key is not None and type(key) not in (bool, int, float, str):
                raise TypeError(f"{path or 'the object'} has a key of type {type(key).__name__}: {key!r:.100}")
            place = f"{path}[{key!r}]" if not isinstance(key, str) else f"{path}.{key}" if path else key
            pairs.append([_encode(key, place, arrays, depth + 1), _encode(value, place, arrays, depth + 1)])
        return {"dict": pairs}
    remedy = ""
    if isinstance(obj, np.generic):
        remedy = "; convert it with .item()"
    elif isinstance(obj, np.ndarray):
        remedy = "; convert it with from_numpy"
    elif hasattr(obj, "state_dict"):
        remedy = "; save its state_dict()"
    raise TypeError(
        f"cannot save {path or 'the object'}: it is a {kind.__module__}.{kind.__qualname__}, and a file holds tensors, "
        f"dicts, lists, tuples, ints, floats, strings, bools and None{remedy}"
    )


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    """The structure that `_encode` made JSON of. Raises ValueError, KeyError or TypeError on anything else."""
    if isinstance(node, list):
        return [_decode(value, tensors) for value in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "tuple":
        return tuple([_decode(item, tensors) for item in value])
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in value}
    raise ValueError(f"unknown kind {kind!r}")


# The file: 8 bytes with the header's length, the header (JSON), the tensors' bytes.


def _header(content: bytes, path: object) -> dict[str, Any]:
    """The header of a safetensors file, checked as far as this module relies on it (the library checks the rest)."""
    if len(content) < 8:
        raise RuntimeError(f"{path}: {len(content)} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise RuntimeError(f"{path}: not a safetensors file, or cut short within its header")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise RuntimeError(f"{path}: not a safetensors file, or damaged: its header is no JSON ({error})") from None
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise RuntimeError(f"{path}: not a safetensors file: its header is no table of tensors")
    return header


def _digest_position(content: bytes) -> int:
    """Where the checksum's digits stand: they end the metadata entry, whose closing is `"}"` escaped within JSON."""
    (length,) = struct.unpack("<Q", content[:8])
    mark = b'\\"sha256\\":\\"'
    return content.rindex(mark, 8, 8 + length) + len(mark)


def _verify(content: bytes, path: object) -> None:
    """Raise RuntimeError unless the file's SHA-256, its own digits read as zeros, is the one written in it."""
    try:
        at = _digest_position(content)
    except ValueError:
        raise RuntimeError(f"{path}: damaged: its checksum is missing") from None
    whole = memoryview(content)
    digest = hashlib.sha256(whole[:at])
    digest.update(_BLANK.encode())
    digest.update(whole[at + len(_BLANK) :])
    if digest.hexdigest().encode() != content[at : at + len(_BLANK)]:
        raise RuntimeError(f"{path}: damaged or changed since it was written: its content does not match its checksum")


def replace_file(path: Path, parts: list[Any]) -> None:
    """Write `parts` to a temporary file beside `path`, force it to disk, and rename it: all or nothing."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:  # also Ctrl-C: no half-written file is left behind
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if os.name == "posix":  # the new name itself is on disk only when the folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
