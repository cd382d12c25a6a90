"""The run folder: resume, lock, crashes at any point, and records that come back as they went in."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import store as store_module
from rightfit.errors import DataError, UsageError
from rightfit.records import Candidate, Step, Trial
from rightfit.store import LEDGER, LOCK, Store, read_arrays, write_arrays
from rightfit.testing._case import in_time

PRINT = {"data": "abc", "target": "y"}


def trial(i: int = 0, **settings: Any) -> Trial:
    return Trial(**{"candidate": Candidate(family="ridge", params={"alpha": float(i)}), "fold": 0,
                    "scores": {"r2": i / 7}, "seconds": 0.5} | settings)


def test_records_come_back_and_resume(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a" / "run", PRINT) as store:
        assert not store.resumed
        store.put_blob("p0", pred=np.arange(6.0).reshape(3, 2), fold=np.array([0, 1, 1]))
        first = trial(0, blob="p0", measured={"latency_p95_ms": np.float64(0.2)}, learned={"n": np.int64(3)})
        store.record(first)
        store.record(trial(1, state="crashed", error="no"))
        store.set_meta("progress", {"rung": 2})
        store.event("start", "it began")
    with Store.open(tmp_path / "a" / "run", PRINT) as store:
        assert store.resumed and store.trials() == [first, trial(1, state="crashed", error="no")]
        assert store.get(first.candidate, 0) == first and store.get(first.candidate, 1) is None
        assert store.get(first.candidate, 0, 0.5) is None and store.get(first.candidate, 0, 1.0, 9) is None
        assert store.blob("p0")["pred"].tolist() == [[0, 1], [2, 3], [4, 5]]
        assert store.meta("progress") == {"rung": 2} and store.meta("none", 5) == 5
        assert [(kind, text) for _, kind, text in store.events()] == [("start", "it began")]


def test_the_same_key_is_written_over(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        store.record(trial(1, state="timeout"))
        store.record(trial(1, fidelity=0.1))
        store.record(trial(1, fidelity=0.1 + 1e-12))
        store.record(trial(1))
        assert [(t.state, t.fidelity) for t in store.trials()] == [("ok", 0.1), ("ok", 0.1 + 1e-12), ("ok", 1.0)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6)
params = st.dictionaries(st.text(max_size=6), values, max_size=4)
candidates = st.builds(Candidate, family=st.text(min_size=1, max_size=8), params=params,
                       steps=st.lists(st.builds(Step, name=st.text(max_size=5), params=params), max_size=2).map(tuple))
figures = st.dictionaries(st.text(max_size=6), st.floats(allow_nan=False), max_size=3)
trials = st.builds(Trial, candidate=candidates, fold=st.integers(0, 99), fidelity=st.floats(0.001, 1),
                   seed=st.integers(0, 2**64), state=st.sampled_from(["ok", "pruned", "timeout", "oom", "crashed"]),
                   scores=figures, measured=figures, learned=params, error=st.text(max_size=20),
                   seconds=st.floats(0, 1e6))


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Store.open(tmp_path_factory.mktemp("shared"), PRINT) as store:
        yield store


@settings(max_examples=60, deadline=None)
@given(trials)
def test_any_trial_comes_back_equal(shared_store: Store, one: Trial) -> None:
    shared_store.record(one)
    back = shared_store.get(one.candidate, one.fold, one.fidelity, one.seed)
    assert back == one and back.candidate.key == one.candidate.key


def test_tuples_nan_and_odd_text_keep_the_key(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        one = trial(0, candidate=Candidate(family="mlp", params={"hidden": (64, 32)}), scores={"x": float("nan")},
                    error="file \udcff")
        store.record(one)
        back = store.trials()[0]
        assert back.candidate.key == one.candidate.key and back.candidate.params == {"hidden": [64, 32]}
        assert np.isnan(back.scores["x"]) and back.error == "file \\udcff"
        with pytest.raises(UsageError, match="JSON values only; got type=complex"):
            store.record(trial(0, learned={"x": 1j}))


@pytest.mark.parametrize(("other", "text"), [
    ({"data": "abc", "target": "z"}, r"same target; got target='z' but .* has 'y'"),
    ({"data": "abc"}, "same target; got target=None"),
    ({"data": "abc", "target": "y", "metric": "f1"}, "same metric"),
])
def test_another_fingerprint_is_refused_and_named(tmp_path: Path, other: dict[str, str], text: str) -> None:
    Store.open(tmp_path, PRINT).close()
    with pytest.raises(UsageError, match=text):
        Store.open(tmp_path, other)
    Store.open(tmp_path, PRINT).close()


def test_fingerprint_of_tuples_and_numbers_resumes(tmp_path: Path) -> None:
    own = {"drop": ("a", "b"), "n": np.int64(3)}
    Store.open(tmp_path, own).close()
    with Store.open(tmp_path, own) as store:
        assert store.resumed


def test_overwrite_deletes_our_files_only(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        store.record(trial(0, blob=store.put_blob("p", x=np.zeros(2))))
        store.put_file("figures/roc.svg", b"<svg/>")
        store.put_file("report.html", b"<html>")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "package").mkdir()
    with Store.open(tmp_path, {"target": "z"}, overwrite=True) as store:
        assert not store.resumed and store.trials() == []
        assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(LEDGER)) == [
            LOCK, "blobs", "figures", "notes.txt"]
        assert not list((tmp_path / "blobs").iterdir()) and not list((tmp_path / "figures").iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else_is_refused_untouched(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    (tmp_path / LEDGER).write_text("theirs")
    with pytest.raises(UsageError, match="needs an empty folder"):
        Store.open(tmp_path, PRINT, overwrite=overwrite)
    assert sorted(p.name for p in tmp_path.iterdir()) == [LEDGER, "thesis.tex"]


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"writable folder.*file exists"):
        Store.open(tmp_path / "file", PRINT)
    with pytest.raises(UsageError, match="writable folder"):
        Store.open(tmp_path / "file" / "below", PRINT)


def test_a_second_opener_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        store.record(trial(3))
        with pytest.raises(UsageError, match=rf"held by pid {os.getpid()} on "):
            Store.open(tmp_path, PRINT)
        with Store.read(tmp_path) as reader:
            assert reader.trials() == [trial(3)]
            with pytest.raises(UsageError, match="readonly"):
                reader.record(trial(4))
        store.record(trial(5))
    with Store.read(tmp_path) as reader:
        assert len(reader.trials()) == 2
    with pytest.raises(UsageError, match="run folder holds"):
        Store.read(tmp_path / "none")


@pytest.mark.parametrize("left", ["nothing", "lock", "empty ledger", "tables only", "blobs"])
def test_a_half_created_folder_is_completed(tmp_path: Path, left: str) -> None:
    if left != "nothing":
        (tmp_path / LOCK).touch()
    if left == "blobs":
        (tmp_path / "blobs").mkdir()
    if left == "empty ledger":
        (tmp_path / LEDGER).touch()
    if left == "tables only":
        with Store.open(tmp_path, PRINT) as store, store._transaction() as db:
            db.execute("DELETE FROM meta")
    with Store.open(tmp_path, {"target": "other"}) as store:
        assert not store.resumed
        store.record(trial(1))
    with Store.open(tmp_path, {"target": "other"}) as store:
        assert store.resumed and store.trials() == [trial(1)]


def test_a_damaged_ledger_is_named_and_can_be_overwritten(tmp_path: Path) -> None:
    Store.open(tmp_path, PRINT).close()
    (tmp_path / LEDGER).write_bytes(b"not a database at all " * 100)
    with pytest.raises(UsageError, match="whole SQLite file"):
        Store.open(tmp_path, PRINT)
    with Store.open(tmp_path, PRINT, overwrite=True) as store:
        assert store.trials() == []


def test_another_format_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        store._db.execute("PRAGMA user_version=99")
    with pytest.raises(UsageError, match="format=99"):
        Store.open(tmp_path, PRINT)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_trial_with_a_damaged_blob_runs_again(tmp_path: Path, damage: str) -> None:
    with Store.open(tmp_path, PRINT) as store:
        for i in range(2):
            store.record(trial(i, blob=store.put_blob(f"p{i}", x=np.arange(50.0))))
        path = store.blob_path("p0")
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:100] if damage == "truncate" else content[:200] + b"\xff\x00" + content[202:])
    with Store.open(tmp_path, PRINT) as store:
        assert [t.blob for t in store.trials()] == ["p1"]
        assert [kind for _, kind, _ in store.events()] == ["damaged"]
        if damage != "flip":
            with pytest.raises(DataError, match="must be whole"):
                store.blob("p0")


def test_blobs_refuse_objects_and_odd_names(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        with pytest.raises(UsageError, match=r"got x.dtype=object"):
            store.put_blob("p", x=np.array([{"a": 1}]))
        for name in ("", "../x", "a/b", ".x"):
            with pytest.raises(UsageError, match="blob's name"):
                store.put_blob(name, x=np.zeros(1))
        for name in ("", "../x", "/etc/x", LEDGER, LOCK):
            with pytest.raises(UsageError, match="inside the run folder"):
                store.put_file(name, b"")
        with pytest.raises(UsageError, match="stored before the trial"):
            store.record(trial(0, blob="never"))
        assert store.trials() == [] and not list((tmp_path / "blobs").iterdir())


def test_arrays_come_back_as_they_are(tmp_path: Path) -> None:
    arrays = {"file": np.array(["a", "bc"]), "empty": np.zeros((0, 3)), "b": np.array([True]), "f": np.float32([1.5])}
    write_arrays(tmp_path / "x.npz", **arrays)
    back = read_arrays(tmp_path / "x.npz")
    assert list(back) == list(arrays)
    for name, values_ in arrays.items():
        assert back[name].dtype == values_.dtype and np.array_equal(back[name], values_)


def test_leftovers_of_a_crash_are_deleted(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        store.put_blob("p", x=np.zeros(1))
    (tmp_path / "blobs" / ".p.npz.tmp-ab12").write_bytes(b"half")
    with Store.open(tmp_path, PRINT) as store:
        assert [p.name for p in (tmp_path / "blobs").iterdir()] == ["p.npz"]
        (tmp_path / ".report.html.tmp-1").touch()
        assert store.prune_leftovers() == [".report.html.tmp-1"]


WRITER = """
import sys, numpy as np
from rightfit.records import Candidate, Trial
from rightfit.store import Store
store = Store.open(sys.argv[1], {"data": "abc", "target": "y"})
print("resumed", len(store.trials()), flush=True)
for i in range(int(sys.argv[2]), 10**6):
    blob = store.put_blob(f"p{i}", x=np.arange(1000.0) + i)
    store.record(Trial(candidate=Candidate(family="ridge", params={"alpha": float(i)}), fold=0, blob=blob))
    print(i, flush=True)
