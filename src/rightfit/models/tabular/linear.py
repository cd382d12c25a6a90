"""Linear and logistic regression with L1, L2 or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import LARGEST, Graph, exponent
from rightfit.models.tabular._parts import PROBLEMS, Core, Rows, affordable, quiet, subsample
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"penalty": "l2", "strength": 1.0, "l1_ratio": 0.5, "scale": "standard"}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "standard",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 1000}
STEP = 50
MOST_STEPS = 20
SAGA_ROWS = 50_000
QUANTILE_ROWS = 5000  # a linear program over rows


def _ratio(params: Mapping[str, Any]) -> float:
    return {"l2": 0.0, "l1": 1.0, "elasticnet": float(params["l1_ratio"])}[params["penalty"]]


def _classifier(rows: Rows, params: Mapping[str, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression

    ratio = _ratio(params)
    solver = "lbfgs" if ratio == 0.0 else "saga"
    if solver == "saga":
        rows = subsample(rows, SAGA_ROWS)
    model = LogisticRegression(C=1.0 / params["strength"], l1_ratio=ratio, solver=solver, max_iter=STEP, tol=1e-4,
                               random_state=rows.seed, warm_start=True)
    # Steps of a warm start, because neither solver can be asked to stop by the clock.
    for _ in range(MOST_STEPS):
        with quiet():
            model.fit(rows.X.astype(np.float64), rows.y, sample_weight=rows.weight)
        if int(np.max(model.n_iter_)) < STEP or rows.late:
            break
    return model


def _further(rows: Rows, params: Mapping[str, Any]) -> Any:
    """Quantiles by linear programming (Koenker and Bassett 1978), counts and amounts by a log link."""
    from sklearn.linear_model import TweedieRegressor

    strength = max(params["strength"] / len(rows.y), 1e-8)
    if rows.loss == "quantile":
        rows = affordable(rows, lambda some: _quantile(some, strength), QUANTILE_ROWS, 2.0)
        return _quantile(rows, strength)
    model = TweedieRegressor(power=rows.power, link="log", alpha=strength, max_iter=1000)
    with quiet():
        return model.fit(rows.X.astype(np.float64), rows.y, sample_weight=rows.weight)


def _quantile(rows: Rows, strength: float) -> Any:
    from sklearn.linear_model import QuantileRegressor

    with quiet():
        return QuantileRegressor(quantile=rows.level, alpha=strength, solver="highs").fit(
            rows.X.astype(np.float64), rows.y, sample_weight=rows.weight)


def _regressor(rows: Rows, params: Mapping[str, Any]) -> Any:
    if rows.loss in ("quantile", "poisson", "tweedie"):
        return _further(rows, params)
    from sklearn.linear_model import ElasticNet, Ridge

    ratio, X = _ratio(params), rows.X.astype(np.float64)
    model = Ridge(alpha=params["strength"], random_state=rows.seed)
    if ratio > 0.0:
        # Per-row objective: alpha is comparable with ridge's only after dividing by the rows.
        model = ElasticNet(alpha=max(params["strength"] / len(rows.y), 1e-8), l1_ratio=ratio, max_iter=2000,
                           random_state=rows.seed)
    with quiet():
        return model.fit(X, rows.y, sample_weight=rows.weight)


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    if rows.late:
        rows = subsample(rows, 1000)
    model = _classifier(rows, params) if rows.classes else _regressor(rows, params)
    logs = rows.loss in ("poisson", "tweedie")
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T
    bias = np.atleast_1d(np.asarray(model.intercept_, dtype=np.float64))
    if rows.classes == 2:
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])

    def onnx() -> Any:
        graph = Graph(rows.X.shape[1])
        score = graph("Add", graph("MatMul", graph.x, graph.constant(weights)), graph.constant(bias[None, :]))
        model = graph.model(graph("Softmax", score, axis=1) if rows.classes else score, weights.shape[1])
        return exponent(model) if logs else model

    def predict(X: Any) -> Any:
        wide = X.astype(np.float64)
        if logs:
            return np.exp(np.clip(wide @ weights + bias, -LARGEST, LARGEST))
        return model.predict_proba(wide) if rows.classes else model.predict(wide)[:, None]

    return Core(predict=predict, onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted linear model: penalty l2 | l1 | elasticnet, strength (1 / C, or ridge's alpha), l1_ratio, scale."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="linear", modality="tabular", problems=PROBLEMS, build=build,
    facts=Facts(year=1970,
                paper="Hoerl & Kennard 1970 (ridge); Tibshirani 1996 (lasso); Zou & Hastie 2005 (elastic net)",
                licence="BSD-3-Clause", framework="scikit-learn",
                good_at="few rows, many columns, microsecond predictions, coefficients that can be read",
                bad_at="interactions and curves that no column states"),
    space={"penalty": Dimension(choices=("l2", "l1", "elasticnet")),
           "strength": Dimension(low=1e-4, high=1e3, log=True), "l1_ratio": Dimension(low=0.05, high=0.95),
           "scale": Dimension(choices=("standard", "robust", "quantile"))},
    defaults=DEFAULTS,
    variants=({"scale": "quantile", "strength": 0.1}, {"penalty": "l1", "strength": 1.0}),
    regularisers=("penalty", "strength", "l1_ratio"),
    handles=frozenset({"missing", "categorical", "text", "weights", "wide"}),
    seconds=lambda task: 0.2 + 2e-7 * task.rows * max(task.features, 1) * max(len(task.classes), 1),
    smoke={"strength": 1.0}, rank=8)
