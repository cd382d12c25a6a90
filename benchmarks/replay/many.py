"""Is the number promised the number delivered, where 50 and more configurations compete? Many splits of many tables.

    RIGHTFIT_DATA=../shared/data python benchmarks/replay/many.py [--cases 200] [--minutes 60]

For each table and seed a third of the rows, 5,000 at most, is held out, and 500 of the others are staged as `choose`
stages them: few rows to choose by, many to judge by. Every configuration is trained on every fold (defaults and points
drawn from the spaces of quick families), and the best of them are blended as `choose` blends them. The winner of full
cross-validation is promised with the corrected estimate that a decision carries, trained on all rows, and scored on the
held-out ones. `naive` is the promise without the correction, as other systems give it. `default_better`: LightGBM's
untuned default, trained alike, beats the pick on the held-out rows beyond chance. `excess`: what is lost on the
held-out rows where only a twentieth of the time is spent: a look at each family's default on a quarter of a fold's
rows, then the best of them on all folds while time lasts, then the best of those, or their blend. Cases that
results/replay_many.csv holds are not computed again; the summary goes to replay_many_summary.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import common
import numpy as np

from rightfit import registry
from rightfit.data import split
from rightfit.metrics import base, interval
from rightfit.question import ask, examine
from rightfit.records import Candidate, Dataset, Task
from rightfit.tuning import blend, propose, trial

TABLES = ("heartdisease", "german_credit", "pima-indians-diabetes", "concrete", "Vehicle", "abalone", "phoneme",
          "winequality-white", "segment", "energy", "mpg", "titanic_kaggle_train", "emp_attrition", "bank",
          "spambase_openml44", "higgs7k_binary", "Telco-Customer-Churn", "california_housing", "mammography",
          "lending_club", "adult-train", "covtype", "bike_hourly", "diamonds")
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
ROWS, HELD, FOLDS, DRAWS = 500, 5000, 5, 400
LOOK, SPARE = 0.25, 0.05  # of the rows of a fold; of the time that everything takes
DRAWN = {"linear": 7, "svm_linear": 6, "knn": 9, "naive_bayes": 4, "svm_rbf": 9, "tree": 10,
         "lightgbm": 13}  # configurations of each family, its default first
DEFAULT = "lightgbm"


@dataclasses.dataclass(slots=True)
class Split:
    """Rows to choose by with their folds, and rows to judge by."""

    task: Task
    data: Dataset
    folds: Sequence[Any]
    held: Dataset


def opened(name: str, seed: int) -> Split:
    """The same split for the same table and seed."""
    real = next(common.tables([name]))
    frame, need = common.load(real)
    random = np.random.default_rng(seed)
    rest, held = common.outer(frame, need, real.problem != "regression", 1 / 3, seed)
    rest, some = np.sort(random.permutation(rest)[:ROWS]), np.sort(random.permutation(held)[:HELD])
    if real.problem != "regression":  # a class that no row to choose by has cannot be judged
        target = frame[str(need.target)].astype(str).to_numpy()
        some = some[np.isin(target[some], target[rest])]
    need = dataclasses.replace(need, metric=METRIC[real.problem], seed=seed, problem=real.problem)
    question = examine(ask(frame.iloc[rest].reset_index(drop=True), need, frame.iloc[some].reset_index(drop=True)),
                       (0, 50))
    data, unseen = question.data, question.test
    assert unseen is not None and unseen.y is not None
    copies = split.duplicate_groups(data)
    data = data if copies is None else dataclasses.replace(data, groups=copies)
    return Split(task=question.task, data=data, held=unseen,
                 folds=split.folds(data, question.task, n_folds=FOLDS, repeats=1, seed=seed))


def configurations(task: Task, seed: int) -> list[Candidate]:
    """The defaults of the quick families, and points of their spaces; never one twice."""
    known, random = registry.plugins("rightfit.models"), np.random.default_rng(seed)
    found: dict[str, Candidate] = {}
    for name, count in DRAWN.items():
        family = known[name]
        if task.problem not in family.problems:
            continue
        first = Candidate(family=name, params=dict(family.defaults))
        for candidate in (first, *(propose.draw(family, random) for _ in range(3 * count))):
            if len([c for c in found.values() if c.family == name]) < count:
                found.setdefault(candidate.key, candidate)
    return list(found.values())


def line(name: str, seed: int, work: Path | None) -> dict[str, Any]:
    """One case: the promise beside the test, and what a twentieth of the time would have chosen."""
    began = time.monotonic()
    at = opened(name, seed)
    metric, task = base.find(at.task.metric, at.task.problem), at.task
    candidates = {c.key: c for c in configurations(task, seed)}
    stack, seconds = trained(at, candidates, seed)
    quick, share = spare(at, metric, candidates, stack, seconds, seed)
    tried, mixes = len(stack), mixed(at, metric, stack)
    whole = {key: np.concatenate(found) for key, found in stack.items()}
    parts = [valid for _, valid in at.folds]
    rows, ends = np.concatenate(parts), np.cumsum([len(part) for part in parts])[:-1]
    y = np.asarray(at.data.y)
    found = interval.bbc(y[rows], whole, metric, task, codes=_codes(whole, task), seed=seed, n=DRAWS,
                         folds=np.split(np.arange(len(rows)), ends))
    naive = _mean(at, metric, stack[found.winner])
    members = mixes.get(found.winner, {found.winner: 1.0})
    final = {key: _told(candidates[key], at.data, at.held.X, task, seed)
             for key in {*members, *quick, _default(candidates)}}
    held, cheap = _joined(members, final), _joined(quick, final)
    value, low, high = interval.bootstrap(at.held.y, held, _of(held, task), metric, task, seed=seed, n=DRAWS)
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(work / f"{name}-{seed}.npz", y=y[rows], ends=ends, held_y=at.held.y, held=held,
                            keys=np.array(list(whole)), winner=found.winner, preds=np.stack(list(whole.values())))
    sign = 1.0 if metric.greater_is_better else -1.0
    gap = value - found.value
    own = found.high - found.value if gap > 0 else found.value - found.low
    theirs = value - low if gap > 0 else high - value
    scale = 100.0 if task.metric == "roc_auc" else 100.0 / max(abs(value), 1e-12)
    return {"table": name, "seed": seed, "metric": task.metric, "rows": len(at.data), "held": len(at.held),
            "configurations": tried, "failed": len(candidates) - tried, "pick": found.winner,
            "family": "blend" if found.winner in mixes else candidates[found.winner].family, "promised": found.value,
            "low": found.low, "high": found.high, "test": value, "test_low": low, "test_high": high,
            "optimism": -scale * sign * gap, "naive_optimism": -scale * sign * (value - naive),
            "covered": int(abs(gap) <= np.hypot(own, theirs)),
            "default_better": _beaten(at, metric, sign, final[_default(candidates)], held, seed),
            "quick": "+".join(sorted(candidates[key].family for key in quick)), "quick_share": share,
            "excess": scale * sign * (_score(metric, at.held.y, held, task) - _score(metric, at.held.y, cheap, task)),
            "seconds": time.monotonic() - began}


def trained(at: Split, candidates: Mapping[str, Candidate], seed: int) -> tuple[dict[str, list[Any]], dict[str, float]]:
    """({candidate: its predictions of every fold}, {candidate: seconds}), those that failed left out."""
    stack: dict[str, list[Any]] = {}
    seconds: dict[str, float] = {}
    for key, candidate in candidates.items():
        began = time.monotonic()
        try:
            stack[key] = [_told(candidate, at.data.take(train), at.data.X.iloc[valid], at.task, seed)
                          for train, valid in at.folds]
        except Exception:  # a configuration that fails on a table is none of its candidates
            stack.pop(key, None)
        seconds[key] = time.monotonic() - began
    return stack, seconds


def spare(at: Split, metric: Any, candidates: Mapping[str, Candidate], stack: Mapping[str, list[Any]],
          seconds: Mapping[str, float], seed: int) -> tuple[dict[str, float], float]:
    """({member: weight}, share of all seconds) of a choice that may spend SPARE of the time that everything takes."""
    sign, whole = 1.0 if metric.greater_is_better else -1.0, sum(seconds.values())
    defaults = list({candidates[key].family: key for key in reversed(stack)}.values())
    train, valid = at.folds[0]
    few = trial.subsample(train, LOOK, seed, False)
    spent, looks = 0.0, dict[str, float]()
    for key in defaults:
        began = time.monotonic()
        told = _told(candidates[key], at.data.take(few), at.data.X.iloc[valid], at.task, seed)
        looks[key] = sign * _score(metric, np.asarray(at.data.y)[valid], told, at.task)
        spent += time.monotonic() - began
    done: dict[str, list[Any]] = {}
    for key in sorted(looks, key=lambda key: -looks[key]):
        if spent + seconds[key] <= SPARE * whole:
            spent += seconds[key]
            done[key] = stack[key]
    if not done:
        return {max(looks, key=lambda key: looks[key]): 1.0}, spent / whole
    mixes = mixed(at, metric, done) if len(done) > 1 else {}
    best = max(done, key=lambda key: sign * _mean(at, metric, done[key]))
    return mixes.get(best, {best: 1.0}), spent / whole


def _mean(at: Split, metric: Any, preds: Sequence[Any]) -> float:
    y = np.asarray(at.data.y)
    return float(np.mean([_score(metric, y[valid], pred, at.task)
                          for (_, valid), pred in zip(at.folds, preds, strict=True)]))


def _joined(members: Mapping[str, float], told: Mapping[str, Any]) -> Any:
    return sum(weight * told[key] for key, weight in members.items())


def mixed(at: Split, metric: Any, stack: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """{blend: {member: weight}}; their predictions of the folds, by weights of the other folds, join the stack."""
    sign = 1.0 if metric.greater_is_better else -1.0
    y = [np.asarray(at.data.y)[valid] for _, valid in at.folds]
    best = sorted(stack, key=lambda key: -sign * _mean(at, metric, stack[key]))[:blend.PARTNERS]
    parts = [(one, [stack[key][fold] for key in best]) for fold, one in enumerate(y)]
    found = {}
    for most in blend.SIZES:
        weights = blend.selected(parts, metric, at.task, most)
        if (weights > 0).sum() > 1:
            found[f"blend-{most}"] = {key: float(w) for key, w in zip(best, weights, strict=True) if w > 0}
            stack[f"blend-{most}"] = blend.crossed(parts, metric, at.task, most)
    return found


def _told(candidate: Candidate, data: Dataset, X: Any, task: Task, seed: int) -> Any:
    model = trial.fit(candidate, data, task, seed=trial.seed_of(seed, candidate.key), deadline=time.monotonic() + 60)
    return trial.checked(model.predict(X.reset_index(drop=True)), len(X), task)


def _default(candidates: Mapping[str, Candidate]) -> str:
    return next(key for key, c in candidates.items() if c.family == DEFAULT)


def _codes(stack: dict[str, Any], task: Task) -> dict[str, Any] | None:
    return {key: _of(pred, task) for key, pred in stack.items()} if task.classifies else None


def _of(pred: Any, task: Task) -> Any:
    return pred.argmax(axis=1) if task.classifies else None


def _score(metric: Any, y: Any, pred: Any, task: Task) -> float:
    return float(metric.fn(y, base.inputs(metric, pred, task, None), None, task))


def _beaten(at: Split, metric: Any, sign: float, default: Any, pick: Any, seed: int) -> int:
    """Whether the default is better than the pick on more than 97.5 % of the draws of the held-out rows."""
    random, better, y = np.random.default_rng(seed), 0, np.asarray(at.held.y)
    if np.array_equal(default, pick):
        return 0
    for _ in range(DRAWS):
        some = random.integers(len(y), size=len(y))
        better += sign * (_score(metric, y[some], default[some], at.task)
                          - _score(metric, y[some], pick[some], at.task)) > 0
    return int(better > 0.975 * DRAWS)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each metric and over all: bias with its 95 % interval (tables drawn again), coverage, beaten by default."""
    lines = []
    for metric in ("roc_auc", "log_loss", "rmse", "all"):
        some = [r for r in rows if metric in (r["metric"], "all") and r["table"] != ""]
        if not some:
            continue
        tables = [r["table"] for r in some]
        told: dict[str, Any] = {"metric": metric, "cases": len(some), "tables": len(set(tables)),
                                "configurations": statistics.median(int(r["configurations"]) for r in some)}
        for name in () if metric == "all" else ("optimism", "naive_optimism", "excess"):
            values = np.array([float(r[name]) for r in some])
            told |= {name: float(values.mean()), f"{name}_low": _quantile(values, tables, 0.025),
                     f"{name}_high": _quantile(values, tables, 0.975)}
        told["quick_share"] = statistics.mean(float(r["quick_share"]) for r in some)
        covered, beaten = sum(int(r["covered"]) for r in some), sum(int(r["default_better"]) for r in some)
        lines.append({**told, "covered": covered / len(some), "default_better": beaten / len(some)})
    return lines


