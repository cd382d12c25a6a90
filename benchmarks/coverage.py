"""Do sets and intervals hold the share of rows that they are made for? Real tables, an outer part never seen.

    python benchmarks/coverage.py                                  the whole, about 15 minutes
    python benchmarks/coverage.py --tables mpg,Vehicle --seeds 1   a small one

For each table and seed a part is held out; LightGBM and a linear model with their defaults are cross-validated on the
rest as a trial does, bounds learned from the rows left out, the model refitted on all of the rest and packaged, and the
package's `predict_set` or `predict_interval` asked about the held-out rows at both levels. Regression tables are also
asked for quantiles (conformalised), and whole targets as counts. One row for each; a stopped run goes on where it was.
The share of one part scatters by sqrt(level (1 - level) / rows): two points are asked of the mean over parts.
Writes benchmarks/results/coverage.csv.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np

from rightfit import registry
from rightfit.data import split
from rightfit.errors import RightfitError
from rightfit.metrics import conformal, rules
from rightfit.package import load, write
from rightfit.question import ask
from rightfit.records import Candidate, Need
from rightfit.tuning import trial

LEVELS = (0.8, 0.9)
FAMILIES = ("lightgbm", "linear")
MOST_ROWS = 4000
OUT = common.RESULTS / "coverage.csv"
FIELDS = ("table", "problem", "family", "seed", "level", "coverage", "mean_size", "promised", "rows", "held_rows",
          "seconds", "machine", "versions")


def needs(need: Need, classifies: bool, values: Any) -> Iterator[Need]:
    """The need of a table, and the further problems that its target allows."""
    yield dataclasses.replace(need, coverage=LEVELS[-1])
    if not classifies:
        yield dataclasses.replace(need, coverage=LEVELS[-1], quantiles=(0.1, 0.5, 0.9))
        if (values >= 0).all() and (values == np.floor(values)).all():
            yield dataclasses.replace(need, coverage=LEVELS[-1], problem="count")


def case(frame: Any, need: Need, family: str, rest: Any, held: Any) -> Iterator[dict[str, Any]]:
    """One package asked at every level."""
    import pandas as pd

    begun = time.monotonic()
    question = ask(frame.iloc[rest].reset_index(drop=True), need)
    task, data = question.task, question.data
    candidate = Candidate(family=family, params=dict(registry.plugin("rightfit.models", family, "family").defaults))
    copies = split.duplicate_groups(data)
    whole = data if copies is None else dataclasses.replace(data, groups=copies)
    folds = split.folds(whole, task, n_folds=5, seed=need.seed)
    rows, found = [], []
    for number, (train, valid) in enumerate(folds):
        model = trial.fit(candidate, whole.take(train), task, seed=number, deadline=time.monotonic() + 60)
        rows.append(valid)
        found.append(trial.checked(model.predict(data.X.iloc[valid].reset_index(drop=True)), len(valid), task))
    y, pred = data.y[np.concatenate(rows)], np.concatenate(found)
    ends = np.cumsum([len(part) for part in rows])
    parts = np.split(np.arange(len(y)), ends[:-1])
    fitted = rules.crossfit(y, pred, parts, task.metric, task)
    model = trial.fit(candidate, data, task, seed=99, deadline=time.monotonic() + 60)
    with tempfile.TemporaryDirectory(prefix="rightfit-coverage-") as folder:
        for level in LEVELS:
            kept = conformal.learn(y, fitted.pred, task, level)
            write.write(model, Path(folder) / "package", task=task, schema=data.schema, candidate=candidate,
                        rule=dataclasses.replace(fitted.rule, conformal=kept), sample=pd.DataFrame(
                            list(question.sample)))
            known = common.hold(Path(folder) / "package", frame.iloc[held].reset_index(drop=True))
            loaded = load(Path(folder) / "package")
            new = frame.iloc[held].reset_index(drop=True)
            values = loaded.values(new) if len(known.y) == len(new) else known.pred
            inside = conformal.covered(known.y, values, task, loaded.rule.conformal, level)
            told = conformal.study(y, fitted.pred, parts, task, level)
            yield {"problem": task.problem, "family": family, "level": level, "coverage": float(inside.mean()),
                   "mean_size": conformal.size(values, task, loaded.rule.conformal), "promised": told.get("coverage"),
                   "rows": len(rest), "held_rows": len(known.y), "seconds": round(time.monotonic() - begun, 1)}


def done(path: Path) -> set[tuple[str, ...]]:
    """What a stopped run has finished: (table, problem, family, seed)."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {(r["table"], r["problem"], r["family"], r["seed"]) for r in csv.DictReader(file)}


def main() -> int:
    """Run what is missing; 0 when the mean coverage of every problem and level is within two points."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--tables", default="")
    words.add_argument("--seeds", type=int, default=2)
    words.add_argument("--seconds", type=float, default=float("inf"), help="start nothing new after so long")
    given = words.parse_args()
    begun, finished = time.monotonic(), done(OUT)
    told = {"machine": common.platform.machine(), "versions": "; ".join(
        f"{name} {common.versions().get(name)}" for name in ("rightfit", "lightgbm", "scikit-learn"))}
    for real in common.tables(tuple(filter(None, given.tables.split(",")))):
        for seed in range(given.seeds):
            if time.monotonic() - begun > given.seconds:
                return 1
            frame, need = common.load(real)
            need = dataclasses.replace(need, seed=seed, time=None, group=None)
            classifies = real.problem in ("binary", "multiclass", "anomaly")
            some = np.sort(np.random.default_rng(seed).permutation(len(frame))[:MOST_ROWS])
            frame = frame.iloc[some].reset_index(drop=True)
            try:
                rest, held = common.outer(frame, need, classifies, 0.5, seed)
                values = np.zeros(1) if classifies else frame[need.target].astype(float).dropna().to_numpy()
                for wanted in needs(need, classifies, values):
                    for family in FAMILIES:
                        problem = wanted.problem or ("quantile" if wanted.quantiles else real.problem)
                        if (real.name, problem.replace("anomaly", "binary"), family, str(seed)) in finished:
                            continue
                        lines = [{"table": real.name, "seed": seed, **one, **told}
                                 for one in case(frame, wanted, family, rest, held)]
                        append(lines)
            except (RightfitError, ValueError) as error:
                print(f"{real.name} {seed}: {error}", flush=True)
    return summary()


def append(lines: list[dict[str, Any]]) -> None:
    """Keep results as they come."""
    new = not OUT.exists()
    with OUT.open("a", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, FIELDS)
        if new:
            out.writeheader()
        out.writerows(lines)
    print(lines[-1]["table"], lines[-1]["problem"], lines[-1]["family"], [round(r["coverage"], 3) for r in lines],
          flush=True)


def summary() -> int:
    """Print the mean coverage by problem and level; whether all are within two points."""
    with OUT.open(encoding="utf-8", newline="") as file:
        every = list(csv.DictReader(file))
    good = True
    for problem in sorted({r["problem"] for r in every}):
        for level in LEVELS:
            shares = [float(r["coverage"]) for r in every if r["problem"] == problem and float(r["level"]) == level]
            good &= abs(float(np.mean(shares)) - level) <= 0.02
            print(f"{problem:12} {level:.2f}: {np.mean(shares):.3f} over {len(shares)} parts")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
