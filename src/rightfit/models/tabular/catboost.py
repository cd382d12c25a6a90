"""CatBoost: ordered gradient boosting of symmetric trees."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import exponent, tidy
from rightfit.models.tabular._parts import PROBLEMS, Core, Rows, quiet, threads, trees_per_round
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# learning_rate None lets CatBoost derive it from rows and iterations, the strongest untuned default in TabRepo.
DEFAULTS: Mapping[str, Any] = {
    "n_estimators": 1000, "learning_rate": None, "depth": 6, "l2": 3.0, "random_strength": 1.0,
    "bagging_temperature": 1.0, "colsample": 1.0, "min_child_samples": 1, "early_stopping": True, "patience": 50,
}
ENCODER: Mapping[str, Any] = {"categorical": "auto", "token_weight": "binary"}
FEW_ROWS_TREES = 300


class _Deadline:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on; CatBoost asks after every tree."""
        return time.monotonic() < self.deadline


def _settings(rows: Rows, params: Mapping[str, Any], trees: int) -> dict[str, Any]:
    return {
        "iterations": trees, "learning_rate": params["learning_rate"], "depth": int(params["depth"]),
        "l2_leaf_reg": params["l2"], "random_strength": params["random_strength"], "rsm": params["colsample"],
        "bootstrap_type": "Bayesian", "bagging_temperature": params["bagging_temperature"],
        "min_data_in_leaf": int(params["min_child_samples"]), "loss_function": _loss(rows),
        "random_seed": rows.seed % 2**31, "thread_count": threads(), "allow_writing_files": False,
        "logging_level": "Silent", **({"monotone_constraints": list(rows.monotone)} if any(rows.monotone) else {}),
    }


def _loss(rows: Rows) -> str:
    if rows.classes:
        return "Logloss" if rows.classes == 2 else "MultiClass"
    return {"quantile": f"Quantile:alpha={rows.level}", "poisson": "Poisson", "rank": "YetiRank",
            "tweedie": f"Tweedie:variance_power={rows.power}"}.get(rows.loss, "RMSE")


def _pool(rows: Rows) -> Any:
    from catboost import Pool

    if rows.query is None:
        return Pool(rows.X, rows.y, weight=rows.weight)
    rows, sizes = rows.by_query()
    weight = None if rows.weight is None else np.repeat(
        np.add.reduceat(rows.weight, np.cumsum(sizes) - sizes) / sizes, sizes)
    return Pool(rows.X, rows.y, group_weight=weight, group_id=rows.query)


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    from catboost import CatBoost

    trees = int(params["n_estimators"])
    train, valid = rows, None
    extra: dict[str, Any] = {}
    if rows.inner is not None:
        train, inner = rows.take(rows.inner[0]), rows.take(rows.inner[1])
        valid = _pool(inner)
        extra = {"early_stopping_rounds": int(params["patience"]), "use_best_model": True}
    elif params["early_stopping"]:
        trees = min(trees, FEW_ROWS_TREES)
    if _constant(train.X):
        return _share(train)
    model = CatBoost(_settings(train, params, trees))
    with quiet():
        model.fit(_pool(train), eval_set=valid, callbacks=[_Deadline(rows.deadline)],
                  **extra)
    logs = not rows.classes and rows.loss in ("poisson", "tweedie")
    kind = "Probability" if rows.classes else "Exponent" if logs else "RawFormulaVal"

    def predict(X: Any) -> Any:
        return model.predict(X, prediction_type=kind, thread_count=1).reshape(len(X), -1)

    return Core(predict=predict, onnx=lambda: exponent(_onnx(model)) if logs else _onnx(model),
                learned={"n_estimators": int(model.tree_count_)})


def _constant(X: Any) -> bool:
    return bool(np.all((X[:1] == X) | (np.isnan(X) & np.isnan(X[:1]))))


def _share(rows: Rows) -> Core:
    """CatBoost refuses tables whose columns are all constant; what can be learned there is the baseline."""
    from rightfit.models.tabular import baseline

    return baseline.learn(rows, baseline.DEFAULTS)


def _onnx(model: Any) -> Any:
    import tempfile
    from pathlib import Path

    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return tidy(onnx.load(path))


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted CatBoost model."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="catboost", modality="tabular", problems=PROBLEMS, build=build,
    facts=Facts(year=2018,
                paper="Prokhorenkova et al., CatBoost: unbiased boosting with categorical features, NeurIPS 2018",
                licence="Apache-2.0", framework="catboost",
                good_at="the best defaults of the boosters, small and middle tables, noisy targets",
                bad_at="slow to train with many classes; extrapolation beyond the seen range"),
    space={"learning_rate": Dimension(low=0.01, high=0.2, log=True), "depth": Dimension(low=3, high=9, whole=True),
           "l2": Dimension(low=1.0, high=30.0, log=True), "random_strength": Dimension(low=0.1, high=10.0, log=True),
           "bagging_temperature": Dimension(low=0.0, high=2.0), "colsample": Dimension(low=0.3, high=1.0),
           "min_child_samples": Dimension(low=1, high=50, log=True, whole=True),
           "early_stopping": Dimension(choices=(True,)),
           "categorical": Dimension(choices=("auto", "target", "ordinal"))},
    defaults=DEFAULTS,
    variants=({"depth": 8, "learning_rate": 0.05, "l2": 6.0}, {"depth": 4, "learning_rate": 0.08, "l2": 3.0},
              {"categorical": "target", "colsample": 0.7}),
    regularisers=("l2", "depth", "random_strength", "bagging_temperature", "colsample", "min_child_samples",
                  "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "noise", "monotone"}),
    seconds=lambda task: 1.5 + 2e-5 * task.rows * max(task.features, 1) * trees_per_round(task),
    requires=("catboost", "onnx"), smoke={"n_estimators": 60, "learning_rate": 0.2, "depth": 4}, rank=1)
