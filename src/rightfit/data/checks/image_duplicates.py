"""The same image more than once: a copy in a validation fold flatters every model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.data.checks._images import LISTED, listed, names, refs
from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Files of equal content (SHA-256), those whose labels disagree, and those that also stand in the test part.

    `data` of the findings lists pairs of names, paths below the common folder.
    """
    given = refs(data)
    if not given:
        return
    keys, shown = np.array(decode.keys(given)), names(given)
    _, first, of_row = np.unique(keys, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[of_row] != np.arange(len(keys)))
    if len(copies):
        share = len(copies) / len(keys)
        pairs = [[shown[first[of_row[row]]], shown[row]] for row in copies]
        yield Finding(code="duplicates", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(copies):,} of {len(keys):,} images repeat another one exactly ({share:.1%}), "
                               f"such as {pairs[0][1]} and {pairs[0][0]}.",
                      consequence="Copies are kept in the same fold, so that no model is tested on an image it has "
                                  "seen." if share > 0.01 else "Kept: too few to change an estimate.",
                      data={"rows": len(copies), "share": share, "pairs": pairs[:LISTED]})
        yield from _conflicts(of_row, data.y, shown)
    if test is not None and (others := refs(test)):
        place = {str(key): row for row, key in reversed(list(enumerate(keys)))}
        there = [(place[key], row) for row, key in enumerate(decode.keys(others)) if key in place]
        if there:
            share, of_test = len(there) / len(others), names(others)
            pairs = [[shown[a], of_test[b]] for a, b in there]
            yield Finding(code="duplicates_across_test", severity="warning" if share > 0.01 else "info",
                          evidence=f"{len(there):,} of {len(others):,} test images also stand in the training part "
                                   f"({share:.1%}): {listed([pair[1] for pair in pairs])}.",
                          consequence="The final check on the test part is reported as it is, with this share beside "
                                      "it.", data={"share": share, "rows": len(there), "pairs": pairs[:LISTED]})


def disagree(a: Any, b: Any, y: Any) -> Any:
    """Bool (m,): whether rows a and b (m,) have different labels; numbers differ by over a tenth of their spread."""
    left, right = np.asarray(y)[a], np.asarray(y)[b]
    numbers = np.issubdtype(left.dtype, np.floating)
    apart = np.abs(left - right) > 0.1 * np.std(y, axis=0) if numbers else left != right
    return apart.reshape(len(apart), -1).any(axis=1)


def _conflicts(of_row: Any, y: Any, shown: list[str]) -> Iterator[Finding]:
    if y is None:
        return
    order = np.argsort(of_row, kind="stable")
    same = np.flatnonzero(of_row[order][1:] == of_row[order][:-1])
    a, b = order[same], order[same + 1]
    bad = disagree(a, b, y)
    if bad.any():
        pairs = [[shown[i], shown[j]] for i, j in zip(a[bad], b[bad], strict=True)]
        yield Finding(code="conflicting_labels", severity="warning" if bad.sum() > 0.005 * len(y) else "info",
                      evidence=f"{len(pairs):,} pairs of equal images have different labels, such as {pairs[0][0]} and "
                               f"{pairs[0][1]}.",
                      consequence="No model can be right on both of a pair: they bound the best score. Look at them; "
                                  "none is deleted.", data={"rows": len(pairs), "pairs": pairs[:LISTED]})


SPEC = Check(name="image_duplicates", run=run, modalities=("image",), needs_y=False, doc="Exact copies of images.",
             rank=40)
