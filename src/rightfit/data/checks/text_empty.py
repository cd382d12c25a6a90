"""Texts without a word in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._texts import LISTED, shown, texts, wordless
from rightfit.records import Check, Dataset, Finding, Schema, Task


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Rows whose texts are all missing or blank, and rows that hold signs but no letter or digit."""
    given = texts(data)
    empty = np.flatnonzero([not text.strip() for text in given])
    if len(empty):
        share = len(empty) / len(given)
        yield Finding(code="empty_texts", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(empty):,} of {len(given):,} texts are empty ({share:.1%}), the first in "
                               f"row={empty[0]}.",
                      consequence="They are kept as missing and get the answer for a text without known words.",
                      data={"rows": empty[:LISTED].tolist(), "count": len(empty), "share": share})
    bare = np.flatnonzero([bool(text.strip()) and wordless(text) for text in given])
    if len(bare):
        share = len(bare) / len(given)
        yield Finding(code="wordless_texts", severity="warning" if share > 0.01 else "info",
                      evidence=f"{len(bare):,} of {len(given):,} texts hold signs but no word, such as "
                               f"{shown(given[bare[0]])} in row={bare[0]}.",
                      consequence="They are kept; only models that read characters see a difference between them.",
                      data={"rows": bare[:LISTED].tolist(), "count": len(bare), "share": share})


SPEC = Check(rank=10, name="text_empty", run=run, modalities=("text",), needs_y=False, doc="Texts without a word.")
