"""Ridge on lags: one penalised linear map from the history to every step ahead (direct multi-output)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.sequence._linear import LinearForecast, Map, lags_of
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"alpha": 1.0, "relative": True}


def learn(X: Any, y: Any, names: list[str], params: Mapping[str, Any], seed: int) -> tuple[Map, dict[str, Any]]:
    """Standardised ridge; `relative` learns differences from the last value, so that a drifting level does no harm.

    All scalings are folded into the weights: X -> y is one map in raw units.
    """
    from sklearn.linear_model import Ridge

    lags = lags_of(names)
    last = lags[0]
    shift = np.zeros((X.shape[1], X.shape[1]))
    if params["relative"]:
        shift[last, lags] = 1.0
    Z = X - X @ shift
    mean, scale = Z.mean(axis=0), Z.std(axis=0)
    scale = np.where(scale > 1e-12 * (1.0 + np.abs(mean)), scale, np.inf)
    base = X[:, [last]] if params["relative"] else 0.0
    model = Ridge(alpha=params["alpha"] * len(X) / 100).fit((Z - mean) / scale, y - base)
    coefficients = model.coef_.reshape(y.shape[1], -1).T / scale[:, None]
    weights = coefficients - shift @ coefficients
    if params["relative"]:
        weights[last] += 1.0
    bias = np.reshape(model.intercept_, -1) - mean @ coefficients
    return Map(names=tuple(names), weights=weights, bias=bias, fill=np.zeros(X.shape[1])), {}


def build(params: Mapping[str, Any], task: Task) -> LinearForecast:
    """An unfitted ridge forecast."""
    return LinearForecast(task, {**DEFAULTS, **params}, learn)


SPEC = Family(
    name="ridge_lags", modality="sequence", problems=("forecasting",), build=build,
    facts=Facts(year=2023, paper="Zeng et al., Are Transformers Effective for Time Series Forecasting?, AAAI 2023",
                licence="Apache-2.0", framework="scikit-learn", good_at="seasons and trends together, at once",
                bad_at="nonlinear dependence"),
    space={"alpha": Dimension(low=1e-4, high=1e3, log=True), "relative": Dimension(choices=(True, False))},
    defaults=DEFAULTS, variants=({"alpha": 30.0}, {"relative": False}), regularisers=("alpha",),
    handles=frozenset({"missing", "wide"}), seconds=lambda task: 0.2 + 1e-6 * task.rows * task.features,
    requires=("sklearn",), rank=10)
