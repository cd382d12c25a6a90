"""The queue, the batches, the deadline, the challenger and the alias, in this process; nothing depends on the clock."""

import asyncio
import hashlib
import json
from collections import Counter

import numpy as np
import pytest

import asgi
import toy_package as toy
from rightfit.delivery import log as logging
from rightfit.delivery import versions
from rightfit.errors import DataError
from rightfit.package import load

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("orjson")
pytest.importorskip("multipart")
from rightfit.delivery.serve import shadow, watch
from rightfit.delivery.serve.app import create
from rightfit.delivery.serve.engine import Engine, Full, Late
from rightfit.delivery.serve.served import Invalid, Scored
from rightfit.delivery.serve.settings import Settings


class Fake:
    """A model of one field x that answers 10 x; it notes its batches, and can be slow, wrong or held."""

    names = ("x",)

    def __init__(self, version="v1", row_s=0.0, hold=None):
        self.version, self.row_s, self.hold, self.batches = version, row_s, hold, []

    def warm(self):
        return self.row_s

    def parse(self, records, seen):
        for at, record in enumerate(records):
            if record["x"] == 77:
                raise KeyError("a fault of parsing itself")
            if not isinstance(record["x"], int):
                raise Invalid([{"row": at, "field": "x", "must": "a whole number", "got": repr(record["x"])}])
            seen["seen", "x"] += 1
        return list(records)

    def score(self, rows, records, reasons=0):
        if self.hold is not None:
            self.hold.wait(10)
        self.batches.append([row["x"] for row in rows])
        if any(row["x"] == 13 for row in rows):
            raise DataError("no thirteen")
        if any(row["x"] == 99 for row in rows):
            raise ZeroDivisionError
        values = np.array([[10.0 * row["x"]] for row in rows])
        return Scored(values=values, answers=tuple({"prediction": v} for v in values[:, 0].tolist()))


def engine(served, **settings):
    made = Engine(served, **{"queue": 100, "deadline": 5.0, **settings})
    made.warm()
    return made


def said(outcome):
    return outcome[1].answers[0]["prediction"] if isinstance(outcome, tuple) else type(outcome)


def ask(made, *values, reasons=0):
    """Outcomes of requests that come at once."""
    async def go():
        found = await asyncio.gather(*(made.submit([{"x": v}], reasons) for v in values), return_exceptions=True)
        await made.close()
        return found
    return asyncio.run(go())


def test_what_waits_is_scored_together_and_answers_do_not_mix():
    seen, sizes, model = Counter(), [], Fake()
    made = engine(model, count=seen.update, batch=sizes.append)
    assert [said(one) for one in ask(made, *range(10))] == [10.0 * i for i in range(10)]
    assert model.batches == [list(range(10))] and sizes == [10] and seen == {("seen", "x"): 10}


def test_a_batch_holds_so_many_rows_and_a_request_is_never_cut():
    model = Fake()
    made = engine(model, queue=1000)

    async def go():
        some = [made.submit([{"x": i}] * 40) for i in range(3)] + [made.submit([{"x": 7}] * 200)]
        return await asyncio.gather(*some)

    found = asyncio.run(go())
    assert [len(one[1].answers) for one in found] == [40, 40, 40, 200]
    assert [len(batch) for batch in model.batches] == [40, 40, 40, 200]


def test_one_bad_request_spoils_no_other():
    made = engine(Fake())
    assert [said(one) for one in ask(made, 1, "x", 13, 99, 77, 2)] == [
        10.0, Invalid, DataError, ZeroDivisionError, KeyError, 20.0]


def test_the_queue_is_bounded():
    found = ask(engine(Fake(), queue=3), *range(5))
    assert [said(one) for one in found] == [0.0, 10.0, 20.0, Full, Full]
    assert found[3].after == 1


def test_reasons_are_scored_alone():
    model = Fake()
    made = engine(model)

    async def go():
        return await asyncio.gather(made.submit([{"x": 1}]), made.submit([{"x": 2}], 3), made.submit([{"x": 3}]))

    asyncio.run(go())
    assert model.batches == [[1], [2], [3]]


