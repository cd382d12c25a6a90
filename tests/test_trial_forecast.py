"""What trials will take before they start: learned as a race goes on, and used to leave out what cannot finish."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit.records import Candidate, Facts, Family, Task, Trial
from rightfit.report.sentences import say
from rightfit.tuning import forecast, race
from rightfit.tuning.forecast import Seen, combined
from rightfit.tuning.state import Unit

FACTS = Facts(year=2020, paper="p", licence="MIT", framework="numpy", good_at="x")


def family(name, seconds, requires=()):
    return Family(name=name, modality="tabular", problems=("binary",), build=lambda params, task: None, facts=FACTS,
                  seconds=lambda task: seconds * task.rows, requires=requires)


def racing(**families):
    """A race over families {name: seconds a row} of 1,000 training rows, with nothing done yet."""
    task = Task(modality="tabular", problem="binary", target=("y",), metric="roc_auc", classes=("a", "b"), rows=1500,
                features=10)
    fold = (np.arange(1000), np.arange(500))
    board = SimpleNamespace(task=task, stage=SimpleNamespace(folds=(fold, fold)), trials={}, ablations=set(), out={},
                            candidates={}, folds=lambda key: ())
    short = SimpleNamespace(families={n: family(n, s) for n, s in families.items()},
                            candidates=tuple(Candidate(family=n) for n in families))
    return SimpleNamespace(board=board, short=short, empty=False, memory_mib=2000.0, left_out={}, earlier={},
                           looks=lambda unit: unit.fidelity < 1.0)


def done(at, name, fit_s, rows=1000.0, fold=0, params=None, **more):
    candidate = Candidate(family=name, params=params or {})
    at.board.trials[candidate.key, fold, rows / 1000] = Trial(
        candidate=candidate, fold=fold, measured={"fit_s": fit_s, "peak_mib": 300.0, "train_rows": rows, **more})


def told(at, name, fidelity=1.0, fold=1, params=None):
    unit = Unit(candidate=Candidate(family=name, params=params or {}), fold=fold, fidelity=fidelity)
    return forecast.of(at, unit)["fit_s"]


def test_without_trials_it_is_the_prior_with_a_wide_interval():
    found = told(racing(a=0.01), "a")
    assert found.value == pytest.approx(10.0) and found.high / found.value > 5 and found.kind == "forecast"


def test_another_family_says_how_fast_the_machine_is():
    at = racing(a=0.01, b=0.02)
    done(at, "a", 30.0)
    assert told(at, "b").value > 1.2 * 20.0, "the machine seems to be slower than the prior says"
    assert told(at, "b").value < 3 * 20.0


def test_its_own_trial_is_known_best_and_rows_scale_it():
    at = racing(a=0.01)
    done(at, "a", 30.0)
    again, share = told(at, "a"), told(at, "a", fidelity=0.25)
    assert again.value == pytest.approx(30.0, rel=0.1) and again.high / again.low < 8
    assert share.value == pytest.approx(7.5, rel=0.2) and share.high / share.low > again.high / again.low


def test_a_fit_that_was_cut_short_tells_nothing_of_time():
    at = racing(a=0.01)
    done(at, "a", 30.0, soft_s=31.0)
    assert told(at, "a").value == pytest.approx(10.0)


def test_a_larger_network_takes_as_many_times_longer_as_a_row_takes_it():
    at = racing(a=0.01)
    for params, cost in (({}, 1.0), ({"depth": 50}, 4.0)):
        candidate = Candidate(family="a", params=params)
        at.board.trials[candidate.key, -1, 0.0] = Trial(candidate=candidate, fold=-1, fidelity=0.0,
                                                        measured={"latency_p50_ms": cost, "size_mib": 10.0})
    assert told(at, "a", params={"depth": 50}).value == pytest.approx(4 * told(at, "a").value)


def test_what_cannot_finish_is_left_out_with_its_reason():
    at = racing(a=0.001, b=10.0)
    done(at, "a", 1.0)
    slow = Unit(candidate=Candidate(family="b"), fold=0)
    found = forecast.of(at, slow)
    reason = forecast.hopeless(at, slow, found, left=30.0)
    assert reason.startswith("not trained: a fit was forecast to take") and "30 s were left" in reason
    assert say(reason, "zh_CN").startswith("未训练")
    assert forecast.hopeless(at, slow, found, left=1e6) == ""
    at.empty = True
    assert forecast.hopeless(at, slow, found, left=30.0) == "", "the first of a race is always tried"
    at.empty = False
    at.board.ablations.add(slow.candidate.key)
    assert forecast.hopeless(at, slow, found, left=30.0) == ""
    at.board.ablations.clear()
    race.leave_out(at, slow, found, reason)
    assert at.board.out[slow.candidate.key] == reason and at.left_out[slow.candidate.key]["fit_s_forecast"] > 1e3


def test_what_does_not_fit_into_memory_is_left_out():
    at = racing(a=1e-6)
    at.memory_mib = 1.0
    unit = Unit(candidate=Candidate(family="a"), fold=0)
    reason = forecast.hopeless(at, unit, forecast.of(at, unit), left=1e6)
    assert "MiB of memory" in reason and "MiB 内存" in say(reason, "zh_CN")


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=8), st.sampled_from(sorted(forecast.SPREADS)))
def test_more_trials_never_widen_the_interval(ratios, name):
    known = [Seen("a", "a-1", ratio, 100.0) for ratio in ratios]
    spreads = [combined(known[:n], "a", "a-1", 100.0, name)[1] for n in range(len(known) + 1)]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(spreads))
    mean, _ = combined(known, "a", "a-1", 100.0, name)
    assert min(0.0, *ratios) - 1e-9 <= mean <= max(0.0, *ratios) + 1e-9
    assert math.isfinite(mean)


def test_the_next_run_on_this_machine_begins_with_what_was_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert forecast.recall() == {}
    for times in range(forecast.EARLIER + 2):
        at = racing(a=0.01)
        done(at, "a", 30.0 + times)
        forecast.remember(at)
    at = racing(a=0.01, b=0.02)
    before = told(at, "a")
    at.earlier = forecast.recall()
    assert len(at.earlier["fit_s"]) == forecast.EARLIER
    assert told(at, "a").value == pytest.approx(34.0, rel=0.15)
    assert told(at, "a").high / told(at, "a").low < before.high / before.low
    next((tmp_path / "rightfit").iterdir()).write_text("{")
    assert forecast.recall() == {}, "what is damaged is forgotten"


def test_a_first_look_does_part_of_the_work_and_says_all_of_it() -> None:
    at = racing(slow=0.1)
    at.short.families["slow"] = dataclasses.replace(at.short.families["slow"], haste=0.5)
    for _ in range(3):
        done(at, "slow", 12.5, rows=250.0, work=0.5)
    whole, look = (forecast.of(at, Unit(candidate=Candidate(family="slow"), fold=0, fidelity=share))["fit_s"].value
                   for share in (1.0, 0.25))
    assert whole == pytest.approx(100.0, rel=0.15) and look == pytest.approx(12.5, rel=0.15)
