"""The race: strong defaults in prior order, fold after fold, the dominated dropped, then a search around the leaders.

Each unit of work is (candidate, fold, share of the rows). `next_unit` asks the sources in turn; the first that has
work wins. Nothing here depends on time except when to stop, so the same finished trials give the same next unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rightfit.engines.jobs import Outcome
from rightfit.records import Candidate, Step, Trial
from rightfit.resources.forecast import Forecast
from rightfit.tuning import forecast, propose, screen, steps, teach
from rightfit.tuning.board import SURE, Entry, difference, leader_of
from rightfit.tuning.state import Race, Unit
from rightfit.tuning.work import job_of

__all__ = ["Race", "Unit", "crown", "job_of", "leader_of", "next_unit", "run"]

KEEP = (8, 5, 4, 3)  # how many stay at most after fold 0, 1, 2, ... unless they cannot be told from the leader
DOMINATED_T = 2.5
TIED_T = 1.0
NOTABLE_T = 0.5  # a new leader by less than this is chance and does not prolong the search
PATIENCE = 24  # proposals without a new leader after which the search is over
SEARCHED_FAMILIES = 2
BESIDE_FOLDS = 3
UNSEEN = 0.35  # of its prior, that a fit of a family which was not timed yet takes at least
LEAST_S = 1.5  # left for racing, below which no trial is started
CURVE_SHARES = (0.25, 0.5)
PARTNERS = 3  # families beside the contenders' that blends may want
PARTNER_SHARE = 0.35  # of the time left, that a partner's folds may take
QUICK_SHARE = 0.1  # the same before the contenders have all folds
PARTNER_AFTER = 2  # folds of every contender
TRIAL_S = 0.25  # of a process that fits
READY = 3  # first looks, after which the best of them is given all rows


def run(race: Race, pool: Any, workers: int) -> None:
    """Race until nothing is left to try or the time for racing is over; results go to the board and the store."""
    race.workers = workers
    while (left := race.clock.left(race.reserve)) > 0:
        while left > LEAST_S and len(race.running) < workers and (unit := next_unit(race)) is not None:
            left = race.clock.left(race.reserve)  # finding the next takes seconds where rows are many
            if left <= LEAST_S:
                break
            told = {} if unit.screens else forecast.of(race, unit)
            reason = forecast.hopeless(race, unit, told, left)
            if reason:
                leave_out(race, unit, told, reason)
                continue
            job = job_of(race, unit, left)
            if forecast.cut_short(race, unit, job.soft_s):
                shelve(race, unit, left)
                continue
            race.running[job.key] = unit
            race.expected[job.key] = {**forecast.kept(told), "soft_s": job.soft_s}
            pool.submit(job)
            race.watch("started", {"unit": unit, "left": left})
        if not race.running:
            race.watch("converged", {"left": left})
            break
        for outcome in pool.wait(min(left, 0.5)):
            settle(race, outcome)
    for key in list(race.running):
        pool.cancel(key)
    race.running.clear()


def leave_out(race: Race, unit: Unit, told: Mapping[str, Forecast], reason: str) -> None:
    """A candidate that cannot finish leaves the race untrained, with its forecast as the reason."""
    race.board.candidates.setdefault(unit.candidate.key, unit.candidate)
    race.board.out[unit.candidate.key] = reason
    race.left_out[unit.candidate.key] = forecast.kept(told)


def shelve(race: Race, unit: Unit, left: float) -> None:
    """A candidate whose next fold would be cut short stays as it is; it makes room where others are not far behind."""
    key = unit.candidate.key
    race.cut.add(key)
    own = race.board.entry(key)
    aside = {key, race.board.baseline, *race.board.out}
    rest = [entry for other, entry in race.board.entries().items() if other not in aside]
    if key not in race.board.out and own is not None and rest and difference(own, rest[0])[1] <= SURE:
        race.board.out[key] = (f"not followed further: another fold takes about {race.board.fit_s(own):.3g} s, and "
                               f"{left:.3g} s were left")
        crown(race)


def settle(race: Race, outcome: Outcome) -> None:
    """File an outcome, and see whether it makes a new leader."""
    unit = race.running.pop(outcome.key, None)
    if unit is None:
        return
    result = outcome.result or {}
    blob = outcome.key if outcome.state == "ok" and not unit.screens else ""
    trial = Trial(candidate=unit.candidate, fold=unit.fold, fidelity=unit.fidelity, seed=race.need.seed,
                  state=outcome.state, measured={**race.expected.pop(outcome.key, {}), **result.get("measured", {}),
                                                     "peak_mib": outcome.peak_mib},
                  learned=result.get("learned", {}), blob=blob,
                  error=outcome.error, seconds=outcome.seconds, history=tuple(result.get("history", ())))
    race.board.store.record(trial)
    race.board.store.set_meta("spent_s", race.clock.spent)
    race.board.add(trial)
    crown(race)
    race.watch("finished", {"trial": trial, "leader": race.leader, "left": race.clock.left(race.reserve)})


def crown(race: Race) -> None:
    """The leader is the best entry still in the race with the most folds finished; its package is delivered at once."""
    best = leader_of(race.board)
    if best is None or best.candidate.key == race.leader:
        return
    before = race.board.entry(race.leader) if race.leader else None
    if before is None or difference(best, before)[1] > NOTABLE_T:
        race.since_leader = 0
    race.leader = best.candidate.key
    provisional(race.folder, race.leader)


def provisional(folder: Path, key: str) -> None:
    """Make the leader's fold package, below the stage `folder`, the one delivered if everything stops now."""
    from rightfit.package import write

    source = folder / "models" / key
    if (source / "manifest.json").exists():
        write.install(source, folder.parent / "package")


