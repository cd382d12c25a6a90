"""Grey and colour images: what augmentation of colour is good for, and whether grey gives the class away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._images import chunks, listed, refs, some
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 10_000
CHROMA = 8
MIXED = 0.02
LEAST = 10


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """An image is grey when in 99 % of its 32 x 32 pixels the channels differ by at most 8 of 255; at most 10,000
    are examined. A question when at least nine in ten images of a class are grey, and at most one in ten of the
    others, or the other way round.
    """
    every = refs(data)
    rows = some(len(every), ROWS)
    if not len(rows):
        return
    is_grey = np.concatenate([_grey(pixels) for pixels in chunks([every[row] for row in rows])])
    share = float(is_grey.mean())
    if share == 1:
        yield Finding(code="grey_images", severity="info", evidence=f"All {len(rows):,} examined images are grey.",
                      consequence="Changes of hue and saturation while training would do nothing; brightness and "
                                  "contrast remain.", data={"share": 1.0})
    elif MIXED <= share <= 1 - MIXED:
        yield Finding(code="mixed_color", severity="info",
                      evidence=f"{share:.1%} of {len(rows):,} examined images are grey, the others in colour.",
                      consequence="Training also on images turned grey keeps a network from leaning on colour.",
                      data={"share": share})
    if 0 < share < 1 and data.y is not None and task.problem in ("binary", "multiclass"):
        yield from _given_away(is_grey, data.y[rows], task)


def _grey(pixels: Any) -> Any:
    """Bool (n,)."""
    chroma = pixels.max(axis=3).astype(np.int16) - pixels.min(axis=3)
    return np.percentile(chroma.reshape(len(pixels), -1), 99, axis=1) <= CHROMA


def _given_away(is_grey: Any, y: Any, task: Task) -> Iterator[Finding]:
    found = []
    for code, name in enumerate(task.classes):
        inside = y == code
        if inside.sum() < LEAST or (~inside).sum() < LEAST:
            continue
        own, other = float(is_grey[inside].mean()), float(is_grey[~inside].mean())
        if (own >= 0.9 and other <= 0.1) or (own <= 0.1 and other >= 0.9):
            found.append((name, own, other))
    if found:
        name, own, other = found[0]
        yield Finding(code="color_leak", severity="ask",
                      evidence=f"{own:.0%} of the images of class {name} are grey, of the others {other:.0%}"
                               + (f"; the same holds for {listed([f[0] for f in found[1:]])}." if len(found) > 2
                                  else "."),
                      consequence="Kept: will it be so when the model is used? If the images only come from different "
                                  "sources, a model learns the source; turn all of them grey before learning.",
                      data={"classes": [f[0] for f in found], "share": own, "others": other})


SPEC = Check(name="image_color", run=run, modalities=("image",), needs_y=False, doc="Grey and colour images.", rank=56)
