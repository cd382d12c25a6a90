"""Monitoring: the reference in a package, drift and its absence, performance with and without labels, the command."""

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest

from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.delivery.due import delivered
from rightfit.delivery.monitor import check, history, keep, reference
from rightfit.delivery.monitor.compare import Past, Rules, compare
from rightfit.errors import DataError, PackageError, UsageError
from rightfit.package import load, write
from rightfit.records import Candidate, Limit, Need, Rule, Task, asdict
from rightfit.tuning import trial


def rows(n, seed=0, shift=0.0, flip=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + np.array([shift, 0, 0])
    y = X @ [1.5, -1, 0.5] * (-1 if flip else 1) + 0.5 * rng.normal(size=n) > 0
    return pd.DataFrame({"id": [f"r{i}" for i in range(n)], "a": X[:, 0], "b": X[:, 1], "c": X[:, 2],
                         "k": rng.choice(["x", "y", "z"], n), "y": np.where(y, "yes", "no")})


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    frame = rows(1600)
    schema, _ = infer(frame.drop(columns="id"), Need(target="y"))
    task = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"),
                rows=1600)
    data, candidate = assemble(frame, schema, task), Candidate(family="linear", params={})
    model = trial.fit(candidate, data.take(np.arange(800)), task, seed=0, deadline=float("inf"))
    folder = tmp_path_factory.mktemp("made") / "package"
    write.write(model, folder, task=task, schema=schema, rule=Rule(threshold=(0.5,)), candidate=candidate, sample=frame)
    held = data.take(np.arange(800, 1600))
    kept = reference.attach(folder, held.X, held.y, delivered(load(folder), held)[0], {"a": 0.3, "b": 0.2})
    assert kept == 800
    return folder


def test_the_same_world_is_quiet_and_a_shifted_one_names_the_column(package):
    quiet = check.monitor(package, rows(1000, seed=1).drop(columns="y"))
    assert quiet.enough and not quiet.alarm and not quiet.realised and quiet.estimated.low < quiet.expected.value
    moved = check.monitor(package, rows(1000, seed=2, shift=0.5).drop(columns="y"))
    assert moved.alarm and moved.features[0].name == "a" and moved.features[0].importance == 0.3
    assert moved.features[0].effect > 0.1 and "median" in moved.features[0].shift
    assert {f.name for f in moved.features if f.significant} <= {"a", "a: outside", "(prediction)", "(confidence)"}


def test_labels_show_concept_drift_that_features_do_not(package):
    found = check.monitor(package, rows(600, seed=3, flip=True))
    assert found.realised.high < 0.5 < found.expected.low and "realised" in found.lost and found.alarm
    assert "estimated" not in found.lost and not any(f.significant for f in found.features if f.name in "abck")


def test_delayed_labels_are_joined_by_id(package):
    window = rows(500, seed=4)
    found = check.monitor(package, window.drop(columns="y"), window[["id", "y"]].iloc[::2], key="id")
    assert found.labelled == 250 and found.realised.value > 0.8
    with pytest.raises(DataError, match="unknown id"):
        check.monitor(package, window.drop(columns="y"), pd.DataFrame({"id": ["zz"], "y": ["no"]}), key="id")
    with pytest.raises(UsageError, match="give both"):
        check.monitor(package, window, window)


def test_gaps_and_new_categories_are_said(package):
    window = rows(800, seed=5)
    window.loc[::3, "b"] = None
    window.loc[::4, "k"] = "new"
    found = check.monitor(package, window)
    by_name = {f.name: f for f in found.features}
    assert by_name["b: missing"].alarm and by_name["k"].alarm and not by_name["b"].significant
    assert [name for name, f in by_name.items() if name.endswith(": outside") and f.alarm] == ["k: outside"]
    assert by_name["k: outside"].effect > 0.2 and "'new'" in by_name["k: outside"].shift


def test_few_rows_say_nothing_and_none_is_an_error(package):
    found = check.monitor(package, rows(99, shift=9))
    assert not found.enough and not found.alarm and not found.features
    with pytest.raises(DataError, match="rows=0"):
        check.monitor(package, rows(5).iloc[:0])
    with pytest.raises(DataError, match="c"):
        check.monitor(package, rows(200).drop(columns="c"))


