"""Classes of very unequal size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A finding when the largest class has three times the rows of the smallest, a warning from ten times on."""
    if not task.one_label:
        return
    counts = np.bincount(data.y, minlength=len(task.classes))
    least, most = int(counts.argmin()), int(counts.argmax())
    ratio = counts[most] / max(counts[least], 1)
    if ratio >= 3:
        yield Finding(code="class_imbalance", severity="warning" if ratio >= 10 else "info",
                      evidence=f"Class {task.classes[most]} has {counts[most]:,} rows, class {task.classes[least]} "
                               f"{counts[least]:,} ({ratio:.1f} to 1).",
                      consequence="Class weights and over-sampling are tried as treatments, folds are stratified, and "
                                  "the decision "
                                  "threshold is tuned on out-of-fold predictions.",
                      data={"ratio": round(float(ratio), 3), "smallest": int(counts[least]),
                            "share": float(counts[least] / len(data))})


SPEC = Check(name="imbalance", run=run, doc="Classes of very unequal size.")
