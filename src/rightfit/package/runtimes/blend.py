"""The runtime of blends: each member's own runtime in a folder of its own, and the weighted mean of what they say."""

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
MOST = 64


class _Blend:
    def __init__(self, scorers: list[Scorer], weights: list[float]) -> None:
        self._parts = list(zip(weights, scorers, strict=True))

    def frame(self, X: Any) -> Any:
        return sum(weight * np.asarray(scorer.frame(X), np.float64) for weight, scorer in self._parts)

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return sum(weight * np.asarray(scorer.rows(records), np.float64) for weight, scorer in self._parts)

    def row(self, record: Mapping[str, Any]) -> Any:
        return sum(weight * scorer.row(record) for weight, scorer in self._parts)


def _members(meta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The members that a meta names. Raises PackageError for anything that is no list of them, or blends of blends."""
    members = meta.get("members")
    whole = isinstance(members, list) and 0 < len(members) <= MOST and all(
        isinstance(m, Mapping) and isinstance(m.get("meta"), Mapping) and isinstance(m.get("weight"), int | float)
        and m["meta"].get("runtime") not in (None, SPEC.name) for m in members)
    if not whole:
        raise PackageError(f"a blend must list its members, each with a weight and a runtime; got "
                           f"members={str(members)[:80]}.")
    return list(members or [])


def load(folder: Path, meta: Mapping[str, Any]) -> _Blend:
    """The scorer of a verified folder. Raises PackageError, UnknownName for a runtime that does not exist."""
    members = _members(meta)
    homes = [folder / verify.canonical(member.get("folder")) for member in members]
    scorers = [registry.plugin(RUNTIMES, str(m["meta"]["runtime"]), "runtime").load(home, m["meta"])
               for m, home in zip(members, homes, strict=True)]
    return _Blend(scorers, [float(member["weight"]) for member in members])


def requires(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """What the members' runtimes need."""
    found = {"numpy"}
    for member in _members(meta):
        inner = member["meta"]
        found.update(registry.plugin(RUNTIMES, str(inner["runtime"]), "runtime").requires(inner))
    return tuple(sorted(found))


SPEC = Runtime(name="blend", load=load, requires=requires)
