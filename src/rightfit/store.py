"""The run folder: one SQLite ledger of trials, blobs of arrays beside it, and a lock. Nothing acknowledged is lost.

    run/.rightfit.lock     held by the process that runs; the system drops it when that process ends, however it ends
    run/ledger.sqlite      meta, trials, events; write-ahead log, every commit synced
    run/blobs/<name>.npz   arrays, without pickle; written aside, synced, then renamed
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rightfit import cache
from rightfit.errors import DataError, UsageError
from rightfit.records import Candidate, Step, Trial, asdict

FORMAT = 2
LOCK = ".rightfit.lock"
LEDGER = "ledger.sqlite"
OUTPUTS = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal", "blobs", "logs", "stage", "package",
           "package.zip", "report.html", "decision.json", "model_card.md")
"""What rightfit writes into a run folder; `overwrite` deletes these, and files of `put_file`, and nothing else."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trials (key TEXT PRIMARY KEY, candidate TEXT NOT NULL, fold INTEGER NOT NULL,
    fidelity REAL NOT NULL, seed TEXT NOT NULL, state TEXT NOT NULL, scores TEXT NOT NULL, measured TEXT NOT NULL,
    learned TEXT NOT NULL, blob TEXT NOT NULL, blob_sha256 TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL,
    finished REAL NOT NULL, history TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY);
"""


def _json(value: Any) -> str:
    def plain(odd: Any) -> Any:
        if isinstance(odd, np.generic):
            return odd.item()
        raise UsageError(f"the ledger holds JSON values only; got type={type(odd).__name__}.")
    return json.dumps(asdict(value), default=plain)


def _text(text: str) -> str:
    """Text that SQLite takes: file names in messages may hold what is not Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is absent, old or whole: written aside, synced, renamed. Raises OSError."""
    aside = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays of numbers, booleans or fixed-width text as .npz, atomically. Raises UsageError for objects."""
    import io

    held = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in held.items():
        if values.dtype.hasobject:
            raise UsageError(f"blobs hold numbers, booleans or fixed-width text; got {name}.dtype={values.dtype}.")
    buffer = io.BytesIO()
    # savez takes `file` as its own argument, so arrays go in through the archive instead of as keywords.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in held.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a .npz file by name. Raises DataError when it is missing or damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"a stored blob must be whole; got path={str(path)!r}, {error}.") from error


@contextlib.contextmanager
def _one_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the run folder must be a writable folder with space left; got folder={str(folder)!r}: "
                         f"{text.lower().rstrip('.')}, free some space or choose another --out.") from error


def _lock(folder: Path) -> int:
    """Take the folder's lock and leave pid and machine in it for the next one's message. Raises UsageError."""
    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        holder = path.read_text(errors="replace").strip() or "another process"
        raise UsageError(f"one process at a time may use a run folder; got folder={str(folder)!r} held by {holder}, "
                         "wait for it or choose another --out.") from error
    os.ftruncate(handle, 0)
    os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode())
    return handle