def test_a_package_without_a_reference_says_so(package, tmp_path):
    write.install(package, tmp_path / "bare")
    (tmp_path / "bare" / reference.NAME).unlink()
    write._write_manifest(tmp_path / "bare")
    with pytest.raises(PackageError, match="reference"):
        check.monitor(tmp_path / "bare", rows(200))
    for broken in ({"seen": {}}, {"seen": {"a": [1]}, "y": [0, 1], "pred": [[1, 0]], "importance": {}}, [1]):
        write.install(package, tmp_path / "odd")
        (tmp_path / "odd" / reference.NAME).write_text(json.dumps(broken))
        write._write_manifest(tmp_path / "odd")
        with pytest.raises(PackageError, match="damaged"):
            check.monitor(tmp_path / "odd", rows(200))


def test_the_reference_keeps_to_the_room_there_is(package, tmp_path):
    write.install(package, tmp_path / "p")
    task = load(package).task
    data = assemble(rows(900, seed=6), load(package).schema, task)
    pred = delivered(load(package), data)[0]
    whole = (package / reference.NAME).stat().st_size
    assert reference.attach(tmp_path / "p", data.X, data.y, pred, {}, most=whole // 2) in range(300, 500)
    assert (tmp_path / "p" / reference.NAME).stat().st_size <= whole // 2
    assert reference.attach(tmp_path / "p", data.X, data.y, pred, {}, most=1000) == 0
    limit = Limit(name="size_mib", limit=keep.size_mib(package) + 0.01, sense="at_most")
    assert keep.room((limit,), package) < 0.01 * 2**20 < keep.room((), package) == reference.BYTES


@pytest.mark.parametrize(("count", "limits", "said"), [
    (72, (), "72 rows were left out of training, 300 are needed"),
    (800, (Limit(name="size_mib", limit=0.001, sense="at_most"),), "leaves no room")])
def test_a_package_that_cannot_be_watched_is_said_when_it_is_chosen(package, count, limits, said, tmp_path):
    import types

    from rightfit.records import Decision
    from rightfit.report import sentences

    write.install(package, tmp_path / "p")
    model = load(package)
    data = assemble(rows(count, seed=6), model.schema, model.task)
    entry = types.SimpleNamespace(pred=delivered(model, data)[0], rows=np.arange(count))
    known = {f.name: None for f in dataclasses.fields(Decision)}
    decision = Decision(**{**known, "task": dataclasses.replace(model.task, limits=limits), "why": ("x",),
                           "extras": {}, "measured": {}, "limits": ()})
    need = Need(target="y")
    found = keep.reference_of(
        decision, types.SimpleNamespace(need=need, data=data),
        types.SimpleNamespace(entries={"k": entry}, chosen=types.SimpleNamespace(key="k")),
        types.SimpleNamespace(package=tmp_path / "p"))
    assert said in found.why[-1] == found.extras[keep.UNWATCHED]
    assert sentences.say(found.why[-1], "zh_CN") != found.why[-1]


def test_texts_and_pictures_are_seen_as_vectors(tmp_path):
    from PIL import Image

    from rightfit.data.views import image, text

    english, chinese = pd.Series(["the cat sat on the mat"] * 150), pd.Series(["今天天气很好"] * 150)
    one = text.see(pd.concat([english, pd.Series(["a dog ran home"] * 150)], ignore_index=True))
    features, _ = compare({"t": one}, {"t": text.see(chinese)})
    assert features[0].test == "mmd" and features[0].alarm and one.shape == (300, 36)
    assert np.isnan(text.see(pd.Series([None], dtype=object))).all()
    paths = []
    for level in (0, 255):
        Image.new("RGB", (40, 30), (level, 0, 0)).save(tmp_path / f"{level}.png")
        paths.append(str(tmp_path / f"{level}.png"))
    seen = image.see(pd.Series([*paths, None], dtype=object))
    assert seen.shape == (3, 52) and np.isnan(seen[2]).all() and seen[0].max() == 0 and seen[1].max() == 1


def test_alarms_wait_for_k_of_n_windows():
    rng = np.random.default_rng(0)
    one, other = {"a": rng.normal(size=1000)}, {"a": rng.normal(1, 1, 500)}
    rules = Rules(k=2, n=3)
    features, now = compare(one, other, rules=rules)
    assert features[0].significant and not features[0].alarm
    features, _ = compare(one, other, past=[now, Past(p={"a": 0.5}, significant=())], rules=rules)
    assert features[0].alarm
    quiet = Past(p={"a": 0.5}, significant=())
    features, _ = compare(one, other, past=[now, quiet, quiet], rules=rules)
    assert not features[0].alarm


def test_values_beyond_the_reference_alarm_when_they_last():
    rng = np.random.default_rng(3)
    letters = np.array(list("abc"), object)
    one = {"a": rng.normal(size=2000), "k": letters[rng.integers(0, 3, 2000)]}
    now, past, alarms = {"a": rng.normal(size=500), "k": letters[rng.integers(0, 3, 500)]}, [], []
    now["a"][:10], now["k"][:10] = 99.0, "z"
    for _ in range(3):
        features, kept = compare(one, now, past=past, rules=Rules(k=2, n=3))
        past.append(kept)
        alarms.append(sorted(f.name for f in features if f.alarm))
    assert alarms == [[], ["a: outside", "k: outside"], ["a: outside", "k: outside"]]
    now["a"][:10], now["k"][:10] = 0.0, "a"
    assert not any(f.alarm for f in compare(one, now)[0])


@pytest.mark.parametrize("kind", ["number", "tied", "rare"])
def test_values_beyond_the_reference_are_rare_by_chance_as_p_says(kind):
    from rightfit.delivery.monitor.outside import outside

    names = np.array([f"c{i}" for i in range(301)], object)
    draw = {"number": lambda r, n: r.normal(size=n), "tied": lambda r, n: r.poisson(3, size=n).astype(float),
            "rare": lambda r, n: names[np.minimum(r.zipf(1.8, size=n), 300)]}[kind]
    p = np.array([outside(draw(r, 400), draw(r, 200), r)[0] for r in map(np.random.default_rng, range(200))])
    assert (p <= 0.05).mean() <= 0.09 and (p <= 0.2).mean() <= 0.26  # 5 % and 20 %, up to chance


def test_columns_that_only_depend_on_each_other_are_seen_together():
    def side(seed, n, dependent):
        r = np.random.default_rng(seed)
        x = r.normal(size=n)
        y = dependent * x + np.sqrt(1 - dependent**2) * r.normal(size=n)
        k = np.where((r.random(n) < 0.5) ^ (dependent * x > 0), "u", "v").astype(object)
        y[:20], k[:20] = np.nan, None
        return {"x": x, "y": y, "k": k, "t": r.normal(size=(n, 2)).astype(np.float32)}

    one, rules = side(0, 1500, 0.0), Rules(tests={"all": "classifier"})
    found = compare(one, side(1, 1500, 0.6), rules=rules)[0]
    assert [f.name for f in found if f.alarm] == ["(all columns)"] and found[0].test == "classifier"
    assert not any(f.significant for f in compare(one, side(2, 1500, 0.0), rules=rules)[0])


def call(arguments, capsys, monkeypatch):
    import sys

    from rightfit.cli import main

    monkeypatch.setattr(sys, "argv", ["rightfit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    out = capsys.readouterr()
    return stop.value.code or 0, out.out, out.err


def test_the_command_alarms_remembers_and_posts(package, tmp_path, capsys, monkeypatch):
    rows(600, seed=7, shift=1).to_csv(tmp_path / "moved.csv", index=False)
    rows(600, seed=8).to_csv(tmp_path / "same.csv", index=False)
    got = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            return None

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    code, out, _ = call(["monitor", package, "--data", tmp_path / "moved.csv", "--history", tmp_path / "h.jsonl",
                         "--webhook", f"http://127.0.0.1:{server.server_port}/"], capsys, monkeypatch)
    thread.join(10)
    server.server_close()
    assert code == 5 and out.startswith("ALARM") and "a: ks" in out and got and got[0]["alarm"]
    code, out, _ = call(["monitor", package, "--data", tmp_path / "same.csv", "--history", tmp_path / "h.jsonl",
                         "--persist", "2/3", "--json"], capsys, monkeypatch)
    assert code == 0 and not json.loads(out)["alarm"]
    assert len(history.read(tmp_path / "h.jsonl")) == 2
    with (tmp_path / "h.jsonl").open("a") as file:
        file.write('{"p": {"tor')
    assert len(history.read(tmp_path / "h.jsonl")) == 2


@pytest.mark.parametrize("wrong", [[], ["--data", "x.csv", "--log", "y"], ["--data", "x.csv", "--persist", "3/2"],
                                   ["--data", "x.csv", "--persist", "2/3"], ["--data", "absent.csv"],
                                   ["--data", "x.csv", "--test", "number=psi"],
                                   ["--data", "x.csv", "--test", "all=ks"], ["--data", "x.csv", "--floor", "2"],
                                   ["--log", "absent"], ["--data", "x.csv", "--mail", "absent.toml"],
                                   ["--data", "x.csv", "--every", "never"]])
def test_wrong_questions_get_one_sentence(package, wrong, capsys, monkeypatch):
    code, out, err = call(["monitor", package, *wrong], capsys, monkeypatch)
    assert (code, out) == (2, "") and err.startswith("rightfit: ") and err.count("\n") == 1


def test_concept_drift_is_a_column_of_its_own_and_covariates_alone_are_none(package):
    def concept(**how):
        found = check.monitor(package, rows(1500, **how))
        return next(f for f in found.features if f.name == "(label given prediction)")

    assert concept(seed=10, flip=True).alarm
    assert not concept(seed=11).significant and not concept(seed=12, shift=0.7).significant


def test_drifted_columns_show_examples_and_a_figure(package):
    found = check.monitor(package, rows(800, seed=13, shift=1))
    first = next(f for f in found.features if f.name == "a")
    assert first.psi > 0.2 and len(first.examples) == 3 and first.examples[0].startswith("row ")


def test_a_stream_of_labels_tells_where_it_fell(package):
    pytest.importorskip("river")
    window = pd.concat([rows(300, seed=14), rows(500, seed=15, flip=True)], ignore_index=True)
    found = check.monitor(package, window, rules=Rules(stream="adwin"))
    assert found.findings[0].code == "stream_fall" and 300 <= found.findings[0].data["row"] < 500


def test_clocks_of_several_zones_are_read_and_one_that_goes_back_is_refused(package):
    when = pd.date_range("2026-01-01", periods=200, freq="h", tz="Asia/Shanghai")
    window = rows(200, seed=16).assign(when=when.astype(str))
    window.loc[100, "when"] = when[100].tz_convert("UTC").isoformat()
    assert check.monitor(package, window, rules=Rules(time="when")).enough
    window.loc[100, "when"] = when[98].isoformat()
    with pytest.raises(DataError, match="row=100"):
        check.monitor(package, window, rules=Rules(time="when"))
    with pytest.raises(DataError, match="'soon'"):
        check.monitor(package, window.assign(when="soon"), rules=Rules(time="when"))


def test_the_page_shows_trends_in_two_languages(package, tmp_path, capsys, monkeypatch):
    for seed, shift in ((17, 0), (18, 1)):
        rows(400, seed=seed, shift=shift).to_csv(tmp_path / "w.csv", index=False)
        call(["monitor", package, "--data", tmp_path / "w.csv", "--history", tmp_path / "h.jsonl", "--report",
              tmp_path / "en.html"], capsys, monkeypatch)
    call(["monitor", package, "--data", tmp_path / "w.csv", "--history", tmp_path / "h.jsonl", "--report",
          tmp_path / "zh.html", "--language", "zh_CN"], capsys, monkeypatch)
    english, chinese = ((tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in ("en", "zh"))
    assert "Alarm" in english and "over time" in english and english.count("<svg") == 2
    assert "警报" in chinese and "趋势" in chinese and "<script" not in english + chinese


class Sink(threading.Thread):
    """An SMTP server for one message."""

    def __init__(self):
        import socket

        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.got = self.socket.getsockname()[1], ""

    def run(self):
        peer, _ = self.socket.accept()
        with peer, peer.makefile("rw", encoding="utf-8", newline="\r\n") as talk:
            def say(line):
                talk.write(line + "\n")
                talk.flush()

            say("220 sink")
            for line in talk:
                if line.upper().startswith("DATA"):
                    say("354 go on")
                    for part in iter(lambda: talk.readline().rstrip("\r\n"), "."):
                        self.got += part + "\n"
                say("221 bye" if line.upper().startswith("QUIT") else "250 ok")


def test_an_alarm_is_mailed_and_a_mail_that_fails_is_said(package, tmp_path, capsys, monkeypatch):
    rows(400, seed=19, shift=1).to_csv(tmp_path / "w.csv", index=False)
    sink = Sink()
    sink.start()
    (tmp_path / "smtp.toml").write_text(f'host = "127.0.0.1"\nport = {sink.port}\nsender = "a@example.org"\n'
                                        'to = ["b@example.org"]\n')
    ask = ["monitor", package, "--data", tmp_path / "w.csv", "--mail", tmp_path / "smtp.toml"]
    code, _, err = call(ask, capsys, monkeypatch)
    sink.join(10)
    sink.socket.close()
    assert (code, err) == (5, "") and "Subject: rightfit: ALARM" in sink.got and "a: ks" in sink.got
    code, _, err = call(ask, capsys, monkeypatch)
    assert code == 5 and "could not be sent" in err


def test_a_watch_outlives_a_window_that_is_empty(package, tmp_path, capsys, monkeypatch):
    import time

    from rightfit.delivery import log

    kept, pauses = [rows(60, seed=20), rows(120, seed=21), rows(0), rows(200, seed=22, shift=1)], []
    asked = []

    def read(folder, since=None):
        asked.append(since)
        now = kept.pop(0)
        return now.assign(timestamp=pd.date_range(f"2026-01-0{len(asked)}", periods=len(now), freq="s", tz="UTC"))

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 4:
            raise SystemExit(0)

    monkeypatch.setattr(log, "read", read)
    monkeypatch.setattr(time, "sleep", sleep)
    _, out, err = call(["monitor", package, "--log", tmp_path, "--every", "1h"], capsys, monkeypatch)
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith("  ")] == \
        ["Not enough data", "No alarm", "ALARM"]
    assert asked[0] is asked[1] is None and asked[2] == asked[3] is not None  # a short window waits for more
    assert "rows=0" in err and pauses == [3600.0] * 4


def test_a_reference_below_the_minimum_and_a_newer_package_are_refused(package, tmp_path):
    write.install(package, tmp_path / "few")
    few = {"seen": {"a": [0.0] * 10}, "y": [0, 1] * 5, "pred": [[0.5, 0.5]] * 10, "importance": {}}
    (tmp_path / "few" / reference.NAME).write_text(json.dumps(few))
    write._write_manifest(tmp_path / "few")
    with pytest.raises(DataError, match="rows=10"):
        check.monitor(tmp_path / "few", rows(200))
    write.install(package, tmp_path / "newer")
    path = tmp_path / "newer" / "package.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    write._write_manifest(tmp_path / "newer")
    with pytest.raises(PackageError, match="99"):
        check.monitor(tmp_path / "newer", rows(200))


def test_values_of_a_tree_are_the_same_on_both_sides_of_the_reference(package, tmp_path):
    model = load(package)
    data = assemble(rows(900, seed=23), model.schema, model.task)
    steps = np.digitize(delivered(model, data)[0][:, 1], [1 / 3, 2 / 3]) / 3 + 1 / 7
    pred = np.column_stack([1 - steps, steps])
    write.install(package, tmp_path / "tree")
    reference.attach(tmp_path / "tree", data.X, data.y, pred, {})
    kept = reference.read(tmp_path / "tree", model.schema).pred
    one, other = (check._said(model, side, side.argmax(axis=1))["(confidence)"] for side in (kept, pred))
    assert np.array_equal(np.unique(one), np.unique(other))


def test_the_constants_of_several_folds_are_no_drift(package, tmp_path):
    model = load(package)
    data = assemble(rows(900, seed=25), model.schema, model.task)
    write.install(package, tmp_path / "p")
    base = np.where(np.arange(900) % 3 == 0, 0.8653, 0.8662)
    reference.attach(tmp_path / "p", data.X, data.y, np.column_stack([base, 1 - base]), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "raw_of_coerced", lambda self, X: np.tile([0.8658, 0.1342], (len(X), 1)))
        found = check.monitor(tmp_path / "p", rows(600, seed=27).drop(columns="y"))
    assert not found.alarm and "(confidence)" not in [f.name for f in found.features]


def test_labels_of_one_class_have_no_roc_auc_and_that_is_no_fault(package, tmp_path, capsys, monkeypatch):
    write.install(package, tmp_path / "auc")
    info = load(package).info
    task = dataclasses.replace(load(package).task, metric="roc_auc")
    write.amend(tmp_path / "auc", {"package.json": {**info, "task": asdict(task)}})
    rows(400, seed=24).assign(y="no").to_csv(tmp_path / "w.csv", index=False)
    code, out, err = call(["monitor", tmp_path / "auc", "--data", tmp_path / "w.csv", "--report", tmp_path / "p.html"],
                          capsys, monkeypatch)
    assert code == 5 and err == "" and "(label)" in out and "realised" not in out
