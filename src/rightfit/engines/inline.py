"""The same interface as `local.Pool`, in this process: for debugging and tests. Deadlines are told, not enforced."""

from __future__ import annotations

import collections
import time

from rightfit.engines.child import peak_mib
from rightfit.engines.jobs import Job, Outcome, call, check
from rightfit.errors import UsageError


class Inline:
    """Runs one queued job per `wait`, here; a breakpoint in a job works. A crash of the interpreter is not survived.

    >>> with Inline() as engine:
    ...     engine.submit(Job(key="a", function="rightfit.engines.inline:echo", payload={"x": 1}))
    ...     [(o.key, o.state, o.result) for o in engine.wait()]
    [('a', 'ok', {'x': 1})]
    """

    workers = 1

    def __init__(self) -> None:
        self._queue: collections.deque[Job] = collections.deque()

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def running(self) -> tuple[str, ...]:
        """Keys of the jobs that run now: none between calls."""
        return ()

    @property
    def free(self) -> int:
        """How many more jobs would start at once."""
        return max(0, 1 - len(self._queue))

    def submit(self, job: Job) -> None:
        """Queue a job. Raises UsageError."""
        check(job)
        if any(j.key == job.key for j in self._queue):
            raise UsageError(f"keys of unfinished jobs must be unique; got key={job.key!r} twice.")
        self._queue.append(job)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Run the next job to its end and return its outcome; empty when none is queued. `timeout` is not obeyed."""
        if not self._queue:
            return []
        job, started = self._queue.popleft(), time.monotonic()
        message = call(job.function, job.payload, job.soft_s)
        seconds = time.monotonic() - started
        return [Outcome(key=job.key, state=message["state"], result=message["result"], error=message["error"],
                        seconds=seconds, peak_mib=peak_mib())]

    def cancel(self, key: str) -> bool:
        """Drop a queued job. False when the key is unknown."""
        kept = [job for job in self._queue if job.key != key]
        dropped = len(kept) < len(self._queue)
        self._queue = collections.deque(kept)
        return dropped

    def close(self) -> None:
        """Drop what waits."""
        self._queue.clear()


def echo(payload: dict[str, object], *, deadline: float) -> dict[str, object]:
    """The smallest job: its payload is its result."""
    return dict(payload)
