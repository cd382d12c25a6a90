"""Gaussian naive Bayes on the encoded columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"var_smoothing": 0.1, "scale": "quantile"}
ENCODER: Mapping[str, Any] = {"impute": "median", "scale": "quantile", "cyclic": True, "onehot_limit": 30}


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    from sklearn.naive_bayes import GaussianNB

    model = GaussianNB(var_smoothing=params["var_smoothing"])
    model.fit(rows.X.astype(np.float64), rows.y, sample_weight=rows.weight)
    spread = np.maximum(model.var_, 1e-12)
    start = np.log(np.maximum(model.class_prior_, 1e-12)) - 0.5 * np.log(spread).sum(axis=1)

    def onnx() -> Any:
        graph = Graph(rows.X.shape[1])
        wide = graph("Unsqueeze", graph.x, graph.constant([1], np.int64))
        away = graph("Sub", wide, graph.constant(model.theta_[None]))
        terms = graph("Mul", graph("Mul", away, away), graph.constant(-0.5 / spread[None]))
        total = graph("ReduceSum", terms, graph.constant([2], np.int64), keepdims=0)
        score = graph("Add", total, graph.constant(start[None]))
        return graph.model(graph("Softmax", score, axis=1), rows.classes)

    def predict(X: Any) -> Any:
        score = start - 0.5 * (((X.astype(np.float64)[:, None] - model.theta_) ** 2) / spread).sum(axis=2)
        share = np.exp(score - score.max(axis=1, keepdims=True))
        return share / share.sum(axis=1, keepdims=True)

    return Core(predict=predict, onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted naive Bayes classifier."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="naive_bayes", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "ordinal"),
    build=build,
    facts=Facts(year=1961, paper="Maron, Automatic Indexing: An Experimental Inquiry, JACM 8 (naive Bayes)",
                licence="BSD-3-Clause", framework="scikit-learn",
                good_at="very few rows, instant fits",
                bad_at="correlated columns; probabilities too sure of themselves"),
    space={"var_smoothing": Dimension(low=1e-9, high=1.0, log=True),
           "scale": Dimension(choices=("standard", "quantile"))},
    defaults=DEFAULTS, regularisers=("var_smoothing",),
    handles=frozenset({"missing", "categorical", "text", "weights"}),
    seconds=lambda task: 0.05 + 5e-8 * task.rows * max(task.features, 1), requires=("sklearn",), rank=30)
