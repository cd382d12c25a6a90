"""Kinds, markers and ids are inferred; a table and a record are coerced alike."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.data.modalities import tabular
from rightfit.data.schema import coerce, coerce_row, compile_row, from_json, infer, to_json
from rightfit.errors import DataError, UnknownName
from rightfit.records import Column, Finding, Need, Schema
from rightfit.testing._case import in_time

DATA = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[1] / "../shared/data"))
RNG = np.random.default_rng(0)


def column(values: list[Any], name: str = "x", **need: Any) -> tuple[Column, tuple[Finding, ...]]:
    other = ["a", "b"] * (len(values) // 2) + ["a"] * (len(values) % 2)
    schema, findings = infer(pd.DataFrame({name: values, "other_": other}), Need(**need))
    return schema.column(name), findings


@pytest.mark.parametrize(("values", "kind"), [
    (["1", "2", "3.5", "-4e2"], "numeric"),
    ([" 1 ", "2", "+3"], "numeric"),
    ([1, 2, 3], "numeric"),
    ([1, 2.5, None], "numeric"),
    ([Decimal("1.5"), None, Decimal("2")], "numeric"),
    (["1", "2", "3", "1"], "numeric"),
    (["0", "1", "0", "1"], "boolean"),
    ([0, 1, 1, 0], "boolean"),
    (["Yes", "No", "Yes", ""], "boolean"),
    ([True, False, True], "boolean"),
    (["TRUE", "FALSE"], "boolean"),
    (["m", "f", "f"], "categorical"),
    (["01", "02", "10"], "categorical"),
    (["a", "b", None], "categorical"),
    (["2020-01-01", "2020-02-01"], "datetime"),
    (["2020-01-01 10:30:00", "2020-02-01T11:00:00Z"], "datetime"),
    (["1/13/2011", "2/1/2011"], "datetime"),
    (["2017-11-07 9:30", "2017-11-08 13:40"], "datetime"),
    (["2020年3月1日", "2021年12月31日"], "datetime"),
    (["1.2.3", "4.5.6"], "categorical"),
    ([datetime(2020, 1, 1), None], "datetime"),
    ([f"this is the long review number {i}" for i in range(30)], "text"),
    ([f"这家餐厅的味道真的非常好{i}" for i in range(30)], "text"),
    (["", "", ""], "categorical"),
    ([None, None], "categorical"),
])
def test_kinds(values: list[Any], kind: str) -> None:
    assert column(values)[0].kind == kind


@pytest.mark.parametrize(("name", "values", "is_id"), [
    ("PassengerId", [str(i) for i in range(1, 41)], True),
    ("Unnamed: 0", list(range(40)), True),
    ("whatever", list(range(1, 41)), True),
    ("year", list(range(1960, 2000)), False),
    ("amount", list(range(0, 400, 10)), False),
    ("EmployeeNumber", [str(i + i // 3) for i in range(1, 41)], True),
    ("paid", [f"{i * 7 % 41}" for i in range(41)], False),
    ("customerID", [f"{i}-ABC" for i in range(40)], True),
    ("token", [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(40)], True),
    ("user_id", [str(i % 8) for i in range(40)], False),
    ("city", ["Rome", "Oslo"] * 20, False),
    ("size", [f"{i}.5" for i in range(40)], False),
])
def test_ids(name: str, values: list[Any], is_id: bool) -> None:
    found, findings = column(values, name)
    assert (found.kind == "id" and found.role == "dropped") is is_id
    assert any(f.code == "id_column" and f.column == name for f in findings) is is_id
    kept, findings = column(values, name, keep=(name,))
    assert kept.role == "feature" and not findings
    if is_id:
        assert column(values, name, target=name)[0].role == "target"


def test_a_table_of_ids_only_keeps_them() -> None:
    schema, _ = infer(pd.DataFrame({"id": [f"k{i}" for i in range(30)], "y": ["a", "b"] * 15}), Need(target="y"))
    assert [c.name for c in schema.features] == ["id"]


@pytest.mark.parametrize(("values", "missing", "applied"), [
    (["1", "2", "?", "?"], ("?",), True),
    (["1.5", " ", "2", "3"], (" ",), True),
    (["a", "", "b"], ("",), True),
    (["a", "b", "?", "NA"], ("?", "NA"), True),
    (["5", "unknown", "6"], ("unknown",), True),
    (["1", "2", "None"], ("None",), True),
    (["None", "Stone", "Brick", "None"], (), True),
    (["unknown", "known", "unknown"], (), True),
    (["+", "-", "+"], (), True),
    ([*map(str, range(20, 60)), "-999", "-999", "-999"], ("-999",), True),
    ([*range(20, 60), -9999, -9999, -9999], ("-9999",), True),
    ([*map(float, range(20, 60)), 99999.0, 99999.0, 99999.0], ("99999",), False),
    ([*range(-200, 200, 3), -99, -99, -99, -99], (), True),
    ([*range(900, 1100), 999, 999, 999], (), True),
    ([*range(0, 42_000, 500), 99_999, 99_999, 99_999], (), True),
])
def test_markers(values: list[Any], missing: tuple[str, ...], applied: bool) -> None:
    found, findings = column(values)
    named = [marker for f in findings if f.code == "missing_marker" for marker in f.data["markers"]]
    assert sorted(named) == sorted(missing)
    assert set(found.missing) == (set(missing) if applied else set())
    assert all(f.data["applied"] is applied and (applied or f.severity == "ask") for f in findings)
    X = coerce(pd.DataFrame({"x": values, "other_": "a"}), Schema(columns=(found,)))
    markers = {m for m in found.missing}
    assert int(X["x"].isna().sum()) == sum(str(v) in markers for v in values)


def test_zeros_are_asked_about_only_where_they_cannot_be() -> None:
    pressure = np.append(RNG.normal(80, 10, 300).round(), np.zeros(8))
    frame = pd.DataFrame({"pressure": pressure, "children": RNG.poisson(3, 308), "fare": pressure,
                          "balance": RNG.normal(0, 5, 308).round(), "rate": RNG.uniform(0, 1, 308).round(2)})
    schema, findings = infer(frame, Need())
    assert [(f.column, f.severity, f.data["applied"]) for f in findings] == [("pressure", "ask", False)]
    assert findings[0].data["count"] == 8 and schema.column("pressure").missing == ()
    schema, findings = infer(frame, Need(missing=("0@pressure,fare",)))
    assert schema.column("pressure").missing == ("0",) and schema.column("rate").missing == ()
    assert coerce(frame, schema)["pressure"].isna().sum() == 8 and schema.column("pressure").low > 30
    assert all(f.data["applied"] for f in findings)


def test_user_markers_everywhere_and_as_category() -> None:
    frame = pd.DataFrame({"n": ["1", "2", "-1.0", "3"], "c": ["a", "none", "b", "a"], "k": ["x", "-1", "y", "x"]})
    schema, _ = infer(frame, Need(missing=("-1", "none")))
    X = coerce(frame, schema)
    assert X.isna().sum().tolist() == [1, 1, 1] and "none" not in schema.column("c").categories
    with pytest.raises(UnknownName):
        infer(frame, Need(missing=("0@m",)))


def test_mixed_types() -> None:
    found, findings = column([*map(str, range(100)), "abc"], name="score")
    assert found.kind == "numeric" and found.missing == ("abc",)
    assert [f.code for f in findings] == ["mixed_types"] and findings[0].severity == "warning"
    found, findings = column(["1", "2", "3", "4+"] * 2 + ["1", "2", "3"] * 30)
    assert found.kind == "categorical" and [f.code for f in findings] == ["mixed_types"]
    found, findings = column([1, "a", 2.0, "b"])
    assert found.kind == "categorical" and [f.code for f in findings] == ["mixed_types"] and "2" in found.categories


def test_roles_kinds_and_figures() -> None:
    frame = pd.DataFrame({"a": ["3", "1", "1", ""], "b": ["u", "v", "v", "w"], "g": ["p", "q", "p", "q"],
                          "t": ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], "y": ["n", "y", "y", "n"]})
    schema, _ = infer(frame, Need(target="y", group="g", time="t", drop=("b",), kinds={"a": "categorical"}))
    assert [c.role for c in schema.columns] == ["feature", "dropped", "group", "time", "target"]
    assert schema.column("a").categories == ("1", "3") and schema.column("a").nullable
    assert schema.column("b").categories == ("v", "u", "w") and not schema.column("b").nullable
    assert schema.column("y").categories == ("n", "y") and schema.column("t").low == 1577836800.0
    numeric = infer(frame, Need())[0].column("a")
    assert (numeric.low, numeric.high, numeric.nullable) == (1.0, 3.0, True)
    assert from_json(to_json(schema)) == schema
    with pytest.raises(DataError, match="JSON"):
        from_json("[]")
    with pytest.raises(UnknownName, match="did you mean 'a'"):
        infer(frame, Need(kinds={"A": "numeric"}))


def test_day_and_month() -> None:
    assert column(["13/1/2020", "1/2/2020"])[0].dtype.endswith("%d/%m/%Y")
    found, findings = column(["1/2/2020", "3/4/2020"])
    assert found.dtype.endswith("%m/%d/%Y") and [f.code for f in findings] == ["date_order"]
    assert column(["1/2/2020", "3/4/2020"], kinds={"x": "text"})[0].kind == "text"


def test_one_category_however_it_is_written() -> None:
    schema = Schema(columns=(Column(name="c", kind="categorical"),))
    for values in (["1", " 1 ", "1.0"], [1, 1, 1], [1.0, 1.0, 1.0], [1, "1", 1.0], np.array([1, 1, 1], dtype=np.int8)):
        X = coerce(pd.DataFrame({"c": values}), schema)
        assert X["c"].tolist() == ["1", "1", "1"] and X["c"].dtype == object
    mixed = pd.DataFrame({"c": [True, 1, 1.0, "1"]}, dtype=object)
    assert coerce(mixed, schema)["c"].tolist() == ["True", "1", "1", "1"]
    assert coerce(pd.DataFrame({"c": ["1.50", "1.5", "1e3"]}), schema)["c"].tolist() == ["1.50", "1.5", "1e3"]


KINDS = ("numeric", "categorical", "boolean", "datetime", "text")
SCHEMA = Schema(columns=(
    Column(name="numeric", kind="numeric", missing=("?", "-999")),
    Column(name="categorical", kind="categorical", missing=("?", "7")),
    Column(name="boolean", kind="boolean", categories=("No", "Yes")),
    Column(name="datetime", kind="datetime", dtype="str %d.%m.%Y"),
    Column(name="text", kind="text", missing=("-",)), Column(name="gone", kind="id", role="dropped")))
anything = st.one_of(
    st.none(), st.text(max_size=6), st.integers(-2**62, 2**62), st.floats(), st.booleans(), st.datetimes(), st.dates(),
    st.sampled_from(["", " ", "?", "-999", "-999.0", " 12 ", "1_000", "+1", "+-1", "nan", "inf", "yes", "NO", "t", "0",
                     "1.0", "-0.0", "2020-01-01", "1.2.2020", "2020-01-01T10:00:00+02:00", "9999-01-01",
                     "\x1f1", "\u00a01",
                     "\uff11", "1e400", "0x1", "-", "7", "7.0", np.float32(3.1), np.int64(4), np.bool_(True),
                     np.datetime64("2020-01-01"), pd.NA, pd.NaT, Decimal("2.50"),
                     pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.Timestamp("2020-01-01 00:00:00.123456789")]))


def outcome(call: Any) -> Any:
    try:
        return call()
    except DataError as error:
        return str(error)


def same(left: Any, right: Any) -> bool:
    def comparable(found: Any) -> Any:
        return {k: "nan" if isinstance(v, float) and math.isnan(v) else v for k, v in found.items()} if isinstance(
            found, dict) else found
    return bool(comparable(left) == comparable(right))


def from_table(frame: pd.DataFrame, schema: Schema) -> dict[str, Any]:
    row = coerce(frame, schema).iloc[0]
    return {name: (None if value is pd.NaT else float(value.value)) if schema.column(name).kind == "datetime" else value
            for name, value in row.items()}


@given(kind=st.sampled_from(KINDS), value=anything)
@settings(max_examples=600, deadline=None)
def test_a_record_is_read_like_a_table_of_one_row(kind: str, value: Any) -> None:
    schema = Schema(columns=(SCHEMA.column(kind),))
    frame = pd.DataFrame({kind: pd.Series([value], dtype=object)})
    assert same(outcome(lambda: coerce_row({kind: value}, schema)), outcome(lambda: from_table(frame, schema)))


@given(kind=st.sampled_from(KINDS), value=anything)
@settings(max_examples=300, deadline=None)
def test_typed_columns_read_alike(kind: str, value: Any) -> None:
    """The same through the dtype that pandas itself would choose, and through text."""
    schema = Schema(columns=(SCHEMA.column(kind),))
    for series in (pd.Series([value]), pd.Series([str(value)], dtype="str")):
        item = series.iloc[0]
        assert same(outcome(lambda item=item: coerce_row({kind: item}, schema)),
                    outcome(lambda series=series: from_table(pd.DataFrame({kind: series}), schema)))


lines = st.tuples(st.text("0123456789.+-eEinfa ?", max_size=6), st.text(max_size=4))


@given(rows=st.lists(lines, min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_every_inferred_schema_reads_its_own_rows(rows: list[tuple[str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype="str")
    try:
        schema, _ = infer(frame, Need())
    except DataError as error:
        assert "finite" in str(error)
        return
    X = coerce(frame, schema)
    assert len(X) == len(frame) and list(X) == [c.name for c in schema.features]
    row = compile_row(schema)
    for position, record in enumerate(frame.to_dict("records")):
        assert same(row(record), from_table(frame.iloc[[position]], schema))
        assert same(row(record), from_table(frame.iloc[position:], schema))


def test_errors_name_column_row_and_value() -> None:
    paid = Column(name="paid", kind="boolean", categories=("no", "yes"))
    schema = Schema(columns=(Column(name="age", kind="numeric"), paid))
    good = {"age": ["1", "2", "3"], "paid": ["yes", "no", "yes"]}
    for name, value in (("age", "old"), ("paid", "maybe"), ("age", "inf")):
        bad = pd.DataFrame({**good, name: [*good[name][:2], value]}, dtype="str")
        with pytest.raises(DataError, match=f"column '{name}' .*value='{value}' in row=2"):
            coerce(bad, schema)
        with pytest.raises(DataError, match=f"column '{name}' .*value='{value}' in row=0"):
            coerce_row({"age": 1, "paid": "no", name: value}, schema)
    for call in (lambda: coerce(pd.DataFrame({"age": [1]}), schema), lambda: coerce_row({"age": 1}, schema)):
        with pytest.raises(DataError, match="column='paid'"):
            call()
    assert list(coerce(pd.DataFrame({**good, "more": 1}), schema)) == ["age", "paid"]
    assert coerce_row({"age": 1, "paid": 1, "more": 1}, schema) == {"age": 1.0, "paid": 1.0}


def test_a_record_needs_no_pandas_and_little_time() -> None:
    code = ("import sys; from rightfit.data.values import compile_row; from rightfit.records import *\n"
            "columns = Column(name='a', kind='numeric'), Column(name='t', kind='datetime')\n"
            "row = compile_row(Schema(columns=columns))\n"
            "assert row({'a': '1', 't': '1970-01-02'}) == {'a': 1.0, 't': 86400e9}\n"
            "assert not {'pandas', 'numpy', 'pyarrow'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
    schema = Schema(columns=tuple(Column(name=f"c{i}", kind=("numeric", "categorical")[i % 2]) for i in range(30)))
    record = {f"c{i}": i * 1.5 if i % 2 == 0 else f"value {i}" for i in range(30)}
    coerce_row(record, schema)
    in_time(lambda: [coerce_row(record, schema) for _ in range(1000)], 1000 * 30 * 5e-6)


def test_large_tables_are_coerced() -> None:
    frame = pd.DataFrame({f"c{i}": pd.Series(RNG.normal(size=40_000)).astype("str") for i in range(10)})
    X = coerce(frame, infer(frame, Need())[0])
    assert X.shape == (40_000, 10)


@pytest.mark.shared
def test_the_traps_of_the_shared_tables() -> None:
    if not (DATA / "index.csv").exists():
        pytest.skip("no shared tables")
    with (DATA / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["modality"] == "tabular"]
    listed = found = alarms = 0
    for row in rows:
        table = tabular.read(DATA / row["file"], Need(target=row["target"]))
        named = {(m, f.column) for f in table.findings if f.code == "missing_marker" for m in f.data["markers"]}
        wanted = set()
        for token in filter(None, row["na_marker"].split("|")):
            marker, _, where = token.partition("@")
            marker = {"<empty>": "", "<space>": " "}.get(marker, marker)
            wanted |= {(marker, c) for c in where.split(",")} if where else {(marker, None)}
        for marker, name in wanted:
            listed += 1
            found += any(m == marker and name in (None, c) for m, c in named)
        extra = {(m, c) for m, c in named if (m, None) not in wanted and (m, c) not in wanted}
        alarms = max(alarms, len(extra))
        ids = {f.column for f in table.findings if f.code == "id_column"}
        assert ids <= set(row["drop_columns"].split("|")), row["file"]
        assert {"rownames", "instant", "PassengerId", "customerID", "EmployeeNumber", "Unnamed: 0"} & set(
            row["drop_columns"].split("|")) <= ids, row["file"]
        assert len(coerce(table.frame, table.schema)) == len(table.frame)
    assert listed > 15 and found == listed and alarms <= 1
