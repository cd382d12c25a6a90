"""LightGBM: leaf-wise gradient boosting on histograms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rightfit.models.tabular._lightgbm_onnx import from_text
from rightfit.models.tabular._onward import Onward
from rightfit.models.tabular._parts import PROBLEMS, Core, Rows, quiet, threads, trees_per_round, two_columns
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# Rates, leaves and patience follow the tuned defaults of TabRepo (Salinas & Erickson 2024) and its portfolio.
DEFAULTS: Mapping[str, Any] = {
    "n_estimators": 1000, "learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20, "subsample": 0.9,
    "colsample": 0.9, "l1": 0.0, "l2": 1.0, "max_depth": -1, "early_stopping": True, "patience": 50,
}
ENCODER: Mapping[str, Any] = {"categorical": "auto", "token_weight": "binary"}
FEW_ROWS_TREES = 200
LOSSES = {"squared": ("regression", "l2"), "quantile": ("quantile", "quantile"), "poisson": ("poisson", "poisson"),
          "tweedie": ("tweedie", "tweedie"), "rank": ("lambdarank", "ndcg")}  # objective, metric


def _settings(rows: Rows, params: Mapping[str, Any]) -> dict[str, Any]:
    objective = LOSSES[rows.loss] if not rows.classes else \
        ("binary", "binary_logloss") if rows.classes == 2 else ("multiclass", "multi_logloss")
    settings = {
        "objective": objective[0], "metric": objective[1],
        "learning_rate": params["learning_rate"], "num_leaves": params["num_leaves"], "max_depth": params["max_depth"],
        "min_data_in_leaf": min(params["min_child_samples"], max(len(rows.y) // 10, 1)),
        "bagging_fraction": params["subsample"], "bagging_freq": 1, "feature_fraction": params["colsample"],
        "lambda_l1": params["l1"], "lambda_l2": params["l2"], "num_threads": threads(), "seed": rows.seed % 2**31,
        "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }
    own: dict[str, dict[str, Any]] = {"quantile": {"alpha": rows.level}, "rank": {"eval_at": [10]},
                                      "tweedie": {"tweedie_variance_power": rows.power}}
    further = own.get(rows.loss, {})
    if any(rows.monotone):
        further |= {"monotone_constraints": list(rows.monotone)}
    return settings | further | ({"num_class": rows.classes} if rows.classes > 2 else {})


def _stopper(deadline: float, patience: int) -> Callable[[Any], None]:
    """Ends training at the deadline, or when the inner rows have not improved for `patience` rounds."""
    from lightgbm.callback import EarlyStopException

    best = {"value": float("inf"), "at": 0}

    def stop(env: Any) -> None:
        found = env.evaluation_result_list
        value = (-found[0][2] if found[0][3] else found[0][2]) if found else 0.0
        if found and value < best["value"]:
            best.update(value=value, at=env.iteration)
        at = int(best["at"]) if found else env.iteration
        if time.monotonic() >= deadline or env.iteration - at >= patience or env.iteration + 1 == env.end_iteration:
            raise EarlyStopException(at, found or [])

    return stop


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    import lightgbm

    trees = int(params["n_estimators"])
    train, sets = rows, []
    if rows.inner is not None:
        train, valid = rows.take(rows.inner[0]), rows.take(rows.inner[1])
    elif params["early_stopping"]:
        trees = min(trees, FEW_ROWS_TREES)

    def grouped(part: Rows, **more: Any) -> Any:
        sizes = None
        if part.query is not None:
            part, sizes = part.by_query()
        start = None if part.start is None else part.start.ravel(order="F")
        return lightgbm.Dataset(part.X, part.y, weight=part.weight, group=sizes, init_score=start, **more)

    with quiet():
        data = grouped(train, params={"verbosity": -1, "num_threads": threads()})
        if rows.inner is not None:
            sets = [grouped(valid, reference=data)]
        booster = lightgbm.train(_settings(train, params), data, trees, valid_sets=sets,
                                 valid_names=["inner"][:len(sets)],
                                 callbacks=[_stopper(rows.deadline, int(params["patience"]))])
    best, raw = int(booster.best_iteration), rows.start is not None

    def predict(X: Any) -> Any:
        out: Any = booster.predict(X, num_iteration=best, num_threads=1, raw_score=raw)
        return two_columns(out) if rows.classes == 2 and not raw else out.reshape(len(X), -1)

    def onnx() -> Any:
        return from_text(booster.model_to_string(num_iteration=best), raw)

    return Core(predict=predict, onnx=onnx, learned={"n_estimators": best})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted LightGBM model."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


def resume(params: Mapping[str, Any], task: Task, package: Path) -> Onward:
    """An unfitted model that adds trees to what a package of this family says."""
    return Onward(task, {**DEFAULTS, **params}, _learn, package)


SPEC = Family(
    name="lightgbm", modality="tabular", problems=PROBLEMS, build=build, resume=resume,
    facts=Facts(year=2017,
                paper="Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017",
                licence="MIT", framework="lightgbm",
                good_at="large tables, mixed columns, interactions; trains fast and predicts in microseconds",
                bad_at="a few hundred rows; extrapolation beyond the seen range"),
    space={"learning_rate": Dimension(low=0.01, high=0.2, log=True),
           "num_leaves": Dimension(low=7, high=255, log=True, whole=True),
           "min_child_samples": Dimension(low=2, high=100, log=True, whole=True),
           "subsample": Dimension(low=0.5, high=1.0),
           "colsample": Dimension(low=0.3, high=1.0), "l1": Dimension(low=1e-4, high=10.0, log=True),
           "l2": Dimension(low=1e-3, high=100.0, log=True), "early_stopping": Dimension(choices=(True,)),
           "categorical": Dimension(choices=("auto", "target", "ordinal"))},
    defaults=DEFAULTS,
    variants=({"learning_rate": 0.03, "num_leaves": 127, "min_child_samples": 5, "colsample": 0.7},
              {"learning_rate": 0.03, "num_leaves": 7, "min_child_samples": 40, "l2": 10.0},
              {"categorical": "ordinal", "colsample": 0.6, "l1": 0.5}),
    regularisers=("l1", "l2", "min_child_samples", "num_leaves", "subsample", "colsample", "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "wide", "monotone"}),
    seconds=lambda task: 0.3 + 5e-6 * task.rows * max(task.features, 1) * trees_per_round(task),
    requires=("lightgbm", "onnx"), smoke={"n_estimators": 60, "learning_rate": 0.2, "num_leaves": 15}, rank=2)
