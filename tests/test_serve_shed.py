"""Refusing on the wire: what is refused, what it is told, and what goes the usual way; the pace behind it."""

import asyncio
import contextlib
import json

import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httptools")
import uvicorn
from uvicorn.server import ServerState

from rightfit.delivery.serve import engine as queue
from rightfit.delivery.serve import shed
from rightfit.delivery.serve.served import Scored

HEAD = b"POST /predict?reasons=0 HTTP/1.1\r\nHost: here\r\ncontent-type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"


class Crowd:
    """A server that is full while `after` is not 0."""

    def __init__(self, after=0):
        self.after, self.entered, self.paths = after, 0, []

    def crowded(self):
        return self.after

    def enters(self):
        self.entered += 1

    def refused(self, path):
        self.paths.append(path)


class Transport:
    """What is written to a connection."""

    def __init__(self):
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return default

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def app(scope, receive, send):
    """Answers with the length of the body."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    said = b"%d" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


def connection(crowd):
    """A connection as uvicorn makes it, and what it writes to; inside a running loop."""
    config = uvicorn.Config(app, http=shed.protocol(), log_config=None, lifespan="off", proxy_headers=False)
    config.load()
    one = config.http_protocol_class(config, ServerState(), {"crowd": crowd}, asyncio.get_running_loop())
    one.connection_made(transport := Transport())
    return one, transport


def fed(crowd, *chunks):
    """What a connection says to some chunks that arrive one after another."""
    async def go():
        one, transport = connection(crowd)
        found = []
        for chunk in chunks:
            transport.written = b""
            one.data_received(chunk)
            for _ in range(10):
                await asyncio.sleep(0)
            found.append(transport.written)
        one.connection_lost(None)
        return found
    return asyncio.run(go())


def test_a_post_that_finds_no_place_is_told_when_to_come_again():
    crowd = Crowd(after=7)
    said, again = fed(crowd, WHOLE, HEAD + b"X-Request-Id: mine\r\nConnection: keep-alive\r\ncontent-length:1\r\n\r\n1")
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ") and b"\r\nretry-after: 7\r\n" in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head and b"x-request-id: " in head
    assert json.loads(body) == {"error": shed.sentence(7)}
    assert b"\r\nx-request-id: mine\r\n" in again and again.startswith(b"HTTP/1.1 429 ")
    assert crowd.paths == ["/predict", "/predict"] and crowd.entered == 0


@pytest.mark.parametrize("content", [
    b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n", WHOLE + WHOLE, WHOLE[:-1], WHOLE[:40],
    WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), WHOLE.replace(b"Host: here", b"Connection: close"),
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HEAD + b"\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"])
def test_all_else_goes_the_usual_way(content):
    crowd = Crowd(after=1)
    (said,) = fed(crowd, content)
    assert b" 429 " not in said and crowd.paths == []


def test_between_refusals_the_connection_answers():
    crowd = Crowd()

    async def go():
        one, transport = connection(crowd)
        said = []
        for after in (0, 3, 0, 3):
            crowd.after, transport.written = after, b""
            one.data_received(WHOLE)
            for _ in range(10):
                await asyncio.sleep(0)
            said.append(int(transport.written[9:12]))
        one.data_received(WHOLE[:60])  # the rest of what has begun is not taken for a new request
        crowd.after, transport.written = 3, b""
        one.data_received(WHOLE[60:])
        for _ in range(10):
            await asyncio.sleep(0)
        said.append(int(transport.written[9:12]))
        one.connection_lost(None)
        return said

    assert asyncio.run(go()) == [200, 429, 200, 429, 200] and crowd.entered == 3


def test_a_refused_caller_keeps_the_connection_and_an_idle_one_loses_it():
    async def go():
        one, transport = connection(Crowd(after=1))
        one.timeout_keep_alive = 0.01
        one.data_received(WHOLE)
        one._seen += 1000.0
        one.timeout_keep_alive_handler()
        kept = not transport.closed
        one._seen -= 2000.0
        one.timeout_keep_alive_handler()
        one.connection_lost(None)
        return kept, transport.closed

    assert asyncio.run(go()) == (True, True)


# --- the pace ---------------------------------------------------------------------------------------------------------

class Clocked:
    """A model whose rows take `row_s` of a clock that only moves here."""

    names, version = ("x",), "v"

    def __init__(self, row_s, first_s=None):
        self.row_s, self.first_s, self.now = row_s, row_s if first_s is None else first_s, 0.0

    def warm(self):
        return self.first_s

    def parse(self, records, seen):
        return list(records)

    def score(self, rows, records, reasons=0):
        self.now += self.row_s * len(rows)
        values = np.zeros((len(rows), 1))
        return Scored(values=values, answers=tuple({"prediction": 0.0} for _ in rows))


@pytest.fixture
def clocked(monkeypatch):
    """clocked(row_s, first_s) is an engine of a deadline of 1 s whose clock is the model's."""
    def make(row_s, first_s=None):
        model = Clocked(row_s, first_s)
        monkeypatch.setattr(queue.time, "monotonic", lambda: model.now)
        monkeypatch.setattr(queue, "INLINE_S", 1e9)  # all in the loop's own thread
        made = queue.Engine(model, queue=1000, deadline=1.0)
        made.warm()
        return made
    return make


async def burst(made, count):
    """How many of so many requests at once are let in, and what the others are told."""
    async def one():
        with contextlib.suppress(queue.Late):
            try:
                await made.submit([{"x": 1}])
            except queue.Full as error:
                return error.after
        return 0
    found = await asyncio.gather(*(one() for _ in range(count)))
    return found.count(0), max(found)


async def bursts(made):
    return [(await burst(made, 300))[0] for _ in range(60)]


def test_no_more_are_let_in_than_can_be_answered_in_time(clocked):
    made = clocked(0.01)  # 40 rows in the 0.4 s that may lie ahead of a request
    assert asyncio.run(burst(made, 200)) == (41, 1)
    assert clocked(0.001).after(399) == 0 and clocked(0.001).after(401) == 1
    assert clocked(0.1).after(100) == 10 and clocked(10.0).after(100) == queue.LONGEST_S


def test_the_bound_follows_the_pace_that_is_measured(clocked):
    made = clocked(0.01, first_s=0.0001)  # slower than the first row promised

    found = asyncio.run(bursts(made))
    assert found[0] == 300 and found[-1] == pytest.approx(41, abs=2)
    quick = clocked(0.0001, first_s=0.1)  # and one that is faster
    found = asyncio.run(bursts(quick))
    assert found[0] == 5 and found[-1] == 300


def test_a_lone_request_is_let_in_however_slow_the_model(clocked):
    assert asyncio.run(burst(clocked(30.0), 1)) == (1, 0)
