"""Shadow mode: the challenger sees a copy of the answered traffic, and what it would have said is compared.

It works when the champion does not: a copy waits until nobody does, and is dropped and counted when too many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rightfit.delivery.serve.engine import Engine
from rightfit.delivery.serve.metrics import Metrics
from rightfit.delivery.serve.served import Record, Served

WAITING = 256
PATIENCE_S = 60.0
_log = logging.getLogger("uvicorn.error")
Tell = Callable[[str, float, str, Sequence[Record], Sequence[Mapping[str, Any]]], None]


class Shadow:
    """Compares champion and challenger on a share of the traffic; `tell` hears what the challenger said, for its log.

    `busy()` says whether the champion has work.
    """

    def __init__(self, share: float, metrics: Metrics, busy: Callable[[], bool], tell: Tell) -> None:
        self._share, self._metrics, self._busy, self._tell = share, metrics, busy, tell
        self._waiting: deque[tuple[Sequence[Record], Sequence[Mapping[str, Any]], str, float]] = deque()
        self._engine: Engine | None = None
        self._came = asyncio.Event()
        self._random = random.Random()
        self.counts = {"same": 0, "other": 0, "failed": 0, "dropped": 0}

    async def switch(self, challenger: Served | None) -> None:
        """Compare with another challenger from now on, or with none."""
        old, self._engine = self._engine, None
        self._waiting.clear()
        if old is not None:
            _log.info("challenger %s: %s", old.served.version[:12], self.summary())
            await old.close()
        self.counts = dict.fromkeys(self.counts, 0)
        if challenger is not None:
            engine = Engine(challenger, queue=1, deadline=PATIENCE_S)
            await asyncio.get_running_loop().run_in_executor(None, engine.warm)
            self._engine = engine
            _log.info("challenger %s sees %g %% of the requests", challenger.version[:12], 100 * self._share)

    @property
    def challenger(self) -> Served | None:
        """The model that is compared with the champion now."""
        return self._engine.served if self._engine else None

    def summary(self) -> str:
        """What was seen, in words."""
        compared = self.counts["same"] + self.counts["other"]
        return (f"{compared} rows compared, {self.counts['other']} of them another prediction, "
                f"{self.counts['failed']} failed, {self.counts['dropped']} dropped")

    def put(self, records: Sequence[Record], answers: Sequence[Mapping[str, Any]], request_id: str,
            moment: float) -> None:
        """Take a copy of an answered request."""
        if self._engine is None or (self._share < 1 and self._random.random() >= self._share):
            return
        if len(self._waiting) >= WAITING:
            self._count("dropped", len(records))
            return
        self._waiting.append((records, answers, request_id, moment))
        self._came.set()

    async def run(self) -> None:
        """Work off what waits, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                while self._busy():
                    await asyncio.sleep(0.001)
                if self._waiting:
                    await self._one(*self._waiting.popleft())
                await asyncio.sleep(0)

    async def _one(self, records: Sequence[Record], answers: Sequence[Mapping[str, Any]], request_id: str,
                   moment: float) -> None:
        engine = self._engine
        if engine is None:
            return
        try:
            served, scored = await engine.submit(records)
        except Exception as error:  # a challenger that cannot answer is what shadow mode is there to find
            self._count("failed", len(records))
            _log.debug("the challenger failed: %s", error)
            return
        for said, would in zip(answers, scored.answers, strict=True):
            self._count("same" if said["prediction"] == would["prediction"] else "other", 1)
            self._metrics.difference.observe(difference(said, would))
        self._tell(request_id, moment, served.version, records, scored.answers)

    def _count(self, result: str, rows: int) -> None:
        self.counts[result] += rows
        self._metrics.shadow.labels(result).inc(rows)

    async def close(self) -> None:
        """Finish what is being compared; what waits is dropped."""
        with contextlib.suppress(Exception):
            await self.switch(None)


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How far two answers lie apart: the greatest difference of a probability, of values relative to the first.

    >>> difference({"prediction": 4.0}, {"prediction": 5.0})
    0.25
    >>> difference({"prediction": "a", "probabilities": {"a": 0.75, "b": 0.25}},
    ...            {"prediction": "b", "probabilities": {"a": 0.25, "b": 0.75}})
    0.5
    """
    first, second = one.get("probabilities"), other.get("probabilities")
    if first is not None and second is not None:
        return max((abs(first.get(name, 0.0) - second.get(name, 0.0)) for name in {*first, *second}), default=0.0)
    ours, theirs = _values(one), _values(other)
    if len(ours) != len(theirs):
        return 1.0
    return max((abs(a - b) / max(abs(a), 1e-12) if a != b else 0.0 for a, b in zip(ours, theirs, strict=True)),
               default=0.0)


def _values(answer: Mapping[str, Any]) -> list[float]:
    found = answer["prediction"]
    return [v for v in (found if isinstance(found, list) else [found]) if isinstance(v, int | float)]
