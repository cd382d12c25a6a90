"""Pictures as small thumbnails with their edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.data.views._spec import View

SIZE, FINE = 4, 32


def see(values: Any) -> Any:
    """float32 (n, 52): colours at 4 x 4 places, contrast, and the strength of edges by places and direction, 0 to 1.

    Raises ImageError for a picture that cannot be read.
    """
    found = np.full((len(values), 3 * SIZE * SIZE + 4), np.nan, np.float32)
    for row, ref in enumerate(values):
        if ref is None:
            continue
        pixels = decode.array(ref, FINE).astype(np.float32) / 255
        grey, step = pixels.mean(axis=2), FINE // SIZE
        places = pixels.reshape(SIZE, step, SIZE, step, 3).mean(axis=(1, 3))
        edges = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]
        found[row] = [*places.ravel(), grey.std(), *edges, pixels.std(axis=2).mean()]
    return found


SPEC = View(name="image", kinds=("image",), on="vectors", test="mmd", see=see)
