"""The request log: what was asked and what was answered, in SQLite files that rotate, written beside the serving.

    FOLDER/requests-<UTC time>-<process>-<number>.sqlite   one file per process and turn, write-ahead log

A full disk or a full queue loses entries, never a request; `lost` counts them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rightfit.errors import DataError, UsageError
from rightfit.records import frozen

PATTERN = "requests-*.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS requests (number INTEGER PRIMARY KEY, request_id TEXT NOT NULL, row INTEGER NOT NULL,
    timestamp REAL NOT NULL, version TEXT NOT NULL, input TEXT NOT NULL, prediction TEXT NOT NULL,
    probabilities TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_time ON requests (timestamp);
"""
_STOP = None


@frozen
class Entry:
    """One answered record. `timestamp` in seconds since 1970 UTC; `row` is its place in the request."""

    request_id: str
    row: int
    timestamp: float
    version: str
    input: Mapping[str, Any]
    prediction: Any
    probabilities: Mapping[str, float]


@frozen
class Rotation:
    """When a file ends and how many are kept: bytes of one file, files of the folder, entries of the queue."""

    max_bytes: int = 256 * 2**20
    max_files: int = 20
    queue: int = 20_000


def _plain(value: Any) -> Any:
    """A raw value as JSON; media stay out of the log, their content's hash tells repeated ones."""
    if isinstance(value, bytes | bytearray):
        return "sha256:" + hashlib.sha256(value).hexdigest()
    if isinstance(value, str) and value.startswith("data:"):
        return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)[:1000]


