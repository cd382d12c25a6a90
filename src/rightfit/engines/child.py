"""What happens inside a job's process, from its first line to its last."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rightfit.engines.jobs import call

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
                    "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")

BEGUN = b"begun"
"""Sent before the job's function is called: the clock starts here, not while libraries are still being loaded."""


def die_with_parent() -> None:
    """Let this process and its group end when the process that submitted the job ends, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        if os.name == "posix" and os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
    if sys.platform == "linux":
        import fcntl

        # The thread above needs the interpreter lock, which a long C call may hold; the kernel needs nothing.
        fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgid(0) if os.getpgid(0) == os.getpid() else os.getpid())
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)


def limit_threads(threads: int) -> None:
    """Hold OpenMP and BLAS to a number of threads, both those already loaded and those to come."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    importlib.import_module("threadpoolctl").threadpool_limits(threads)


def _redirect(log: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    source = os.open(os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    os.close(source)
    faulthandler.enable(file=2)


def peak_mib() -> float:
    """The most resident memory this process had so far, in MiB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return float(lines[0].split()[1]) / 1024 if lines else 0.0


def main(pipe: Connection, function: str, payload: Mapping[str, Any], soft_s: float, threads: int, log: str) -> None:
    """Run one job: send BEGUN, then {"state", "result", "error", "peak_mib"} as JSON bytes, through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.name == "posix":
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)
    die_with_parent()
    _redirect(log)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("600")
    limit_threads(threads)
    pipe.send_bytes(BEGUN)
    message = call(function, payload, soft_s)
    message["peak_mib"] = peak_mib()
    pipe.send_bytes(json.dumps(message).encode())
    pipe.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Library threads and exit handlers of a finished trial must not hold up the next one.
    os._exit(0)