def next_unit(race: Race) -> Unit | None:
    """The next piece of work, or None when nothing is worth doing."""
    for source in (_screen, _leakless, _treat, _promote, teach.student, screen.compressed, _propose, _ablate, _curve):
        unit = source(race)
        if unit is not None:
            return unit
    return None


def _screen(race: Race) -> Unit | None:
    """First the portfolio at the first rung, then the better half of it on fold 0 with all rows."""
    if race.need.search in ("grid", "random"):
        return None
    looks = None if race.rung < 1.0 and race.empty and _ready(race) else _looks(race)
    if looks is not None and not (race.late and (_promotable(race) or race.rung < 1.0)):
        return looks
    if race.rung == 1.0:
        return None
    if not race.empty and looks is None and any(u.fidelity != 1.0 and not u.screens for u in race.running.values()):
        return None
    for candidate in rung_survivors(race, final=_looks(race) is None):
        unit = Unit(candidate=candidate, fold=0)
        if race.open(unit):
            return unit
    return None


def _ready(race: Race) -> bool:
    """Whether enough first looks are in to give one candidate all rows, so that there is a model to deliver.

    Three, or one where the time for looking is over.
    """
    looked = sum(1 for key, fold, share in race.board.trials if fold == 0 and share < 1.0 and key not in race.board.out)
    return looked >= (1 if race.looked else READY) and not any(u.fidelity == 1.0 for u in race.running.values())


def _looks(race: Race) -> Unit | None:
    """The next first look, after the measurement of the untrained network where there is one."""
    for candidate in screen.entrants(race):
        unit = Unit(candidate=candidate, fold=0, fidelity=race.share(candidate))
        if not race.open(unit) or _too_dear(race, unit):
            continue
        if screen.measured(race, candidate):
            race.enter(candidate)
            return unit
        due = screen.unit(race, candidate)
        if due is not None:
            race.enter(candidate)
            return due
    spared = screen.nearest(race)
    if spared is None:
        return None
    race.board.out.pop(spared.key, None)
    return Unit(candidate=spared, fold=0, fidelity=race.share(spared))


def _too_dear(race: Race, unit: Unit) -> bool:
    """Whether the folds of a candidate are expected to take more than all the time left: others make more of it.

    What can be cut by its deadline may find its place on fewer folds, and what wants its first look on few rows
    (`rung`) often keeps what it computed for all folds, such as embeddings: neither waits. Of a family that was not
    seen here yet the prior has a say: how quick this machine is with quick families tells little of slow ones.
    """
    family = race.short.families[unit.candidate.family]
    if race.empty or unit.fidelity < 1.0 or family.rung < 1.0 or family.paced:
        return False
    each = forecast.of(race, unit)["fit_s"].value
    if not forecast.met(race, family.name):
        each = max(each, UNSEEN * family.seconds(race.board.task))
    return race.board.per_repeat * each > race.clock.left(race.reserve) * max(race.workers, 1)


