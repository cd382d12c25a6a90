"""Labels that the other texts contradict: a ranked list to look at, never a deletion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._texts import LISTED, quick_oof, shown, some, texts, tfidf
from rightfit.data.checks.label_errors import far
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 8_000
CLASSES = 100
SMALLEST = 10
UNLIKELY = 0.1


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Confident learning (Northcutt et al. 2021, by cleanlab) on out-of-fold probabilities of a logistic regression on
    TF-IDF, on at most 8,000 texts; regression: residuals beyond ten robust standard deviations.
    """
    if data.y.ndim != 1 or len(data) < 100:
        return
    given = texts(data)
    rows = np.array([row for row in some(len(given), ROWS) if given[row].strip()], dtype=np.int64)
    if task.classifies:
        counts = np.bincount(data.y[rows], minlength=len(task.classes))
        classes = np.flatnonzero(counts >= SMALLEST)
        if not 2 <= len(classes) <= CLASSES:
            return
        rows = rows[np.isin(data.y[rows], classes)]
        found, guess = _suspects([given[row] for row in rows], np.searchsorted(classes, data.y[rows]))
        instead = [task.classes[classes[k]] for k in guess]
    else:
        found, values = _far([given[row] for row in rows], data.y[rows])
        instead = [f"{value:.3g}" for value in values]
    if not len(found):
        return
    share = len(found) / len(rows)
    worst = int(rows[found[0]])
    label = task.classes[data.y[worst]] if task.classifies else f"{data.y[worst]:.3g}"
    items = [{"row": int(rows[at]), "text": given[rows[at]][:200], "instead": other}
             for at, other in list(zip(found, instead, strict=True))[:LISTED]]
    yield Finding(code="label_errors", severity="warning" if share > 0.01 else "info",
                  evidence=f"{len(found):,} of {len(rows):,} examined texts have a target value that the other texts "
                           f"contradict, such as row={worst}: {shown(given[worst])} is labelled {label}, expected "
                           f"{instead[0]}.",
                  consequence="Look at these texts; none is deleted or changed.",
                  data={"rows": [item["row"] for item in items], "items": items, "count": len(found), "share": share})


def _suspects(part: list[str], y: Any) -> tuple[Any, Any]:
    """Positions of the suspects, worst first, and the classes expected instead."""
    from cleanlab.filter import find_label_issues

    matrix, names = tfidf(part)
    if not len(names):
        return np.arange(0), np.arange(0)
    likely = _tempered(np.clip(quick_oof(matrix, y), 1e-6, 1), y)
    ranked = np.asarray(find_label_issues(y, likely, return_indices_ranked_by="self_confidence", filter_by="both",
                                          n_jobs=1), dtype=np.int64)
    ranked = ranked[likely[ranked, y[ranked]] < UNLIKELY]
    return ranked, likely[ranked].argmax(axis=1)


def _tempered(likely: Any, y: Any) -> Any:
    """Probabilities (n, k) at the temperature, 1 or more, of least log loss (Guo et al. 2017): quick models are too
    sure.
    """
    from scipy.optimize import minimize_scalar

    def at(log_temperature: float) -> Any:
        powers = likely ** np.exp(-log_temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        return -float(np.log(at(log_temperature)[np.arange(len(y)), y]).mean())

    return at(minimize_scalar(loss, bounds=(0.0, 3.0), method="bounded", options={"xatol": 0.05}).x)


def _far(part: list[str], y: Any) -> tuple[Any, Any]:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    matrix, names = tfidf(part)
    if not len(names):
        return np.arange(0), np.arange(0)
    guess = cross_val_predict(Ridge(alpha=1.0, solver="sag", max_iter=50, tol=1e-2, random_state=0), matrix, y,
                              cv=KFold(3, shuffle=True, random_state=0))
    found = far(y, guess)
    return found, guess[found]


SPEC = Check(rank=90, name="text_label_errors", run=run, modalities=("text",),
             doc="Texts whose label the others contradict.")
