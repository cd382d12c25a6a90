"""How predictions become what is delivered: calibration, then labels; judged on rows not used to tune them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, Metric
from rightfit.metrics.base import find, labels, score
from rightfit.metrics.calibration import NONE, apply_calibration, calibrator, choose_calibration, parts
from rightfit.metrics.thresholds import metric_floors, tune_binary, tune_multilabel, tune_order, tune_weights
from rightfit.records import Measurement, Rule, Task, frozen

_NEED_CALIBRATION = ("log_loss", "brier", "ece")


@frozen
class CrossFit:
    """Out-of-fold predictions as they would be delivered, each row under a rule tuned on the other folds.

    pred: calibrated (n, k), or the values as they were. codes: labels, (n,) or (n, k), -1 for rows in no fold; None
    for regression. rule: tuned on every row, to be delivered. folds: the row positions of each fold. value: the
    metric on all rows of folds together, or the mean over folds for ROC AUC. raw:
    calibration undone.
    """

    pred: Any
    codes: Any
    rule: Rule
    folds: tuple[Any, ...]
    fold_scores: tuple[float, ...]
    value: float

    @property
    def rows(self) -> Array:
        """The positions of the rows that are in a fold, rising."""
        return np.sort(np.concatenate(self.folds))


def apply(pred: Array, task: Task, rule: Rule) -> tuple[Array, Array | None]:
    """Raw predictions to delivered ones: (calibrated probabilities, codes), or (values, None) for regression."""
    if not task.classifies:
        return np.asarray(pred), None
    calibrated = apply_calibration(pred, rule.calibration)
    return calibrated, labels(calibrated, task, rule)


def tune(y: Array, pred: Array, metric: Metric | str, task: Task) -> Rule:
    """The rule that serves the metric, the floors among the task's limits, and the task's cost; learned from y and
    pred.

    y (n,) codes or (n, k) 0/1; pred (n, k) raw out-of-fold probabilities. Calibration: when the metric, a floor or a
    cost reads probabilities as such, and it helps cross-validated. Labels: the lowest expected cost when the task has
    a cost; else the best of a label metric; else threshold 0.5 / argmax. Floors come first: thresholds whose
    one-sided 95 % bound meets them, else the surest that meet them, else the nearest. Regression gets an empty rule.
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    if not task.classifies:
        return Rule()
    y, pred = np.asarray(y), np.asarray(pred, float)
    if not np.isfinite(pred).all():
        raise UsageError("predictions must be finite to tune a rule; got a NaN or infinity, drop the candidate.")
    wants = {metric.name, *(floor.metric.name for floor in metric_floors(task))}
    calibration = dict(NONE)
    if task.cost or wants & set(_NEED_CALIBRATION):
        calibration = choose_calibration(y, pred, task, metric)
    pred = apply_calibration(pred, calibration)
    objective = find("cost") if task.cost else (metric if metric.needs == "label" else None)
    if task.problem == "binary":
        threshold = tune_binary(y, pred[:, 1], objective, task, cost_threshold(task))
        return Rule(threshold=(threshold,), calibration=calibration)
    if task.problem == "multilabel":
        return Rule(threshold=tune_multilabel(y, pred, objective, task), calibration=calibration)
    if task.cost:
        return Rule(cost=task.cost, calibration=calibration)
    if task.problem == "ordinal" and objective is not None:
        return Rule(cost=tune_order(y, pred, objective, task), calibration=calibration)
    found = Rule() if objective is None else tune_weights(y, pred, objective, task)
    return Rule(cost=found.cost, calibration=calibration)


def cost_threshold(task: Task) -> float:
    """P(positive) from which calling it positive is cheaper (Elkan 2001); 0.5 without a cost.

    >>> cost_threshold(Task(modality="tabular", problem="binary", target=("y",), metric="cost", cost=((0, 1), (50, 0))))
    0.0196078431372549
    """
    if not task.cost:
        return 0.5
    (tn, fp), (fn, tp) = task.cost
    gain = (fp - tn) + (fn - tp)
    if gain <= 0:
        raise UsageError(f"errors must cost more than right decisions; got cost={task.cost}.")
    return float(min(max((fp - tn) / gain, 0.0), 1.0))


