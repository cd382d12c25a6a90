"""What makes a model predict as it does: permutation importance on rows that it has not seen (Breiman 2001)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.metrics import base
from rightfit.package.read import load
from rightfit.records import Rule, revive
from rightfit.tuning import stage as staging
from rightfit.tuning.trial import cached

ROWS = 2000
REPEATS = 5


@cached
def importance(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """Loss of the metric when a column of a fold's held-out rows is shuffled, largest first, with its spread."""
    at = staging.read(Path(payload["stage"]))
    model = load(payload["package"])
    rule = revive(Rule, payload["rule"])
    metric = base.find(at.task.metric, at.task.problem)
    rows = at.folds[payload["fold"]][1]
    random = np.random.default_rng(payload["seed"])
    rows = np.sort(random.permutation(rows)[:ROWS])
    X, y = at.data.X.iloc[rows].reset_index(drop=True), at.data.y[rows]
    until = min(deadline, time.monotonic() + payload["seconds"])

    def utility(frame: Any) -> float:
        pred = model.raw_of_coerced(frame)
        pred = pred if at.task.classifies or pred.shape[1] > 1 else pred[:, 0]
        return base.utility(metric, base.score(metric, y, pred, at.task, rule))

    start = utility(X)
    losses: dict[str, list[float]] = {name: [] for name in X.columns}
    for _ in range(REPEATS):
        for name in X.columns:
            if time.monotonic() > until and all(losses.values()):
                break
            shuffled = X.copy(deep=False)
            shuffled[name] = X[name].to_numpy()[random.permutation(len(X))]
            losses[name].append(start - utility(shuffled))
    found = []
    for name, values in losses.items():
        if values:
            mean, error = float(np.mean(values)), float(np.std(values)) / max(len(values) - 1, 1) ** 0.5
            found.append({"feature": name, "value": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error})
    found.sort(key=lambda item: -item["value"])
    return {"importance": found[:30], "columns": len(found)}
