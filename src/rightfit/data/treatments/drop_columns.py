"""Learn without some columns: how much a suspected leak is worth is then a measured figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rightfit.records import Audit, Dataset, Schema, Task, Treatment


def plan(audit: Audit, task: Task) -> Mapping[str, Any] | None:
    """Never planned: columns leave only with consent; the race uses it to score the leader without suspected leaks."""
    return None


def apply(data: Dataset, params: Mapping[str, Any], seed: int) -> Dataset:
    """The rows without `columns`; the schema lists them as dropped."""
    gone = set(params["columns"])
    columns = tuple(dataclasses.replace(c, role="dropped") if c.name in gone else c for c in data.schema.columns)
    return dataclasses.replace(data, X=data.X.drop(columns=list(gone)), schema=Schema(columns=columns))


SPEC = Treatment(name="drop_columns", plan=plan, apply=apply, doc="Learns without some columns.")
