"""Every format gives the frame that was written; separators, encodings and headers are found."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from rightfit.data.readers import find, read
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Need
from rightfit.testing._case import in_time

DATA = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[1] / "../shared/data"))
FRAME = pd.DataFrame({"age": [31, 45, 60], "city": ["Köln", "Łódź", "北京市"], "paid": [1.5, 2.25, -3.0]})


def text_of(frame: pd.DataFrame) -> list[list[str]]:
    return [[str(value) for value in row] for row in frame.itertuples(index=False)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, ending: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(ending.join(separator.join(row) for row in [list(FRAME), *text_of(FRAME)]).encode())
    frame, origin = read(path)
    assert list(frame) == list(FRAME) and text_of(frame) == text_of(FRAME)
    assert origin["separator"] == separator and origin["header"] is True and origin["format"] == "delimited"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    FRAME.to_csv(path, index=False, encoding=encoding)
    frame, _ = read(path)
    assert list(frame) == list(FRAME) and text_of(frame) == text_of(FRAME)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_chinese_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("城市,评价,标签\n北京,这家餐厅的味道非常好,1\n上海,送餐太慢了而且凉,0\n".encode(encoding))
    frame, origin = read(path)
    assert list(frame) == ["城市", "评价", "标签"] and frame["城市"].tolist() == ["北京", "上海"]
    assert origin["encoding"] == "gb18030"


@pytest.mark.parametrize("text", ["prénom,ville\nZoé,Orléans\nAndré,Évry\n", "größe,maß\nSüd,7\nÖst,8\n"])
def test_latin_1(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    frame, origin = read(path)
    assert ",".join(frame.columns) == text.split("\n")[0] and origin["encoding"] == "latin-1"


def test_latin_1_far_behind_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"1,plain\n" * 300_000 + "2,café\n".encode("latin-1"))
    frame, origin = read(path)
    assert frame["b"].iloc[-1] == "café" and origin["encoding"] == "latin-1"


def test_cp1252_euro(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\n1,5 €\n2,6 €\n".encode("cp1252"))
    assert read(path)[0]["b"].tolist() == ["5 €", "6 €"]


def test_given_encoding_separator_and_header_overrule(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a:1\nb:2\n".encode("utf-16-le"))
    frame, _ = read(path, Need(options={"encoding": "utf-16-le", "separator": ":", "header": False}))
    assert frame.to_numpy().tolist() == [["a", "1"], ["b", "2"]] and list(frame) == ["0", "1"]
    with pytest.raises(UsageError, match="encoding='utf-99'"):
        read(path, Need(options={"encoding": "utf-99"}))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "zip"])
def test_compressions(tmp_path: Path, suffix: str) -> None:
    path, content = tmp_path / f"t.csv.{suffix}", FRAME.to_csv(index=False).encode()
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("t.csv", content)
    elif suffix == "zst":
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(content)
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[suffix].compress(content))
    frame, _ = read(path)
    assert text_of(frame) == text_of(FRAME)
    if suffix != "zip":
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(DataError, match="whole and undamaged"):
            read(path)


@pytest.mark.parametrize(("lines", "header"), [
    (["6,148,72", "1,85,66", "8,183,64"], False),
    (["M,0.4,15", "F,0.5,7", "M,0.3,9"], False),
    (["x,0.4,15", "F,0.5,7"], False),
    (["sex,length,rings", "F,0.5,7", "M,0.3,9"], True),
    (["name,2019,2020", "a,5,7", "b,3,9"], True),
    ([",a,b", "1,x,2", "2,y,3"], True),
    (["p,x,s", "e,x,y", "p,b,s", "e,x,s"], False),
    (["type,shape,surface", "p,x,s", "e,x,y", "p,b,s"], True),
    (["?,1", "2,3", "4,5"], False),
])
def test_headers(tmp_path: Path, lines: list[str], header: bool) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    frame, origin = read(path)
    assert origin["header"] is header and len(frame) == len(lines) - header
    names = [name or f"Unnamed: {i}" for i, name in enumerate(lines[0].split(","))]
    assert list(frame) == (names if header else [str(i) for i in range(len(names))])


def test_quotes_line_breaks_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('" a ",b\n"x, ""y""","two\nlines"\n" z ",\n')
    frame, _ = read(path)
    assert list(frame) == ["a", "b"] and frame.to_numpy().tolist() == [['x, "y"', "two\nlines"], [" z ", ""]]
    path.write_text('39, "State, gov", 7\n50, Private, 8\n')
    assert read(path)[0].to_numpy().tolist() == [["39", "State, gov", "7"], ["50", "Private", "8"]]
    path.write_text("39, State-gov, 7\n50, Private, 8\n")
    assert read(path)[0].to_numpy().tolist() == [["39", "State-gov", "7"], ["50", "Private", "8"]]


def test_tab_with_stray_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('text\tlabel\nsay "hi\t1\n"open\t0\n')
    assert read(path)[0]["text"].tolist() == ['say "hi', '"open']


