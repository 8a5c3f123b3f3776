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
    "set_num_threads get_num_threads": "NumPy's threads are set by OMP_NUM_THREADS in the environment: leave it out",
    "use_deterministic_algorithms are_deterministic_algorithms_enabled": "all is deterministic: leave it out",
    "set_float32_matmul_precision": "there is one precision, that of the dtype: leave it out",
    "preserve_format contiguous_format channels_last strided layout": "there is one memory format: leave it out",
    "modules": "its classes are in tinygrad_lab.nn itself",
    "cdist": "write (x1[:, None] - x2).norm(dim=-1)",
    "PairwiseDistance pairwise_distance": "write (x1 - x2 + eps).norm(dim=-1)",
    "ParameterList ParameterDict": "keep each by self.register_parameter(name, parameter), and the names in a list",
    "GroupNorm InstanceNorm1d InstanceNorm2d group_norm instance_norm": "write it with var_mean over those dimensions",
    "Upsample UpsamplingNearest2d interpolate": "mode='nearest' is x.repeat_interleave(k, -1).repeat_interleave(k, -2)",
    "ConvTranspose1d ConvTranspose2d conv_transpose2d": "enlarge with repeat_interleave and use Conv2d",
    "spectral_norm weight_norm parametrizations": "divide the weight in forward, and call nn.functional with it",
    "AveragedModel swa_utils": "average copies of the parameters under no_grad, with lerp_",
    "TripletMarginLoss MarginRankingLoss CosineEmbeddingLoss HingeEmbeddingLoss GaussianNLLLoss PoissonNLLLoss"
    " triplet_margin_loss margin_ranking_loss cosine_embedding_loss hinge_embedding_loss gaussian_nll_loss"
    " poisson_nll_loss": "write its formula with the operations of tensors: gradients follow",
    "RNN LSTM GRU RNNCell LSTMCell GRUCell": "write it with nn.Linear and a Python loop over time",
    "MultiheadAttention Transformer": "write it with nn.Linear, softmax and @",
    "FloatTensor DoubleTensor HalfTensor LongTensor IntTensor ByteTensor BoolTensor": "use tensor(data, dtype=...)",
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
