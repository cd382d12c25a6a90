"""Jobs in processes of their own on this machine: deadlines, a memory watchdog, and nothing left behind."""

from __future__ import annotations

import atexit
import collections
import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rightfit.engines import child
from rightfit.engines.jobs import RESULT_LIMIT_MIB, Job, Outcome, check
from rightfit.errors import UsageError
from rightfit.records import State

__all__ = ["PRELOAD", "Job", "Outcome", "Pool"]

PRELOAD = ("rightfit.engines.child", "threadpoolctl", "pandas", "sklearn.ensemble", "sklearn.linear_model",
           "sklearn.pipeline", "lightgbm")
POLL_S = 0.05
GRACE_S = 0.3
LEAVE_S = 5.0
START_LIMIT_S = 120.0
_start_lock = threading.Lock()


@dataclass(slots=True)
class _Running:
    job: Job
    process: Any
    probe: Any
    launched: float
    started: float = float("inf")
    message: dict[str, Any] | None = None
    reader: threading.Thread | None = None
    peak_mib: float = 0.0
    verdict: State | None = None
    terminated: float = 0.0
    killed: bool = False
    error: str = ""
    cancelled: bool = False


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start processes as if there were no main script: jobs are named by module, and a script without a __main__ guard
    would otherwise run again in every child."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _thread_environment(threads: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in child.THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(child.THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _signal_text(number: int) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by {name} from outside, most likely the system's out-of-memory killer; use fewer workers."
    return f"killed by {name} ({signal.strsignal(number)})."


