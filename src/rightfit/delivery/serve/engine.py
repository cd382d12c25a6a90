"""The queue between requests and the model: bounded, with deadlines, in batches that form by themselves under load.

What waits while a batch is scored makes up the next one, so that a lone request never waits for company. A new model
takes over between two batches. Who would not be answered in time, at the pace of the last batches, is sent away at once
rather than kept until the deadline passes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rightfit.delivery.serve import shed
from rightfit.delivery.serve.served import Record, Scored, Served
from rightfit.errors import RightfitError

INLINE_S = 0.002
BATCH_ROWS = 64
PATIENCE = 0.4  # of the deadline: a request waits for the batch before it and for the whole of its own
FADE = 0.9  # of what a batch counts in the pace, with every batch after it
LONGEST_S = 60


class Full(RightfitError):
    """The queue is full; `after` is how many seconds to wait."""

    def __init__(self, after: int) -> None:
        super().__init__(shed.sentence(after))
        self.after = after


class Late(RightfitError):
    """A request's deadline passed before it was answered."""


@dataclass(slots=True)
class Job:
    """A request in the queue, with the future that its answer goes to; `end` in seconds of the monotonic clock.

    `cost`: rows that must be scored for it.
    """

    records: Sequence[Record]
    reasons: int
    end: float
    future: asyncio.Future[tuple[Served, Scored]]
    cost: int = 1
    waits: bool = True
    rows: list[dict[str, Any]] = field(default_factory=list)


