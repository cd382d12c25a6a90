"""Columns that look as if they name a group of rows or a point in time: asked about, never applied silently."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from rightfit.records import Schema, frozen

if TYPE_CHECKING:
    import pandas as pd

_OWNERS = frozenset((
    "id", "ids", "uid", "uuid", "guid", "key", "ip", "mac", "imei", "ticket", "user", "customer", "client", "patient",
    "host", "subject", "person", "session", "account", "visitor", "household", "member", "driver", "speaker",
    "student", "author"))
_CLOCKS = frozenset(("time", "timestamp", "datetime", "date", "ts", "epoch"))
_CALENDAR = frozenset((
    "year", "yr", "month", "mnth", "mon", "day", "week", "date", "quarter", "hour", "hr", "period", "weekday",
    "season"))
_SAMPLE = 50_000


@frozen
class Sign:
    """One suspicion about a column: its name, the evidence in words, and its figures."""

    column: str
    evidence: str
    strength: float
    named: bool


def tokens(name: str) -> list[str]:
    """The words of a column name in lower case.

    >>> tokens("PassengerId"), tokens("click_time"), tokens("Cooling Load")
    (['passenger', 'id'], ['click', 'time'], ['cooling', 'load'])
    """
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", str(name))
    return [t for t in re.split(r"[^A-Za-z0-9]+", split.lower()) if t]


def _kinds(schema: Schema) -> dict[str, str]:
    return {c.name: c.kind for c in schema.columns}


def _candidates(frame: pd.DataFrame, skip: tuple[str, ...]) -> list[str]:
    return [str(c) for c in frame.columns if str(c) not in skip]


def groups(frame: pd.DataFrame, schema: Schema, skip: tuple[str, ...] = ()) -> list[Sign]:
    """Columns whose values repeat like the names of people, visits or machines, the most telling first.

    A column qualifies when its values repeat (1.15 to 1,000 rows a value on average over at least 10 values) and
    either its name says so (id, patient, ticket, ip ...) or its values are many codes with digits.
    """
    import pandas as pd

    found: list[Sign] = []
    kinds = _kinds(schema)
    for name in _candidates(frame, skip):
        kind = kinds.get(name, "")
        if kind in ("datetime", "boolean"):
            continue
        values = frame[name].dropna()
        if len(values) < 0.5 * len(frame) or len(values) < 20:
            continue
        words = tokens(name)
        numeric = pd.api.types.is_numeric_dtype(values)
        if numeric and not _whole(values):
            continue
        named = bool(words) and (words[-1] in _OWNERS if numeric else bool(_OWNERS & set(words)))
        unique = int(values.nunique())
        per_value = len(values) / max(unique, 1)
        if unique < 10 or not 1.15 <= per_value <= 1000:
            continue
        if not named and (numeric or unique < 50 or unique / len(values) < 0.05 or not _code_like(values)):
            continue
        found.append(Sign(column=name, strength=(2.0 if named else 1.0) + unique / len(values), named=named,
                          evidence=f"{unique:,} values repeat over {len(values):,} rows, {per_value:.1f} rows a value"))
    return sorted(found, key=lambda s: -s.strength)


def _whole(values: pd.Series) -> bool:
    array = values.to_numpy(dtype=float)
    return bool(np.isfinite(array).all() and (array == np.floor(array)).all())


def _code_like(values: pd.Series) -> bool:
    """Most values hold a digit and have at most three words: an identifier, not a sentence or a category name."""
    text = values.iloc[:2000].astype(str)
    return bool((text.str.contains(r"\d").mean() >= 0.8) and (text.str.count(" ") <= 2).mean() >= 0.95)


def times(frame: pd.DataFrame, schema: Schema, skip: tuple[str, ...] = ()) -> list[Sign]:
    """Columns that tell when a row happened, or calendar columns along which the rows are visibly ordered."""
    import pandas as pd

    found: list[Sign] = []
    kinds = _kinds(schema)
    for name in _candidates(frame, skip):
        words = tokens(name)
        values = frame[name]
        if kinds.get(name) == "datetime" or pd.api.types.is_datetime64_any_dtype(values):
            share = float(values.notna().mean())
            if share >= 0.5 and values.nunique() > 2:
                order = order_strength(values)
                rows = "rows stand in its order" if order > 0.9 else "rows do not stand in its order"
                found.append(Sign(column=name, strength=3 + share + order, named=True,
                                  evidence=f"dates or times in {share:.0%} of the rows, {rows}"))
            continue
        clock = bool(words) and words[-1] in _CLOCKS and len(words) <= 3
        if clock and pd.api.types.is_numeric_dtype(values) and values.nunique() >= 0.05 * len(values) >= 1:
            low, high = float(values.min()), float(values.max())
            found.append(Sign(column=name, strength=2.0, named=True,
                              evidence=f"its name says time and its {values.nunique():,} values run from {low:g} to "
                                       f"{high:g}"))
        elif _CALENDAR & set(words) and len(words) <= 2 and values.nunique() >= 2 and len(values) >= 50:
            order = order_strength(values)
            if order > 0.7:
                found.append(Sign(column=name, strength=1 + order, named=False,
                                  evidence=f"rows stand in its order (neighbouring rows agree {order:.2f} beyond "
                                           "chance)"))
    return sorted(found, key=lambda s: -s.strength)


def how_to_order(sign: Sign) -> str:
    """What to do to split by a suspected time: a part of a date, such as a month, repeats and cannot order rows by "
    "itself."""
    if sign.named:
        return f"pass --time {sign.column}"
    return "add a column with the full date or the row number and pass it as --time <that column>"


def order_strength(values: pd.Series) -> float:
    """How far neighbouring rows agree beyond chance, 0..1: the lag-1 rank correlation or Cohen's kappa between a row
    and the next, whichever is larger.

    >>> import pandas as pd
    >>> order_strength(pd.Series([1, 1, 1, 2, 2, 2, 3, 3, 3] * 10).sort_values()) > 0.9
    True
    """
    codes, _ = _ordered_codes(values)
    codes = codes[codes >= 0][:_SAMPLE]
    if len(codes) < 10 or codes.min() == codes.max():
        return 0.0
    shares = np.bincount(codes) / len(codes)
    chance = float((shares**2).sum())
    kappa = (float((codes[1:] == codes[:-1]).mean()) - chance) / (1 - chance)
    left, right = codes[:-1], codes[1:]
    spread = float(left.std() * right.std())
    lag = float(((left - left.mean()) * (right - right.mean())).mean()) / spread if spread else 0.0
    return max(0.0, kappa, lag)


def _ordered_codes(values: pd.Series) -> tuple[np.ndarray[Any, Any], Any]:
    import pandas as pd

    try:
        return pd.factorize(values, sort=True)
    except TypeError:
        return pd.factorize(values.astype(str), sort=True)
