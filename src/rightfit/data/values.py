"""One raw value to the value of its kind: pure Python, shared by whole tables and by single records.

`coerce` of a table runs the same parsers over distinct values, so that a record and a one-row table agree exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rightfit.errors import DataError
from rightfit.records import Column, Schema

MARKERS = frozenset({"", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "NAN", "null", "NULL", "Null", "<NA>",
                     "<null>", "NaT", "\\N", "(null)", "-", "--"})
WORDS = frozenset({"None", "none", "NONE", "unknown", "Unknown", "UNKNOWN", "missing", "Missing", "not available", ".",
                   "na", "n.a.", "N.A.", "nil", "#VALUE!", "#DIV/0!", "#REF!", "undefined"})
TRUE = frozenset({"yes", "true", "t", "y", "on", "1"})
FALSE = frozenset({"no", "false", "f", "n", "off", "0"})
PAIRS = (("no", "yes"), ("false", "true"), ("f", "t"), ("n", "y"), ("off", "on"), ("0", "1"))
_WHOLE = re.compile(r"-?\d+\.0+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)
_NAN = math.nan
Parser = Callable[[Any], Any]


class Unreadable(ValueError):
    """A value that its column's kind cannot hold; the message says what it must be."""


def is_number(text: str) -> bool:
    """Whether a text is a decimal number.

    >>> is_number("-1.5e3"), is_number("1_000"), is_number("nan")
    (True, False, False)
    """
    return _NUMBER.fullmatch(text) is not None


def canonical(value: Any) -> str | None:
    """The text that stands for a value as a category, None when missing: 1, 1.0, "1" and " 1.0 " are all "1".

    >>> canonical(1.0), canonical(" a "), canonical(float("nan")), canonical(True)
    ('1', 'a', None, 'True')
    """
    if isinstance(value, str):
        text = value.strip()
        if text.endswith("0") and _WHOLE.fullmatch(text):
            text = text.split(".")[0]
            return "0" if text in ("-0", "0") else text
        return text or None
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool):
        return str(plain)
    if isinstance(plain, float):
        if plain != plain:
            return None
        return str(int(plain)) if plain.is_integer() and abs(plain) < 1e15 else repr(plain)
    return str(plain).strip() or None


def number(value: Any) -> float:
    """A finite number or NaN; raises Unreadable."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return _NAN
        if "_" in text or not text.isascii():
            raise Unreadable("a number")
        try:
            found = float(text)
        except ValueError:
            raise Unreadable("a number") from None
    elif value is None or type(value).__name__ in ("NAType", "NaTType"):
        return _NAN
    elif isinstance(value, timedelta):
        return value.total_seconds()
    else:
        try:
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Unreadable("a number") from None
    if math.isinf(found):
        raise Unreadable("a finite number")
    return found


def nanoseconds(value: Any, form: str = "iso") -> int | None:
    """Nanoseconds since 1970 UTC, None when missing; `form` is iso or a strptime format, ISO is always read too.

    >>> nanoseconds("1970-01-02"), nanoseconds("2.1.1970", "%d.%m.%Y")
    (86400000000000, 86400000000000)
    """
    extra = 0
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        moment = _moment(text, form)
    elif value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return None
    elif isinstance(value, datetime):
        moment, extra = value, int(getattr(value, "nanosecond", 0))
        if extra:
            moment = moment.to_pydatetime(warn=False)  # type: ignore[attr-defined]
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    elif type(value).__name__ == "datetime64":
        return int(value.astype("datetime64[ns]").astype("int64"))
    else:
        raise Unreadable("a date or time")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    since = moment - _EPOCH
    found = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000 + extra
    if not -(2**63) < found < 2**63:
        raise Unreadable("a date between 1678 and 2262")
    return found


def _moment(text: str, form: str) -> datetime:
    if form != "iso":
        try:
            return datetime.strptime(text, form)
        except ValueError:
            pass  # a record may carry ISO dates where the training file had another form
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable("a date or time" + ("" if form == "iso" else f" such as {form}")) from None


def date_form(column: Column) -> str:
    """How a datetime column's texts are written: iso or a strptime format."""
    return column.dtype.partition(" ")[2] or "iso"


