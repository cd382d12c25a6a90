"""What the report shows beyond the decision: curves, importance, over-fit gap, what treatments bought."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rightfit import decide
from rightfit.delivery.deliver import Bench, Delivery
from rightfit.engines.jobs import Job
from rightfit.records import asdict
from rightfit.resources import afford
from rightfit.tuning import propose, steps
from rightfit.tuning.board import Board, Entry, difference
from rightfit.tuning.race import Race

POINTS = 200
BINS = 10


def machine() -> dict[str, Any]:
    """The machine that measured."""
    from rightfit.resources.machine import machine as probe

    return dict(probe())


def versions() -> dict[str, str]:
    """The libraries that took part."""
    from rightfit.resources.machine import versions as probe

    return dict(probe())


def plain(value: Any) -> Any:
    """JSON values only; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def gather(question: Any, racing: Race, delivery: Delivery, bench: Bench,
           estimate: Mapping[str, Any]) -> dict[str, Any]:
    """The extras of a Decision, as rightfit.report.extras describes them; parts that do not apply are absent."""
    task, board = question.task, racing.board
    entry = delivery.entries[delivery.chosen.key] if delivery.chosen else None
    found: dict[str, Any] = {
        "questions": list(task.questions), "reasons": dict(task.reasons), "command": racing.need.options.get("command"),
        "data": str(question.origin.get("path", "")), "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "higher_is_better": board.metric.greater_is_better, "package": str(bench.package),
        "refitted": delivery.refitted, "stages": stages(board)}
    if task.serving is not None:
        near = delivery.chosen or decide.nearest_of(delivery.contenders, task.limits)
        measured = delivery.measured if delivery.chosen else near.measured if near else {}
        found["cost"] = afford.story(task.serving, task.limits, measured)
    found["rivals"] = rivals(task, question.data.y, delivery)
    if entry is None:
        return dict(plain({k: v for k, v in found.items() if v is not None}))
    y = question.data.y[entry.rows]
    found |= _classifier(task, y, entry) if task.classifies and y.ndim == 1 else {}
    found |= _regressor(y, entry) if not task.classifies and y.ndim == 1 else {}
    found["fairness"] = fair(question, entry)
    found["conformal"] = held(question, board, entry)
    sign = 1.0 if board.metric.greater_is_better else -1.0
    valid = sign * entry.utility
    found["overfit"] = {"train": entry.train, "valid": valid, "gap": sign * (entry.train - valid)}
    found["regularisers"] = regularisers(board, racing, entry)
    found["importance"] = importance(bench, entry) if task.features > 1 else []
    found["training"] = training(board, entry)
    found["learning_curve"] = learning_curve(board, entry)
    found["without_leaks"] = without_leaks(board, racing)
    if question.test is not None:
        found["test"] = final_check(question, delivery, board, bench, estimate)
    return dict(plain({k: v for k, v in found.items() if v not in (None, [], {})}))


def fair(question: Any, entry: Entry) -> dict[str, Any] | None:
    """Rates of the chosen model by the groups of the protected column, on rows left out of fitting."""
    from rightfit.metrics import fairness

    data, task = question.data, question.task
    if data.protected is None or not fairness.gaps_of(task) or data.y.ndim != 1:
        return None
    together = None if data.groups is None else np.unique(data.groups[entry.rows], return_inverse=True)[1]
    said = entry.pred.reshape(len(entry.rows)) if entry.codes is None else entry.codes
    return {"column": task.protected, "rows": len(entry.rows),
            **fairness.study(data.y[entry.rows], said, data.protected[entry.rows], task, together=together,
                             seed=question.need.seed)}


def held(question: Any, board: Board, entry: Entry) -> dict[str, Any] | None:
    """What share of rows left out the sets or intervals of the chosen model hold, and how large they are."""
    from rightfit.metrics import conformal

    if question.task.coverage is None:
        return None
    ends = np.cumsum([len(board.stage.folds[fold][1]) for fold in entry.folds if fold < board.per_repeat])
    folds = np.split(np.arange(len(entry.rows)), ends[:-1])
    return conformal.study(question.data.y[entry.rows], entry.pred, folds, question.task, question.task.coverage)


