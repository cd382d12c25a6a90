"""The schema contract: inferred once from the training rows, enforced on every later row.

`infer` looks, `coerce` turns raw rows into values of their kinds, `coerce_row` does the same for one record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rightfit.data.values import Unreadable, absent, canonical, compile_row, parser, unreadable
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Column, Finding, Need, Schema, asdict

__all__ = ["canonical", "coerce", "coerce_row", "compile_row", "from_json", "infer", "to_json"]
KINDS = ("numeric", "categorical", "boolean", "datetime", "text", "id")
STORED = 1000


def infer(frame: Any, need: Need) -> tuple[Schema, tuple[Finding, ...]]:
    """The schema of raw rows (pandas DataFrame), and findings: missing_marker, id_column, mixed_types, date_order.

    `need.kinds` overrules kinds, `need.missing` adds markers ("-1", or "-1@a,b" for the columns a and b only),
    `need.drop` removes columns, `need.keep` keeps those that look like ids. Targets are columns of role target.
    Raises UnknownName, UsageError, and DataError for infinite values.
    """
    have = list(frame.columns)
    roles = roles_of(have, need)
    by_column = _markers(have, need)
    columns: list[Column] = []
    findings: list[Finding] = []
    numeric: dict[str, Any] = {}
    from rightfit.data.kinds import look, names_rows, zeros

    for name in have:
        forced = need.kinds.get(name)
        role = roles.get(name, "feature")
        basic = None if forced == "id" else forced
        seen = look(name, frame[name], by_column.get(name, ()), basic if basic in KINDS[:5] else None)
        _finite(name, seen.numbers)
        kind = forced or seen.kind
        why = names_rows(name, seen, len(frame)) if role == "feature" and not forced and name not in need.keep else ""
        if why:
            kind, role = "id", "dropped"
            findings.append(Finding(code="id_column", severity="warning", column=name, evidence=why,
                                    data={"reason": why},
                                    consequence=f"not used as a feature; --keep {name} brings it back"))
        elif forced == "id" and role == "feature":
            role = "dropped"
        if role in ("feature", "target"):
            findings += seen.findings
        missing = seen.missing if kind != "id" else ()
        column = Column(name=name, kind=kind, role=role, missing=missing, categories=seen.categories,
                        dtype=f"{frame[name].dtype} {seen.form}".strip())
        columns.append(_column(frame[name], column, seen))
        if kind == "numeric" and role == "feature" and "0" not in missing:
            numeric[name] = seen.numbers
    findings += zeros({name: _without(numbers, columns[have.index(name)]) for name, numbers in numeric.items()})
    return Schema(columns=tuple(_some_feature(columns))), tuple(findings)


def positions(have: list[str], wanted: Any, what: str = "target") -> tuple[str, ...]:
    """Column names from names or 0-based positions (negative from the end). Raises UnknownName or UsageError.

    >>> positions(["a", "b"], -1), positions(["a", "b"], ("a", "1"))
    (('b',), ('a', 'b'))
    """
    found = []
    for one in () if wanted is None else wanted if isinstance(wanted, tuple | list) else (wanted,):
        text = str(one)
        if isinstance(one, str) and text in have:
            found.append(text)
        elif text.lstrip("-").isdigit():
            if not -len(have) <= int(text) < len(have):
                raise UsageError(f"{what} must be a column name or a position from {-len(have)} to {len(have) - 1}; "
                                 f"got {what}={one!r}.")
            found.append(have[int(text)])
        else:
            import difflib

            near = difflib.get_close_matches(text, have, n=10, cutoff=0.3)
            raise UnknownName(what, text, have if len(have) <= 30 else near or have[:10])
    return tuple(dict.fromkeys(found))


def roles_of(have: list[str], need: Need) -> dict[str, str]:
    """The columns that are named for something else than a feature, with their part. Raises UnknownName."""
    roles = dict.fromkeys(positions(have, need.drop, "drop"), "dropped")
    positions(have, need.keep, "keep")
    unknown = [name for name in need.kinds if name not in have]
    if unknown:
        raise UnknownName("column", unknown[0], have)
    roles |= dict.fromkeys(positions(have, need.group, "group"), "group")
    roles |= dict.fromkeys(positions(have, need.time, "time"), "time")
    roles |= dict.fromkeys(positions(have, need.row_weight, "row_weight"), "weight")
    return roles | dict.fromkeys(positions(have, need.target), "target")


def _markers(have: list[str], need: Need) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(have, ())
    for marker in need.missing:
        text, at, where = marker.rpartition("@")
        for name in positions(have, tuple(where.split(",")), "missing") if at else have:
            found[name] += (text if at else marker,)
    return found


def _finite(name: str, numbers: Any) -> None:
    if numbers is not None and np.isinf(numbers).any():
        rows = np.flatnonzero(np.isinf(numbers))
        raise DataError(f"numeric columns must hold finite values; got column={name!r} with {len(rows)} infinite "
                        f"ones, the first "
                        f"in row={rows[0]}, replace them or drop the column.")


def _without(numbers: Any, column: Column) -> Any:
    marked = [float(m) for m in column.missing if _float(m)]
    return np.where(np.isin(numbers, marked), np.nan, numbers) if marked else numbers


def _float(text: str) -> bool:
    from rightfit.data.values import is_number

    return is_number(text.strip())


def _column(values: Any, column: Column, seen: Any) -> Column:
    """The column with its range, its categories (most frequent first; booleans: false, true) and nullability."""
    import dataclasses

    import pyarrow.compute as pc

    low = high = None
    nullable = bool(values.isna().any()) or bool(column.missing)
    categories = column.categories
    if column.kind == "numeric" and seen.numbers is not None:
        numbers = _without(seen.numbers, column)
        finite = numbers[np.isfinite(numbers)]
        nullable = len(finite) < len(numbers)
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    elif column.kind == "datetime":
        moments = _parsed(values, column, np.int64)
        known = moments[moments != _NAT]
        nullable = len(known) < len(moments)
        low, high = (int(known.min()) / 1e9, int(known.max()) / 1e9) if len(known) else (None, None)
    counted_target = column.role == "target" and column.kind == "numeric"
    if counted_target or column.kind not in ("numeric", "boolean", "datetime", "text", "id"):
        if seen.texts is not None:
            pairs = [(i["values"], i["counts"]) for i in pc.value_counts(pc.drop_null(seen.texts)).to_pylist()]
        else:
            counted = values.value_counts(dropna=True)
            pairs = list(zip(counted.index, counted.tolist(), strict=True))
        totals: dict[str, int] = {}
        for value, count in pairs if len(pairs) <= 20_000 or column.kind != "numeric" else ():
            text = canonical(value)
            if text is not None and text not in column.missing:
                totals[text] = totals.get(text, 0) + count
        ordered = sorted(totals, key=lambda text: (-totals[text], text))
        categories = tuple(ordered[:STORED]) if column.kind != "numeric" or len(ordered) <= STORED else ()
        nullable = nullable or (seen.texts is not None and seen.texts.null_count > 0)
    elif column.kind == "boolean" and seen.texts is not None:
        nullable = seen.texts.null_count > 0
    return dataclasses.replace(column, low=low, high=high, categories=categories, nullable=nullable)


def _some_feature(columns: list[Column]) -> list[Column]:
    """When only id-like columns are left, they are all there is to learn from."""
    import dataclasses

    if any(c.role == "feature" for c in columns):
        return columns
    return [dataclasses.replace(c, role="feature", kind="categorical") if c.kind == "id" and c.role == "dropped" else c
            for c in columns]


_NAT = np.iinfo(np.int64).min


def coerce(frame: Any, schema: Schema) -> Any:
    """The feature columns in schema order, as values of their kinds; further columns are ignored.

    numeric, boolean: float64 with NaN. categorical, text: object str or None. datetime: datetime64[ns] with NaT.
    Raises DataError for a missing column, and for a value that its kind cannot hold, naming column, row and value.
    """
    import pandas as pd

    have = set(frame.columns)
    if any(column.name not in have for column in schema.features):
        raise absent(schema, have)
    found: dict[str, Any] = {}
    for column in schema.features:
        values = frame[column.name]
        if column.kind in ("numeric", "boolean"):
            found[column.name] = pd.Series(_floats(values, column), dtype="float64")
        elif column.kind == "datetime":
            moments = _parsed(values, column, np.int64)
            found[column.name] = pd.Series(moments.view("datetime64[ns]"), dtype="datetime64[ns]")
        else:
            found[column.name] = pd.Series(_parsed(values, column, object), dtype=object)
    return pd.DataFrame(found, index=pd.RangeIndex(len(frame)), columns=pd.Index([c.name for c in schema.features]))


def _floats(values: Any, column: Column) -> Any:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    from rightfit.data.kinds import NUMBER, arrow_texts

    if column.kind == "numeric" and isinstance(values.dtype, pd.StringDtype):
        texts = pc.ascii_trim_whitespace(arrow_texts(values))
        plain = pc.fill_null(pc.match_substring_regex(texts, NUMBER), False)
        numbers = pc.if_else(plain, texts, pa.scalar(None, texts.type))
        try:
            found = pc.cast(numbers, pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        except pa.ArrowInvalid:
            return _parsed(values, column, np.float64)
        if not np.isinf(found).any():
            others = np.flatnonzero(~plain.to_numpy(zero_copy_only=False))
            found = _without(found, column)
            if len(others):
                found[others] = _parsed(values.iloc[others], column, np.float64, others)
            return found
    elif column.kind == "numeric" and pd.api.types.is_numeric_dtype(values.dtype):
        found = values.to_numpy(dtype=float, na_value=np.nan, copy=True)
        if not np.isinf(found).any():
            return _without(found, column)
    return _parsed(values, column, np.float64)


def _parsed(values: Any, column: Column, dtype: Any, rows: Any = None) -> Any:
    """Every distinct value through the column's parser once, then spread over the rows."""
    import pandas as pd

    if column.kind == "datetime" and pd.api.types.is_datetime64_any_dtype(values.dtype):
        if values.dt.tz is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        try:
            return values.to_numpy().astype("datetime64[ns]").view(np.int64) if values.dtype == "datetime64[ns]" else \
                values.dt.as_unit("ns").to_numpy().view(np.int64)
        except (pd.errors.OutOfBoundsDatetime, OverflowError):
            pass  # the value-by-value way names the row
    parse, empty = parser(column), {np.int64: _NAT, np.float64: np.nan, object: None}[dtype]
    codes, distinct = _distinct(values)
    table = np.empty(len(distinct) + 1, dtype=dtype)
    table[-1] = empty
    for position, value in enumerate(distinct):
        try:
            found = parse(value)
        except Unreadable as error:
            row = int(np.flatnonzero(codes == position)[0])
            raise unreadable(column, row if rows is None else int(rows[row]), value, error) from None
        table[position] = empty if found is None else found
    return table[codes]


