"""Following a registry folder: when a pointer is replaced, the new model is loaded, warmed and takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from rightfit.delivery.serve.served import Served
from rightfit.delivery.serve.settings import CHAMPION, pointed

EVERY_S = 0.2
_log = logging.getLogger("uvicorn.error")
Mark = tuple[int, int, int] | None


def mark(registry: Path, pointer: str = CHAMPION) -> Mark:
    """What changes when a pointer is replaced; None while there is none."""
    try:
        found = (registry / pointer).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Follower:
    """One pointer of a registry, and what to do when it points elsewhere.

    `load(path)` gives the model; `take(model)` lets it take over, `take(None)` is called when the pointer goes;
    `told` hears `switched` or `failed`. A pointer that cannot be used changes nothing. `seen` is the mark of now.
    """

    def __init__(self, registry: Path, pointer: str, load: Callable[[Path], Served],
                 take: Callable[[Served | None], Awaitable[bool]], told: Callable[[str], None],
                 seen: Mark = None) -> None:
        self._registry, self._pointer, self._load, self._take, self._told = registry, pointer, load, take, told
        self._seen = seen

    async def look(self) -> None:
        """Act on what changed since the last look."""
        now = mark(self._registry, self._pointer)
        if now == self._seen:
            return
        self._seen = now
        loop = asyncio.get_running_loop()
        try:
            served = None if now is None else await loop.run_in_executor(
                None, lambda: self._load(pointed(self._registry, self._pointer)))
            if await self._take(served):
                self._told("switched")
        except Exception as error:  # whatever is wrong with the new model, the old one goes on
            self._told("failed")
            _log.error("%s changed nothing: %s", self._pointer, error)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()
