"""Baseline: the share of each class, or the mean or median of the target; whatever beats nothing must beat this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import PROBLEMS, Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"center": "mean"}


def learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    """The shares of the classes, or the centre of the values."""
    if rows.classes:
        values = np.bincount(rows.y, weights=rows.weight, minlength=rows.classes).astype(np.float64)
        values = values / values.sum()
    elif rows.loss == "quantile":
        values = np.array([np.quantile(rows.y, rows.level)])
    elif params["center"] == "median" and rows.loss == "squared":
        values = np.array([np.median(rows.y)])
    else:
        values = np.array([np.average(rows.y, weights=rows.weight)])

    def onnx() -> Any:
        graph = Graph(rows.X.shape[1])
        size = graph("Shape", "X")
        count = graph("Gather", size, graph.constant([0], np.int64))
        shape = graph("Concat", count, graph.constant([len(values)], np.int64), axis=0)
        return graph.model(graph("Expand", graph.constant(values[None, :]), shape), len(values))

    return Core(predict=lambda X: np.tile(values, (len(X), 1)), onnx=onnx, learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted baseline."""
    plain = {"categorical": "ordinal", "tokens": 0, "text_scores": False}
    return TabularModel(task, {**DEFAULTS, **params}, learn, plain)


SPEC = Family(
    name="baseline", modality="tabular", problems=PROBLEMS, build=build,
    facts=Facts(year=1993,
                paper="after Holte, Very simple classification rules perform well on most commonly used datasets",
                licence="Apache-2.0", framework="numpy",
                good_at="costs nothing, cannot over-fit, says what a score is worth",
                bad_at="looks at no feature"),
    space={"center": Dimension(choices=("mean", "median"))}, defaults=DEFAULTS, variants=({"center": "median"},),
    handles=frozenset({"missing", "categorical", "text", "weights", "wide"}), seconds=lambda task: 0.05, rank=100,
    baseline=True)