def _distinct(values: Any) -> tuple[Any, list[Any]]:
    import pandas as pd

    if values.dtype == object:
        # 1, 1.0 and True are equal to a hash table but not to a parser
        return np.arange(len(values)), values.tolist()
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    return codes, list(distinct)


_compiled: dict[int, tuple[Schema, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {}


def coerce_row(record: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """One record as `coerce` would read it in a one-row table, without pandas; dates are float nanoseconds or None.

    Raises DataError. In a loop, keep `compile_row(schema)`.
    """
    held = _compiled.get(id(schema))
    if held is None or held[0] is not schema:
        if len(_compiled) >= 32:
            _compiled.clear()
        held = _compiled[id(schema)] = (schema, compile_row(schema))
    return held[1](record)


def to_json(schema: Schema) -> str:
    """The schema as JSON text."""
    return json.dumps({"columns": asdict(schema)["columns"]}, ensure_ascii=False, indent=1)


def from_json(text: str) -> Schema:
    """The schema from `to_json`'s text. Raises DataError when it is none.

    >>> schema = Schema(columns=(Column(name="a", kind="numeric", low=0.0),))
    >>> from_json(to_json(schema)) == schema
    True
    """
    try:
        listed = json.loads(text)["columns"]
        columns = [c | {name: tuple(c[name]) for name in ("missing", "categories")} for c in listed]
        return Schema(columns=tuple(Column(**column) for column in columns))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"a schema must be JSON as rightfit writes it; got {type(error).__name__}: {error}.") from error
