"""Files in, predictions out: the light path equals the full one, order kept, nothing half-written."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rightfit.delivery import predict as delivery
from rightfit.delivery.predict import light, predict
from rightfit.errors import DataError, PackageError, UsageError
from rightfit.package import load

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture(scope="module")
def package(tmp_path_factory: Any) -> Path:
    path: Path = toy.package(tmp_path_factory.mktemp("predict") / "package")
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, fieldnames=list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_classifiers_write_labels_and_probabilities_in_order(package: Path, tmp_path: Path) -> None:
    rows = toy.records(50, seed=3)
    assert predict(package, write_csv(tmp_path / "new.csv", rows), tmp_path / "out.csv").rows == 50
    found, model = read_csv(tmp_path / "out.csv"), load(package)
    assert list(found[0]) == ["prediction", "probability_no", "probability_yes"]
    assert [row["prediction"] for row in found] == model.predict(rows).tolist()
    assert [float(row["probability_yes"]) for row in found] == model.predict_proba(rows)[:, 1].tolist()


@pytest.mark.parametrize("problem", ["regression", "multilabel", "multiclass"])
def test_other_problems(problem: str, tmp_path: Path) -> None:
    rows = toy.records(20)
    model = load(toy.package(tmp_path / "p", problem))
    predict(tmp_path / "p", write_csv(tmp_path / "new.csv", rows), tmp_path / "out.csv")
    found = read_csv(tmp_path / "out.csv")
    assert list(found[0]) == ["prediction", *(f"probability_{name}" for name in model.classes_)]
    if problem == "regression":
        assert [float(row["prediction"]) for row in found] == model.predict(rows).tolist()
    elif problem == "multilabel":
        expected = [";".join(model.classes_[row.astype(bool)]) for row in model.predict(rows)]
        assert [row["prediction"] for row in found] == expected and len(set(expected)) > 1


def test_parquet_in_and_out(package: Path, tmp_path: Path) -> None:
    import pandas as pd

    rows = toy.records(30)
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "new.parquet")
    predict(package, tmp_path / "new.parquet", tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert list(out.columns) == ["prediction", "probability_no", "probability_yes"]
    assert out["prediction"].tolist() == load(package).predict(rows).tolist()


def both(package: Path, path: Path, monkeypatch: Any) -> tuple[bytes, bytes]:
    """What the light path and the full path write."""
    out = path.with_name("out.csv")
    predict(package, path, out)
    one = out.read_bytes()
    monkeypatch.setattr(delivery, "light", lambda path, features: None)
    predict(package, path, out)
    return one, out.read_bytes()


cells = st.sampled_from(
    ["1", "1.0", "-2.5e1", "", "?", "NA", " 3", "red", "blue ", "green", '"red"', '"a,b"', '"a ""b"""', "0", "é"]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2.5", "", "-3e0", " 4 ", "0.0"]), cells, st.sampled_from(["7", "", "12", "80 "])
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_light_path_writes_the_same_bytes(
    package: Path, tmp_path: Path, rows: Any, end: str, bom: bool, last: bool
) -> None:
    text = end.join(["size,colour,age", *(",".join(row) for row in rows)]) + (end if last else "")
    path = tmp_path / "new.csv"
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    assert light(path, {"size", "colour", "age"}) is not None
    with pytest.MonkeyPatch.context() as patch:
        one, other = both(package, path, patch)
    assert one == other and one.count(b"\n") == len(rows) + 1


def test_the_light_path_for_json_lines(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.jsonl"
    rows = [
        *toy.records(20),
        {"age": 3},
        {"colour": 1.0, "size": "2.5", "age": None},
        {"colour": True, "size": 3, "age": 1},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert light(path, {"size", "colour", "age"}) is not None
    one, other = both(package, path, monkeypatch)
    assert one == other


@pytest.mark.parametrize(
    "text",
    [
        "size;colour;age\n1;red;2\n",
        "size, colour, age\n1, red, 2\n",
        "size,age\n1,2\n",
        "size\n1\n",
        "size,colour,age\n1,red\n",
        "size,colour,age\n",
        "",
        'size,colour,age\n1,a"b,2\n',
        "size,colour,age\r1,red,2\r",
        "size,size,colour,age\n1,1,red,2\n",
        "1,red,2\n2,blue,3\n",
    ],
)
def test_what_is_not_plain_is_left_to_the_full_reader(text: str, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes(text.encode())
    assert light(path, {"size", "colour", "age"}) is None


def test_other_encodings_separators_and_compression(package: Path, tmp_path: Path) -> None:
    import gzip

    rows = toy.records(30)
    plain = write_csv(tmp_path / "new.csv", rows).read_text(encoding="utf-8")
    predict(package, tmp_path / "new.csv", tmp_path / "out.csv")
    expected = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "a.csv").write_bytes(plain.encode("utf-16"))
    (tmp_path / "b.csv").write_text(plain.replace(",", ";"))
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(plain.encode()))
    (tmp_path / "d.tsv").write_text(plain.replace(",", "\t"))
    for name in ("a.csv", "b.csv", "c.csv.gz", "d.tsv"):
        predict(package, tmp_path / name, tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_bytes() == expected, name


def test_large_files_take_the_full_path_and_agree(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = toy.records(500)
    one, other = both(package, write_csv(tmp_path / "new.csv", rows), monkeypatch)
    assert one == other
    monkeypatch.undo()
    monkeypatch.setattr(delivery, "LIGHT_BYTES", 100)
    assert light(tmp_path / "new.csv", {"size"}) is None


def test_one_row_as_a_process_without_pandas(package: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "one.csv", toy.records(1))
    code = (
        "import sys; from rightfit.delivery.predict import predict; predict(*sys.argv[1:]); "
        "sys.exit(len({'pandas', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(package), str(path), str(tmp_path / "out.csv")], check=False
    )
    print(f"one row, whole process: {time.perf_counter() - started:.3f} s")
    assert done.returncode == 0 and len(read_csv(tmp_path / "out.csv")) == 1


def test_bad_input_is_one_sentence_and_leaves_nothing(package: Path, tmp_path: Path) -> None:
    rows = toy.records(3)
    data = write_csv(tmp_path / "new.csv", rows)
    lacking = write_csv(tmp_path / "lacking.csv", [{"size": 1, "age": 2}])
    wrong = write_csv(tmp_path / "wrong.csv", [*rows, {**rows[0], "age": "old"}])
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[type[Exception], str, Path, Path, Path]] = [
        (DataError, "colour", package, lacking, tmp_path / "out.csv"),
        (DataError, "row=3", package, wrong, tmp_path / "out.csv"),
        (DataError, "exist", package, tmp_path / "absent.csv", tmp_path / "out.csv"),
        (PackageError, "does not exist", tmp_path / "absent", data, tmp_path / "out.csv"),
        (UsageError, "must end in", package, data, tmp_path / "out.txt"),
        (UsageError, "existing folder", package, data, tmp_path / "absent" / "out.csv"),
    ]
    for kind, match, model, source, out in cases:
        with pytest.raises(kind, match=match) as caught:
            predict(model, source, out)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_write_that_fails_keeps_the_old_output(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_csv(tmp_path / "new.csv", toy.records(3))
    (tmp_path / "out.csv").write_text("old")

    def full(table: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(delivery, "_WRITERS", {".csv": full})
    with pytest.raises(OSError, match="disk full"):
        predict(package, data, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 2