class Engine:
    """Scores jobs one batch at a time. `watch(batch rows)` and `count(seen)` are told what happens."""

    def __init__(self, served: Served, *, queue: int, deadline: float,
                 batch: Callable[[int], None] = lambda rows: None,
                 count: Callable[[Mapping[tuple[str, str], int]], None] = lambda seen: None) -> None:
        self.served, self._queue, self._deadline = served, queue, deadline
        self._batch, self._count = batch, count
        self._waiting: deque[Job] = deque()
        self._busy = False
        self._pool = ThreadPoolExecutor(1, "rightfit-score")
        self._steady(INLINE_S)
        self._work = self._scoring = 0  # rows that wait, rows of the batch that is being scored
        self._began = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being scored."""
        return self._busy

    def after(self, entering: int = 0) -> int:
        """Seconds after which one more request would find a place, 0 when there is one; `entering` come before it."""
        pace_s = self._spent_s / self._done
        rest = max(0.0, self._scoring * pace_s - (time.monotonic() - self._began)) if self._scoring else 0.0
        ahead = rest + (self._work + entering) * pace_s
        if len(self._waiting) + entering < self._queue and ahead <= PATIENCE * self._deadline:
            return 0
        return min(LONGEST_S, max(1, math.ceil(ahead)))

    def warm(self) -> None:
        """Score the package's sample before the first request."""
        self._steady(self.served.warm())

    def _steady(self, row_s: float) -> None:
        self._row_s = self._spent_s = row_s
        self._done = 1.0

    async def switch(self, served: Served) -> None:
        """Let another, warmed model answer from the next batch on."""
        loop = asyncio.get_running_loop()
        row_s = await loop.run_in_executor(None, served.warm)
        self.served = served
        self._steady(row_s)

    async def submit(self, records: Sequence[Record], reasons: int = 0) -> tuple[Served, Scored]:
        """The answers, and the model that gave them. Raises Full, Late, Invalid, DataError."""
        after = self.after()
        if after:
            raise Full(after)
        loop = asyncio.get_running_loop()
        cost = len(records) * (len(self.served.names) + 2 if reasons else 1)
        job = Job(records, reasons, time.monotonic() + self._deadline, loop.create_future(), cost)
        self._waiting.append(job)
        self._work += cost
        if not self._busy:
            self._busy = True
            loop.call_soon(self._turn)
        timer = loop.call_later(self._deadline, self._expire, job)
        try:
            return await job.future
        finally:
            timer.cancel()

    def _leave(self, job: Job) -> None:
        """A job waits no more: it is scored now, or nobody would hear its answer."""
        if job.waits:
            job.waits = False
            self._work -= job.cost

    def _expire(self, job: Job) -> None:
        self._leave(job)
        if not job.future.done():
            job.future.set_exception(Late(f"a request must be answered within its deadline; got deadline="
                                          f"{self._deadline} s passed, ask for fewer rows or later."))

    def _take(self) -> list[Job]:
        jobs: list[Job] = []
        rows, now = 0, time.monotonic()
        while self._waiting:
            job = self._waiting[0]
            if job.future.done() or job.end < now:
                self._expire(job)
            elif jobs and (rows + len(job.records) > BATCH_ROWS or job.reasons):
                break
            else:
                jobs.append(job)
                rows += len(job.records)
            self._leave(self._waiting.popleft())
            if job.reasons and jobs and jobs[-1] is job:
                break
        return jobs

    def _turn(self) -> None:
        now = time.monotonic()
        jobs = self._take()
        if self._scoring:  # since the last batch began: all that the loop does beside scoring counts
            self._spent_s, self._done = FADE * self._spent_s + now - self._began, FADE * self._done + self._scoring
        self._began, self._scoring = now, sum(job.cost for job in jobs)
        if not jobs:
            self._busy = False
            return
        if self._scoring * self._row_s <= INLINE_S:
            self._settle(jobs, self.served, _work(self.served, jobs))
        else:
            task = asyncio.get_running_loop().create_task(self._aside(jobs))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _aside(self, jobs: list[Job]) -> None:
        served = self.served
        done = await asyncio.get_running_loop().run_in_executor(self._pool, _work, served, jobs)
        self._settle(jobs, served, done)

    def _settle(self, jobs: list[Job], served: Served,
                done: tuple[list[Scored | Exception], Counter[tuple[str, str]]]) -> None:
        found, seen = done
        # Other handlers get their turn between two batches.
        asyncio.get_running_loop().call_soon(self._turn)
        for job, one in zip(jobs, found, strict=True):
            if job.future.done():
                continue
            if isinstance(one, Exception):
                job.future.set_exception(one)
            else:
                job.future.set_result((served, one))
        self._batch(sum(len(job.records) for job in jobs))
        if seen:
            self._count(seen)

    async def close(self) -> None:
        """Finish what waits, then stop."""
        while self._busy:
            await asyncio.sleep(0.005)
        self._pool.shutdown(wait=True)


def _work(served: Served, jobs: Sequence[Job]) -> tuple[list[Scored | Exception], Counter[tuple[str, str]]]:
    """Each job's answers, or what is wrong with it; whatever one job does, the others get theirs."""
    seen: Counter[tuple[str, str]] = Counter()
    found: list[Scored | Exception | None] = [None] * len(jobs)
    for at, job in enumerate(jobs):
        try:
            job.rows = served.parse(job.records, seen)
        except Exception as error:  # Invalid becomes 422, all else 500; the server goes on
            found[at] = error
    good = [at for at, one in enumerate(found) if one is None]
    together = [at for at in good if not jobs[at].reasons]
    if len(together) > 1:
        try:
            rows = [row for at in together for row in jobs[at].rows]
            whole = served.score(rows, rows)
        except Exception:  # one by one below, so that only the job that is to blame fails
            together = []
        else:
            start = 0
            for at in together:
                end = start + len(jobs[at].rows)
                found[at] = Scored(values=whole.values[start:end], answers=whole.answers[start:end])
                start = end
    for at in good:
        if found[at] is None:
            try:
                found[at] = served.score(jobs[at].rows, jobs[at].records, jobs[at].reasons)
            except Exception as error:  # as in parsing: its own caller hears of it, the other jobs get their answers
                found[at] = error
    return [one for one in found if one is not None], seen
