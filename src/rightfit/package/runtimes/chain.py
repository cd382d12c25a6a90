"""The runtime of chains: what a first model says of a row joins the row, and a second one answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import PackageError
from rightfit.package import verify
from rightfit.package.runtimes import Runtime, Scorer

RUNTIMES = "rightfit.package.runtimes"
MOST = 10_000


class _Chain:
    """The last columns of what the first says, under these names; the others are told by them."""

    def __init__(self, first: Scorer, then: Scorer, names: Sequence[str]) -> None:
        self._first, self._then, self._names = first, then, tuple(names)

    def _said(self, scores: Any) -> Any:
        return np.asarray(scores, np.float64)[:, -len(self._names):]

    def frame(self, X: Any) -> Any:
        said = self._said(self._first.frame(X))
        return self._then.frame(X.assign(**dict(zip(self._names, said.T, strict=True))))

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        said = self._said(self._first.rows(records)).tolist()
        return self._then.rows([{**record, **dict(zip(self._names, row, strict=True))}
                                for record, row in zip(records, said, strict=True)])

    def row(self, record: Mapping[str, Any]) -> Any:
        said = self._said(self._first.row(record)).tolist()[0]
        return self._then.row({**record, **dict(zip(self._names, said, strict=True))})


def _parts(meta: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The two parts, each with a folder and a meta, and the names. Raises PackageError for anything else."""
    parts, names = [meta.get("first"), meta.get("then")], meta.get("names")
    whole = all(isinstance(p, Mapping) and isinstance(p.get("meta"), Mapping)
                and p["meta"].get("runtime") not in (None, SPEC.name) for p in parts)
    named = isinstance(names, list) and 0 < len(names) <= MOST and all(isinstance(name, str) for name in names)
    if not whole or not named:
        raise PackageError("a chain must state two parts, each with a runtime, and the names of what joins; got "
                           f"first={str(parts[0])[:40]}, then={str(parts[1])[:40]}, names={str(names)[:40]}.")
    return [part for part in parts if part is not None], list(names or [])


def load(folder: Path, meta: Mapping[str, Any]) -> _Chain:
    """The scorer of a verified folder. Raises PackageError, UnknownName for a runtime that does not exist."""
    parts, names = _parts(meta)
    first, then = (registry.plugin(RUNTIMES, str(part["meta"]["runtime"]), "runtime").load(
        folder / verify.canonical(part.get("folder")), part["meta"]) for part in parts)
    return _Chain(first, then, names)


def requires(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """What both parts' runtimes need."""
    found = {"numpy"}
    for part in _parts(meta)[0]:
        found.update(registry.plugin(RUNTIMES, str(part["meta"]["runtime"]), "runtime").requires(part["meta"]))
    return tuple(sorted(found))


SPEC = Runtime(name="chain", load=load, requires=requires)
