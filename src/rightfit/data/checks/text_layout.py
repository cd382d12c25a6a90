"""Blanks, line breaks and invisible signs that tell the label: the classes were collected in different ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from rightfit.data.checks._texts import SAMPLE, some, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task

FEW = 20  # texts of a class, below which nothing is said of it
APART = 0.4  # between the shares of a class and of the others
SIGNS: Mapping[str, Callable[[str], object]] = {
    "two blanks in a row": re.compile(r"[ \t]{2,}").search,
    "a blank at the start": re.compile(r"\A\s").search,
    "a blank at the end": re.compile(r"\s\Z").search,
    "a line break": re.compile(r"\S\s*[\r\n]\s*\S").search,
    "a tab": lambda text: "\t" in text,
    "a non-breaking blank": lambda text: "\u00a0" in text,
    "an invisible sign": re.compile("[\u200b-\u200f\u202a-\u202e\u2060\ufeff\x00-\x08\x0e-\x1f]").search,
}


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """For each class of 20 texts or more the sign whose share differs most from the others', from 40 points on; on at
    most 20,000 texts. Two classes are one contrast.
    """
    if not task.classifies or data.y is None:
        return
    given = texts(data)
    rows = some(len(given), SAMPLE)
    y = np.asarray(data.y)[rows]
    groups = y.astype(bool) if y.ndim == 2 else y[:, None] == np.arange(len(task.classes))
    held = {name: np.array([found(given[row]) not in (None, False) for row in rows]) for name, found in SIGNS.items()}
    told: dict[str, tuple[str, float, float]] = {}
    for k in range(1 if len(task.classes) == 2 and y.ndim == 1 else 0, groups.shape[1]):
        inside = groups[:, k]
        if not FEW <= inside.sum() <= len(rows) - FEW:
            continue
        shares = {name: (float(has[inside].mean()), float(has[~inside].mean())) for name, has in held.items()}
        name = max(shares, key=lambda one: abs(shares[one][0] - shares[one][1]))
        if abs(shares[name][0] - shares[name][1]) >= APART:
            told[task.classes[k]] = name, *shares[name]
    if told:
        shown = "; ".join(f"{name} stands in {own:.1%} of the texts of {label} and in {others:.1%} of the others"
                          for label, (name, own, others) in list(told.items())[:3])
        yield Finding(code="text_layout", severity="warning",
                      evidence=f"How texts are laid out tells classes: {shown}.",
                      consequence="Kept: bags of words and networks from nothing read runs of blanks as one, so that "
                                  "scores do not rest on them. Invisible signs are read. See how the classes were "
                                  "collected: whatever else differs by that is in the scores.",
                      data={"signs": {label: {"sign": name, "share": round(own, 4), "others": round(others, 4)}
                                      for label, (name, own, others) in list(told.items())[:100]}})


SPEC = Check(rank=46, name="text_layout", run=run, modalities=("text",), doc="Blanks and signs that tell the label.")
