"""Prediction sets and intervals that hold a stated share of rows, from out-of-fold predictions (cross-conformal).

Scores of rows left out are pooled over folds and their (n + 1) level-th smallest, of n, is the bound (Vovk 2015,
Cross-conformal predictors; Barber et al. 2021 for what refitting on all rows changes). Rows must be exchangeable: a
later time, or groups unlike those seen, can be covered less. Classes: 1 - P(class) (Sadinle et al. 2019, the smallest
sets; one may be empty). Values: |error|. Counts: |error| / sqrt(prediction). Quantiles: how far outside the outer ones
(Romano et al. 2019, conformalised quantile regression).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rightfit.errors import DataError, UsageError
from rightfit.metrics._base import Array
from rightfit.records import Rule, Task

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
LEAST = 1e-9


def scores(y: Array, pred: Array, task: Task) -> Array:
    """How strange each row is, (n, outputs): y as in Dataset, pred delivered out-of-fold predictions."""
    pred = np.asarray(pred, float)
    if task.one_label:
        return np.asarray(1 - pred[np.arange(len(y)), np.asarray(y, int)][:, None])
    if task.problem == "quantile":
        wide = pred.reshape(len(y), -1)
        return np.asarray(np.maximum(wide[:, 0] - y, y - wide[:, -1])[:, None])
    wide, true = pred.reshape(len(y), -1), np.asarray(y, float).reshape(len(y), -1)
    return np.asarray(np.abs(true - wide) / _scale(wide, task))


def _scale(wide: Array, task: Task) -> Array:
    return np.sqrt(np.maximum(wide, LEAST)) if task.problem == "count" else np.ones_like(wide)


def bound(strange: Array, level: float) -> Array | None:
    """The bound of each column of (n, outputs) at a level; None where n rows are too few for it.

    >>> bound(np.arange(9.0)[:, None], 0.9).tolist(), bound(np.arange(8.0)[:, None], 0.9)
    ([8.0], None)
    """
    at = math.ceil((len(strange) + 1) * level - 1e-9)
    return None if at > len(strange) else np.asarray(np.partition(strange, at - 1, axis=0)[at - 1])


def learn(y: Array, pred: Array, task: Task, level: float) -> dict[str, Any]:
    """The numbers that a package keeps: bounds by level, `level` among them. Raises DataError for too few rows."""
    strange = scores(y, pred, task)
    found = {f"{one:g}": bound(strange, one) for one in sorted({*LEVELS, level})}
    if found[f"{level:g}"] is None:
        raise DataError(f"coverage={level:g} needs {math.ceil(level / (1 - level) - 1e-9)} rows or more; got "
                        f"rows={len(strange)}, lower it.")
    return {"level": level, "rows": len(strange), "bounds": {k: v.tolist() for k, v in found.items() if v is not None}}


def bounded(rule: Rule, y: Array, pred: Array, task: Task) -> Rule:
    """The rule with the bounds of the task's coverage, where one was asked for; pred: delivered, of rows left out."""
    if task.coverage is None:
        return rule
    return dataclasses.replace(rule, conformal=learn(y, pred, task, task.coverage))


def _bound(kept: Mapping[str, Any], level: float | None) -> Array:
    if not kept:
        raise UsageError("intervals and sets need a package that was made with a coverage; got coverage=None, choose "
                         "again with --coverage 0.9.")
    wanted = f"{kept['level'] if level is None else level:g}"
    if wanted not in kept["bounds"]:
        raise UsageError(f"level must be one of those in the package; got level={wanted}, choose one of "
                         f"{', '.join(kept['bounds'])}.")
    return np.asarray(kept["bounds"][wanted], float)


def intervals(values: Array, task: Task, kept: Mapping[str, Any], level: float | None = None) -> Array:
    """(n, outputs, 2) lower and upper ends, of values as delivered (n, k); a quantile task has one output."""
    if task.classifies:
        raise UsageError(f"intervals need values; got problem={task.problem!r}, ask for sets.")
    most, wide = _bound(kept, level), np.asarray(values, float).reshape(len(values), -1)
    if task.problem == "quantile":
        low, high = wide[:, :1] - most, wide[:, -1:] + most
        # A negative bound may turn a narrow interval around: its middle is then all there is.
        middle = (low + high) / 2
        return np.stack([np.minimum(low, middle), np.maximum(high, middle)], axis=2)
    reach = most * _scale(wide, task)
    low = np.maximum(wide - reach, 0.0) if task.problem == "count" else wide - reach
    return np.stack([low, wide + reach], axis=2)


def sets(proba: Array, task: Task, kept: Mapping[str, Any], level: float | None = None) -> Array:
    """Bool (n, k): the classes in each row's set, of delivered probabilities (n, k)."""
    if not task.one_label:
        raise UsageError(f"sets need one class a row; got problem={task.problem!r}, ask for intervals.")
    return np.asarray(1 - np.asarray(proba, float) <= _bound(kept, level)[0] + 1e-12)


def covered(y: Array, pred: Array, task: Task, kept: Mapping[str, Any], level: float | None = None) -> Array:
    """Bool (n, outputs): whether the set or interval of a row holds what is true."""
    if task.one_label:
        return np.asarray(sets(pred, task, kept, level)[np.arange(len(y)), np.asarray(y, int)][:, None])
    ends = intervals(pred, task, kept, level)
    true = np.asarray(y, float).reshape(len(y), -1)
    return np.asarray((ends[:, :, 0] <= true) & (true <= ends[:, :, 1]))


def size(pred: Array, task: Task, kept: Mapping[str, Any]) -> float:
    """The mean number of classes in a set, or the mean width of an interval."""
    if task.one_label:
        return float(sets(pred, task, kept).sum(axis=1).mean())
    ends = intervals(pred, task, kept)
    return float((ends[:, :, 1] - ends[:, :, 0]).mean())


def study(y: Array, pred: Array, folds: Sequence[Array], task: Task, level: float) -> dict[str, Any]:
    """What coverage comes to on rows left out: each fold under bounds learned on the others; with a 95 % interval.

    y, pred: rows that are in a fold; folds: their positions. `coverage` over outputs is that of the worst.
    """
    held = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(y)), fold)
        if len(folds) < 2 or not len(rest):
            continue
        try:
            held.append(covered(y[fold], pred[fold], task, learn(y[rest], pred[rest], task, level)))
        except DataError:
            continue
    found: dict[str, Any] = {"level": level, "kind": "set" if task.one_label else "interval",
                             "mean_size": size(pred, task, learn(y, pred, task, level)), "rows": len(y)}
    if held:
        inside = np.concatenate(held)
        share = float(inside.mean(axis=0).min())
        half = 1.96 * math.sqrt(max(share * (1 - share), 1e-12) / len(inside))
        found |= {"coverage": share, "low": max(share - half, 0.0), "high": min(share + half, 1.0)}
    return found
