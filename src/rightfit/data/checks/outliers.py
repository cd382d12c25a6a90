"""Values far outside the bulk of their column, and infinite ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._columns import numbers
from rightfit.records import Check, Dataset, Finding, Schema, Task

FAR = 10.0


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Values beyond ten robust standard deviations (quartile range / 1.349) from the median, where they are at most 5
    % of a column."""
    for name in data.X.columns:
        values = numbers(data.X[name])
        if values is None:
            continue
        infinite = int(np.isinf(values).sum())
        if infinite:
            yield Finding(code="infinite_values", severity="warning", column=str(name), evidence=f"{infinite:,} "
                                                                                                 "values are infinite.",
                          consequence="Treated as missing.", data={"rows": infinite})
        known = values[np.isfinite(values)]
        if len(known) < 50:
            continue
        q1, middle, q3 = np.quantile(known, [0.25, 0.5, 0.75])
        spread = (q3 - q1) / 1.349
        if not spread:
            continue
        far = np.abs(known - middle) > FAR * spread
        if 0 < far.mean() <= 0.05:
            yield Finding(code="outliers", severity="info", column=str(name),
                          evidence=f"{int(far.sum()):,} values lie beyond {FAR:g} robust standard deviations from the "
                                   f"median {middle:g} "
                                   f"(range {known.min():g} to {known.max():g}).",
                          consequence="Kept: trees do not mind; linear models, neighbours and networks see the column "
                                      "on a robust or "
                                      "quantile scale.", data={"rows": int(far.sum()), "share": float(far.mean())})


SPEC = Check(name="outliers", run=run, modalities=("tabular",), needs_y=False, doc="Values far outside the bulk.")