def rung_survivors(race: Race, final: bool) -> list[Candidate]:
    """The better half of the first rung, at least four, best first; `final`: the others are out."""
    scored = []
    for candidate in screen.entrants(race):
        share = race.share(candidate)
        trial = race.board.trials.get((candidate.key, 0, share))
        if share < 1.0 and trial is not None and trial.state == "ok":
            scored.append((race.board.quick_utility(trial), candidate.key, candidate))
    scored.sort(key=lambda item: (-item[0], item[1]))
    survivors = scored[: max(4, len(scored) // 2)]
    for _, key, _ in scored[len(survivors):] if final else ():
        race.board.out.setdefault(key, "worse than half of the others on the first rung")
        race.board.pruned.add(key)
    return [candidate for _, _, candidate in survivors]


def contenders(race: Race) -> list[Entry]:
    """Entries still in the race: ranked high enough for their folds, or not told from the leader; best first."""
    best = leader_of(race.board)
    if best is None:
        return []
    found = [best]
    rest = [e for k, e in race.board.entries().items() if k not in race.board.out and k != best.candidate.key]
    for place, entry in enumerate(rest, start=1):
        mean, t = difference(best, entry)
        keep = KEEP[min(len(entry.folds), len(KEEP)) - 1]
        behind = race.board.rank(best) > race.board.rank(entry)
        if behind and mean > 0 and (t > DOMINATED_T or (place >= keep and t > TIED_T)):
            race.board.out[entry.candidate.key] = f"behind the leader by {mean:.4g} (t = {t:.1f})"
            race.board.pruned.add(entry.candidate.key)
        else:
            found.append(entry)
    return found


def _promotable(race: Race) -> bool:
    """Whether some contender other than the baseline still has folds to run."""
    folds = len(race.board.stage.folds)
    return any(len(e.folds) < folds and e.candidate.key not in race.cut for e in contenders(race))


def _promote(race: Race) -> Unit | None:
    """The next fold of whoever has the fewest, best first; partners follow before the rows are split once more."""
    waiting = sorted(contenders(race), key=lambda e: (len(e.folds), -race.board.rank(e)))
    every = range(len(race.board.stage.folds))
    for start in every[::race.board.per_repeat]:
        repeat = every[start:start + race.board.per_repeat]
        settled = min((len(e.folds) for e in waiting), default=0) >= PARTNER_AFTER
        quick = _partner(race, waiting, repeat, QUICK_SHARE) if settled else None
        if quick is not None:
            return quick
        for entry in waiting:
            for fold in repeat:
                unit = Unit(candidate=entry.candidate, fold=fold)
                if race.open(unit):
                    return unit
        partner = _partner(race, waiting, repeat, PARTNER_SHARE)
        if partner is not None:
            return partner
    return None


def _partner(race: Race, waiting: list[Entry], repeat: Iterable[int], share: float) -> Unit | None:
    """A fold for the best of another family, though it fell behind: it errs elsewhere, and a blend may want it.

    Only where its folds take at most that share of the time left.
    """
    board = race.board
    if not any(f.compose is not None for f in race.short.families.values()):
        return None
    families = {e.candidate.family for e in waiting}
    found = 0
    for key, entry in board.entries().items():
        family = entry.candidate.family
        if (key not in board.pruned or key in board.failed or family in families or entry.candidate.steps
                or key == board.baseline or found >= PARTNERS):
            continue
        families.add(family)
        due = [Unit(candidate=entry.candidate, fold=fold) for fold in repeat if not board.has(key, fold)]
        cost = len(due) * (entry.measured.get("fit_s", 0.0) + TRIAL_S)
        if cost > share * race.clock.left(race.reserve) * race.workers:
            continue
        found += 1
        for unit in due:
            if race.idle(unit):
                return unit
    return None


def without_suspects(race: Race) -> Candidate | None:
    """The first leader with two folds, without the columns that seem to give the target away; None without suspects."""
    known = [c for key, c in race.board.candidates.items() if key in race.board.ablations and c.steps]
    if known or not race.suspects:
        return known[0] if known else None
    best = leader_of(race.board)
    if best is None or len(best.folds) < 2:
        return None
    step = Step(name="drop_columns", params={"columns": list(race.suspects)})
    return Candidate(family=best.candidate.family, params=best.candidate.params, steps=(step,))


def _leakless(race: Race) -> Unit | None:
    """Both scores are reported: with the suspected leaks, and without."""
    candidate = without_suspects(race)
    return None if candidate is None else _beside(race, candidate, range(len(race.board.stage.folds)))


def _beside(race: Race, candidate: Candidate, folds: Iterable[int]) -> Unit | None:
    """A candidate that is only measured against the leader, on its first folds, and never chosen."""
    board = race.board
    if candidate.key not in board.ablations:
        board.ablations.add(candidate.key)
        board.out.setdefault(candidate.key, "only measured beside the leader")
        board.store.set_meta("ablations", sorted(board.ablations))
    board.candidates.setdefault(candidate.key, candidate)
    for fold in list(folds)[:BESIDE_FOLDS]:
        unit = Unit(candidate=candidate, fold=fold)
        if race.idle(unit) and candidate.key not in board.failed:
            return unit
    return None


def _treat(race: Race) -> Unit | None:
    """The leader with each planned treatment: kept only if it wins the race."""
    best = leader_of(race.board)
    if best is None or steps.divided(best.candidate.steps)[0] or len(best.folds) < 2:
        return None
    for step in race.short.treatments:
        candidate = Candidate(family=best.candidate.family, params=best.candidate.params, steps=(step,))
        unit = Unit(candidate=candidate, fold=0)
        if race.open(unit):
            race.enter(candidate)
            return unit
    return None


def _propose(race: Race) -> Unit | None:
    """A new point of the search space on fold 0."""
    most = race.need.proposals
    if race.since_leader >= PATIENCE or (most is not None and race.proposals >= most):
        return None
    for _ in range(20):
        candidate = next_candidate(race)
        if candidate is None:
            return None
        race.proposals += 1
        race.since_leader += 1
        race.board.store.set_meta("search", [race.proposals, race.since_leader])
        unit = Unit(candidate=candidate, fold=0)
        if race.open(unit):
            race.enter(candidate)
            return unit
    return None


def next_candidate(race: Race) -> Candidate | None:
    """Ask the strategy for a point."""
    families = {n: f for n, f in race.short.families.items() if not f.baseline and f.space}
    if not families:
        return None
    if race.need.search in ("grid", "random"):
        if race.queue is None:
            every = (propose.grid(families) if race.need.search == "grid"
                     else propose.random(families, race.need.seed))
            race.queue = itertools.islice(every, race.proposals, None)
        return next(race.queue, None)
    names = leading_families(race) if race.need.search == "auto" else sorted(families)
    names = [name for name in names if name in families]
    if not names:
        return None
    family = families[names[race.proposals % len(names)]]
    seen = [(e.candidate, race.board.rank(e)) for e in race.board.entries().values()
            if e.candidate.family == family.name and not e.candidate.steps]
    return propose.tpe(family, seen, race.need.seed + race.proposals)


def leading_families(race: Race) -> list[str]:
    """The families of the best entries, best first."""
    names = [e.candidate.family for k, e in race.board.entries().items() if k not in race.board.failed]
    return list(dict.fromkeys(names))[:SEARCHED_FAMILIES]


def _ablate(race: Race) -> Unit | None:
    """The leader without each of its regularisers on the leader's folds: what they bought is then a measured figure."""
    best = leader_of(race.board)
    if best is None:
        return None
    family = race.short.families[best.candidate.family]
    for candidate in propose.unregularised(best.candidate, family).values():
        unit = _beside(race, candidate, best.folds)
        if unit is not None:
            return unit
    return None


def _curve(race: Race) -> Unit | None:
    """The leader on shares of the training rows: is more data worth it?"""
    best = leader_of(race.board)
    if best is None or race.rung < 1.0:
        return None
    for share in CURVE_SHARES:
        for fold in best.folds[:BESIDE_FOLDS]:
            unit = Unit(candidate=best.candidate, fold=fold, fidelity=share)
            if race.open(unit):
                return unit
    return None
