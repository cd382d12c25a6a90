"""Rows in an order that follows the target or the features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._columns import names
from rightfit.records import Check, Dataset, Finding, Schema, Task
from rightfit.task.detect import order_strength


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A warning when neighbouring rows share their target far beyond chance, an info when they share features."""
    import pandas as pd

    if len(data) < 100:
        return
    target = 0.0
    if data.y is not None and np.ndim(data.y) == 1:
        target = order_strength(pd.Series(data.y))
        if target > 0.5:
            yield Finding(code="sorted_by_target", severity="warning", column=task.target[0],
                          evidence=f"Neighbouring rows share their target {target:.2f} beyond chance: the file is "
                                   "sorted or in runs.",
                          consequence="Rows are shuffled before they are split, unless a time column says otherwise.",
                          data={"strength": round(target, 4)})
    ordered = [str(n) for n in data.X.columns if data.X[n].nunique() > 1 and order_strength(data.X[n]) > 0.7]
    if ordered:
        yield Finding(code="ordered_rows", severity="info", column=ordered[0],
                      evidence=f"Neighbouring rows resemble each other in {len(ordered)} columns: {names(ordered)}.",
                      consequence="Rows are shuffled before they are split; if the order is time or place, a random "
                                  "split flatters: "
                                  "pass --time or --group.", data={"columns": ordered})


SPEC = Check(name="row_order", run=run, modalities=("tabular",), needs_y=False, doc="Files sorted by target or "
                                                                                    "features.")
