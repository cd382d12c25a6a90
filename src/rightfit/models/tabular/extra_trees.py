"""Extremely randomised trees: a forest whose thresholds are drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular import _forest
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Facts, Family, Task


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    return _forest.grow((ExtraTreesClassifier, ExtraTreesRegressor), rows, params)


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted forest of extremely randomised trees."""
    return TabularModel(task, {**_forest.DEFAULTS, **params}, _learn, _forest.ENCODER)


SPEC = Family(
    name="extra_trees", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal", "count", "ranking"),
    build=build,
    facts=Facts(year=2006, paper="Geurts, Ernst & Wehenkel, Extremely randomized trees, Machine Learning 63",
                licence="BSD-3-Clause", framework="scikit-learn",
                good_at="smooth numeric relations, noise; faster to train than a random forest",
                bad_at="large on disk; many irrelevant columns; extrapolation"),
    space=_forest.SPACE, defaults=_forest.DEFAULTS, variants=({"min_samples_leaf": 3, "max_features": 0.8},),
    regularisers=_forest.REGULARISERS,
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "noise"}), seconds=_forest.seconds,
    requires=("sklearn",), smoke={"n_estimators": 25, "min_samples_leaf": 3}, rank=6)
