"""Columns that hold one value, or nearly so: nothing can be learned from them."""

from __future__ import annotations

from collections.abc import Iterator

from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Constants are dropped; near constants (all but 0.1 % of the rows, and under 20 others) are kept and named."""
    for name in data.X.columns:
        counts = data.X[name].value_counts(dropna=False)
        top = int(counts.iloc[0])
        value = str(counts.index[0])[:40]
        if top == len(data):
            yield Finding(code="constant", severity="warning", column=str(name), evidence=f"All {top:,} values are "
                                                                                          f"{value}.",
                          consequence="Dropped: it cannot tell one row from another.", data={"value": value})
        elif len(data) >= 100 and len(data) - top < 20 and top / len(data) > 0.999:
            yield Finding(code="near_constant", severity="info", column=str(name),
                          evidence=f"All but {len(data) - top} of {len(data):,} values are {value}.",
                          consequence="Kept: the few other rows may matter, but hardly to any metric.",
                          data={"value": value, "others": len(data) - top})


SPEC = Check(name="constants", run=run, modalities=("tabular",), needs_y=False, doc="Constant and nearly constant "
                                                                                    "columns.")
