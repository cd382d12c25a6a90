"""Before training: networks are built and measured untrained; what breaks a limit is out, unless a step mends it.

A network's latency, memory and size do not depend on its weights, so that a limit it cannot meet costs seconds.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator

from rightfit import registry
from rightfit.records import Candidate, Compression, Step
from rightfit.tuning import steps
from rightfit.tuning.board import Board, leader_of, shortfall
from rightfit.tuning.state import SCREEN, Race, Unit

PLUGINS = "rightfit.tuning.compress"
MOST = 8  # compressed variants of one leader


def variants(race: Race, candidate: Candidate) -> Iterator[Candidate]:
    """The candidate with each compression step that applies to it."""
    family = race.short.families[candidate.family]
    known: dict[str, Compression] = registry.plugins(PLUGINS)
    for step in known.values():
        if any(importlib.util.find_spec(name) is None for name in step.requires):
            continue
        for params in step.plan(candidate, family, race.board.task):
            yield Candidate(family=candidate.family, params=candidate.params,
                            steps=(*candidate.steps, Step(name=step.name, params=dict(params))))


def measured(race: Race, candidate: Candidate) -> bool:
    """Whether training it may begin: it was measured untrained, or is of a kind that is not."""
    return race.short.families[candidate.family].untrained is None or race.board.has(candidate.key, SCREEN, 0.0)


def unit(race: Race, candidate: Candidate) -> Unit | None:
    """The work of measuring a candidate untrained, if it is due."""
    due = Unit(candidate=candidate, fold=SCREEN, fidelity=0.0)
    return due if not measured(race, candidate) and race.open(due) else None


def entrants(race: Race) -> Iterator[Candidate]:
    """The short list, and the compressed variants of those that a limit threw out before they were trained."""
    yield from race.short.candidates
    for candidate in race.short.candidates:
        if candidate.key in race.board.screened_out:
            yield from variants(race, candidate)


def nearest(race: Race) -> Candidate | None:
    """When limits throw everybody out: whoever misses them least, to be trained so that the answer can name it."""
    board = race.board
    if any(e.candidate.key != board.baseline for e in board.entries().values()) or race.running:
        return None
    waiting = [c for c in entrants(race) if c.key not in board.out or c.key in board.screened_out]
    if not waiting or any(c.key not in board.out for c in waiting):
        return None
    return min(waiting, key=lambda c: (missed(board, c), c.key))


def missed(board: Board, candidate: Candidate) -> float:
    """By how much an untrained candidate misses the limits, in shares of them."""
    found = board.trials[candidate.key, SCREEN, 0.0].measured
    return sum(shortfall(limit, found[limit.name]) for limit in board.task.limits if limit.name in found)


def compressed(race: Race) -> Unit | None:
    """The leader with each compression step, on its first fold: a candidate like any other from then on."""
    best = leader_of(race.board)
    if best is None or race.short.families[best.candidate.family].untrained is None:
        return None
    before, _ = steps.divided(best.candidate.steps)
    plain = Candidate(family=best.candidate.family, params=best.candidate.params, steps=before)
    for candidate in itertools.islice(variants(race, plain), MOST):
        first = unit(race, candidate) or Unit(candidate=candidate, fold=0)
        if race.open(first):
            race.enter(candidate)
            return first
    return None