class Store:
    """A run folder, open. Use `Store.open` to run or resume, `Store.read` to look without taking the lock.

    >>> import tempfile
    >>> with Store.open(tempfile.mkdtemp(), {"target": "y"}) as store:
    ...     store.record(Trial(candidate=Candidate(family="ridge"), fold=0, scores={"r2": 0.5}))
    ...     [t.scores["r2"] for t in store.trials()]
    [0.5]
    """

    def __init__(self, folder: Path, db: sqlite3.Connection, lock: int | None, *, resumed: bool) -> None:
        self.folder, self.resumed = folder, resumed
        self._db, self._held = db, lock
        self._guard = threading.RLock()

    @classmethod
    def open(cls, folder: Path | str, fingerprint: Mapping[str, Any], *, overwrite: bool = False) -> Store:
        """Start a run in an empty or new folder, or resume the run of the same fingerprint (JSON values).

        `overwrite` deletes an earlier run's files first, and only those. Raises UsageError: another fingerprint, a
        folder with files of somebody else, a run that is in use, no space, no right to write.
        """
        folder = Path(folder)
        with _one_sentence(folder):
            folder.mkdir(parents=True, exist_ok=True)
            strangers = [p.name for p in folder.iterdir() if p.name not in (LOCK, cache.FOLDER)]
            if strangers and not (folder / LOCK).exists():
                raise UsageError(f"a new run needs an empty folder; got folder={str(folder)!r} with {min(strangers)!r} "
                                 "in it, which is not a run of rightfit, choose another --out.")
            lock = _lock(folder)
            try:
                if overwrite:
                    _delete_run(folder)
                return cls._enter(folder, lock, json.loads(_json(dict(fingerprint))))
            except BaseException:
                os.close(lock)
                raise

    @classmethod
    def _enter(cls, folder: Path, lock: int, fingerprint: dict[str, Any]) -> Store:
        (folder / "blobs").mkdir(exist_ok=True)
        store = cls(folder, _connect(folder), lock, resumed=False)
        try:
            store._begin(fingerprint)
        except BaseException:
            store._db.close()
            raise
        return store

    @classmethod
    def read(cls, folder: Path | str) -> Store:
        """Look into a run folder without lock and without writing. Raises UsageError where there is no run."""
        folder = Path(folder)
        if not (folder / LEDGER).is_file():
            raise UsageError(f"a run folder holds {LEDGER}; got folder={str(folder)!r}, name the --out of a run.")
        with _one_sentence(folder):
            try:
                db = _connect_to_read(folder, "mode=ro")
            except sqlite3.OperationalError:
                # A folder without the right to write has no room for the log's index; nobody writes there either.
                db = _connect_to_read(folder, "immutable=1")
            return cls(folder, db, None, resumed=True)

    def _begin(self, fingerprint: dict[str, Any]) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise UsageError(f"the ledger must be of format {FORMAT}; got folder={str(self.folder)!r} with "
                             f"format={version}, choose another --out or --overwrite.")
        for statement in filter(str.strip, _TABLES.split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={FORMAT}")
        self._db.commit()
        before = self.meta("fingerprint")
        if before is None:
            self.set_meta("fingerprint", fingerprint)
            return
        for name in sorted({*before, *fingerprint}):
            old, new = before.get(name), fingerprint.get(name)
            if old != new:
                raise UsageError(f"a run is resumed with the same {name}; got {name}={_short(new)} but the run in "
                                 f"{str(self.folder)!r} has {_short(old)}, choose another --out or --overwrite.")
        self.resumed = True
        self.prune_leftovers()
        for key in self._unsound():
            with self._transaction() as db:
                db.execute("DELETE FROM trials WHERE key=?", (key,))
            self.event("damaged", f"the predictions of trial {key} are missing or damaged, it will run again")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger and give the folder back. Closing twice is harmless."""
        with self._guard:
            self._db.close()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard, _one_sentence(self.folder):
            try:
                yield self._db
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._guard, _one_sentence(self.folder):
            return self._db.execute(query, values).fetchall()

    def record(self, trial: Trial) -> None:
        """Write one trial; when this returns it survives a crash and a power cut. The same key is written over.

        Tuples in params and learned come back as lists. Raises UsageError when its blob is not stored or on no space.
        """
        digest = ""
        if trial.blob:
            path = self.blob_path(trial.blob)
            if not path.is_file():
                raise UsageError(f"a trial's blob must be stored before the trial; got blob={trial.blob!r}.")
            with _one_sentence(self.folder), open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        row = (_key(trial.candidate, trial.fold, trial.fidelity, trial.seed), _json(trial.candidate), trial.fold,
               trial.fidelity, str(trial.seed), trial.state, _json(trial.scores), _json(trial.measured),
               _json(trial.learned), trial.blob, digest, _text(trial.error), trial.seconds, time.time(),
               _json(trial.history))
        with self._transaction() as db:
            db.execute(f"INSERT OR REPLACE INTO trials VALUES ({','.join('?' * len(row))})", row)

    def trials(self) -> list[Trial]:
        """Every trial, in the order finished."""
        return [_trial(row) for row in self._rows(f"SELECT {_FIELDS} FROM trials ORDER BY finished, rowid")]

    def get(self, candidate: Candidate, fold: int, fidelity: float = 1.0, seed: int = 0) -> Trial | None:
        """One trial, or None when it was not done."""
        key = _key(candidate, fold, fidelity, seed)
        rows = self._rows(f"SELECT {_FIELDS} FROM trials WHERE key=?", (key,))
        return _trial(rows[0]) if rows else None

    def blob_path(self, name: str) -> Path:
        """Where a blob is or will be; a trial's process writes there with `write_arrays`. Raises UsageError."""
        if not name or not all(c.isalnum() or c in "._-" for c in name) or name.startswith("."):
            raise UsageError(f"a blob's name is made of letters, digits, dot, dash and underscore; got name={name!r}.")
        return self.folder / "blobs" / f"{name}.npz"

    def put_blob(self, name: str, **arrays: Any) -> str:
        """Store arrays under a name, whole or not at all; returns the name for `Trial.blob`."""
        with _one_sentence(self.folder):
            write_arrays(self.blob_path(name), **arrays)
        return name

    def blob(self, name: str) -> dict[str, Any]:
        """The arrays stored under a name. Raises DataError when it is missing or damaged."""
        return read_arrays(self.blob_path(name))

    def put_file(self, name: str, content: bytes) -> Path:
        """Write a file of the run, whole or not at all; `name` is relative to the folder, with / between parts."""
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute() or parts[0] in (LEDGER, LOCK):
            raise UsageError(f"a file's name must stay inside the run folder; got name={name!r}.")
        path = self.folder.joinpath(*parts)
        with self._transaction() as db:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
            db.execute("INSERT OR IGNORE INTO files VALUES (?)", (name,))
        return path

    def meta(self, name: str, default: Any = None) -> Any:
        """A JSON value kept with the run, or the default."""
        rows = self._rows("SELECT value FROM meta WHERE name=?", (name,))
        return json.loads(rows[0][0]) if rows else default

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value with the run."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, _json(value)))

    def event(self, kind: str, text: str) -> None:
        """Note that something happened, for the report and for people who look into the ledger."""
        with self._transaction() as db:
            db.execute("INSERT INTO events (at, kind, text) VALUES (?, ?, ?)", (time.time(), kind, _text(text)))

    def events(self) -> list[tuple[float, str, str]]:
        """What happened, in order: (epoch seconds, kind, text)."""
        return [(at, kind, text) for at, kind, text in self._rows("SELECT at, kind, text FROM events ORDER BY number")]

    def prune_leftovers(self) -> list[str]:
        """Delete the half-written files that a crash left; returns their names."""
        found = [p for folder in (self.folder, self.folder / "blobs") for p in folder.glob(".*.tmp-*") if p.is_file()]
        with _one_sentence(self.folder):
            for path in found:
                path.unlink(missing_ok=True)
        return sorted(p.name for p in found)

    def _unsound(self) -> list[str]:
        bad = []
        for key, name, digest in self._rows("SELECT key, blob, blob_sha256 FROM trials WHERE blob<>''"):
            path = self.blob_path(name)
            if path.is_file():
                with open(path, "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                        continue
            bad.append(key)
        return bad


_FIELDS = "candidate, fold, fidelity, seed, state, scores, measured, learned, blob, error, seconds, history"


def _connect(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / LEDGER, timeout=10, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        # FULL costs one fsync a trial, a few milliseconds against seconds of fitting, and survives a power cut.
        db.execute("PRAGMA synchronous=FULL")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise UsageError(f"the ledger must be a whole SQLite file; got {str(folder / LEDGER)!r}: {error}, "
                         "choose another --out or --overwrite.") from error
    return db


def _connect_to_read(folder: Path, how: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{(folder / LEDGER).resolve().as_uri()}?{how}", uri=True, check_same_thread=False)
    try:
        db.execute("SELECT count(*) FROM trials").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _delete_run(folder: Path) -> None:
    extra: list[str] = []
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(folder / LEDGER)) as db:
        extra = [name for (name,) in db.execute("SELECT name FROM files")]
    for name in (*extra, *OUTPUTS):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _key(candidate: Candidate, fold: int, fidelity: float, seed: int) -> str:
    return f"{candidate.key}/fold{fold}/fidelity{float(fidelity)!r}/seed{seed}"


def _trial(row: tuple[Any, ...]) -> Trial:
    candidate, fold, fidelity, seed, state, scores, measured, learned, blob, error, seconds, history = row
    content = json.loads(candidate)
    steps = tuple(Step(**step) for step in content["steps"])
    made = Candidate(family=content["family"], params=content["params"], steps=steps)
    return Trial(candidate=made, fold=fold, fidelity=fidelity, seed=int(seed), state=state, scores=json.loads(scores),
                 measured=json.loads(measured), learned=json.loads(learned), blob=blob, error=error, seconds=seconds,
                 history=tuple(json.loads(history)))
