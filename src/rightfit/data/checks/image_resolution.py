"""How large the images are: what input resolution they can feed, and which are too small or of another shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._images import HEADERS, LISTED, header, listed, names, refs, some
from rightfit.records import Check, Dataset, Finding, Schema, Task

TINY = 16
OBLONG = 3.0


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Sizes from the headers of at most 4,000 files: their distribution (always told), images under 16 pixels and
    under a quarter of the median, and shapes that a square input squashes differently (5th to 95th percentile of
    width / height more than a factor of 1.5 apart).
    """
    every = refs(data)
    rows = some(len(every), HEADERS)
    sizes = np.array([(h.width, h.height) for h in (header(every[row]) for row in rows)]).reshape(-1, 2)
    rows, sizes = rows[sizes.min(axis=1, initial=1 << 30) > 0], sizes[sizes.min(axis=1, initial=1 << 30) > 0]
    if not len(sizes):
        return
    short = sizes.min(axis=1)
    p5, p50, p95 = (int(v) for v in np.percentile(short, [5, 50, 95]))
    distinct, counts = np.unique(sizes, axis=0, return_counts=True)
    common = distinct[counts.argmax()]
    yield Finding(code="resolution", severity="info",
                  evidence=f"All {len(sizes):,} examined images are {common[0]} x {common[1]}." if len(distinct) == 1
                  else f"{len(sizes):,} examined images have {len(distinct):,} sizes; the short side is {p50} pixels "
                       f"in the median, {p5} to {p95} for nine in ten.",
                  consequence=f"Networks are tried with an input of up to about {max(32, min(p50, 256))} pixels: more "
                              "would only be blown up.",
                  data={"p5": p5, "p50": p50, "p95": p95, "least": int(short.min()), "most": int(sizes.max()),
                        "sizes": len(distinct), "common": [int(v) for v in common], "examined": len(sizes)})
    shown = names(every)
    small = short < max(TINY, p50 / 4 if len(distinct) > 1 else 0)
    if small.any() and p50 > TINY:
        order = np.flatnonzero(small)[np.argsort(short[small], kind="stable")]
        found = [shown[row] for row in rows[order]]
        yield Finding(code="tiny_images", severity="warning" if small.mean() > 0.01 else "info",
                      evidence=f"{len(found):,} of {len(sizes):,} examined images are far smaller than the others "
                               f"(down to {short.min()} pixels against {p50}): {listed(found)}.",
                      consequence="Kept and enlarged: look whether they are thumbnails, icons or failed downloads.",
                      data={"count": len(found), "least": int(short.min()), "images": found[:LISTED]})
    if p50 <= TINY:
        yield Finding(code="low_resolution", severity="warning",
                      evidence=f"Half of the images are {p50} pixels or less on the short side.",
                      consequence="Pretrained networks see them enlarged; small networks at the images' own size are "
                                  "tried beside them.", data={"p50": p50})
    aspect = sizes[:, 0] / sizes[:, 1]
    low, high = (float(v) for v in np.percentile(aspect, [5, 95]))
    if high / low > 1.5:
        extreme = rows[np.maximum(aspect, 1 / aspect) > OBLONG]
        yield Finding(code="mixed_aspect_ratios", severity="info",
                      evidence=f"Width / height runs from {low:.2f} to {high:.2f} for nine in ten images"
                               + (f"; {len(extreme):,} are more than three times as long as wide." if len(extreme)
                                  else "."),
                      consequence="Images are squashed to a square, so shapes are drawn out unequally; random crops "
                                  "of varying shape while training make networks used to it.",
                      data={"p5": low, "p95": high, "images": [shown[row] for row in extreme[:LISTED]]})


SPEC = Check(name="image_resolution", run=run, modalities=("image",), needs_y=False, doc="Sizes and shapes of images.",
             rank=45)
