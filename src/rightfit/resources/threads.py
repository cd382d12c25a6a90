"""How many threads are worth having right now: beside a busy neighbour several are slower than one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STEP_S = 0.002  # between two meetings, as between two splits of a boosted tree
STEPS = 20
WORTH = 1.3  # times as much work as one thread, below which further ones are not worth their waiting


def gain(count: int, *, steps: int = STEPS, work: Callable[[int], object] | None = None) -> float:
    """How many times the work of one thread `count` threads do that meet after every step; about 0.1 s.

    A thread that shares its core with somebody else's is waited for at each meeting, as in the libraries that train.
    work(rounds) is what a step does, without holding the interpreter's lock.

    >>> 0 < gain(2, steps=3) < 2.5
    True
    """
    work = work or _busy()
    work(1)
    begun = time.perf_counter()
    work(8)
    rounds = max(1, round(STEP_S / max((time.perf_counter() - begun) / 8, 1e-7)))

    def alone() -> None:
        for _ in range(steps):
            work(rounds)

    return count * _timed(alone) / max(_timed(lambda: _together(count, steps, lambda: work(rounds))), 1e-9)


def worth(most: int) -> int:
    """The number of threads to train with, 1 to `most`: halved until each doubling does `WORTH` times the work.

    >>> worth(1)
    1
    """
    count = most
    while count > 1 and gain(count) < WORTH ** max(1, count.bit_length() - 1):
        count //= 2
    return max(count, 1)


def _busy() -> Callable[[int], object]:
    """Sums over an array that fits a core's cache, each thread its own."""
    import numpy as np

    own = threading.local()

    def work(rounds: int) -> None:
        values = getattr(own, "values", None)
        if values is None:
            values = own.values = np.random.default_rng(0).normal(size=20_000)
        for _ in range(rounds):
            np.sqrt(np.abs(values), out=values)

    return work


def _timed(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _together(count: int, steps: int, step: Callable[[], object]) -> None:
    meeting = threading.Barrier(count)

    def each() -> None:
        for _ in range(steps):
            step()
            meeting.wait()

    others = [threading.Thread(target=each, daemon=True) for _ in range(count - 1)]
    for other in others:
        other.start()
    each()
    for other in others:
        other.join()
