"""A limit is a contract: random limit sets over real tables, held against what was delivered, measured again elsewhere.

    python benchmarks/contract.py                               200 limit sets over 10 tables
    python benchmarks/contract.py --tables 2 --sets 4           a small one

Each table is raced once without limits, on a part of its rows. Then, for every random set of one to three limits, the
delivering stage of rightfit runs for real on that board: thresholds, refit, package, a probe in a fresh process,
acceptance. The packages of the folds, which do not change, are probed once a table. What was delivered is probed again
in another fresh process and held against the limits as they were asked; metric floors are scored on the rows that
rightfit never saw. An "infeasible" is true when no package on the board, and no refit that was tried, meets every limit
as it was asked; the baseline is no answer. Stopped, it goes on where it was. Writes benchmarks/results/contract.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import common
import numpy as np

from rightfit import decide
from rightfit.choose import ask, examine, fingerprint
from rightfit.delivery import deliver, prove
from rightfit.metrics import base
from rightfit.package.probe import probe
from rightfit.records import Limit, Need, Task, asdict, frozen
from rightfit.resources.machine import available_mib
from rightfit.store import Store
from rightfit.tuning import lineup, race
from rightfit.tuning.board import Board, Entry
from rightfit.tuning.clock import start

TABLES = ("mpg", "heartdisease", "Vehicle", "concrete", "segment", "Telco-Customer-Churn", "letterdata",
          "california_housing", "bank", "diamonds")
SPREAD = {"latency_p95_ms": 3.0, "size_mib": 3.0, "throughput_per_s": 3.0, "memory_mib": 1.25}
FLOORS = {"binary": ("accuracy", "balanced_accuracy", "recall", "precision", "f1", "roc_auc"),
          "multiclass": ("accuracy", "balanced_accuracy", "f1_macro", "log_loss"),
          "regression": ("r2", "rmse", "mae")}
HELD = 0.25
HINT_SLACK = 3.0  # a fold's package whose latency beside other trials was this far over is not probed again
WITNESSES = 20  # probes for judging one "infeasible", at most


@dataclasses.dataclass(slots=True)
class Raced:
    """One table raced once: the race, its held-out raw rows, and figures {key: probe} of the folds' packages."""

    racing: race.Race
    held: Any
    pool: Any
    memory_mib: float
    figures: dict[str, dict[str, float]]

    @property
    def board(self) -> Board:
        """The board without limits."""
        return self.racing.board

    @property
    def models(self) -> Path:
        """Where the folds' packages are."""
        return self.racing.folder / "models"

    def figure(self, key: str) -> dict[str, float]:
        """The figures of a fold's package, probed once; kept in a file for the next sitting."""
        if key not in self.figures:
            self.figures[key] = prove.figures(probe(self.models / key))
            (self.racing.folder / "figures.json").write_text(json.dumps(self.figures), encoding="utf-8")
        return self.figures[key]

    def packed(self) -> list[str]:
        """Candidates that could be delivered: a fold's package is there, no failure, no ablation, no baseline."""
        skip = self.board.failed.keys() | self.board.ablations | {self.racing.short.baseline.key}
        return [key for key in self.board.candidates
                if key not in skip and (self.models / key / "manifest.json").exists()]


@contextlib.contextmanager
def raced(frame: Any, need: Need, classifies: bool, folder: Path, pool: Any) -> Iterator[Raced]:
    """Race a table once, on all rows but the held-out ones; a folder that holds this race already is taken up again."""
    rest, held = common.outer(frame, need, classifies, HELD, need.seed)
    question = ask(frame.iloc[rest].reset_index(drop=True), need)
    clock = start(need.budget_s)
    memory = 0.8 * available_mib() / pool.workers
    with Store.open(folder, fingerprint(question)) as store:
        clock = dataclasses.replace(clock, spent_before=min(store.meta("spent_s", 0.0), 0.9 * clock.budget_s))
        question = examine(question)
        racing = lineup.line_up(question, store, clock, memory, _silent)
        race.run(racing, pool, pool.workers)
        known = racing.folder / "figures.json"
        yield Raced(racing=racing, held=frame.iloc[held].reset_index(drop=True), pool=pool, memory_mib=memory,
                    figures=json.loads(known.read_text()) if known.exists() else {})


def _silent(kind: str, fields: Mapping[str, Any]) -> None:
    return None


