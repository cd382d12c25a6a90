"""Labels that the other rows contradict: a ranked list to look at, never a deletion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import matrix, quick_oof
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 10_000
CLASSES = 30
UNLIKELY = 0.1


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Confident learning (Northcutt et al. 2021, by cleanlab) on out-of-fold probabilities of a small LightGBM on at
    most 10,000 rows; regression: residuals beyond ten robust standard deviations.
    """
    if task.problem == "multilabel" or data.y.ndim != 1 or len(data) < 100 or not len(data.X.columns):
        return
    rows = np.arange(len(data))
    if len(data) > ROWS:
        rows = np.sort(np.random.default_rng(0).choice(len(data), ROWS, replace=False))
    X, y = matrix(data.X.iloc[rows]), data.y[rows]
    if task.classifies:
        kept, ranked = suspects(X, y)
    else:
        kept, ranked = np.arange(len(y)), far(y, quick_oof(X, y.astype(float), "regression"))
    found = rows[kept[ranked]]
    if len(found):
        share = len(found) / len(rows)
        first = ", ".join(str(int(r)) for r in found[:5])
        yield Finding(code="label_errors", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(found):,} of {len(rows):,} examined rows have a target value that the other "
                               "rows contradict "
                               f"(worst first: rows {first}).",
                      consequence="Look at these rows; none is deleted or changed.",
                      data={"rows": [int(r) for r in found[:200]], "count": len(found), "share": share})


def suspects(X: Any, y: Any) -> tuple[Any, Any]:
    """Positions of the rows examined, and the suspects among them, worst first; classes under 6 rows and beyond 30
    are left out."""
    from cleanlab.filter import find_label_issues

    counts = np.bincount(y)
    classes = np.flatnonzero(counts >= 6)
    if not 2 <= len(classes) <= CLASSES:
        return np.arange(0), np.arange(0)
    kept = np.flatnonzero(np.isin(y, classes))
    labels = np.searchsorted(classes, y[kept])
    probabilities = np.clip(quick_oof(X[kept], labels, "classes"), 1e-6, 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", filter_by="both",
                               n_jobs=1)
    ranked = np.asarray(issues, dtype=int)
    return kept, ranked[probabilities[ranked, labels[ranked]] < UNLIKELY]


def far(y: Any, guess: Any) -> Any:
    """Positions whose residual is beyond ten robust standard deviations (1.4826 MAD), farthest first."""
    residual = np.abs((y - guess) - np.median(y - guess))
    spread = 1.4826 * float(np.median(residual))
    if not spread:
        return np.arange(0)
    return np.flatnonzero(residual > 10 * spread)[np.argsort(-residual[residual > 10 * spread], kind="stable")]


SPEC = Check(rank=90, name="label_errors", run=run, modalities=("tabular",),
             doc="Rows whose label the others contradict.")
