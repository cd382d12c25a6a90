"""Texts that differ by a few characters only: edited copies, quotes, templates filled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._shingles import near
from rightfit.data.checks._texts import CUT, LISTED, SAMPLE, normal, shown, some, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task

ALIKE = 0.8
CHARACTERS = 6_000_000


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Pairs of different texts with a Jaccard similarity of 0.8 or more over runs of five characters, within the
    training rows and across the test; on the first 2,000 characters of at most 20,000 texts (fewer when long).
    """
    given = [normal(text)[:CUT] for text in texts(data)]
    others = [normal(text)[:CUT] for text in texts(test)] if test is not None else []
    both = given + others
    size = sum(map(len, both)) / max(len(both), 1)
    rows = some(len(both), min(SAMPLE, int(CHARACTERS / max(size, 1)) + 1))
    held: dict[str, int] = {}
    for row in rows:
        # a copy that stands on both sides is text_duplicates' business
        if both[row]:
            held.setdefault(both[row], int(row))
    at = np.fromiter(held.values(), dtype=np.int64, count=len(held))
    pairs = [(int(at[a]), int(at[b]), alike) for a, b, alike in near(list(held), ALIKE)]
    inner = [pair for pair in pairs if pair[1] < len(given)]
    across = [(a, b - len(given), alike) for a, b, alike in pairs if a < len(given) <= b]
    examined = int((rows < len(given)).sum())
    if inner:
        yield _within(inner, given, examined, data.y)
    if across:
        tested = len(rows) - examined
        count = len({b for _, b, _ in across})
        share = count / max(tested, 1)
        yield Finding(code="near_duplicates_across_test", severity="warning" if share > 0.01 else "info",
                      evidence=f"{count:,} of {tested:,} examined test texts nearly repeat a training text, such as "
                               f"{shown(others[across[0][1]])} and {shown(given[across[0][0]])}.",
                      consequence="The final check on the test part is reported as it is, with this share beside it.",
                      data={"rows": count, "examined": tested, "share": share, "pairs": _listed(across)})


def _listed(pairs: list[tuple[int, int, float]]) -> list[list[float]]:
    return [list(pair) for pair in sorted(pairs, key=lambda pair: -pair[2])[:LISTED]]


def _within(pairs: list[tuple[int, int, float]], given: list[str], examined: int, y: Any) -> Finding:
    rows = {row for a, b, _ in pairs for row in (a, b)}
    share = len(rows) / max(examined, 1)
    differ = "" if y is None or np.issubdtype(y.dtype, np.floating) else \
        f" In {sum(bool(np.any(y[a] != y[b])) for a, b, _ in pairs):,} of {len(pairs):,} pairs the labels differ."
    return Finding(code="near_duplicates", severity="warning" if share > 0.02 else "info",
                   evidence=f"{len(rows):,} of {examined:,} examined texts nearly repeat another one ({share:.1%}), "
                            f"such as {shown(given[pairs[0][0]])} and {shown(given[pairs[0][1]])}.{differ}",
                   consequence="Kept, and split by rows: the estimate may be a little too good. If they are copies of "
                               "one case, name the column that says so with --group.",
                   data={"rows": len(rows), "examined": examined, "share": share, "pairs": _listed(pairs)})


SPEC = Check(rank=70, name="text_near_duplicates", run=run, modalities=("text",), needs_y=False,
             doc="Texts that differ by a few characters.")
