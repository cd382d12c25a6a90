"""Rows that occur more than once: seen rows in a validation fold flatter every model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import row_hash
from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Exact duplicates, those whose labels disagree, and rows that also stand in the test file."""
    import pandas as pd

    frame = data.X if test is None else pd.concat([data.X, test.X[data.X.columns]], ignore_index=True)
    hashes = row_hash(frame)
    here, there = hashes[:len(data)], hashes[len(data):]
    _, inverse, counts = np.unique(here, return_inverse=True, return_counts=True)
    repeats = len(data) - len(counts)
    if repeats:
        share = repeats / len(data)
        yield Finding(code="duplicates", severity="warning" if share > 0.01 else "info",
                      evidence=f"{repeats:,} of {len(data):,} rows repeat an earlier row in all features "
                               f"({share:.1%}).",
                      consequence="Copies of a row are kept in the same fold, so that no model is tested on a row it "
                                  "has seen."
                      if share > 0.01 else "Kept: too few to change an estimate.", data={"rows": repeats,
                                                                                         "share": share})
        if data.y is not None and np.ndim(data.y) == 1:
            yield from _conflicts(inverse, data.y, task)
    if test is not None and len(there):
        shared = float(np.isin(there, here).mean())
        if shared > 0:
            yield Finding(code="duplicates_across_test", severity="warning" if shared > 0.01 else "info",
                          evidence=f"{round(shared * len(there)):,} of {len(there):,} test rows also stand in the "
                                   "training "
                                   f"rows ({shared:.1%}).",
                          consequence="The final check on the test file is reported as it is, with this share beside "
                                      "it.",
                          data={"share": shared})


def _conflicts(of_row: Any, y: Any, task: Task) -> Iterator[Finding]:
    """Rows that must be predicted wrongly because equal rows, in greater number, say otherwise (classes); copies
    whose targets
    differ by over a tenth of the standard deviation (numbers).
    """
    if task.classifies:
        pairs, of_pair, counts = np.unique(of_row * (int(y.max()) + 1) + y, return_inverse=True, return_counts=True)
        groups = pairs // (int(y.max()) + 1)
        order = np.lexsort((-counts, groups))
        first = np.zeros(len(pairs), dtype=bool)
        first[order[np.r_[True, groups[order][1:] != groups[order][:-1]]]] = True
        bad = np.flatnonzero(~first[of_pair])
    else:
        order = np.lexsort((y, of_row))
        differ = (of_row[order][1:] == of_row[order][:-1]) & (np.diff(y[order].astype(float)) > 0.1 * np.std(y))
        bad = np.sort(order[1:][differ])
    if len(bad):
        yield Finding(code="conflicting_labels", severity="warning" if len(bad) > 0.005 * len(y) else "info",
                      evidence=f"{len(bad):,} rows agree in all features with other rows of another target value.",
                      consequence="No model can be right on all of them: they bound the best score. Look at them; "
                                  "none is deleted.",
                      data={"rows": len(bad), "first": [int(r) for r in bad[:20]]})


SPEC = Check(name="duplicates", run=run, modalities=("tabular",), needs_y=False, doc="Exact duplicate rows.")
