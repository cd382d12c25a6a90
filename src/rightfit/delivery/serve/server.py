"""What the routes of a server share: the engine, the figures, the log, who is followed, and how it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.delivery.serve import bodies
from rightfit.delivery.serve.engine import Engine
from rightfit.delivery.serve.metrics import Metrics
from rightfit.delivery.serve.served import Scored, Served
from rightfit.delivery.serve.settings import CHALLENGER, CHAMPION, Place, Settings, check, locate, numbered
from rightfit.delivery.serve.shadow import Shadow
from rightfit.delivery.serve.watch import Follower, mark
from rightfit.errors import UnknownName

if TYPE_CHECKING:
    from starlette.requests import Request

    from rightfit.delivery.log import Entry, Log

LEAVE_S = 0.5
LAST_S = 0.2  # for callers who were let in just before the listeners were closed
CHALLENGERS = "challenger"  # the folder, inside the log's, of what challengers would have said
_log = logging.getLogger("uvicorn.error")


class Server:
    """What the routes share: the engine, the figures, the log and whether the server is ready."""

    def __init__(self, settings: Settings) -> None:
        self.settings = check(settings)
        self.place: Place = locate(settings.source)
        self._mark = mark(self.place.registry) if self.place.registry else None
        served = self._load(self.place.package)
        self.metrics = Metrics(served.edges())
        self.name = _name(Path(settings.source))
        self.engine = Engine(served, queue=settings.queue, deadline=settings.deadline,
                             batch=self.metrics.batch.observe, count=self.metrics.seen)
        self.log = self._log(served, settings.log)
        self.shadow: Shadow | None = None
        self._second: Log | None = None
        self.ready = self.leaving = False
        self._entering = 0

    def crowded(self) -> int:
        """Seconds after which one more request would find a place, 0 when there is one, or nobody is sent away."""
        return 0 if self.leaving else self.engine.after(self._entering)

    def enters(self) -> None:
        """Count a request until it is in the queue: what comes at once must not all find the same place free."""
        if not self._entering:
            asyncio.get_running_loop().call_soon(self._entered)
        self._entering += 1

    def _entered(self) -> None:
        self._entering = 0

    def refused(self, path: str) -> None:
        """Count a request that was refused before it was read."""
        self.metrics.refused(self.metrics.route(path))

    def _load(self, path: Path) -> Served:
        return Served(path, self.settings.verify, numbered(path) if self.place.registry else None)

    def _log(self, served: Served, folder: str | Path | None) -> Log | None:
        if folder is None:
            return None
        from rightfit.delivery.log import Log

        for name in self.settings.omit:
            if name not in served.names:
                raise UnknownName("log_omit", name, served.names)
        kept = [column.name for column in served.model.schema.columns if column.name not in self.settings.omit]
        return Log(folder, kept, sample=self.settings.sample, told=self.metrics.lost.inc)

    @contextlib.asynccontextmanager
    async def life(self, app: Any) -> AsyncIterator[dict[str, Server]]:
        """Warm-up, then ready; afterwards what waits is answered and the log written."""
        await asyncio.get_running_loop().run_in_executor(None, self.engine.warm)
        self.metrics.depth.set(0)
        tasks = [asyncio.create_task(one.run()) for one in await self._followers()]
        leave_gently(self)
        self.ready = True
        try:
            yield {"crowd": self}
        finally:
            self.ready = False
            for task in tasks:
                task.cancel()
            if self.shadow:
                await self.shadow.close()
            await self.engine.close()
            for log in (self.log, self._second):
                if log:
                    await asyncio.get_running_loop().run_in_executor(None, log.close)

    async def _followers(self) -> list[Any]:
        """What runs beside the requests: pointers of a registry are followed, a challenger is shown the traffic."""
        registry = self.place.registry
        if registry is None:
            return []

        def told(result: str) -> None:
            self.metrics.switches.labels(result).inc()

        found: list[Any] = [Follower(registry, CHAMPION, self._load, self._promoted, told, self._mark)]
        if self.settings.shadow:
            home = Path(self.settings.log) / CHALLENGERS if self.settings.log else None
            self._second = self._log(self.engine.served, home)
            self.shadow = Shadow(self.settings.shadow, self.metrics, lambda: self.engine.busy, self._would)
            follower = Follower(registry, CHALLENGER, self._load, self._challenged, told)
            await follower.look()
            found += [follower, self.shadow]
        return found

    async def _promoted(self, served: Served | None) -> bool:
        if served is None or served.identity == self.engine.served.identity:
            return False
        await self.engine.switch(served)
        _log.info("serving version %s, %s", served.number, served.version[:12])
        return True

    async def _challenged(self, served: Served | None) -> bool:
        assert self.shadow is not None
        await self.shadow.switch(served)
        return served is not None

    def _would(self, request_id: str, moment: float, version: str, records: Sequence[Mapping[str, Any]],
               answers: Sequence[Mapping[str, Any]]) -> None:
        if self._second:
            self._second.put(entries(request_id, moment, version, records, answers))

    async def answer(self, request: Request, records: bodies.Records, reasons: int = 0) -> tuple[Served, Scored]:
        """The answers to records, counted and logged. Raises what the engine raises, and TooMany."""
        width = len(self.engine.served.names) + 1 if reasons else 1
        bodies.limited(records, max(1, self.settings.max_rows // width) if reasons else self.settings.max_rows)
        try:
            served, scored = await self.engine.submit(records, reasons)
        finally:
            self.metrics.depth.set(self.engine.depth)
        self.metrics.answered(scored.answers)
        if records and (self.log or self.shadow):
            now, request_id = time.time(), request.state.request_id
            if self.log:
                self.log.put(entries(request_id, now, served.version, records, scored.answers))
            if self.shadow:
                self.shadow.put(records, scored.answers, request_id, now)
        return served, scored


def entries(request_id: str, moment: float, version: str, records: Sequence[Mapping[str, Any]],
            answers: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """One answered request as lines of the log."""
    from rightfit.delivery.log import Entry

    return [Entry(request_id=request_id, row=at, timestamp=moment, version=version, input=record,
                  prediction=one["prediction"], probabilities=one.get("probabilities", {}))
            for at, (record, one) in enumerate(zip(records, answers, strict=True))]


def leave_gently(server: Server) -> None:
    """On SIGTERM go on for LEAVE_S, not ready and closing each connection with its answer; let nobody in any more, and
    LAST_S later do what was due.

    Connections that are closed under a caller who is sending are requests that are lost. A second signal hurries.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    then, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
    if not callable(then):
        return

    def close(number: int, frame: Any) -> None:
        # uvicorn closes listeners and connections in one step: who was let in just before would get no answer.
        for listener in getattr(getattr(then, "__self__", None), "servers", ()):
            listener.close()
        loop.call_later(LAST_S, then, number, frame)

    def leave(number: int, frame: Any) -> None:
        if server.leaving:
            then(number, frame)
            return
        server.leaving, server.ready = True, False
        loop.call_soon_threadsafe(loop.call_later, LEAVE_S, close, number, frame)

    signal.signal(signal.SIGTERM, leave)


def _name(path: Path) -> str:
    path = path.resolve()
    name = path.parent.name if path.name == "package" else path.stem
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:80] or "model"