"""


def test_kill_9_while_recording_loses_no_acknowledged_trial(tmp_path: Path) -> None:
    acknowledged = -1
    for stop_after in (3, 60, 137):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "run"), str(acknowledged + 1)],
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("resumed")
        for _ in range(stop_after):
            acknowledged = int(writer.stdout.readline())
        time.sleep(0.003)
        writer.kill()
        rest = writer.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *(int(line) for line in rest if line)])
        with Store.open(tmp_path / "run", PRINT) as store:
            found = {int(t.candidate.params["alpha"]) for t in store.trials() if t.state == "ok"}
            assert found >= set(range(acknowledged + 1)) and len(found) <= acknowledged + 2
            for i in found:
                assert store.blob(f"p{i}")["x"][0] == i
    assert acknowledged >= 197


@pytest.mark.parametrize("number", range(1, 5))
def test_a_failing_rename_leaves_a_readable_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real, calls = os.replace, 0

    def replace(a: Any, b: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(28, "No space left on device")
        real(a, b)

    with Store.open(tmp_path, PRINT) as store:
        monkeypatch.setattr(store_module.os, "replace", replace)
        done = []
        for i in range(5):
            try:
                store.record(trial(i, blob=store.put_blob(f"p{i}", x=np.zeros(3))))
                done.append(i)
            except UsageError as error:
                assert "no space left on device" in str(error)
        assert len(done) == 4
    monkeypatch.undo()
    assert not list((tmp_path / "blobs").glob(".*"))
    with Store.open(tmp_path, PRINT) as store:
        assert [t.scores["r2"] for t in store.trials()] == [i / 7 for i in done]


@pytest.mark.parametrize("number", range(1, 8))
def test_a_failing_commit_leaves_a_readable_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    calls = 0

    class Failing(sqlite3.Connection):
        def commit(self) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                raise sqlite3.OperationalError("database or disk is full")
            super().commit()

    real = sqlite3.connect
    monkeypatch.setattr(store_module.sqlite3, "connect", lambda *a, **k: real(*a, **k, factory=Failing))
    done: list[int] = []
    try:
        with Store.open(tmp_path, PRINT) as store:
            for i in range(6):
                try:
                    store.record(trial(i))
                    done.append(i)
                except UsageError as error:
                    assert "database or disk is full" in str(error)
    except UsageError as error:
        assert number <= 2 and "disk is full" in str(error)
    monkeypatch.undo()
    with Store.open(tmp_path, PRINT) as store:
        assert [t.scores["r2"] for t in store.trials()] == [i / 7 for i in done]
        assert number <= 2 or len(done) == 5


@pytest.mark.skipif(not Path("/dev/full").exists() or shutil.which("unshare") is None, reason="needs Linux")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    program = ("import sys, numpy as np; from rightfit.store import Store; from rightfit.errors import UsageError\n"
               "store = Store.open(sys.argv[1], {})\n"
               "try:\n    store.put_blob('p', x=np.random.default_rng(0).random(10**6))\n"
               "except UsageError as error:\n    print(error)\n")
    (tmp_path / "p.py").write_text(program)
    (tmp_path / "disk").mkdir()
    command = f"mount -t tmpfs -o size=2m none {tmp_path}/disk && {sys.executable} {tmp_path}/p.py {tmp_path}/disk/run"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert "no space left on device" in done.stdout and done.stdout.count("\n") == 1, done.stderr


def test_recording_is_cheap(tmp_path: Path) -> None:
    with Store.open(tmp_path, PRINT) as store:
        in_time(lambda: [store.record(trial(i)) for i in range(10)], 3.0)
    assert json.loads(sqlite3_meta(tmp_path)) == PRINT


def sqlite3_meta(folder: Path) -> str:
    db = sqlite3.connect(folder / LEDGER)
    try:
        return str(db.execute("SELECT value FROM meta WHERE name='fingerprint'").fetchone()[0])
    finally:
        db.close()
