"""Prices, exchange rates and grid carbon: dated tables of CSV, read, checked, replaced; the user's own win.

    prices   what a machine costs by the hour, one row for each provider, region and type
    rates    what one unit of a currency is worth in USD
    carbon   grams of CO2 equivalent for a kWh, by provider and region

A table is looked for in the folder $RIGHTFIT_PRICES (or that very file, for prices), in the user's data folder
($XDG_DATA_HOME or ~/.local/share, then rightfit), and last among those that came with the package.
"""

from __future__ import annotations

import csv
import functools
import math
import os
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from rightfit.errors import UnknownName, UsageError
from rightfit.records import frozen

STALE_DAYS = 180
HOME = "rightfit.resources.prices"
R = TypeVar("R")


@frozen
class Price:
    """A machine for rent: USD or another currency by the hour. `vcpu_is` thread or core; `spot_per_hour` may be None.

    vcpu, mem_gib > 0. gpu is a name or empty. asof, spot_asof: ISO dates. mem_gib 0 where the source does not tell.
    """

    provider: str
    region: str
    instance_type: str
    vcpu: float
    vcpu_is: str
    architecture: str
    mem_gib: float
    gpu: str
    gpu_count: float
    gpu_mem_gib: float
    currency: str
    on_demand_per_hour: float
    spot_per_hour: float | None
    asof: str
    spot_asof: str
    source: str
    licence: str


@frozen
class Rate:
    """What one unit of a currency is worth in USD, above zero."""

    currency: str
    usd: float
    asof: str
    source: str


@frozen
class Carbon:
    """Grid carbon of a region in g CO2 equivalent for a kWh; asof a year or an ISO date."""

    provider: str
    region: str
    gco2e_per_kwh: float
    asof: str
    source: str
    licence: str


KINDS: Mapping[str, type[Any]] = {"prices": Price, "rates": Rate, "carbon": Carbon}
COLUMNS = {name: tuple(kind.__dataclass_fields__) for name, kind in KINDS.items()}
MUST = {"prices": ("vcpu", "on_demand_per_hour"), "rates": ("usd",), "carbon": ("gco2e_per_kwh",)}
NUMBERS = {"vcpu", "mem_gib", "gpu_count", "gpu_mem_gib", "on_demand_per_hour", "spot_per_hour", "usd", "gco2e_per_kwh"}
TEXTS = ("provider", "region", "instance_type", "currency", "asof", "source", "licence")
CHOICES = {"vcpu_is": ("core", "thread"), "architecture": ("arm", "x86")}


def own_folder() -> Path:
    """Where the user's tables lie: $RIGHTFIT_PRICES where that is no file, else the data folder of XDG."""
    asked = os.environ.get("RIGHTFIT_PRICES")
    if asked:
        return Path(asked).parent if Path(asked).suffix == ".csv" else Path(asked)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "share") / "rightfit"


def place(kind: str) -> Path:
    """The file of a table that counts now."""
    asked = os.environ.get("RIGHTFIT_PRICES")
    if asked and kind == "prices" and Path(asked).suffix == ".csv":
        return Path(asked)
    own = own_folder() / f"{kind}.csv"
    return own if own.is_file() else Path(str(resources.files(HOME) / f"{kind}.csv"))


def _number(row: Mapping[str, str], name: str, where: str, must: Sequence[str]) -> float | None:
    text = (row[name] or "").strip()
    if not text and name not in must:
        return None if name == "spot_per_hour" else 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    least = "above zero" if name in ("vcpu", "usd") else "zero or more"
    if not math.isfinite(value) or value < 0 or (value == 0 and name in ("vcpu", "usd")):
        raise UsageError(f"{name} must be a number {least}; got {name}={text!r} in {where}, correct that row.")
    return value


def _cell(row: Mapping[str, str], name: str, where: str, must: Sequence[str]) -> Any:
    if name in NUMBERS:
        return _number(row, name, where, must)
    text = (row[name] or "").strip()
    if name in TEXTS and not text:
        raise UsageError(f"{name} must not be empty; got {name}='' in {where}, fill it in.")
    if name in CHOICES and text not in CHOICES[name]:
        raise UsageError(f"{name} must be {' or '.join(CHOICES[name])}; got {name}={text!r} in {where}, correct it.")
    if name in ("asof", "spot_asof") and text:
        _date(text, where)
    return text


