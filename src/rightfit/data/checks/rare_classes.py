"""Classes with fewer rows than folds, which no fold can both learn and test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._columns import names
from rightfit.records import Check, Dataset, Finding, Schema, Task

FOLDS = 5
FEW = 20


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A warning for classes under 5 rows; under 20 rows a class is named because its score will be mostly luck."""
    if not task.classifies:
        return
    counts = data.y.sum(axis=0) if task.problem == "multilabel" else np.bincount(data.y, minlength=len(task.classes))
    short = [task.classes[i] for i in np.flatnonzero(counts < FOLDS)]
    if short:
        yield Finding(code="rare_classes", severity="warning",
                      evidence=f"{len(short)} of {len(task.classes)} classes have fewer than {FOLDS} rows: "
                               f"{names(short)}.",
                      consequence="They are spread over the folds as far as they go; the score says little about "
                                  "them. Add rows, "
                                  "or join them with a neighbouring class.",
                      data={"classes": short[:50], "count": len(short)})
    few = [task.classes[i] for i in np.flatnonzero((counts >= FOLDS) & (counts < FEW))]
    if few:
        yield Finding(code="few_examples", severity="warning",
                      evidence=f"{len(few)} classes have {FOLDS} to {FEW - 1} rows: {names(few)}.",
                      consequence="Cross-validation is repeated so that the estimate does not hang on a few rows; its "
                                  "interval stays "
                                  "wide.", data={"classes": few[:50], "count": len(few),
                                                 "smallest": int(counts[counts >= FOLDS].min())})


SPEC = Check(name="rare_classes", run=run, doc="Classes with too few rows.")
