"""Support vector machine with a Gaussian kernel, for classes (one against the rest) and for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular import _svm
from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Core, Rows, affordable, quiet, trees_per_round
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task, frozen

# A compromise between metrics: over nine draws on each of 217 splits (benchmarks/replay/many.py) scores were best near
# gamma 0.1 to 0.3 for all of them, near C 1 by ROC AUC, and above 30 by log loss and RMSE.
DEFAULTS: Mapping[str, Any] = {"C": 10.0, "gamma": 0.3, "epsilon": 0.1, "scale": "standard"}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "standard"}
MOST_ROWS = 10_000
CHUNK = 512


@frozen
class _Machine:
    """vectors (s, f), coefficients (s, m), bias (m,), gamma: decision = exp(-gamma |x - v|^2) @ coefficients + bias."""

    vectors: Any
    coefficients: Any
    bias: Any
    gamma: float

    def decide(self, X: Any) -> Any:
        """Decision values float64 (n, m)."""
        size = (self.vectors * self.vectors).sum(axis=1)
        parts = []
        for start in range(0, len(X), CHUNK):
            wide = X[start:start + CHUNK].astype(np.float64)
            square = (wide * wide).sum(axis=1, keepdims=True) + size - 2.0 * (wide @ self.vectors.T)
            parts.append(np.exp(-self.gamma * np.maximum(square, 0.0)) @ self.coefficients + self.bias)
        return np.concatenate(parts) if parts else np.zeros((0, len(self.bias)))


def _machine(rows: Rows, params: Mapping[str, Any]) -> _Machine:
    from sklearn.svm import SVC, SVR

    X = rows.X.astype(np.float64)
    gamma = float(params["gamma"]) / (X.shape[1] * max(float(X.var()), 1e-9))
    targets = [rows.y] if rows.classes <= 2 else [(rows.y == code).astype(np.int64) for code in range(rows.classes)]
    coefficients, bias = np.zeros((len(X), len(targets))), np.zeros(len(targets))
    for column, y in enumerate(targets):
        shared = {"C": params["C"], "gamma": gamma, "cache_size": 200}
        model = SVC(**shared) if rows.classes else SVR(epsilon=params["epsilon"], **shared)
        model.random_state = rows.seed % 2**31  # SVR takes none, and would draw from numpy's global state
        with quiet():
            model.fit(X, y, sample_weight=rows.weight)
        coefficients[model.support_, column] = np.asarray(model.dual_coef_)[0]
        bias[column] = float(model.intercept_[0])
    used = np.flatnonzero(np.any(coefficients != 0.0, axis=1))
    used = used if len(used) else np.array([0])
    return _Machine(vectors=X[used], coefficients=coefficients[used], bias=bias, gamma=gamma)


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    def whole(part: Rows) -> tuple[_Machine, Any]:
        curve = _svm.calibrate(part, lambda some: _machine(some, params).decide) if part.classes else None
        return _machine(part, params), curve

    machine, curve = whole(affordable(rows, whole, MOST_ROWS, power=2.2))

    def predict(X: Any) -> Any:
        values = machine.decide(X)
        return _svm.probabilities(values, curve) if rows.classes else values

    def onnx() -> Any:
        graph = Graph(rows.X.shape[1])
        size = (machine.vectors * machine.vectors).sum(axis=1)
        square = graph("ReduceSum", graph("Mul", graph.x, graph.x), graph.constant([1], np.int64), keepdims=1)
        cross = graph("MatMul", graph.x, graph.constant(-2.0 * machine.vectors.T))
        square = graph("Add", graph("Add", square, graph.constant(size[None])), cross)
        kernel = graph("Exp", graph("Mul", graph("Max", square, graph.constant(0.0)), graph.constant(-machine.gamma)))
        values = graph("Add", graph("MatMul", kernel, graph.constant(machine.coefficients)),
                       graph.constant(machine.bias[None]))
        return _svm.finish(graph, values, curve, rows.classes)

    return Core(predict=predict, onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted Gaussian support vector machine; gamma is in units of 1 / (columns x variance)."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="svm_rbf", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal"),
    build=build,
    facts=Facts(year=1992, paper="Boser, Guyon & Vapnik, A training algorithm for optimal margin classifiers; "
                                 "Platt 1999 (probabilities)", licence="BSD-3-Clause", framework="scikit-learn",
                good_at="smooth boundaries on a few hundred to a few thousand numeric rows",
                bad_at=f"large tables: cost grows with the square of the rows, at most {MOST_ROWS} are learned from"),
    space={"C": Dimension(low=1e-2, high=1e3, log=True), "gamma": Dimension(low=1e-2, high=1e2, log=True),
           "epsilon": Dimension(low=0.01, high=0.5, log=True),
           "scale": Dimension(choices=("standard", "robust", "quantile"))},
    defaults=DEFAULTS, variants=({"C": 100.0, "gamma": 0.1},), regularisers=("C", "gamma", "epsilon"),
    handles=frozenset({"missing", "categorical", "weights", "nonlinear"}),
    seconds=lambda task: 0.3 + 2e-9 * min(task.rows, MOST_ROWS) ** 2 * max(task.features, 1) * trees_per_round(task),
    requires=("sklearn",), rank=12)
