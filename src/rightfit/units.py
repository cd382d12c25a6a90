"""Durations, sizes, rates and money as people write them: `5ms`, `10m`, `20MB`, `1GiB`, `200/s`, `50USD/month`."""

from __future__ import annotations

import re

from rightfit.errors import UsageError

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_PER_SECOND = {"/s": 1.0, "/m": 1 / 60, "/min": 1 / 60, "/h": 1 / 3600, "/d": 1 / 86400}
HOURS_PER_MONTH = 730.0  # a year's twelfth, as the clouds count it
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
_MONEY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]{3})\s*/\s*(\w+)\s*$")
_MONTHS = {"month": 1.0, "mo": 1.0, "year": 12.0, "y": 12.0, "day": 24 / HOURS_PER_MONTH, "d": 24 / HOURS_PER_MONTH,
           "hour": 1 / HOURS_PER_MONTH, "h": 1 / HOURS_PER_MONTH}
_ROWS = {"1k": 1e3, "k": 1e3, "1000": 1e3, "1m": 1e6, "million": 1e6}
_SHAPE = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Zµ/]*)\s*$")


def _parse(text: str | float, units: dict[str, float], name: str, example: str, bare: float | None) -> float:
    if isinstance(text, int | float) and not isinstance(text, bool):
        number, unit = float(text), ""
    else:
        found = _SHAPE.match(str(text))
        if not found:
            raise UsageError(f"{name} must be a number with a unit such as {example}; got {name}={text!r}.")
        number, unit = float(found[1]), found[2].lower()
    if unit == "" and bare is not None:
        scale = bare
    elif unit in units:
        scale = units[unit]
    else:
        raise UsageError(f"{name} must be a number with a unit such as {example}; got {name}={text!r}, "
                         f"known units: {', '.join(units)}.")
    value = number * scale
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} must be above zero and finite; got {name}={text!r}.")
    return value


def seconds(text: str | float, name: str = "duration") -> float:
    """A duration in seconds; a bare number is seconds. Raises UsageError.

    >>> seconds("5ms"), seconds("10m"), seconds(3)
    (0.005, 600.0, 3.0)
    """
    return _parse(text, _SECONDS, name, "5ms, 10m or 2h", 1.0)


def mebibytes(text: str | float, name: str = "size") -> float:
    """A size in MiB; a unit is required, because MB and MiB differ. Raises UsageError.

    >>> mebibytes("1GiB"), round(mebibytes("20MB"), 3)
    (1024.0, 19.073)
    """
    return _parse(text, {k: float(v) for k, v in _BYTES.items()}, name, "20MB or 1GiB", None) / 2**20


def per_second(text: str | float, name: str = "throughput") -> float:
    """A rate per second; a bare number is per second. Raises UsageError.

    >>> per_second("120/m"), per_second(50)
    (2.0, 50.0)
    """
    return _parse(text, _PER_SECOND, name, "200/s", 1.0)


def money_per_month(text: str, traffic_per_s: float | None, name: str = "max_cost") -> tuple[float, str]:
    """An amount by the month, or for so many predictions at a traffic, as (amount by the month, currency).

    Raises UsageError for what cannot be read, and for an amount by prediction without a traffic.

    >>> money_per_month("50USD/month", None), money_per_month("0.01USD/1k", 20.0)
    ((50.0, 'USD'), (525.6, 'USD'))
    """
    found = _MONEY.match(str(text))
    per = found[3].lower() if found else ""
    if not found or (per not in _MONTHS and per not in _ROWS):
        raise UsageError(f"{name} must be an amount such as 50USD/month or 0.01USD/1k; got {name}={text!r}.")
    amount, currency = float(found[1]), found[2].upper()
    if not 0 < amount < float("inf"):
        raise UsageError(f"{name} must be above zero and finite; got {name}={text!r}.")
    if per in _MONTHS:
        return amount / _MONTHS[per], currency
    if traffic_per_s is None:
        raise UsageError(f"{name} for so many predictions needs a traffic; got {name}={text!r} alone, add --traffic.")
    return amount * (traffic_per_s * SECONDS_PER_MONTH) / _ROWS[per], currency


def show_seconds(value: float) -> str:
    """A duration for people, three digits.

    >>> show_seconds(0.000123), show_seconds(0.0123), show_seconds(75)
    ('123 µs', '12.3 ms', '75 s')
    """
    if value < 1e-3:
        return f"{value * 1e6:.3g} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
