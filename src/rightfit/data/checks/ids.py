"""Columns that number or name the rows: a model would learn the rows by heart, or their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import numbers
from rightfit.records import Check, Dataset, Finding, Schema, Task
from rightfit.task.detect import tokens

_NAMED = frozenset((
    "id", "ids", "uid", "uuid", "guid", "index", "idx", "rownames", "rowname", "rowid", "unnamed", "number", "no",
    "nr", "key", "serial", "record"))


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Names the columns the schema already set aside as ids, and the row numbers still among the features."""
    for column in schema.columns:
        if column.kind == "id" and column.role in ("feature", "dropped"):
            yield Finding(code="id_column", severity="warning", column=column.name,
                          evidence="The reader found a different value in (nearly) every row.",
                          consequence="Dropped from the features: it names rows and cannot be known of new ones.")
    for name in data.X.columns:
        values = numbers(data.X[name])
        if values is None or str(data.X[name].dtype).startswith("datetime") or len(values) < 20:
            continue
        why = row_number(values, bool(_NAMED & set(tokens(str(name)))))
        if why:
            yield Finding(code="id_column", severity="warning", column=str(name), evidence=f"{why}.",
                          consequence="Looks like a row number: pass --drop to leave it out; kept, it lets models "
                                      "learn the "
                                      "order of the file.", data={"rows": len(values)})


def row_number(values: Any, named: bool) -> str:
    """Why whole numbers (n,) look like row numbers or ids, or an empty string.

    All must differ, and either climb row by row without large gaps, or lie densely (one in three or denser), or the
    name says id.

    >>> import numpy as np
    >>> row_number(np.arange(100.0), named=False)
    '100 different whole numbers that climb row by row from 0 to 99'
    """
    if not np.isfinite(values).all() or (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return ""
    low, high = float(values.min()), float(values.max())
    dense = len(values) / (high - low + 1)
    what = f"{len(values):,} different whole numbers"
    if dense > 0.3 and bool((np.diff(values) > 0).all()):
        return f"{what} that climb row by row from {low:g} to {high:g}"
    if dense > 0.9 or named:
        return f"{what} between {low:g} and {high:g}, one for each row"
    return ""


SPEC = Check(name="ids", run=run, modalities=("tabular",), needs_y=False, doc="Row numbers and identifiers.")
