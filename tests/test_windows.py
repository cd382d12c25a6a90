"""Adjusted p, persistence over windows, falls of a stream."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.delivery.monitor import windows
from rightfit.errors import DataError, Unavailable, UsageError

P = st.lists(st.none() | st.floats(0, 1), max_size=30)


@given(P)
@settings(deadline=None)  # the first call imports scipy
def test_adjusted_p_is_never_smaller_and_keeps_the_order(given_p):
    p, found = np.array(given_p, float), windows.adjust(given_p)
    known = ~np.isnan(p)
    assert found.shape == p.shape and (np.isnan(found) == ~known).all()
    assert (found[known] >= p[known] - 1e-12).all() and (found[known] <= 1).all()
    assert (np.diff(found[known][np.argsort(p[known])]) >= -1e-12).all()


def test_p_is_adjusted_over_features_and_windows_together():
    p = np.array([[0.001, 0.5, np.nan], [0.02, 0.03, 0.9]])
    assert windows.adjust(p)[0, 0] == pytest.approx(0.005) and windows.adjust(p).shape == (2, 3)
    assert windows.adjust(p)[1, 0] == windows.adjust(p)[1, 1] == pytest.approx(0.05)  # 0.03 * 5 / 3, kept in order


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_what_is_no_p_is_refused(wrong):
    with pytest.raises(DataError, match=r"p=.*\.$"):
        windows.adjust([0.5, wrong])


def test_no_drift_alarms_in_at_most_five_percent_of_windows():
    p = np.random.default_rng(0).random((2000, 50))
    assert np.mean([(windows.adjust(window) <= 0.05).any() for window in p]) <= 0.065  # 0.05 + 3 standard errors


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 6), st.integers(0, 4))
def test_persistence_counts_the_last_windows(history, k, more):
    n = k + more
    assert windows.persistent(history, k, n) == (history[-n:].count(True) >= k)
    assert not windows.persistent([True] * (k - 1), k, n) and windows.persistent([True] * k, k, n)


@pytest.mark.parametrize(("k", "n"), [(0, 3), (4, 3), (-1, -1)])
def test_a_persistence_that_cannot_be_is_refused(k, n):
    with pytest.raises(UsageError, match=f"k={k}, n={n}"):
        windows.persistent([], k, n)


def stream(seed, *parts):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(rows) < accuracy for rows, accuracy in parts]).astype(float)


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
def test_a_fall_is_seen_and_a_rise_or_rest_is_not(detector):
    pytest.importorskip("river")
    late = [windows.falls(stream(seed, (2000, 0.9), (1000, 0.7)), detector) for seed in range(10)]
    assert all(found and 2000 <= found[0] < 2500 for found in late)
    calm = [windows.falls(stream(seed, (3000, 0.9)), detector) for seed in range(20)]
    assert sum(map(bool, calm)) <= 2
    assert not any(windows.falls(stream(seed, (1000, 0.7), (1000, 0.9)), detector) for seed in range(5))


def test_a_stream_that_cannot_be_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="'cusum'"):
        windows.falls([1.0], "cusum")
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(Unavailable, match=r"needs river; .*rightfit\[stream\]`\.$"):
        windows.falls([1.0])


@pytest.mark.parametrize("wrong", [np.nan, 2.0])
def test_a_value_outside_is_refused(wrong):
    pytest.importorskip("river")
    with pytest.raises(DataError, match="row=1"):
        windows.falls([1.0, wrong])
