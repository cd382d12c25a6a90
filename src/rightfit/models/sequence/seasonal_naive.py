"""Seasonal naive: the next season repeats the last one. What forecasts better than this has learned something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.sequence._linear import LinearForecast, Map, lags_of
from rightfit.records import Facts, Family, Task

ROWS = 500


def lag_of_step(period: int, horizon: int) -> Any:
    """For steps 1..horizon, which lag holds the value one or more whole periods earlier, (horizon,) int.

    >>> lag_of_step(3, 5).tolist()
    [2, 1, 0, 2, 1]
    """
    return (period - 1) - np.arange(horizon) % period


def learn(X: Any, y: Any, names: list[str], params: Mapping[str, Any], seed: int) -> tuple[Map, dict[str, Any]]:
    """The period with the smallest mean absolute error on the training rows, the shorter of ties; or a given one."""
    lags = lags_of(names)
    some = np.linspace(0, len(X) - 1, min(ROWS, len(X))).astype(int)
    history, ahead = X[some][:, lags], y[some]
    periods = [int(params["period"])] if params.get("period") else list(range(1, len(lags) + 1))
    errors = [np.abs(history[:, lag_of_step(min(p, len(lags)), y.shape[1])] - ahead).mean() for p in periods]
    period = min(periods[int(np.argmin(errors))], len(lags))
    weights = np.zeros((X.shape[1], y.shape[1]))
    weights[lags[lag_of_step(period, y.shape[1])], np.arange(y.shape[1])] = 1.0
    found = Map(names=tuple(names), weights=weights, bias=np.zeros(y.shape[1]), fill=np.zeros(X.shape[1]))
    return found, {"period": period}


def build(params: Mapping[str, Any], task: Task) -> LinearForecast:
    """An unfitted seasonal naive forecast."""
    return LinearForecast(task, params, learn)


SPEC = Family(
    name="seasonal_naive", modality="sequence", problems=("forecasting",), build=build,
    facts=Facts(year=2018, paper="Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2",
                licence="Apache-2.0", framework="numpy", good_at="costs nothing, hard to beat on strong seasons",
                bad_at="no trend, no covariates"),
    defaults={"period": 0}, handles=frozenset({"missing"}), seconds=lambda task: 0.05, rank=100, baseline=True,
    xfail={"finds_nothing_in_noise": "it repeats the last season, noise and all: that is the method"})