def rivals(task: Any, y: Any, delivery: Delivery) -> dict[str, Any]:
    """For each contender what costs and benefits are reckoned from: confusion counts, latency, memory.

    Binary tasks add `tp` and `fp`: how many rows of each class score at least 0, 0.01, ... 1.
    """
    names = ("latency_p50_ms", "latency_p95_ms", "latency_p95_high_ms", "memory_mib")
    found: dict[str, Any] = {}
    for contender in delivery.contenders:
        entry = delivery.entries.get(contender.key)
        if entry is None or not task.classifies or y.ndim != 1 or len(task.classes) > 30:
            continue
        k, truth = len(task.classes), y[entry.rows].astype(int)
        counts = np.bincount(truth * k + np.asarray(entry.codes, int), minlength=k * k).reshape(k, k)
        found[contender.key] = {"confusion": counts,
                                **(_ladder(entry.pred[:, 1], truth) if task.problem == "binary" else {}),
                                **{n: contender.measured[n] for n in names if n in contender.measured}}
    return found


def _ladder(score: Any, truth: Any) -> dict[str, Any]:
    at = np.linspace(0, 1, 101)
    over = [len(s) - np.searchsorted(s, at, side="left") for s in (np.sort(score[truth == c]) for c in (1, 0))]
    return {"tp": over[0], "fp": over[1]}


