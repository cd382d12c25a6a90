"""What is dear to compute once for each row: decoded pixels, embeddings. Kept in a folder, shared between processes.

    with at(run / "cache"):
        table = rows("pixels-64", keys, compute)
        table.take([2, 0])

Rows are keyed by their content, so the same picture in two folds, trials or files is computed once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

_place: ContextVar[Path | None] = ContextVar("rightfit_cache", default=None)
FOLDER = ".rightfit-cache"
"""Its name in a run folder; it goes when the run is finished."""
SHARD_BYTES = 64 * 2**20
_computing = [0.0]
Compute = Callable[[Sequence[int]], Any]


@contextlib.contextmanager
def at(folder: str | Path | None) -> Iterator[None]:
    """Within it, `rows` keeps what it computes in this folder; None keeps it in memory only."""
    token = _place.set(None if folder is None else Path(folder))
    try:
        yield
    finally:
        _place.reset(token)


def place() -> Path | None:
    """The folder in use, or None."""
    return _place.get()


def computing_s() -> float:
    """Seconds that this process has spent on rows that nobody needs to compute again."""
    return _computing[0]


class Table:
    """Rows of one shape and dtype, (n, ...), read from shards on disk or from memory as they are asked for."""

    def __init__(self, shards: Sequence[Any], shard: Any, offset: Any) -> None:
        self._shards, self._shard, self._offset = shards, np.asarray(shard), np.asarray(offset)

    def __len__(self) -> int:
        return len(self._shard)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)."""
        return (len(self), *(self._shards[0].shape[1:] if self._shards else ()))

    def take(self, positions: Any) -> Any:
        """A new array with the rows at these positions (m,), in that order.

        >>> Table([np.arange(6).reshape(3, 2)], [0, 0, 0], [0, 1, 2]).take([2, 0]).tolist()
        [[4, 5], [0, 1]]
        """
        positions = np.asarray(positions, dtype=np.int64)
        if not self._shards:
            return np.empty((0,))
        shard, offset = self._shard[positions], self._offset[positions]
        out = np.empty((len(positions), *self._shards[0].shape[1:]), dtype=self._shards[0].dtype)
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            out[here] = self._shards[number][offset[here]]
        return out


def _named(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:20]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time computes a table; the others wait and find it done."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _write(folder: Path, keys: Sequence[str], values: Any) -> None:
    """A shard: the rows, then their keys; the keys go last, so that half a shard is never read."""
    stem = secrets.token_hex(6)
    np.save(folder / f".{stem}.npy", values, allow_pickle=False)
    (folder / f".{stem}.npy").rename(folder / f"{stem}.npy")
    (folder / f".{stem}.keys").write_text("\n".join(keys), encoding="utf-8")
    (folder / f".{stem}.keys").rename(folder / f"{stem}.keys")


def _read(folder: Path) -> tuple[list[Any], dict[str, tuple[int, int]]]:
    shards: list[Any] = []
    known: dict[str, tuple[int, int]] = {}
    for path in sorted(folder.glob("[!.]*.keys")):
        keys = path.read_text(encoding="utf-8").split("\n")
        known.update((key, (len(shards), row)) for row, key in enumerate(keys))
        shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False))
    return shards, known


def _parts(missing: Sequence[int], compute: Compute, most: int) -> Iterator[tuple[Sequence[int], Any]]:
    """Computed pieces of at most SHARD_BYTES, after a first piece that tells how large a row is."""
    at, size = 0, min(64, most)
    while at < len(missing):
        some = missing[at:at + size]
        begun = time.monotonic()
        values = np.asarray(compute(some))
        _computing[0] += time.monotonic() - begun
        yield some, values
        at += len(some)
        size = max(1, min(most, int(SHARD_BYTES // max(values[:1].nbytes, 1))))


def rows(name: str, keys: Sequence[str], compute: Compute, *, most: int = 4096) -> Table:
    """The table of one row for each key: those known are read, the others computed by compute(positions) -> (m, ...).

    name: what is computed, with everything that it depends on. keys: the content of each row, as text without line
    breaks. most: rows computed at a time. A compute that raises leaves what was done before it in place.
    """
    folder = place()
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    if folder is None:
        parts: list[Any] = []
        found: dict[str, tuple[int, int]] = {}
        for some, values in _parts(list(first.values()), compute, most):
            found.update((keys[p], (len(parts), row)) for row, p in enumerate(some))
            parts.append(values)
        return _table(parts, found, keys)
    folder = folder / _named(name)
    folder.mkdir(parents=True, exist_ok=True)
    shards, known = _read(folder)
    if any(key not in known for key in first):
        with _locked(folder / "lock"):
            known = _read(folder)[1]
            missing = [position for key, position in first.items() if key not in known]
            for some, values in _parts(missing, compute, most):
                _write(folder, [keys[p] for p in some], values)
        shards, known = _read(folder)
    return _table(shards, known, keys)


def _table(shards: Sequence[Any], known: dict[str, tuple[int, int]], keys: Sequence[str]) -> Table:
    where = np.array([known[key] for key in keys], dtype=np.int64).reshape(-1, 2)
    return Table(shards, where[:, 0], where[:, 1])


def known(name: str, keys: Sequence[str]) -> Any:
    """Which of these rows are kept, bool (n,): what `rows` would not have to compute.

    >>> known("pixels-64", ["a"]).tolist()
    [False]
    """
    folder = place()
    if folder is None or not (folder / _named(name)).is_dir():
        return np.zeros(len(keys), dtype=bool)
    found = _read(folder / _named(name))[1]
    return np.array([key in found for key in keys], dtype=bool)
