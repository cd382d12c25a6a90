"""Missing values: how many, in which columns, and what is done about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """One finding per column with missing values; above one half it is a warning."""
    shares: Any = data.X.isna().mean()
    for name in data.X.columns:
        share = float(shares[name])
        if 0 < share < 1:
            yield Finding(
                code="missing_values", severity="warning" if share > 0.5 else "info", column=str(name),
                evidence=f"{round(share * len(data)):,} of {len(data):,} values are missing ({share:.1%}).",
                consequence="Kept: tree models see the gap itself, other models get the training median or the most "
                            "frequent "
                            "value, learned inside each fold.",
                data={"share": share})


SPEC = Check(name="missing", run=run, modalities=("tabular",), needs_y=False, doc="Missing values per column.")