def _quantile(values: Any, tables: Sequence[str], share: float) -> float:
    random, names = np.random.default_rng(0), sorted(set(tables))
    groups = {n: values[[t == n for t in tables]] for n in names}
    means = [np.concatenate([groups[n] for n in random.choice(names, len(names))]).mean() for _ in range(2000)]
    return float(np.quantile(means, share))


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing, seed by seed over all tables, and sum up."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--tables", default=",".join(TABLES))
    words.add_argument("--cases", type=int, default=200)
    words.add_argument("--work", type=Path, default=None, help="where predictions are kept, to try other estimates on")
    words.add_argument("--minutes", type=float, default=1e6)
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    rows = [dict(row) for row in common.read_csv("replay_many", given.out)]
    done, end = {(r["table"], int(r["seed"])) for r in rows}, time.monotonic() + 60 * given.minutes
    names = given.tables.split(",")
    for number in range(given.cases):
        name, seed = names[number % len(names)], number // len(names)
        if (name, seed) in done or time.monotonic() > end:
            continue
        row = line(name, seed, given.work)
        common.append_csv("replay_many", row, given.out)
        common.show(row)
    rows = [dict(row) for row in common.read_csv("replay_many", given.out)]
    common.write_csv("replay_many_summary", summary(rows), given.out)
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