def crossfit(y: Array, pred: Array, folds: Sequence[Array], metric: Metric | str, task: Task) -> CrossFit:
    """Each fold's predictions under the rule tuned on the other folds' predictions; and the rule tuned on all of them.

    y, pred: all n rows, pred raw out-of-fold predictions; folds: disjoint arrays of row positions, one for each fold
    (a row of none, such as the first stretch of a time split, is left out). A single fold is cut into five for
    tuning. Raises UsageError when folds overlap.
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    y, pred = np.asarray(y), np.asarray(pred)
    folds = [np.asarray(fold) for fold in folds if len(fold)]
    rows = np.concatenate(folds) if folds else np.empty(0, int)
    if len(np.unique(rows)) < len(rows) or not folds:
        raise UsageError(f"folds must be disjoint and hold rows; got folds={len(folds)} with {len(rows)} positions.")
    rule = tune(y[rows], pred[rows], metric, task)
    out, codes = (np.array(pred, float), None) if task.classifies else (pred, None)
    if task.classifies:
        codes = np.full(y.shape, -1, np.int8 if task.problem == "multilabel" else np.int64)
        cuts = folds if len(folds) > 1 else [folds[0][part] for part in parts(y[folds[0]])]
        for cut in cuts:
            rest = np.setdiff1d(rows, cut)
            own = tune(y[rest], pred[rest], metric, task) if len(rest) else rule
            out[cut], codes[cut] = apply(pred[cut], task, own)
    scores = tuple(of_rows(metric, y, out, codes, fold, task) for fold in folds)
    value = pooled(metric, y, out, codes, folds, task, scores)
    return CrossFit(pred=out, codes=codes, rule=rule, folds=tuple(folds), fold_scores=scores, value=value)


def of_rows(metric: Metric, y: Array, pred: Array, codes: Array | None, rows: Array, task: Task) -> float:
    """The metric on some rows of delivered predictions, labels as given in codes."""
    if metric.needs == "label" and codes is not None:
        return float(metric.fn(y[rows], codes[rows], None, task))
    return score(metric, y[rows], pred[rows], task)


def pooled(metric: Metric, y: Array, pred: Array, codes: Array | None, folds: Sequence[Array], task: Task,
           scores: Sequence[float] = ()) -> float:
    """The metric over all folds: on their rows together, or for rankings the mean over folds weighted by rows."""
    if metric.pooled or len(folds) == 1:
        return of_rows(metric, y, pred, codes, np.sort(np.concatenate(folds)), task)
    each = np.array(scores or [of_rows(metric, y, pred, codes, fold, task) for fold in folds])
    sizes = np.array([len(fold) for fold in folds], float) * ~np.isnan(each)
    return float(np.nansum(each * sizes) / sizes.sum()) if sizes.any() else float("nan")


def floors(fit: CrossFit, y: Array, task: Task, *, groups: Array | None = None, seed: int = 0) -> dict[str,
Measurement]:
    """Every metric among the task's limits, measured on rows not used to tune, with its 95 % bootstrap interval."""
    from rightfit.metrics.interval import bootstrap
    found = {}
    for limit, metric in metric_floors(task):
        value, low, high = bootstrap(y, fit.pred, fit.codes, metric, task, groups=groups, seed=seed, folds=fit.folds)
        found[limit.name] = Measurement(name=limit.name, value=value, low=low, high=high, n=len(fit.rows),
                                        split="out-of-fold")
    return found


__all__ = ["CrossFit", "apply", "apply_calibration", "calibrator", "cost_threshold", "crossfit", "floors", "tune"]
