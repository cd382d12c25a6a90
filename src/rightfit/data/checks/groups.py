"""Rows that belong together without the split knowing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.records import Check, Dataset, Finding, Schema, Task
from rightfit.task import detect


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A question about the most telling group column, with how far rows of one group share their target beyond
    chance."""
    if task.group is not None:
        return
    found = detect.groups(data.X, schema, task.target)
    if not found:
        return
    sign = found[0]
    import pandas as pd

    of_row = pd.factorize(data.X[sign.column])[0]
    alike = agreement(of_row, data.y, task.classifies) if data.y is not None and data.y.ndim == 1 else 0.0
    others = f" Others that look alike: {', '.join(s.column for s in found[1:4])}." if len(found) > 1 else ""
    yield Finding(code="group_leakage", severity="ask", column=sign.column,
                  evidence=f"{sign.evidence[0].upper()}{sign.evidence[1:]}; rows of one value share their target "
                           f"{alike:.2f} beyond chance.{others}",
                  consequence=f"Split by rows for now: do rows with the same {sign.column} belong to one case? If so, "
                              "pass --group "
                              f"{sign.column}, else the estimate is too good.",
                  data={"agreement": round(alike, 4), "others": [s.column for s in found[1:]]})


def agreement(of_row: Any, y: Any, classifies: bool) -> float:
    """Kappa-like agreement (classes) or correlation (numbers) of the target between neighbours of the same group, 0
    when there are none.

    >>> import numpy as np
    >>> agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), True)
    1.0
    """
    order = np.argsort(of_row, kind="stable")
    order = order[of_row[order] >= 0]
    same = of_row[order][1:] == of_row[order][:-1]
    left, right = y[order][:-1][same], y[order][1:][same]
    if len(left) < 2:
        return 0.0
    if classifies:
        chance = float(((np.bincount(y) / len(y)) ** 2).sum())
        return max(0.0, (float((left == right).mean()) - chance) / (1 - chance)) if chance < 1 else 0.0
    if left.std() == 0 or right.std() == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(left, right)[0, 1]))


SPEC = Check(name="groups", run=run, modalities=("tabular",), needs_y=False, doc="Undeclared groups of rows.")
