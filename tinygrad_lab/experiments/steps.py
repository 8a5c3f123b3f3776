"""The steps of preprocessing, by name: what each learns from training data and what it makes of data.

| step | what it does |
|---|---|
| `scale` | divide by the largest training value, if above 1: nothing, after `datasets.load` (pixels in [0, 1]) |
| `center` | subtract the mean training image |
| `standardize` | subtract each feature's mean, divide by its standard deviation; constant ones only become 0 |
| `sqrt` | square root of the pixels (gamma compression): evens out light and shadow before `hog` |
| `gray` | colour to one channel, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as Pillow's) |
| `hog`, `hog:CELL:BLOCK:ORIENTATIONS` | histograms of oriented gradients; default `hog:4:2:9` |
| `pca:SHARE`, `pca:N` | principal components: as few as keep that share of the variance (`pca:0.95`), or N |

Knows arrays of shape (N, channels, height, width) or (N, features), all floating; `preprocessing` puts steps in a row,
applies and stores them. To add one, add it to `STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["STEPS", "State", "Step", "check", "parse"]

_BLOCK = 2048  # rows at a time in float64, so that 60,000 images need no second copy of that width

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """A step: how it is written, which arrays it learns from training data (N, *shape), and what it makes of data."""

    usage: str
    options: Callable[[list[str]], tuple[float, ...]]  # of the parts behind the name; ValueError if they make no sense
    fit: Callable[[np.ndarray, tuple[Any, ...]], State]
    transform: Callable[[np.ndarray, State, tuple[Any, ...]], np.ndarray]
    slow: bool = False  # worth a file in the cache


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _BLOCK):
        yield x[start : start + _BLOCK].astype(np.float64)


def _mean(x: np.ndarray) -> np.ndarray:
    return sum((block.sum(0) for block in _blocks(x)), np.zeros(x.shape[1:])) / len(x)


def _no_options(parts: list[str]) -> tuple[float, ...]:
    if parts:
        raise ValueError("it takes no options")
    return ()


def _fit_scale(x: np.ndarray, _: tuple[Any, ...]) -> State:
    if x.min() < 0:
        raise ValueError(f"scale is for pixels, which are not negative, and the smallest value is {x.min():.4g}")
    return {"largest": np.array(max(float(x.max()), 1.0), np.float32)}


def _scale(x: np.ndarray, state: State, _: tuple[Any, ...]) -> np.ndarray:
    return x if state["largest"] == 1 else x / state["largest"]


def _fit_center(x: np.ndarray, _: tuple[Any, ...]) -> State:
    return {"mean": _mean(x).astype(np.float32)}


def _center(x: np.ndarray, state: State, _: tuple[Any, ...]) -> np.ndarray:
    return x - state["mean"]


def _fit_standardize(x: np.ndarray, _: tuple[Any, ...]) -> State:
    mean = _mean(x)
    squares = sum((((block - mean) ** 2).sum(0) for block in _blocks(x)), np.zeros(x.shape[1:]))
    deviation = np.sqrt(squares / len(x))
    # Of a constant feature only rounding is left, which must not be blown up to 1.
    constant = deviation <= 1e-6 * np.abs(mean)
    return {"mean": mean.astype(np.float32), "deviation": np.where(constant, 1, deviation).astype(np.float32)}


def _standardize(x: np.ndarray, state: State, _: tuple[Any, ...]) -> np.ndarray:
    centered: np.ndarray = x - state["mean"]
    centered /= state["deviation"]
    return centered


def _nothing_to_fit(_: np.ndarray, __: tuple[Any, ...]) -> State:
    return {}


def _images(x: np.ndarray, step: str) -> np.ndarray:
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(
            f"{step} needs images of 1 or 3 channels, square if flattened, and gets features of shape {x.shape[1:]}: "
            "put it before steps that make vectors (hog, pca)"
        )
    return x


def _gray(x: np.ndarray, _: State, __: tuple[Any, ...]) -> np.ndarray:
    images = _images(x, "gray")
    if images.shape[1] == 1:
        return images
    return np.einsum("nchw,c->nhw", images, np.array([0.299, 0.587, 0.114], images.dtype))[:, None]


def _fit_sqrt(x: np.ndarray, _: tuple[Any, ...]) -> State:
    if x.min() < 0:
        raise ValueError(f"sqrt is for pixels, which are not negative, and the smallest value is {x.min():.4g}")
    return {}


def _sqrt(x: np.ndarray, _: State, __: tuple[Any, ...]) -> np.ndarray:
    return np.sqrt(x)


def _hog_options(parts: list[str]) -> tuple[int, ...]:
    options = tuple(int(part) for part in parts)
    if len(options) > 3 or any(option < 1 for option in options):
        raise ValueError("CELL, BLOCK and ORIENTATIONS are positive integers")
    return options + (4, 2, 9)[len(options) :]


def _hog(x: np.ndarray, _: State, options: tuple[Any, ...]) -> np.ndarray:
    try:
        from skimage.feature import hog
    except ImportError:
        raise ImportError("hog needs scikit-image: pip install 'tinygrad_lab[lab]'") from None
    images, (cell, block, orientations) = _images(x, "hog"), options
    if min(images.shape[2:]) < cell * block:
        raise ValueError(
            f"hog:{cell}:{block}:{orientations} needs images of at least {cell * block} x {cell * block} pixels (a "
            f"block of {block} cells of {cell}), and they have {images.shape[2]} x {images.shape[3]}"
        )
    cells, blocks = (cell, cell), (block, block)
    length = (images.shape[2] // cell - block + 1) * (images.shape[3] // cell - block + 1) * block**2 * orientations
    features = np.empty((len(images), length), np.float32)
    for image, row in zip(images, features, strict=True):  # about a millisecond an image of CIFAR-10
        row[:] = hog(image, orientations, cells, blocks, channel_axis=0)
    return features


def _pca_options(parts: list[str]) -> tuple[float, ...]:
    (kept,) = parts
    value = float(kept)
    if not (0 < value < 1 or (value >= 1 and value.is_integer())):
        raise ValueError("it keeps a share of the variance between 0 and 1, or a whole number of components")
    return (value,)


def _fit_pca(x: np.ndarray, options: tuple[Any, ...]) -> State:
    try:
        from sklearn.decomposition import PCA
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError(f"pca needs {error.name}: pip install 'tinygrad_lab[lab]'") from None
    flat, (kept,) = x.reshape(len(x), -1), options
    count = kept if kept < 1 else int(kept)
    if count > min(flat.shape):
        raise ValueError(f"pca:{count}: {flat.shape[0]} samples of {flat.shape[1]} features have fewer components")
    mean = _mean(flat).astype(np.float32)
    # Centred before: the solver forms x^T x in float32, where a large mean would swallow small variances. One thread,
    # because the last bits of a product depend on their number, and a run must not depend on where it runs.
    with threadpool_limits(1):
        pca = PCA(count, svd_solver="covariance_eigh" if len(flat) > flat.shape[1] else "full").fit(flat - mean)
    return {"mean": mean, "components": np.ascontiguousarray(pca.components_, np.float32)}


def _pca(x: np.ndarray, state: State, _: tuple[Any, ...]) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return (x.reshape(len(x), -1) - state["mean"]) @ state["components"].T


STEPS: dict[str, Step] = {
    "scale": Step("scale", _no_options, _fit_scale, _scale),
    "center": Step("center", _no_options, _fit_center, _center),
    "standardize": Step("standardize", _no_options, _fit_standardize, _standardize),
    "sqrt": Step("sqrt", _no_options, _fit_sqrt, _sqrt),
    "gray": Step("gray", _no_options, _nothing_to_fit, _gray),
    "hog": Step("hog:CELL:BLOCK:ORIENTATIONS", _hog_options, _nothing_to_fit, _hog, slow=True),
    "pca": Step("pca:SHARE or pca:N", _pca_options, _fit_pca, _pca, slow=True),
}


def parse(step: str) -> tuple[Step, tuple[float, ...]]:
    name, *parts = str(step).split(":")
    if name not in STEPS:
        raise ValueError(f"no preprocessing step is called {step!r}; there are {', '.join(STEPS)}")
    kind = STEPS[name]
    try:
        return kind, kind.options(parts)
    except ValueError as error:
        reason = str(error) if "integers" in str(error) or str(error).startswith("it ") else "wrong options"
        raise ValueError(f"preprocessing step {step!r} cannot be read ({reason}); write {kind.usage}") from None


def check(steps: Sequence[str]) -> None:
    """ValueError naming the first of `steps` that does not exist or cannot be read, and what there is.

    >>> check(["hog", "pca:0.95"])
    >>> check(["hgo"])
    Traceback (most recent call last):
        ...
    ValueError: no preprocessing step is called 'hgo'; there are scale, center, standardize, sqrt, gray, hog, pca
    """
    if isinstance(steps, str):
        raise ValueError(f"preprocessing steps are a sequence of names, got the string {steps!r}")
    for step in steps:
        parse(step)
