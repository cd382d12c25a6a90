"""Refusing on the wire: under overload a POST that finds no place is answered with 429 before it is parsed.

Parsing a request, starting its task and routing it cost a third of answering it, so that at twice what a server can do
half of its time would go into refusals. Here one costs about a twentieth.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Protocol

SPECIAL = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade|connection:(?![ \t]*keep-alive[ \t]*\r\n))", re.I)
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?=\r\n)", re.I)
ID = re.compile(rb"\r\nx-request-id:[ \t]*([\x21-\x7e]{1,128})[ \t]*(?=\r\n)", re.I)


class Crowd(Protocol):
    """What refusing asks of the server, which is what the application's lifespan yields as `crowd`."""

    def crowded(self) -> int:
        """Seconds after which to ask again, 0 while there is room."""
        ...

    def enters(self) -> None:
        """Count one request that has come whole, until the queue does."""
        ...

    def refused(self, path: str) -> None:
        """Count one request that was refused."""
        ...


def sentence(after: int) -> str:
    """What a caller who finds no place is told."""
    return f"the server takes no more than it can answer in time; got a full queue, ask again after {after} s."


def plain(data: bytes) -> re.Match[bytes] | None:
    """The length of a POST that came whole and alone and asks for nothing special; None for all others.

    >>> plain(b"POST /predict HTTP/1.1\\r\\nContent-Length: 2\\r\\n\\r\\n{}") is not None
    True
    >>> plain(b"POST /predict HTTP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\n{}"), plain(b"GET / HTTP/1.1\\r\\n\\r\\n")
    (None, None)
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(b"POST /") or SPECIAL.search(data, 0, end + 2):
        return None
    if not data[:data.find(b"\r\n")].endswith(b" HTTP/1.1"):
        return None
    lengths = list(LENGTH.finditer(data, 0, end + 2))
    return lengths[0] if len(lengths) == 1 and end + 4 + int(lengths[0][1]) == len(data) else None


def refusal(data: bytes, after: int) -> bytes:
    """The whole answer to a plain POST."""
    given = ID.search(data, 0, data.find(b"\r\n\r\n") + 2)
    name = given[1] if given else uuid.uuid4().hex.encode()
    body = json.dumps({"error": sentence(after)}).encode()
    return (b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"retry-after: %d\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n\r\n%b"
            % (len(body), after, name, body))


def protocol() -> str:
    """The name of the HTTP protocol that refuses on the wire; uvicorn's own choice where httptools is not installed."""
    from importlib.util import find_spec

    return f"{__name__}:Shedding" if find_spec("httptools") else "auto"


def __getattr__(name: str) -> Any:
    # uvicorn asks for the class by its name, in each worker; what needs no server must not need uvicorn.
    if name == "Shedding":
        return shedding()
    raise AttributeError(name)


def shedding() -> Any:
    """uvicorn's HTTP protocol with refusals before the parser."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Shedding(HttpToolsProtocol):
        """Between two requests of a connection it looks at the next one before the parser does."""

        _inside = False  # a request, while it arrives
        _seen = 0.0

        def data_received(self, data: bytes) -> None:
            crowd: Crowd = self.app_state["crowd"]
            if not self._inside and not self.flow.write_paused \
                    and (self.cycle is None or self.cycle.response_complete) and not self.pipeline:
                after = crowd.crowded()
                if after and plain(data):
                    self._seen = self.loop.time()
                    if self.timeout_keep_alive_task is None:
                        self.timeout_keep_alive_handler()
                    self.transport.write(refusal(data, after))
                    crowd.refused(data[5:data.find(b" ", 5)].partition(b"?")[0].decode("latin-1"))
                    return
            super().data_received(data)

        def on_message_begin(self) -> None:
            self._inside = True
            super().on_message_begin()

        def on_message_complete(self) -> None:
            self._inside = False
            if self.scope["method"] == "POST":
                self.app_state["crowd"].enters()
            super().on_message_complete()

        def timeout_keep_alive_handler(self) -> None:
            left = self._seen + self.timeout_keep_alive - self.loop.time()
            if left > 0:  # a refused caller is no idle one
                self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
            else:
                super().timeout_keep_alive_handler()

    return Shedding
