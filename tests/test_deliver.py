"""From the board to the delivered package: finalists, proofs, fallbacks, and what is said about them."""

import copy
import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest

import rightfit as rf
from rightfit.delivery import deliver, evidence, prove, verdict
from rightfit.engines.inline import Inline
from rightfit.question import ask, examine
from rightfit.records import Limit, Step
from rightfit.store import Store
from rightfit.tuning import lineup, race
from rightfit.tuning.clock import Clock, start

NEED = rf.Need(target="y", budget="60s", families=("linear", "naive_bayes", "tree"), folds=3, proposals=0)


@pytest.fixture
def raced(tmp_path):
    """A finished race on a small table, the pool still open: (question, race, bench)."""
    import pandas as pd

    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3))
    y = np.where(x[:, 0] + x[:, 1] + random.normal(size=300) > 0, "yes", "no")
    question = examine(ask(pd.DataFrame(x, columns=list("abc")).assign(y=y), NEED))
    with Store.open(tmp_path / "run", {}) as store, Inline() as pool:
        racing = lineup.line_up(question, store, start(600.0), 4000.0, lambda kind, fields: None)
        race.run(racing, pool, 1)
        bench = deliver.Bench(board=racing.board, baseline=racing.board.baseline, stage=racing.folder,
                              package=tmp_path / "run" / "package", pool=pool, clock=start(600.0), seed=0,
                              memory_mib=4000.0, watch=lambda kind, fields: None)
        yield question, racing, bench


def limited(question, racing, *limits):
    racing.board.task = dataclasses.replace(racing.board.task, limits=limits)
    return dataclasses.replace(question, task=racing.board.task)


def test_the_winner_is_refitted_proven_and_put_in_place(raced):
    question, racing, bench = raced
    found = deliver.deliver(bench)
    assert found.refitted and found.chosen is not None and not found.rejected
    assert rf.load(bench.package).info["candidate"]["family"] == found.chosen.family
    decision = verdict.verdict(question, racing, found, bench, interrupted=False)
    assert decision.estimate["low"] <= decision.estimate["value"] <= decision.estimate["high"]
    assert {"roc", "confusion", "overfit", "importance"} <= set(decision.extras)
    assert decision.trials[0]["name"] == found.chosen.key
    assert len({entry.folds for entry in found.entries.values()}) == 1


def test_only_treatments_are_told_as_effects_of_treatments(raced, monkeypatch):
    question, racing, bench = raced
    found = deliver.deliver(bench)
    entries = dict(racing.board.entries())
    entry = entries[found.chosen.key]

    def stepped(*names):
        steps = tuple(Step(name=name) for name in names)
        other = copy.copy(entry)
        object.__setattr__(other, "candidate", dataclasses.replace(entry.candidate, steps=steps))
        return {"+".join(names): other}

    more = entries | stepped("int8_weights") | stepped("class_weight") | stepped("oversample", "int8_weights")
    monkeypatch.setattr(type(racing.board), "entries", lambda board: more)
    assert list(evidence.treatments(racing.board)) == ["class_weight"]
    assert verdict.verdict(question, racing, found, bench, interrupted=False).status == "chosen"


def test_without_time_the_package_of_a_fold_is_delivered(raced):
    question, racing, bench = raced
    bench.clock = Clock(budget_s=1.0, started=time.monotonic() - 5)
    found = deliver.deliver(bench)
    assert found.chosen is not None and not found.refitted
    decision = verdict.verdict(question, racing, found, bench, interrupted=False)
    assert any("no time to train on all rows" in line for line in decision.why)


@pytest.mark.parametrize(("family", "left", "tested", "begun"), [
    ("linear", 20, 0, True), ("linear", 16, 0, False), ("cnn", 12, 0, True), ("cnn", 9, 0, False),
    ("cnn", 12, 1000, False)])
def test_a_plan_that_can_be_cut_is_refitted_in_less_time(raced, monkeypatch, family, left, tested, begun):
    from rightfit.engines.jobs import Outcome

    _, racing, bench = raced
    entry = racing.board.entry(racing.leader)
    entry = dataclasses.replace(entry, candidate=dataclasses.replace(entry.candidate, family=family),
                                measured={**entry.measured, "latency_p50_ms": 4.0})
    jobs = []
    bench.pool = SimpleNamespace(workers=2, submit=jobs.append,
                                 wait=lambda timeout: [Outcome(key=jobs[-1].key, state="ok", result={})])
    monkeypatch.setattr(type(racing.board), "fit_s", lambda board, entry: 10.0)
    monkeypatch.setattr(deliver.threads, "gain", lambda count: 1.3)
    bench.tested, bench.clock = tested, Clock(budget_s=left + deliver.TAIL_S, started=time.monotonic())
    outcome, _ = deliver._refit(bench, entry, entry.candidate)
    assert (outcome is not None) == begun == bool(jobs)
    assert not jobs or jobs[0].soft_s < jobs[0].hard_s <= left