def parser(column: Column) -> Parser:
    """The function from one raw value to the value of the column's kind; it raises Unreadable.

    numeric, boolean: float, NaN when missing. categorical: canonical text or None. text: text or None. datetime: int
    nanoseconds since 1970 or None.
    """
    if column.kind == "numeric":
        return _numeric(column)
    if column.kind == "boolean":
        return _boolean(column)
    if column.kind == "datetime":
        return _datetime(column)
    if column.kind == "text":
        return _text(column)
    return _added(column) if column.kind not in ("categorical", "id") else _categorical(column)


def _added(column: Column) -> Parser:
    from rightfit.data.column_kinds import Kind
    from rightfit.registry import plugin

    kind: Kind = plugin("rightfit.data.column_kinds", column.kind, "kind")
    return kind.parser(column)


def _numeric(column: Column) -> Parser:
    texts = frozenset(m.strip() for m in column.missing if not is_number(m.strip()))
    values = frozenset(float(m) for m in column.missing if is_number(m.strip()))
    isinf = math.isinf

    def parse(value: Any) -> float:
        if type(value) is float and not isinf(value):
            found = value
        elif isinstance(value, str) and texts and value.strip() in texts:
            return _NAN
        else:
            found = number(value)
        return _NAN if found in values else found
    return parse


def _boolean(column: Column) -> Parser:
    texts = frozenset(m.strip() for m in column.missing)
    low, high = column.categories or ("0", "1")
    usual = (low.casefold(), high.casefold()) in PAIRS
    words = dict.fromkeys(FALSE, 0.0) | dict.fromkeys(TRUE, 1.0) if usual else {}
    words |= {low.casefold(): 0.0, high.casefold(): 1.0}
    must = f"{low!r} or {high!r}"

    def parse(value: Any) -> float:
        text = canonical(value)
        if text is None or text in texts:
            return _NAN
        found = words.get(text.casefold())
        if found is not None:
            return found
        # 0/1 counts may show a 2 later, so a 0/1 column takes any number
        if usual and not isinstance(value, bool):
            try:
                return number(value)
            except Unreadable:
                pass  # the sentence below says more
        elif isinstance(value, bool):
            return float(value)
        raise Unreadable(must)
    return parse


def _categorical(column: Column) -> Parser:
    missing = frozenset(canonical(m) for m in column.missing)

    def parse(value: Any) -> str | None:
        text = canonical(value)
        return None if text in missing else text
    return parse


def _text(column: Column) -> Parser:
    missing = frozenset(m.strip() for m in column.missing) | {""}

    def parse(value: Any) -> str | None:
        if not isinstance(value, str):
            return canonical(value)
        return None if value.strip() in missing else value
    return parse


def _datetime(column: Column) -> Parser:
    missing, form = frozenset(m.strip() for m in column.missing), date_form(column)

    def parse(value: Any) -> int | None:
        if isinstance(value, str) and value.strip() in missing:
            return None
        return nanoseconds(value, form)
    return parse


def unreadable(column: Column, row: int, value: Any, must: object) -> DataError:
    """The error for one value that cannot be used."""
    shown = repr(value.item() if hasattr(value, "item") and not isinstance(value, datetime) else value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return DataError(f"column {column.name!r} must hold {must}; got value={shown} in row={row}, correct it or name "
                     f"it as "
                     "missing.")


def absent(schema: Schema, have: Any) -> DataError:
    """The error for feature columns that are not there."""
    lacking = [c.name for c in schema.features if c.name not in have]
    return DataError(f"every feature column must be there; got no column={lacking[0]!r} "
                     f"({len(lacking)} of {len(schema.features)} lacking), add it, empty when unknown.")


def compile_row(schema: Schema) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The single-record path of `coerce`, prepared once: record -> {feature: value}; dates: float nanoseconds or None.

    The function raises DataError for a missing column or a value that cannot be read; further keys are ignored.

    >>> row = compile_row(Schema(columns=(Column(name="a", kind="numeric"), Column(name="b", kind="categorical"))))
    >>> row({"a": "1.5", "b": 2.0, "c": 0})
    {'a': 1.5, 'b': '2'}
    """
    def floating(parse: Parser) -> Parser:
        def parsed(value: Any) -> float | None:
            found = parse(value)
            return None if found is None else float(found)
        return parsed

    columns = schema.features
    parsers = [(c.name, floating(parser(c)) if c.kind == "datetime" else parser(c)) for c in columns]

    def row(record: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        name = ""
        try:
            for name, parse in parsers:
                values[name] = parse(record[name])
        except KeyError:
            raise absent(schema, record) from None
        except Unreadable as error:
            raise unreadable(schema.column(name), 0, record[name], error) from None
        return values
    return row
