"""Images that are nearly the same: resized, recompressed, brightened or slightly cropped copies, frames of one film."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.data.checks._images import LISTED, SIZE, grey, hashes, names, refs, some
from rightfit.data.checks.image_duplicates import disagree
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 30_000
RADIUS = 4
ALIKE = 0.98
MOST_PAIRS = 200_000
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Pairs whose perceptual hashes differ in at most 4 of 64 bits and whose 32 x 32 pixels correlate by 0.98 or
    more, among at most 30,000 training and 30,000 test images; exact copies and blank images are left out.
    """
    every, others = refs(data), refs(test) if test is not None else []
    rows, held = some(len(every), ROWS), some(len(others), ROWS)
    given = [every[row] for row in rows] + [others[row] for row in held]
    if len(given) < 2:
        return
    pairs = near(given)
    inside = pairs[pairs[:, 1] < len(rows)]
    across = pairs[(pairs[:, 0] < len(rows)) & (pairs[:, 1] >= len(rows))]
    shown, of_test = names(every), names(others)
    if len(inside):
        a, b = rows[inside[:, 0]], rows[inside[:, 1]]
        twins = len(np.unique(np.r_[a, b]))
        share = twins / len(rows)
        listed = [[shown[i], shown[j]] for i, j in zip(a, b, strict=True)]
        yield Finding(code="near_duplicates", severity="warning" if share > 0.02 else "info",
                      evidence=f"{twins:,} of {len(rows):,} examined images have a near copy ({share:.1%}), such as "
                               f"{listed[0][0]} and {listed[0][1]}.",
                      consequence="Kept: if they are views of one thing, give a table with a column that says so and "
                                  "name it with --group, or the estimate is too good.",
                      data={"rows": twins, "examined": len(rows), "share": share, "pairs": listed[:LISTED]})
        yield from _conflicts(a, b, data.y, shown)
    if len(across):
        share = len(np.unique(across[:, 1])) / len(held)
        listed = [[shown[rows[i]], of_test[held[j - len(rows)]]] for i, j in across]
        yield Finding(code="near_duplicates_across_test", severity="warning" if share > 0.01 else "info",
                      evidence=f"{share:.1%} of {len(held):,} examined test images have a near copy in the training "
                               f"part, such as {listed[0][1]} and {listed[0][0]}.",
                      consequence="The final check on the test part is reported as it is, with this share beside it.",
                      data={"share": share, "pairs": listed[:LISTED]})


def _conflicts(a: Any, b: Any, y: Any, shown: list[str]) -> Iterator[Finding]:
    if y is None:
        return
    bad = disagree(a, b, y)
    if bad.any():
        pairs = [[shown[i], shown[j]] for i, j in zip(a[bad], b[bad], strict=True)]
        yield Finding(code="conflicting_near_duplicates", severity="warning" if bad.sum() > 0.005 * len(y) else "info",
                      evidence=f"{len(pairs):,} pairs of near copies have different labels, such as {pairs[0][0]} and "
                               f"{pairs[0][1]}.",
                      consequence="One label of each pair is probably wrong: look at them; none is deleted or changed.",
                      data={"rows": len(pairs), "pairs": pairs[:LISTED]})


def near(given: list[str]) -> Any:
    """Pairs of positions (m, 2) of near but not exact copies, the lower first; of many alike, each with the first."""
    codes, usable = hashes(given)
    keep = np.flatnonzero(usable)
    if len(keep) < 2:
        return np.empty((0, 2), np.int64)
    distinct, first, of_row = np.unique(codes[keep], return_index=True, return_inverse=True)
    again = np.flatnonzero(first[of_row] != np.arange(len(keep)))
    pairs = np.concatenate([np.column_stack([first[of_row[again]], again]), first[close(distinct)]])
    pairs = np.unique(np.sort(keep[pairs[:MOST_PAIRS]], axis=1), axis=0)
    keys = np.array(decode.keys(given))
    pairs = pairs[keys[pairs[:, 0]] != keys[pairs[:, 1]]]
    return pairs[_alike(given, pairs) >= ALIKE] if len(pairs) else pairs


def close(codes: Any, radius: int = RADIUS) -> Any:
    """Pairs of positions (m, 2) of distinct uint64 codes at most `radius` (below 5) bits apart.

    Two such codes agree in one of five bands at least, so only codes of one band's bucket are compared (Norouzi et al.
    2012, multi-index hashing).

    >>> close(np.array([0, 7, 255], np.uint64)).tolist()
    [[0, 1]]
    """
    found = []
    for shift, width in _BANDS:
        band = (codes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        order = np.argsort(band, kind="stable")
        band, left = band[order], np.arange(len(codes))
        for step in range(1, len(codes)):
            left = left[left + step < len(codes)]
            left = left[band[left] == band[left + step]]
            if not len(left):
                break
            a, b = order[left], order[left + step]
            hit = np.bitwise_count(codes[a] ^ codes[b]) <= radius
            found.append(np.column_stack([a[hit], b[hit]]))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _alike(given: list[str], pairs: Any) -> Any:
    """Correlation (m,) of the luma of each pair."""
    table = decode.pixels(given, SIZE)
    out = np.empty(len(pairs))
    for start in range(0, len(pairs), 2048):
        part = pairs[start:start + 2048]
        both = [grey(table.take(part[:, side])).reshape(len(part), -1) for side in (0, 1)]
        a, b = (side - side.mean(axis=1, keepdims=True) for side in both)
        out[start:start + 2048] = (a * b).sum(axis=1) / np.sqrt((a ** 2).sum(axis=1) * (b ** 2).sum(axis=1) + 1e-9)
    return out


SPEC = Check(name="image_near_duplicates", run=run, modalities=("image",), needs_y=False, doc="Near copies of images.",
             rank=58)
