"""Rows that differ by less than noise: re-measured or slightly edited copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import codes, numbers, row_hash, sample
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 5_000
CLOSE = 0.01


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Pairs closer than 0.01 standard deviations in every number and equal in every category, among 5,000 sampled
    rows."""
    part = sample(data, ROWS)
    continuous = [n for n in part.X.columns if numbers(part.X[n]) is not None and part.X[n].nunique() > 100]
    if len(continuous) < 3 or len(part) < 50:
        return
    close = close_pairs(part, continuous)
    exact = row_hash(part.X)
    pairs = [(a, b) for a, b in close if exact[a] != exact[b]]
    if not pairs:
        return
    rows = len({r for pair in pairs for r in pair})
    share = rows / len(part)
    yield Finding(code="near_duplicates", severity="warning" if share > 0.02 else "info",
                  evidence=f"{rows:,} of {len(part):,} examined rows have a twin that differs by less than {CLOSE} "
                           "standard "
                           "deviations in every column.",
                  consequence="Kept; if they are copies of one case, name the column that says so with --group.",
                  data={"rows": rows, "examined": len(part), "share": share})


def close_pairs(part: Dataset, continuous: list[str]) -> list[tuple[int, int]]:
    """Index pairs of rows closer than CLOSE standard deviations (largest difference) in the named columns, equal in
    the others."""
    from scipy.spatial import cKDTree

    def scaled(name: str) -> Any:
        values = numbers(part.X[name])
        assert values is not None
        known = values[np.isfinite(values)]
        return np.nan_to_num((values - known.mean()) / (known.std() or 1.0), nan=-9e3, posinf=9e3, neginf=-8e3)

    other = [n for n in part.X.columns if n not in continuous]
    rest = [codes(part.X[n], 1000).astype(float) for n in other]
    points = np.column_stack([scaled(n) for n in continuous] + rest)
    return [(int(a), int(b)) for a, b in cKDTree(points).query_pairs(CLOSE, p=np.inf, output_type="ndarray")[:20_000]]


SPEC = Check(rank=70, name="near_duplicates", run=run, modalities=("tabular",), needs_y=False,
             doc="Rows that differ by less than noise.")
