"""The wall clock of a run: what is left, and what is kept back for delivering."""

from __future__ import annotations

import time

from rightfit.records import frozen


@frozen
class Clock:
    """`budget_s` wall seconds from `started` (time.monotonic), `spent_before` by earlier sittings of the same run."""

    budget_s: float
    started: float
    spent_before: float = 0.0

    @property
    def spent(self) -> float:
        """Seconds used so far, earlier sittings included."""
        return self.spent_before + time.monotonic() - self.started

    def left(self, reserve: float = 0.0) -> float:
        """Seconds left before `reserve` seconds to the end of the budget; never negative."""
        return max(0.0, self.budget_s - reserve - self.spent)

    def deadline(self, reserve: float = 0.0) -> float:
        """The same moment as time.monotonic seconds."""
        return time.monotonic() + self.left(reserve)


def start(budget_s: float, spent_before: float = 0.0) -> Clock:
    """A clock that starts now; a resumed run keeps at least a tenth of its budget, so that it can deliver."""
    return Clock(budget_s=budget_s, started=time.monotonic(), spent_before=min(spent_before, 0.9 * budget_s))
