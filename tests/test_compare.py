"""Paired comparisons: right p-values, honest with few folds, quiet at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rightfit.errors import UsageError
from rightfit.metrics.compare import against, holm, paired, paired_rows, ties
from rightfit.records import Task

BINARY = Task(modality="tabular", problem="binary", target=("y",), metric="f1", classes=("a", "b"))


def test_paired_is_the_t_test_with_the_variance_corrected():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, 10), rng.normal(0.79, 0.02, 10)
    c = paired(a, b, 90, 10)
    plain = stats.ttest_rel(a, b)
    scale = np.sqrt((1 / 10) / (1 / 10 + 10 / 90))
    assert c.t == pytest.approx(plain.statistic * scale)
    assert c.p == pytest.approx(2 * stats.t.sf(abs(c.t), 9)) and c.p > plain.pvalue
    assert c.low < c.difference < c.high and c.n == 10
    assert (c.high - c.difference) == pytest.approx(stats.t.ppf(0.975, 9) * c.error)
    back = paired(b, a, 90, 10)
    assert (back.difference, back.p, back.low) == (-c.difference, c.p, -c.high)


def test_it_rejects_rarely_when_nothing_differs():
    """Scores of overlapping training sets are correlated, which the uncorrected test takes for evidence."""
    corrected = plain = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = 0.5 * rng.normal()
        apart = shared + np.sqrt(0.75) * rng.normal(size=10)
        corrected += paired(apart, np.zeros(10), 90, 10).p < 0.05
        plain += stats.ttest_1samp(apart, 0).pvalue < 0.05
    assert plain > 1.3 * corrected


def test_edges():
    same = paired(np.full(5, 0.1) + 0.2, np.full(5, 0.3), 80, 20)
    assert (same.p, same.t) == (1.0, 0.0) and same.low == same.high
    sure = paired(np.full(3, 0.4), np.full(3, 0.3), 80, 20)
    assert sure.p == 0.0 and sure.t == np.inf and sure.difference == pytest.approx(0.1)
    two = paired(np.array([0.8, 0.9]), np.array([0.7, 0.75]), 50, 50)
    assert np.isfinite([two.low, two.p]).all() and two.n == 2
    holed = paired(np.array([0.8, np.nan, 0.9, 0.7]), np.array([0.7, 0.5, np.nan, 0.65]), 80, 20)
    assert holed.n == 2 and holed.difference == pytest.approx(0.075)
    for a in ([0.5], [np.nan, np.nan], [0.5, np.nan]):
        none = paired(np.array(a), np.zeros(len(a)), 80, 20)
        assert np.isnan([none.p, none.low, none.t]).all() and none.n < 2
    zeros = paired(np.zeros(4), np.zeros(4), 80, 20)
    assert zeros.p == 1.0
    with pytest.raises(UsageError, match="same folds"):
        paired(np.zeros(3), np.zeros(4), 80, 20)
    with pytest.raises(UsageError, match="n_valid=0"):
        paired(np.zeros(3), np.zeros(3), 80, 0)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_keeps_order_and_is_bonferroni_for_the_least(p):
    out = holm(p)
    assert (out >= np.array(p)).all() and (out <= 1).all()
    if p:
        order = np.argsort(p, kind="stable")
        assert (np.diff(out[order]) >= 0).all()
        assert out[order[0]] == min(1.0, p[order[0]] * len(p))


def test_holm_by_hand_and_with_nan():
    assert holm([0.01, np.nan, 0.04, 0.03]).tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    assert holm([]).tolist() == []


def scores():
    rng = np.random.default_rng(0)
    base = rng.normal(0.8, 0.03, 5)
    return {"best": base, "same": base + rng.normal(0, 0.01, 5) - 0.001, "worse": base - 0.1 + rng.normal(0, 0.01, 5),
            "little": base - 0.012 + rng.normal(0, 0.003, 5), "holed": np.array([0.8, *[np.nan] * 4])}


def test_ties_are_within_one_corrected_standard_error():
    every = against(scores(), "best", 80, 20)
    assert set(every) == {"same", "worse", "little", "holed"}
    assert {name for name, c in every.items() if c.tied} == {"same"} == set(ties(scores(), "best", 80, 20))
    assert every["worse"].p < 0.05 and every["same"].p > every["worse"].p
    for c in every.values():
        if c.n > 1:
            assert c.tied == (c.difference <= c.error)
    assert not every["holed"].tied


def test_the_test_rule_ties_more_and_better_ones_always():
    found = ties(scores(), "best", 80, 20, rule="holm")
    assert set(ties(scores(), "best", 80, 20)) <= set(found) and "worse" not in found
    assert "best" in ties(scores(), "worse", 80, 20) and "best" in ties(scores(), "worse", 80, 20, rule="holm")
    flat = {"a": np.ones(3), "b": np.ones(3), "c": np.zeros(3)}
    assert set(ties(flat, "a", 80, 20)) == {"b"} == set(ties(flat, "a", 80, 20, rule="holm"))
    with pytest.raises(UsageError, match="best='none'"):
        ties(flat, "none", 80, 20)
    with pytest.raises(UsageError, match="rule='x'"):
        ties(flat, "a", 80, 20, rule="x")


def predictions(n, seed, right):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    p = np.where(rng.random(n) < right, y, 1 - y) * 0.6 + 0.2 + 0.1 * rng.random(n)
    return y, np.stack([1 - p, p], axis=1)


def test_paired_rows_sees_a_difference_and_its_sign():
    y, a = predictions(600, 0, 0.85)
    _, b = predictions(600, 1, 0.70)
    for metric in ("accuracy", "roc_auc", "log_loss"):
        c = paired_rows(y, a, b, metric, BINARY, n=500)
        assert c.difference > 0 and c.low > 0 and c.p < 0.01 and c.low < c.difference < c.high
        back = paired_rows(y, b, a, metric, BINARY, n=500)
        assert back.difference == -c.difference and back.high < 0
    assert paired_rows(y, a, b, "f1", BINARY) == paired_rows(y, a, b, "f1", BINARY)


def test_paired_rows_under_no_difference():
    rejected = 0
    for seed in range(150):
        y, a = predictions(120, seed, 0.75)
        _, b = predictions(120, seed + 10_000, 0.75)
        rejected += paired_rows(y, a, b, "accuracy", BINARY, n=200, seed=seed).p < 0.05
    assert rejected <= 0.12 * 150
    y, a = predictions(50, 0, 0.8)
    same = paired_rows(y, a, a, "accuracy", BINARY, n=100)
    assert (same.difference, same.t, same.p) == (0.0, 0.0, 1.0)


def test_paired_rows_groups_codes_and_undefined():
    y, a = predictions(200, 0, 0.8)
    ones, zeros = np.ones(200, int), np.zeros(200, int)
    c = paired_rows(y, a, a, "recall", BINARY, codes=(ones, zeros), groups=np.arange(200) // 10, n=100)
    assert c.difference == 1.0 and c.p < 0.05
    none = paired_rows(np.zeros(20, int), a[:20], a[:20], "roc_auc", BINARY, n=50)
    assert np.isnan(none.p)
