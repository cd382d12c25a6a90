"""Test texts that do not look like the training texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import auc
from rightfit.data.checks._texts import linear, normal, quick_oof, some, texts, tfidf
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 4_000
TELLING = 8


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): how well train and test texts (at most 4,000 each) can be
    told apart by TF-IDF.
    """
    if test is None or len(test) < 30 or len(data) < 30:
        return
    left, right = texts(data), texts(test)
    left = [left[row] for row in some(len(left), ROWS)]
    right = [right[row] for row in some(len(right), ROWS)]
    both, side = _distinct(left, right)
    if min(np.bincount(side, minlength=2)) < 30:
        return
    matrix, names = tfidf(both)
    if not len(names):
        return
    apart = auc(side == 1, quick_oof(matrix, side)[:, 1])
    # The spread of an AUC when both sides are alike (Hanley and McNeil 1982, null case).
    n0, n1 = np.bincount(side)
    noise = float(np.sqrt((n0 + n1 + 1) / (12 * n0 * n1)))
    if apart <= 0.5 + max(4 * noise, 0.03):
        return
    weights = linear(2).fit(matrix, side).coef_[0] * np.asarray(matrix.mean(axis=0)).ravel()
    order = np.argsort(weights)
    tested, trained = [str(names[i]) for i in order[::-1][:TELLING]], [str(names[i]) for i in order[:TELLING]]
    yield Finding(code="train_test_shift", severity="warning" if apart > 0.6 else "info",
                  evidence=f"A classifier tells test texts from training texts with ROC AUC {apart:.3f} (0.5: alike); "
                           f"more often in the test: {', '.join(tested[:5])}; in training: {', '.join(trained[:5])}.",
                  consequence="The score on the test part may differ from the estimate; both are reported side by "
                              "side.", data={"auc": round(apart, 4), "test_words": tested, "train_words": trained})


def _distinct(left: list[str], right: list[str]) -> tuple[list[str], Any]:
    """The texts of both sides without copies, which would be learned by heart, and their side (0 train, 1 test)."""
    sides: dict[str, int] = {}
    for at, part in enumerate((left, right)):
        for text in part:
            plain = normal(text)
            if plain:
                sides.setdefault(plain, at)
    return list(sides), np.fromiter(sides.values(), dtype=np.int64, count=len(sides))


SPEC = Check(rank=60, name="text_shift", run=run, modalities=("text",), needs_y=False,
             doc="Differences between training and test texts.")
