"""Bad data gives one sentence that names what was found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rightfit.data.readers import _text
from rightfit.data.readers import read as read_rows
from rightfit.data.table import pick
from rightfit.errors import DataError, RightfitError, UnknownName, UsageError
from rightfit.records import Need


def read(source: Any, **need: Any) -> Any:
    asked = Need(**need)
    return pick(source, asked).read(source, asked)


def written(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sentence(error: pytest.ExceptionInfo[Any]) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith((".", "?")) and ("=" in text or ";" in text)
    assert isinstance(error.value, RightfitError) and error.value.exit_code == 2
    return text


@pytest.mark.parametrize(("content", "says"), [
    ("", "0 bytes"),
    ("\n \n", "blanks only"),
    ("a,b\n", "rows=0"),
    ("a,b,a\n1,2,3\n4,5,6\n", "name='a'"),
    ("a,b, a\n1,2,3\n4,5,6\n", "name='a'"),
    ("a,b\n1,2\n3\n4,5\n", "line=3"),
    ("a,b\n1,2\n3,4,5\n4,5\n", "line=3"),
    ("a,b\n1,2\n", "rows=1"),
    ("a,y\n1,\n2,\n3,\n", "all 3 missing"),
    ("a,y\n1,x\n2,x\n3,x\n", "only 'x'"),
    ("a,y\n1,5\n2,5\n3,\n", "only '5'"),
    ("a,y\n1,5\ninf,6\n3,7\n", "column='a'"),
    ("a,y\n1,5\n1e999,6\n3,7\n", "column='a'"),
    ("y\n5\n6\n7\n", "feature column"),
])
def test_broken_tables(tmp_path: Path, content: str, says: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as error:
        read(path, target="y" if "y" in content else "b")
    assert says in sentence(error)


def test_binary_files(tmp_path: Path) -> None:
    picture, pickled = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\1\2\3" * 99, b"\x80\x04\x95\0\0\0\0a.b"
    for content in (bytes(range(256)) * 40, picture, pickled):
        with pytest.raises(DataError) as error:
            read_rows(written(tmp_path, content))
        assert "binary content" in sentence(error)
    with pytest.raises(DataError) as error:
        read_rows(written(tmp_path, b"\x1f\x8bnot really gzip", "t.csv.gz"))
    assert "undamaged" in sentence(error)


def test_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\nä,1\nö,2\n".encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_rows(path, Need(options={"encoding": "utf-8"}))
    assert "encoding='utf-8'" in sentence(error)
    far = written(tmp_path, b"a,b\n" + b"plain,1\n" * 100_000 + "ä,2\n".encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_rows(far, Need(options={"encoding": "utf-8"}))
    assert "encoding='utf-8'" in sentence(error)


def test_a_very_long_line_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "LONGEST_LINE", 4 << 20)
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n1,2\n")
        file.truncate(3 << 30)  # a sparse file: 3 GiB without a line break
    with pytest.raises(DataError) as error:
        _text.scan(path)
    assert "4 MiB" in sentence(error)
    os.truncate(path, 0)


def test_a_line_of_many_megabytes_below_the_limit(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n1," + b"x" * (20 << 20) + b"\n2,y\n")
    assert read_rows(path)[0]["b"].str.len().tolist() == [20 << 20, 1]


def test_paths(tmp_path: Path) -> None:
    written(tmp_path, "a,b\n1,2\n", "train.csv")
    with pytest.raises(DataError) as error:
        read(tmp_path / "trian.csv", target="b")
    assert "train.csv" in sentence(error) and "did you mean" in str(error.value)
    with pytest.raises(DataError) as error:
        read(str(tmp_path / "nowhere" / "x.parquet"), target="b")
    assert "must exist" in sentence(error)
    with pytest.raises(DataError) as error:
        read_rows(tmp_path)
    assert "directory" in sentence(error)
    with pytest.raises(DataError) as error:
        read_rows(42)
    assert "int" in sentence(error)


def test_targets_by_name_and_position(tmp_path: Path) -> None:
    path = written(tmp_path, "age,churn\n1,x\n2,y\n3,x\n")
    for target in ("churn", 1, -1, "1", "-1"):
        assert read(path, target=target).schema.column("churn").role == "target"
    with pytest.raises(UnknownName) as error:
        read(path, target="chrun")
    assert "did you mean 'churn'" in str(error.value)
    with pytest.raises(UsageError) as usage:
        read(path, target=7)
    assert "target=7" in sentence(usage)
    wide = pd.DataFrame(np.arange(200).reshape(2, 100) ** 2, columns=[f"column_{i}" for i in range(100)])
    with pytest.raises(UnknownName) as error:
        read(wide, target="colum_77")
    assert "column_77" in str(error.value) and len(str(error.value)) < 400
    with pytest.raises(UnknownName):
        read(path, target="churn", drop=("agee",))
    with pytest.raises(UnknownName):
        read(path, target="churn", modality="tabullar")


def test_too_many_classes() -> None:
    frame = pd.DataFrame({"x": np.arange(12_000) % 7, "y": [f"c{i % 10_000}" for i in range(12_000)]})
    with pytest.raises(DataError) as error:
        read(frame, target="y")
    assert "10000 different values" in sentence(error)
    frame["y"] = np.arange(12_000)
    assert read(frame, target="y").schema.column("y").kind == "numeric"
    with pytest.raises(DataError):
        read(frame, target="y", problem="multiclass")


def test_frames_with_equal_names_and_infinities() -> None:
    with pytest.raises(DataError) as error:
        read(pd.DataFrame([[1, 2], [3, 4]], columns=["1", 1]), target=0)
    assert "name='1'" in sentence(error)
    with pytest.raises(DataError) as error:
        read(pd.DataFrame({"x": [1.0, np.inf, 2.0], "y": [1, 2, 3]}), target="y")
    assert "column='x'" in sentence(error) and "row=1" in str(error.value)
    with pytest.raises(DataError):
        read({"x": [1, 2], "y": [1]}, target="y")
    with pytest.raises(DataError) as error:
        read({"x": [], "y": []}, target="y")
    assert "rows=0" in sentence(error)


def test_one_row_without_target_can_be_read_for_prediction(tmp_path: Path) -> None:
    table = read(written(tmp_path, "age,city\n31,Rome\n"))
    assert table.frame.to_numpy().tolist() == [["31", "Rome"]] and len(table.schema.features) == 2
