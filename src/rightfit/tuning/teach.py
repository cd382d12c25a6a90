"""A blend that breaks a limit teaches one model that keeps it, on soft labels that are out of fold.

The student is a candidate like any other: it learns within each fold, is judged on the same left-out rows, and is
delivered only if the paired test of the decision prefers it (Hinton et al. 2015; Fakoor et al. 2020, FAST-DAD).
"""

from __future__ import annotations

from collections.abc import Sequence

from rightfit import registry
from rightfit.records import Candidate, Family, Limit, Step, Treatment
from rightfit.tuning import blend
from rightfit.tuning.board import Board, Entry, broken, leader_of
from rightfit.tuning.settle import settled
from rightfit.tuning.state import Race, Unit

MEMBERS = 4
SHARE = 0.5  # of the time left, that all folds of a student may take
SLACK = 3.0  # on the teacher's fits, before it stops with what it has
LEAST_S = 5.0
SUMMED = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "size_mib")


def student(race: Race) -> Unit | None:
    """The leader as the student of a blend that would be better and is forbidden, on its first fold; asked for once."""
    lesson = next((t for t in registry.plugins("rightfit.data.treatments").values() if t.teacher), None)
    if lesson is None:
        return None
    known = [c for c in race.board.candidates.values() if any(s.name == lesson.name for s in c.steps)]
    if not known and not race.taught:
        found = _pupil(race, lesson)
        known = [found] if found is not None else []
        for candidate in known:
            race.enter(candidate)
    first = Unit(candidate=known[0], fold=0) if known else None
    return first if first is not None and race.open(first) else None


def _pupil(race: Race, lesson: Treatment) -> Candidate | None:
    board = race.board
    mixed = [f for f in race.short.families.values() if f.compose is not None]
    if not board.task.limits or not mixed or board.task.problem not in mixed[0].problems:
        return None
    best = leader_of(board)
    if best is None:
        return None
    family = race.short.families[best.candidate.family]
    entries = blend.members_of(board, {f.name for f in mixed})
    if len(entries) < 2 or best.candidate.steps or (board.task.classifies and "weights" not in family.handles):
        return None
    race.taught = True
    teacher, members = _teacher(board, mixed[0], entries)
    if teacher is None or not forbidden(board.task.limits, members):
        return None
    fits = sum(e.measured.get("fit_s", 0.0) for e in members)
    folds = board.per_repeat * (fits * (lesson.teacher - 1) + best.measured.get("fit_s", 0.0))
    if folds > SHARE * race.clock.left(race.reserve) * race.workers:
        return None
    told = {"family": teacher.family, "params": dict(teacher.params)}
    plain = settled(best.candidate, best.learned)
    seconds = round(max(LEAST_S, SLACK * (lesson.teacher - 1) * fits), 1)
    step = Step(name=lesson.name, params={"teacher": told, "seconds": seconds})
    return Candidate(family=plain.family, params=plain.params, steps=(step,))


def _teacher(board: Board, family: Family, entries: Sequence[Entry]) -> tuple[Candidate | None, list[Entry]]:
    """The blend of these entries that scores best on the left-out rows, and its members."""
    weights = blend.weighed(board, entries, blend.parts_of(board, entries, blend.blobs_of(board, entries)), MEMBERS)
    found, places = blend.composed(family, entries, weights)
    return found, [entries[at] for at in places]


def forbidden(limits: tuple[Limit, ...], members: Sequence[Entry]) -> bool:
    """Whether a blend of these would break a limit: it takes as long and as much room as all of them together."""
    total = {name: sum(e.measured.get(name, 0.0) for e in members) for name in SUMMED}
    return bool(broken(limits, total, 1.0)) or any(broken(limits, e.measured) for e in members)
