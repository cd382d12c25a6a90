"""The race itself, run on the table: its own code, with a pool that looks trials up and a clock that obeys them."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any
from unittest import mock

from cases import Case, opened

from rightfit import decide
from rightfit.delivery import prove
from rightfit.engines.jobs import Job, Outcome
from rightfit.metrics import base
from rightfit.records import Need, Trial
from rightfit.store import read_arrays
from rightfit.tuning import race as racing
from rightfit.tuning.board import Board
from rightfit.tuning.state import Race

SHARES = (0.05, 0.1, 0.25, 1.0)  # of the cost of full cross-validation that a race may spend
WORKERS = 2


class Beyond(Exception):
    """The race asks for a trial that the table does not hold: what the table can tell is over."""


@dataclasses.dataclass(slots=True)
class Clock:
    """Time that only trials spend; nothing is kept back for delivering."""

    budget_s: float
    now: float = 0.0
    spent_before: float = 0.0

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self.now

    def left(self, reserve: float = 0.0) -> float:
        """Seconds to the end of the budget."""
        return max(0.0, self.budget_s - self.now)


class Ledger:
    """A store that keeps nothing: predictions are where the table's lie."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.folder = case.folder

    def record(self, trial: Trial) -> None:
        """Nothing to keep."""

    def set_meta(self, name: str, value: Any) -> None:
        """Nothing to keep."""

    def meta(self, name: str, default: Any = None) -> Any:
        """Nothing was kept."""
        return default

    def blob_path(self, name: str) -> Path:
        """Any place: nothing is written."""
        return self.folder / "none" / name

    def blob(self, name: str) -> dict[str, Any]:
        """The predictions of a job key."""
        key, fold, share = name.rsplit("-", 2)
        return read_arrays(self.case.blob(key, fold, float(share)))


class Pool:
    """Answers from the table, each after as long as the trial took when it was measured."""

    def __init__(self, known: Any, clock: Clock) -> None:
        self.known, self.clock, self.spent = known, clock, 0.0
        self.due: list[tuple[float, Outcome]] = []

    def submit(self, job: Job) -> None:
        """Look the trial up. Raises Beyond."""
        key, fold, share = job.key.rsplit("-", 2)
        row = self.known.lines.get(key, {}).get((fold, float(share)))
        if row is None:
            raise Beyond
        import json

        seconds = float(row["seconds"])
        measured = {name: float(row[name]) for name in ("fit_s", "predict_s", "train_rows", "latency_p50_ms",
                                                        "size_mib") if row[name]}
        result = {"measured": measured, "learned": json.loads(row["learned"] or "{}"), "history": []}
        self.due.append((self.clock.now + seconds, Outcome(key=job.key, state="ok", result=result, seconds=seconds)))

    def wait(self, timeout: float) -> list[Outcome]:
        """Time goes on to the next end of a trial, but no further than the timeout."""
        first = min((at for at, _ in self.due), default=float("inf"))
        self.clock.now = min(first, self.clock.now + timeout)
        ready = [outcome for at, outcome in self.due if at <= self.clock.now]
        self.due = [(at, outcome) for at, outcome in self.due if at > self.clock.now]
        self.spent += sum(outcome.seconds for outcome in ready)
        return ready

    def cancel(self, key: str) -> bool:
        """What was cut short has cost its time all the same."""
        for at, outcome in self.due:
            if outcome.key == key:
                self.spent += outcome.seconds - (at - self.clock.now)
        return True


def raced(case: Case, known: Any, order: list[str], share: float) -> tuple[Board, float]:
    """The board after a race that may spend a share of full cross-validation, and the seconds that it spent."""
    places = {key: at for at, key in enumerate(order)}
    candidates = sorted((c for c in case.short.candidates if c.key in known.lines),
                        key=lambda c: (places.get(c.key, len(places)), *_prior(case, c)))
    short = dataclasses.replace(case.short, candidates=tuple(candidates), treatments=())
    clock = Clock(budget_s=share * known.full_cost / WORKERS)
    metric = base.find(case.task.metric, case.task.problem)
    board = Board(task=case.task, stage=case.stage, store=Ledger(case), metric=metric,
                  per_repeat=len(case.stage.folds), baseline=short.baseline.key)
    race = Race(need=Need(seed=case.seed, proposals=0), short=short, board=board, clock=clock,
                folder=case.folder / "none" / "stage", watch=lambda kind, fields: None, memory_mib=1e4)
    pool = Pool(known, clock)
    for fold in range(len(case.stage.folds)):
        row = known.lines[short.baseline.key][str(fold), 1.0]
        board.add(Trial(candidate=short.baseline, fold=fold, measured={"fit_s": float(row["fit_s"])},
                        blob=f"{short.baseline.key}-{fold}-1"))
    racing.crown(race)
    with contextlib.suppress(Beyond), mock.patch.object(racing, "LEAST_S", 0.0):  # small tables take less than that
        racing.run(race, pool, WORKERS)
    return board, pool.spent


def _prior(case: Case, candidate: Any) -> tuple[bool, int]:
    """Defaults before variants, by the rank of their families: the order before anything was learned."""
    family = case.short.families[candidate.family]
    return dict(candidate.params) != dict(family.defaults), family.rank


def race_picks(known: Any, order: list[str], work: Path, most_rows: int) -> dict[str, tuple[str, float]]:
    """What the race picks at several budgets in the prior order and in the learned one: the best, and the cheapest of
    the best."""
    case = opened(known.table, int(known.seed), most_rows, work)
    if case.short.baseline.key not in known.lines:
        return {}
    found = {}
    for name, keys in (("prior", []), ("learned", order)):
        for share in SHARES:
            board, spent = raced(case, known, keys, share)
            entries = prove.finalists(board, case.short.baseline.key)
            all_ = [c for c in prove.contenders(board, entries, {}, case.short.baseline.key) if c.key in known.lines]
            what = f"race, {name} order, {share:.0%} of the cost"
            found[what] = (decide.ranked(all_)[0].key, spent)
            found[f"{what}, cheapest of the tied"] = (decide.order(all_, ())[0].key, spent)
    return found
