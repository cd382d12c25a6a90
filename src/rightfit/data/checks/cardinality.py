"""Categories: too many of them, or many that hardly occur."""

from __future__ import annotations

from collections.abc import Iterator

from rightfit.data.checks._columns import kind
from rightfit.records import Check, Dataset, Finding, Schema, Task

MANY = 100
RARE = 10


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """More than 100 categories, or categories under 10 rows that together hold over 1 % of the rows."""
    for name in data.X.columns:
        if kind(data, str(name)) != "categorical":
            continue
        counts = data.X[name].value_counts()
        if len(counts) > MANY:
            yield Finding(code="high_cardinality", severity="info", column=str(name),
                          evidence=f"{len(counts):,} categories in {len(data):,} rows.",
                          consequence="Encoded by the target's mean learned inside each fold, not by one column per "
                                      "category.",
                          data={"categories": len(counts)})
        rare = counts[counts < RARE]
        if len(rare) and rare.sum() > 0.01 * len(data):
            yield Finding(code="rare_categories", severity="info", column=str(name),
                          evidence=f"{len(rare):,} of {len(counts):,} categories have fewer than {RARE} rows, "
                                   f"together {int(rare.sum()):,} rows.",
                          consequence="Rare categories are shrunk towards the overall mean, and unseen ones are "
                                      "expected.",
                          data={"rare": len(rare), "rows": int(rare.sum())})


SPEC = Check(name="cardinality", run=run, modalities=("tabular",), needs_y=False, doc="Many or rare categories.")
