"""Images whose label the other images contradict: a ranked list to look at, never a deletion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._images import LISTED, features, listed, names, oof, refs, some
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 5_000
CLASSES = 30
EACH = 8
UNLIKELY = 0.1
CERTAIN = 0.8
USEFUL = 0.6


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Confident learning (Northcutt et al. 2021, by cleanlab) on out-of-fold probabilities from colours and gradients,
    on at most 5,000 images.

    Told only where these features are right in six of ten cases, about labels under 10 % beside another over 80 %.
    """
    every = refs(data)
    if task.problem not in ("binary", "multiclass") or len(every) < 100:
        return
    rows = some(len(every), ROWS)
    examined, found, better = suspects([every[row] for row in rows], data.y[rows])
    if not len(found):
        return
    shown = names(every)
    listing = [{"image": shown[rows[row]], "label": task.classes[int(data.y[rows[row]])],
                "looks_like": task.classes[int(code)]} for row, code in zip(found, better, strict=True)]
    share = len(found) / examined
    first = listed([f"{one['image']} looks like {one['looks_like']}" for one in listing])
    yield Finding(code="label_errors", severity="warning" if share > 0.01 else "info",
                  evidence=f"{len(found):,} of {examined:,} examined images have a label that the others contradict, "
                           f"worst first: {first}.",
                  consequence="Look at them; none is deleted or changed.",
                  data={"rows": [int(rows[row]) for row in found[:LISTED]], "count": len(found), "share": share,
                        "images": listing[:LISTED]})


def suspects(given: list[str], y: Any) -> tuple[int, Any, Any]:
    """How many images were examined, the positions of suspects, worst first, and the class each looks like."""
    from cleanlab.filter import find_label_issues

    nothing = np.empty(0, np.int64)
    counts = np.bincount(y)
    classes = np.flatnonzero(counts >= EACH)
    if not 2 <= len(classes) <= CLASSES:
        return 0, nothing, nothing
    kept = np.flatnonzero(np.isin(y, classes))
    labels = np.searchsorted(classes, y[kept])
    p = np.clip(oof(features([given[row] for row in kept]), labels), 1e-6, 1)
    p /= p.sum(axis=1, keepdims=True)
    if np.mean(p.argmax(axis=1) == labels) < USEFUL:
        return len(kept), nothing, nothing
    ranked = np.asarray(find_label_issues(labels, p, return_indices_ranked_by="self_confidence", filter_by="both",
                                          n_jobs=1), dtype=np.int64)
    ranked = ranked[(p[ranked, labels[ranked]] < UNLIKELY) & (p[ranked].max(axis=1) > CERTAIN)]
    return len(kept), kept[ranked], classes[p[ranked].argmax(axis=1)]


SPEC = Check(name="image_label_errors", run=run, modalities=("image",), doc="Images whose label the others contradict.",
             rank=92)
