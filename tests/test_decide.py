"""The decision as pure functions: limits, ties, front, nearest, what would change."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit import decide
from rightfit.decide import Contender
from rightfit.records import Limit

LATENCY = Limit(name="latency_p95_ms", limit=5.0, sense="at_most")


def contender(key, utility, latency=1.0, *, behind=None, baseline=False, **measured):
    gaps = {other: (d, d - 0.1, d + 0.1, t) for other, (d, t) in (behind or {}).items()}
    figures = {"latency_p50_ms": latency, "latency_p95_ms": latency, "size_mib": 1.0, "fit_s": 1.0, "memory_mib": 80.0}
    return Contender(key=key, family=key, utility=utility, measured=figures | measured, gaps=gaps, baseline=baseline)


def test_the_best_wins_when_told_apart():
    best = contender("a", 0.9, 4.0, behind={"b": (0.1, 5.0)})
    assert [c.key for c in decide.order([contender("b", 0.8), best], [LATENCY])] == ["a", "b"]


def test_a_tie_goes_to_the_clearly_cheaper():
    best = contender("a", 0.9, 4.0, behind={"b": (0.001, 0.3)})
    assert decide.order([best, contender("b", 0.899, 0.1)], [])[0].key == "b"
    assert decide.order([best, contender("b", 0.899, 2.0)], [])[0].key == "a"


def test_a_tie_hides_no_large_loss():
    """However noisy: 1 point of a score that ends at 1, or 1 % of a loss."""
    for utility, behind in ((0.9, 0.01), (-10.0, 0.1)):
        cheap = contender("b", utility - behind, 0.1)
        best = contender("a", utility, 4.0, behind={"b": (behind, 0.3)})
        near = contender("a", utility, 4.0, behind={"b": (behind / 3, 0.3)})
        assert [c.key for c in decide.ties(best, [best, cheap])] == ["a"] and decide.order([best, cheap], [])[0] == best
        assert decide.order([near, cheap], [])[0].key == "b"


def test_a_limit_is_held_with_headroom():
    assert not decide.check([LATENCY], {"latency_p95_ms": 4.9})[0].met
    assert decide.check([LATENCY], {"latency_p95_ms": 3.9})[0].met
    assert not decide.check([LATENCY], {"latency_p95_ms": 4.0, "latency_p95_high_ms": 4.9})[0].met


def test_what_was_not_measured_is_not_met():
    assert not decide.check([LATENCY], {})[0].met
    assert not decide.check([Limit(name="recall", limit=0.9, sense="at_least")], {"recall": math.nan})[0].met


def test_infeasible_names_the_binding_limit_and_what_it_takes():
    near = decide.nearest([contender("a", 0.9, 50.0), contender("b", 0.8, 6.0), contender("base", 0.5, 0.1,
                                                                                        baseline=True)], [LATENCY])
    assert near["name"] == "b" and near["binding"] == ["latency_p95_ms"]
    assert "7.5 ms instead of 5 ms" in near["would_take"]


def test_what_would_change_says_what_a_relaxed_limit_buys():
    slow = contender("slow", 0.9, 7.0, behind={"fast": (0.05, 4.0)})
    fast = contender("fast", 0.85, 1.0, behind={"slow": (-0.05, -4.0)})
    said = decide.changes([slow, fast], [LATENCY], fast, "f1", True)
    assert said == ("With latency_p95_ms at most 8.75 ms instead of 5 ms, slow would be chosen: "
                    "+0.05 f1 [-0.05, 0.15].",)


def test_nothing_would_change_is_said_too():
    assert decide.changes([contender("a", 0.9)], [], contender("a", 0.9), "f1", True)[0].startswith("No limit was set")


def test_front_drops_the_dominated():
    good = contender("good", 0.9, 1.0)
    assert decide.front([good, contender("worse", 0.8, 2.0), contender("fast", 0.7, 0.5)]) == ("good", "fast")


figures = st.tuples(st.floats(0, 1), st.floats(0.01, 100), st.floats(0.01, 100))


@given(st.lists(figures, min_size=1, max_size=8), st.floats(0.05, 50))
def test_whatever_is_ordered_meets_every_limit_and_front_is_never_empty(rows, limit):
    limits = [Limit(name="latency_p95_ms", limit=limit, sense="at_most")]
    all_ = [contender(f"c{i}", u, lat, size_mib=size) for i, (u, lat, size) in enumerate(rows)]
    ordered = decide.order(all_, limits)
    assert {c.key for c in ordered} == {c.key for c in all_ if decide.feasible(limits, c)}
    assert decide.front(all_)
    if not ordered:
        assert decide.nearest(all_, limits)["binding"] == ["latency_p95_ms"]


@pytest.mark.parametrize(("name", "shown"), [("latency_p95_ms", "3 ms"), ("size_mib", "3 MiB"), ("f1", "3"),
                                             ("throughput_per_s", "3/s"), ("fit_s", "3 s")])
def test_figures_carry_their_unit(name, shown):
    assert decide.show(name, 3.0) == shown
