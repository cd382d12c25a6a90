"""The report: stable JSON, one safe offline page in two languages, charts without NaN, a model card that parses."""

from __future__ import annotations

import numpy as np

from rightfit.records import Decision, Finding, Limit, LimitCheck, Task


def trial(name: str, value: float | None, latency: float | None, size: float, **more: object) -> dict[str, object]:
    half = 0.018
    metric = {"value": value, "low": None if value is None else value - half, "high": None if value is None else value + half}
    return {"name": name, "family": name.rsplit("-", 1)[0], "state": "ok", "metric": metric, "latency_p95_ms": latency,
            "memory_mib": 40 + 3 * size, "size_mib": size, "fit_s": 0.4 + size, "error": "", "params": {"a": 1}, "folds_done": 5} | more


def binary() -> Decision:
    """A churn table with floors and a latency limit."""
    rng = np.random.default_rng(0)
    fpr = np.linspace(0, 1, 200)
    task = Task(modality="tabular", problem="binary", target=("churn",), metric="f1", classes=("no", "yes"), rows=7043, features=19,
                limits=(Limit(name="latency_p95_ms", limit=5.0, sense="at_most"), Limit(name="size_mib", limit=19.07, sense="at_most"),
                        Limit(name="recall", limit=0.8, sense="at_least"), Limit(name="precision", limit=0.5, sense="at_least")))
    trials = [trial("lightgbm-4b4b0af2", 0.642, 0.31, 1.4), trial("catboost-91fe22ab", 0.648, 0.62, 4.1),
              trial("catboost-33ab0012", 0.646, 7.4, 16.2), trial("xgboost-77c1d0aa", 0.639, 0.55, 2.2), trial("random_forest-0a0a0a0a", 0.631, 14.5, 88.0),
              trial("extra_trees-5be1f2c0", 0.622, 16.1, 120.0), trial("logistic-8812aa01", 0.628, 0.05, 0.01),
              trial("elastic_net-8812aa02", 0.627, 0.05, 0.01), trial("naive_bayes-1234abcd", 0.571, 0.06, 0.02),
              trial("knn-aaaa0001", 0.563, 9.8, 5.6), trial("tree-00ff00ff", 0.588, 0.03, 0.01), trial("mlp-de30aa11", 0.625, 0.08, 0.3),
              trial("majority-00000000", 0.419, 0.02, 0.001), trial("lightgbm-5c5c5c5c", 0.611, 0.33, 1.2, state="pruned"),
              trial("svm_rbf-77aa77aa", None, None, 0.0, state="timeout", error="fold 2 did not end within 31 s"),
              trial("mlp-0badbad0", None, None, 0.0, state="oom", error="used 2.1 GiB of 2.0 GiB allowed")]
    numbers = rng.normal(0.03, 0.02, 12)
    extras = {
        "roc": {"fpr": fpr, "tpr": fpr**0.25, "auc": 0.848}, "pr": {"recall": fpr, "precision": 1 - 0.7 * fpr**2, "ap": 0.66, "base": 0.265},
        "confusion": {"labels": ["no", "yes"], "matrix": [[4120, 1054], [361, 1508]]},
        "calibration": {"mean_predicted": list(np.linspace(0.05, 0.95, 10)), "observed": list(np.linspace(0.03, 0.9, 10)),
                        "count": [2100, 900, 700, 600, 520, 480, 430, 390, 340, 200]},
        "importance": [{"feature": f"{n}", "value": float(v), "low": float(v) - 0.006, "high": float(v) + 0.006} for n, v in
                       zip(["tenure", "Contract", "MonthlyCharges", "InternetService", "TotalCharges", "PaymentMethod", "OnlineSecurity",
                            "TechSupport", "PaperlessBilling", "a_column_with_a_really_very_long_name_indeed", "gender", "客户编号"],
                           sorted(numbers, reverse=True), strict=True)],
        "learning_curve": [{"rows": n, "value": v, "low": v - w, "high": v + w} for n, v, w in
                           [(700, .58, .03), (1400, .607, .024), (2800, .628, .02), (5634, .642, .016)]],
        "overfit": {"train": 0.701, "valid": 0.642, "gap": 0.059},
        "regularisers": [{"name": "reg_lambda", "with": {"reg_lambda": 10.0}, "effect": 0.008, "low": 0.001, "high": 0.015},
                         {"name": "feature_fraction", "with": {"feature_fraction": 0.7}, "effect": -0.002, "low": -0.008, "high": 0.004}],
        "phases": [{"name": n, "seconds": s} for n, s in [("read", 0.4), ("audit", 6.1), ("screen", 12.5), ("race", 201.0), ("package", 14.0), ("report", 3.2)]],
        "command": "rightfit choose train.csv --target churn --metric f1 --at-least recall=0.8 --at-least precision=0.5 --max-latency 5ms "
                   "--max-size 20MB --budget 5m --seed 0 --out run/",
        "data": "train.csv", "created": "2026-03-01T12:00:00Z",
        "test": {"metric": "f1", "value": 0.637, "low": 0.60, "high": 0.67, "rows": 1409, "inside": True},
        "with_leaks": {"metric": "f1", "value": 0.981, "columns": ["cancel_date"]},
        "questions": ["Column 'customerID' repeats for 212 customers: may rows of one customer stand on both sides of a split?"],
        "reasons": {"problem": "two values in 'churn': yes, no", "metric": "given with --metric", "positive": "'yes' is the rarer class"},
        "higher_is_better": True}
    return Decision(
        status="chosen", task=task, chosen={"name": "lightgbm-4b4b0af2", "family": "lightgbm",
                                            "params": {"n_estimators": 212, "learning_rate": 0.05, "num_leaves": 31, "reg_lambda": 10.0},
                                            "steps": [{"name": "class_weight", "params": {"ratio": 2.7}}]},
        estimate={"metric": "f1", "value": 0.639, "low": 0.617, "high": 0.661, "level": 0.95, "n": 7043,
                  "method": "bootstrap bias-corrected cross-validation"},
        measured={"latency_p50_ms": 0.22, "latency_p95_ms": 0.31, "memory_mib": 71.2, "size_mib": 1.4, "throughput_per_s": 91000.0, "fit_s": 1.8},
        limits=(LimitCheck(name="latency_p95_ms", limit=5.0, value=0.31, met=True), LimitCheck(name="size_mib", limit=19.07, value=1.4, met=True),
                LimitCheck(name="recall", limit=0.8, value=0.807, met=True), LimitCheck(name="precision", limit=0.5, value=0.589, met=True)),
        nearest=None, baseline={"name": "majority-00000000", "family": "majority", "metric": {"value": 0.419, "low": 0.4, "high": 0.43}},
        ties=("lightgbm-4b4b0af2", "catboost-91fe22ab", "xgboost-77c1d0aa"), front=("tree-00ff00ff", "logistic-8812aa01", "lightgbm-4b4b0af2", "catboost-91fe22ab"),
        trials=tuple(trials), rejected=({"name": "random_forest-0a0a0a0a", "reason": "latency 14.5 ms is above the limit of 5 ms"},
                                        {"name": "tabpfn", "reason": "package of 120 MiB is above the limit of 19.1 MiB"}),
        findings=(Finding(code="leak", severity="severe", column="cancel_date", evidence="alone reaches ROC AUC 0.998", consequence="dropped (--drop-leaks)",
                          effect="F1 0.981 → 0.642"),
                  Finding(code="imbalance", severity="warning", evidence="26.5 % of rows are 'yes'", consequence="class weights 1 : 2.7",
                          effect="+0.031 F1 [0.020, 0.042]"),
                  Finding(code="missing_markers", severity="info", column="TotalCharges", evidence="11 cells hold ' '", consequence="read as missing")),
        what_would_change=("With 8 ms instead of 5 ms catboost-33ab0012 would be feasible, but not better: +0.004 F1 [-0.006, 0.014].",
                           "A recall floor of 0.85 instead of 0.80 would cost 0.04 precision."),
        spent={"wall_s": 237.0, "budget_s": 300.0, "trials": 96}, seed=0,
        why=("lightgbm-4b4b0af2 cannot be told apart from catboost-91fe22ab (p = 0.41) and is twice as fast.", "Class weights brought +0.031 F1."),
        machine={"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gib": 7.8, "os": "Linux"},
        versions={"rightfit": "0.1.0", "python": "3.11.9", "lightgbm": "4.7.0", "scikit-learn": "1.9.0"}, extras=extras)