class Log:
    """Takes entries without waiting and writes them from a thread of its own. Raises UsageError for the folder.

    `columns`: inputs that are kept; whatever else a request holds is not written. `sample`: share of requests.
    `told(n)` is called with every number of entries that were lost.
    """

    def __init__(self, folder: str | Path, columns: Sequence[str], *, sample: float = 1.0,
                 rotation: Rotation | None = None, told: Callable[[int], None] = lambda lost: None) -> None:
        self.folder, self._columns, self._sample = Path(folder), tuple(columns), sample
        self._rotation, self._told = rotation or Rotation(), told
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the log must be a folder that can be made; got log={str(folder)!r} and "
                             f"{error.strerror!r}.") from None
        self.lost = self.written = 0
        self._entries: queue.Queue[list[Entry] | None] = queue.Queue(self._rotation.queue)
        self._random = random.Random()
        self._file: sqlite3.Connection | None = None
        self._path: Path | None = None
        self._turn = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="rightfit-log", daemon=True)
        self._thread.start()

    def put(self, entries: list[Entry]) -> None:
        """Log the records of one request, unless the sample leaves it out or the queue is full."""
        if self._sample < 1 and self._random.random() >= self._sample:
            return
        try:
            self._entries.put_nowait(entries)
        except queue.Full:
            self._lose(len(entries))

    def _lose(self, count: int) -> None:
        with self._lock:
            self.lost += count
        self._told(count)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[Entry] = []
            first = self._entries.get()
            stopping = first is _STOP
            batch += first or []
            while not stopping and len(batch) < 1000:
                try:
                    more = self._entries.get_nowait()
                except queue.Empty:
                    break
                stopping = more is _STOP
                batch += more or []
            if batch:
                self._write(batch)
        self._close()

    def _write(self, batch: list[Entry]) -> None:
        rows = [self._row(entry) for entry in batch]
        try:
            file = self._open()
            with file:
                file.executemany("INSERT INTO requests (request_id, row, timestamp, version, input, prediction, "
                                 "probabilities) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self.written += len(rows)
            self._rotate()
        except (sqlite3.Error, OSError):  # a full disk, a folder that is gone: serving goes on, the loss is counted
            self._lose(len(rows))
            self._close()

    def _row(self, entry: Entry) -> tuple[Any, ...]:
        given = {name: _plain(entry.input[name]) for name in self._columns if name in entry.input}
        texts = (json.dumps(v, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
                 for v in (given, entry.prediction, dict(entry.probabilities)))
        return (entry.request_id, entry.row, entry.timestamp, entry.version, *texts)

    def _open(self) -> sqlite3.Connection:
        if self._path is not None and not self._path.exists():  # another process tidied up, or somebody else
            self._close()
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            self._path = self.folder / f"requests-{moment}-{os.getpid()}-{self._turn}.sqlite"
            self._turn += 1
            self._file = connect(self._path)
        return self._file

    def _rotate(self) -> None:
        if self._path is None or self._path.stat().st_size + _size(_wal(self._path)) < self._rotation.max_bytes:
            return
        self._close()
        files = sorted(self.folder.glob(PATTERN))
        for old in files[:max(0, len(files) - self._rotation.max_files)]:
            for part in (old, _wal(old), old.with_name(old.name + "-shm")):
                part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):  # a full disk: what is in the write-ahead log stays readable
                self._file.close()
            self._file = self._path = None

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, then stop; what is not written within `timeout` seconds is counted as lost."""
        if not self._thread.is_alive():
            return
        end = time.monotonic() + timeout
        with contextlib.suppress(queue.Full):
            self._entries.put(_STOP, timeout=timeout)
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive():
            self._lose(self._entries.qsize())


def connect(path: Path) -> sqlite3.Connection:
    """A log file, open for writing from the thread that asks."""
    file = sqlite3.connect(path, timeout=5.0)
    try:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=NORMAL")
        file.executescript(_TABLE)
    except sqlite3.Error:
        file.close()
        raise
    return file


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _seconds(since: float | str | datetime | None) -> float:
    if since is None or isinstance(since, int | float):
        return float(since or 0)
    try:
        moment = datetime.fromisoformat(since) if isinstance(since, str) else since
    except ValueError:
        raise UsageError(f"since must be seconds since 1970 or an ISO time; got since={since!r}.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def read(folder: str | Path, since: float | str | datetime | None = None) -> Any:
    """The log as a DataFrame, oldest first: input columns, prediction, probability_<class>, request_id, row, version,
    timestamp (UTC).

    `since`: seconds since 1970, an ISO time or a datetime (without a zone: UTC). An input column named like one of
    the log's own gets the prefix `input_`. Raises DataError where there is no log.
    """
    import pandas as pd

    home = Path(folder)
    files = sorted(home.glob(PATTERN))
    if not home.is_dir() or not files:
        raise DataError(f"a request log must be a folder with {PATTERN}; got folder={str(home)!r} without one, "
                        "start the server with --log.")
    rows: list[tuple[Any, ...]] = []
    for path in files:
        rows += _read(path, _seconds(since))
    rows.sort(key=lambda row: row[2])
    own = {"request_id", "row", "timestamp", "version", "prediction"}
    found = []
    for request_id, row, timestamp, version, given, prediction, probabilities in rows:
        record = {(f"input_{name}" if name in own else name): value for name, value in json.loads(given).items()}
        label = json.loads(prediction)
        record["prediction"] = ";".join(map(str, label)) if isinstance(label, list) else label
        record |= {f"probability_{name}": p for name, p in json.loads(probabilities).items()}
        found.append(record | {"request_id": request_id, "row": row, "version": version, "timestamp": timestamp})
    frame = pd.DataFrame(found) if found else pd.DataFrame(columns=sorted(own))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"].astype("float64"), unit="s", utc=True)
    return frame


def _read(path: Path, since: float) -> list[tuple[Any, ...]]:
    # Opened for reading and writing: a log that a killed process left needs its write-ahead log folded in.
    file = sqlite3.connect(path, timeout=5.0)
    try:
        return file.execute("SELECT request_id, row, timestamp, version, input, prediction, probabilities "
                            "FROM requests WHERE timestamp >= ? ORDER BY number", (since,)).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # the disk was full when it was made
            return []
        raise DataError(f"a log file must be readable; got path={str(path)!r} and {str(error)!r}.") from None
    except sqlite3.DatabaseError as error:
        raise DataError(f"a log file must be SQLite; got path={str(path)!r} and {str(error)!r}.") from None
    finally:
        file.close()
