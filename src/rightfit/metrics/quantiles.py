"""Metrics of predicted quantiles: y (n,), predictions (n, q) at the task's levels, rising."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.metrics._base import Array, Metric, from_rows, ratio
from rightfit.records import Problem, Task

QUANTILE: tuple[Problem, ...] = ("quantile",)


def _wide(pred: Array) -> Array:
    pred = np.asarray(pred, float)
    return pred[:, None] if pred.ndim == 1 else pred


def _pinball(y: Array, pred: Array, task: Task) -> Array:
    over, level = _wide(pred) - np.asarray(y, float)[:, None], np.asarray(task.quantiles)
    return np.asarray(np.maximum(-level * over, (1 - level) * over))


def _inside(y: Array, pred: Array, task: Task) -> Array:
    wide = _wide(pred)
    return np.asarray((wide[:, 0] <= y) & (y <= wide[:, -1]))


def _away(means: Array, task: Task) -> Array:
    return np.asarray(np.abs(means - np.asarray(task.quantiles)).max(axis=-1))


def _width(y: Array, pred: Array, task: Task) -> Array:
    wide = _wide(pred)
    return np.asarray(wide[:, -1] - wide[:, 0])


def _winkler(y: Array, pred: Array, task: Task) -> Array:
    wide, y = _wide(pred), np.asarray(y, float)
    low, high = wide[:, 0], wide[:, -1]
    missed = float(ratio(np.asarray(2.0), np.asarray(1 - (task.quantiles[-1] - task.quantiles[0]))))
    return np.asarray(high - low + missed * (np.maximum(low - y, 0) + np.maximum(y - high, 0)))


_LOSS: dict[str, Any] = {"problems": QUANTILE, "needs": "value", "greater_is_better": False, "low": 0.0}

SPEC: tuple[Metric, ...] = (
    Metric(name="pinball", doc="Mean pinball loss over the levels (Koenker and Bassett 1978).",
           aliases=("pinball_loss", "mean_pinball_loss", "quantile_loss"), **_LOSS, **from_rows(_pinball)),
    Metric(name="interval_coverage", problems=QUANTILE, needs="value", low=0.0, high=1.0,
           doc="Share of rows between the lowest and the highest level.", **from_rows(_inside)),
    Metric(name="quantile_calibration", high=1.0, **_LOSS,
           doc="Largest distance between a level and the share of rows below its quantile.",
           **from_rows(lambda y, pred, task: np.asarray(y)[:, None] <= _wide(pred), _away)),
    Metric(name="interval_width", doc="Mean distance between the lowest and the highest level.", **_LOSS,
           **from_rows(_width)),
    Metric(name="winkler", doc="Interval score of the outer levels (Winkler 1972): width plus what is missed.", **_LOSS,
           **from_rows(_winkler)),
)
