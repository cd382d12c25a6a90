"""k nearest neighbours on scaled columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Core, Rows, subsample
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"k": 15, "weights": "distance", "scale": "quantile"}
ENCODER: Mapping[str, Any] = {"impute": "median", "scale": "quantile", "onehot_limit": 10, "tokens": 0}
MOST_ROWS = 10_000
CHUNK = 256
# Squared distances are rounded to this grid, so that equal ones stay equal whatever order a library sums them in.
GRID = 2.0**20
NEAR = 1e-6


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    rows = subsample(rows, MOST_ROWS)
    known = rows.X.astype(np.float64)
    size = (known * known).sum(axis=1)
    answers = np.eye(rows.classes)[rows.y] if rows.classes else rows.y[:, None]
    trust = np.ones(len(rows.y)) if rows.weight is None else np.maximum(rows.weight, 1e-9)
    k, by_distance = min(int(params["k"]), len(rows.y)), params["weights"] == "distance"

    def part(X: Any) -> Any:
        wide = X.astype(np.float64)
        square = (wide * wide).sum(axis=1, keepdims=True) + size - 2.0 * (wide @ known.T)
        square = np.maximum(np.rint(square * GRID) / GRID, 0.0)
        near = np.argsort(square, axis=1, kind="stable")[:, :k]
        weight = trust[near]
        if by_distance:
            weight = weight / (np.sqrt(np.take_along_axis(square, near, axis=1)) + NEAR)
        weight = weight / weight.sum(axis=1, keepdims=True)
        return (weight[:, :, None] * answers[near]).sum(axis=1)

    def predict(X: Any) -> Any:
        return np.concatenate([part(X[i:i + CHUNK]) for i in range(0, len(X), CHUNK)])

    def onnx() -> Any:
        graph = Graph(known.shape[1])
        one = graph.constant([1], np.int64)
        square = graph("ReduceSum", graph("Mul", graph.x, graph.x), one, keepdims=1)
        cross = graph("MatMul", graph.x, graph.constant(-2.0 * known.T))
        square = graph("Add", graph("Add", square, graph.constant(size[None])), cross)
        rounded = graph("Mul", graph("Round", graph("Mul", square, graph.constant(GRID))), graph.constant(1 / GRID))
        values, near = graph("TopK", graph("Max", rounded, graph.constant(0.0)), graph.constant([k], np.int64), axis=1,
                             largest=0, sorted=1, outputs=2)
        weight = graph("Gather", graph.constant(trust), near)
        if by_distance:
            weight = graph("Div", weight, graph("Add", graph("Sqrt", values), graph.constant(NEAR)))
        weight = graph("Div", weight, graph("ReduceSum", weight, one, keepdims=1))
        weighted = graph("Mul", graph("Gather", graph.constant(answers), near),
                         graph("Unsqueeze", weight, graph.constant([2], np.int64)))
        return graph.model(graph("ReduceSum", weighted, one, keepdims=0), answers.shape[1])

    return Core(predict=predict, onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """Unfitted nearest neighbours: k, weights distance | uniform, scale."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="knn", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal"),
    build=build,
    facts=Facts(year=1967, paper="Cover & Hart, Nearest neighbor pattern classification", licence="Apache-2.0",
                framework="numpy", good_at="few columns with odd boundaries; nothing to train",
                bad_at=f"many columns; keeps its rows (at most {MOST_ROWS}), so large and slow to predict"),
    space={"k": Dimension(low=1, high=100, log=True, whole=True), "weights": Dimension(choices=("distance", "uniform")),
           "scale": Dimension(choices=("standard", "robust", "quantile"))},
    defaults=DEFAULTS, regularisers=("k",), handles=frozenset({"missing", "categorical", "weights", "nonlinear"}),
    seconds=lambda task: 0.1 + 2e-6 * min(task.rows, MOST_ROWS) * max(task.features, 1), rank=25)