def regression() -> Decision:
    """House prices, lower is better, no limits."""
    rng = np.random.default_rng(1)
    true = rng.lognormal(12, 0.4, 800)
    rows = [trial(n, v, lat, s) for n, v, lat, s in [("catboost-1", 27100.0, 0.6, 3.1), ("lightgbm-2", 27950.0, 0.3, 1.1), ("ridge-3", 31200.0, 0.04, 0.02),
                                                     ("forest-4", 30100.0, 12.0, 64.0), ("knn-5", 39000.0, 4.0, 2.0), ("mean-6", 79000.0, 0.02, 0.001)]]
    for row in rows:
        middle = row["metric"]["value"]  # type: ignore[index]
        row["metric"] = {"value": middle, "low": middle * 0.95, "high": middle * 1.06}
    return Decision(
        status="chosen", task=Task(modality="tabular", problem="regression", target=("SalePrice",), metric="rmse", rows=1460, features=79),
        chosen={"name": "catboost-1", "family": "catboost", "params": {"depth": 6}, "steps": []},
        estimate={"metric": "rmse", "value": 27400.0, "low": 25100.0, "high": 30250.0, "level": 0.95, "n": 1460, "method": "nested cross-validation"},
        measured={"latency_p95_ms": 0.6, "size_mib": 3.1}, limits=(), nearest=None, baseline={"name": "mean-6", "family": "mean", "value": 79000.0},
        ties=("catboost-1",), front=("catboost-1", "lightgbm-2", "ridge-3"), trials=tuple(rows), rejected=(), findings=(), what_would_change=(),
        spent={"wall_s": 61.0, "budget_s": 60.0, "trials": 40}, seed=7,
        extras={"scatter": {"true": true, "predicted": true * rng.normal(1, 0.12, 800)}, "higher_is_better": False,
                "learning_curve": [{"rows": n, "value": v, "low": v - 900, "high": v + 900} for n, v in [(200, 36000), (400, 31500), (730, 28300), (1460, 27400)]],
                "overfit": {"train": 12000.0, "valid": 27400.0, "gap": 15400.0}})