class Pool:
    """Runs up to `workers` jobs side by side, each in a fresh process with `threads` OpenMP and BLAS threads.

    On POSIX a fork server imports `preload` once, so that a process starts in about 20 ms instead of seconds; elsewhere
    processes are spawned. `log_folder`: each job's output goes to <key>.log there; None discards it. Leaving the
    context kills what is left. Peaks include the pages shared with the fork server (about 150 MiB with the default
    preload). The fork server is one per program: the first pool's preload counts.
    """

    def __init__(self, workers: int, preload: tuple[str, ...] = PRELOAD, threads: int = 1,
                 log_folder: Path | str | None = None) -> None:
        if workers < 1 or threads < 1:
            raise UsageError(f"workers and threads must be 1 or more; got workers={workers}, threads={threads}.")
        self.workers, self.threads = workers, threads
        self._logs = None if log_folder is None else Path(log_folder)
        if self._logs:
            self._logs.mkdir(parents=True, exist_ok=True)
        self._context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        self._queue: collections.deque[Job] = collections.deque()
        self._running: dict[str, _Running] = {}
        self._done: collections.deque[Outcome] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        if os.name == "posix":
            from multiprocessing import forkserver

            with _start_lock, _without_main(), _thread_environment(threads):
                self._context.set_forkserver_preload(["rightfit.engines.child", *preload])
                forkserver.ensure_running()
        self._wake_r, self._wake_w = multiprocessing.Pipe(duplex=False)
        self._supervisor = threading.Thread(target=self._supervise, daemon=True, name="rightfit-pool")
        self._supervisor.start()
        atexit.register(self.close)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def running(self) -> tuple[str, ...]:
        """Keys of the jobs that run now."""
        with self._changed:
            return tuple(self._running)

    @property
    def free(self) -> int:
        """How many more jobs would start at once."""
        with self._changed:
            return max(0, self.workers - len(self._running) - len(self._queue))

    def submit(self, job: Job) -> None:
        """Queue a job; jobs start in the order submitted. Raises UsageError for a key in use or a closed pool."""
        check(job)
        with self._changed:
            if self._closed:
                raise UsageError(f"a closed pool takes no jobs; got key={job.key!r}.")
            if job.key in self._running or any(j.key == job.key for j in self._queue):
                raise UsageError(f"keys of unfinished jobs must be unique; got key={job.key!r} twice.")
            self._queue.append(job)
        self._wake()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Outcomes since the last call, in order of completion.

        Returns as soon as there is one, after `timeout` seconds, or at once when nothing is queued or running.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._done and (self._queue or self._running):
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    break
                # Short naps keep Ctrl-C responsive on every platform.
                self._changed.wait(0.5 if left is None else min(left, 0.5))
            found = list(self._done)
            self._done.clear()
            return found

    def cancel(self, key: str) -> bool:
        """Drop a queued job or kill a running one; it gives no outcome. False when the key is unknown or done."""
        with self._changed:
            for job in self._queue:
                if job.key == key:
                    self._queue.remove(job)
                    self._changed.notify_all()
                    return True
            entry = self._running.get(key)
            if entry is None:
                return False
            entry.cancelled = True
        self._wake()
        return True

    def close(self) -> None:
        """Kill what runs, drop what waits, and end the supervising thread. Closing twice is harmless."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            for entry in self._running.values():
                entry.cancelled = True
        self._wake()
        if threading.current_thread() is not self._supervisor:
            self._supervisor.join(timeout=10)
        atexit.unregister(self.close)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_w.send_bytes(b"x")

    def _supervise(self) -> None:
        while True:
            self._start_waiting()
            with self._changed:
                running = list(self._running.values())
                if self._closed and not running:
                    break
            sentinels = [entry.process.sentinel for entry in running]
            wait([self._wake_r, *sentinels], POLL_S if running else None)
            while self._wake_r.poll():
                self._wake_r.recv_bytes()
            for entry in running:
                self._look_after(entry)
        self._wake_w.close()
        self._wake_r.close()

    def _start_waiting(self) -> None:
        while True:
            with self._changed:
                if self._closed or not self._queue or len(self._running) >= self.workers:
                    return
                job = self._queue[0]
            try:
                entry = self._start(job)
            except (OSError, EOFError) as error:
                self._queue_pop(job)
                text = f"the process could not be started: {error}."
                self._finish(job.key, Outcome(key=job.key, state="crashed", error=text))
                continue
            with self._changed:
                self._running[job.key] = entry
                if job in self._queue:
                    self._queue.remove(job)
                else:
                    entry.cancelled = True

    def _queue_pop(self, job: Job) -> None:
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)

    def _log(self, key: str) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", key).lstrip(".") or "job"
        return os.devnull if self._logs is None else str(self._logs / f"{name[:120]}.log")

    def _start(self, job: Job) -> _Running:
        import psutil

        receive, send = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=child.main, name=f"rightfit {job.key}",
            args=(send, job.function, dict(job.payload), job.soft_s, self.threads, self._log(job.key)))
        launched = time.monotonic()
        with _start_lock, _without_main(), _thread_environment(self.threads):
            process.start()
        send.close()
        try:
            probe = psutil.Process(process.pid)
        except psutil.NoSuchProcess:
            probe = None
        entry = _Running(job=job, process=process, probe=probe, launched=launched)
        # A thread reads, so that a child that stalls in the middle of its result cannot stall the watchdog.
        entry.reader = threading.Thread(target=_receive, args=(receive, entry), daemon=True)
        entry.reader.start()
        return entry

    def _look_after(self, entry: _Running) -> None:
        now = time.monotonic()
        if not wait([entry.process.sentinel], 0):
            self._hold_to_limits(entry, now)
            return
        entry.process.join()
        assert entry.reader is not None
        entry.reader.join(timeout=1.0)
        code = entry.process.exitcode or 0
        if code and os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(entry.process.pid, signal.SIGKILL)
        entry.process.close()
        with self._changed:
            self._running.pop(entry.job.key, None)
        if entry.cancelled:
            with self._changed:
                self._changed.notify_all()
            return
        self._finish(entry.job.key, _verdict(entry, code, now - min(entry.started, now)))

    def _finish(self, key: str, outcome: Outcome) -> None:
        with self._changed:
            self._done.append(outcome)
            self._changed.notify_all()

    def _hold_to_limits(self, entry: _Running, now: float) -> None:
        import psutil

        job = entry.job
        if entry.verdict is None and not entry.cancelled:
            with contextlib.suppress(psutil.Error):
                if entry.probe is not None:
                    entry.peak_mib = max(entry.peak_mib, entry.probe.memory_info().rss / 2**20)
            if job.memory_mib is not None and entry.peak_mib > job.memory_mib:
                entry.verdict = "oom"
                entry.error = f"memory reached {entry.peak_mib:.0f} MiB, above the limit of {job.memory_mib:.0f} MiB."
            elif now - entry.launched > START_LIMIT_S and entry.started > now:
                entry.verdict = "crashed"
                entry.error = f"the process did not begin its job within {START_LIMIT_S:g} s of being launched."
            elif now - entry.started > job.hard_s + (0.0 if entry.message is None else LEAVE_S):
                entry.verdict = "timeout"
                entry.error = f"still running after its hard deadline of {job.hard_s:g} s."
        if entry.verdict == "oom" or entry.cancelled or (entry.terminated and now - entry.terminated > GRACE_S):
            if not entry.killed:
                entry.killed = True
                _signal_group(entry.process, kill=True)
        elif entry.verdict is not None and not entry.terminated:
            entry.terminated = now
            _signal_group(entry.process, kill=False)


def _receive(pipe: Connection, entry: _Running) -> None:
    # EOF and OSError mean that the process ended before its result was whole: its exit code tells the rest.
    with pipe, contextlib.suppress(EOFError, OSError):
        if pipe.recv_bytes(maxlength=64) == child.BEGUN:
            entry.started = time.monotonic()
        entry.message = json.loads(pipe.recv_bytes(maxlength=(RESULT_LIMIT_MIB + 1) * 2**20))


def _signal_group(process: Any, *, kill: bool) -> None:
    """Signal the process, and those that it started when they share its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix" and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
            return
    if kill:
        process.kill()
    else:
        process.terminate()


def _verdict(entry: _Running, code: int, seconds: float) -> Outcome:
    message, key = entry.message, entry.job.key
    if message is not None and entry.verdict != "oom":
        return Outcome(key=key, state=message["state"], result=message["result"], error=message["error"],
                       seconds=seconds, peak_mib=max(entry.peak_mib, message["peak_mib"]))
    state: State = entry.verdict or "crashed"
    error = entry.error
    if entry.verdict is None:
        error = _signal_text(-code) if code < 0 else f"left with exit code {code} before giving a result."
    return Outcome(key=key, state=state, error=error, seconds=seconds, peak_mib=entry.peak_mib)
