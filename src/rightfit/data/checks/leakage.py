"""Target leakage: a single column, or the pattern of its gaps, that predicts the target too well to be true."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rightfit.data.checks._columns import alone, codes, sample
from rightfit.records import Check, Dataset, Finding, Schema, Severity, Task
from rightfit.task.detect import tokens

SURE = {True: 0.995, False: 0.985}
DOUBT = {True: 0.98, False: 0.95}
NAMED = {True: 0.97, False: 0.93}
FEW = 20


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """Severe above an ROC AUC of 0.995 or an R2 of 0.985 of one column alone (0.97 and 0.93 when it shares a word
    with the target's name), a question above 0.98 and 0.95 unless a class has under 20 rows, where that is luck; on
    at most 20,000 rows.
    """
    if task.problem == "multilabel" or data.y.ndim != 1:
        return
    part = sample(data)
    kind = task.classifies
    few = kind and int(np.sort(np.bincount(part.y, minlength=2))[-2]) < FEW
    for name in part.X.columns:
        column = codes(part.X[name])
        score = alone(column, part.y, task)
        missing = column == 0
        gap = alone(missing.astype(column.dtype), part.y, task) if 0 < missing.sum() < len(missing) else 0.0
        akin = bool(set(tokens(str(name))) & {w for t in task.target for w in tokens(t) if not w.isdigit()})
        if max(score, gap) < (NAMED if akin else DOUBT)[kind]:
            continue
        if few and max(score, gap) < SURE[kind]:
            continue
        severe = score >= SURE[kind] or gap >= SURE[kind] or akin
        yield finding(str(name), score, gap, "severe" if severe else "ask", kind, akin)


def finding(column: str, score: float, gap: float, severity: Severity, classifies: bool, akin: bool) -> Finding:
    """The finding for one column, with its score as evidence."""
    measure = "ROC AUC" if classifies else "R2"
    evidence = f"This column alone predicts the target with {measure} {score:.3f} on rows not used to learn"
    if gap >= DOUBT[classifies]:
        evidence += f"; whether it is filled tells the target already ({measure} {gap:.3f})"
    if akin:
        evidence += "; its name shares a word with the target's"
    consequence = ("Looks like the target in disguise, or like something written down after it was known: pass "
                   "--drop-leaks to leave "
                   "it out. Until then it is kept, and scores are reported with and without it."
                   if severity == "severe" else
                   "Kept: is it known before the target is? If not, pass --drop to leave it out.")
    return Finding(code="target_leak", severity=severity, column=column, evidence=evidence + ".",
                   consequence=consequence,
                   data={"score": round(score, 4), "gap_score": round(gap, 4), "measure": measure})


SPEC = Check(name="leakage", run=run, modalities=("tabular",), doc="Single columns that predict the target too well.")
