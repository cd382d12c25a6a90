"""A word, an opening or an ending that gives the label away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rightfit.data.checks._texts import normal, some, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task

ROWS = 8_000
SURE, TOLD = 0.98, 0.95
FEW = 20
HEAD, TAIL = 400, 200
_TOKEN = re.compile(r"\S+")


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Signs that stand in 95 % of a class's texts and in 98 % of cases only there: severe when they tell all classes
    (but one) apart, a question when they tell some; on at most 8,000 texts. Regression: the target written in the text.
    """
    if len(data) < 2 * FEW:
        return
    given = texts(data)
    rows = some(len(given), ROWS)
    part, y = [normal(given[row]) for row in rows], data.y[rows]
    if not task.classifies:
        yield from _written(part, y)
        return
    told: dict[str, tuple[str, float, float]] = {}
    groups = y.astype(bool) if y.ndim == 2 else y[:, None] == np.arange(len(task.classes))
    sizes = groups.sum(axis=0)
    large = np.flatnonzero((sizes >= FEW) & (sizes <= len(part) - FEW))
    if not len(large):
        return
    matrix, names = _signs(part, int(0.5 * sizes[large].min()) + 1)
    if not len(names):
        return
    among = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    for k in large:
        inside = np.asarray(matrix[groups[:, k]].sum(axis=0), dtype=np.float64).ravel()
        precision, recall = inside / among, inside / sizes[k]
        best = int(np.argmax(np.where(precision >= SURE, recall, 0.0)))
        if precision[best] >= SURE and recall[best] >= TOLD:
            told[task.classes[k]] = str(names[best]), float(precision[best]), float(recall[best])
    if told:
        yield _finding(told, task, severe=y.ndim == 1 and len(told) >= len(task.classes) - 1)


def _finding(told: dict[str, tuple[str, float, float]], task: Task, severe: bool) -> Finding:
    shown = "; ".join(f"{sign} stands in {recall:.1%} of the texts of {label} and is {precision:.1%} theirs"
                      for label, (sign, precision, recall) in list(told.items())[:3])
    return Finding(code="text_leak", severity="severe" if severe else "ask",
                   evidence=f"One sign tells {len(told)} of {len(task.classes)} classes: {shown}.",
                   consequence="Scores say how well this sign is read, not the texts: remove it from the texts if it "
                               "is not there when a prediction is needed." if severe else
                               "Kept: is it in the texts already when a prediction is needed? If not, remove it.",
                   data={"signs": {label: {"sign": sign, "precision": round(p, 4), "recall": round(r, 4)}
                                   for label, (sign, p, r) in list(told.items())[:100]}, "classes": len(told)})


def _signs(part: Sequence[str], least: int) -> tuple[Any, Any]:
    """Which text holds which sign, in at least `least` texts: csr bool (n, d), names (d,)."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=signs, binary=True, min_df=least, dtype=np.int32)
    try:
        return counter.fit_transform(part), counter.get_feature_names_out()
    except ValueError:  # scikit-learn raises it when no sign is frequent enough
        return None, ()


def signs(text: str) -> list[str]:
    """Words and pairs of words in the first 400 and last 200 characters, and the first and last 2, 4 and 8 characters.

    >>> signs("label: pos")[:4]
    ["'label:'", "'pos'", "'label: pos'", "the opening 'la'"]
    """
    some = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"
    words = _TOKEN.findall(some)
    found = [repr(word) for word in words]
    found += [repr(f"{a} {b}") for a, b in pairwise(words)]
    found += [f"the opening {text[:n]!r}" for n in (2, 4, 8) if len(text) >= n]
    return found + [f"the ending {text[-n:]!r}" for n in (2, 4, 8) if len(text) >= n]


def _written(part: Sequence[str], y: Any) -> Iterator[Finding]:
    """Regression: far more texts hold their own target as a number than hold another text's."""
    if y.ndim != 1 or len(np.unique(y)) < 10:
        return
    numbers = [set(map(float, re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])", text))) for text in part]
    others = np.random.default_rng(0).permutation(y)
    own = float(np.mean([value in found for value, found in zip(y, numbers, strict=True)]))
    chance = float(np.mean([value in found for value, found in zip(others, numbers, strict=True)]))
    if own > 0.2 and own > 3 * chance:
        yield Finding(code="text_leak", severity="severe" if own > 0.8 else "ask",
                      evidence=f"{own:.1%} of the texts hold their own target as a number ({chance:.1%} by chance).",
                      consequence="Kept: is the number in the texts already when a prediction is needed? If not, "
                                  "remove it.", data={"share": round(own, 4), "chance": round(chance, 4)})


SPEC = Check(rank=45, name="text_leakage", run=run, modalities=("text",), doc="Signs in the texts that tell the label.")
