"""From a unit of work to the job that does it: what it reads, what it leaves, and how long it may take."""

from __future__ import annotations

from typing import Any

from rightfit.engines.jobs import Job
from rightfit.records import Candidate, asdict
from rightfit.tuning import steps
from rightfit.tuning.state import SCREEN, SCREEN_SHARE, Race, Unit
from rightfit.tuning.trial import answered

SOFT_SHARE = 0.6  # of the time left, after which a fit stops with what it has, so that it can still be packaged
LOOK_S = 10.0  # a first look at least
LOOKS = 12  # so many must fit into the time for looking if all take their most; they come in prior order
SCREEN_S = 60.0
GRACE_S = 8.0  # to predict and to write the package after a fit that used all of its time
THOROUGH = ("memory_mib", "_per_s", "_per_month")


def job_of(race: Race, unit: Unit, left: float) -> Job:
    """The unit as a job: a soft deadline, a hard one, a memory cap."""
    return _screening(race, unit, left) if unit.screens else _trial(race, unit, left)


def _screening(race: Race, unit: Unit, left: float) -> Job:
    payload = {"stage": str(race.folder), "candidate": asdict(unit.candidate),
               "package": str(race.folder / "models" / f"{unit.candidate.key}.untrained"),
               "thorough": any(limit.name.endswith(THOROUGH) for limit in race.board.task.limits)}
    soft = max(0.8, min(SCREEN_S, SOFT_SHARE * left))
    return Job(key=f"{unit.candidate.key}-untrained", function="rightfit.tuning.trial:screen", payload=payload,
               soft_s=soft, hard_s=max(min(2 * soft, left + 0.5), soft), memory_mib=race.memory_mib)


def _trial(race: Race, unit: Unit, left: float) -> Job:
    name = f"{unit.candidate.key}-{unit.fold}-{unit.fidelity:.3g}"
    payload: dict[str, Any] = {
        "stage": str(race.folder), "candidate": asdict(unit.candidate), "fold": unit.fold, "fidelity": unit.fidelity,
        "seed": race.need.seed, "blob": str(race.board.store.blob_path(name)), "package": _package(race, unit),
        "look": race.looks(unit), **_source(race, unit)}
    answers = answers_s(race, unit)
    soft = max(0.8, min(SOFT_SHARE * left, most_s(race, unit), left - answers))
    return Job(key=name, function="rightfit.tuning.trial:run", payload=payload, soft_s=soft,
               hard_s=max(min(soft + answers + max(GRACE_S, 0.25 * soft), left + 0.5), soft),
               memory_mib=race.memory_mib)


def answers_s(race: Race, unit: Unit) -> float:
    """Seconds that a network needs to predict what its trial is judged on, by the latency of the untrained one."""
    screened = race.board.trials.get((unit.candidate.key, SCREEN, 0.0))
    if screened is None:
        return 0.0
    rows, valid = (len(part) for part in race.board.stage.folds[unit.fold])
    count = sum(answered(race.short.families[unit.candidate.family], rows, valid, unit.fidelity))
    return count * screened.measured.get("latency_p50_ms", 0.0) / 1000


def most_s(race: Race, unit: Unit) -> float:
    """Seconds that a unit may take: a first look its part of the time for looking, the others a share of the budget."""
    if race.looks(unit):
        count = min(max(len(race.short.candidates), 1), LOOKS)
        looking = SCREEN_SHARE * race.clock.budget_s * race.workers / count
        return max(LOOK_S, looking)
    return max(10.0, (0.3 if race.leader else 0.5) * race.clock.budget_s)


def place(key: str, fold: int) -> str:
    """The name of a fold's package below the stage's models."""
    return key if fold == 0 else f"{key}.fold{fold}"


def _package(race: Race, unit: Unit) -> str:
    """The first fold leaves a package; of families that can be compressed, every fold does."""
    family = race.short.families.get(unit.candidate.family)
    if unit.fidelity != 1.0 or (unit.fold and (family is None or family.untrained is None)):
        return ""
    return str(race.folder / "models" / place(unit.candidate.key, unit.fold))


def _source(race: Race, unit: Unit) -> dict[str, Any]:
    """Where the same fold of the uncompressed candidate left its package, and what it took to fit."""
    before, after = steps.divided(unit.candidate.steps)
    if not after or unit.fidelity != 1.0:
        return {}
    plain = Candidate(family=unit.candidate.family, params=unit.candidate.params, steps=before)
    done = race.board.trials.get((plain.key, unit.fold, 1.0))
    if done is None or done.state != "ok":
        return {}
    return {"source": str(race.folder / "models" / place(plain.key, unit.fold)),
            "source_fit_s": done.measured.get("fit_s", 0.0)}
