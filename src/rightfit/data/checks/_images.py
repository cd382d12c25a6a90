"""What the image checks share: the references of the rows, small pixels, headers, hashes and cheap features."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.records import Dataset, frozen

SIZE = 32
CHUNK = 2048
LISTED = 200
HEADERS = 4000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@frozen
class Header:
    """What a file says of an image before its pixels are decoded; width and height are 0 where it says nothing.

    `camera`: EXIF make and model. `tables`: a hash of the JPEG quantisation tables, so of the program and its quality.
    """

    width: int = 0
    height: int = 0
    format: str = ""
    camera: str = ""
    tables: str = ""


def refs(data: Dataset) -> list[str]:
    """The image of each row as path or data URI; empty where the rows have no image column or lack an image."""
    name = next((c.name for c in data.schema.columns if c.kind == "image" and c.name in data.X.columns), None)
    found = [] if name is None else data.X[name].tolist()
    return found if all(isinstance(ref, str) for ref in found) else []


def names(given: Sequence[str]) -> list[str]:
    """Short unambiguous names: paths below their common folder; the row's number for what is no file.

    >>> names(["/a/cats/1.png", "/a/dogs/1.png", "data:image/png;base64,"])
    ['cats/1.png', 'dogs/1.png', 'row 2']
    """
    files = [os.path.dirname(ref) for ref in given if not ref.startswith("data:")]
    try:
        home = os.path.commonpath(files) if files else ""
    except ValueError:  # several drives have no common folder
        home = ""
    return [f"row {row}" if ref.startswith("data:") else os.path.relpath(ref, home) if home else ref
            for row, ref in enumerate(given)]


def some(n: int, most: int) -> Any:
    """At most `most` of n positions, drawn with a fixed seed, in their order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def chunks(given: Sequence[str]) -> Iterator[Any]:
    """The images as uint8 (m, 32, 32, 3), a few thousand at a time."""
    table = decode.pixels(given, SIZE)
    for start in range(0, len(given), CHUNK):
        yield table.take(np.arange(start, min(start + CHUNK, len(given))))


def grey(pixels: Any) -> Any:
    """Luma float32 (n, s, s), 0..255, of uint8 (n, s, s, 3) (ITU-R BT.601)."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def header(ref: str) -> Header:
    """The header of one image; what cannot be read is left empty, for it is reported by the reader."""
    import hashlib
    import io
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = io.BytesIO(decode.content(ref)) if ref.startswith("data:") else ref
            with Image.open(source, formats=FORMATS) as image:
                (width, height), camera = image.size, ""
                with contextlib.suppress(Exception):  # damaged EXIF raises anything, and says nothing
                    exif = image.getexif()
                    camera = f"{exif.get(271, '')} {exif.get(272, '')}".strip() or ("EXIF" if len(exif) else "")
                    width, height = (height, width) if exif.get(274, 1) in (5, 6, 7, 8) else (width, height)
                tables = getattr(image, "quantization", None)
                coded = hashlib.sha256(repr(tables).encode()).hexdigest()[:8] if tables else ""
                return Header(width=width, height=height, format=image.format or "", camera=camera, tables=coded)
    except Exception:  # decoders raise classes of their own
        return Header()


def hashes(given: Sequence[str]) -> tuple[Any, Any]:
    """Perceptual hashes uint64 (n,) and whether each means anything, bool (n,): an image without contrast has none.

    The signs of the 8 x 8 lowest frequencies of the 32 x 32 luma against their median (Zauner 2010, pHash).
    """
    from scipy.fft import dctn

    out, usable = [], []
    for pixels in chunks(given):
        luma = grey(pixels)
        low = dctn(luma, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(luma), 64)
        bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
        out.append(np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64))
        usable.append(luma.std(axis=(1, 2)) > 6)
    return (np.concatenate(out), np.concatenate(usable)) if out else (np.empty(0, np.uint64), np.empty(0, bool))


def features(given: Sequence[str]) -> Any:
    """Cheap features float32 (n, 728): colours on an 8 x 8 grid, their histogram, and gradient directions on 8 x 8
    cells (HOG; Dalal and Triggs 2005)."""
    parts = []
    for pixels in chunks(given):
        n = len(pixels)
        colours = pixels.reshape(n, 8, SIZE // 8, 8, SIZE // 8, 3).mean(axis=(2, 4)).reshape(n, -1) / 255
        levels = pixels // 32
        histogram = np.stack([(levels == level).mean(axis=(1, 2)) for level in range(8)], axis=1).reshape(n, -1)
        parts.append(np.concatenate([colours, histogram, _gradients(grey(pixels))], axis=1).astype(np.float32))
    return np.concatenate(parts) if parts else np.empty((0, 728), np.float32)


def _gradients(luma: Any) -> Any:
    """(n, 512): eight unsigned directions, weighted by strength, on 8 x 8 cells; each cell normalised."""
    down, right = np.gradient(luma, axis=(1, 2))
    strength = np.hypot(down, right)
    which = np.floor((np.arctan2(down, right) % np.pi) / np.pi * 8).astype(int) % 8
    cells = np.stack([(strength * (which == k)).reshape(-1, 8, SIZE // 8, 8, SIZE // 8).sum(axis=(2, 4))
                      for k in range(8)], axis=-1)
    norm = np.sqrt((cells ** 2).sum(axis=-1, keepdims=True)) + 50.0
    return (cells / norm).reshape(len(luma), -1)


def oof(X: Any, y: Any, folds: int = 3) -> Any:
    """Out-of-fold probabilities (n, k), as if classes were even, of a logistic regression on 100 components; y holds
    0..k-1, each at least `folds` times."""
    import warnings

    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    out = np.zeros((len(y), int(y.max()) + 1))
    for train, valid in StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y):
        width = min(100, len(train) - 1, X.shape[1])
        model = make_pipeline(StandardScaler(), PCA(width, svd_solver="randomized", random_state=0),
                              LogisticRegression(C=0.01, max_iter=200, class_weight="balanced"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver short of iterations is good enough for a hint
            model.fit(X[train], y[train])
        out[valid] = model.predict_proba(X[valid])
    return out


def listed(found: Sequence[str], most: int = 3) -> str:
    """A few names for a sentence.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