def test_slow_models_are_scored_beside_the_loop_and_late_ones_are_given_up():
    import threading

    hold = threading.Event()
    model = Fake(row_s=0.003, hold=hold)
    made = engine(model, deadline=0.05)

    async def go():
        first = asyncio.ensure_future(made.submit([{"x": 1}]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.ensure_future(made.submit([{"x": 2}]))
        late = await asyncio.gather(first, second, return_exceptions=True)  # the loop goes on while the model is held
        assert made.depth == 1  # what is late leaves the queue at the next batch
        hold.set()
        third = await made.submit([{"x": 3}])
        await made.close()
        return [*late, third]

    assert [said(one) for one in asyncio.run(go())] == [Late, Late, 30.0]
    assert model.batches == [[1], [3]]  # the late one was never scored


def test_a_caller_who_goes_leaves_nothing_behind():
    model = Fake()
    made = engine(model)

    async def go():
        first, second = (asyncio.ensure_future(made.submit([{"x": i}])) for i in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert said(asyncio.run(go())) == 20.0 and model.batches == [[2]]


def test_another_model_takes_over_between_two_batches():
    old, new = Fake("old"), Fake("new")
    made = engine(old)

    async def go():
        first = await asyncio.gather(*(made.submit([{"x": i}]) for i in range(3)))
        await made.switch(new)
        return [*first, await made.submit([{"x": 9}])]

    assert [one[0].version for one in asyncio.run(go())] == ["old"] * 3 + ["new"]


def test_closing_answers_what_waits():
    made = engine(Fake())

    async def go():
        waiting = [asyncio.ensure_future(made.submit([{"x": i}])) for i in range(5)]
        await asyncio.sleep(0)
        await made.close()
        return [said(one.result()) for one in waiting]

    assert asyncio.run(go()) == [0.0, 10.0, 20.0, 30.0, 40.0]


# --- the alias --------------------------------------------------------------------------------------------------------

@pytest.fixture
def registry(tmp_path):
    for i in range(3):
        model = toy.Toy("binary")
        model.bias = model.bias + np.array([0.0, float(i)])
        versions.add(tmp_path / "registry", toy.package(tmp_path / f"p{i}", model=model))
    versions.promote(tmp_path / "registry", 1)
    return tmp_path / "registry"


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(watch, "EVERY_S", 0.001)


async def until(true):
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


def test_the_alias_is_followed_and_every_answer_is_that_of_the_model_it_names(registry):
    app = create(Settings(source=str(registry), queue=10_000))
    server = app.state.server
    record = toy.records(1)[0]
    models = {path.name: load(path) for path in (registry / "versions").iterdir()}
    expected = {}

    async def go():
        async with asgi.alive(app):
            for version in ("1", "2", "3", "1"):
                if int(version) != versions.read(registry).champion:
                    versions.promote(registry, int(version))
                package = registry / "versions" / version
                wanted = hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
                expected[wanted] = int(version), models[version].predict_one(record)["probabilities"]["yes"]

                async def switched(wanted=wanted):
                    await until(lambda: server.engine.served.version == wanted)

                done = asyncio.ensure_future(switched())
                while not done.done():
                    answers = await asyncio.gather(*(asgi.call(app, "POST", "/predict", json_body=record)
                                                     for _ in range(5)))
                    for answer in answers:
                        assert answer.status == 200
                        found = answer.json()
                        number, chance = expected[found["model_version"]]
                        assert found["registry_version"] == number
                        assert found["probabilities"]["yes"] == pytest.approx(chance, abs=1e-6)
                await done
            return await asgi.call(app, "GET", "/metrics")

    text = asyncio.run(go()).text
    assert 'rightfit_model_switches_total{result="switched"} 3.0' in text and len(expected) == 3


def test_every_protocol_names_the_version_in_the_registry(registry):
    versions.add(registry, registry / "versions" / "1")  # the same package once more
    record = toy.records(1)[0]
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in record.items()]
    client = asgi.Client(create(Settings(source=str(registry))))
    server = client.app.state.server
    for number in (1, 4):
        if number != versions.read(registry).champion:
            versions.promote(registry, number)
        client.run(until(lambda number=number: server.engine.served.number == number))
        held = server.engine.served.version
        said = client.post(f"/v2/models/registry/versions/{number}/infer", {"inputs": tensors}).json()
        assert said["model_version"] == held and said["parameters"] == {"registry_version": number}
        assert client.get("/v2/models/registry").json()["versions"] == [held, str(number)]
        assert client.get("/schema").json()["number"] == number
        plain = client.post("/invocations", {"dataframe_records": [record]})
        assert plain.headers["x-registry-version"] == str(number) and plain.headers["x-model-version"] == held
    client.close()


def test_a_pointer_that_cannot_be_used_changes_nothing(registry):
    app = create(Settings(source=str(registry)))
    server = app.state.server
    failed = server.metrics.switches.labels("failed")

    async def go():
        async with asgi.alive(app):
            before = server.engine.served.version
            pointer = registry / "champion.json"
            for count, text in enumerate(("{", '{"package": "../.."}', '{"package": "versions/9", "version": 9}'), 1):
                pointer.write_text(text)
                await until(lambda count=count: failed._value.get() == count)
            pointer.unlink()
            await asyncio.sleep(0.02)
            assert server.engine.served.version == before
            answer = await asgi.call(app, "POST", "/predict", json_body=toy.records(1)[0])
            assert answer.status == 200
            versions.promote(registry, 2)
            await until(lambda: server.engine.served.version != before)

    asyncio.run(go())


# --- the challenger ---------------------------------------------------------------------------------------------------

def test_the_challenger_sees_the_traffic_and_is_compared(registry, tmp_path):
    versions.challenge(registry, 3)
    app = create(Settings(source=str(registry), shadow=1.0, log=str(tmp_path / "log")))
    server, records = app.state.server, toy.records(40)
    champion, challenger = load(registry / "versions" / "1"), load(registry / "versions" / "3")

    async def go():
        async with asgi.alive(app):
            for record in records:
                answer = await asgi.call(app, "POST", "/predict", json_body=record)
                assert answer.json()["probabilities"]["yes"] == pytest.approx(
                    champion.predict_one(record)["probabilities"]["yes"], abs=1e-6)
            await until(lambda: sum(server.shadow.counts.values()) == len(records))
            counts = dict(server.shadow.counts)
            versions.dismiss(registry)
            await until(lambda: server.shadow.challenger is None)
            versions.challenge(registry, 2)
            await until(lambda: server.shadow.challenger is not None)
            await asgi.call(app, "POST", "/predict", json_body=records[0])
            await until(lambda: sum(server.shadow.counts.values()) == 1)
            return counts, (await asgi.call(app, "GET", "/metrics")).text

    counts, text = asyncio.run(go())
    same = sum(champion.predict_one(r)["prediction"] == challenger.predict_one(r)["prediction"] for r in records)
    assert counts == {"same": same, "other": 40 - same, "failed": 0, "dropped": 0} and 0 < same < 40
    assert "rightfit_shadow_difference_count 41.0" in text
    said = logging.read(tmp_path / "log")
    would = logging.read(tmp_path / "log" / "challenger")
    assert len(said) == len(would) == 41 and said["request_id"].tolist() == would["request_id"].tolist()
    assert would["probability_yes"][:40].tolist() == pytest.approx(
        [challenger.predict_one(r)["probabilities"]["yes"] for r in records], abs=1e-6)


def test_a_challenger_that_cannot_answer_harms_nobody(registry, tmp_path):
    app = create(Settings(source=str(registry), shadow=1.0))
    server = app.state.server

    class Broken(Fake):
        def parse(self, records, seen):
            raise KeyError("x")

    async def go():
        async with asgi.alive(app):
            assert server.shadow.challenger is None
            await server.shadow.switch(Broken())
            for record in toy.records(5):
                assert (await asgi.call(app, "POST", "/predict", json_body=record)).status == 200
            await until(lambda: server.shadow.counts["failed"] == 5)

    asyncio.run(go())


def test_copies_are_dropped_and_counted_when_too_many_wait(monkeypatch):
    from rightfit.delivery.serve.metrics import Metrics

    monkeypatch.setattr(shadow, "WAITING", 2)

    async def go():
        busy, heard = True, []
        made = shadow.Shadow(1.0, Metrics(), lambda: busy, lambda *said: heard.append(said))
        made.put([{"x": 0}], [{"prediction": 0.0}], "id", 0.0)  # no challenger yet
        await made.switch(Fake())
        task = asyncio.create_task(made.run())
        for i in range(5):
            made.put([{"x": i}], [{"prediction": 10.0 * i + (i == 1)}], "id", 0.0)
        await asyncio.sleep(0.01)
        assert made.counts["dropped"] == 3 and made.counts["same"] == 0  # it waits for the champion
        busy = False
        await until(lambda: len(heard) == 2)
        task.cancel()
        assert made.summary() == "2 rows compared, 1 of them another prediction, 0 failed, 3 dropped"
        await made.close()

    asyncio.run(go())


# --- the log ----------------------------------------------------------------------------------------------------------

def entry(i, **more):
    return logging.Entry(**{"request_id": f"r{i}", "row": 0, "timestamp": 1000.0 + i, "version": "v", "input":
                            {"a": i, "b": "text", "secret": "x"}, "prediction": "yes",
                            "probabilities": {"no": 0.25, "yes": 0.75}, **more})


def test_the_log_keeps_what_was_asked_and_answered(tmp_path):
    made = logging.Log(tmp_path / "log", ["a", "b"])
    for i in range(30):
        made.put([entry(i)])
    made.put([entry(30, input={"a": b"picture", "b": "data:image/png;base64,AAAA"}, prediction=["p", "q"])])
    made.close()
    frame = logging.read(tmp_path / "log")
    assert made.written == 31 and made.lost == 0 and len(frame) == 31
    assert frame.columns.tolist()[:3] == ["a", "b", "prediction"] and "secret" not in frame
    assert frame["a"][:30].tolist() == list(range(30)) and frame["probability_yes"][0] == 0.75
    assert frame["a"][30].startswith("sha256:") and frame["b"][30].startswith("sha256:")
    assert frame["prediction"][30] == "p;q"
    assert len(logging.read(tmp_path / "log", since=1029.0)) == 2
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())


def test_the_log_rotates_and_keeps_so_many_files(tmp_path):
    made = logging.Log(tmp_path / "log", ["a", "b"], rotation=logging.Rotation(max_bytes=1, max_files=3))
    for i in range(8):
        made.put([entry(i)])
        while made.written < i + 1:
            assert made.lost == 0
    made.close()
    assert len(list((tmp_path / "log").glob("requests-*.sqlite"))) <= 3
    assert logging.read(tmp_path / "log")["a"].tolist()[-1] == 7
    assert not list((tmp_path / "log").glob("*-wal"))


def test_a_log_file_that_somebody_removes_is_begun_again(tmp_path):
    made = logging.Log(tmp_path / "log", ["a"])
    made.put([entry(1)])
    while made.written < 1:
        assert made.lost == 0
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    made.put([entry(2)])
    made.close()
    assert logging.read(tmp_path / "log")["a"].tolist() == [2]


def test_a_share_of_whole_requests_is_logged(tmp_path):
    made = logging.Log(tmp_path / "log", ["a"], sample=0.5)
    made._random.seed(0)
    for i in range(200):
        made.put([entry(i), entry(i, row=1)])
    made.close()
    frame = logging.read(tmp_path / "log")
    assert 60 < frame["request_id"].nunique() < 140 and len(frame) == 2 * frame["request_id"].nunique()


def test_a_full_disk_loses_entries_and_says_how_many(tmp_path, monkeypatch):
    heard, real, full = [], logging.connect, [True]

    def small(path):
        file = real(path)
        if full[0]:
            file.execute("PRAGMA max_page_count = 8")  # SQLite then says: database or disk is full
        return file

    monkeypatch.setattr(logging, "connect", small)
    made = logging.Log(tmp_path / "log", ["a"], told=heard.append)
    made.put([entry(i, input={"a": "x" * 2000}) for i in range(50)])
    made.put([entry(0, input={"a": "small"})])
    while made.lost + made.written < 51:
        pass
    assert made.lost >= 50 and sum(heard) == made.lost
    full[0] = False
    made.put([entry(7)])
    made.close()
    assert 7 in logging.read(tmp_path / "log")["a"].tolist()


def test_a_full_queue_loses_entries_and_says_how_many(tmp_path, monkeypatch):
    import threading

    hold, heard = threading.Event(), []
    real = logging.connect
    monkeypatch.setattr(logging, "connect", lambda path: (hold.wait(10), real(path))[1])
    made = logging.Log(tmp_path / "log", ["a"], rotation=logging.Rotation(queue=2), told=heard.append)
    for i in range(20):
        made.put([entry(i)])
    hold.set()
    made.close()
    assert made.lost >= 10 and made.lost + made.written == 20 and sum(heard) == made.lost


def test_serving_goes_on_while_the_log_cannot_be_written(registry, tmp_path, monkeypatch):
    import sqlite3

    def broken(path):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(logging, "connect", broken)
    client = asgi.Client(create(Settings(source=str(registry), log=str(tmp_path / "log"), omit=("age",))))
    for record in toy.records(10):
        assert client.post("/predict", record).status == 200
    client.run(until(lambda: client.app.state.server.log.lost == 10))
    assert client.figures()["rightfit_log_lost_total"] == 10
    client.close()


def test_private_columns_never_reach_the_disk(registry, tmp_path):
    client = asgi.Client(create(Settings(source=str(registry), log=str(tmp_path / "log"), omit=("colour",))))
    assert client.post("/predict", {"size": 1, "age": 2, "colour": "ultramarine", "note": "ultramarine"}).status == 200
    client.close()
    assert logging.read(tmp_path / "log")[["size", "age"]].to_numpy().tolist() == [[1, 2]]
    assert b"ultramarine" not in b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())


def test_what_is_no_log_gets_one_sentence(tmp_path):
    with pytest.raises(DataError, match="start the server with --log"):
        logging.read(tmp_path)
    (tmp_path / "requests-1.sqlite").write_text("no database at all, but long enough to look like one" * 50)
    with pytest.raises(DataError, match="must be SQLite"):
        logging.read(tmp_path)
    assert json.dumps(logging._plain(object()))[:8] == '"<object'
