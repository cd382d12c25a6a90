"""Intervals cover, and a winner's estimate is corrected for having been picked."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rightfit import metrics
from rightfit.errors import UsageError
from rightfit.metrics.interval import bbc, bootstrap, draws
from rightfit.records import Task


def task(problem="binary", k=2, **more):
    return Task(modality="tabular", problem=problem, target=("y",), metric="f1",
                classes=tuple(f"c{i}" for i in range(k)) if problem != "regression" else (), **more)


def coin(n, seed, right=0.7):
    """Labels, and predictions that are right with a known chance."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.where(rng.random(n) < right, y, 1 - y) * 0.8 + 0.1
    return y, np.stack([1 - p, p], axis=1)


def test_the_interval_covers_a_known_score():
    held = 0
    for seed in range(200):
        y, p = coin(200, seed)
        value, low, high = bootstrap(y, p, None, "accuracy", task(), n=300, seed=seed)
        assert low <= value <= high
        held += low <= 0.7 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_it_agrees_with_scipy():
    from scipy.stats import bootstrap as reference
    rng = np.random.default_rng(0)
    error = rng.exponential(size=150)
    _, low, high = bootstrap(np.zeros(150), error, None, "mae", task("regression"), n=4000, seed=1)
    other = reference((error,), np.mean, n_resamples=4000, method="BCa", rng=2).confidence_interval
    assert (low, high) == (pytest.approx(other.low, abs=0.02), pytest.approx(other.high, abs=0.02))


def test_same_seed_same_interval_other_seed_another():
    y, p = coin(100, 0)
    first, again, other = (bootstrap(y, p, None, "roc_auc", task(), n=200, seed=s) for s in (3, 3, 4))
    assert first == again and first[1:] != other[1:] and first[0] == other[0]


def test_groups_are_drawn_whole_and_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 25)
    w = draws(rng, 50, 500, groups)
    assert (w.reshape(50, 20, 25) == w.reshape(50, 20, 25)[:, :, :1]).all()
    assert (w[:, ::25].sum(1) == 20).all()
    level = rng.normal(size=20)[groups]
    _, low, high = bootstrap(np.zeros(500), level, None, "mae", task("regression"), seed=0)
    _, low_g, high_g = bootstrap(np.zeros(500), level, None, "mae", task("regression"), groups=groups + 100, seed=0)
    assert high_g - low_g > 2.5 * (high - low)


def test_strata_keep_the_class_counts():
    y, _ = coin(60, 0)
    w = draws(np.random.default_rng(0), 20, 60, strata=y)
    assert (w[:, y == 1].sum(1) == y.sum()).all() and (w.sum(1) == 60).all()
    y = np.array([1] * 3 + [0] * 50)
    p = np.random.default_rng(0).dirichlet([1, 1], 53)
    assert np.isfinite(bootstrap(y, p, None, "recall", task(), stratify=True)).all()


def test_perfect_scores_get_the_rule_of_three_and_undefined_ones_nan():
    y = np.array([0, 1] * 15)
    value, low, high = bootstrap(y, np.eye(2)[y], None, "accuracy", task())
    assert (value, high) == (1.0, 1.0) and low == pytest.approx(1 - 3 / 15)
    value, low, high = bootstrap(np.zeros(9, int), np.eye(2)[y[:9]], None, "recall", task())
    assert np.isnan([value, low, high]).all()
    with pytest.raises(UsageError, match="rows=1"):
        bootstrap(y[:1], np.eye(2)[y[:1]], None, "accuracy", task())


def test_codes_and_folds_count():
    y, p = coin(100, 0)
    wrong = 1 - metrics.labels(p, task())
    right = bootstrap(y, p, None, "accuracy", task())[0]
    assert bootstrap(y, p, wrong, "accuracy", task())[0] == pytest.approx(1 - right)
    codes = np.where(np.arange(100) < 20, -1, metrics.labels(p, task()))
    folds = [np.arange(20, 60), np.arange(60, 100)]
    assert bootstrap(y, p, codes, "accuracy", task(), folds=folds)[0] == (codes == y)[20:].mean()
    auc = [metrics.score("roc_auc", y[f], p[f], task()) for f in folds]
    assert bootstrap(y, p, None, "roc_auc", task(), folds=folds)[0] == pytest.approx(np.mean(auc))