def infeasible() -> Decision:
    """Nothing is both fast enough and good enough."""
    classes = tuple(f"class {c}" for c in "ABCDEFGH")
    matrix = np.random.default_rng(2).integers(0, 40, (8, 8)) + np.diag([200, 180, 150, 120, 300, 90, 20, 8])
    return Decision(
        status="infeasible", task=Task(modality="tabular", problem="multiclass", target=("kind", "sub"), metric="macro_f1", classes=classes,
                                       limits=(Limit(name="latency_p95_ms", limit=0.1, sense="at_most"), Limit(name="macro_f1", limit=0.9, sense="at_least"))),
        chosen=None, estimate={}, measured={"latency_p95_ms": 0.31}, limits=(LimitCheck(name="latency_p95_ms", limit=0.1, value=0.31, met=False),
                                                                          LimitCheck(name="macro_f1", limit=0.9, value=0.913, met=True),
                                                                          LimitCheck(name="memory_mib", limit=100, value=None, met=False)),
        nearest={"name": "lightgbm-4b4b0af2", "family": "lightgbm", "binding": ["latency_p95_ms"],
                 "would_take": "With 0.31 ms instead of 0.1 ms lightgbm-4b4b0af2 would meet every limit."},
        baseline={"name": "majority-0", "metric": {"value": 0.11}}, ties=(), front=("lightgbm-4b4b0af2", "logistic-1"),
        trials=(trial("lightgbm-4b4b0af2", 0.913, 0.31, 1.4), trial("logistic-1", 0.871, 0.04, 0.02), trial("majority-0", 0.11, 0.01, 0.001)),
        rejected=({"name": "catboost", "reason": "latency 0.6 ms is above the limit of 0.1 ms"},), findings=(), what_would_change=(),
        spent={"wall_s": 30.0}, seed=1, extras={"confusion": {"labels": classes, "matrix": matrix}})
