"""What every request passes first: its id, the token, the limit of the body, the clock."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rightfit.delivery.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/v2/health/live", "/v2/health/ready", "/ping")
_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def allowed(header: bytes, secret: bytes) -> bool:
    """Whether an Authorization header holds the token: as Bearer, or as the password of Basic (for browsers).

    >>> allowed(b"Bearer abc", b"abc"), allowed(b"Basic OmFiYw==", b"abc"), allowed(b"", b"abc")
    (True, True, False)
    """
    kind, _, rest = header.partition(b" ")
    given = rest.strip()
    if kind.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            given = b""
    elif kind.lower() != b"bearer":
        given = b""
    return hmac.compare_digest(given, secret)


class Gate:
    """ASGI middleware: request ids, the token, the body's limit, and the figures of every request."""

    def __init__(self, app: App, *, secret: bytes | None, max_body: int, metrics: Metrics,
                 routes: frozenset[str]) -> None:
        self._app, self._secret, self._max, self._metrics, self._routes = app, secret, max_body, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id),
                                      (b"x-content-type-options", b"nosniff")]
            await send(message)

        self._metrics.active.inc()
        try:
            await self._pass(scope, headers, receive, sending)
        finally:
            self._metrics.active.dec()
            route = self._route(scope["path"])
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.duration.labels(route).observe(time.perf_counter() - start)

    def _route(self, path: str) -> str:
        # Paths that do not exist are one label, or anybody could fill the memory with new ones.
        if path in self._routes:
            return path
        return "/v2/models" if path.startswith("/v2/models/") else "other"

    async def _pass(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if self._secret is not None and scope["path"] not in OPEN \
                and not allowed(headers.get(b"authorization", b""), self._secret):
            self._metrics.shed.labels("token").inc()
            await refuse(send, 401, "a request must carry the token; got none that fits, send it as "
                         "`Authorization: Bearer TOKEN`.", ((b"www-authenticate", b'Basic realm="rightfit"'),))
            return
        body = b""
        if scope["method"] in ("POST", "PUT", "PATCH"):
            read = await self._body(headers, receive)
            if read is None:
                self._metrics.shed.labels("body").inc()
                await refuse(send, 413, f"a body must be {self._max} bytes or smaller; got more, send fewer rows.",
                             ((b"connection", b"close"),))
                return
            body = read
        sent = False

        async def once() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, once, send)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body, None when it is too large."""
        stated = headers.get(b"content-length", b"")
        if stated.isdigit() and int(stated) > self._max:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


async def refuse(send: Send, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Answer with an error and nothing else."""
    import json

    body = json.dumps({"error": sentence}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]})
    await send({"type": "http.response.body", "body": body})
