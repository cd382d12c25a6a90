"""The same text more than once: seen texts in a validation fold flatter every model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._texts import LISTED, normal, shown, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Texts that are equal but for case, blanks and width; those whose labels disagree; those that also stand in the
    test part. Empty texts do not count. `data` lists pairs of rows.
    """
    import pandas as pd

    given = texts(data)
    plain = [normal(text) for text in given]
    filled = np.array([bool(text) for text in plain])
    of_row, _ = pd.factorize(np.array(plain, dtype=object))
    first = np.unique(of_row, return_index=True)[1][of_row]
    copies = np.flatnonzero((first != np.arange(len(first))) & filled)
    if len(copies):
        share = len(copies) / len(given)
        loose = sum(given[row] != given[first[row]] for row in copies)
        but = f", {loose:,} of them in other case or blanks" if loose else ""
        yield Finding(code="duplicates", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(copies):,} of {len(given):,} texts repeat an earlier one{but} ({share:.1%}), "
                               f"such as {shown(given[copies[0]])}.",
                      consequence="Exact copies are kept in the same fold, so that no model is tested on a text it "
                                  "has seen." if share > 0.01 else "Kept: too few to change an estimate.",
                      data={"rows": len(copies), "share": share, "pairs": _pairs(first[copies], copies)})
        yield from _conflicts(of_row, filled, data.y, given)
    if test is not None and len(test):
        yield from _across(plain, texts(test))


def _pairs(left: Any, right: Any) -> list[list[int]]:
    return [[int(a), int(b)] for a, b in list(zip(left, right, strict=True))[:LISTED]]


def _conflicts(of_row: Any, filled: Any, y: Any, given: list[str]) -> Iterator[Finding]:
    """Pairs of equal texts whose labels differ; numbers by over a tenth of their standard deviation."""
    if y is None:
        return
    order = np.argsort(of_row, kind="stable")
    same = (of_row[order][1:] == of_row[order][:-1]) & filled[order][1:]
    a, b = order[:-1][same], order[1:][same]
    least = 0.1 * np.std(y, axis=0) if np.issubdtype(y.dtype, np.floating) else 0
    bad = (np.abs(y[a] - y[b]) > least).reshape(len(a), -1).any(axis=1)
    if bad.any():
        rows = int(bad.sum())
        yield Finding(code="conflicting_labels", severity="warning" if rows > 0.005 * len(y) else "info",
                      evidence=f"{rows:,} pairs of equal texts have different target values, such as "
                               f"{shown(given[a[bad][0]])} in rows {a[bad][0]} and {b[bad][0]}.",
                      consequence="No model can be right on all of them: they bound the best score. Look at them; "
                                  "none is deleted.",
                      data={"rows": rows, "pairs": _pairs(a[bad], b[bad])})


def _across(plain: list[str], others: list[str]) -> Iterator[Finding]:
    place = {text: row for row, text in reversed(list(enumerate(plain))) if text}
    there = [(place[text], row) for row, text in enumerate(map(normal, others)) if text in place]
    if there:
        share = len(there) / len(others)
        yield Finding(code="duplicates_across_test", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(there):,} of {len(others):,} test texts also stand among the training texts "
                               f"({share:.1%}), such as {shown(others[there[0][1]])}.",
                      consequence="The final check on the test part is reported as it is, with this share beside it.",
                      data={"share": share, "rows": len(there), "pairs": [list(pair) for pair in there[:LISTED]]})


SPEC = Check(rank=20, name="text_duplicates", run=run, modalities=("text",), needs_y=False, doc="Repeated texts.")
