"""A client that speaks ASGI to an application of this process: lifespan and HTTP, no socket, no library."""

import asyncio
import contextlib
import json
from typing import Any


class Answer:
    """One response."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


async def call(app, method, path, *, json_body=None, body=b"", headers=None, parts=None):
    """One request; `parts` are the chunks of the body instead of `body`, an exception among them is a disconnect."""
    given = {k.lower(): v for k, v in (headers or {}).items()}
    if json_body is not None:
        body = json.dumps(json_body).encode()
        given.setdefault("content-type", "application/json")
    chunks = [body] if parts is None else list(parts)
    if parts is None:
        given.setdefault("content-length", str(len(body)))
    path, _, query = path.partition("?")
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
             "method": method, "scheme": "http", "path": path, "raw_path": path.encode(),
             "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
             "headers": [(k.encode(), v.encode()) for k, v in given.items()]}
    sent: list[dict[str, Any]] = []

    async def receive():
        if not chunks:
            return {"type": "http.disconnect"}
        part = chunks.pop(0)
        if isinstance(part, BaseException):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:  # Starlette answers 500 and raises again, for the server's log
        if not sent:
            raise
    if not sent:
        return Answer(0, {}, b"")
    return Answer(sent[0]["status"], {k.decode().lower(): v.decode("latin-1") for k, v in sent[0]["headers"]},
                  b"".join(m.get("body", b"") for m in sent[1:]))


@contextlib.asynccontextmanager
async def alive(app):
    """The application between startup and shutdown."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, inbox.get,
                                   outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    found = await outbox.get()
    assert found["type"] == "lifespan.startup.complete", found
    try:
        yield app
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await outbox.get()
        await task


class Client:
    """Requests one after another to one application, from tests that are not asynchronous."""

    def __init__(self, app):
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._alive = alive(app)
        self.run(self._alive.__aenter__())

    def run(self, work):
        return self._loop.run_until_complete(work)

    def get(self, path, **more):
        return self.run(call(self.app, "GET", path, **more))

    def post(self, path, value=None, **more):
        return self.run(call(self.app, "POST", path, json_body=value, **more))

    def figures(self):
        """Prometheus's lines as {name with labels: value}."""
        lines = [line for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def close(self):
        self.run(self._alive.__aexit__(None, None, None))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def form(fields, boundary="b0undary"):
    """(body, headers) of multipart fields [(name, value or (file name, bytes))]."""
    parts = []
    for name, value in fields:
        file = isinstance(value, tuple)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        head += f'; filename="{value[0]}"\r\nContent-Type: application/octet-stream' if file else ""
        parts.append(head.encode() + b"\r\n\r\n" + (value[1] if file else str(value).encode()) + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {
        "content-type": f"multipart/form-data; boundary={boundary}"}
