"""A single shallow decision tree: from one rule to depth six, small enough to print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular import _forest
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"max_depth": 4, "min_samples_leaf": 5, "ccp_alpha": 0.0}


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if rows.classes else DecisionTreeRegressor
    leaf = max(1, min(int(params["min_samples_leaf"]), len(rows.y) // 4))
    model = kind(max_depth=int(params["max_depth"]), min_samples_leaf=leaf, ccp_alpha=params["ccp_alpha"],
                 random_state=rows.seed % 2**31)
    model.fit(rows.X, rows.y, sample_weight=rows.weight)

    def predict(X: Any) -> Any:
        return model.predict_proba(X) if rows.classes else model.predict(X)[:, None]

    return Core(predict=predict, onnx=lambda: _forest.convert(model, rows.X.shape[1]), learned={})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted decision tree."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, {**_forest.ENCODER, "indicator": False})


SPEC = Family(
    name="tree", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal", "count", "ranking"),
    build=build,
    facts=Facts(year=1984, paper="Breiman et al., Classification and Regression Trees", licence="BSD-3-Clause",
                framework="scikit-learn", good_at="rules that a person can read, microsecond predictions",
                bad_at="smooth relations; small changes of the data change the tree"),
    space={"max_depth": Dimension(low=1, high=6, whole=True), "ccp_alpha": Dimension(low=1e-6, high=1e-2, log=True),
           "min_samples_leaf": Dimension(low=1, high=100, log=True, whole=True)},
    defaults=DEFAULTS, variants=({"max_depth": 1}, {"max_depth": 6}),
    regularisers=("max_depth", "min_samples_leaf", "ccp_alpha"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 0.1 + 3e-7 * task.rows * max(task.features, 1), requires=("sklearn",), rank=20)
