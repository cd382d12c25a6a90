"""The ASGI application: the server's own routes, those of the Open Inference Protocol, of MLflow and of SageMaker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.delivery.serve import bodies, pages, protocol
from rightfit.delivery.serve.engine import Engine, Full, Late
from rightfit.delivery.serve.gate import Gate
from rightfit.delivery.serve.metrics import Metrics
from rightfit.delivery.serve.served import Invalid, Scored, Served
from rightfit.delivery.serve.settings import CHALLENGER, CHAMPION, Place, Settings, check, locate, token
from rightfit.delivery.serve.shadow import Shadow
from rightfit.delivery.serve.watch import Follower, mark
from rightfit.errors import DataError, RightfitError, UnknownName, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from rightfit.delivery.log import Entry, Log

Handler = Callable[["Request"], Awaitable["Response"]]
MAX_REASONS = 50
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

    @property
    def full(self) -> bool:
        """Whether one more request would find no place in the queue."""
        return self.engine.depth >= self.settings.queue

    def _load(self, path: Path) -> Served:
        return Served(path, self.settings.verify)

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
    async def life(self, app: Any) -> AsyncIterator[None]:
        """Warm-up, then ready; afterwards what waits is answered and the log written."""
        await asyncio.get_running_loop().run_in_executor(None, self.engine.warm)
        self.metrics.depth.set(0)
        tasks = [asyncio.create_task(one.run()) for one in await self._followers()]
        leave_gently(self)
        self.ready = True
        try:
            yield
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
        if served is None or served.version == self.engine.served.version:
            return False
        await self.engine.switch(served)
        _log.info("serving %s", served.version[:12])
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


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON; NaN and infinities become null."""
    import orjson
    from starlette.responses import Response

    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return Response(body, status, dict(headers or {}), "application/json")


def guarded(server: Server, handler: Handler) -> Handler:
    """A handler whose errors on purpose become answers: 400, 413, 422, 429, 503."""
    async def run(request: Request) -> Response:
        try:
            return await handler(request)
        except Invalid as error:
            return reply({"error": str(error), "detail": error.faults}, 422)
        except bodies.TooMany as error:
            server.metrics.shed.labels("rows").inc()
            return reply({"error": str(error)}, 413)
        except Full as error:
            server.metrics.shed.labels("queue").inc()
            return reply({"error": str(error)}, 429, {"Retry-After": str(error.after)})
        except Late as error:
            server.metrics.shed.labels("deadline").inc()
            return reply({"error": str(error)}, 503, {"Retry-After": "1"})
        except DataError as error:
            return reply({"error": str(error), "detail": []}, 422)
        except UsageError as error:
            return reply({"error": str(error)}, 400)
        except RightfitError as error:
            return reply({"error": str(error)}, 503)
    return run


def _reasons(request: Request) -> int:
    asked = request.query_params.get("reasons", "0")
    if not asked.isascii() or not asked.isdigit() or len(asked) > 4 or int(asked) > MAX_REASONS:
        raise UsageError(f"reasons must be a whole number from 0 to {MAX_REASONS}; got reasons={asked[:20]!r}.")
    return int(asked)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def routes(server: Server) -> dict[str, tuple[str, Handler]]:
    """The server's own routes: {path: (method, handler)}."""
    from starlette.responses import HTMLResponse, Response

    async def predict(request: Request) -> Response:
        reasons = _reasons(request)
        single = False
        if _kind(request) in ("multipart/form-data", "application/x-www-form-urlencoded"):
            records = await bodies.form(request, server.engine.served.media)
            single = len(records) == 1
        else:
            value = bodies.parsed(await request.body())
            records, single = bodies.records(value), isinstance(value, dict)
        served, scored = await server.answer(request, records, reasons)
        task = served.model.task
        answers = [{"label" if task.classifies else "value": one["prediction"],
                    **{name: one[name] for name in ("probabilities", "interval", "set") if name in one},
                    **({"threshold": served.threshold} if task.classifies else {}),
                    **({"reasons": scored.reasons[at]} if reasons else {})} for at, one in enumerate(scored.answers)]
        identity = {"model_version": served.version, "request_id": request.state.request_id}
        return reply({**answers[0], **identity} if single else {"predictions": answers, **identity})

    async def figures(request: Request) -> Response:
        server.metrics.depth.set(server.engine.depth)
        text, kind = server.metrics.text()
        return Response(text, media_type=kind)

    async def schema(request: Request) -> Response:
        return reply(pages.form_schema(server.engine.served, server.name))

    async def openapi(request: Request) -> Response:
        return reply(pages.openapi(server.engine.served, server.name))

    async def home(request: Request) -> Response:
        return HTMLResponse(pages.home(), headers=pages.policy(pages.script()))

    async def docs(request: Request) -> Response:
        found = pages.docs(pages.openapi(server.engine.served, server.name))
        return HTMLResponse(found, headers=pages.policy(None))

    return {"/predict": ("POST", predict), "/metrics": ("GET", figures), "/schema": ("GET", schema),
            "/openapi.json": ("GET", openapi), "/docs": ("GET", docs), "/": ("GET", home)}


def create(settings: Settings) -> Any:
    """The application of a server. Raises UsageError, PackageError."""
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException

    server = Server(settings)
    app = FastAPI(title=f"rightfit: {server.name}", docs_url=None, redoc_url=None, openapi_url=None,
                  lifespan=server.life)
    known = routes(server) | protocol.routes(server, reply)
    for path, (method, handler) in known.items():
        app.add_route(path, guarded(server, handler), methods=[method], include_in_schema=False)

    async def lost(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        sentence = f"a route of /docs must be asked for; got {request.method} {request.url.path[:100]}." \
            if status in (404, 405) else "the server failed; its own log says why."
        return reply({"error": sentence}, status, getattr(error, "headers", None))

    app.add_exception_handler(HTTPException, lost)
    app.add_exception_handler(Exception, lost)
    app.add_middleware(Gate, secret=token(settings), max_body=settings.max_body, traffic=server,
                       routes=frozenset(path for path in known if "{" not in path))
    app.state.server = server
    return app