def test_runs_of_blanks_and_row_names(tmp_path: Path) -> None:
    path = tmp_path / "t.data"
    path.write_text("  1.5   2.0  3\n 2.5  -1.0  4\n")
    assert read(path)[0].to_numpy().tolist() == [["1.5", "2.0", "3"], ["2.5", "-1.0", "4"]]
    path.write_text('"mpg" "cyl"\n"Mazda RX4" 21 6\n"Datsun 710" 22.8 4\n')
    frame, _ = read(path)
    assert list(frame) == ["Unnamed: 0", "mpg", "cyl"] and frame["Unnamed: 0"].tolist() == ["Mazda RX4", "Datsun 710"]


def test_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b;c\n1,5;2,5;x,y\n3;4,25;z\n")
    frame, origin = read(path)
    assert origin["separator"] == ";" and frame.to_numpy().tolist() == [["1.5", "2.5", "x,y"], ["3", "4.25", "z"]]


def test_one_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("value\n1\n2\n")
    frame, _ = read(path)
    assert frame["value"].tolist() == ["1", "2"]


def test_parquet_feather_and_arrow(tmp_path: Path) -> None:
    frame = FRAME.assign(when=pd.to_datetime(["2020-01-01", "2021-01-01", None]), tag=pd.Categorical(["a", "b", "a"]))
    frame.set_index("age").to_parquet(tmp_path / "t.parquet")
    found, _ = read(tmp_path / "t.parquet")
    assert set(found) == set(frame) and found["age"].tolist() == [31, 45, 60] and found["when"].isna().tolist()[2]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    feather.write_feather(table, str(tmp_path / "t.feather"))
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    parquet.write_table(table, str(tmp_path / "u.pq"))
    for name in ("t.feather", "s.arrow", "u.pq"):
        pd.testing.assert_frame_equal(read(tmp_path / name)[0][list(FRAME)], FRAME)
        (tmp_path / name).write_bytes(b"ARROW1" + b"\0" * 40)
        with pytest.raises(DataError, match="undamaged"):
            read(tmp_path / name)


def test_json_lines_and_arrays(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2, "c": [1, 2]}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "t.json").write_text(json.dumps(rows))
    for name in ("t.jsonl", "t.json"):
        frame, origin = read(tmp_path / name)
        assert frame["a"].tolist() == [1, 2] and frame["c"].tolist()[1] == "[1, 2]" and origin["format"] == "json"
        assert frame["b"].tolist()[0] == "x" and pd.isna(frame["b"].tolist()[1])
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": }\n')
    with pytest.raises(DataError, match="line=2"):
        read(tmp_path / "t.jsonl")


def test_xlsx(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.create_sheet("rows")
    for row in ([*FRAME.columns], *FRAME.to_numpy().tolist()):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    frame, origin = read(tmp_path / "t.xlsx")
    assert list(frame) == list(FRAME) and frame["paid"].tolist() == [1.5, 2.25, -3] and origin["sheet"] == "rows"
    assert frame["age"].dtype == np.int64
    with pytest.raises(UnknownName, match="'rows'"):
        read(tmp_path / "t.xlsx", Need(options={"sheet": "row"}))
    (tmp_path / "t.xlsx").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="undamaged"):
        read(tmp_path / "t.xlsx")


ARFF = """% comment
@RELATION r
@attribute 'the size' real [1.0, 2.0]
@attribute colour {red, 'dark blue', "green"}
@attribute note string
@attribute class {a,b}
@inputs x
@data
1.5, 'dark blue', 'it\\'s, fine', a
% more
?, red, ?, b
"""


def test_arff(tmp_path: Path) -> None:
    path = tmp_path / "t.arff"
    path.write_text(ARFF)
    frame, origin = read(path)
    assert list(frame) == ["the size", "colour", "note", "class"]
    assert frame.to_numpy().tolist() == [["1.5", "dark blue", "it's, fine", "a"], ["?", "red", "?", "b"]]
    assert origin["kinds"] == {"the size": "numeric", "colour": "categorical", "class": "categorical"}
    path.rename(tmp_path / "t.dat")
    reader = find(tmp_path / "t.dat")
    assert reader is not None and reader.name == "arff"
    path.write_text("@relation r\n@attribute x real\n@attribute c {a,b}\n@data\n{0 2.5, 1 b}\n{1 b}\n")
    assert read(path)[0].to_numpy().tolist() == [["2.5", "b"], ["0", "b"]]
    path.write_text("@relation r\n@attribute x real\n@attribute c {a,b}\n@data\n1,a\n1\n")
    with pytest.raises(DataError, match="1 cells instead of 2 in line=6"):
        read(path)


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, city TEXT, paid REAL)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(1, "a", 1.5), (2, None, 2.5), (3, "c", None)])
    connection.close()
    url = f"sqlite:///{path}"
    for source in (url, f"{url}::orders", f"{url}::SELECT * FROM orders WHERE id > 0"):
        frame, origin = read(source)
        assert frame.shape == (3, 3) and frame["paid"].tolist()[:2] == [1.5, 2.5] and origin["format"] == "sql"
    assert read(f"{url}::select id, 'a:b' AS t from orders where id >= 2")[0]["t"].tolist() == ["a:b", "a:b"]
    with pytest.raises(UnknownName, match="'orders'"):
        read(f"{url}::order")
    with pytest.raises(DataError, match="no such column"):
        read(f"{url}::select absent from orders")
    with pytest.raises(DataError, match="must exist"):
        read(f"sqlite:///{tmp_path}/shops.db::orders")
    assert not (tmp_path / "shops.db").exists()
    with pytest.raises(UsageError, match="SQLAlchemy knows") as error:
        read("nosuch://user:secret@host/db::t")
    assert "secret" not in str(error.value)


