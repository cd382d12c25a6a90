"""How long the texts are: what a network must read, and where it may stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._texts import SAMPLE, some, texts, words
from rightfit.records import Check, Dataset, Finding, Schema, Task

QUANTILES = (50, 95, 99)
GIANT = 50_000


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Quantiles of length in characters and words (Chinese: characters), on at most 20,000 texts that are not empty.

    `data` holds p50_words, p95_words, p99_words, max_words and the same for chars.
    """
    given = texts(data)
    part = [given[row] for row in some(len(given), SAMPLE) if given[row].strip()]
    if not part:
        return
    chars = np.array([len(text) for text in part])
    many = np.array([len(words(text)) for text in part])
    figures = {"texts": len(part), **_quantiles(many, "words"), **_quantiles(chars, "chars")}
    yield Finding(code="text_length", severity="info",
                  evidence=f"Half of the texts have {figures['p50_words']:,} words or fewer, 95 % have at most "
                           f"{figures['p95_words']:,} ({figures['p95_chars']:,} characters), the longest of "
                           f"{len(part):,} examined has {figures['max_words']:,}.",
                  consequence=f"Networks that read words in order may stop after about {figures['p95_words']:,}: one "
                              "text in twenty is cut. Bags of words read all.", data=figures)
    giants = [row for row, text in enumerate(given) if len(text) > max(GIANT, 20 * figures["p95_chars"])]
    if giants:
        longest = max(len(given[row]) for row in giants)
        yield Finding(code="giant_texts", severity="warning",
                      evidence=f"{len(giants):,} texts are over twenty times as long as 95 % of the others, the "
                               f"longest has {longest:,} characters, the first is in row={giants[0]}.",
                      consequence="Kept. They may be several texts run together: check the quotes and line breaks of "
                                  "the source.", data={"rows": giants[:200], "count": len(giants), "longest": longest})


def _quantiles(lengths: Any, unit: str) -> dict[str, int]:
    found = {f"p{q}_{unit}": int(np.ceil(np.percentile(lengths, q))) for q in QUANTILES}
    return found | {f"max_{unit}": int(lengths.max())}


SPEC = Check(rank=10, name="text_length", run=run, modalities=("text",), needs_y=False, doc="Lengths of texts.")
