"""One system on one table, inside that system's own environment: fit, predict, and what one row costs.

    python worker.py JOB.json             fits, and writes result.json and predictions.npz beside the job
    python worker.py JOB.json --load      loads what was fitted and predicts one row: how long until the first answer

A job: {"system", "options", "train", "test", "target", "problem", "metric", "budget", "cores", "seed"}. Nothing here
imports rightfit but its own function. `predict(frame)` gives (n, k) probabilities in the order of "classes", or values.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROW_SECONDS = 10.0  # for timing single rows, at most
ROWS = 300
WARM = 5
Predict = Callable[[Any], Any]


def autogluon(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """TabularPredictor with a preset, with or without its latency limit."""
    from autogluon.tabular import TabularPredictor

    metric = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}[job["metric"]]
    limit = {"infer_limit": job["options"]["infer_limit"], "infer_limit_batch_size": 1} \
        if "infer_limit" in job["options"] else {}
    predictor = TabularPredictor(label=job["target"], problem_type=job["problem"], eval_metric=metric,
                                 path=str(home / "ag"), verbosity=1)
    predictor.fit(train, presets=job["options"]["presets"], time_limit=job["budget"], num_cpus=job["cores"], num_gpus=0,
                  **limit)
    board = predictor.leaderboard()
    judged = predictor.model_best.removesuffix("_FULL")  # a model that was fitted again on all rows has no score
    row = board[board["model"] == judged].iloc[0]
    # Its scores are all "greater is better"; losses are told with their sign turned.
    promised = float(row["score_val"]) * (1 if job["metric"] == "roc_auc" else -1)
    return None, {"promised": promised, "candidates": len(board), "chosen": str(predictor.model_best)}


def autogluon_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The predictor, its models kept in memory: the fastest that it offers."""
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor.load(str(home / "ag"), verbosity=0)
    predictor.persist()
    classes = [] if job["problem"] == "regression" else [str(c) for c in predictor.class_labels]

    def predict(frame: Any) -> Any:
        if not classes:
            return predictor.predict(frame, as_pandas=False)
        return predictor.predict_proba(frame, as_pandas=False, as_multiclass=True)

    return predict, classes, predictor.predict


def autogluon_size(home: Path) -> Path:
    """What is needed for prediction alone."""
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor.load(str(home / "ag"), verbosity=0)
    return Path(predictor.clone_for_deployment(path=str(home / "ag_deployed"), dirs_exist_ok=True))


