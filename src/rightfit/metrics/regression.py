"""Metrics on values; y and predictions are (n,), or (n, k) for several outputs or horizons: the mean over outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.metrics._base import VALUES, Array, Many, Metric, from_rows, mean_defined, ratio
from rightfit.records import Task


def _wide(values: Array) -> Array:
    values = np.asarray(values, float)
    return values[:, None] if values.ndim == 1 else values


def _error(y: Array, pred: Array) -> Array:
    return _wide(pred) - _wide(y)


def _squares(y: Array, pred: Array, task: Task) -> Array:
    return _error(y, pred) ** 2


def _root(means: Array, task: Task) -> Array:
    return np.asarray(np.sqrt(means).mean(axis=-1))


def _r2_rows(y: Array, pred: Array, task: Task) -> Array:
    wide = _wide(y)
    # centred first, so that the variance of large values does not cancel
    centred = wide - wide.mean(axis=0)
    return np.concatenate([_squares(y, pred, task), centred, centred**2], axis=1)


def _r2(means: Array, task: Task) -> Array:
    error, mean, square = np.split(means, 3, axis=-1)
    spread = square - mean**2
    return mean_defined(1 - ratio(error, np.where(spread > 1e-12 * np.maximum(square, 1e-300), spread, 0.0)))


def _mape(y: Array, pred: Array, task: Task) -> Array:
    return np.abs(_error(y, pred)) / np.maximum(np.abs(_wide(y)), np.finfo(float).eps)


def _smape(y: Array, pred: Array, task: Task) -> Array:
    size = np.abs(_wide(y)) + np.abs(_wide(pred))
    return np.asarray(np.divide(2 * np.abs(_error(y, pred)), size, out=np.zeros_like(size), where=size > 0))


def _rmsle_rows(y: Array, pred: Array, task: Task) -> Array:
    wide = _wide(y)
    logs = np.log1p(np.where(wide < 0, np.nan, wide))
    return np.asarray((np.log1p(np.maximum(_wide(pred), 0.0)) - logs) ** 2)


def _pinball(level: float) -> dict[str, Any]:
    def rows(y: Array, pred: Array, task: Task) -> Array:
        over = _error(y, pred)
        return np.maximum(-level * over, (1 - level) * over)
    return from_rows(rows)


def _medae_many(y: Array, pred: Array, task: Task) -> Many:
    sizes = np.abs(_error(y, pred))
    orders = np.argsort(sizes, axis=0, kind="stable")
    sorted_sizes = np.take_along_axis(sizes, orders, axis=0)

    def one(w: Array, column: int) -> Array:
        upto = np.cumsum(w[:, orders[:, column]], axis=1)
        half = upto[:, -1:] / 2
        # half-way exactly between two rows: the mean of both, as numpy.median does
        lower = np.minimum((upto < half).sum(axis=1), len(sizes) - 1)
        upper = np.minimum((upto <= half).sum(axis=1), len(sizes) - 1)
        return np.asarray((sorted_sizes[lower, column] + sorted_sizes[upper, column]) / 2)

    return lambda w: np.mean([one(w, j) for j in range(sizes.shape[1])], axis=0)


def _medae(y: Array, pred: Array, weight: Array | None, task: Task) -> float:
    if weight is None:
        return float(np.median(np.abs(_error(y, pred)), axis=0).mean())
    return float(_medae_many(y, pred, task)(np.asarray(weight, float)[None, :])[0])


_LOSS: dict[str, Any] = {"problems": VALUES, "needs": "value", "greater_is_better": False, "low": 0.0}

SPEC: tuple[Metric, ...] = (
    Metric(name="rmse", doc="Root of the mean squared error, in the target's unit.",
           aliases=("root_mean_squared_error",), **_LOSS, **from_rows(_squares, _root)),
    Metric(name="mse", doc="Mean squared error.", aliases=("mean_squared_error",), **_LOSS, **from_rows(_squares)),
    Metric(name="mae", doc="Mean absolute error, in the target's unit.", aliases=("mean_absolute_error",), **_LOSS,
           **from_rows(lambda y, pred, task: np.abs(_error(y, pred)))),
    Metric(name="medae", doc="Median absolute error, in the target's unit.", aliases=("median_absolute_error",),
           **_LOSS, fn=_medae, many=_medae_many),
    Metric(name="r2", problems=VALUES, needs="value", high=1.0, aliases=("r_squared",),
           doc="Share of the variance explained; 0 is the mean; undefined for a constant target.",
           **from_rows(_r2_rows, _r2)),
    Metric(name="mape", doc="Mean absolute error as a share of the value (0.1 is 10 %); huge where values are near 0.",
           aliases=("mean_absolute_percentage_error",), **_LOSS, **from_rows(_mape)),
    Metric(name="smape", doc="Mean of 2|error| / (|value| + |prediction|), 0..2; 0 where both are 0.", high=2.0,
           **_LOSS, **from_rows(_smape)),
    Metric(name="rmsle", doc="Root mean squared error of ln(1 + value); negative predictions count as 0, negative "
           "values make it undefined.", **_LOSS, **from_rows(_rmsle_rows, _root)),
    *(Metric(name=f"pinball_{level}", doc=f"Mean pinball loss of the {level} quantile.", **_LOSS, **_pinball(level))
      for level in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)),
)
