"""The records between a source and its rows, and the choice of the modality that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from rightfit.errors import DataError
from rightfit.records import Dataset, Finding, Need, Schema, Task, frozen
from rightfit.registry import plugin, plugins


@frozen
class Table:
    """What a modality read: raw rows with the target, their schema, and what was noticed on the way.

    `frame`: pandas DataFrame of raw values, one row per example. `origin`: format, path, encoding, separator, header
    and whatever else the reader decided, so that it can be shown. `need`: the need as it reads on these rows, where
    the modality made rows of its own; None where it reads as it was asked. `held`: raw rows that the source itself
    sets aside for testing. `origin["paths"]`: names of the rows where they are files.
    """

    frame: Any
    schema: Schema
    findings: tuple[Finding, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    need: Need | None = None
    held: Any = None


@frozen
class Modality:
    """A modality's SPEC: `claims(source, need) -> bool` and `read(source, need) -> Table`.

    Of several that claim one source, the lowest `rank` reads it: the special before the general. `portable(records)`
    makes raw records self-contained, so that a package can hold them; it holds at most `samples`. `example(problem,
    n, seed, noise) -> (Dataset, Task)`: an easy problem for the conformance suite; `hard() -> {name: frame}`: rows
    that every model of the modality must survive. `preload`: modules that its trials need, imported once beforehand;
    `preload_long`: what only some need, and what takes so long to import that a short run goes without.
    """

    name: str
    claims: Callable[[Any, Need], bool]
    read: Callable[[Any, Need], Table]
    rank: int = 50
    portable: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list
    samples: int = 64
    preload: tuple[str, ...] = ()
    preload_long: tuple[str, ...] = ()
    example: Callable[..., tuple[Dataset, Task]] | None = None
    hard: Callable[[], Mapping[str, Any]] | None = None


@frozen
class Reader:
    """A reader's SPEC: `accepts(source) -> bool` and `read(source, need) -> (frame, origin)`, frame holding raw values.

    A `last_resort` reader is asked only when no other accepts. `origin` may hold `kinds`: {column: kind}, declared by
    the file itself.
    """

    name: str
    accepts: Callable[[Any], bool]
    read: Callable[[Any, Need], tuple[Any, dict[str, Any]]]
    last_resort: bool = False


def shown(source: Any) -> str:
    """A source in a message: its path or URL without user and password, or its type when it is held in memory.

    >>> shown("sqlite:///a.db"), shown("postgresql://me:secret@host/db::t"), shown({"x": [1]})
    ("'sqlite:///a.db'", "'postgresql://***@host/db::t'", 'dict')
    """
    import re
    from pathlib import Path

    return repr(re.sub(r"//[^/]*@", "//***@", str(source))) if isinstance(source, str | Path) else type(source).__name__


def pick(source: Any, need: Need) -> Modality:
    """The modality that reads this source; `need.modality` overrules. Raises UnknownName, DataError."""
    if need.modality is not None:
        chosen: Modality = plugin("rightfit.data.modalities", need.modality, "modality")
        return chosen
    specs: list[Modality] = list(plugins("rightfit.data.modalities").values())
    known = sorted(specs, key=lambda spec: (spec.rank, spec.name))
    for spec in known:
        if spec.claims(source, need):
            return spec
    raise DataError(f"the data must be something that a modality reads ({', '.join(s.name for s in known)}); "
                    f"got source={shown(source)}, give a file, a database URL or a frame, or name the modality.")
