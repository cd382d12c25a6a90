"""Every candidate on every fold of many tables, once; and selection rules replayed on that in seconds.

    python benchmarks/replay --fill                            what is missing of the table, for hours
    python benchmarks/replay --fill --tables mpg,phoneme --most 5     at most five minutes
    python benchmarks/replay                                   the rules, on what there is

A case is (table, seed): a third of its rows is held out, the rest is staged as `choose` stages it, with five folds. Its
lines in benchmarks/results/replay_table.csv say for each candidate, fold and share of the rows how it scored, how long
it took, and what the package of the first fold costs; fold "all" is the candidate trained on all rows as a refit would,
scored on the held-out rows. Predictions lie outside the repository, in --work, as one file each. Nothing is computed
twice; a case whose predictions are gone is computed again. Rules go to replay.csv, promises to replay_honesty.csv.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import common
import honest
import rules
from cases import Case, learned_of, opened

TABLES = ("heartdisease", "german_credit", "pima-indians-diabetes", "concrete", "Vehicle", "abalone", "phoneme",
          "winequality-white", "segment", "energy", "mpg", "titanic_kaggle_train", "emp_attrition", "ames", "bank",
          "spambase_openml44", "higgs7k_binary", "Telco-Customer-Churn", "california_housing", "mammography",
          "lending_club", "adult-train", "letterdata", "covtype", "bike_hourly", "diamonds")
SHARES = (0.25, 1.0)
ALL = "all"
FIT_S = 60.0


def cheapest_first(case: Case) -> Iterator[tuple[Any, str, float]]:
    """(candidate, fold, share) of a case: what is quick to train first, a candidate's folds together."""
    order = sorted(case.short.candidates, key=lambda c: (case.short.families[c.family].seconds(case.task), c.key))
    for candidate in (case.short.baseline, *order):
        for fold in range(len(case.stage.folds)):
            yield candidate, str(fold), 1.0
        for share in SHARES[:-1]:
            yield candidate, "0", share
        yield candidate, ALL, 1.0


def fill(given: argparse.Namespace) -> None:
    """Compute what is missing, seed by seed over all tables, until the time is over."""
    end = time.monotonic() + 60 * given.most
    rows = common.read_csv("replay_table", given.out)
    done = {(r["table"], r["seed"], r["candidate"], r["fold"], float(r["share"])): r for r in rows}
    for seed in range(given.seeds):
        for name in given.tables.split(","):
            if time.monotonic() > end:
                return
            case = opened(name, seed, given.rows, given.work)
            for candidate, fold, share in cheapest_first(case):
                key = (name, str(seed), candidate.key, fold, share)
                if key in done and case.blob(candidate.key, fold, share).exists():
                    continue
                if time.monotonic() > end:
                    common.write_csv("replay_table", done.values(), given.out)
                    return
                if given.skip_s and case.short.families[candidate.family].seconds(case.task) > given.skip_s:
                    continue
                earlier = [r for k, r in done.items() if k[:3] == key[:3] and k[4] == 1.0]
                if any(r["error"] for r in earlier):
                    continue
                done[key] = line(case, candidate, fold, share, earlier)
            common.write_csv("replay_table", done.values(), given.out)
            print(name, seed, f"{len(done)} lines", flush=True)


def line(case: Case, candidate: Any, fold: str, share: float, earlier: list[dict[str, str]]) -> dict[str, Any]:
    """One computed line."""
    row: dict[str, Any] = {
        "table": case.name, "seed": case.seed, "problem": case.task.problem, "metric": case.task.metric,
        "rows": len(case.stage.data), "columns": case.task.features, "candidate": candidate.key,
        "family": candidate.family, "params": json.dumps(dict(candidate.params), sort_keys=True), "fold": fold,
        "share": share}
    begun = time.monotonic()
    try:
        found = (case.whole(candidate, learned_of(earlier), begun + FIT_S) if fold == ALL else
                 case.part(candidate, int(fold), share, begun + FIT_S))
        row |= {"utility": found["utility"], "error": "", "learned": json.dumps(found["learned"], sort_keys=True),
                **{name: found["measured"].get(name, "") for name in MEASURED}}
    except Exception as error:  # foreign code: whatever it raises is a line of the table
        row |= {"utility": "", "learned": "", **dict.fromkeys(MEASURED, ""),
                "error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
    row["seconds"] = time.monotonic() - begun
    return row


MEASURED = ("fit_s", "predict_s", "train_rows", "latency_p50_ms", "size_mib")


def main(arguments: list[str] | None = None) -> int:
    """Fill the table, or replay the rules on it."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--fill", action="store_true")
    words.add_argument("--tables", default=",".join(TABLES))
    words.add_argument("--seeds", type=int, default=2)
    words.add_argument("--rows", type=int, default=3000, help="of a table that take part at most, held-out ones too")
    words.add_argument("--skip-s", type=float, default=0.0, help="leave out families whose prior is slower; 0: none")
    words.add_argument("--most", type=float, default=1e6, help="minutes")
    words.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "rightfit-replay")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    words.add_argument("--order", type=Path, default=None, help="write the learned order of the portfolio here")
    given = words.parse_args(arguments)
    if given.fill:
        fill(given)
        return 0
    rows = [row for row in common.read_csv("replay_table", given.out) if not row["error"]]
    cases = rules.complete(rows)
    found = rules.replayed(cases, given.work, given.rows)
    common.write_csv("replay", rules.summary(found), given.out)
    for entry in rules.summary(found):
        common.show(entry)
    common.write_csv("replay_honesty", honest.honesty(cases, given.work, given.rows), given.out)
    if given.order is not None:
        given.order.write_text(rules.order_file(cases), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
