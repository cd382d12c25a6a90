"""Rows that carry a time the split does not know of."""

from __future__ import annotations

from collections.abc import Iterator

from rightfit.records import Check, Dataset, Finding, Schema, Task
from rightfit.task import detect


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A question about the most telling time column, or about calendar columns along which the rows are ordered."""
    if task.time is not None or data.time is not None:
        return
    found = detect.times(data.X, schema, task.target)
    if found:
        sign = found[0]
        yield Finding(code="time_order", severity="ask", column=sign.column,
                      evidence=f"{sign.evidence[0].upper()}{sign.evidence[1:]}.",
                      consequence="Split at random for now: will the model predict later rows? If so, "
                                  f"{detect.how_to_order(sign)}, else the estimate is too good.",
                      data={"strength": round(sign.strength, 4), "others": [s.column for s in found[1:]]})


SPEC = Check(name="time_order", run=run, modalities=("tabular",), needs_y=False, doc="Undeclared time order.")
