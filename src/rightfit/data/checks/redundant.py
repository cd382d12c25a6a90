"""Columns that say what another column already says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import codes, numbers, row_hash, sample
from rightfit.records import Check, Dataset, Finding, Schema, Task

MOST = 200


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Copies, columns with one-to-one values (2 to 100 of them), and pairs of numbers with |r| above 0.995; up to 200
    columns."""
    part = sample(data)
    columns = [str(n) for n in part.X.columns][:MOST]
    told: set[str] = set()
    coded = {n: codes(part.X[n], 100) for n in columns}
    for name, other, how, figure in _pairs(part, columns, coded):
        if name in told:
            continue
        told.add(name)
        yield Finding(code="redundant", severity="info", column=name, evidence=f"{how} {other}.",
                      consequence="Kept: tree models ignore it and penalties share its weight; drop one of the two to "
                                  "make the "
                                  "model smaller and its importances readable.", data={"other": other,
                                                                                       "figure": round(figure, 5)})


def _pairs(part: Dataset, columns: list[str], coded: dict[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    hashes = {n: row_hash(part.X[[n]].set_axis(["x"], axis=1)).tobytes() for n in columns}
    first: dict[bytes, str] = {}
    for name in columns:
        if coded[name].min() == coded[name].max():
            continue
        if hashes[name] in first:
            yield name, first[hashes[name]], "Every value equals that of", 1.0
        first.setdefault(hashes[name], name)
    few = [n for n in columns if 1 < part.X[n].nunique() <= 100]
    sizes = {n: len(np.unique(coded[n])) for n in few}
    for i, name in enumerate(few):
        for other in few[:i]:
            joint = len(np.unique(coded[name] * 128 + coded[other]))
            if joint == sizes[name] == sizes[other]:
                yield name, other, "Each value goes with exactly one value of", 1.0
    yield from _correlated(part, [n for n in columns if part.X[n].nunique() > 20])


def _correlated(part: Dataset, columns: list[str]) -> Iterator[tuple[str, str, str, float]]:
    arrays = {n: a for n in columns if (a := numbers(part.X[n])) is not None and np.isfinite(a).mean() > 0.5}
    if len(arrays) < 2:
        return
    filled = np.array([np.where(np.isfinite(a), a, np.nanmedian(a[np.isfinite(a)])) for a in arrays.values()])
    centred = filled - filled.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1))
    norm[norm == 0] = np.inf
    r = (centred / norm[:, None]) @ (centred / norm[:, None]).T
    keys = list(arrays)
    for i, j in zip(*np.nonzero(np.tril(np.abs(r) > 0.995, -1)), strict=True):
        yield keys[i], keys[j], f"Correlates {r[i, j]:+.4f} with", float(r[i, j])


SPEC = Check(name="redundant", run=run, modalities=("tabular",), needs_y=False, doc="Columns that repeat another "
                                                                                    "column.")