def _classifier(task: Any, y: Any, entry: Entry) -> dict[str, Any]:
    from sklearn.metrics import (
        average_precision_score,
        confusion_matrix,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

    found: dict[str, Any] = {}
    if len(task.classes) <= 30:
        matrix = confusion_matrix(y, entry.codes, labels=range(len(task.classes)))
        found["confusion"] = {"labels": list(task.classes), "matrix": matrix}
    if task.problem != "binary" or len(np.unique(y)) < 2:
        return found
    score = entry.pred[:, 1]
    fpr, tpr, _ = roc_curve(y, score)
    precision, recall, _ = precision_recall_curve(y, score)
    a, b = thin(len(fpr)), thin(len(precision))
    found["roc"] = {"fpr": fpr[a], "tpr": tpr[a], "auc": float(roc_auc_score(y, score))}
    found["pr"] = {"precision": precision[b], "recall": recall[b], "ap": float(average_precision_score(y, score)),
                   "base": float(y.mean())}
    order = np.array_split(np.argsort(score, kind="stable"), BINS)
    order = [part for part in order if len(part)]
    found["calibration"] = {"mean_predicted": [float(score[p].mean()) for p in order],
                            "observed": [float(y[p].mean()) for p in order], "count": [len(p) for p in order]}
    return found


def _regressor(y: Any, entry: Entry) -> dict[str, Any]:
    some = thin(len(y), 500)
    return {"scatter": {"true": y[some], "predicted": entry.pred.ravel()[some]}}


def thin(n: int, points: int = POINTS) -> Any:
    """At most `points` positions of n, evenly spread, both ends included."""
    return np.unique(np.linspace(0, n - 1, min(n, points)).astype(int))


def treatments(board: Board) -> dict[str, str]:
    """For each treatment that was tried: what it changed against the same candidate without it."""
    sign = 1.0 if board.metric.greater_is_better else -1.0
    found: dict[str, str] = {}
    for key, entry in board.entries().items():
        before, after = steps.divided(entry.candidate.steps)
        if not before or after or key in board.ablations:
            continue
        bare = [e for k, e in board.entries().items() if e.candidate.family == entry.candidate.family
                and e.candidate.params == entry.candidate.params and not e.candidate.steps]
        for other in bare:
            mean, t = difference(entry, other)
            found[before[0].name] = (f"{before[0].name}: {sign * mean:+.4g} {board.metric.name} on the same folds "
                                     f"(t = {t:.1f})")
    return found


def regularisers(board: Board, racing: Race, entry: Entry) -> list[dict[str, Any]]:
    """What each regulariser of the chosen model bought: the difference to the same model without it."""
    from rightfit.delivery.prove import gap

    sign = 1.0 if board.metric.greater_is_better else -1.0
    family = racing.short.families[entry.candidate.family]
    found = []
    for name, candidate in propose.unregularised(entry.candidate, family).items():
        other = board.entry(candidate.key)
        if other is None:
            continue
        mean, low, high, _ = gap(entry, other)
        ends = sorted((sign * low, sign * high))
        found.append({"name": name, "with": {name: entry.candidate.params.get(name)}, "effect": sign * mean,
                      "low": ends[0], "high": ends[1]})
    return found


def without_leaks(board: Board, racing: Race) -> dict[str, Any] | None:
    """The metric of a leader without the columns that seem to give the target away."""
    from rightfit.delivery.prove import spread
    from rightfit.tuning.race import without_suspects

    candidate = without_suspects(racing)
    other = board.entry(candidate.key) if candidate else None
    if other is None:
        return None
    return {"metric": board.metric.name, "columns": list(racing.suspects), "family": other.candidate.family,
            **spread(board, other)}


def importance(bench: Bench, entry: Entry) -> list[dict[str, Any]]:
    """Permutation importance on a held-out fold, in a process of its own, if there is time."""
    left = bench.clock.left(1.0)
    path = bench.stage / "models" / entry.candidate.key
    if left < 1.5 or not (path / "manifest.json").exists():
        return []
    payload = {"stage": str(bench.stage), "package": str(path), "fold": 0, "seed": bench.seed,
               "rule": asdict(entry.rule), "seconds": min(5.0, 0.5 * left)}
    job = Job(key="importance", function="rightfit.tuning.explain:importance", payload=payload,
              soft_s=0.7 * left, hard_s=0.9 * left, memory_mib=bench.memory_mib)
    bench.pool.submit(job)
    outcomes = bench.pool.wait(left)
    result = next((o.result for o in outcomes if o.key == job.key and o.result), None)
    return list(result["importance"]) if result else []


def learning_curve(board: Board, entry: Entry) -> list[dict[str, Any]]:
    """The metric by the number of training rows, on the folds run at every share; the spread is over folds."""
    sign = 1.0 if board.metric.greater_is_better else -1.0
    by_share: dict[float, dict[int, Any]] = {}
    for (key, fold, share), trial in board.trials.items():
        if key == entry.candidate.key and trial.state == "ok" and fold >= 0:
            by_share.setdefault(share, {})[fold] = trial
    common = set.intersection(*(set(folds) for folds in by_share.values())) if by_share else set()
    if len(by_share) < 2 or not common:
        return []
    found = []
    for _, trials in sorted(by_share.items()):
        values = [sign * board.quick_utility(trials[fold]) for fold in sorted(common)]
        rows = int(np.mean([trials[fold].measured["train_rows"] for fold in common]))
        half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
        mean = float(np.mean(values))
        found.append({"rows": rows, "value": mean, "low": None if half is None else mean - half,
                      "high": None if half is None else mean + half})
    return found


def training(board: Board, entry: Entry) -> list[dict[str, Any]]:
    """The epochs of the chosen model on its folds."""
    return [{"fold": fold + 1, **point} for fold in entry.folds
            for point in board.trials[entry.candidate.key, fold, 1.0].history]


def stages(board: Board) -> list[dict[str, Any]]:
    """What each stage of the race took in, what did not survive it, and the seconds of all processes it cost."""
    taken: dict[str, set[str]] = {}
    seconds: dict[str, float] = {}
    for (key, fold, share), trial in board.trials.items():
        name = "beside" if key in board.ablations else "untrained" if fold < 0 else "look" if share < 1 else "folds"
        taken.setdefault(name, set()).add(key)
        seconds[name] = seconds.get(name, 0.0) + trial.seconds
    lost = {"untrained": board.screened_out, "look": taken.get("look", set()) - taken.get("folds", set()),
            "folds": {key for key in taken.get("folds", set()) if key in board.out}, "beside": set()}
    return [{"name": name, "candidates": len(taken[name]), "removed": len(taken[name] & lost[name]),
             "seconds": seconds[name]} for name in ("untrained", "look", "folds", "beside") if name in taken]


def final_check(question: Any, delivery: Delivery, board: Board, bench: Bench,
                estimate: Mapping[str, Any]) -> dict[str, Any] | None:
    """The delivered package on the rows of --test, which nothing else has seen."""
    from rightfit.metrics import base, interval
    from rightfit.metrics.calibration import apply_calibration
    from rightfit.package.read import load

    if delivery.chosen is None:
        return None
    model = load(bench.package)
    raw = model.raw_of_coerced(question.test.X)
    raw = apply_calibration(raw, model.rule.calibration) if model.rule.calibration else raw
    raw = raw if question.task.classifies or raw.shape[1] > 1 else raw[:, 0]
    codes = base.labels(raw, question.task, model.rule) if question.task.classifies else None
    value, low, high = interval.bootstrap(question.test.y, raw, codes, board.metric, question.task,
                                          seed=question.need.seed)
    return {"metric": question.task.metric, "value": value, "low": low, "high": high, "rows": len(question.test),
            "inside": bool(high >= estimate["low"] and low <= estimate["high"])}
