"""Which scripts the texts are written in, by Unicode blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from rightfit.data.checks._texts import SAMPLE, some, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task

SCRIPTS = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff", "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f", "hebrew": "\u0590-\u05ff", "arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff",
    "indic": "\u0900-\u0dff", "thai": "\u0e00-\u0eff", "kana": "\u3040-\u30ff", "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "han": "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff",
    "emoji": "\u2600-\u27bf\U0001f300-\U0001faff\U0001f1e6-\U0001f1ff"}
"""Blocks of the Unicode standard (version 15), joined to scripts; numbers and signs belong to none."""
UNSPACED = frozenset({"han", "kana", "thai"})
MIXED = 0.02
_RUNS = {name: re.compile(f"[{blocks}]+") for name, blocks in SCRIPTS.items()}


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A finding when two scripts each are the main one of 2 % of the texts, when most texts are written without blanks
    between words, or when 5 % hold emoji; on at most 20,000 texts.
    """
    given = texts(data)
    mains: Counter[str] = Counter()
    smiling = 0
    for row in some(len(given), SAMPLE):
        counts = scripts(given[row][:2000])
        smiling += "emoji" in counts
        letters = {name: count for name, count in counts.items() if name != "emoji"}
        if letters:
            mains[max(letters, key=lambda name: letters[name])] += 1
    total = mains.total()
    if not total:
        return
    shares = {name: round(count / total, 4) for name, count in mains.most_common()}
    many = [name for name, share in shares.items() if share >= MIXED]
    unspaced = sum(share for name, share in shares.items() if name in UNSPACED)
    emoji = smiling / total
    figures = {"scripts": shares, "unspaced": round(unspaced, 4), "emoji": round(emoji, 4)}
    said = ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:4])
    if len(many) > 1:
        yield Finding(code="mixed_scripts", severity="warning", evidence=f"The texts are written in several scripts: "
                                                                         f"{said}.",
                      consequence="Character n-grams, which need no words, are the safe choice; a pretrained encoder "
                                  "must know every language here.", data=figures)
    elif unspaced > 0.5:
        yield Finding(code="unspaced_script", severity="info", evidence=f"The texts are written without blanks "
                                                                        f"between words: {said}.",
                      consequence="Character n-grams take the place of words; English-only encoders do not fit.",
                      data=figures)
    elif shares.get("latin", 0.0) < 0.5:
        yield Finding(code="script", severity="info", evidence=f"The texts are written in {said}.", data=figures,
                      consequence="A pretrained encoder must know this language; English-only ones do not fit.")
    if emoji >= 0.05:
        yield Finding(code="emoji", severity="info", evidence=f"{emoji:.1%} of the texts hold emoji.", data=figures,
                      consequence="Character n-grams see them; words alone leave them out.")


def scripts(text: str) -> dict[str, int]:
    """Characters of each script in a text.

    >>> scripts("Hi 你好 😀")
    {'latin': 2, 'han': 2, 'emoji': 1}
    """
    if text.isascii():
        letters = sum(map(len, _RUNS["latin"].findall(text)))
        return {"latin": letters} if letters else {}
    counts = {name: sum(map(len, run.findall(text))) for name, run in _RUNS.items()}
    return {name: count for name, count in counts.items() if count}


SPEC = Check(rank=30, name="text_language", run=run, modalities=("text",), needs_y=False, doc="Scripts of the texts.")