def _date(text: str, where: str) -> date:
    """The day of an `asof`; a bare year counts to its end."""
    try:
        return date(int(text), 12, 31) if len(text) == 4 else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"asof must be a date such as 2026-08-03; got asof={text!r} in {where}, correct it.") from None


def parse(path: Path, kind: str | None = None) -> tuple[str, tuple[Any, ...]]:
    """A table's kind, told by its columns unless given, and its rows. Raises UsageError for what cannot be used."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = tuple(reader.fieldnames or ())
            raw = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"a table must be a CSV file in UTF-8; got path={str(path)!r}: {error}.") from None
    kind = kind or max(KINDS, key=lambda k: len(set(COLUMNS[k]) & set(names)) / len(COLUMNS[k]))
    missing = [name for name in COLUMNS[kind] if name not in names]
    if missing:
        raise UsageError(f"a table of {kind} must have the columns {', '.join(COLUMNS[kind])}; got path={str(path)!r} "
                         f"without {', '.join(missing)}, add them.")
    if not raw:
        raise UsageError(f"a table of {kind} must have rows; got path={str(path)!r} with 0 rows.")
    found = []
    for number, row in enumerate(raw, start=2):
        where = f"line {number} of {path.name}"
        found.append(KINDS[kind](**{name: _cell(row, name, where, MUST[kind]) for name in COLUMNS[kind]}))
    _once(kind, found, path)
    return kind, tuple(found)


def _once(kind: str, rows: Iterable[Any], path: Path) -> None:
    keys = {"prices": ("provider", "region", "instance_type"), "rates": ("currency",), "carbon": ("provider", "region")}
    seen = set()
    for row in rows:
        key = tuple(getattr(row, name) for name in keys[kind])
        if key in seen:
            raise UsageError(f"a table of {kind} must name each {' '.join(keys[kind])} once; got {' '.join(key)} twice "
                             f"in {path.name}, leave one out.")
        seen.add(key)


@functools.lru_cache(maxsize=12)
def _read(path: Path, kind: str, stamp: int) -> tuple[Any, ...]:
    return parse(path, kind)[1]


def _table(kind: str) -> tuple[Any, ...]:
    path = place(kind)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        raise UsageError(f"RIGHTFIT_PRICES must name a folder or a CSV file that exists; got path={str(path)!r}, "
                         "correct it.") from None
    return _read(path, kind, stamp)


def prices() -> tuple[Price, ...]:
    """Every price that counts now. Raises UsageError.

    >>> {"aws", "gcp", "alibaba"} <= {price.provider for price in prices()}
    True
    """
    return _table("prices")


def carbon() -> dict[tuple[str, str], Carbon]:
    """Grid carbon by provider and region."""
    return {(row.provider, row.region): row for row in _table("carbon")}


def rates(changed: Mapping[str, float] | None = None) -> dict[str, Rate]:
    """Exchange rates by currency; `changed` {currency: USD for one unit} are the user's and win. Raises UsageError.

    >>> rates({"CNY": 0.15})["CNY"].source
    'you'
    """
    found: dict[str, Rate] = {row.currency: row for row in _table("rates")}
    for name, value in (changed or {}).items():
        if not 0 < value < math.inf:
            raise UsageError(f"a rate must be above zero and finite; got {name}={value:g}, give the USD for one "
                             f"{name.upper()}.")
        if name.upper() == "USD" and value != 1:
            raise UsageError(f"USD is what rates are written in; got USD={value:g}, leave it out.")
        found[name.upper()] = Rate(currency=name.upper(), usd=value, asof=date.today().isoformat(), source="you")
    return found


def rate(currency: str, known: Mapping[str, Rate]) -> Rate:
    """The rate of a currency. Raises UnknownName."""
    found = known.get(currency.upper())
    if found is None:
        raise UnknownName("currency", currency.upper(), known)
    return found


def convert(amount: float, source: str, target: str, known: Mapping[str, Rate]) -> float:
    """An amount of money in another currency. Raises UnknownName.

    >>> round(convert(100, "CNY", "USD", rates({"CNY": 0.14})), 6)
    14.0
    """
    ratio = rate(source, known).usd / rate(target, known).usd
    return amount * ratio


def select(rows: Sequence[Price], *, provider: str | None = None, region: str | None = None) -> tuple[Price, ...]:
    """The rows of a provider and a region; either left out means all. Raises UnknownName with the closest one."""
    for name, value in (("provider", provider), ("region", region)):
        known = {getattr(row, name) for row in rows}
        if value is not None and value not in known:
            raise UnknownName(name, value, known)
        rows = [row for row in rows if value is None or getattr(row, name) == value]
    return tuple(rows)


def stale(dates: Iterable[str], today: date | None = None) -> tuple[str, ...]:
    """Those dates that are older than 180 days, each once, oldest first.

    >>> stale(["2024-11-06", "2026-08-03", ""], today=date(2026, 11, 24))
    ('2024-11-06',)
    """
    now = today or date.today()
    return tuple(sorted({d for d in dates if d and (now - _date(d, "a table")).days > STALE_DAYS}))


def update(path: str | Path) -> tuple[str, Path, int]:
    """Check a file and put it in place of the table of its kind: (kind, where, rows). Raises UsageError."""
    kind, rows = parse(Path(path))
    if kind == "prices":
        for row in rows:
            rate(row.currency, rates())
    if kind == "rates" and not {"USD"} <= {row.currency for row in rows}:
        raise UsageError("a table of rates must hold USD=1, in which the others are written; got none, add it.")
    target = own_folder() / f"{kind}.csv"
    asked = os.environ.get("RIGHTFIT_PRICES")
    if asked and kind == "prices" and Path(asked).suffix == ".csv":
        target = Path(asked)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{kind}-")
        with os.fdopen(handle, "wb") as file:
            file.write(Path(path).read_bytes())
        Path(part).chmod(0o644)
        os.replace(part, target)
    except OSError as error:
        raise UsageError(f"the folder of the tables must be writable; got folder={str(target.parent)!r}: "
                         f"{error.strerror}.") from None
    return kind, target, len(rows)


def reset() -> list[Path]:
    """Take the user's own tables away, so that those of the package count again; the files that were removed."""
    asked = os.environ.get("RIGHTFIT_PRICES")
    mine = {Path(asked)} if asked and Path(asked).suffix == ".csv" else set[Path]()
    found = sorted(path for path in mine | {own_folder() / f"{kind}.csv" for kind in KINDS} if path.is_file())
    for path in found:
        path.unlink()
    return found


