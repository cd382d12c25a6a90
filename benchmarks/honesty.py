"""Is the number promised the number delivered? Real tables, an outer part that rightfit never sees, many seeds.

    python benchmarks/honesty.py                                  the whole, about 40 minutes
    python benchmarks/honesty.py --tables mpg,Vehicle --seeds 1   a small one

For each table and seed a part is held out, `choose` runs on the rest, and the delivered package is scored on that part
with the metric of its own promise. optimism: promise minus holdout, turned so that above zero is a promise too good.
inside: the holdout's score lies in the promised 95 % interval; that is too strict, because the holdout scatters itself.
covered: it lies within both errors together, sqrt(promised^2 + holdout^2), which an honest interval does 95 % of the
time. Stopped, it goes on where it was. Writes benchmarks/results/honesty.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import common

from rightfit.choose import choose
from rightfit.errors import RightfitError
from rightfit.metrics import base
from rightfit.records import Need

TABLES = ("mpg", "concrete", "energy", "ames", "abalone", "heartdisease", "german_credit", "pima-indians-diabetes",
          "titanic_seaborn", "emp_attrition", "phoneme", "Vehicle", "segment", "winequality-white")


def case(frame: Any, need: Need, classifies: bool, share: float, folder: Path) -> dict[str, Any]:
    """Choose on the rest, score on what was held out: one row of the result. Raises RightfitError."""
    rest, held = common.outer(frame, need, classifies, share, need.seed)
    begun = time.monotonic()
    decision = choose(frame.iloc[rest].reset_index(drop=True), need, out=folder, overwrite=True).decision
    wall = time.monotonic() - begun
    known = common.hold(folder / "package", frame.iloc[held].reset_index(drop=True))
    promise = decision.estimate
    value, low, high = known.score(promise["metric"], need.seed)
    better = base.find(promise["metric"]).greater_is_better
    return {"rows": len(rest), "held_rows": len(known.y), "metric": promise["metric"],
            "family": (decision.chosen or {}).get("family", ""), "trials": int(decision.spent["trials"]),
            **compared((promise["value"], promise["low"], promise["high"]), (value, low, high), better),
            "bias_taken_off": promise["bias"], "refitted": int(bool(decision.extras.get("refitted"))), "wall_s": wall}


def compared(promise: tuple[float, float, float], test: tuple[float, float, float], better: bool) -> dict[str, Any]:
    """A promise (value, low, high) against a test (value, low, high), both with 95 % intervals.

    >>> compared((0.9, 0.85, 0.95), (0.84, 0.80, 0.88), True)["covered"]
    1
    """
    gap = test[0] - promise[0]
    own = promise[2] - promise[0] if gap > 0 else promise[0] - promise[1]
    theirs = test[0] - test[1] if gap > 0 else test[2] - test[0]
    both = math.hypot(own, theirs)
    return {"promised": promise[0], "low": promise[1], "high": promise[2], "test": test[0], "test_low": test[1],
            "test_high": test[2], "optimism": -gap if better else gap,
            "optimism_se": (-gap if better else gap) / (both / 1.96) if both > 0 else 0.0,
            "inside": int(promise[1] <= test[0] <= promise[2]), "covered": int(abs(gap) <= both)}


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Bias and coverage for each table and over all."""
    def line(name: str, some: list[dict[str, Any]], unit: bool) -> str:
        gaps = [float(r["optimism"]) for r in some]
        scaled = [float(r["optimism_se"]) for r in some]
        said = f"{name:24}{len(some):4} cases"
        if unit:
            spread = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
            said += f"  optimism {statistics.mean(gaps):+.4g} (se {spread:.2g}) {some[0]['metric']}"
        else:
            said += f"  optimism {statistics.mean(scaled):+.2f} standard errors of promise and holdout together"
        return said + (f"  inside {common.proportion(sum(int(r['inside']) for r in some), len(some))}"
                       f"  covered {common.proportion(sum(int(r['covered']) for r in some), len(some))}")

    good = [row for row in rows if not row.get("error")]
    if not good:
        return ["no case finished"]
    names = list(dict.fromkeys(row["table"] for row in good))
    lines = [line(name, [row for row in good if row["table"] == name], True) for name in names]
    return [*lines, line("all", good, False), f"{len(rows) - len(good)} cases failed"]


def main(arguments: list[str] | None = None) -> int:
    """Run the cases that the result does not hold yet, seed by seed over all tables."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--tables", default=",".join(TABLES))
    words.add_argument("--seeds", type=int, default=6)
    words.add_argument("--budget", default="20s")
    words.add_argument("--share", type=float, default=1 / 3, help="of the rows to hold out, 0.3 to 0.5")
    words.add_argument("--minutes", type=float, default=39.0)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--out", type=Path, default=common.RESULTS)
    words.add_argument("--fresh", action="store_true", help="forget earlier results")
    given = words.parse_args(arguments)
    if given.fresh:
        (given.out / "honesty.csv").unlink(missing_ok=True)
    names = given.tables.split(",")
    done = {(row["table"], int(row["seed"])) for row in common.read_csv("honesty", given.out)}
    end = time.monotonic() + 60 * given.minutes
    for seed in range(given.seeds):
        for real in common.tables(names):
            if (real.name, seed) in done or time.monotonic() > end:
                continue
            frame, need = common.load(real)
            need = dataclasses.replace(need, budget=given.budget, seed=seed, workers=given.workers)
            row: dict[str, Any] = {"table": real.name, "seed": seed, "problem": real.problem, "budget": given.budget}
            with tempfile.TemporaryDirectory(prefix="rightfit-honesty-") as folder:
                try:
                    row |= case(frame, need, real.problem != "regression", given.share, Path(folder) / "run")
                except RightfitError as error:
                    row["error"] = f"{type(error).__name__}: {error}"[:300]
            common.append_csv("honesty", row, given.out)
            common.show(row)
    print("\n".join(summary([dict(row) for row in common.read_csv("honesty", given.out)])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
