"""Random forest: many trees on bootstrap samples, averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular import _forest
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Facts, Family, Task


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return _forest.grow((RandomForestClassifier, RandomForestRegressor), rows, params)


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted random forest."""
    return TabularModel(task, {**_forest.DEFAULTS, **params}, _learn, _forest.ENCODER)


SPEC = Family(
    name="random_forest", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal", "count", "ranking"),
    build=build,
    facts=Facts(year=2001, paper="Breiman, Random Forests, Machine Learning 45", licence="BSD-3-Clause",
                framework="scikit-learn", good_at="works untuned, robust to outliers and label noise",
                bad_at="large on disk; slower to predict than boosters; extrapolation"),
    space=_forest.SPACE, defaults=_forest.DEFAULTS, variants=({"min_samples_leaf": 5, "max_features": 0.5},),
    regularisers=_forest.REGULARISERS,
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "noise"}), seconds=_forest.seconds,
    requires=("sklearn",), smoke={"n_estimators": 25}, rank=5)
