"""data/split.py: folds partition, keep classes even, groups whole and time in order, and depend on the seed alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.data.split import default_folds, duplicate_groups, folds
from rightfit.errors import DataError, UsageError
from rightfit.records import Column, Dataset, Schema, Task

SCHEMA = Schema(columns=(Column(name="a", kind="numeric"),))
FEW = settings(max_examples=60, deadline=None)


def dataset(y: Any, a: Any = None, **more: Any) -> Dataset:
    return Dataset(X=pd.DataFrame({"a": np.arange(len(y), dtype=float) if a is None else a}), y=y, schema=SCHEMA,
                   **more)


def task(problem: Any = "multiclass") -> Task:
    return Task(modality="tabular", problem=problem, target=("y",), metric="accuracy", classes=("a", "b"), outputs=1)


@FEW
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.integers(2, 6), st.integers(1, 3), st.integers(0, 99))
def test_classes_partition_and_spread(labels: list[int], n_folds: int, repeats: int, seed: int) -> None:
    y = np.array(labels, dtype=np.int64)
    found = folds(dataset(y), task(), n_folds=n_folds, repeats=repeats, seed=seed)
    size = min(n_folds, len(y))
    assert len(found) == size * repeats
    for r in range(repeats):
        part = found[r * size:(r + 1) * size]
        assert sorted(np.concatenate([v for _, v in part])) == list(range(len(y)))
        for c in np.unique(y):
            per_fold = [int((y[v] == c).sum()) for _, v in part]
            assert max(per_fold) - min(per_fold) <= 1
    for train, valid in found:
        assert len(train) and len(valid) and not set(train) & set(valid) and len(train) + len(valid) == len(y)
        assert {c for c in np.unique(y) if (y == c).sum() >= 2} <= set(y[train])


@FEW
@given(st.lists(st.integers(0, 12), min_size=4, max_size=80), st.integers(2, 5), st.booleans(), st.integers(0, 99))
def test_groups_never_cross(members: list[int], n_folds: int, classes: bool, seed: int) -> None:
    groups = np.array(members, dtype=np.int64)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, len(groups)) if classes else rng.normal(size=len(groups))
    data, problem = dataset(y, groups=groups), task("binary" if classes else "regression")
    if len(set(members)) < 2:
        with pytest.raises(DataError, match="groups=1"):
            folds(data, problem, n_folds=n_folds, seed=seed)
        return
    found = folds(data, problem, n_folds=n_folds, seed=seed)
    assert 2 <= len(found) <= n_folds
    assert sorted(np.concatenate([v for _, v in found])) == list(range(len(y)))
    for train, valid in found:
        assert len(train) and len(valid) and not set(groups[train]) & set(groups[valid])


@FEW
@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 5))
def test_time_goes_forward(moments: list[int], n_folds: int) -> None:
    time = np.array(moments, dtype=np.int64)
    data = dataset(np.zeros(len(time)), time=time)
    if len(set(moments)) < 2:
        with pytest.raises(DataError, match="times=1"):
            folds(data, task("regression"), n_folds=n_folds)
        return
    found = folds(data, task("regression"), n_folds=n_folds, repeats=3)
    assert 1 <= len(found) <= n_folds
    for train, valid in found:
        assert time[train].max() < time[valid].min()
    assert all(len(a[0]) < len(b[0]) for a, b in itertools.pairwise(found))
    validated = np.concatenate([v for _, v in found])
    assert len(set(validated)) == len(validated)


def test_time_and_groups_together() -> None:
    time = np.arange(100, dtype=np.int64)
    groups = (time // 7) % 9
    for train, valid in folds(dataset(np.zeros(100), time=time, groups=groups), task("regression"), n_folds=4):
        assert time[train].max() < time[valid].min() and not set(groups[train]) & set(groups[valid])


def test_regression_folds_share_the_target_range() -> None:
    y = np.random.default_rng(3).lognormal(size=500)
    for train, valid in folds(dataset(y), task("regression"), n_folds=5, seed=1):
        for q in (0.1, 0.5, 0.9):
            assert abs(np.mean(y[valid] <= np.quantile(y, q)) - q) < 0.03
        assert len(valid) == 100 and len(train) == 400


def test_multilabel_spreads_the_rarest_label() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 3)) < [0.5, 0.3, 0.05]).astype(np.int8)
    rare = [int(y[v][:, 2].sum()) for _, v in folds(dataset(y), task("multilabel"), n_folds=5)]
    assert max(rare) - min(rare) <= 2


def test_large_groups_are_balanced() -> None:
    groups = np.repeat(np.arange(10), [300, 200, 200, 100, 100, 50, 50, 50, 25, 25])
    sizes = [len(v) for _, v in folds(dataset(groups % 2, groups=groups), task("binary"), n_folds=3)]
    assert sum(sizes) == len(groups) and max(sizes) - min(sizes) <= 100


def test_same_seed_same_folds_other_seed_other_folds() -> None:
    data = dataset(np.arange(60) % 3)

    def flat(seed: int) -> list[int]:
        return [int(r) for _, v in folds(data, task(), n_folds=3, repeats=2, seed=seed) for r in v]

    assert flat(5) == flat(5) != flat(6)
    assert flat(5)[:60] != flat(5)[60:]


def test_copies_stay_together() -> None:
    a = np.r_[np.arange(80.0), np.arange(20.0)]
    groups = duplicate_groups(dataset(np.zeros(100), a=a))
    assert groups is not None and (groups[:20] == groups[80:]).all() and len(set(groups)) == 80
    assert duplicate_groups(dataset(np.zeros(100))) is None
    joined = duplicate_groups(dataset(np.zeros(100), a=a, groups=np.arange(100) // 2))
    assert joined is not None and (joined[:20] == joined[80:]).all() and (joined[0:100:2] == joined[1:100:2]).all()


def test_bad_calls() -> None:
    with pytest.raises(UsageError, match="n_folds=1"):
        folds(dataset(np.zeros(9)), task("regression"), n_folds=1)
    with pytest.raises(DataError, match="rows=1"):
        folds(dataset(np.zeros(1)), task("regression"), n_folds=2)


def test_small_tables_get_more_repeats() -> None:
    sizes = [default_folds(n, task()) for n in (8, 300, 1000, 5000, 200_000)]
    assert sizes == [(4, 1), (5, 5), (5, 3), (5, 1), (3, 1)]
