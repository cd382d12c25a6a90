"""Targets become numbers, rows without a target go, groups and times become codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.data.assemble import assemble, encode_target, fingerprint, target_present
from rightfit.data.schema import infer
from rightfit.errors import DataError
from rightfit.records import Need, Task


def task(problem: Any, target: tuple[str, ...] = ("y",), classes: tuple[str, ...] = (), **more: Any) -> Task:
    return Task(modality="tabular", problem=problem, target=target, metric="any", classes=classes, **more)


@pytest.mark.parametrize("values", [[1, 0, 1], ["1", "0", "1"], [1.0, 0.0, 1.0], ["1.0", " 0", "1"]])
def test_class_codes_however_they_are_written(values: list[Any]) -> None:
    for classes in (("0", "1"), ("0.0", "1.0")):
        y = encode_target(pd.DataFrame({"y": values}), task("binary", classes=classes))
        assert y.dtype == np.int64 and y.tolist() == [1, 0, 1]
    assert encode_target(pd.Series(values), task("multiclass", classes=("1", "0", "2"))).tolist() == [0, 1, 0]


def test_labels_of_a_test_part() -> None:
    two = task("binary", classes=("<=50K", ">50K"))
    assert encode_target(pd.DataFrame({"y": ["<=50K.", ">50k", "<=50K"]}), two).tolist() == [0, 1, 0]
    flags = pd.DataFrame({"y": [True, False]})
    assert encode_target(flags, task("binary", classes=("False", "True"))).tolist() == [1, 0]
    case = task("binary", classes=("a", "A"))
    assert encode_target(pd.DataFrame({"y": ["A", "a"]}), case).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"y='a\.' in row=1"):
        encode_target(pd.DataFrame({"y": ["A", "a."]}), case)
    with pytest.raises(DataError, match="y='c' in row=2"):
        encode_target(pd.DataFrame({"y": ["a", "b", "c"]}), task("binary", classes=("a", "b")))
    with pytest.raises(DataError, match="10000 classes"):
        encode_target(pd.DataFrame({"y": ["1"]}), task("multiclass", classes=tuple(map(str, range(10_001)))))


def test_numbers() -> None:
    frame = pd.DataFrame({"y": ["1.5", "2", "-3"], "z": [1, 2, 3]})
    assert encode_target(frame, task("regression")).tolist() == [1.5, 2.0, -3.0]
    both = encode_target(frame, task("regression", ("y", "z"), outputs=2))
    assert both.shape == (3, 2) and both.dtype == np.float64 and both[2].tolist() == [-3.0, 3.0]
    for bad in ("high", "inf"):
        with pytest.raises(DataError, match=f"'y' .*value='{bad}' in row=1"):
            encode_target(pd.DataFrame({"y": ["1", bad]}), task("regression"))
    with pytest.raises(DataError, match="problem='generation'"):
        encode_target(frame, task("generation"))


def test_multilabel() -> None:
    several = pd.DataFrame({"a": ["yes", "no"], "b": [0, 1], "c": [True, True]})
    y = encode_target(several, task("multilabel", ("a", "b", "c"), ("c", "a", "b")))
    assert y.dtype == np.int8 and y.tolist() == [[1, 1, 0], [1, 0, 1]]
    with pytest.raises(DataError, match="value='often' in row=0"):
        encode_target(pd.DataFrame({"a": ["often"], "b": [1]}), task("multilabel", ("a", "b"), ("a", "b")))
    for delimiter in (";", "|", ", ", " "):
        listed = pd.DataFrame({"y": [delimiter.join(["red", "blue"]), "green"]})
        y = encode_target(listed, task("multilabel", classes=("blue", "green", "red")))
        assert y.tolist() == [[1, 0, 1], [0, 1, 0]]
    told = task("multilabel", classes=("a;b", "c"), reasons={"delimiter": "&"})
    assert encode_target(pd.DataFrame({"y": ["a;b&c", "c"]}), told).tolist() == [[1, 1], [0, 1]]
    with pytest.raises(DataError, match="'pink' in row=1"):
        encode_target(pd.DataFrame({"y": ["red", "red;pink"]}), task("multilabel", classes=("red", "blue")))


def test_rows_without_target_are_left_out() -> None:
    frame = pd.DataFrame({"x": ["1", "2", "3", "4"], "y": ["a", "", "b", None]})
    schema, _ = infer(frame, Need(target="y"))
    kind = task("binary", classes=("a", "b"))
    assert target_present(frame, kind).tolist() == [True, False, True, False]
    data = assemble(frame, schema, kind)
    assert len(data) == 2 and data.X["x"].tolist() == [1.0, 3.0] and data.y.tolist() == [0, 1]
    assert list(data.X.index) == [0, 1] and data.groups is None and data.time is None
    assert target_present(pd.DataFrame({"y": ["NA", "b"]}), task("binary", classes=("NA", "b"))).all()
    assert target_present(pd.DataFrame({"y": ["NA", "3"]}), task("regression")).tolist() == [False, True]
    marked, _ = infer(pd.DataFrame({"x": [1, 2, 3], "y": ["5", "6", "-1"]}), Need(target="y", missing=("-1@y",)))
    assert target_present(pd.DataFrame({"y": ["5", "-1"]}), task("regression"), marked).tolist() == [True, False]
    with pytest.raises(DataError, match="all 4 missing"):
        assemble(frame.assign(y=None), schema, kind)


def test_unlabelled_rows() -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"], "z": [1, 2]})
    schema, _ = infer(frame, Need(target=("y", "z")))
    assert assemble(frame[["x"]], schema, task("binary", classes=("a", "b"))).y is None
    with pytest.raises(DataError, match="column='z'"):
        assemble(frame[["x", "y"]], schema, task("multilabel", ("y", "z")))


def test_groups() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3, 4, 5], "g": ["a", "b", "a", None, None], "y": ["u", "v", "u", "v", "u"]})
    schema, _ = infer(frame, Need(target="y", group="g"))
    data = assemble(frame, schema, task("binary", classes=("u", "v"), group="g"))
    assert data.groups.dtype == np.int64 and data.groups[0] == data.groups[2] and len(set(data.groups)) == 4
    assert list(data.X) == ["x"]
    with pytest.raises(DataError, match="column='h'"):
        assemble(frame, schema, task("binary", classes=("u", "v"), group="h"))


@pytest.mark.parametrize(("values", "expected"), [
    (["1970-01-01", "1970-01-03", "1970-01-02"], [0, 2 * 86_400 * 10**9, 86_400 * 10**9]),
    ([pd.Timestamp("1970-01-01"), pd.Timestamp("1970-01-02"), pd.Timestamp("1970-01-01")], [0, 86_400 * 10**9, 0]),
    (["13/1/1970", "1/1/1970", "2/1/1970"], [12 * 86_400 * 10**9, 0, 86_400 * 10**9]),
    ([3, 1, 2], [3, 1, 2]),
    (["0.5", "0.25", "0.75"], [1, 0, 2]),
])
def test_time(values: list[Any], expected: list[int]) -> None:
    frame = pd.DataFrame({"t": values, "x": [1, 2, 3], "y": [1.0, 2.0, 3.0]})
    schema, _ = infer(frame, Need(target="y", time="t"))
    data = assemble(frame, schema, task("regression", time="t"))
    assert data.time.dtype == np.int64 and data.time.tolist() == expected


def test_time_that_is_none() -> None:
    dates = ["1970-01-01", "1970-01-02", ""]
    for values, says in ((["a", "b", "c"], "categorical"), (dates, "row=2"), (["1", "2", ""], "row=2")):
        frame = pd.DataFrame({"t": values, "x": [1, 2, 3], "y": [1.0, 2.0, 3.0]})
        with pytest.raises(DataError, match=says):
            assemble(frame, infer(frame, Need(target="y", time="t"))[0], task("regression", time="t"))


@given(labels=st.lists(st.text("abcXYZ 019.-", min_size=1, max_size=4).filter(str.strip), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_codes_lead_back_to_labels(labels: list[str]) -> None:
    from rightfit.data.schema import canonical

    classes = tuple(sorted({canonical(t) or "" for t in labels}))
    y = encode_target(pd.DataFrame({"y": labels}), task("multiclass", classes=classes))
    assert [classes[code] for code in y] == [canonical(t) for t in labels]


def test_fingerprint_sees_content_only() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.0, None], "b": ["x", None, "z"], "c": [1, "mixed", [2]]}, index=[5, 6, 7])
    assert fingerprint(frame) == fingerprint(frame.reset_index(drop=True).copy()) and len(fingerprint(frame)) == 64
    changed = [frame.assign(a=[1.5, 2.0, 3.0]), frame.rename(columns={"a": "A"}), frame.iloc[::-1],
               frame[["b", "a", "c"]]]
    assert len({fingerprint(f) for f in [frame, *changed]}) == 5
