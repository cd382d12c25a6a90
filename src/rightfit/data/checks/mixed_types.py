"""Columns that mix numbers with words."""

from __future__ import annotations

from collections.abc import Iterator

from rightfit.data.checks._columns import numeric, sample
from rightfit.records import Check, Dataset, Finding, Schema, Task

FEW_WORDS = 5


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A warning when 5 % to 99.9 % of the values of a text column with over 20 values read as numbers; on at most
    20,000 rows."""
    import pandas as pd

    part = sample(data)
    for name in part.X.columns:
        values = part.X[name].dropna()
        if numeric(values) or str(values.dtype).startswith("datetime") or values.nunique() <= 20:
            continue
        parsed = pd.to_numeric(values, errors="coerce")
        share = float(parsed.notna().mean())
        if 0.05 < share < 1:
            words = values[parsed.isna()].value_counts().index
            yield Finding(code="mixed_types", severity="warning" if len(words) <= FEW_WORDS else "info",
                          column=str(name),
                          evidence=f"{share:.1%} of the values are numbers, the others are words such as "
                                   f"{', '.join(map(str, words[:5]))!r}.",
                          consequence="Read as text. If the words mean missing, pass them with --missing and the "
                                      "column becomes numeric.",
                          data={"share": share, "words": [str(w) for w in words[:5]]})


SPEC = Check(name="mixed_types", run=run, modalities=("tabular",), needs_y=False, doc="Columns that mix numbers and "
                                                                                      "words.")
