"""What every request passes first: its id, the token, a free place, the limit of the body, the clock."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from rightfit.delivery.serve import shed
from rightfit.delivery.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/v2/health/live", "/v2/health/ready", "/ping", "/health")
BODY_S = 30.0
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


class Traffic(Protocol):
    """What the gate asks of the server: is there no place left, and is it about to stop?"""

    metrics: Metrics
    leaving: bool

    def crowded(self) -> int:
        """Seconds after which one more request would find a place, 0 when there is one."""
        ...


class Gone(Exception):
    """The caller hung up before its request was whole."""


class Refused(Exception):
    """A request that goes no further; `why` is its label among what was shed."""

    def __init__(self, status: int, why: str, sentence: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(sentence)
        self.status, self.why, self.headers = status, why, headers


class Gate:
    """ASGI middleware: request ids, the token, the body's limits, and the figures of every request."""

    def __init__(self, app: App, *, secret: bytes | None, max_body: int, traffic: Traffic) -> None:
        self._app, self._secret, self._max, self._traffic = app, secret, max_body, traffic
        self._metrics = traffic.metrics

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
                added = [(b"x-request-id", request_id), (b"x-content-type-options", b"nosniff")]
                if self._traffic.leaving:
                    added.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        self._metrics.active.inc()
        try:
            await self._pass(scope, headers, receive, sending)
        except Refused as error:
            self._metrics.shed.labels(error.why).inc()
            await refuse(sending, error.status, str(error), error.headers)
        except Gone:
            status = 499
        finally:
            self._metrics.active.dec()
            self._metrics.done(self._metrics.route(scope["path"]), status, time.perf_counter() - start)

    async def _pass(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if self._secret is not None and scope["path"] not in OPEN \
                and not allowed(headers.get(b"authorization", b""), self._secret):
            raise Refused(401, "token", "a request must carry the token; got none that fits, send it as "
                          "`Authorization: Bearer TOKEN`.", (b"www-authenticate", b'Basic realm="rightfit"'))
        body = b""
        if scope["method"] in ("POST", "PUT", "PATCH"):
            if after := self._traffic.crowded():  # what was not refused on the wire (shed.py), and still unread
                raise Refused(429, "queue", shed.sentence(after), (b"retry-after", b"%d" % after))
            if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
                raise Refused(415, "body", "a body must not be compressed; got another Content-Encoding than identity, "
                              "send it plain.")
            body = await self._body(headers, receive)
        sent = False

        async def once() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, once, send)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises Refused, Gone."""
        stated = headers.get(b"content-length", b"")
        large = Refused(413, "body", f"a body must be {self._max} bytes or smaller; got more, send fewer rows.",
                        (b"connection", b"close"))
        if stated.isdigit() and int(stated[:20]) > self._max:
            raise large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._max:
                        raise large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, "body", f"a body must arrive within {BODY_S:g} s; got a part of it, send it again.",
                          (b"connection", b"close")) from None


async def refuse(send: Send, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Answer with an error and nothing else."""
    import json

    body = json.dumps({"error": sentence}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]})
    await send({"type": "http.response.body", "body": body})