def test_a_user_metric_is_bootstrapped():
    y, p = coin(80, 0)
    mine = bootstrap(y, p, None, "sklearn.metrics:zero_one_loss", task(), n=200)
    own = bootstrap(y, p, None, "accuracy", task(), n=200)
    assert mine[0] == pytest.approx(1 - own[0]) and mine[1] == pytest.approx(1 - own[2], abs=0.02)


@pytest.mark.parametrize("name", ["roc_auc", "f1", "log_loss"])
def test_big_data_are_capped(name):
    y, p = coin(100_000, 0)
    start = time.process_time()
    value, low, high = bootstrap(y, p, None, name, task(), seconds=1.0)
    assert time.process_time() - start < 8
    assert low < value < high and high - low < 0.02


def guesses(n, m, seed):
    """Labels, and m candidates that know nothing."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return y, {f"c{i}": rng.dirichlet([1, 1], n) for i in range(m)}


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy"])
def test_the_winner_of_many_guesses_is_brought_back(name):
    naive, corrected, held = [], [], 0
    folds = [np.arange(100).reshape(5, 20)[i] for i in range(5)]
    for seed in range(40):
        y, stack = guesses(100, 30, seed)
        e = bbc(y, stack, name, task(), folds=folds, n=150, seed=seed)
        assert e.bias >= 0 and e.naive == pytest.approx(e.value + e.bias) and e.low <= e.value <= e.high
        assert e.winner in stack
        naive.append(e.naive)
        corrected.append(e.value)
        held += e.low <= 0.5 <= e.high
    assert np.mean(naive) > 0.58
    assert abs(np.mean(corrected) - 0.5) < 0.03
    assert held >= 36


def test_losses_are_corrected_upwards():
    rng = np.random.default_rng(0)
    y = rng.normal(size=80)
    stack = {f"c{i}": rng.normal(size=80) * 0.3 for i in range(20)}
    e = bbc(y, stack, "rmse", task("regression"), folds=np.array_split(np.arange(80), 4), n=200)
    assert e.value > e.naive and e.bias < 0 and e.low < e.value < e.high
    best = min(metrics.score("rmse", y, p, task("regression")) for p in stack.values())
    assert e.naive == pytest.approx(best, rel=1e-12)


def test_one_candidate_needs_little_correction():
    y, p = coin(400, 0)
    e = bbc(y, {"only": p}, "accuracy", task(), n=300)
    value, low, high = bootstrap(y, p, None, "accuracy", task())
    assert abs(e.value - value) < 0.01 and e.high - e.low > 1.2 * (high - low)


def test_a_clear_winner_is_kept_and_an_undefined_one_left_out():
    y, p = coin(300, 0, right=0.95)
    _, stack = guesses(300, 5, 0)
    bad = np.full((300, 2), np.nan)
    e = bbc(y, {**stack, "good": p, "bad": bad}, "roc_auc", task(), n=200)
    assert e.winner == "good" and e.bias < 0.01
    with pytest.raises(UsageError, match="roc_auc=nan"):
        bbc(y, {"bad": bad}, "roc_auc", task())
    with pytest.raises(UsageError, match="one candidate or more"):
        bbc(y, {}, "roc_auc", task())


def test_groups_and_codes_reach_the_estimate():
    y, p = coin(200, 0)
    codes = metrics.labels(p, task())
    e = bbc(y, {"a": p, "b": p}, "f1", task(), codes={"a": 1 - codes, "b": codes}, groups=np.arange(200) // 20, n=100)
    assert e.winner == "b" and e.naive == pytest.approx(metrics.score("f1", y, p, task()))
    assert e == bbc(y, {"a": p, "b": p}, "f1", task(), codes={"a": 1 - codes, "b": codes},
                    groups=np.arange(200) // 20, n=100)
