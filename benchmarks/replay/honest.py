"""Promised against found, on the table: what picking the best of all candidates promises, and what held-out rows say.

For each case the winner of full cross-validation is promised with the corrected estimate that a decision carries, and
scored on the held-out rows after training on all others. covered: the two differ by no more than both 95 % errors
together. `default_better`: the untuned default of CatBoost beats the pick on the held-out rows beyond chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, opened
from rules import Known

from rightfit.metrics import base, interval
from rightfit.store import read_arrays

DRAWS = 400
DEFAULT = "catboost"


def honesty(cases: Sequence[Known], work: Path, most_rows: int) -> list[dict[str, Any]]:
    """One line for each case whose predictions are still there."""
    return [line(known, opened(known.table, int(known.seed), most_rows, work)) for known in cases]


def line(known: Known, case: Case) -> dict[str, Any]:
    """The promise of one case beside its test."""
    folds = [read_arrays(case.blob(next(iter(known.lines)), fold, 1.0))["rows"] for fold in known.folds]
    rows = np.concatenate(folds)
    stack = {key: np.concatenate([read_arrays(case.blob(key, fold, 1.0))["pred"] for fold in known.folds])
             for key in known.lines}
    metric, y = base.find(case.task.metric, case.task.problem), case.stage.data.y
    ends = np.cumsum([len(part) for part in folds])[:-1]
    found = interval.bbc(y[rows], stack, metric, case.task, codes=_codes(stack, case), seed=case.seed, n=DRAWS,
                         folds=np.split(np.arange(len(rows)), ends))
    pick = found.winner
    naive = float(np.mean([metric.fn(y[part], base.inputs(metric, pred, case.task, None), None, case.task)
                           for part, pred in zip(folds, np.split(stack[pick], ends), strict=True)]))
    held = read_arrays(case.blob(pick, "all", 1.0))["pred"]
    value, low, high = interval.bootstrap(case.held.y, held, _of(held, case), metric, case.task, seed=case.seed,
                                          n=DRAWS)
    sign = 1.0 if metric.greater_is_better else -1.0
    gap = value - found.value
    own = found.high - found.value if gap > 0 else found.value - found.low
    theirs = value - low if gap > 0 else high - value
    scale = 100.0 if case.task.metric == "roc_auc" else 100.0 / max(abs(value), 1e-12)
    return {"table": case.name, "seed": case.seed, "metric": case.task.metric, "candidates": len(stack), "pick": pick,
            "promised": found.value, "low": found.low, "high": found.high, "test": value, "test_low": low,
            "test_high": high, "optimism": -scale * sign * gap, "naive_optimism": -scale * sign * (value - naive),
            "covered": int(abs(gap) <= np.hypot(own, theirs)), "default_better": _default(known, case, held, sign)}


def _codes(stack: dict[str, Any], case: Case) -> dict[str, Any] | None:
    return {key: _of(pred, case) for key, pred in stack.items()} if case.task.classifies else None


def _of(pred: Any, case: Case) -> Any:
    return pred.argmax(axis=1) if case.task.classifies else None


def _default(known: Known, case: Case, held: Any, sign: float) -> int | str:
    """Whether the default is better than the pick on more than 97.5 % of the draws of the held-out rows."""
    defaults = dict(case.short.families[DEFAULT].defaults) if DEFAULT in case.short.families else None
    key = next((c.key for c in case.short.candidates if c.family == DEFAULT and dict(c.params) == defaults), "")
    if key not in known.lines:
        return ""
    metric, random = base.find(case.task.metric, case.task.problem), np.random.default_rng(case.seed)
    other, better = read_arrays(case.blob(key, "all", 1.0))["pred"], 0
    for _ in range(DRAWS):
        some = random.integers(len(held), size=len(held))
        a, b = (metric.fn(case.held.y[some], base.inputs(metric, p[some], case.task, None), None, case.task)
                for p in (other, held))
        better += sign * (a - b) > 0
    return int(better > 0.975 * DRAWS)
