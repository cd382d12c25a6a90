"""Test images that do not look like the training images, and other shares of the classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import auc
from rightfit.data.checks._images import features, oof, refs
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 1_500
LEAST = 30


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): how well training and test images, at most 1,500 of
    each and as many of each class, can be told apart by colours and gradients.
    """
    if test is None:
        return
    here, there = refs(data), refs(test)
    if len(here) < LEAST or len(there) < LEAST:
        return
    left, right = matched(data, test, task)
    if min(len(left), len(right)) < LEAST:
        return
    X = features([here[row] for row in left] + [there[row] for row in right])
    side = np.repeat([0, 1], [len(left), len(right)])
    apart = auc(side == 1, oof(X, side)[:, 1])
    # The spread of an AUC when both sides are alike (Hanley and McNeil 1982, null case).
    noise = float(np.sqrt((len(side) + 1) / (12 * len(left) * len(right))))
    if apart > 0.5 + max(4 * noise, 0.05):
        alike = "as many of each class on both sides" if task.problem in ("binary", "multiclass") else "drawn at random"
        yield Finding(code="train_test_shift", severity="warning" if apart > 0.6 else "info",
                      evidence=f"Colours and gradients tell test images from training images with ROC AUC {apart:.3f} "
                               f"(0.5 is alike; {len(left):,} and {len(right):,} images, {alike}).",
                      consequence="The score on the test part may differ from the estimate; both are reported side by "
                                  "side. Stronger augmentation and pretrained networks suffer less.",
                      data={"auc": round(apart, 4), "train": len(left), "test": len(right)})


def matched(data: Dataset, test: Dataset, task: Task) -> tuple[Any, Any]:
    """Rows of both sides, at most 1,500 each, with equal numbers of each class where there are classes: other shares
    of the classes are no shift of the images."""
    rng = np.random.default_rng(0)
    if data.y is None or test.y is None or task.problem not in ("binary", "multiclass"):
        return (np.sort(rng.permutation(len(data))[:ROWS]), np.sort(rng.permutation(len(test))[:ROWS]))
    least = np.minimum(np.bincount(data.y, minlength=len(task.classes)),
                       np.bincount(test.y, minlength=len(task.classes)))
    total = int(least.sum())
    each = least if total <= ROWS else least * ROWS // total
    sides = []
    for y in (data.y, test.y):
        rows = [rng.permutation(np.flatnonzero(y == code))[:n] for code, n in enumerate(each)]
        sides.append(np.sort(np.concatenate(rows)).astype(np.int64) if rows else np.empty(0, np.int64))
    return sides[0], sides[1]


SPEC = Check(name="image_shift", run=run, modalities=("image",), needs_y=False,
             doc="Differences between training and test images.", rank=62)
