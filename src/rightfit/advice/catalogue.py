"""The catalogue: every family's facts as one record, those that can be trained and those still to come."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rightfit import registry
from rightfit.advice import _files
from rightfit.errors import UnknownName
from rightfit.records import Family, frozen

RECENT = 2017
"""A family of this year or later is recent: that of the transformer (Vaswani et al. 2017)."""
PERMISSIVE = ("Apache-2.0", "BSD", "MIT", "ISC", "PSF")
KEPT = ("latency_p50_ms", "latency_p95_ms", "memory_mib", "size_mib", "throughput_per_s")
"""What is kept of a measurement."""
REMEMBERED = 5
"""So many measurements of a family are kept."""
SORTS = ("rank", "name", "year", "modality", "framework", "licence")
# The distribution whose metadata tell how alive a framework is.
LIBRARIES = {"scikit-learn": "scikit-learn", "keras": "keras", "tensorflow": "tensorflow", "torch": "torch",
             "timm": "timm", "transformers": "transformers", "torchvision": "torchvision"}


@frozen
class Card:
    """What is known of one family. `family` is its SPEC, None where the implementation is still to come.

    `figures`: latency_ms, size_mib, ... as facts/figures.toml explains; empty where nobody has told any.
    """

    name: str
    modality: str
    problems: tuple[str, ...]
    year: int
    paper: str
    licence: str
    framework: str
    good_at: str
    bad_at: str
    pretrained: str
    tags: tuple[str, ...]
    rank: float
    requires: tuple[str, ...] = ()
    figures: Mapping[str, Any]
    planned: bool = False
    baseline: bool = False
    scheme: str = ""
    kinds: frozenset[str] = frozenset()
    family: Family | None = None

    def spoken(self, field: str, language: str = "en") -> str:
        """`good_at` or `bad_at` in a language; in English where nobody has said it in that one."""
        name = f"spoken_{language}"
        told = _files.read("facts", name)["family"].get(self.name, {}) if name in _files.names("facts") else {}
        return str(told.get(field) or getattr(self, field))

    @property
    def recent(self) -> bool:
        """Whether it is of the years since the transformer, else it is a classic."""
        return self.year >= RECENT

    @property
    def commercial(self) -> bool:
        """Whether the licence lets closed products be built on it; that of weights is another matter."""
        return self.licence.startswith(PERMISSIVE)

    @property
    def installed(self) -> bool:
        """Whether everything it needs can be imported."""
        return not self.planned and all(importlib.util.find_spec(name) for name in self.requires)


def tags(family: Family) -> tuple[str, ...]:
    """What rules call a family by: the tags of facts/figures.toml, its framework, its age, what it handles."""
    told = _files.read("facts", "figures")["family"].get(family.name, {})
    own = [*told.get("tags", ()), *family.facts.framework.lower().split("/"),
           "recent" if family.facts.year >= RECENT else "classic", *(f"handles:{one}" for one in family.handles)]
    return tuple(sorted(set(own)))


def card(family: Family) -> Card:
    """The card of a SPEC."""
    facts, told = family.facts, _files.read("facts", "figures")["family"].get(family.name, {})
    return Card(name=family.name, modality=family.modality, problems=family.problems, year=facts.year,
                paper=facts.paper, licence=facts.licence, framework=facts.framework, good_at=facts.good_at,
                bad_at=facts.bad_at, pretrained=facts.pretrained, tags=tags(family), rank=family.rank,
                requires=family.requires, figures={k: v for k, v in told.items() if k != "tags"},
                baseline=family.baseline, scheme=family.scheme, kinds=family.kinds,
                family=family)


@cache
def planned() -> tuple[Card, ...]:
    """The families of facts/planned.toml."""
    found = []
    for raw in _files.read("facts", "planned")["family"]:
        age = "recent" if raw["year"] >= RECENT else "classic"
        own = {*raw["tags"], *raw["framework"].lower().split("/"), age}
        figures = {k: v for k, v in raw.items() if k.endswith(("_ms", "_mib", "_s")) or k in (
            "grows", "at", "power", "factor")}
        found.append(Card(name=raw["name"], modality=raw["modality"], problems=tuple(raw["problems"]),
                          year=raw["year"], paper=raw["paper"], licence=raw["licence"], framework=raw["framework"],
                          good_at=raw["good_at"], bad_at=raw["bad_at"], pretrained=raw.get("pretrained", ""),
                          tags=tuple(sorted(own)), rank=raw["rank"], figures={**figures, "source": "prior"},
                          planned=True))
    return tuple(found)


def known(modality: str | None = None) -> dict[str, Card]:
    """Every family by name; with a modality, only those, and only their files are loaded.

    A family that has been written takes the place of the entry that announced it.

    >>> "catboost" in known("tabular")
    True
    """
    families = _families(modality)
    found = {c.name: c for c in planned() if modality in (None, c.modality)}
    found |= {name: card(family) for name, family in families.items() if modality in (None, family.modality)}
    return found


def _families(modality: str | None) -> dict[str, Family]:
    # The folders of models/ are the modalities; entry points of others may add to any.
    folder = f"rightfit.models.{modality}"
    if modality is None or importlib.metadata.entry_points(group="rightfit.models"):
        return registry.plugins("rightfit.models")
    return registry.plugins(folder) if importlib.util.find_spec(folder) else {}


def find(name: str) -> Card:
    """One family by name. Raises UnknownName with the closest match."""
    cards = known()
    if name not in cards:
        raise UnknownName("family", name, cards)
    return cards[name]


def chosen(cards: Iterable[Card], *, modality: str | None = None, problem: str | None = None,
           commercial: bool = False, framework: str | None = None, recent: bool | None = None) -> list[Card]:
    """The cards that meet every filter given. Raises UnknownName for a modality, problem or framework of none."""
    cards = list(cards)
    for what, value, names in (("modality", modality, {c.modality for c in cards}),
                               ("problem", problem, {p for c in cards for p in c.problems}),
                               ("framework", framework, {f for c in cards for f in c.framework.lower().split("/")})):
        if value is not None and value not in names:
            raise UnknownName(what, value, names)
    return [c for c in cards if modality in (None, c.modality) and (problem is None or problem in c.problems)
            and (not commercial or c.commercial) and recent in (None, c.recent)
            and (framework is None or framework in c.framework.lower().split("/"))]


def ordered(cards: Iterable[Card], by: str = "rank") -> list[Card]:
    """Sorted by one of SORTS; rank is within a modality. Raises UnknownName."""
    if by not in SORTS:
        raise UnknownName("sort", by, SORTS)
    if by == "rank":
        return sorted(cards, key=lambda c: (c.modality, c.planned, c.rank, c.name))
    return sorted(cards, key=lambda c: (getattr(c, by), c.name))


def libraries(card: Card) -> list[dict[str, str]]:
    """How alive the libraries of a family are, from their own metadata: name, version, licence, released.

    `released` is the date of the newest file of the installed distribution, which is when it was packed or installed.
    """
    names = {LIBRARIES.get(part, part) for part in card.framework.lower().split("/")} | {
        {"sklearn": "scikit-learn"}.get(name, name) for name in card.requires}
    return [_library(name) for name in sorted(names)]


def _library(name: str) -> dict[str, str]:
    from datetime import UTC, datetime

    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return {"name": name, "version": "", "licence": "", "installed": ""}
    data = found.metadata
    said = [*(data.get_all("License-Expression") or ()),
            *(c.rpartition(" :: ")[2] for c in data.get_all("Classifier") or () if c.startswith("License :: OSI")),
            *(one.strip().splitlines()[0][:60] for one in data.get_all("License") or () if one.strip())]
    licence = next(iter(said), "")
    record = Path(str(found.locate_file(""))) / f"{data['Name'].replace('-', '_')}-{found.version}.dist-info"
    when = record.stat().st_mtime if record.exists() else None
    date = datetime.fromtimestamp(when, tz=UTC).date().isoformat() if when else ""
    return {"name": name, "version": found.version, "licence": licence, "installed": date}


def measured_file() -> Path:
    """Where measurements of this machine are kept: measured.jsonl in the cache folder of the user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rightfit" / "measured.jsonl"


def measured(name: str, path: Path | None = None) -> list[dict[str, Any]]:
    """What was measured of a family on this machine: JSON lines with `family` and figures; lines of others are left.

    A line that is no JSON object is skipped: a killed process may have left half of one.
    """
    path = measured_file() if path is None else path
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            one = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(one, dict) and one.get("family") == name:
            found.append(one)
    return found


def remember(name: str, figures: Mapping[str, float], path: Path | None = None) -> None:
    """Keep what was measured of a family on this machine, the newest REMEMBERED times; a home that cannot be written
    costs nothing else.
    """
    from datetime import UTC, datetime

    path = measured_file() if path is None else path
    line = {"family": name, "date": datetime.now(UTC).date().isoformat(),
            **{key: float(f"{value:.4g}") for key, value in figures.items()}}
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        mine = [at for at, old in enumerate(lines) if f'"family": "{name}"' in old]
        gone = set(mine[:max(len(mine) - REMEMBERED + 1, 0)])
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join([*(old for at, old in enumerate(lines) if at not in gone), json.dumps(line)]) + "\n",
                        encoding="utf-8")
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
