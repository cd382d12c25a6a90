"""Whether an update is due: what a package delivers on labelled rows, against what was promised of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rightfit import decide, units
from rightfit.delivery.monitor import reference
from rightfit.delivery.monitor.compare import compare
from rightfit.package import LoadedModel
from rightfit.records import Dataset, Rule, Task

SIGNIFICANT = 1.645  # standard errors: one-sided 5 %
DRAWS = 300  # of a bootstrap for an interval
NEW_LABELS = 0.5  # of the rows it was trained on: so many new ones are a reason to look
MATTERS = 0.05  # effect x share of all importance, from which a drift is a reason


def due(model: LoadedModel, rows: Dataset, held: Dataset, promise: Mapping[str, Any] | None, max_age: str | None = None,
        until: float | None = None) -> tuple[dict[str, float], list[str], bool]:
    """(the champion's metric on the newest rows with its interval: value, low, high; why an update is due, or nothing;
    whether it lost significantly).

    until: the newest time that the champion knows, of the rows' own clock; those after it are new.
    """
    from rightfit.metrics import base

    task, metric = model.task, base.find(model.task.metric, model.task.problem)
    pred, codes = delivered(model, held)
    bounds = _bounds(model, held, (pred, codes))
    value, reasons, fell = bounds[0], list[str](), lost(model, bounds, promise)
    if fell and promise:
        reasons.append(f"{metric.name} is {value:.4g} on the newest {len(held)} rows, against a promise of "
                       f"{promise['value']:.4g}: a significant loss.")
    broken = [c for c in decide.check(floors(model), scores(model, held, pred, codes)) if not c.met]
    reasons += [f"{c.name} is {c.value:.4g} on the newest {len(held)} rows, against a limit of {c.limit:g}."
                for c in broken if c.value is not None]
    age = (datetime.now(UTC) - datetime.fromisoformat(str(model.info["created"]))).total_seconds()
    if max_age is not None and age > units.seconds(max_age, "max_age"):
        reasons.append(f"It is {age / 86400:.0f} days old, more than {max_age}.")
    reasons += drifted(model, held)
    new = len(rows) if until is None or rows.time is None else int((rows.time > until).sum())
    if task.rows and new >= NEW_LABELS * task.rows:
        reasons.append(f"There are {new} new labelled rows, against {task.rows} that it was chosen on.")
    return dict(zip(("value", "low", "high"), bounds, strict=True)), reasons, fell


def _bounds(model: LoadedModel, rows: Dataset, said: tuple[Any, Any]) -> tuple[float, float, float]:
    """The metric on labelled rows, and the ends of its 95 % interval."""
    from rightfit.metrics import base, interval

    return interval.bootstrap(rows.y, *said, base.find(model.task.metric, model.task.problem), model.task, n=DRAWS)


def lost(model: LoadedModel, bounds: tuple[float, float, float], promise: Mapping[str, Any] | None) -> bool:
    """Whether a metric with its interval, on labelled rows, is significantly worse than was promised."""
    from rightfit.metrics import base

    if not promise or promise.get("value") is None:
        return False
    value, low, high = bounds
    halves = [(high - low) / 3.92, ((promise.get("high") or 0) - (promise.get("low") or 0)) / 3.92]
    sign = 1.0 if base.find(model.task.metric, model.task.problem).greater_is_better else -1.0
    return sign * (float(promise["value"]) - value) > SIGNIFICANT * (float(np.hypot(halves[0], halves[1])) or 1e-12)


def keeps(model: LoadedModel, rows: Dataset, promise: Mapping[str, Any], said: tuple[Any, Any]) -> bool:
    """Whether a model is not significantly below the promise on labelled rows, and meets every limit on a metric.

    said: (pred, codes) as delivered of the rows.
    """
    return not lost(model, _bounds(model, rows, said), promise) and \
        all(c.met for c in decide.check(floors(model), scores(model, rows, *said)))


def known_until(model: LoadedModel, rows: Dataset) -> float | None:
    """The newest time of the rows that a package was chosen on, on the clock of `rows.time`; None without a clock."""
    high = next((c.high for c in model.schema.columns if c.role == "time"), None)
    if high is None or rows.time is None:
        return None
    clock = next(c.kind for c in model.schema.columns if c.role == "time")
    if clock != "datetime" and high != int(high):
        return None  # rows.time holds ranks then
    return high * 1e9 if clock == "datetime" else high


def drifted(model: LoadedModel, rows: Dataset) -> list[str]:
    """Columns that drifted from the reference in the package and matter to the model, the gravest first."""
    if not (model.path / reference.NAME).is_file():
        return []
    sketch = reference.read(model.path, model.schema)
    found = [f for f in compare(sketch.seen, reference.see(rows.X, model.schema), importance=sketch.importance)[0]
             if f.significant and f.name in sketch.seen]
    total = sum(max(v, 0.0) for v in sketch.importance.values())
    share = {f.name: f.importance / total if total > 0 else float(len(sketch.seen) == 1) for f in found}
    return [f"{f.name} drifted (effect {f.effect:.2f}), and it holds {share[f.name]:.0%} of the importance."
            for f in sorted(found, key=lambda f: -f.effect * share[f.name]) if f.effect * share[f.name] >= MATTERS]


def delivered(model: LoadedModel, rows: Dataset) -> tuple[Any, Any]:
    """(calibrated probabilities (n, k) or values, codes or None) of coerced rows."""
    return ruled(model.task, model.raw_of_coerced(rows.X), model.rule)


def ruled(task: Task, raw: Any, rule: Rule) -> tuple[Any, Any]:
    """The same of what a model says itself, (n, k) or values (n,), under a rule."""
    from rightfit.metrics import rules

    pred, codes = rules.apply(raw, task, rule)
    return (pred[:, 0] if codes is None and pred.ndim == 2 and pred.shape[1] == 1 else pred), codes


def floors(model: LoadedModel) -> tuple[Any, ...]:
    """The limits on metrics."""
    from rightfit.metrics import base

    return tuple(limit for limit in model.task.limits if base.is_metric(limit.name))


def scores(model: LoadedModel, rows: Dataset, pred: Any, codes: Any) -> dict[str, float]:
    """The metrics that have a limit, on labelled rows."""
    from rightfit.metrics import base, rules

    found = {}
    for limit in floors(model):
        metric = base.find(limit.name, model.task.problem)
        found[limit.name] = rules.of_rows(metric, rows.y, pred, codes, np.arange(len(rows)), model.task)
    return found
