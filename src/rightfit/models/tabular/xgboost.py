"""XGBoost: regularised gradient boosting on histograms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import tidy
from rightfit.models.tabular._parts import PROBLEMS, Core, Rows, quiet, trees_per_round, two_columns
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# Rate, depth and patience follow the tuned defaults of TabRepo (Salinas & Erickson 2024).
DEFAULTS: Mapping[str, Any] = {
    "n_estimators": 1000, "learning_rate": 0.05, "max_depth": 6, "min_child_weight": 1.0, "subsample": 0.9,
    "colsample": 0.9, "l1": 0.0, "l2": 1.0, "gamma": 0.0, "early_stopping": True, "patience": 50,
}
ENCODER: Mapping[str, Any] = {"categorical": "auto", "token_weight": "binary"}
FEW_ROWS_TREES = 200
LOSSES = {"squared": ("reg:squarederror", "rmse"), "quantile": ("reg:quantileerror", "quantile"),
          "poisson": ("count:poisson", "poisson-nloglik"), "tweedie": ("reg:tweedie", "tweedie-nloglik@{:g}"),
          "rank": ("rank:ndcg", "ndcg@10-")}  # objective, metric


def _settings(rows: Rows, params: Mapping[str, Any]) -> dict[str, Any]:
    objective = LOSSES[rows.loss] if not rows.classes else \
        ("binary:logistic", "logloss") if rows.classes == 2 else ("multi:softprob", "mlogloss")
    settings = {
        "objective": objective[0], "eval_metric": objective[1].format(rows.power),
        "tree_method": "hist", "learning_rate": params["learning_rate"], "max_depth": int(params["max_depth"]),
        "min_child_weight": params["min_child_weight"], "subsample": params["subsample"],
        "colsample_bytree": params["colsample"], "alpha": params["l1"], "lambda": params["l2"],
        "gamma": params["gamma"], "seed": rows.seed % 2**31, "verbosity": 0,
        "nthread": 1,  # sums over several threads differ in their last bits, and then trees do
        # A fixed start keeps the exported graph equal to the booster; the first trees make up for it.
        "base_score": 0.5 if rows.classes else 1.0 if rows.loss in ("poisson", "tweedie") else 0.0,
    }
    own: dict[str, dict[str, Any]] = {"quantile": {"quantile_alpha": rows.level},
                                      "tweedie": {"tweedie_variance_power": rows.power},
                                      "rank": {"lambdarank_pair_method": "topk"}}
    further = own.get(rows.loss, {})
    if any(rows.monotone):
        further |= {"monotone_constraints": tuple(rows.monotone)}
    return settings | further | ({"num_class": rows.classes} if rows.classes > 2 else {})


def _stopper(deadline: float, patience: int, rises: bool) -> Any:
    from xgboost.callback import TrainingCallback

    class Stopper(TrainingCallback):
        """Ends training at the deadline or after `patience` rounds without improvement; knows the best round."""

        value, best = float("inf"), -1

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if evals_log:
                (values,) = evals_log["inner"].values()
                value = -values[-1] if rises else values[-1]
                if value < self.value:
                    self.value, self.best = value, epoch
            else:
                self.best = epoch
            return time.monotonic() >= deadline or epoch - self.best >= patience

    return Stopper()


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    import xgboost

    def matrix(part: Rows) -> Any:
        if part.query is None:
            return xgboost.DMatrix(part.X, part.y, weight=part.weight, nthread=1)
        part, sizes = part.by_query()
        # One weight a query: that of its rows on average.
        weight = None if part.weight is None else np.add.reduceat(part.weight, np.cumsum(sizes) - sizes) / sizes
        return xgboost.DMatrix(part.X, part.y, weight=weight, group=sizes, nthread=1)

    trees, train, evals = int(params["n_estimators"]), rows, []
    if rows.inner is not None:
        train = rows.take(rows.inner[0])
        evals = [(matrix(rows.take(rows.inner[1])), "inner")]
    elif params["early_stopping"]:
        trees = min(trees, FEW_ROWS_TREES)
    stopper = _stopper(rows.deadline, int(params["patience"]), rows.loss == "rank")
    with quiet():
        grown = xgboost.train(_settings(train, params), matrix(train), trees, evals=evals, callbacks=[stopper],
                              verbose_eval=False)
    best = stopper.best + 1
    booster = grown[:best]

    def predict(X: Any) -> Any:
        out = booster.inplace_predict(X)
        return two_columns(out) if rows.classes == 2 else out.reshape(len(X), -1)

    def onnx() -> Any:
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        plain = booster
        if rows.loss == "rank":
            plain = booster.copy()
            plain.set_param({"objective": "reg:squarederror"})  # the converter knows trees, not what they were for
        with quiet():
            return tidy(convert_xgboost(plain, initial_types=[("X", FloatTensorType([None, rows.X.shape[1]]))],
                                        target_opset=15))

    return Core(predict=predict, onnx=onnx, learned={"n_estimators": best})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted XGBoost model."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


SPEC = Family(
    name="xgboost", modality="tabular", problems=PROBLEMS, build=build,
    facts=Facts(year=2016, paper="Chen & Guestrin, XGBoost: A Scalable Tree Boosting System, KDD 2016",
                licence="Apache-2.0", framework="xgboost",
                good_at="middle and large tables, interactions; many regularisers",
                bad_at="a few hundred rows; extrapolation beyond the seen range"),
    space={"learning_rate": Dimension(low=0.01, high=0.2, log=True), "max_depth": Dimension(low=3, high=10, whole=True),
           "min_child_weight": Dimension(low=0.5, high=50.0, log=True), "subsample": Dimension(low=0.5, high=1.0),
           "colsample": Dimension(low=0.3, high=1.0), "l1": Dimension(low=1e-4, high=10.0, log=True),
           "l2": Dimension(low=1e-2, high=100.0, log=True), "gamma": Dimension(low=1e-4, high=5.0, log=True),
           "early_stopping": Dimension(choices=(True,)),
           "categorical": Dimension(choices=("auto", "target", "ordinal"))},
    defaults=DEFAULTS,
    variants=({"max_depth": 9, "learning_rate": 0.03, "colsample": 0.6, "min_child_weight": 3.0},
              {"max_depth": 3, "learning_rate": 0.08, "l2": 10.0}),
    regularisers=("l1", "l2", "gamma", "min_child_weight", "max_depth", "subsample", "colsample", "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "wide", "monotone"}),
    seconds=lambda task: 0.4 + 1e-5 * task.rows * max(task.features, 1) * trees_per_round(task),
    requires=("xgboost", "onnxmltools"), smoke={"n_estimators": 60, "learning_rate": 0.2, "max_depth": 4}, rank=3)
