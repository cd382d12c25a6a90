"""From the board to the delivered package: refit the cheapest of the best, package, prove every limit, or the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rightfit import decide, registry
from rightfit.decide import Contender
from rightfit.delivery import prove
from rightfit.engines.jobs import Job, Outcome
from rightfit.package import write
from rightfit.package.probe import probe
from rightfit.records import Candidate, LimitCheck, Rule, asdict
from rightfit.resources import afford, threads
from rightfit.tuning.board import Board, Entry
from rightfit.tuning.clock import Clock
from rightfit.tuning.settle import settled
from rightfit.tuning.state import ROW_S

ATTEMPTS = 5  # packages refitted and proven before the answer is infeasible
REFIT_SLACK = 1.6  # all rows against those of a fold, and packaging
REFIT_S = 1.0  # a process, its package
FIT_SHARE = 0.9  # of the time for a refit, after which it stops with what it has, so that it can still be packaged
PROBES = 3  # of what further threads do
TAIL_S = 3.0  # proving and reporting after a refit


@dataclass(slots=True)
class Delivery:
    """What delivering came to. `chosen` None: infeasible. `refitted` False: the fold's package was delivered.

    `entries`: the contenders' entries, all on the same folds. `probed`: what their folds' packages measured, alone.
    """

    contenders: list[Contender]
    entries: Mapping[str, Entry]
    probed: Mapping[str, Mapping[str, float]]
    chosen: Contender | None = None
    checks: tuple[LimitCheck, ...] = ()
    measured: dict[str, float] = field(default_factory=dict)
    refitted: bool = False
    rejected: dict[str, str] = field(default_factory=dict)
    candidate: Candidate | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bench:
    """What delivering works with. `tested`: rows of a test part, which the delivered package answers at the end."""

    board: Board
    baseline: str
    stage: Path
    package: Path
    pool: Any
    clock: Clock
    seed: int
    memory_mib: float
    watch: Callable[[str, Mapping[str, Any]], None]
    tested: int = 0


def deliver(bench: Bench) -> Delivery:
    """Try contenders in the order of the decision; the first whose own package meets every limit is delivered.

    When no finalist does, everyone with a first fold is asked, before the answer is infeasible.
    """
    known: dict[str, Mapping[str, float]] = {}
    tried: dict[str, str] = {}
    found = _try(bench, prove.finalists(bench.board, bench.baseline), known, tried)
    if found.chosen is None or (bench.board.task.limits and found.chosen.baseline):
        wider = _try(bench, prove.reserves(bench.board), known, tried)
        found = wider if wider.chosen is not None or found.chosen is None else found
    return found


def _try(bench: Bench, entries: Mapping[str, Entry], known: dict[str, Mapping[str, float]],
         tried: dict[str, str]) -> Delivery:
    """Attempts on these entries but those tried before; `known` and `tried` grow."""
    contenders = _gather(bench, known, entries)
    found = Delivery(contenders=contenders, entries=entries, probed=known, rejected=tried)
    ahead = [c for c in decide.order(contenders, bench.board.task.limits)
             if c.key not in tried and not _without_skill(c, contenders)]
    for contender in ahead[:ATTEMPTS]:
        _attempt(bench, found, contender)
        if found.chosen is not None:
            break
    return found


def _gather(bench: Bench, known: dict[str, Mapping[str, float]], entries: Mapping[str, Entry]) -> list[Contender]:
    fit = max((bench.board.fit_s(e) for e in list(entries.values())[:3]), default=0.0)
    tail = max((_tail_s(bench, e) for e in list(entries.values())[:3]), default=TAIL_S)
    prove.measure(bench.board, entries, bench.stage, bench.clock, REFIT_SLACK * fit + REFIT_S + tail, known)
    return prove.contenders(bench.board, entries, known, bench.baseline)


def _without_skill(contender: Contender, all_: list[Contender]) -> bool:
    """The baseline is an answer only where nothing beats it: never because a limit leaves nothing else."""
    if not contender.baseline:
        return False
    return any(other.gaps[contender.key][3] > decide.TIED_T for other in all_ if not other.baseline)


def _attempt(bench: Bench, found: Delivery, contender: Contender) -> None:
    """Refit and prove; where that fails, the package of a fold, which is proven too, is better than nothing."""
    entry = bench.board.entry(contender.key)
    assert entry is not None
    candidate = settled(entry.candidate, entry.learned)
    outcome, whole = _refit(bench, entry, candidate)
    if outcome is not None and outcome.state == "ok" and outcome.result is not None:
        fit_s = {"fit_s": float(outcome.result["measured"]["fit_s"])}
        if _accept(bench, found, contender, whole, fit_s):
            found.refitted, found.candidate = True, candidate
            if outcome.result.get("cut"):
                found.notes.append(f"Training {contender.key} on all rows took all of the {fit_s['fit_s']:.0f} s that "
                                   "were left for it: with a larger budget it would have been longer.")
            return
    elif outcome is not None:
        found.notes.append(f"Training {contender.key} on all rows ended as {outcome.state} ({outcome.error}); its "
                           "package was trained on one fold's training rows.")
    fold = bench.stage / "models" / contender.key
    write.restamp(fold, rule=ruled(bench.board, entry))
    if _accept(bench, found, contender, fold, found.probed.get(contender.key)):
        found.refitted, found.candidate = False, entry.candidate
        found.rejected.pop(contender.key, None)


def _accept(bench: Bench, found: Delivery, contender: Contender, path: Path,
            known: Mapping[str, float] | None) -> bool:
    """Put the package in place if it meets every limit, measured now unless `known` holds its probe."""
    bench.watch("proving", {"candidate": contender.key})
    task = bench.board.task
    measured = dict(known) if known and "latency_p95_ms" in known else prove.figures(
        probe(path, **prove.care(bench.board, bench.clock)))
    entry = found.entries[contender.key]
    measured = afford.priced(task.serving, task.limits,
                             {**contender.measured, **measured, **(known or {}), **entry.floors})
    checks = decide.check(task.limits, measured)
    if all(item.met for item in checks):
        found.chosen, found.checks, found.measured = contender, checks, measured
        write.install(path, bench.package)
        return True
    broken = ", ".join(f"{c.name}={decide.show(c.name, c.value) if c.value is not None else 'not measured'}"
                       for c in checks if not c.met)
    found.contenders = [dataclasses.replace(c, measured=measured) if c.key == contender.key else c
                        for c in found.contenders]
    found.rejected[contender.key] = f"its package did not meet every limit when it was proven: {broken}"
    return False


def ruled(board: Board, entry: Entry) -> Rule:
    """The entry's rule, with the bounds of its sets or intervals where a coverage was asked for."""
    from rightfit.metrics import conformal

    return conformal.bounded(entry.rule, board.stage.data.y[entry.rows], entry.pred, board.task)


