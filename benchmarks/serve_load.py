"""The load generator of benchmarks/serve.py: one process, raw sockets, one request a connection at a time.

    python benchmarks/serve_load.py PLAN.json OUT.json      writes one JSON object

Open loop: request i is due at start + i / rate, whatever happened to the ones before, and its latency counts from then
(so a server that stalls cannot hide it: "coordinated omission"). Closed loop (rate 0): each of `connections` sends its
next request when it has its answer. A plan holds host, port, rate, seconds, connections, path, headers and bodies;
`again`: how often a request whose connection broke is sent once more, over a new connection; `trace` keeps every
request's line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter, deque
from typing import Any


class Wire(asyncio.Protocol):
    """One keep-alive connection; `done(wire, status, body)` after each answer, status 0 when it broke."""

    def __init__(self, done: Any) -> None:
        self._done, self._data, self.job, self.closing = done, b"", None, False
        self.transport: Any = None
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, job: Any, content: bytes) -> None:
        self.job, self._data, self.sent = job, b"", time.perf_counter()
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._data[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if at < 0 and b"transfer-encoding: chunked" in head:
            if not self._data.endswith(b"0\r\n\r\n"):
                return
            length = len(self._data) - end - 4
        if len(self._data) >= end + 4 + length:
            self.closing = b"connection: close" in head
            job, self.job = self.job, None
            self._done(self, job, int(head[9:12]), self._data[end + 4:])

    def connection_lost(self, error: Any) -> None:
        self.closing = True
        if self.job is not None:
            job, self.job = self.job, None
            self._done(self, job, 0, b"")


class Load:
    """Sends what a plan says and keeps what came back."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        head = f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['host']}\r\nContent-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in plan.get("headers", {}).items())
        self.contents = [head.encode() + b"Content-Length: %d\r\n\r\n" % len(body.encode()) + body.encode()
                         for body in plan["bodies"]]
        self.free: deque[Wire] = deque()
        self.waiting: deque[tuple[int, float, int]] = deque()
        self.again: deque[tuple[int, float, int]] = deque()  # to be sent once more, on a connection of their own
        self.open = self.opening = self.sent = self.finished = self.broken = self.refused = 0
        self.over = False
        self.lines: list[tuple[float, float, int, float]] = []  # due, latency, status, latency from when it was sent
        self.kept: list[Any] = []
        self.idle = asyncio.Event()
        self.total: int | None = None

    async def connect(self) -> None:
        """One connection more; one that is refused is tried again shortly."""
        loop = asyncio.get_running_loop()
        try:
            _, wire = await asyncio.wait_for(loop.create_connection(
                lambda: Wire(self.done), self.plan["host"], self.plan["port"]), 5.0)
        except (OSError, TimeoutError):
            await asyncio.sleep(0.01)
            self.open -= 1
            self.refused += 1
        else:
            if self.again:
                self.give(wire, self.again)
            else:
                self.free.append(wire)
        self.opening -= 1
        self.push()

    def give(self, wire: Wire, jobs: deque[tuple[int, float, int]]) -> None:
        """Send the first of some jobs."""
        job = jobs.popleft()
        wire.send(job, self.contents[job[0] % len(self.contents)])

    def push(self) -> None:
        """Give waiting requests to free connections, and open some more where there are too few."""
        while self.waiting and self.free:
            wire = self.free.popleft()
            if wire.closing or wire.transport.is_closing():
                self.open -= 1
                continue
            self.give(wire, self.waiting)
        lacking = len(self.waiting) + len(self.again)
        while lacking > self.opening and self.open < self.plan["connections"] and not self.over:
            self.open += 1
            self.opening += 1
            self.tasks.add(task := asyncio.get_running_loop().create_task(self.connect()))
            task.add_done_callback(self.tasks.discard)

    def done(self, wire: Wire, job: Any, status: int, body: bytes) -> None:
        """An answer, or a connection that broke under its request."""
        number, due, tries = job
        now = time.perf_counter()
        if status == 0:
            self.broken += 1
            if tries < self.plan.get("again", 0):
                self.again.append((number, due, tries + 1))  # idle connections may be as dead as this one
                self.open -= 1
                self.push()
                return
        self.lines.append((due, now - due, status, now - wire.sent))
        if self.plan.get("trace"):
            self.kept.append([number % len(self.contents), due - self.start, status, body.decode("utf-8", "replace")])
        self.finished += 1
        if wire.closing or status == 0:
            self.open -= 1
            if wire.transport is not None:
                wire.transport.close()
        else:
            self.free.append(wire)
        if not self.plan["rate"] and now < self.end:
            self.waiting.append((self.sent, now, 0))
            self.sent += 1
        self.push()
        if self.total is not None and self.finished >= self.total:
            self.idle.set()

    async def run(self) -> dict[str, Any]:
        """Send everything, wait for the last answer (at most 10 s), sum up."""
        self.tasks: set[Any] = set()
        plan = self.plan
        self.start = time.perf_counter()
        self.end = self.start + plan["seconds"]
        if plan["rate"]:
            await self.arrive(plan["rate"])
        else:
            for _ in range(plan["connections"]):
                self.waiting.append((self.sent, time.perf_counter(), 0))
                self.sent += 1
                self.push()
            await asyncio.sleep(plan["seconds"])
        self.total = self.sent
        if self.finished < self.total:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), plan.get("patience", 10.0))
        self.over = True
        return self.summary()

    async def arrive(self, rate: float) -> None:
        """Requests at their times; the timer is as fine as the loop allows, latencies count from the time due."""
        count = int(rate * self.plan["seconds"])
        while self.sent < count:
            now = time.perf_counter()
            due = self.start + self.sent / rate
            if due > now:
                await asyncio.sleep(due - now if due - now > 0.0005 else 0)
                continue
            self.waiting.append((self.sent, due, 0))
            self.sent += 1
            self.push()
            if self.sent % 50 == 0:
                await asyncio.sleep(0)

    def summary(self) -> dict[str, Any]:
        """Counts by status, latencies of the answered ones in ms, requests/s; `slices` are for each 100 ms."""
        good = sorted(latency for _, latency, status, _ in self.lines if status == 200)
        since = sorted(latency for *_, status, latency in self.lines if status == 200)
        wall = time.perf_counter() - self.start

        def at(q: float, of: list[float] = good) -> float | None:
            return round(1000 * of[min(len(of) - 1, int(q * len(of)))], 3) if of else None

        slices: dict[int, list[Any]] = {}
        for due, latency, status, _ in self.lines:
            one = slices.setdefault(int((due - self.start) * 10), [0, 0, 0.0])
            one[0] += status == 200
            one[1] += status != 200
            one[2] = max(one[2], latency)
        return {"sent": self.sent, "finished": self.finished, "broken": self.broken, "refused": self.refused,
                "wall_s": wall,
                "statuses": {str(k): v for k, v in Counter(status for *_, status, _ in self.lines).items()},
                "per_s": len(good) / min(wall, self.plan["seconds"]) if good else 0.0,
                "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": at(1.0),
                "sent_p99_ms": at(0.99, since),
                "slices": {k: slices[k] for k in sorted(slices)}, "trace": self.kept}


def main() -> None:
    """Run the plan of a file."""
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)

    async def go() -> dict[str, Any]:
        return await Load(plan).run()

    try:
        import uvloop
    except ImportError:
        found = asyncio.run(go())
    else:
        found = uvloop.run(go())
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
