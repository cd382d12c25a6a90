"""Replays: three policies over time, stopped and gone on with, and what cannot be replayed."""

import json
import types

import numpy as np
import pandas as pd
import pytest

from rightfit import replay
from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.delivery import versions
from rightfit.delivery.due import delivered
from rightfit.delivery.monitor import reference
from rightfit.errors import DataError, UsageError
from rightfit.package import load, write
from rightfit.records import Candidate, Need, Rule, Task
from rightfit.report import watch_page
from rightfit.tuning import trial

NEED = Need(target="y", time="at", metric="accuracy")
PLAN = replay.Plan(first=800, period="400rows", learn=600, cooldown=1)


def rows(n=2800, turn=1200):
    """Rows in time; from `turn` on labels follow from the features the other way round."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 3))
    sign = np.where(np.arange(n) < turn, 1, -1)
    y = sign * (X @ [1.5, -1, 0.5]) + 0.5 * rng.normal(size=n) > 0
    when = pd.date_range("2026-01-01", periods=n, freq="h")
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": np.where(y, "yes", "no"), "at": when})


def chosen(frame, need, out):
    """What `choose` leaves: a package with a reference, made without a race."""
    if not (out / "package").exists():
        schema, _ = infer(frame, need)
        task = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"),
                    rows=len(frame), time="at")
        data, candidate = assemble(frame, schema, task), Candidate(family="tree", params={"max_depth": 4})
        half = np.arange(len(data) // 2)
        model = trial.fit(candidate, data.take(half), task, seed=0, deadline=float("inf"))
        write.write(model, out / "package", task=task, schema=schema, rule=Rule(threshold=(0.5,)), candidate=candidate,
                    sample=frame)
        held = data.take(half + len(half))
        reference.attach(out / "package", held.X, held.y, delivered(load(out / "package"), held)[0], {"a": 1.0})
    return types.SimpleNamespace(decision=types.SimpleNamespace(chosen={"name": "tree"}))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(replay, "choose", lambda frame, need, out: chosen(frame, need, out))


def test_a_turned_world_is_followed_on_alarm_and_a_stopped_replay_goes_on(offline, tmp_path):
    whole = replay.replay(rows(), NEED, out=tmp_path / "whole", plan=PLAN)
    never, every, alarm = whole.sums
    assert len(whole.periods) == 5 and never.value < 0.4 < 0.6 < every.value and alarm.value > 0.5
    assert every.updated == every.looked == 5 and 1 <= alarm.updated <= alarm.looked <= 4
    assert whole.periods[1]["alarm"]["alarmed"] and alarm.seconds > 0

    def stop(line):
        if line["period"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay.replay(rows(), NEED, out=tmp_path / "part", plan=PLAN, watch=stop)
    path = tmp_path / "part" / "periods.jsonl"
    path.write_text(path.read_text() + '{"torn')
    versions.promote(tmp_path / "part" / "alarm", versions.add(tmp_path / "part" / "alarm",
                                                               tmp_path / "part" / "run" / "package"))
    again = replay.replay(rows(), NEED, out=tmp_path / "part", plan=PLAN)
    assert [[p[name]["value"] for name in replay.POLICIES] for p in again.periods] == \
        [[p[name]["value"] for name in replay.POLICIES] for p in whole.periods]
    with pytest.raises(UsageError, match="another folder"):
        replay.replay(rows(), NEED, out=tmp_path / "part", plan=replay.Plan(first=900, period="400rows"))
    with pytest.raises(UsageError, match="learn=500"):
        replay.replay(rows(), NEED, out=tmp_path / "few", plan=replay.Plan(first=500, period="400rows"))
    for language, said in (("en", "when the monitor alarms"), ("zh_CN", "警报时更新")):
        page = watch_page.render_replay(json.loads(json.dumps(replay.asdict(whole))), name="x.csv", language=language)
        assert said in page and "http" not in page.replace("http-equiv", "")
    assert "no updates" in replay.text(whole)


def test_time_is_cut_by_rows_or_by_the_clock():
    when = rows()["at"].astype("int64").to_numpy() * (1 if rows()["at"].dtype.str.endswith("[ns]") else 1000)
    first, edges = replay.cut(when, replay.Plan(first=0.25, period="10d"))
    assert first == 700 and np.diff(edges).tolist() == [240] * (len(edges) - 1)
    for plan, said in ((replay.Plan(first=50), "100 rows"), (replay.Plan(first=0.5, period="2h"), "30 rows"),
                       (replay.Plan(first=0.5, period="2000rows"), "2 periods")):
        with pytest.raises(DataError, match=said):
            replay.cut(when, plan)
    with pytest.raises(UsageError, match="500rows"):
        replay.cut(np.arange(500.0), replay.Plan(period="30d"))


@pytest.mark.parametrize(("change", "need", "said"), [
    (lambda f: f, Need(target="y"), "a target and a time"),
    (lambda f: f, Need(target="z", time="at"), "column='z'"),
    (lambda f: f.drop(columns="at"), NEED, "column='at'"),
    (lambda f: f.assign(at=["soon", *f["at"].astype(str)[1:]]), NEED, "row=0")])
def test_what_cannot_be_replayed_gets_one_sentence(change, need, said, tmp_path):
    with pytest.raises((DataError, UsageError), match=said):
        replay.replay(change(rows()), need, out=tmp_path / "r", plan=PLAN)
    assert not (tmp_path / "r").exists()


def test_times_of_several_zones_are_one_order():
    frame = rows(4)
    frame["at"] = ["2026-01-01T12:00:00+08:00", "2026-01-01T03:00:00Z", "2026-01-01T05:00:00+01:00",
                   "2025-12-31T23:30:00-05:00"]
    assert replay._ordered(frame, NEED)[0]["at"].tolist()[0] == "2026-01-01T03:00:00Z"
