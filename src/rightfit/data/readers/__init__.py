"""Readers: one file each, one SPEC `rightfit.data.table.Reader` each; `read` finds the one for a source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rightfit.data.readers._files import is_path, locate
from rightfit.data.table import Reader, shown
from rightfit.errors import DataError
from rightfit.records import Need
from rightfit.registry import plugins


def find(source: Any) -> Reader | None:
    """The reader that accepts a source, or None."""
    accepting: list[Reader] = [r for r in plugins("rightfit.data.readers").values() if r.accepts(source)]
    return min(accepting, key=lambda reader: reader.last_resort, default=None)


def read(source: Any, need: Need | None = None) -> tuple[Any, dict[str, Any]]:
    """The raw rows of a source, and how they were read: (pandas DataFrame, origin).

    Column names are texts without outer blanks; without a header they are "0", "1", ... by position, and a nameless one
    is "Unnamed: <position>". Cells of text files stay text, so that missing markers can be found and named.
    `need.options` may fix what is otherwise detected: encoding, separator, header (True or False), sheet.
    Raises DataError for what cannot be read, UsageError for a URL or an option that cannot be used.
    """
    held = _looked.pop("last", None)
    if held is not None and held[0] == _state(source, need or Need()):
        return held[1], held[2]
    reader = find(source)
    if reader is None:
        if is_path(source):
            locate(source)
        raise DataError(f"the data must be a file, a database URL or a frame; got source={shown(source)}.")
    frame, origin = reader.read(source, need or Need())
    frame.columns = names(list(frame.columns))
    if not len(frame):
        raise DataError(f"the data must hold at least one row; got rows=0 and {frame.shape[1]} columns in "
                        f"{shown(source)}.")
    return frame.reset_index(drop=True), {"format": reader.name, **origin}


_looked: dict[str, tuple[tuple[Any, ...], Any, dict[str, Any]]] = {}


def look(source: Any, need: Need) -> Any:
    """The raw rows, as `read` gives them, to decide who is to read them; the next `read` of the same does not read
    again. Rows of frames in memory are not kept. Raises as `read`.
    """
    _looked.clear()
    frame, origin = read(source, need)
    if isinstance(source, str | Path):
        _looked["last"] = _state(source, need), frame, dict(origin)
    return frame


def _state(source: Any, need: Need) -> tuple[Any, ...]:
    path = Path(source).expanduser() if isinstance(source, str | Path) and "://" not in str(source) else None
    seen = path.stat() if path is not None and path.is_file() else None
    return (str(source) if isinstance(source, str | Path) else None, seen and seen.st_mtime_ns, seen and seen.st_size,
            repr(sorted(need.options.items(), key=lambda pair: pair[0])))


def names(given: list[Any]) -> list[str]:
    """Column names as stripped texts; raises DataError when two are equal.

    >>> names([" a ", "", 3])
    ['a', 'Unnamed: 1', '3']
    """
    found = [str(name).strip() if name is not None else "" for name in given]
    found = [name or f"Unnamed: {position}" for position, name in enumerate(found)]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise DataError(f"column names must differ from each other; got name={twice[0]!r} {found.count(twice[0])} "
                        f"times, "
                        "rename or remove the others.")
    return found