def _tail_s(bench: Bench, entry: Entry) -> float:
    """Seconds for proving, estimating and explaining, after the last fit, where this one is delivered."""
    return TAIL_S + ROW_S * len(bench.board.stage.data) + prove.probe_s(bench.board, entry.measured)


def _least_s(bench: Bench, entry: Entry) -> float:
    """Seconds below which training on all rows is not begun.

    A plan that can be cut needs no more steps than a fold's had, which are of more rows then; and alone it has the
    cores that trials shared, for as much as further threads do: the most of a few probes, since chance only slows.
    """
    fit = bench.board.fit_s(entry)
    if not registry.plugin("rightfit.models", entry.candidate.family, "family").paced:
        return REFIT_SLACK * fit + REFIT_S
    workers = bench.pool.workers
    alone = max([1.0, *(min(threads.gain(workers), workers) for _ in range(PROBES))]) if workers > 1 else 1.0
    return fit / alone / FIT_SHARE + REFIT_S


def _refit(bench: Bench, entry: Entry, candidate: Candidate) -> tuple[Outcome | None, Path]:
    """Train on all rows in a process of its own; None when the time left does not allow it."""
    path = bench.stage / "models" / f"{entry.candidate.key}.all"
    left = bench.clock.left(_tail_s(bench, entry) + bench.tested * entry.measured.get("latency_p50_ms", 0.0) / 1000)
    if left < _least_s(bench, entry):
        return None, path
    bench.watch("refitting", {"candidate": candidate})
    payload = {"stage": str(bench.stage), "candidate": asdict(candidate), "seed": bench.seed,
               "rule": asdict(ruled(bench.board, entry)), "package": str(path), "threads": bench.pool.workers}
    job = Job(key=f"{candidate.key}-all", function="rightfit.tuning.trial:refit", payload=payload,
              soft_s=FIT_SHARE * left, hard_s=left, memory_mib=bench.memory_mib)
    bench.pool.submit(job)
    outcomes: list[Outcome] = []
    while not outcomes and bench.clock.left() > 0:
        outcomes = [o for o in bench.pool.wait(1.0) if o.key == job.key]
    if not outcomes:
        bench.pool.cancel(job.key)
        return None, path
    return outcomes[0], path
