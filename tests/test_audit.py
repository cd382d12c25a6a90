"""data/audit.py and data/checks: each trap is found where it was planted, and clean tables stay quiet."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rightfit.data import audit as subject
from rightfit.data.audit import audit, drops, fingerprint, leaks, run_check
from rightfit.records import Check, Column, Dataset, Finding, Need, Schema, Task
from rightfit.registry import plugins

RNG = np.random.default_rng(0)
N = 600


def dataset(y: Any, /, **columns: Any) -> Dataset:
    frame = pd.DataFrame(columns)

    def kind(name: str) -> str:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            return "datetime"
        return "numeric" if pd.api.types.is_numeric_dtype(frame[name]) else "categorical"

    for name in frame.columns:
        if kind(name) == "categorical":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    schema = Schema(columns=tuple(Column(name=str(n), kind=kind(str(n))) for n in frame.columns))
    return Dataset(X=frame, y=y, schema=schema)


def task_for(y: Any, target: str = "y", classes: int | None = None) -> Task:
    whole = np.issubdtype(np.asarray(y).dtype, np.integer)
    k = classes or (int(np.max(y)) + 1 if whole else 0)
    problem: Any = "regression" if not whole else "binary" if k == 2 else "multiclass"
    return Task(modality="tabular", problem=problem, target=(target,), metric="accuracy", rows=len(y),
                classes=tuple("abcdefghij"[:k]))


def clean(n: int = N) -> tuple[Dataset, Task]:
    rng = np.random.default_rng(7)
    a, b, c = rng.normal(size=n), rng.normal(size=n), rng.choice(["red", "green", "blue"], n)
    y = (a + b + rng.normal(size=n) > 0).astype(np.int64)
    return dataset(y, a=a, b=b, c=c), task_for(y)


def found(code: str, data: Dataset, task: Task, **more: Any) -> dict[str | None, Finding]:
    result = audit(data, task, **more)
    assert not result.of("check_failed"), result.of("check_failed")
    return {f.column: f for f in result.of(code)}


def with_column(**columns: Any) -> tuple[Dataset, Task]:
    data, task = clean()
    frame = data.X.assign(**columns)
    return dataset(data.y, **{str(n): frame[n] for n in frame.columns}), task


def test_clean_table_is_quiet() -> None:
    result = audit(*clean())
    assert [f.code for f in result.findings if f.severity != "info" and f.code != "label_errors"] == []
    assert (result.rows, result.columns) == (N, 3) and len(result.fingerprint) == 64


def test_every_finding_says_what_follows() -> None:
    data, task = with_column(k=1.0, w=np.r_[np.nan, np.ones(N - 1)], n=np.arange(N, dtype=float))
    for finding in audit(data, task).findings:
        assert finding.evidence.endswith(".") and len(finding.consequence) > 10, finding


def test_missing_constant_and_row_numbers() -> None:
    gaps = np.where(np.arange(N) % 3 == 0, np.nan, RNG.normal(size=N))
    data, task = with_column(gaps=gaps, most=[None] * 400 + ["x"] * 200, k="same", id=np.arange(N) + 10.0)
    missing = found("missing_values", data, task)
    assert missing["gaps"].data["share"] == pytest.approx(1 / 3) and missing["gaps"].severity == "info"
    assert missing["most"].severity == "warning"
    assert set(found("constant", data, task)) == {"k"} and set(found("id_column", data, task)) == {"id"}


@pytest.mark.parametrize(("low", "high", "zeros", "asked"), [(40, 200, 30, True), (40, 200, 300, False), (1, 200, 30,
                                                                                                          False)])
def test_zeros_apart_are_asked_about(low: int, high: int, zeros: int, asked: bool) -> None:
    values = RNG.integers(low, high, N).astype(float)
    values[RNG.choice(N, zeros, replace=False)] = 0
    assert ("p" in found("hidden_missing", *with_column(p=values))) is asked


def test_zeros_that_are_missing_together_join() -> None:
    clear, often = RNG.integers(40, 200, N).astype(float), RNG.integers(20, 160, N).astype(float)
    clear[:40] = 0
    often[:250] = 0
    assert set(found("hidden_missing", *with_column(clear=clear, often=often))) == {"clear", "often"}
    assert set(found("hidden_missing", *with_column(often=often))) == set()


def test_codes_far_away_are_asked_about_once() -> None:
    counts = RNG.poisson(3, N).astype(float)
    counts[:20] = 98
    assert found("hidden_missing", *with_column(late=counts))["late"].data["values"] == ["98"]
    note = Finding(code="missing_marker", severity="ask", column="late", data={"markers": {"98": 20}})
    assert found("hidden_missing", *with_column(late=counts), notes=(note,)) == {}


def test_duplicates_conflicts_and_near_duplicates() -> None:
    data, task = clean()
    twice = data.take(np.r_[np.arange(N), np.arange(60)])
    assert found("duplicates", twice, task)[None].data["rows"] == 60
    assert not audit(twice, task).of("conflicting_labels")
    flipped = dataclasses.replace(twice, y=np.r_[twice.y[:N], 1 - twice.y[N:]])
    assert found("conflicting_labels", flipped, task)[None].data["rows"] == 60
    wide = pd.DataFrame(RNG.normal(size=(300, 4)), columns=list("abcd"))
    near = pd.concat([wide, wide[:20] + 1e-4], ignore_index=True)
    y = RNG.integers(0, 2, 320)
    assert found("near_duplicates", dataset(y, **{str(n): near[n] for n in near}), task_for(y))[None].data["rows"] == 40


def test_leaks_are_severe_and_dropped_only_with_consent() -> None:
    data = clean()[0]
    alive = np.where(data.y == 1, "yes", "no")
    filled = np.where(data.y == 1, RNG.normal(size=N), np.nan)
    data, task = with_column(alive=alive, filled=filled, k=0.0)
    result = audit(data, task)
    assert leaks(result) == ("alive", "filled")
    assert result.of("target_leak")[1].data["gap_score"] == 1.0
    assert set(drops(result, Need())) == {"k"}
    assert set(drops(result, Need(drop_leaks=True))) == {"k", "alive", "filled"}
    assert set(drops(result, Need(drop_leaks=True, keep=("alive",)))) == {"k", "filled"}


def test_leak_in_regression_and_multiclass() -> None:
    load = RNG.normal(size=N)
    data = dataset(load, x=RNG.normal(size=N), cooling_load=load + 0.15 * RNG.normal(size=N),
                   near=load + 0.5 * RNG.normal(size=N))
    assert leaks(audit(data, task_for(load, "heating_load"))) == ("cooling_load",)
    y = RNG.integers(0, 5, N)
    assert leaks(audit(dataset(y, x=RNG.normal(size=N), code=10.0 - y), task_for(y))) == ("code",)


def test_names_of_the_aftermath_need_strength() -> None:
    data = clean()[0]
    strong = data.y + 0.4 * RNG.normal(size=N)
    assert set(found("leak_hint", *with_column(duration=strong + 5))) == {"duration"}
    assert found("leak_hint", *with_column(duration=RNG.normal(size=N))) == {}


def test_redundant_columns() -> None:
    data, task = clean()
    data, task = with_column(copy=data.X["c"], coded=data.X["c"].map({"red": 1.0, "green": 2.0, "blue": 0.0}),
                             scaled=3 * data.X["a"] + 1)
    assert set(found("redundant", data, task)) == {"copy", "coded", "scaled"}


def test_imbalance_and_rare_classes() -> None:
    y = np.r_[np.zeros(500), np.ones(90), np.full(8, 2), np.full(2, 3)].astype(np.int64)
    data, task = dataset(y, x=RNG.normal(size=N)), task_for(y)
    assert found("class_imbalance", data, task)[None].data["ratio"] == 250
    assert found("rare_classes", data, task)[None].data["classes"] == ["d"]
    assert found("few_examples", data, task)[None].data["classes"] == ["c"]


def test_label_errors_rank_the_flipped_rows() -> None:
    x = np.r_[RNG.normal(-4, 1, 300), RNG.normal(4, 1, 300)]
    y = (x > 0).astype(np.int64)
    flipped = set(range(5, 600, 50))
    y[list(flipped)] = 1 - y[list(flipped)]
    rows = found("label_errors", dataset(y, x=x, z=RNG.normal(size=N)), task_for(y))[None].data["rows"]
    assert len(set(rows) & flipped) >= 9 and len(set(rows) - flipped) <= 2
    values = 3 * x + RNG.normal(size=N)
    values[7] = 500
    assert found("label_errors", dataset(values, x=x), task_for(values))[None].data["rows"][0] == 7


def test_values_of_columns_and_target() -> None:
    wild, infinite = RNG.normal(size=N), RNG.normal(size=N)
    wild[3], infinite[4] = 1e4, np.inf
    mixed = np.where(np.arange(N) % 10 == 0, "none", np.round(RNG.normal(size=N), 2).astype(str))
    data, task = with_column(wild=wild, infinite=infinite, mixed=mixed, town=[f"t{i % 150}" for i in range(N)])
    assert "wild" in found("outliers", data, task) and set(found("infinite_values", data, task)) == {"infinite"}
    assert found("mixed_types", data, task)["mixed"].data["words"] == ["none"]
    assert "town" in found("high_cardinality", data, task) and "town" in found("rare_categories", data, task)
    y = np.minimum(np.exp(RNG.normal(size=N)), 3.0)
    assert found("capped_target", dataset(y, x=wild), task_for(y))["y"].data["value"] == 3.0
    y = RNG.normal(size=N)
    y[9] = 900
    assert found("target_outliers", dataset(y, x=wild), task_for(y))["y"].data["rows"] == 1


def test_few_rows_for_the_columns() -> None:
    y = RNG.integers(0, 2, 60)
    data = dataset(y, **{f"c{i}": RNG.normal(size=60) for i in range(20)})
    assert found("few_rows", data, task_for(y))[None].severity == "warning"


def test_groups_time_and_order_are_asked_about() -> None:
    who = RNG.integers(0, 80, N)
    y = (who % 2).astype(np.int64)
    when = pd.date_range("2024-01-01", periods=N, freq="h")
    data, task = dataset(y, customer_id=who.astype(float), when=when, x=RNG.normal(size=N)), task_for(y)
    assert found("group_leakage", data, task)["customer_id"].data["agreement"] == 1.0
    assert "when" in found("time_order", data, task)
    told = dataclasses.replace(task, group="customer_id", time="when")
    assert not found("group_leakage", data, told) and not found("time_order", data, told)
    ordered = dataset(np.sort(y), x=RNG.normal(size=N), place=np.sort(RNG.normal(size=N)))
    assert "y" in found("sorted_by_target", ordered, task)
    assert found("ordered_rows", ordered, task)["place"].data["columns"] == ["place"]


def test_shift_and_copies_across_test() -> None:
    data, task = clean()
    other, _ = clean(400)
    assert not audit(data, task, test=other.take(np.arange(300))).of("train_test_shift")
    moved = dataclasses.replace(other, X=other.X.assign(b=other.X["b"] + 2, c="violet"))
    result = audit(data, task, test=moved)
    assert result.of("train_test_shift")[0].data["auc"] > 0.9
    assert set(result.of("train_test_shift")[0].data["columns"]) == {"b", "c"}
    assert result.of("unseen_categories")[0].column == "c"
    assert audit(data, task, test=data.take(np.arange(50))).of("duplicates_across_test")[0].data["share"] == 1.0


def test_a_failing_check_is_reported_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
        yield Finding(code="before", severity="info")
        raise ZeroDivisionError("no")

    check = Check(name="broken", run=broken)
    data, task = clean()
    assert [f.code for f in run_check(check, data, task)] == ["before", "check_failed"]
    real = plugins("rightfit.data.checks")
    monkeypatch.setattr(subject, "plugins", lambda package: {"broken": check, "constants": real["constants"]})
    codes = [f.code for f in audit(with_column(k=1.0)[0], task).findings]
    assert sorted(codes) == ["before", "check_failed", "constant"]


def test_deadline_modalities_and_unlabelled_rows() -> None:
    data, task = clean()
    late = audit(data, task, deadline=time.monotonic() - 1)
    assert {f.code for f in late.findings} == {"check_skipped"}
    other = audit(data, dataclasses.replace(task, modality="elsewhere"))
    assert not other.of("check_failed")
    bare = audit(dataclasses.replace(data, y=None), task)
    assert not bare.of("check_failed")


@pytest.mark.parametrize("rows", [1, 2, 3, 12])
def test_tiny_and_odd_tables_break_no_check(rows: int) -> None:
    columns = {"n": [np.nan] * rows, "t": [None] * rows, "v": np.arange(rows, dtype=float), "inf": [np.inf] * rows}
    y = np.arange(rows) % 2
    for target in (y, np.arange(rows, dtype=float), np.stack([y, 1 - y], axis=1).astype(np.int8)):
        task = task_for(y, classes=2)
        problem: Any = "multilabel" if target.ndim == 2 else "binary" if target is y else "regression"
        task = dataclasses.replace(task, problem=problem, classes=() if problem == "regression" else task.classes)
        assert not audit(dataset(target, **columns), task).of("check_failed")
    assert not audit(dataset(y, x=np.ones(rows)), task_for(y, classes=2)).of("check_failed")


def test_input_is_not_changed_and_fingerprint_follows_content() -> None:
    data, task = clean()
    before, y = data.X.copy(), data.y.copy()
    first = audit(data, task)
    pd.testing.assert_frame_equal(data.X, before)
    assert (data.y == y).all() and audit(data, task) == first and fingerprint(data) == first.fingerprint
    changed = dataclasses.replace(data, X=data.X.assign(a=np.r_[9.0, data.X["a"][1:]]))
    assert fingerprint(changed) != first.fingerprint
    assert fingerprint(dataclasses.replace(data, y=1 - data.y)) != first.fingerprint


@pytest.mark.shared
def test_leaks_of_real_tables() -> None:
    home = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "tabular"
    if not home.exists():
        pytest.skip("the real tables are not here")
    frame = pd.read_csv(home / "titanic_seaborn.csv", keep_default_na=False)
    y = frame.pop("survived").to_numpy(dtype=np.int64)
    columns = {str(n): frame[n].astype(str) if frame[n].dtype == bool else frame[n] for n in frame.columns}
    assert leaks(audit(dataset(y, **columns), task_for(y, "survived"))) == ("alive",)
