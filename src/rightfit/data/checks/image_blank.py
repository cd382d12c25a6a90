"""Images that show nothing: one colour from edge to edge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._images import LISTED, chunks, listed, names, refs, some
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 20_000
FLAT = 2.0


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Images whose 32 x 32 pixels scatter by less than 2 of 255 in every channel, among at most 20,000."""
    every = refs(data)
    rows = some(len(every), ROWS)
    given = [every[row] for row in rows]
    if not given:
        return
    spread = np.concatenate([pixels.std(axis=(1, 2)).max(axis=1) for pixels in chunks(given)])
    blank = rows[spread < FLAT]
    if not len(blank):
        return
    shown = names(every)
    found = [shown[row] for row in blank]
    share = len(blank) / len(rows)
    of = ""
    if data.y is not None and task.one_label:
        counts = np.bincount(data.y[blank], minlength=len(task.classes))
        of = f"; most of them ({counts.max()}) are of class {task.classes[int(counts.argmax())]}"
    yield Finding(code="blank_images", severity="warning",
                  evidence=f"{len(blank):,} of {len(rows):,} examined images are of one colour and show nothing: "
                           f"{listed(found)}{of}.",
                  consequence="Kept: look at them, for a model can only learn their label by heart. Leave them out "
                              "if they are failed exports or placeholders.",
                  data={"count": len(blank), "share": share, "images": found[:LISTED]})


SPEC = Check(name="image_blank", run=run, modalities=("image",), needs_y=False, doc="Images of one colour.", rank=55)
