"""From a photo or a drawing to an image like those of the data set that a model was trained on.

What this file lets you do: read any file that Pillow opens (`read_image`), find the ink in it (`find_ink`), and give it
a data set's form (`like`). It must not know models. Needs Pillow and SciPy (the `lab` extra).

MNIST's form, from its page (Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/): "The original black and
white (bilevel) images from NIST were size normalized to fit in a 20x20 pixel box while preserving their aspect ratio.
The resulting images contain grey levels as a result of the anti-aliasing technique used by the normalization algorithm.
the images were centered in a 28x28 image by computing the center of mass of the pixels, and translating the image so as
to position this point at the center of the 28x28 field." In the files, that centre is row and column 14 of 0..27.

The 8x8 digits (E. Alpaydin, C. Kaynak, 1998) are bitmaps of 32x32, counted in blocks of 4x4. The bitmaps come from
NIST's programs (M. Garris et al., NIST Form-Based Handprint Recognition System, NISTIR 5469, 1994), which fit a
character into a box of 20x32 and make its strokes thicker or thinner until about as many pixels are black as in any
other: in the data set 31% on average.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["find_ink", "like", "read_image"]

_SIDE = 512  # pixels: larger images are shrunk to it at once, strokes stay wide enough
# Width of MNIST's strokes as a share of the longer side: 5th and 95th percentile of its first 5,000 digits, nearly. A
# fine pen's are thinner, and fade to grey when scaled down.
_THINNEST, _THICKEST = 0.125, 0.22
_BLACK = 0.31  # share of ink in the 32x32 bitmaps of digits


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image file: float32 (height, width, 3) in [0, 1], upright, at most 512 pixels long, no transparency.

    Raises:
        OSError: the file cannot be read.
        RuntimeError: it is no image that Pillow knows, it is damaged, or it has more than 89 million pixels.
        ImportError: Pillow is missing.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ImportError("reading images needs Pillow: pip install 'tinygrad_lab[lab]'") from None
    with open(Path(path), "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                image.thumbnail((_SIDE, _SIDE))  # a JPEG is decoded at a fraction of its size to begin with
                return _on_background(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise RuntimeError(f"{path} is no image of a format that Pillow knows (such as PNG or JPEG)") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise RuntimeError(f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: scale it down first") from None
        except (
            Exception
        ) as error:  # decoders raise OSError, SyntaxError, struct.error, ...: whatever a bad byte leads to
            raise RuntimeError(f"{path} is damaged or cut short ({error or type(error).__name__})") from None


def _on_background(image: Any) -> np.ndarray:
    """RGB of an image of any mode; where it is transparent, what lies behind is white or black, unlike its ink."""
    from PIL import Image

    if image.mode[0] in "IF":  # 16 or 32 bits: Pillow would cut off at 255
        values = np.asarray(image, np.float64)
        low, high = values.min(), values.max()
        image = Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))
    rgba = np.asarray(image.convert("RGBA"), np.float32) / 255
    colours, opacity = rgba[..., :3], rgba[..., 3:]
    behind = 1.0 if (colours * opacity).sum() <= 1.5 * opacity.sum() else 0.0
    return colours * opacity + behind * (1 - opacity)


def find_ink(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find what is drawn on a background that may be lit unevenly, in dark on light or light on dark.

    The background's brightness is a quadratic surface through the border; ink is on the side of it that deviates more.
    What is left of shadows goes with a morphological opening, wider than strokes are. A threshold (N. Otsu, 1979, and
    at least five times the noise) makes strokes of it; specks, and what touches the border beside an inner drawing, go.

    Args:
        gray: brightness, (height, width).

    Returns:
        (strength, mask): how far each pixel is from the background, float (height, width), and the ink's pixels, bool.

    Raises:
        ValueError: there is no ink.

    >>> gray = np.ones((20, 20))
    >>> gray[5:15, 9:12] = 0.2
    >>> int(find_ink(gray)[1].sum())
    30
    """
    ndimage = _ndimage()
    smooth = np.asarray(gray, np.float64)
    if min(smooth.shape) >= 64:  # on smaller images a stroke may be a pixel wide
        smooth = ndimage.gaussian_filter(smooth, 0.7)
    strength = smooth - _surface(smooth)
    low, high = np.percentile(strength, [0.3, 99.7])
    if -low > high:
        strength = -strength
    window = max(3, int(0.4 * min(smooth.shape)))
    strength -= ndimage.grey_opening(strength, (window, window))
    strength -= np.median(strength)
    noise = 1.4826 * float(np.median(np.abs(strength)))
    threshold = max(_otsu(strength), 5 * noise)
    # Where a stroke is fainter it still belongs to one that is not.
    labels, count = ndimage.label(strength > max(0.6 * threshold, 4 * noise), np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    areas[np.bincount(labels[strength > threshold], minlength=count + 1) == 0] = 0
    inner = areas.copy()
    inner[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    if inner.max() >= 0.15 * areas.max():  # a drawing within the image: the rest is shadow, or the paper's edge
        areas = inner
    mask = (areas >= max(0.05 * areas.max(), 1))[labels]
    if not mask.any() or strength[mask].mean() < max(0.08, 6 * noise):
        raise ValueError("there is no ink in the image: nothing stands out from its background")
    return strength, mask


def _sheet(gray: np.ndarray) -> tuple[slice, slice]:
    """Where the paper is, if the photo shows a sheet on a table: a solid area unlike the border. Else everything."""
    bright = gray > _otsu(gray)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    labels, count = _ndimage().label(bright != (border.mean() > 0.5))
    if count:
        largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
        rows, columns = _box(largest)
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        if area >= 0.3 * gray.size and largest.sum() >= 0.7 * area:  # digits fill less of their box
            inset = [int(0.08 * (part.stop - part.start)) for part in (rows, columns)]
            return slice(rows.start + inset[0], rows.stop - inset[0]), slice(
                columns.start + inset[1], columns.stop - inset[1]
            )
    return slice(None), slice(None)


def _surface(values: np.ndarray) -> np.ndarray:
    """The quadratic surface that is closest to the values in the border, a twentieth of the image wide."""
    height, width = values.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], -1)
    wide = max(1, min(height, width) // 20)
    border = np.ones(values.shape, bool)
    border[wide:-wide, wide:-wide] = False
    chosen = border.copy()
    for _ in range(3):  # ink that reaches the border is left out: what is far from the surface does not count again
        surface = terms @ np.linalg.lstsq(terms[chosen], values[chosen], rcond=None)[0]
        distance = np.abs(values - surface)
        chosen = border & (distance <= max(2.5 * float(np.median(distance[border])), 1e-3))
    return surface


def _otsu(values: np.ndarray) -> float:
    """The threshold between two classes of values with the largest variance between their means (N. Otsu, 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    between = below * above * (means[0] - means[1]) ** 2
    return float(edges[1 + int(between.argmax())])


def like(dataset: str, image: np.ndarray) -> np.ndarray:
    """An image in a data set's form: float32 (channels, height, width) in [0, 1].

    mnist           ink white on black, its longer side 20 pixels, its centre of mass at (14, 14) of 28x28
    digits          ink white on black, in the middle 5x8 of 8x8, strokes as wide as to cover 31%
    fashion-mnist   grey on black, the thing's longer side all of 28x28, in the middle
    cifar10         the middle square of the photo at 32x32 in colour

    For mnist, strokes much thinner or thicker than the data set's are brought to what it has: it was written with felt
    pens.

    Args:
        dataset: its name.
        image: (height, width, 3) in [0, 1], as `read_image` gives it.

    Raises:
        ValueError: there is no ink.

    >>> drawing = np.ones((100, 60, 3), np.float32)
    >>> drawing[20:80, 28:34] = 0
    >>> seen = like("mnist", drawing)
    >>> seen.shape, int(seen.any((0, 2)).sum())
    ((1, 28, 28), 20)
    """
    if dataset == "cifar10":
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side, left : left + side].transpose(2, 0, 1)
        return np.stack([_resized(channel, 32, 32) for channel in square])
    gray = image @ np.array([0.299, 0.587, 0.114], image.dtype)
    if dataset == "fashion-mnist":
        strength, mask = find_ink(gray)
        rows, columns = _box(mask)
        grey = np.where(mask, strength, 0)[rows, columns] / strength[mask].max()
        return _middle(_fitted(grey, 28, 28), 28)[None]
    bitmap = _bitmap(*find_ink(gray[_sheet(gray)]))
    if dataset == "digits":
        return _blocks(bitmap)[None]
    return _by_centre_of_mass(_fitted(_with_strokes(bitmap), 20, 20), 28, 14)[None]


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _bitmap(strength: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The ink, black and white, with two pixels of margin; finer than `mask` where the image is small."""
    ndimage = _ndimage()
    rows, columns = _box(mask)
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    near = ndimage.binary_dilation(mask, np.ones((3, 3)))
    part = np.pad(np.where(near, strength, 0), 2)[rows.start : rows.stop + 4, columns.start : columns.stop + 4]
    fine = ndimage.zoom(part, max(1, -(-160 // longer)), order=1, grid_mode=True, mode="grid-constant")
    return fine > 0.5 * np.median(strength[mask])


def _with_strokes(bitmap: np.ndarray) -> np.ndarray:
    """The bitmap with strokes grown or shrunk to the width of MNIST's, if they are beyond these."""
    ndimage = _ndimage()
    rows, columns = _box(bitmap)
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    # Across a stroke of width w, distances to its edge have the mean w / 4 (pixel centres: half a pixel more).
    width = 4 * (float(ndimage.distance_transform_edt(bitmap)[bitmap].mean()) - 0.25)
    # What grows by d at each edge becomes longer by 2d, too: (width + 2d) / (longer + 2d) is to be the share.
    share = min(max(width / longer, _THINNEST), _THICKEST)
    grow = (share * longer - width) / (2 * (1 - share))
    if grow > 0:
        room = int(grow) + 1
        return ndimage.distance_transform_edt(~np.pad(bitmap, room)) <= grow
    thinner = ndimage.distance_transform_edt(bitmap) > -grow
    return thinner if thinner.any() else bitmap


def _blocks(bitmap: np.ndarray) -> np.ndarray:
    """As NIST's programs and the authors of `digits` do it, at four times their 32x32: box, strokes, box, blocks."""
    ndimage, room = _ndimage(), 24
    padded = np.pad(_fitted(bitmap, 128, 80) > 0.5, room)
    inside = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    # The level that leaves the wanted number of pixels; no stroke grows beyond the room or is eaten up.
    level = np.sort(inside, axis=None)[-int(_BLACK * 128 * 128)]
    bitmap = _fitted(inside >= min(max(level, -room), 0.6 * inside.max()), 128, 80) > 0.5
    return _middle(bitmap, 128).reshape(8, 16, 8, 16).mean((1, 3))


def _fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """What is not 0, scaled to fit into height x width; each pixel is the average of the area that it covers."""
    rows, columns = _box(image > 0)
    image = image[rows, columns]
    scale = min(height / image.shape[0], width / image.shape[1])
    return _resized(image, *(max(1, round(length * scale)) for length in image.shape))


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    method = Image.Resampling.BOX if height * width <= image.size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((width, height), method)).clip(0, 1)


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    canvas = np.zeros((side, side), np.float32)
    top, left = ((side - length) // 2 for length in image.shape)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def _by_centre_of_mass(image: np.ndarray, side: int, centre: int) -> np.ndarray:
    """On a canvas with the centre of mass at (centre, centre), to half a pixel; nothing is pushed over the edge."""
    canvas = np.zeros((side, side), np.float32)
    place = []
    for axis, length in enumerate(image.shape):
        middle = float(image.sum(1 - axis) @ np.arange(length) / image.sum())
        place.append(min(max(round(centre - middle), 0), side - length))
    canvas[place[0] : place[0] + image.shape[0], place[1] : place[1] + image.shape[1]] = image
    return canvas


def _ndimage() -> Any:
    try:
        from scipy import ndimage
    except ImportError:
        raise ImportError("finding ink in images needs SciPy: pip install 'tinygrad_lab[lab]'") from None
    return ndimage