def flaml(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """flaml.AutoML as it comes, its best model refitted."""
    import pickle

    from flaml import AutoML

    model = AutoML()
    y = train[job["target"]]
    model.fit(X_train=_plain(train.drop(columns=job["target"])), y_train=y,
              task="regression" if job["problem"] == "regression" else "classification", metric=job["metric"],
              time_budget=job["budget"], n_jobs=job["cores"], seed=job["seed"], verbose=0,
              log_file_name=str(home / "flaml.log"))
    loss = float(model.best_loss)
    with (home / "flaml.pkl").open("wb") as file:
        pickle.dump(model, file)
    return None, {"promised": 1 - loss if job["metric"] == "roc_auc" else loss, "chosen": str(model.best_estimator),
                  "candidates": len(getattr(model, "config_history", {}) or {})}


def flaml_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The pickled AutoML object."""
    import pickle

    with (home / "flaml.pkl").open("rb") as file:
        model = pickle.load(file)
    if job["problem"] == "regression":
        return lambda frame: model.predict(_plain(frame)), [], lambda frame: model.predict(_plain(frame))
    return (lambda frame: model.predict_proba(_plain(frame)), [str(c) for c in model.classes_],
            lambda frame: model.predict(_plain(frame)))


def flaml_size(home: Path) -> Path:
    """Its pickle."""
    return home / "flaml.pkl"


def mljar(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """supervised.AutoML in a mode, without explanations."""
    from supervised.automl import AutoML

    metric = {"roc_auc": "auc", "log_loss": "logloss", "rmse": "rmse"}[job["metric"]]
    model = AutoML(results_path=str(home / "mljar"), mode=job["options"]["mode"], total_time_limit=job["budget"],
                   eval_metric=metric, n_jobs=job["cores"], random_state=job["seed"], explain_level=0, verbose=0,
                   ml_task={"binary": "binary_classification", "multiclass": "multiclass_classification",
                            "regression": "regression"}[job["problem"]])
    model.fit(_plain(train.drop(columns=job["target"])), train[job["target"]])
    board = model.get_leaderboard()
    best = board.loc[board["metric_value"].idxmin()]  # its areas under the curve are told with their sign turned
    return None, {"promised": abs(float(best["metric_value"])), "chosen": str(best["name"]), "candidates": len(board)}


def mljar_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The results folder."""
    from supervised.automl import AutoML

    model = AutoML(results_path=str(home / "mljar"), verbose=0)
    if job["problem"] == "regression":
        return lambda frame: model.predict(_plain(frame)), [], lambda frame: model.predict(_plain(frame))
    model.predict_proba(_plain(pd.read_parquet(job["test"]).head(1)))
    classes = [str(c) for c in model._data_info.get("labels", [])] if hasattr(model, "_data_info") else []
    if not classes:
        names = model.predict_all(_plain(pd.read_parquet(job["test"]).head(1))).columns
        classes = [str(n).removeprefix("prediction_") for n in names if str(n).startswith("prediction_")]
    return lambda frame: model.predict_proba(_plain(frame)), classes, lambda frame: model.predict(_plain(frame))


def mljar_size(home: Path) -> Path:
    """The results folder."""
    return home / "mljar"


def lightautoml(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """TabularAutoML as it comes."""
    import joblib
    from lightautoml.automl.presets.tabular_presets import TabularAutoML
    from lightautoml.tasks import Task

    name = {"binary": "binary", "multiclass": "multiclass", "regression": "reg"}[job["problem"]]
    model = TabularAutoML(task=Task(name), timeout=job["budget"], cpu_limit=job["cores"],
                          reader_params={"n_jobs": job["cores"], "random_state": job["seed"]})
    seen = model.fit_predict(train, roles={"target": job["target"]}, verbose=0).data
    known = ~np.isnan(seen).any(axis=1)
    joblib.dump(model, home / "lama.joblib")
    # Of several classes its out-of-fold columns stand in another order than its predictions: no promise can be read.
    told = None if job["problem"] == "multiclass" else _score(job, _lama_classes(model, job),
                                                              train[job["target"]][known], seen[known])
    return None, {"promised": told, "chosen": "blend", "candidates": 0}


def _lama_classes(model: Any, job: dict[str, Any]) -> list[str]:
    if job["problem"] == "regression":
        return []
    mapping = model.reader.class_mapping
    return [str(k) for k, _ in sorted(mapping.items(), key=lambda item: item[1])] if mapping else []


def lightautoml_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The dumped object."""
    import joblib

    model = joblib.load(home / "lama.joblib")

    def predict(frame: Any) -> Any:
        found = model.predict(frame).data
        if job["problem"] == "regression":
            return found[:, 0]
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

    return predict, _lama_classes(model, job), predict


def lightautoml_size(home: Path) -> Path:
    """Its dump."""
    return home / "lama.joblib"


def h2o(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """H2OAutoML as it comes."""
    import h2o as cluster
    from h2o.automl import H2OAutoML

    cluster.init(nthreads=job["cores"], verbose=False)
    frame = cluster.H2OFrame(_plain(train))
    if job["problem"] != "regression":
        frame[job["target"]] = frame[job["target"]].asfactor()
    model = H2OAutoML(max_runtime_secs=job["budget"], seed=job["seed"], verbosity=None,
                      sort_metric={"roc_auc": "AUC", "log_loss": "logloss", "rmse": "RMSE"}[job["metric"]])
    model.train(y=job["target"], training_frame=frame)
    cluster.save_model(model.leader, path=str(home), filename="h2o.model", force=True)
    board = model.leaderboard.as_data_frame()
    name = {"roc_auc": "auc", "log_loss": "logloss", "rmse": "rmse"}[job["metric"]]
    return None, {"promised": float(board[name][0]), "chosen": str(board["model_id"][0]), "candidates": len(board)}


def h2o_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The saved leader, in a cluster of its own."""
    import h2o as cluster

    cluster.init(nthreads=job["cores"], verbose=False)
    model = cluster.load_model(str(home / "h2o.model"))

    def predict(frame: Any) -> Any:
        found = model.predict(cluster.H2OFrame(_plain(frame))).as_data_frame()
        return found["predict"].to_numpy() if job["problem"] == "regression" else found.iloc[:, 1:].to_numpy()

    first = model.predict(cluster.H2OFrame(_plain(pd.read_parquet(job["test"]).head(2)))).as_data_frame()
    return predict, [] if job["problem"] == "regression" else [str(c) for c in first.columns[1:]], predict


def h2o_size(home: Path) -> Path:
    """The saved leader."""
    return home / "h2o.model"


def rightfit(job: dict[str, Any], train: Any, home: Path) -> tuple[Any, dict[str, Any]]:
    """rightfit.choose with nothing told but the target, the metric and the budget."""
    from rightfit.choose import choose
    from rightfit.records import Need

    need = Need(target=job["target"], metric=job["metric"], budget=float(job["budget"]), seed=job["seed"],
                workers=job["cores"], max_latency=job["options"].get("max_latency"))
    decision = choose(train, need, out=home / "rightfit", overwrite=True).decision
    return None, {"promised": decision.estimate["value"], "low": decision.estimate["low"],
                  "high": decision.estimate["high"], "chosen": (decision.chosen or {}).get("name", ""),
                  "candidates": int(decision.spent["trials"])}


def rightfit_load(job: dict[str, Any], home: Path) -> tuple[Predict, list[str], Any]:
    """The package."""
    from rightfit.package.read import load

    model = load(home / "rightfit" / "package")
    if job["problem"] == "regression":
        return lambda frame: model.predict(frame), [], model.predict_one
    return lambda frame: model.predict_proba(frame), list(model.classes_), model.predict_one


def rightfit_size(home: Path) -> Path:
    """The package."""
    return home / "rightfit" / "package"


def _plain(frame: Any) -> Any:
    """Text as ordinary Python strings, which every system knows."""
    words = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    return frame.assign(**{c: frame[c].astype(object).where(frame[c].notna(), None) for c in words}) if words else frame


def _score(job: dict[str, Any], classes: list[str], y: Any, pred: Any) -> float:
    from sklearn import metrics

    if job["metric"] == "roc_auc":
        return float(metrics.roc_auc_score((y == classes[1]).astype(int) if classes else y, pred[:, -1]))
    if job["metric"] == "log_loss":
        return float(metrics.log_loss(y.astype(str), pred, labels=classes))
    return float(np.sqrt(np.mean((np.asarray(y) - pred.ravel()) ** 2)))


def single(answer: Any, records: list[dict[str, Any]], takes_record: bool) -> dict[str, float]:
    """Milliseconds from a raw record to its label, the first calls left out."""
    took: list[float] = []
    end = time.monotonic() + ROW_SECONDS
    for at in range(ROWS + WARM):
        record = records[at % len(records)]
        begun = time.perf_counter()
        answer(record if takes_record else pd.DataFrame([record]))
        took.append(1e3 * (time.perf_counter() - begun))
        if at > 3 * WARM and time.monotonic() > end:
            break
    took = took[WARM:]
    return {f"row_p{q}_ms": float(np.percentile(took, q)) for q in (50, 95, 99)} | {"row_calls": float(len(took))}


def megabytes(path: Path) -> float:
    """Bytes on disk, in MB."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files) / 1e6


def fit(job: dict[str, Any], home: Path) -> None:
    """Fit, then load what was left on disk, predict, and measure."""
    here = globals()
    train, test = pd.read_parquet(job["train"]), pd.read_parquet(job["test"])
    begun = time.monotonic()
    _, told = here[job["system"]](job, train, home)
    told["wall_s"] = time.monotonic() - begun
    (home / "result.json").write_text(json.dumps(told), encoding="utf-8")
    predict, classes, answer = here[f"{job['system']}_load"](job, home)
    begun = time.monotonic()
    pred = np.asarray(predict(test), dtype=np.float64)
    told["predict_s"] = time.monotonic() - begun
    np.savez(home / "predictions.npz", pred=pred, classes=np.asarray(classes, dtype=str))
    told |= single(answer, test.head(100).to_dict("records"), job["system"] == "rightfit")
    told["size_mb"] = megabytes(here[f"{job['system']}_size"](home))
    (home / "result.json").write_text(json.dumps(told), encoding="utf-8")


def first(job: dict[str, Any], home: Path) -> None:
    """Load and answer one row; the caller times the whole process."""
    _, _, answer = globals()[f"{job['system']}_load"](job, home)
    record = json.loads((home / "record.json").read_text(encoding="utf-8"))
    answer(record if job["system"] == "rightfit" else pd.DataFrame([record]))


def main(arguments: list[str]) -> int:
    """Do the job."""
    warnings.simplefilter("ignore")
    home = Path(arguments[0]).resolve().parent
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    (first if "--load" in arguments else fit)(job, home)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
