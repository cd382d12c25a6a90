"""Random over-sampling: rows of rare classes are repeated (imbalanced-learn)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.records import Audit, Dataset, Task, Treatment

MOST_ROWS = 200_000


def plan(audit: Audit, task: Task) -> Mapping[str, Any] | None:
    """Called for by a class imbalance in up to 200,000 rows: each class is raised to half of the largest."""
    fits = task.one_label and audit.rows <= MOST_ROWS
    return {"share": 0.5} if fits and audit.of("class_imbalance") else None


def apply(data: Dataset, params: Mapping[str, Any], seed: int) -> Dataset:
    """All rows, and repeats of the rows of every class below `share` of the largest class until it reaches that."""
    from imblearn.over_sampling import RandomOverSampler

    labels, counts = np.unique(data.y, return_counts=True)
    goal = round(float(params.get("share", 0.5)) * counts.max())
    raised = {int(c): max(int(n), goal) for c, n in zip(labels, counts, strict=True)}
    if len(labels) < 2 or all(raised[int(c)] == n for c, n in zip(labels, counts, strict=True)):
        return data
    sampler = RandomOverSampler(sampling_strategy=raised, random_state=seed)
    sampler.fit_resample(np.zeros((len(data), 1)), data.y)
    return data.take(sampler.sample_indices_)


SPEC = Treatment(name="oversample", plan=plan, apply=apply, handles="class_imbalance", doc="Repeats rows of rare "
                                                                                           "classes.")
