"""The state of a race: who takes part, what is running, what was found, and how much time is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rightfit.records import Candidate, Need, frozen
from rightfit.tuning.board import Board
from rightfit.tuning.clock import Clock
from rightfit.tuning.shortlist import LARGE, RUNG_ROWS, Shortlist

SCREEN_SHARE = 0.4  # of the racing time, after which a first look must wait for the leaders' other folds
SCREEN_LEAST = 4
SCREEN = -1  # the "fold" on which nothing is trained
RUNG_LEAST = 1000  # rows of a first look at least
ROW_S = 3e-5  # a row, to estimate and to explain what is delivered
LAST_S = 4.0  # to deliver with while there is no model but the baseline


@frozen
class Unit:
    """One piece of work."""

    candidate: Candidate
    fold: int
    fidelity: float = 1.0

    @property
    def key(self) -> tuple[str, int, float]:
        """What the board files it under."""
        return self.candidate.key, self.fold, self.fidelity

    @property
    def screens(self) -> bool:
        """Whether only an untrained model is built and measured."""
        return self.fold == SCREEN


@dataclass(frozen=True, slots=True)
class Seen:
    """The logarithm of measured over prior of one trial, its family and candidate, and its training rows."""

    family: str
    candidate: str
    log_ratio: float
    rows: float


@dataclass(slots=True)
class Race:
    """Mutable state of one race; `watch(kind, fields)` hears what happens."""

    need: Need
    short: Shortlist
    board: Board
    clock: Clock
    folder: Path
    watch: Callable[[str, Mapping[str, Any]], None]
    memory_mib: float
    suspects: tuple[str, ...] = ()
    running: dict[str, Unit] = field(default_factory=dict)
    expected: dict[str, Mapping[str, float]] = field(default_factory=dict)
    earlier: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    left_out: dict[str, Mapping[str, float]] = field(default_factory=dict)
    leader: str = ""
    workers: int = 1
    queue: Iterator[Candidate] | None = None
    proposals: int = 0
    since_leader: int = 0
    taught: bool = False
    cut: set[str] = field(default_factory=set)

    def share(self, candidate: Candidate) -> float:
        """The share of the rows of a candidate's first look; 1 where rows are few, or not many and quick to learn."""
        rows = len(self.board.stage.folds[0][0])
        enough = max(self.short.families[candidate.family].rung, RUNG_LEAST / rows)
        return min(1.0 if rows <= LARGE else RUNG_ROWS / rows, enough, 1.0)

    @property
    def rung(self) -> float:
        """The smallest share of the rows that a first look is given; 1 where all looks are at whole folds."""
        return min((self.share(candidate) for candidate in self.short.candidates), default=1.0)

    def looks(self, unit: Unit) -> bool:
        """Whether the unit is a first look, which ranks a candidate and delivers nothing."""
        return unit.fidelity < 1.0 and self.rung < 1.0

    @property
    def late(self) -> bool:
        """Whether the first looks have had their share of the time."""
        looked = sum(1 for key, c in self.board.candidates.items() if self.board.has(key, 0, self.share(c)))
        return looked > SCREEN_LEAST and self.looked

    @property
    def looked(self) -> bool:
        """Whether the time for first looks is over, however many there were."""
        return self.clock.spent > SCREEN_SHARE * (self.clock.budget_s - self.reserve)

    @property
    def empty(self) -> bool:
        """Whether nothing but the baseline could be delivered yet."""
        return self.leader in ("", self.board.baseline)

    @property
    def reserve(self) -> float:
        """Seconds kept back for refitting, packaging, proving and reporting the leader, at most 40 % of the budget."""
        if self.empty:
            return min(0.15 * self.clock.budget_s, LAST_S)
        entry = self.board.entry(self.leader) if self.leader else None
        refit = 1.5 * max(self.board.fit_s(entry), self._blend_s) if entry else 0.0
        told = ROW_S * len(self.board.stage.data)
        return min(0.4 * self.clock.budget_s, 6.0 + 0.03 * self.clock.budget_s + refit + told)

    @property
    def _blend_s(self) -> float:
        """Seconds to train the best three at once, where they may be delivered together."""
        if not any(family.compose is not None for family in self.short.families.values()):
            return 0.0
        fits = [entry.measured.get("fit_s", 0.0) for entry in self.board.entries().values()]
        return max(sum(fits[:3]) / self.workers, max(fits[:3], default=0.0))

    def idle(self, unit: Unit) -> bool:
        """Whether a unit of work is neither done nor running, and would not be cut short."""
        busy = {running.key for running in self.running.values()}
        return (unit.key not in busy and not self.board.has(*unit.key)
                and not (unit.fold > 0 and unit.candidate.key in self.cut))

    def open(self, unit: Unit) -> bool:
        """Whether a unit of work is idle, and its candidate still in the race."""
        return self.idle(unit) and unit.candidate.key not in self.board.out

    def enter(self, candidate: Candidate) -> None:
        """A candidate joins the race."""
        self.board.candidates.setdefault(candidate.key, candidate)