def test_packages_are_measured_as_long_as_their_kind_fits_into_the_time(raced, monkeypatch):
    _, racing, bench = raced
    entries, asked = prove.finalists(racing.board, bench.baseline), []
    assert len(entries) >= 3
    now = SimpleNamespace(left=lambda reserve=0.0: 30.0 - 12.0 * len(asked) - reserve)
    monkeypatch.setattr(prove, "probe", lambda path, **more: asked.append(more) or {"latency_p50_ms": 1.0})
    known = {}
    prove.measure(racing.board, entries, racing.folder, now, 2.0, known)
    assert len(asked) == len(known) == 2, "a third would take 12 s as well, and 6 are left"
    assert asked[0] == {"attempts": 3, "limit_s": 3.0} and asked[1]["limit_s"] == pytest.approx(1.8)


def test_what_a_limit_hangs_on_is_measured_with_care(raced):
    question, racing, _ = raced
    slow, late = {"latency_p50_ms": 50.0}, SimpleNamespace(left=lambda reserve=0.0: 2.0)
    assert prove.care(racing.board, late) == {"attempts": 1, "limit_s": 1.0}
    assert prove.probe_s(racing.board, slow) == 2 * 20 * 0.05 and prove.probe_s(racing.board, {}) == 0.2
    limited(question, racing, Limit(name="latency_p95_ms", limit=5.0, sense="at_most"))
    assert prove.care(racing.board, late) == {"attempts": 3, "limit_s": 60.0}
    assert prove.probe_s(racing.board, slow) == 10 * 20 * 0.05


def test_a_package_that_breaks_a_limit_when_proven_gives_way_to_the_next(raced, monkeypatch):
    question, racing, bench = raced
    first = deliver.deliver(bench).chosen.key
    limited(question, racing, Limit(name="latency_p95_ms", limit=5.0, sense="at_most"))
    real = deliver.probe
    monkeypatch.setattr(deliver, "probe", lambda path, **more: real(path) | (
        {"latency_p95_ms": 9.0, "latency_p95_high_ms": 9.0} if first in str(path) else {}))
    monkeypatch.setattr(prove, "measure", lambda *given: None)
    found = deliver.deliver(bench)
    assert found.chosen is not None and found.chosen.key != first
    assert "latency_p95_ms=9 ms" in found.rejected[first]


def test_a_refit_that_took_all_of_its_time_is_said(raced, monkeypatch):
    _, _, bench = raced
    real = deliver._refit

    def cut(bench, entry, candidate):
        outcome, path = real(bench, entry, candidate)
        return dataclasses.replace(outcome, result={**outcome.result, "cut": True}), path

    assert not deliver.deliver(bench).notes
    monkeypatch.setattr(deliver, "_refit", cut)
    found = deliver.deliver(bench)
    assert found.refitted and "took all of the" in found.notes[0]


def test_a_failed_refit_is_said_and_the_fold_package_is_used(raced, monkeypatch):
    question, racing, bench = raced
    from rightfit.engines.jobs import Outcome

    monkeypatch.setattr(deliver, "_refit", lambda bench, entry, candidate: (
        Outcome(key="x", state="invalid", error="parity 0.1"), bench.stage / "nowhere"))
    found = deliver.deliver(bench)
    assert found.chosen is not None and not found.refitted and "parity 0.1" in found.notes[0]
    decision = verdict.verdict(question, racing, found, bench, interrupted=False)
    assert any("parity 0.1" in line for line in decision.why)


def test_a_limit_nothing_meets_is_infeasible_and_the_baseline_is_no_way_out(raced):
    question, racing, bench = raced
    sizes = {key: np.mean([t.measured["size_mib"] for (k, f, s), t in racing.board.trials.items()
                                    if k == key and "size_mib" in t.measured]) for key in racing.board.candidates}
    baseline = sizes.pop(racing.board.baseline)
    between = (baseline + min(size for size in sizes.values() if size == size)) / 2
    question = limited(question, racing, Limit(name="size_mib", limit=between, sense="at_most"))
    found = deliver.deliver(bench)
    assert found.chosen is None
    decision = verdict.verdict(question, racing, found, bench, interrupted=False)
    assert decision.status == "infeasible" and decision.nearest["binding"] == ["size_mib"]
    assert decision.nearest["name"] != racing.board.baseline and not decision.limits[0].met


def test_only_a_run_with_less_budget_is_taken_up_again(raced):
    question, racing, bench = raced
    store = racing.board.store
    assert verdict.stored(store, 600.0) is None
    decision = verdict.verdict(question, racing, deliver.deliver(bench), bench, interrupted=False)
    verdict.keep(store, decision)
    kept = verdict.stored(store, 600.0)
    assert kept is not None and kept.chosen == decision.chosen and kept.task == decision.task
    assert verdict.stored(store, 601.0) is None
