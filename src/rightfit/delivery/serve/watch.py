"""Following a registry folder: when champion.json is replaced, the new model is loaded, warmed and takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from rightfit.delivery.serve.engine import Engine
from rightfit.delivery.serve.served import Served
from rightfit.delivery.serve.settings import CHAMPION, champion

EVERY_S = 0.2
_log = logging.getLogger("uvicorn.error")


def mark(registry: Path) -> tuple[int, int, int] | None:
    """What changes when champion.json is replaced; None while there is none."""
    try:
        found = (registry / CHAMPION).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


async def follow(registry: Path, engine: Engine, told: Callable[[str], None],
                 seen: tuple[int, int, int] | None = None) -> None:
    """Switch the engine whenever the pointer changes, until cancelled; a pointer that cannot be used changes nothing.

    `told` hears `switched` or `failed`; `seen` is the mark of what the engine serves now.
    """
    while True:
        await asyncio.sleep(EVERY_S)
        now = mark(registry)
        if now is None or now == seen:
            continue
        seen = now
        try:
            served = await asyncio.get_running_loop().run_in_executor(None, lambda: Served(champion(registry)))
            if served.version != engine.served.version:
                await engine.switch(served)
                told("switched")
                _log.info("serving %s", served.version[:12])
        except Exception as error:  # whatever is wrong with the new model, the old one goes on
            told("failed")
            _log.error("%s stays: %s", engine.served.version[:12], error)
