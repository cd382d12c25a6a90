"""Several processes that serve one socket: each is started again when it ends, and leaves when its parent does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from multiprocessing import connection
from typing import Any

from rightfit.delivery.serve.settings import Settings, from_json, to_json

VARIABLE = "RIGHTFIT_SERVE"


def application() -> Any:
    """The application of a worker, from the settings that its parent left in the environment."""
    from rightfit.delivery.serve.app import create

    threading.Thread(target=_follow_parent, daemon=True).start()
    return create(from_json(os.environ[VARIABLE]))


def _follow_parent() -> None:
    """A worker whose parent was killed leaves too, else it would hold the port with nobody to stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


class Stop(threading.Event):
    """An event whose wait also ends when one of some processes does; `sentinels()` are theirs."""

    def __init__(self, sentinels: Callable[[], Iterable[int]]) -> None:
        super().__init__()
        self._sentinels, self._ended = sentinels, False

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, after `timeout` seconds, or at once when a process ends; never twice in a row at once."""
        if self.is_set() or self._ended:  # what ends as soon as it starts is not started without a pause
            self._ended = False
            return super().wait(timeout)
        self._ended = bool(connection.wait(list(self._sentinels()), timeout))
        return self.is_set()


def supervisor(config: Any, settings: Settings, listener: Any) -> Any:
    """uvicorn's supervisor of `config.workers` processes that answer at `listener`; `.run()` serves until SIGTERM."""
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        """As uvicorn's, but a death is seen at once, and no caller is left at a socket that nobody answers any more."""

        def keep_subprocess_alive(self) -> None:
            for one in self.processes:
                # While this process holds the worker's end of the pipe too, a worker that dies while it is asked
                # whether it lives is only missed after timeout_worker_healthcheck, 5 s.
                one.child_conn.close()
            super().keep_subprocess_alive()

        def terminate_all(self) -> None:
            for one in self.sockets:
                one.close()
            super().terminate_all()

    os.environ[VARIABLE] = to_json(settings)
    made = Workers(config, sockets=[listener])
    made.should_exit = Stop(lambda: [one.process.sentinel for one in made.processes])
    return made
