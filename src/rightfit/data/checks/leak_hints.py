"""Columns whose name says that they are known only afterwards, and that carry far more than any other."""

from __future__ import annotations

from collections.abc import Iterator

from rightfit.data.checks._columns import alone, codes, sample
from rightfit.records import Check, Dataset, Finding, Schema, Task
from rightfit.task.detect import tokens

AFTER = frozenset((
    "duration", "outcome", "result", "results", "resolved", "resolution", "closed", "closing", "completed",
    "completion", "paid", "cancelled", "canceled", "cancellation", "refund", "refunded", "chargeback", "settled",
    "settlement", "recovered", "recoveries", "payout", "discharge", "discharged", "ended", "end",
    "final", "actual", "approved", "penalty", "prediction", "predicted", "probability", "label", "target", "decision",
    "response"))


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A question when such a column is the best single predictor, one and a half times as far from chance as the
    next."""
    if task.problem == "multilabel" or data.y.ndim != 1 or not any(AFTER & set(tokens(str(n))) for n in data.X.columns):
        return
    part = sample(data)
    chance = 0.5 if task.classifies else 0.0
    strength = {str(n): alone(codes(part.X[n]), part.y, task) - chance for n in part.X.columns}
    ranked = sorted(strength, key=lambda n: -strength[n])
    best = ranked[0]
    second = strength[ranked[1]] if len(ranked) > 1 else 0.0
    if AFTER & set(tokens(best)) and strength[best] > max(1.5 * second, 0.15):
        measure = "ROC AUC" if task.classifies else "R2"
        yield Finding(code="leak_hint", severity="ask", column=best,
                      evidence=f"Its name says it is measured afterwards, and alone it reaches {measure} "
                               f"{strength[best] + chance:.3f} "
                               f"where the next column reaches {second + chance:.3f}.",
                      consequence="Kept: is it known when a prediction is needed? If not, pass --drop to leave it out.",
                      data={"score": round(strength[best] + chance, 4), "next": round(second + chance, 4)})


SPEC = Check(name="leak_hints", run=run, modalities=("tabular",), doc="Columns that seem to be known only afterwards.")
