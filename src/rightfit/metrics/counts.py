"""Deviances of counts and amounts (Jorgensen 1987): y and predictions (n,), never negative, predictions above 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.metrics._base import VALUES, Array, Metric, from_rows
from rightfit.records import Task

LEAST = 1e-9  # a prediction below it counts as this: the deviance of zero is infinite


def tweedie(y: Array, pred: Array, power: float) -> Array:
    """Unit deviance (n,) of the Tweedie family: power 1 Poisson, 2 gamma, between them sums of gammas; nan for y < 0.

    >>> tweedie(np.array([2.0]), np.array([2.0]), 1.0).tolist()
    [0.0]
    """
    y, mean = np.asarray(y, float), np.maximum(np.asarray(pred, float), LEAST)
    y = np.where((y < 0) | ((power >= 2) & (y == 0)), np.nan, y)
    if power == 1:
        logs = np.log(np.where(y > 0, y, 1.0) / np.where(y > 0, mean, 1.0))
        return np.asarray(2 * (np.where(y > 0, y, 0.0) * logs - y + mean))
    if power == 2:
        return np.asarray(2 * (np.log(mean / y) + y / mean - 1))
    a, b = 1 - power, 2 - power
    return np.asarray(2 * (y**b / (a * b) - y * mean**a / a + mean**b / b))


def _deviance(power: float) -> dict[str, Any]:
    def rows(y: Array, pred: Array, task: Task) -> Array:
        return tweedie(y, pred, power)
    return from_rows(rows)


def power_of(metric: str) -> float:
    """The variance power that a metric is the deviance of; 1 for those that are none.

    >>> power_of("tweedie_deviance_1.7"), power_of("tweedie_deviance"), power_of("mae")
    (1.7, 1.5, 1.0)
    """
    name, _, power = metric.partition("_deviance")
    return float(power.lstrip("_") or 1.5) if name == "tweedie" else 2.0 if name == "gamma" else 1.0


_LOSS: dict[str, Any] = {"problems": VALUES, "needs": "value", "greater_is_better": False, "low": 0.0}

SPEC: tuple[Metric, ...] = (
    Metric(name="poisson_deviance", doc="Mean Poisson deviance of counts; 0 is perfect.",
           aliases=("mean_poisson_deviance", "poisson"), **_LOSS, **_deviance(1.0)),
    Metric(name="gamma_deviance", doc="Mean gamma deviance of amounts above 0.",
           aliases=("mean_gamma_deviance", "gamma"), **_LOSS, **_deviance(2.0)),
    Metric(name="tweedie_deviance", doc="Mean Tweedie deviance of power 1.5: amounts that are often 0.",
           aliases=("mean_tweedie_deviance", "tweedie"), **_LOSS, **_deviance(1.5)),
    *(Metric(name=f"tweedie_deviance_{power}", doc=f"Mean Tweedie deviance of power {power}.", **_LOSS,
             **_deviance(power)) for power in (1.1, 1.2, 1.3, 1.4, 1.6, 1.7, 1.8, 1.9)),
)
