"""The race and its board: who leads, who is dropped, large tables, resume, ablations."""

import dataclasses
import time

import numpy as np
import pytest

import rightfit as rf
from rightfit.choose import ask, examine
from rightfit.delivery import prove
from rightfit.engines.inline import Inline
from rightfit.report.sentences import say
from rightfit.store import Store
from rightfit.tuning import forecast, lineup, race, state
from rightfit.tuning.board import difference, leader_of
from rightfit.tuning.clock import start
from rightfit.tuning.state import Unit

FAMILIES = ("linear", "naive_bayes", "tree")


def table(rows=400, leak=False):
    import pandas as pd

    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    y = (x[:, 0] + x[:, 1] + random.normal(size=rows) > 0).astype(int)
    frame = pd.DataFrame(x, columns=list("abcd")).assign(y=np.where(y, "yes", "no"))
    return frame.assign(after=y + random.normal(size=rows) * 0.01) if leak else frame


def raced(frame, folder, *, budget="60s", **need):
    asked = rf.Need(target="y", budget=budget, folds=3, **({"families": FAMILIES, "proposals": 2} | need))
    question = examine(ask(frame, asked))
    store = Store.open(folder, {"data": question.fingerprint})
    heard = []
    racing = lineup.line_up(question, store, start(asked.budget_s), 4000.0,
                            lambda kind, fields: heard.append((kind, fields)))
    with Inline() as engine:
        race.run(racing, engine, 1)
    return racing, store, heard


def test_the_leader_has_all_folds_and_beats_the_baseline(tmp_path):
    racing, store, heard = raced(table(), tmp_path / "run")
    board = racing.board
    leader, base = board.entry(racing.leader), board.entry(board.baseline)
    assert leader.folds == (0, 1, 2) and leader.candidate.family == "linear"
    mean, t = difference(leader, base)
    assert mean > 0.2 and t > 5 and difference(leader, leader) == (0.0, 0.0)
    assert sum(1 for kind, _ in heard if kind == "finished") == len(store.trials()) - 3
    assert (tmp_path / "run" / "package" / "manifest.json").exists()
    store.close()


