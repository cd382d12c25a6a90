"""task/understand.py: what is inferred from a table, with its reasons, and what is asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Column, Need, Schema, Task
from rightfit.task import detect
from rightfit.task.understand import understand


def schema_of(frame: pd.DataFrame, target: tuple[str, ...] = ("y",), **kinds: str) -> Schema:
    def kind(name: str) -> str:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        return kinds.get(name, "numeric" if numeric else "categorical")

    return Schema(columns=tuple(Column(name=n, kind=kind(n), role="target" if n in target else "feature")
                                for n in map(str, frame)))


def task_of(y: object, need: Need | None = None, **columns: object) -> Task:
    frame = pd.DataFrame({"a": np.arange(len(y)) % 7 + 0.5, **columns, "y": y})  # type: ignore[arg-type]
    return understand(frame, schema_of(frame), need or Need(target="y"), "tabular")


@pytest.mark.parametrize(("y", "problem", "classes"), [
    ([0.0, 1.0] * 20, "binary", ("0", "1")),
    (["No", "Yes"] * 20, "binary", ("No", "Yes")),
    ([True, False] * 20, "binary", ("False", "True")),
    (["normal", "anomaly"] * 20, "binary", ("normal", "anomaly")),
    (["'-1'", "'1'"] * 20, "binary", ("'-1'", "'1'")),
    ([1, 2, 2, 2] * 10, "binary", ("2", "1")),
    ([1, 1, 1, 2] * 10, "binary", ("1", "2")),
    (["p", "e", "e"] * 10, "binary", ("e", "p")),
    ([3, 1, 2, 10] * 20, "multiclass", ("1", "2", "3", "10")),
    (["c", "a", "b"] * 20, "multiclass", ("a", "b", "c")),
    ([0.5, 1.0, 2.0] * 20, "regression", ()),
    (list(range(40)), "regression", ()),
    (["1.5", "2", "x"] * 5, "multiclass", ("1.5", "2", "x")),
    (["1.5", "2", "7"] * 5, "regression", ()),
])
def test_problem_and_classes(y: list[object], problem: str, classes: tuple[str, ...]) -> None:
    task = task_of(y)
    assert (task.problem, task.classes) == (problem, classes)
    assert task.reasons["problem"].startswith(problem) and task.reasons["metric"].startswith(task.metric)


def test_ratings_are_asked_about_and_can_be_overruled() -> None:
    y = [1, 2, 3, 4, 5, 5] * 10
    task = task_of(y)
    assert task.problem == "multiclass" and any("ordered scale" in q and "--problem regression" in q
                                                for q in task.questions)
    assert task_of(y, Need(target="y", problem="regression")).problem == "regression"
    rings = task_of([i % 25 for i in range(200)])
    assert rings.problem == "regression" and any("--problem multiclass" in q for q in rings.questions)


def test_positive_is_last_and_missing_targets_do_not_count() -> None:
    assert task_of(["a", "b"] * 5, Need(target="y", positive="a")).classes == ("b", "a")
    assert task_of([0, 1] * 5, Need(target="y", positive="0")).classes == ("1", "0")
    assert task_of([0, 1, None] * 5).rows == 10
    assert task_of([1.0, 2.0] * 5, Need(target="y", positive="1.0")).classes == ("2", "1")


@pytest.mark.parametrize(("y", "metric"), [
    ([0, 1] * 20, "roc_auc"), ([0] * 95 + [1] * 5, "average_precision"), (["a", "b", "c"] * 10, "accuracy"),
    (["a"] * 20 + ["b"] * 3 + ["c"] * 4, "f1_macro"), (list(np.linspace(-3, 3, 99)), "rmse"),
    (list(np.exp(np.linspace(-5, 8, 99))), "rmsle"), ([*np.linspace(-1, 1, 95), 90.5, 99.5, -99.5, -90.5], "mae")])
def test_metric_defaults(y: list[float], metric: str) -> None:
    assert task_of(y).metric == metric


def test_metric_overrules() -> None:
    assert task_of([0, 1] * 9, Need(target="y", metric="pr_auc")).metric == "average_precision"
    assert task_of([0, 1] * 9, Need(target="y", metric="my_module:profit")).metric == "my_module:profit"
    assert task_of([0, 1] * 9, Need(target="y", metric="f2")).metric == "f2"


def test_costs_make_a_matrix() -> None:
    task = task_of([0, 1] * 9, Need(target="y", cost={"FN": 50, "FP": 1}))
    assert task.cost == ((0.0, 1.0), (50.0, 0.0)) and task.metric == "cost"
    named = task_of(["<=50K", ">50K"] * 9, Need(target="y", positive=">50K", cost={">50K><=50K": 4}))
    assert named.classes == ("<=50K", ">50K") and named.cost == ((0.0, 0.0), (4.0, 0.0))
    three = task_of(["a", "b", "c"] * 9, Need(target="y", metric="accuracy", cost={"a>b": 2}))
    assert three.cost[0][1] == 2.0 and three.metric == "accuracy"


def test_multilabel_by_columns_and_by_delimiter() -> None:
    frame = pd.DataFrame({"x": range(20), "a": [0, 1] * 10, "b": [1, 1, 0, 0] * 5})
    task = understand(frame, schema_of(frame, ("a", "b")), Need(target=("a", "b")), "tabular")
    assert (task.problem, task.classes, task.outputs) == ("multilabel", ("a", "b"), 2)
    frame = pd.DataFrame({"x": range(20), "y": ["red|blue", "blue", "green|red", "blue"] * 5})
    task = understand(frame, schema_of(frame), Need(target="y", delimiter="|"), "tabular")
    assert (task.problem, task.classes) == ("multilabel", ("blue", "green", "red"))
    values = pd.DataFrame({"x": range(20), "a": np.arange(20) / 3, "b": np.arange(20) / 7})
    task = understand(values, schema_of(values, ("a", "b")), Need(target=("a", "b")), "tabular")
    assert (task.problem, task.outputs, task.classes) == ("regression", 2, ())


def test_target_by_position() -> None:
    frame = pd.DataFrame({"0": range(20), "1": [0, 1] * 10})
    assert understand(frame, schema_of(frame, ("1",)), Need(target=-1), "tabular").target == ("1",)
    assert understand(frame, schema_of(frame, ("1",)), Need(), "tabular").target == ("1",)


@pytest.mark.parametrize(("y", "need", "error", "says"), [
    ([3] * 9, Need(target="y"), DataError, "must vary"),
    ([None] * 9, Need(target="y"), DataError, "all missing"),
    ([0, 1] * 9, Need(target="z"), UsageError, "target='z'"),
    ([0, 1] * 9, Need(target=9), UsageError, "target=9"),
    ([0, 1] * 9, Need(target="y", positive="2"), UsageError, "positive='2'"),
    ([0, 1] * 9, Need(target="y", metric="acuracy"), UnknownName, "did you mean 'accuracy'"),
    ([0, 1] * 9, Need(target="y", metric="rmse"), UsageError, "metric='rmse'"),
    ([0.5, 1, 7] * 9, Need(target="y", metric="f1"), UsageError, "metric='f1'"),
    ([0.5, 1, 7] * 9, Need(target="y", positive="7"), UsageError, "positive='7'"),
    ([0, 1] * 9, Need(target="y", at_least={"recal": 0.9}), UnknownName, "recall"),
    ([0, 1] * 9, Need(target="y", cost={"a>b": 1}), UsageError, "cost='a>b'"),
    ([0, 1] * 9, Need(target="y", cost={"FN": -1}), UsageError, "FN=-1"),
    (["a", "b", "c"] * 9, Need(target="y", cost={"FN": 1}), UsageError, "FN=1"),
    (["a", "b", "c"] * 9, Need(target="y", problem="binary"), UsageError, "3 values"),
    (["a", "b", "c"] * 9, Need(target="y", problem="regression"), UsageError, "y='a'"),
    ([0, 1] * 9, Need(target="y", problem="detection"), UsageError, "problem='detection'"),
    ([f"t{i}" for i in range(30)], Need(target="y"), DataError, "looks like an id"),
    ([f"t{i % 5001}" for i in range(10100)], Need(target="y"), DataError, "5001 classes"),
    ([1.5, float("inf"), 2.5] * 9, Need(target="y"), DataError, "finite"),
    ([0, 1] * 9, Need(target="y", group="who"), UsageError, "group='who'"),
])
def test_bad_input_is_one_sentence(y: list[object], need: Need, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        task_of(y, need)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_labels_joined_in_one_value_are_asked_about():
    tags = ["red;round", "red", "blue;round", "blue", "round", "red;blue", "red;blue;round", "blue;red"] * 6
    (question,) = task_of(tags).questions
    assert "'red;round' list several labels" in question and "--delimiter ';'" in question
    assert not task_of([f"{town}, {land}" for town in "abcd" for land in ("x",)] * 6).questions



def test_groups_and_times_are_asked_about_not_applied() -> None:
    rng = np.random.default_rng(0)
    who = rng.integers(0, 60, 300)
    when = pd.date_range("2024-01-01", periods=300, freq="h")
    task = task_of([0, 1, 1] * 100, patient_id=who, seen=when.strftime("%Y-%m-%d %H:%M:%S"))
    assert task.group is None and any("--group patient_id" in q for q in task.questions)
    frame = pd.DataFrame({"patient_id": who, "seen": when, "y": [0, 1, 1] * 100})
    task = understand(frame, schema_of(frame, seen="datetime"), Need(target="y"), "tabular")
    assert task.time is None and any("--time seen" in q and "stand in its order" in q for q in task.questions)
    named = understand(frame, schema_of(frame, seen="datetime"), Need(target="y", group="patient_id", time="seen"),
                       "tabular")
    assert (named.group, named.time) == ("patient_id", "seen") and not named.questions


def test_detection_leaves_plain_columns_alone() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"household": rng.integers(0, 90, 400) + 0.5, "age": rng.integers(18, 90, 400), "colour":
                          rng.choice(["red", "blue"], 400), "month": rng.choice(["jan", "feb", "mar"], 400)})
    assert detect.groups(frame, schema_of(frame)) == [] and detect.times(frame, schema_of(frame)) == []
    months = pd.DataFrame({"month": np.repeat(["jan", "feb", "mar"], 100)})
    assert [s.column for s in detect.times(months, schema_of(months))] == ["month"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 12), st.floats(-1e6, 1e6), st.sampled_from(["a", "b", "yes", "no", " x", ""]),
                          st.none(), st.booleans()), min_size=1, max_size=60))
@example([0, 0, 0, 1, 2.225073858507203e-309])
@example([0, 1, 2.225073858507203e-309])
def test_any_target_gives_a_task_or_one_sentence(y: list[object]) -> None:
    frame = pd.DataFrame({"a": range(len(y)), "y": pd.Series(y, dtype=object)})
    try:
        task = understand(frame, schema_of(frame), Need(target="y"), "tabular")
    except (UsageError, DataError) as error:
        assert "got" in str(error) and "\n" not in str(error)
        return
    assert len(set(task.classes)) == len(task.classes)
    assert (len(task.classes) >= 2) == task.classifies