@pytest.mark.skipif("RIGHTFIT_POSTGRES_URL" not in os.environ, reason="needs a server at RIGHTFIT_POSTGRES_URL")
def test_postgresql() -> None:
    import sqlalchemy as sa

    url = os.environ["RIGHTFIT_POSTGRES_URL"]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS rf_probe"))
        connection.execute(sa.text("CREATE TABLE rf_probe (id int, price numeric(8,2), made timestamptz)"))
        connection.execute(sa.text("INSERT INTO rf_probe VALUES (1, 2.5, '2020-01-01 00:00+02'), (2, null, null)"))
    try:
        for what in ("rf_probe", "public.rf_probe", "SELECT *, id::text AS t FROM rf_probe"):
            frame, origin = read(f"{url}::{what}")
            assert frame["price"].astype(float).tolist()[0] == 2.5 and len(frame) == 2 and origin["query"] == what
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE rf_probe"))
        engine.dispose()


def test_frames_in_memory() -> None:
    polars = pytest.importorskip("polars")
    mapping = {"age": [31, 45], "city": ["a", None]}
    sources = [pd.DataFrame(mapping, index=[7, 9]), polars.DataFrame(mapping), polars.DataFrame(mapping).lazy(),
               pa.table(mapping), mapping, [{"age": 31, "city": "a"}, {"age": 45, "city": None}]]
    for source in sources:
        frame, origin = read(source)
        assert frame["age"].tolist() == [31, 45] and frame["city"].isna().tolist() == [False, True]
        assert origin["format"] == "frame" and list(frame.index) == [0, 1]
    given = pd.DataFrame(mapping)
    frame = read(given)[0]
    frame.loc[0, "age"] = 99
    assert given["age"].tolist() == [31, 45]
    assert list(read(np.zeros((2, 3)))[0]) == ["0", "1", "2"]


cells = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)
labels = st.lists(st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    names, rows = draw(labels), draw(st.integers(1, 6))
    values = [st.integers(-10**12, 10**12), st.floats(allow_nan=False, allow_infinity=False), cells]
    kinds = {name: draw(st.sampled_from(values)) for name in names}
    return pd.DataFrame({name: pd.Series([draw(kinds[name]) for _ in range(rows)]) for name in names})


@given(frame=tables(), form=st.sampled_from(["csv", "tsv", "json", "jsonl", "parquet", "feather"]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, frame: pd.DataFrame, form: str) -> None:
    path = tmp_path / f"t.{form}"
    options: dict[str, object] = {}
    if form in ("csv", "tsv"):
        options = {"header": True, "separator": "," if form == "csv" else "\t"}
        frame.to_csv(path, index=False, sep=str(options["separator"]), quoting=csv.QUOTE_ALL)
    elif form == "parquet":
        frame.to_parquet(path)
    elif form == "feather":
        feather.write_feather(pa.Table.from_pandas(frame), str(path))
    else:
        rows = frame.astype(object).to_dict("records")
        path.write_text(json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, _ = read(path, Need(options=options))
    assert list(found) == list(frame) and found.shape == frame.shape
    for name in frame:
        wanted = frame[name].tolist()
        got = [type(w)(g) for w, g in zip(wanted, found[name].tolist(), strict=True)]
        assert got == wanted


def test_many_rows_are_read_quickly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "t.csv"
    pa.csv.write_csv(pa.table({f"c{i}": rng.normal(size=50_000) for i in range(30)}), str(path))
    frame, _ = in_time(lambda: read(path), 5)
    assert frame.shape == (50_000, 30)


@pytest.mark.shared
def test_the_shared_tables() -> None:
    if not (DATA / "index.csv").exists():
        pytest.skip("no shared tables")
    with (DATA / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["modality"] == "tabular"]
    assert len(rows) > 30
    for row in rows:
        frame, origin = read(DATA / row["file"])
        assert origin.get("header") is (row["header"] == "yes"), row["file"]
        assert origin["separator"] == row["sep"].replace("\\t", "\t").replace("arff", ","), row["file"]
        if not row["target"].isdigit():
            assert row["target"] in frame.columns, row["file"]
        for name in filter(None, row["drop_columns"].split("|")):
            assert name in frame.columns, row["file"]