def test_the_slow_lead_on_one_fold_when_it_is_beyond_doubt(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run", proposals=0)
    board = racing.board
    slow, quick = racing.leader, board.baseline
    board.baseline = ""  # a family like any other, quick and poor
    kept = {at: trial for at, trial in board.trials.items() if at[0] == quick or (at[0] == slow and at[1] == 0)}
    board.trials.clear()
    board.trials.update(kept)
    assert board.entry(quick).folds == (0, 1, 2) and board.entry(slow).folds == (0,)
    assert leader_of(board).candidate.key == slow
    finalists = prove.finalists(board, board.baseline)
    assert list(finalists) == [slow] and finalists[slow].folds == (0,)  # the quick one is behind on all of its folds
    board.baseline = quick
    assert list(prove.finalists(board, board.baseline)) == [slow, quick]
    store.close()


def test_a_family_that_fell_behind_finishes_the_repeat_for_blends(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run", proposals=0, families=(*FAMILIES, "blend"))
    board = racing.board
    whole = {board.candidates[key].family for key in board.candidates if board.folds(key) == (0, 1, 2)}
    assert board.pruned and {"linear", "tree", "naive_bayes"} <= whole
    behind = [key for key in board.pruned if board.folds(key) == (0, 1, 2)]
    assert behind and all(key in board.out for key in behind)
    store.close()


def test_every_regulariser_of_the_leader_is_measured_beside_it(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run")
    assert racing.board.ablations and set(store.meta("ablations")) == racing.board.ablations
    assert racing.leader not in racing.board.ablations
    store.close()


def test_large_tables_start_on_a_share_of_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "LARGE", 100)
    monkeypatch.setattr(state, "RUNG_ROWS", 60)
    racing, store, _ = raced(table(), tmp_path / "run")
    shares = {trial.fidelity for trial in store.trials()}
    assert racing.rung in shares and 1.0 in shares
    assert racing.board.entry(racing.leader).folds and not racing.empty
    store.close()


def test_once_the_time_for_looking_is_over_one_look_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "LARGE", 200)
    monkeypatch.setattr(state, "RUNG_ROWS", 100)
    monkeypatch.setattr(state, "RUNG_LEAST", 50)
    racing, store, _ = raced(table(600), tmp_path / "run", proposals=0)
    store.close()
    first = racing.short.candidates[0]
    share = racing.share(first)
    assert share < 1.0
    for key in [key for key in racing.board.trials if key[0] != racing.board.baseline
                and key != (first.key, 0, share)]:
        del racing.board.trials[key]
    racing.board.out.clear()
    racing.leader = racing.board.baseline
    for spent, ready in ((1.0, False), (30.0, True)):
        racing.clock = dataclasses.replace(racing.clock, budget_s=60.0, spent_before=spent, started=time.monotonic())
        assert race._ready(racing) == ready == racing.looked


def test_no_fold_is_started_that_would_be_cut_short(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run")
    best = racing.board.entry(racing.leader)
    unit, took = Unit(candidate=best.candidate, fold=max(best.folds) + 1), racing.board.fit_s(best)
    assert forecast.cut_short(racing, unit, 0.5 * took) and not forecast.cut_short(racing, unit, 0.9 * took)
    assert not forecast.cut_short(racing, dataclasses.replace(unit, fold=0), 0.0), "the first is cut where it must be"
    assert racing.open(unit)
    race.shelve(racing, unit, left=1.0)
    key = best.candidate.key
    assert not racing.open(unit) and racing.leader != key and "another fold takes about" in racing.board.out[key]
    assert "再训练一折" in say(racing.board.out[key], "zh_CN")
    aside = next(racing.board.candidates[k] for k in sorted(racing.board.ablations) if racing.board.has(k, 0))
    before, later = racing.board.out[aside.key], max(racing.board.folds(aside.key)) + 1
    race.shelve(racing, Unit(candidate=aside, fold=later), left=1.0)
    assert racing.board.out[aside.key] == before and not racing.idle(Unit(candidate=aside, fold=later))
    store.close()


@pytest.mark.parametrize("seconds, tried", [(1.0, True), (1000.0, False)])
def test_whose_folds_would_take_all_the_time_left_makes_room_for_others(tmp_path, monkeypatch, seconds, tried):
    told = forecast.of

    def slow(racing, unit):
        found = told(racing, unit)
        some = forecast.Forecast(value=seconds, low=0.0, high=2 * seconds)
        return {**found, "fit_s": some} if unit.candidate.family == "tree" else found

    monkeypatch.setattr(forecast, "of", slow)
    racing, store, _ = raced(table(), tmp_path / "run", proposals=0)
    assert any(key.startswith("tree") for key, _, _ in racing.board.trials) == tried
    store.close()


def test_what_keeps_its_work_for_all_folds_does_not_wait(tmp_path, monkeypatch):
    racing, store, _ = raced(table(), tmp_path / "run", proposals=0)
    slow = next(c for c in racing.short.candidates if c.family == "tree")
    told = {"fit_s": forecast.Forecast(value=1000.0, low=0.0, high=2000.0)}
    monkeypatch.setattr(forecast, "of", lambda racing, unit: told)
    family = racing.short.families["tree"]
    for change, waits in (({}, True), ({"paced": True}, False), ({"rung": 0.25}, False)):
        racing.short.families["tree"] = dataclasses.replace(family, **change)
        assert race._too_dear(racing, Unit(candidate=slow, fold=0)) == waits
    assert not race._too_dear(racing, Unit(candidate=slow, fold=0, fidelity=0.25))
    store.close()


def test_what_a_tie_may_hide_is_one_figure():
    from rightfit import decide
    from rightfit.tuning import board

    assert board.BEHIND == decide.WIDEST


def test_a_suspected_leak_is_scored_both_ways(tmp_path):
    racing, store, _ = raced(table(leak=True), tmp_path / "run")
    assert racing.suspects == ("after",)
    without = racing.board.entry(race.without_suspects(racing).key)
    assert without.utility < racing.board.entry(racing.leader).utility - 0.05
    store.close()


def test_consent_takes_a_suspected_leak_out(tmp_path):
    asked = []
    question = examine(ask(table(leak=True), rf.Need(target="y")), consent=lambda columns: not asked.append(columns))
    assert asked == [("after",)] and "after" not in question.data.X.columns
    assert "Left out" in question.audit.of("target_leak")[0].consequence
    kept = examine(ask(table(leak=True), rf.Need(target="y")), consent=lambda columns: False)
    assert "after" in kept.data.X.columns


def test_what_the_audit_calls_for_is_tried_on_the_leader(tmp_path):
    frame = table()
    frame = frame[(frame["y"] == "no") | (np.arange(len(frame)) % 6 == 0)]
    racing, store, _ = raced(frame, tmp_path / "run", metric="f1")
    tried = {c.steps[0].name for c in racing.board.candidates.values() if c.steps}
    assert {"class_weight", "oversample"} <= tried
    store.close()


def test_a_resumed_race_repeats_nothing(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run")
    before = {(t.candidate.key, t.fold, t.fidelity): t.seconds for t in store.trials()}
    store.close()
    again, store, heard = raced(table(), tmp_path / "run")
    after = {(t.candidate.key, t.fold, t.fidelity): t.seconds for t in store.trials()}
    assert again.leader == racing.leader and before.items() <= after.items()
    assert sum(1 for kind, _ in heard if kind == "finished") == len(after) - len(before) < len(before) / 2
    store.close()


@pytest.mark.parametrize("search", ["grid", "random", "tpe"])
def test_every_strategy_finds_a_leader(tmp_path, search):
    racing, store, _ = raced(table(200), tmp_path / "run", search=search, proposals=4)
    assert not racing.empty
    assert search == "tpe" or racing.proposals == 4
    store.close()


def test_racing_stops_when_its_time_is_up(tmp_path):
    question = examine(ask(table(), rf.Need(target="y", budget="9s", families=FAMILIES, folds=3)))
    with Store.open(tmp_path / "run", {}) as store:
        clock = dataclasses.replace(start(9.0), spent_before=8.9)
        racing = lineup.line_up(question, store, clock, 4000.0, lambda kind, fields: None)
        with Inline() as engine:
            race.run(racing, engine, 1)
        assert racing.empty


def test_a_later_fold_that_runs_out_of_time_costs_a_candidate_that_fold_only(tmp_path):
    racing, store, _ = raced(table(), tmp_path / "run")
    board, leader = racing.board, racing.leader
    late = dataclasses.replace(board.trials[leader, 1, 1.0], fold=2, state="timeout", blob="", error="still running")
    board.add(late)
    assert leader not in board.failed and leader not in board.out
    assert board.folds(leader) == (0, 1) and board.entry(leader).folds == (0, 1)
    board.add(dataclasses.replace(late, state="crashed"))
    assert leader in board.failed
    store.close()


def test_another_fit_costs_what_the_quickest_fold_did_less_what_is_kept_for_all():
    from types import SimpleNamespace

    from rightfit.tuning.board import Board

    measured = [{"fit_s": 140.0, "shared_s": 120.0}, {"fit_s": 25.0, "shared_s": 3.0}, {"fit_s": 30.0}]
    board = SimpleNamespace(trials={("k", fold, 1.0): SimpleNamespace(measured=m) for fold, m in enumerate(measured)})
    entry = SimpleNamespace(candidate=SimpleNamespace(key="k"), folds=(0, 1, 2))
    assert Board.fit_s(board, entry) == 20.0
    entry.folds = ()
    assert Board.fit_s(board, entry) == 0.0


def test_of_a_networks_first_look_a_part_is_judged():
    from rightfit.registry import plugin
    from rightfit.tuning.trial import answered

    network, table = (plugin("rightfit.models", name, "family") for name in ("cnn", "linear"))
    assert answered(network, 3000, 5000, 0.25) == (1000, 300)
    assert answered(network, 12_000, 3000, 1.0) == (3000, 1000)
    assert answered(network, 100, 20, 0.25) == (20, 100)
    assert answered(table, 3000, 5000, 0.25) == (5000, 3000)