def with_limits(one: Raced, limits: tuple[Limit, ...]) -> Board:
    """The same trials on a board whose task has these limits; the trial processes read the same task."""
    task = dataclasses.replace(one.board.task, limits=limits)
    stage = dataclasses.replace(one.board.stage, task=task)
    path = one.racing.folder / "stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "task": asdict(task)}, default=str))
    board = Board(task=task, stage=stage, store=one.board.store, metric=one.board.metric,
                  per_repeat=one.board.per_repeat, candidates=dict(one.board.candidates),
                  ablations=set(one.board.ablations), pruned=set(one.board.pruned))
    for trial in one.board.trials.values():
        board.add(trial)
    return board


@frozen
class Range:
    """What was seen of one name: lowest, highest, and the sense of a limit on it."""

    low: float
    high: float
    sense: Any


def ranges(one: Raced) -> dict[str, Range]:
    """What the raced candidates cost and reach: the space that limit sets are drawn from."""
    entries = {key: e for key in one.packed() if (e := one.board.entry(key)) is not None}
    by_latency = sorted(entries, key=lambda k: entries[k].measured["latency_p95_ms"])
    by_size = sorted(entries, key=lambda k: entries[k].measured["size_mib"])
    leaders = [key for key in one.board.entries() if key in entries][:2]
    probed = [one.figure(key) for key in dict.fromkeys((by_latency[0], by_latency[-1], by_size[-1], *leaders))]
    found = {"size_mib": [e.measured["size_mib"] for e in entries.values()]}
    for name in ("latency_p95_ms", "memory_mib", "throughput_per_s"):
        found[name] = [figures[name] for figures in probed]
    senses = {"throughput_per_s": "at_least"}
    known = {name: Range(low=min(values), high=max(values), sense=senses.get(name, "at_most"))
             for name, values in found.items()}
    for name in FLOORS[one.board.task.problem]:
        metric = base.find(name, one.board.task.problem)
        values = sorted(_reached(one.board, e, name) for e in entries.values())
        known[name] = Range(low=values[len(values) // 4], high=values[-1], sense="at_least") \
            if metric.greater_is_better else Range(low=values[0], high=values[-len(values) // 4], sense="at_most")
    return known


def _reached(board: Board, entry: Entry, name: str) -> float:
    metric, y = base.find(name), board.stage.data.y[entry.rows]
    return float(metric.fn(y, entry.codes if metric.needs == "label" else entry.pred, None, board.task))


def draw(known: Mapping[str, Range], rng: np.random.Generator) -> tuple[Limit, ...]:
    """One to three limits: resources log-uniform around what was seen, one floor at most around what was reached."""
    many = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    floor = str(rng.choice([name for name in known if name not in SPREAD]))
    names = [str(name) for name in rng.permutation([*SPREAD, floor])[:many]]
    found = []
    for name in names:
        seen = known[name]
        if name in SPREAD:
            ends = np.log([seen.low / SPREAD[name], seen.high * SPREAD[name]])
            value = float(np.exp(rng.uniform(*ends)))
        else:
            beyond = 0.2 * (seen.high - seen.low)
            low, high = (seen.low, seen.high + beyond) if seen.sense == "at_least" else (seen.low - beyond, seen.high)
            value = float(rng.uniform(low, high))
        found.append(Limit(name=name, limit=float(f"{value:.4g}"), sense=seen.sense))
    return tuple(found)


@contextlib.contextmanager
def probing(one: Raced) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """Folds' packages are probed once a table, packages to be accepted every time; gives the watch that tells them."""
    accepting = [False]

    def watch(kind: str, fields: Mapping[str, Any]) -> None:
        accepting[0] = kind == "proving"

    def cached(path: Any, **given: Any) -> dict[str, float]:
        if accepting[0] or Path(path).parent != one.models:
            accepting[0] = False
            return probe(path, **given)
        return one.figure(Path(path).name)

    with mock.patch.object(prove, "probe", cached):
        yield watch


def case(one: Raced, limits: tuple[Limit, ...], package: Path, seconds: float) -> dict[str, Any]:
    """One limit set through the delivering stage, and what became of it, measured again: one row of the result."""
    begun = time.monotonic()
    board = with_limits(one, limits)
    with probing(one) as watch:
        bench = deliver.Bench(board=board, baseline=one.racing.short.baseline.key, stage=one.racing.folder,
                              package=package, pool=one.pool, clock=start(seconds), seed=one.racing.need.seed,
                              memory_mib=one.memory_mib, watch=watch)
        found = deliver.deliver(bench)
    row: dict[str, Any] = {"limits": "; ".join(f"{m.name}{'<=' if m.sense == 'at_most' else '>='}{m.limit:g}"
                                               for m in limits),
                           "status": "chosen" if found.chosen else "infeasible", "deliver_s": time.monotonic() - begun,
                           "candidates": len(one.packed()), "refits_refused": len(found.rejected)}
    row |= _delivered(one, board.task, found, package) if found.chosen else _judged(one, board, found)
    return {**row, "case_s": time.monotonic() - begun}


def _delivered(one: Raced, task: Task, found: deliver.Delivery, package: Path) -> dict[str, Any]:
    assert found.chosen is not None
    resources = [m for m in task.limits if m.name in SPREAD]
    floors = [m for m in task.limits if m.name not in SPREAD]
    row: dict[str, Any] = {"chosen": found.chosen.key, "refitted": int(found.refitted),
                           "baseline_chosen": int(found.chosen.baseline)}
    first = probe(package)
    broken = [m for m in resources if not m.met(first[m.name])]
    row |= {"resource_limits": len(resources), "violations": len(broken), "noisy": int(first["noisy"]),
            "measured": "; ".join(f"{m.name}={first[m.name]:.4g}" for m in resources),
            "accepted": "; ".join(f"{m.name}={found.measured[m.name]:.4g}" for m in resources)}
    if broken:
        again = [probe(package) for _ in range(2)]
        row["violations_confirmed"] = sum(
            not m.met(statistics.median(f[m.name] for f in (first, *again))) for m in broken)
    if floors:
        held = common.hold(package, one.held)
        values = {m.name: held.score(m.name) for m in floors}
        beyond = [m for m in floors if not m.met(values[m.name][2 if m.sense == "at_least" else 1])]
        row |= {"floors": len(floors), "floors_held": sum(m.met(values[m.name][0]) for m in floors),
                "floors_violated": len(beyond), "held_rows": len(held.y),
                "held_out": "; ".join(f"{n}={v:.4g} [{low:.4g}, {high:.4g}]" for n, (v, low, high) in values.items()),
                "promised": "; ".join(f"{m.name}={found.measured[m.name]:.4g}" for m in floors)}
    return row


def _judged(one: Raced, board: Board, found: deliver.Delivery) -> dict[str, Any]:
    """Whether an "infeasible" is true; `witness` names what would have met the limits.

    true: nothing meets them. headroom: something does, but not with the headroom that rightfit keeps. refit: a fold's
    package does, the same model trained on all rows was tried and does not. false: a package meets them with headroom,
    and was not tried. unknown: more packages than are probed might.
    """
    limits, verdict, witness, probes = board.task.limits, "true", "", 0
    for key in found.rejected:
        path = one.models / f"{key}.all"
        entry = board.entry(key)
        if entry is not None and path.exists() and _meets(limits, {**prove.figures(probe(path)), **entry.floors}):
            verdict, witness = "headroom", f"{key}.all"
    for key in one.packed():
        entry = board.entry(key)
        if entry is None or not _possible(limits, entry):
            continue
        if key not in one.figures:
            probes += 1
            if probes > WITNESSES:
                return {"infeasible": "unknown" if verdict == "true" else verdict, "witness": witness}
        measured = {**entry.measured, **one.figure(key), **entry.floors}
        if not _meets(limits, measured):
            continue
        if all(item.met for item in decide.check(limits, measured)) and key not in found.rejected:
            tried = {c.key: c for c in found.contenders}
            gap = decide.shortfalls(limits, tried[key]) if key in tried else None
            said = "was not looked at" if gap is None else \
                f"was not tried, taken to miss {', '.join(gap)}" if gap else "was left untried"
            return {"infeasible": "false", "witness": f"{key} {said}"}
        if verdict == "true":
            spare = all(item.met for item in decide.check(limits, measured))
            verdict, witness = "refit" if spare else "headroom", key
    return {"infeasible": verdict, "witness": witness}


def _meets(limits: tuple[Limit, ...], measured: Mapping[str, float]) -> bool:
    return all(limit.met(measured.get(limit.name)) for limit in limits)


def _possible(limits: tuple[Limit, ...], entry: Entry) -> bool:
    """Whether floors and size, which are exact, and the hint of latency leave a chance to meet every limit."""
    for limit in limits:
        value = entry.floors.get(limit.name, entry.measured.get(limit.name))
        slack = HINT_SLACK if limit.name == "latency_p95_ms" else 1.0
        if value is not None and not limit.met(value / slack if limit.sense == "at_most" else value * slack):
            return False
    return True


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """What the rows say, in sentences."""
    def total(name: str, some: list[dict[str, Any]]) -> int:
        return sum(int(float(row.get(name) or 0)) for row in some)

    rows = [row for row in rows if row["status"] != "error"]
    chosen = [row for row in rows if row["status"] == "chosen"]
    refused = [row for row in rows if row["status"] == "infeasible"]
    count = {kind: sum(row["infeasible"] == kind for row in refused)
             for kind in ("true", "headroom", "refit", "unknown", "false")}
    return [f"{len(rows)} limit sets over {len({row['table'] for row in rows})} tables: {len(chosen)} chosen "
            f"({total('refitted', chosen)} trained on all rows), {len(refused)} infeasible",
            "resource limits violated: "
            f"{common.proportion(total('violations', chosen), total('resource_limits', chosen))}, "
            f"confirmed by two more probes: {total('violations_confirmed', chosen)}",
            f"metric floors that hold on unseen rows: "
            f"{common.proportion(total('floors_held', chosen), total('floors', chosen))}, missed beyond the holdout's "
            f"sampling error: {common.proportion(total('floors_violated', chosen), total('floors', chosen))}",
            "infeasible: " + ", ".join(f"{kind} {n}" for kind, n in count.items())
            + f"; true or for headroom only {common.proportion(count['true'] + count['headroom'], len(refused))}"]


def run_table(real: common.Real, given: argparse.Namespace, pool: Any, until: float) -> None:
    """The limit sets of one table that the result does not hold yet, until `until` (time.monotonic seconds)."""
    name = real.name
    done = {int(row["case"]) for row in common.read_csv("contract", given.out) if row["table"] == name}
    todo = [number for number in range(given.sets) if number not in done]
    if not todo:
        return
    frame, need = common.load(real)
    need = dataclasses.replace(need, budget=given.budget, seed=given.seed, workers=given.workers)
    folder = given.work / f"{name}-{given.seed}"
    with raced(frame, need, real.problem != "regression", folder, pool) as one:
        seen = ranges(one)
        for number in todo:
            if time.monotonic() > until:
                print(f"{name}: no time left for limit sets {number} to {todo[-1]}; the same command goes on with them")
                return
            limits = draw(seen, np.random.default_rng([given.seed, number, *name.encode()]))
            package = folder / "case"
            shutil.rmtree(package, ignore_errors=True)
            try:
                row = case(one, limits, package, given.seconds)
            except Exception as error:  # one case that breaks is a result, and the others go on
                row = {"limits": str(limits), "status": "error", "witness": f"{type(error).__name__}: {error}"[:300]}
            row = {"table": name, "case": number, "rows": len(one.board.stage.data), "problem": one.board.task.problem,
                   **row}
            common.append_csv("contract", row, given.out)
            common.show(row)


def main(arguments: list[str] | None = None) -> int:
    """Run the cases; 0 when no resource limit and no "infeasible" was wrong."""
    from rightfit.engines.local import Pool

    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--tables", default="10", help="how many of the ten, or names separated by commas")
    words.add_argument("--sets", type=int, default=20, help="limit sets a table")
    words.add_argument("--budget", default="30s", help="of the race of a table")
    words.add_argument("--seconds", type=float, default=30.0, help="of the delivering stage of a limit set")
    words.add_argument("--minutes", type=float, default=34.0, help="of everything, shared out evenly over the tables")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--out", type=Path, default=common.RESULTS)
    words.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "rightfit-contract")
    words.add_argument("--fresh", action="store_true", help="forget earlier results and races")
    given = words.parse_args(arguments)
    names = TABLES[: int(given.tables)] if given.tables.isdigit() else tuple(given.tables.split(","))
    if given.fresh:
        shutil.rmtree(given.work, ignore_errors=True)
        (given.out / "contract.csv").unlink(missing_ok=True)
    given.work.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given.minutes
    with Pool(given.workers, preload=("rightfit.tuning.preload",)) as pool:
        for left, real in zip(range(len(names), 0, -1), common.tables(names), strict=True):
            run_table(real, given, pool, time.monotonic() + (end - time.monotonic()) / left)
    rows: list[dict[str, Any]] = [dict(row) for row in common.read_csv("contract", given.out)]
    print("\n".join(summary(rows)))
    wrong = sum(int(row.get("violations_confirmed") or 0) for row in rows)
    return 1 if wrong or any(row.get("infeasible") == "false" or row["status"] == "error" for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
