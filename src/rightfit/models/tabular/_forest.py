"""What random forests and extra trees share: grown in chunks until done or late, and their spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular._parts import Core, Rows, quiet, subsample, threads
from rightfit.models.tabular._trees import ensemble
from rightfit.records import Dimension, Task

DEFAULTS: Mapping[str, Any] = {"n_estimators": 100, "max_features": "auto", "min_samples_leaf": 1, "max_depth": None}
ENCODER: Mapping[str, Any] = {"categorical": "auto", "impute": "median", "indicator": True}
CHUNK = 10
LATE_ROWS = 2000
SPACE: Mapping[str, Dimension] = {
    "n_estimators": Dimension(low=100, high=500, log=True, whole=True),
    "max_features": Dimension(choices=("auto", 0.3, 0.5, 0.8, 1.0)),
    "min_samples_leaf": Dimension(low=1, high=40, log=True, whole=True),
    "max_depth": Dimension(choices=(None, 8, 12, 20)),
    "categorical": Dimension(choices=("auto", "target", "ordinal")),
}
REGULARISERS = ("min_samples_leaf", "max_depth", "max_features")


def grow(kinds: tuple[Any, Any], rows: Rows, params: Mapping[str, Any]) -> Core:
    """A forest of kinds = (classifier, regressor) class of scikit-learn, as many trees as the deadline allows."""
    if rows.late:
        rows = subsample(rows, LATE_ROWS)
    features = params["max_features"]
    if features == "auto":
        # Breiman's choices: the square root for classes, a third for values.
        features = "sqrt" if rows.classes else max(rows.X.shape[1] // 3, min(rows.X.shape[1], 3))
    settings = {"max_features": features, "min_samples_leaf": int(params["min_samples_leaf"]),
                "max_depth": params["max_depth"], "random_state": rows.seed % 2**31, "n_jobs": threads()}
    forest = kinds[0 if rows.classes else 1](n_estimators=1, warm_start=True, **settings)
    most, trees = int(params["n_estimators"]), 1
    while True:
        forest.set_params(n_estimators=trees)
        with quiet():
            forest.fit(rows.X, rows.y, sample_weight=rows.weight)
        if trees >= most or rows.late:
            break
        trees = min(trees + CHUNK, most)

    def predict(X: Any) -> Any:
        return forest.predict_proba(X) if rows.classes else forest.predict(X)[:, None]

    return Core(predict=predict, onnx=lambda: convert(forest, rows.X.shape[1]), learned={"n_estimators": trees})


def convert(model: Any, features: int) -> Any:
    """A tree or forest of scikit-learn as ONNX."""
    trees = [one.tree_ for one in getattr(model, "estimators_", [model])]
    return ensemble(trees, features, hasattr(model, "predict_proba"))


def seconds(task: Task) -> float:
    """A rough prior of one fit."""
    tried = max(task.features, 1) ** 0.5 if task.classes else max(task.features, 1) / 3
    return 0.3 + 2e-5 * task.rows * tried
