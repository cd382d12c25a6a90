"""Too few rows, or too few rows for the columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Under ten events per feature (Peduzzi et al. 1996): events are rows of the rarer class (binary), of all others,
    rows."""
    features = len(data.X.columns)
    events = len(data)
    what = "rows"
    if task.problem == "binary" and data.y is not None:
        counts = np.bincount(data.y, minlength=2)
        events, what = int(counts.min()), f"rows of class {task.classes[int(counts.argmin())]}"
    if features and events < 10 * features:
        yield Finding(code="few_rows", severity="warning" if events < 3 * features else "info",
                      evidence=f"{events:,} {what} for {features:,} features, {events / features:.1f} a feature.",
                      consequence="Regularised and simple families are tried first, cross-validation is repeated, and "
                                  "the gap between training and validation is reported.",
                      data={"events": events, "per_feature": events / features})


SPEC = Check(name="few_rows", run=run, modalities=("tabular",), doc="Too few rows for the columns.")
