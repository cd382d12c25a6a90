"""Sets and intervals: what they hold is what was asked for, on rows that nothing was learned from."""

import numpy as np
import pytest

from rightfit.errors import DataError, UsageError
from rightfit.metrics import conformal
from rightfit.records import Task


def task(problem, **more):
    return Task(modality="tabular", problem=problem, target=("y",), metric="", **more)


def rows(problem, n, rng):
    if problem in ("binary", "multiclass"):
        k = 2 if problem == "binary" else 4
        pred = rng.dirichlet(np.ones(k), n)
        return np.array([rng.choice(k, p=p) for p in pred]), pred
    if problem == "count":
        mean = rng.uniform(0.5, 20, n)
        return rng.poisson(mean).astype(float), mean
    if problem == "quantile":
        middle = rng.normal(size=n)
        return middle + rng.normal(size=n), np.column_stack([middle - 0.3, middle + 0.3])
    wide = rng.normal(size=(n, 2))
    return wide + rng.normal(size=(n, 2)) * [1, 5], wide


@pytest.mark.parametrize("problem", ["binary", "multiclass", "count", "quantile", "regression"])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_it_covers_what_it_says(problem, level):
    rng = np.random.default_rng(1)
    of = task(problem, classes=tuple("abcd")[:2 if problem == "binary" else 4] if "c" in problem[-5:] else (),
              quantiles=(0.4, 0.6) if problem == "quantile" else (), outputs=2 if problem == "regression" else 1)
    kept = conformal.learn(*rows(problem, 2000, rng), of, level)
    share = conformal.covered(*rows(problem, 4000, rng), of, kept).mean(axis=0)
    assert np.abs(share - level).max() < (0.05 if problem == "count" else 0.025)


def test_an_outlying_fold_is_told():
    rng = np.random.default_rng(0)
    y = rng.normal(size=600)
    folds = np.split(np.arange(600), 3)
    assert conformal.study(y, np.zeros(600), folds, task("regression"), 0.9)["coverage"] == pytest.approx(0.9, abs=0.03)
    y[folds[2]] *= 10
    assert conformal.study(y, np.zeros(600), folds, task("regression"), 0.9)["coverage"] < 0.85


def test_other_levels_and_too_few_rows():
    y = np.random.default_rng(0).normal(size=30)
    kept = conformal.learn(y, np.zeros(30), task("regression"), 0.9)
    assert "0.99" not in kept["bounds"] and kept["bounds"]["0.5"] < kept["bounds"]["0.9"]
    assert conformal.intervals(np.zeros((1, 1)), task("regression"), kept, 0.5).shape == (1, 1, 2)
    with pytest.raises(UsageError, match="level must be one of those"):
        conformal.intervals(np.zeros((1, 1)), task("regression"), kept, 0.99)
    with pytest.raises(DataError, match=r"coverage=0\.9 needs 9 rows or more; got rows=8"):
        conformal.learn(y[:8], np.zeros(8), task("regression"), 0.9)
    with pytest.raises(UsageError, match="ask for sets"):
        conformal.intervals(np.ones((1, 2)), task("binary", classes=("a", "b")), kept)
    with pytest.raises(UsageError, match="ask for intervals"):
        conformal.sets(np.ones((1, 2)), task("regression"), kept)


def test_a_narrow_interval_is_never_turned_around():
    of = task("quantile", quantiles=(0.1, 0.9), outputs=2)
    pred = np.column_stack([np.full(50, -5.0), np.full(50, 5.0)])
    kept = conformal.learn(np.zeros(50), pred, of, 0.5)
    ends = conformal.intervals(np.array([[0.0, 1.0]]), of, kept)[0, 0]
    assert ends[0] == ends[1] == 0.5
