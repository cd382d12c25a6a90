"""The ASGI application: the server's own routes, those of the Open Inference Protocol, of MLflow and of SageMaker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from rightfit.delivery.serve import bodies, pages, protocol
from rightfit.delivery.serve.engine import Full, Late
from rightfit.delivery.serve.gate import Gate
from rightfit.delivery.serve.served import Invalid
from rightfit.delivery.serve.server import Server
from rightfit.delivery.serve.settings import Settings, token
from rightfit.errors import DataError, RightfitError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]
MAX_REASONS = 50


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
            records = await bodies.form(request, server.engine.served.media, server.engine.served.names)
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
        identity = {**served.identity, "request_id": request.state.request_id}
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
    server.metrics.routes = frozenset(path for path in known if "{" not in path)

    async def lost(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        sentence = f"a route of /docs must be asked for; got {request.method} {request.url.path[:100]}." \
            if status in (404, 405) else "the server failed; its own log says why."
        return reply({"error": sentence}, status, getattr(error, "headers", None))

    app.add_exception_handler(HTTPException, lost)
    app.add_exception_handler(Exception, lost)
    app.add_middleware(Gate, secret=token(settings), max_body=settings.max_body, traffic=server)
    app.state.server = server
    return app
