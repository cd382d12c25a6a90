"""`choose` without limits on real tables that no rule was written after: which families won, and what fits took.

    python benchmarks/choices.py [--only TABLE ...] [--budget 150s] [--keep FOLDER] [--seconds 540]

Every family's own settings on three folds, without a search around the leaders. One row a table, written after each,
and skipped where it is there already. `order` holds the families by the best score of each on rows left out;
benchmarks/advice.py asks whether advise would have said so. The other columns hold
what fits and their memory were forecast to take before they started against what they took: of the first fit of a
family in a run (it is a prior, mended by what other families took), and of later ones. With --replay, runs that were
kept are judged by the forecasts of today, made before each trial from those that had finished before it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import RESULTS, append_csv, load, proportion, read_csv, show, tables, write_csv

import rightfit as rf

# Those of benchmarks/contract.py, after which the rules were written.
SEEN = ("heartdisease", "Telco-Customer-Churn", "Vehicle", "bank", "california_housing", "concrete", "diamonds",
        "letterdata", "mpg", "segment")
MOST_ROWS = 50_000
WITHIN = {"fit_s": 0.30, "peak_mib": 0.15}


def described(choice: Any, frame: Any) -> dict[str, Any]:
    """What a user knows of a table beforehand: rows, columns, classes, how uneven and how categorical they are."""
    task, audit = choice.decision.task, choice.decision.findings
    ratio = [f.data["ratio"] for f in audit if f.code == "class_imbalance" and "ratio" in f.data]
    texts = sum(str(kind) in ("object", "str", "string", "category") for kind in frame.dtypes)
    return {"problem": task.problem, "rows": task.rows, "features": task.features,
            "classes": len(task.classes) if task.classifies else "", "imbalance": max(ratio, default=""),
            "categorical": round(texts / max(len(frame.columns), 1), 2)}


def ordered(choice: Any) -> list[str]:
    """The families by their best finished candidate, the best first; the baseline is none."""
    decision, best = choice.decision, dict[str, float]()
    sign = 1.0 if decision.extras.get("higher_is_better", True) else -1.0
    for trial in decision.trials:
        if trial["metric"] and trial["folds_done"] and trial["name"] != decision.baseline["name"]:
            value = sign * trial["metric"]["value"]
            best[trial["family"]] = max(best.get(trial["family"], -math.inf), value)
    return sorted(best, key=lambda family: (-best[family], family))


def judged(trials: Iterable[Any]) -> dict[str, Any]:
    """How far forecasts were from what was measured: {first or later}_{figure}_{n, within, inside, error}."""
    found: dict[str, list[tuple[float, bool]]] = {}
    families: set[str] = set()
    for trial in trials:
        told = trial.measured
        if trial.state != "ok" or "fit_s_forecast" not in told:
            continue
        which = "later" if trial.candidate.family in families else "first"
        families.add(trial.candidate.family)
        cut = told["fit_s"] >= 0.9 * told.get("soft_s", math.inf)
        for name in WITHIN:
            if told.get(name, 0.0) <= 0 or (cut and name == "fit_s"):
                continue
            inside = told[f"{name}_forecast_low"] <= told[name] <= told[f"{name}_forecast_high"]
            found.setdefault(f"{which}_{name}", []).append((told[f"{name}_forecast"] / told[name] - 1, inside))
    row: dict[str, Any] = {}
    for key, pairs in found.items():
        within = WITHIN[key.partition("_")[2]]
        row |= {f"{key}_n": len(pairs), f"{key}_within": sum(abs(e) <= within for e, _ in pairs),
                f"{key}_inside": sum(i for _, i in pairs),
                f"{key}_error": sorted(abs(e) for e, _ in pairs)[len(pairs) // 2]}
    return row


def replayed(folder: Path, earlier: dict[str, list[Any]]) -> Iterator[Any]:
    """The finished trials of a kept run, each with what the forecasts of today say before it, from those before it.

    earlier: what runs before this one said, as the machine would have remembered it; this run's word is added at the
    end.
    """
    from rightfit import registry
    from rightfit.records import Task
    from rightfit.store import Store
    from rightfit.tuning import forecast
    from rightfit.tuning.state import Seen, Unit

    decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
    said = decision["extras"]["task"]
    task = Task(modality="tabular", problem=decision["task"]["problem"], target=("y",), metric="", rows=said["rows"],
                classes=tuple(said.get("classes", ())), features=said["features"])
    with Store.read(folder) as store:
        done = list(store.trials())
    rows = {trial.fold: trial.measured["train_rows"] for trial in done if trial.fidelity == 1.0 and trial.fold >= 0
            and "train_rows" in trial.measured}
    board: Any = SimpleNamespace(task=task, trials={}, stage=SimpleNamespace(
        folds={fold: (range(int(count)), ()) for fold, count in rows.items()}))
    race: Any = SimpleNamespace(board=board, earlier={k: tuple(v) for k, v in earlier.items()}, short=SimpleNamespace(
        families=registry.plugins("rightfit.models.tabular"), candidates=()))
    for trial in done:
        family = race.short.families[trial.candidate.family]
        if trial.state == "ok" and trial.fold in rows and not family.baseline:
            told = forecast.of(race, Unit(candidate=trial.candidate, fold=trial.fold, fidelity=trial.fidelity))
            yield dataclasses.replace(trial, measured={**trial.measured, **forecast.kept(told)})
        board.trials[trial.candidate.key, trial.fold, trial.fidelity] = trial
    for name in forecast.NAMES:
        some = list(forecast.seen(race, name))
        for family in {one.family for one in some}:
            own = [one for one in some if one.family == family]
            earlier.setdefault(name, []).append(Seen(
                family, f"earlier {folder.name}", sum(one.log_ratio for one in own) / len(own), own[0].rows))


def chosen(real: Any, budget: str, folder: Path) -> dict[str, Any]:
    """One run of `choose`, and what came of it."""
    from rightfit.store import Store

    frame, need = load(real)
    need = dataclasses.replace(need, budget=budget, proposals=0, folds=3)
    choice = rf.choose(frame, need, out=str(folder), overwrite=True)
    best = choice.decision.chosen
    with Store.read(folder) as store:
        fits = judged(store.trials())
    return {"table": real.name, **described(choice, frame.drop(columns=[need.target])), "budget": budget,
            "winner": best["family"] if best else "", "order": " ".join(ordered(choice)),
            "ties": len(choice.decision.ties), "left_out": sum("forecast to take" in r["reason"]
                                                               for r in choice.decision.rejected), **fits}


def summed(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """What the forecasts came to, a sentence each."""
    for which in ("first", "later"):
        for name, within in WITHIN.items():
            n, near, inside = (sum(int(row.get(f"{which}_{name}_{part}") or 0) for row in rows)
                               for part in ("n", "within", "inside"))
            yield (f"{which} fits, {name}: within {within:.0%} {proportion(near, n)}; inside the interval "
                   f"{proportion(inside, n)}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--budget", default="150s")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no table after so many seconds")
    parser.add_argument("--keep", type=Path, default=None, help="folder in which the runs are kept")
    parser.add_argument("--replay", action="store_true", help="judge kept runs by the forecasts of today; run nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.replay:
        earlier: dict[str, list[Any]] = {}
        rows = [{**{k: v for k, v in row.items() if not k.startswith(("first_", "later_"))},
                 **judged(replayed(given.keep / row["table"], earlier)), "replayed": 1}
                for row in read_csv("choices", given.out)]
        write_csv("choices", rows, given.out)
        print("\n".join(summed(rows)))
        return
    end = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as scratch:
        home = given.keep or Path(scratch)
        for real in tables(given.only):
            done = {row["table"] for row in read_csv("choices", given.out)}
            if real.name in (*done, *SEEN) or time.monotonic() > end or (not given.only and _large(real)):
                continue
            row = chosen(real, given.budget, home / real.name)
            show(row)
            append_csv("choices", row, given.out)
    print("\n".join(summed(read_csv("choices", given.out))))


def _large(real: Any) -> bool:
    return len(load(real)[0]) > MOST_ROWS


if __name__ == "__main__":
    main()
