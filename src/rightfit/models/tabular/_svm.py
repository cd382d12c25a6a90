"""What the support vector machines share: probabilities by Platt's method on decision values of rows not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Rows, quiet, two_columns

FOLDS = 3
TINY = 1e-12

Decide = Callable[[Any], Any]


def platt(decisions: Any, hits: Any, weight: Any = None) -> tuple[float, float]:
    """(slope, intercept) of P = 1 / (1 + exp(-(slope d + intercept))), Platt 1999 with his smoothed targets.

    decisions: float64 (n,). hits: bool (n,), both values present. weight: float64 (n,) or None.
    """
    from sklearn.linear_model import LogisticRegression

    trust = np.ones(len(hits)) if weight is None else weight
    yes, no = float(trust[hits].sum()), float(trust[~hits].sum())
    goal = np.where(hits, (yes + 1) / (yes + 2), 1 / (no + 2))
    spread = max(float(np.std(decisions)), TINY)
    both = np.concatenate([decisions, decisions])[:, None] / spread
    model = LogisticRegression(C=1e4, max_iter=200)
    with quiet():
        model.fit(both, np.repeat([1, 0], len(hits)), sample_weight=np.concatenate([goal * trust, (1 - goal) * trust]))
    return float(model.coef_[0, 0]) / spread, float(model.intercept_[0])


def calibrate(rows: Rows, fit: Callable[[Rows], Decide]) -> Any:
    """Platt's (slope, intercept) per decision column: float64 (2, m). `fit(rows)` gives X -> (n, m) decision values."""
    out = np.zeros((0, 0))
    folds = np.empty(len(rows.y), dtype=np.int64)
    rng = np.random.default_rng(rows.seed)
    for code in range(rows.classes):
        places = rng.permutation(np.flatnonzero(rows.y == code))
        folds[places] = np.arange(len(places)) % FOLDS
    for fold in range(FOLDS):
        inside = folds == fold
        train = np.flatnonzero(~inside)
        # A class with a single row is all in one fold; without it that fold cannot be learned, so it is not left out.
        if len(np.unique(rows.y[train])) < rows.classes:
            train = np.arange(len(rows.y))
        values = fit(rows.take(train))(rows.X[inside])
        if not out.size:
            out = np.zeros((len(rows.y), values.shape[1]))
        out[inside] = values
    targets = [rows.y == 1] if out.shape[1] == 1 else [rows.y == code for code in range(rows.classes)]
    return np.array([platt(out[:, j], hits, rows.weight) for j, hits in enumerate(targets)]).T


def probabilities(values: Any, curve: Any) -> Any:
    """Decision values (n, m) to probabilities (n, classes); one column is that of the second class."""
    share = 1.0 / (1.0 + np.exp(-np.clip(values * curve[0] + curve[1], -500, 500)))
    if share.shape[1] == 1:
        return two_columns(share[:, 0])
    share = share + TINY
    return share / share.sum(axis=1, keepdims=True)


def finish(graph: Graph, values: str, curve: Any, classes: int) -> Any:
    """The graph's decision values made probabilities, or left as they are for regression."""
    if not classes:
        return graph.model(values, 1)
    score = graph("Add", graph("Mul", values, graph.constant(curve[:1])), graph.constant(curve[1:]))
    share = graph("Sigmoid", graph("Clip", score, graph.constant(-500.0), graph.constant(500.0)))
    if curve.shape[1] == 1:
        return graph.model(graph("Concat", graph("Sub", graph.constant(1.0), share), share, axis=1), 2)
    share = graph("Add", share, graph.constant(TINY))
    total = graph("ReduceSum", share, graph.constant([1], np.int64), keepdims=1)
    return graph.model(graph("Div", share, total), classes)