@frozen
class Assumption:
    """A figure that nobody measured: its value, the range it may lie in, its unit, and whose it is."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    source: str


POSITIVE = frozenset(("core_ratio", "local_core_ratio", "thread_share", "machine_years", "machine_cores",
                      "machine_mem_gib", "instances_min", "utilisation_max"))
SHARES = frozenset(("utilisation_max", "thread_share"))


@functools.cache
def _assumed() -> tuple[Assumption, ...]:
    raw = tomllib.loads((resources.files(HOME) / "assumptions.toml").read_text(encoding="utf-8"))
    return tuple(Assumption(name=name, **entry) for name, entry in raw.items())


def assumptions(changed: Mapping[str, Any] | None = None) -> dict[str, Assumption]:
    """Every assumption of the cost arithmetic, those `changed` marked as the user's. Raises UnknownName, UsageError.

    >>> assumptions({"machine_years": 5})["machine_years"].source
    'you'
    """
    found = {one.name: one for one in _assumed()}
    for name, value in (changed or {}).items():
        if name not in found:
            raise UnknownName("assumption", name, found)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise UsageError(f"an assumption must be a number, zero or more; got {name}={value!r}, change it.")
        if (name in POSITIVE and value == 0) or (name in SHARES and value >= 1 and not (
                name == "thread_share" and value == 1)):
            raise UsageError(f"{name} must be above zero{' and below 1' if name in SHARES else ''}; got "
                             f"{name}={value:g}, change it.")
        old = found[name]
        found[name] = Assumption(name=name, value=float(value), low=float(value), high=float(value), unit=old.unit,
                                 source="you")
    return found
