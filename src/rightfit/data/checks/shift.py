"""Test rows that do not look like the training rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._columns import alone, auc, codes, matrix, names, quick_oof, sample
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 4_000


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): how well train and test rows (at most 4,000 each) can be
    told apart."""
    import pandas as pd

    if test is None or len(test) < 30 or len(data) < 30 or not len(data.X.columns):
        return
    left, right = sample(data, ROWS), sample(test, ROWS)
    both = pd.concat([left.X, right.X[left.X.columns]], ignore_index=True)
    side = np.repeat([0, 1], [len(left), len(right)])
    apart = auc(side == 1, quick_oof(matrix(both), side, "classes")[:, 1])
    # The spread of an AUC when both sides are alike (Hanley and McNeil 1982, null case).
    noise = float(np.sqrt((len(side) + 1) / (12 * len(left) * len(right))))
    if apart > 0.5 + max(4 * noise, 0.03):
        sides = Task(modality=task.modality, problem="binary", target=("side",), metric="roc_auc", classes=("train",
                                                                                                            "test"))
        ranked = sorted(((alone(codes(both[n]), side, sides), str(n)) for n in both.columns), reverse=True)
        moved = [n for score, n in ranked if score > 0.5 + max(4 * noise, 0.03)]
        yield Finding(code="train_test_shift", severity="warning" if apart > 0.6 else "info", column=moved[0]
                      if moved else None,
                      evidence=f"A classifier tells test rows from training rows with ROC AUC {apart:.3f} (0.5 is "
                               "alike); moved most: "
                               f"{names(moved) or 'no single column'}.",
                      consequence="The score on the test file may differ from the estimate; both are reported side by "
                                  "side.",
                      data={"auc": round(apart, 4), "columns": moved[:20]})
    unseen = {str(n): share for n in data.X.columns if (share := _unseen(data, test, str(n))) > 0.01}
    if unseen:
        worst = max(unseen, key=lambda n: unseen[n])
        yield Finding(code="unseen_categories", severity="info", column=worst,
                      evidence=f"{unseen[worst]:.1%} of the test rows have a {worst} never seen in training"
                               + (f" (also {names([n for n in unseen if n != worst])})." if len(unseen) > 1 else "."),
                      consequence="Unseen categories are encoded as unknown.", data={"share": unseen})


def _unseen(data: Dataset, test: Dataset, name: str) -> float:
    column = next((c for c in data.schema.columns if c.name == name), None)
    if column is None or column.kind != "categorical":
        return 0.0
    values = test.X[name].dropna()
    return float((~values.isin(set(data.X[name].dropna().unique()))).mean()) if len(values) else 0.0


SPEC = Check(rank=60, name="shift", run=run, modalities=("tabular",), needs_y=False,
             doc="Differences between training and test rows.")
