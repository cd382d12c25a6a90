"""Linear support vector machine, for classes and for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular import _svm
from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Core, Rows, affordable, quiet, trees_per_round
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"C": 0.1, "epsilon": 0.1, "scale": "standard"}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "standard",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 1000}
MOST_ROWS = 50_000


def _weights(rows: Rows, params: Mapping[str, Any]) -> tuple[Any, Any]:
    """(float64 (f, m), (m,)): one column for two classes or for values, else one per class."""
    from sklearn.svm import LinearSVC, LinearSVR

    shared = {"C": params["C"], "random_state": rows.seed % 2**31, "max_iter": 2000, "dual": "auto"}
    model = LinearSVC(**shared) if rows.classes else LinearSVR(
        epsilon=params["epsilon"], loss="squared_epsilon_insensitive", **shared)
    with quiet():
        model.fit(rows.X.astype(np.float64), rows.y, sample_weight=rows.weight)
    return np.atleast_2d(model.coef_).T.astype(np.float64), np.atleast_1d(model.intercept_).astype(np.float64)


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    def fit(part: Rows) -> _svm.Decide:
        weights, bias = _weights(part, params)
        return lambda X: X.astype(np.float64) @ weights + bias

    def whole(part: Rows) -> tuple[Any, Any, Any]:
        curve = _svm.calibrate(part, fit) if part.classes else None
        return (*_weights(part, params), curve)

    weights, bias, curve = whole(affordable(rows, whole, MOST_ROWS, power=1.2))

    def predict(X: Any) -> Any:
        values = X.astype(np.float64) @ weights + bias
        return _svm.probabilities(values, curve) if rows.classes else values

    def onnx() -> Any:
        graph = Graph(rows.X.shape[1])
        values = graph("Add", graph("MatMul", graph.x, graph.constant(weights)), graph.constant(bias[None]))
        return _svm.finish(graph, values, curve, rows.classes)

    return Core(predict=predict, onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted linear support vector machine."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="svm_linear", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal"),
    build=build,
    facts=Facts(year=1995, paper="Cortes & Vapnik, Support-vector networks; Fan et al. 2008, LIBLINEAR",
                licence="BSD-3-Clause", framework="scikit-learn", good_at="many columns, few rows, texts",
                bad_at=f"interactions and curves; learns from at most {MOST_ROWS} rows"),
    space={"C": Dimension(low=1e-4, high=1e2, log=True), "epsilon": Dimension(low=0.01, high=0.5, log=True),
           "scale": Dimension(choices=("standard", "robust", "quantile"))},
    defaults=DEFAULTS, regularisers=("C", "epsilon"),
    handles=frozenset({"missing", "categorical", "text", "weights", "wide"}),
    seconds=lambda task: 0.3 + 2e-6 * min(task.rows, MOST_ROWS) * max(task.features, 1) * trees_per_round(task),
    requires=("sklearn",), rank=15)
