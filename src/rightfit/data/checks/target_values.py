"""The target of a regression: capped, heavy-tailed, or mostly one value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Capped: the end value holds 1 % of the rows and ten times its neighbours' share. Outliers: beyond five quartile
    ranges."""
    if task.classifies or data.y.ndim != 1 or len(data) < 50:
        return
    y = data.y
    unique, counts = np.unique(y, return_counts=True)
    for at, side, near in ((-1, "highest", counts[-21:-1]), (0, "lowest", counts[1:21])):
        heavy = len(unique) > 20 and counts[at] >= max(0.01 * len(y), 10 * float(np.mean(near)))
        if heavy and not (at == 0 and unique[0] == 0):
            share = counts[at] / len(y)
            yield Finding(code="capped_target", severity="warning", column=task.target[0],
                          evidence=f"{counts[at]:,} rows hold exactly the {side} value {unique[at]:g} ({share:.1%}): "
                                   "it looks like a limit "
                                   "of the recording.",
                          consequence="The model learns the recorded value, so beyond the cap it says the cap; report "
                                      "errors without those "
                                      "rows if that matters.", data={"value": float(unique[at]), "share": float(share)})
    top = int(counts.argmax())
    if counts[top] > 0.3 * len(y) and len(unique) > 20:
        yield Finding(code="inflated_target", severity="info", column=task.target[0],
                      evidence=f"{counts[top] / len(y):.1%} of the rows hold exactly {unique[top]:g}.",
                      consequence="Tree models, which can represent the spike, are tried first.",
                      data={"value": float(unique[top])})
    q1, q3 = np.quantile(y, [0.25, 0.75])
    far = (y < q1 - 5 * (q3 - q1)) | (y > q3 + 5 * (q3 - q1))
    if q3 > q1 and 0 < far.mean() <= 0.05:
        yield Finding(code="target_outliers", severity="warning" if far.mean() < 0.01 else "info",
                      column=task.target[0],
                      evidence=f"{int(far.sum()):,} target values lie beyond five quartile ranges (range {y.min():g} "
                               f"to {y.max():g}).",
                      consequence="Clipping the target of the training rows is tried as a treatment; validation rows "
                                  "stay as they are.",
                      data={"rows": int(far.sum()), "share": float(far.mean())})


SPEC = Check(name="target_values", run=run, doc="Capped, spiked and heavy-tailed targets.")
