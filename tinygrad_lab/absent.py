"""What to say of a name that PyTorch has and this package does not.

It knows nothing of the package: the names that a module does have are given to it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["absent"]

_REMEDIES = {
    "compile jit fx export onnx": "there is no compiler: use the model as it is",
    "amp autocast GradScaler": "there is no mixed precision: leave autocast and GradScaler out, or use .half()",
    "distributed multiprocessing DataParallel": "there is one process and no GPU: leave it out",
    "bfloat16 int8 int16 complex64 complex128": "dtypes are float16, float32, float64, int32, int64, uint8 and bool",
    "RNN LSTM GRU RNNCell LSTMCell GRUCell": "write it with nn.Linear and a Python loop over time",
    "MultiheadAttention Transformer": "write it with nn.Linear, softmax and @",
    "FloatTensor DoubleTensor LongTensor IntTensor BoolTensor": "use tensor(data, dtype=...)",
}


def absent(module: str, name: str, names: Iterable[str], *, listed: bool = False) -> AttributeError:
    """The error for `module.name`, with a remedy: what to do instead, names like it, or (`listed`) all that there are.

    >>> print(absent("tinygrad_lab.nn", "LSTM", ["Linear"]))
    module 'tinygrad_lab.nn' has no attribute 'LSTM': write it with nn.Linear and a Python loop over time
    """
    import difflib  # takes 3 ms, and is needed only here

    known = sorted(each for each in names if not each.startswith("_"))
    remedy = next((text for absent_names, text in _REMEDIES.items() if name in absent_names.split()), "")
    if not remedy and listed:
        remedy = f"there are {', '.join(known)}"
    close = difflib.get_close_matches(name, known)
    if not remedy and close:
        remedy = f"did you mean {', '.join(close)}?"
    return AttributeError(
        f"module '{module}' has no attribute '{name}'"
        + (f": {remedy}" if remedy else "; if PyTorch has it, it is not built here")
    )
