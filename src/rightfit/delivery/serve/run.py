"""Starting and stopping: one process, or several that are started again when they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from rightfit.delivery.serve import shed
from rightfit.delivery.serve.metrics import SHARED
from rightfit.delivery.serve.settings import Settings, check, locate
from rightfit.delivery.serve.workers import supervisor
from rightfit.errors import Unavailable, UsageError

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "orjson", "multipart")


@contextlib.contextmanager
def _shared(several: bool) -> Iterator[None]:
    """The folder in which several workers add up their figures."""
    folder = tempfile.mkdtemp(prefix="rightfit-metrics-") if several else None
    if folder:
        os.environ[SHARED] = folder
    try:
        yield
    finally:
        if folder:
            os.environ.pop(SHARED, None)
            shutil.rmtree(folder, ignore_errors=True)


def _needs() -> None:
    from importlib.util import find_spec

    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise Unavailable(f"serving needs the extra `serve`; got no {lacking[0]}, install it with "
                          '`pip install "rightfit[serve]"`.')


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were accepted are answered first.

    Raises UsageError, PackageError before anything listens.
    """
    _needs()
    import uvicorn

    check(settings)
    locate(settings.source)
    common: dict[str, Any] = {
        "host": settings.host, "port": settings.port, "access_log": False, "http": shed.protocol(), "log_level": "info",
        "timeout_graceful_shutdown": max(1, round(settings.drain)), "backlog": 2048, "server_header": False,
        "date_header": False}
    with _shared(settings.workers > 1):
        if settings.workers == 1:
            from rightfit.delivery.serve.app import create

            config = uvicorn.Config(create(settings), **common)
            with _listen(config) as found:
                uvicorn.Server(config).run(sockets=[found])
            return
        _check_package(settings)
        config = uvicorn.Config("rightfit.delivery.serve.workers:application", factory=True, workers=settings.workers,
                                **common)
        supervisor(config, settings, _listen(config)).run()


def _check_package(settings: Settings) -> None:
    """What is wrong with a package is said once, not by every worker again and again."""
    from rightfit.delivery.serve.served import Served

    Served(locate(settings.source).package, settings.verify)


def _listen(config: Any) -> Any:
    """The bound socket; its address is said, port 0 becomes a free one. Raises UsageError."""
    import socket

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is named: without it an answer may wait 40 ms.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((config.host, config.port))
    except OSError as error:
        found.close()
        raise UsageError(f"the server must be able to listen; got host={config.host!r}, port={config.port} and "
                         f"{error.strerror!r}, choose another port.") from None
    found.set_inheritable(True)
    shown = f"[{config.host}]" if ":" in config.host else config.host
    print(f"Listening on http://{shown}:{found.getsockname()[1]}", flush=True)
    return found
