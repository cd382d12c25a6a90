"""The server in this process: every route and protocol, the schema's contract, limits, tokens, figures."""

import base64
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

import asgi
import serve_packages as made
import toy_package as toy
from rightfit.data.values import parser
from rightfit.errors import PackageError, UnknownName, UsageError
from rightfit.package import load
from rightfit.records import Column

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("orjson")
pytest.importorskip("multipart")
from rightfit.delivery.serve import gate, pages
from rightfit.delivery.serve.app import create
from rightfit.delivery.serve.settings import Settings, check, from_json, locate, to_json

RECORDS = toy.records(5)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for problem in toy.PROBLEMS:
        toy.package(folder / problem, problem)
    made.pictures(folder / "pictures")
    return folder


@pytest.fixture
def serving(home):
    """serving(name, **settings) is a client of a fresh server."""
    clients = []

    def start(name="binary", **settings):
        clients.append(asgi.Client(create(Settings(**{"source": str(home / name), **settings}))))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


# --- /predict ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("problem", toy.PROBLEMS)
def test_answers_are_those_of_the_package(serving, home, problem):
    client, model = serving(problem), load(home / problem)
    many = client.post("/predict", RECORDS)
    assert many.status == 200 and many.headers["content-type"] == "application/json"
    for record, found in zip(RECORDS, many.json()["predictions"], strict=True):
        expected = model.predict_one(record)
        one = client.post("/predict", record).json()
        for answer in (one, found):
            assert answer["label" if model.task.classifies else "value"] == pytest.approx(expected["prediction"]) \
                or answer.get("label") == expected["prediction"]
            assert answer.get("probabilities", {}) == pytest.approx(expected.get("probabilities", {}), abs=1e-6)
        assert len(one["model_version"]) == 64 and one["request_id"]
    assert {"binary": 0.3, "multilabel": [0.4, 0.6]}.get(problem) == one.get("threshold")
    assert client.post("/predict", []).json()["predictions"] == []


def test_top_reasons_are_the_effects_of_single_fields(serving, home):
    client, model = serving(), load(home / "binary")
    record = {"size": 2.0, "age": 3, "colour": "blue"}
    found = client.post("/predict?reasons=2", record).json()
    assert len(found["reasons"]) == 2
    before = found["probabilities"][found["label"]]
    for reason in found["reasons"]:
        assert reason["value"] == record[reason["field"]]
        typical = model.predict_one({**record, reason["field"]: reason["reference"]})
        assert before - typical["probabilities"][found["label"]] == pytest.approx(reason["effect"], abs=1e-5)
    effects = [abs(reason["effect"]) for reason in found["reasons"]]
    assert effects == sorted(effects, reverse=True)
    assert "reasons" not in client.post("/predict", record).json()
    for wrong in ("-1", "x", "51", "1e3", "", "٣"):
        assert client.post(f"/predict?reasons={wrong}", record).status == 400


def test_a_broken_record_names_field_must_and_got(serving):
    client = serving()
    answer = client.post("/predict", [RECORDS[0], {"size": "wide", "age": [1]}])
    assert answer.status == 422
    assert answer.json()["detail"] == [
        {"row": 1, "field": "size", "must": "a number", "got": "'wide'"},
        {"row": 1, "field": "age", "must": "a single value", "got": "[1]"},
        {"row": 1, "field": "colour", "must": "a value, null when unknown", "got": "no such field"}]
    assert answer.json()["error"].startswith("field 'size' must hold a number; got 'wide' in row=1 and 2 more")


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"[1]", b"7", b"null", b'"text"', b'[{"a":1},2]',
                                  b'{"size": 1e999}', b"\xff\xfe", b"[" * 5000, b'{"size": NaN}', b'{"a": "\\ud800"}'])
def test_bodies_of_nonsense_get_400(serving, body):
    answer = serving().post("/predict", body=body)
    assert answer.status == 400 and answer.json()["error"].startswith("the body must be")


def test_unseen_missing_out_of_range_and_extra_are_answered_and_counted(serving):
    client = serving()
    given = [{"size": 1, "age": 2, "colour": "violet"}, {"size": None, "age": 2, "colour": "red"},
             {"size": 99, "age": 2, "colour": "red"}, {"size": 1, "age": 2, "colour": "red", "more": 1}]
    assert client.post("/predict", given).status == 200
    assert client.post("/predict", {"size": "x", "age": 1, "colour": "red"}).status == 422
    figures = client.figures()
    for what, field in (("unseen", "colour"), ("missing", "size"), ("range", "size"), ("extra", ""),
                        ("invalid", "size")):
        assert figures[f'rightfit_schema_events_total{{field="{field}",what="{what}"}}'] == 1, (what, field)


def test_a_text_where_a_number_stands_is_read_as_in_training(serving, home):
    client, model = serving(), load(home / "binary")
    assert client.post("/predict", {"size": "1.5", "age": "7", "colour": " red "}).json()["probabilities"] == \
        pytest.approx(model.predict_one({"size": 1.5, "age": 7, "colour": "red"})["probabilities"])


# --- pictures and texts -----------------------------------------------------------------------------------------------

RED, GREEN, BLUE = made.png(200, 0, 0), made.png(0, 200, 0), made.png(0, 0, 200)


def test_pictures_as_multipart_base64_and_data_uri(serving):
    client = serving("pictures")
    body, headers = asgi.form([("image", ("a.png", RED))])
    assert client.post("/predict", body=body, headers=headers).json()["label"] == "red"
    body, headers = asgi.form([("image", ("a.png", RED)), ("image", ("b.png", BLUE))])
    found = client.post("/predict", body=body, headers=headers).json()["predictions"]
    assert [one["label"] for one in found] == ["red", "blue"]
    plain = base64.b64encode(GREEN).decode()
    for value in (plain, {"b64": plain}, made.uri(GREEN), f" {made.uri(GREEN)}"):
        assert client.post("/predict", {"image": value}).json()["label"] == "green"
        assert client.post("/invocations", {"instances": [{"image": value}]}).json() == {"predictions": ["green"]}
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [plain]}
    found = client.post("/v2/models/pictures/infer", {"inputs": [tensor]}).json()
    assert found["outputs"][0]["data"] == ["green"]


@pytest.mark.parametrize("value", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "~/.ssh/id_rsa",
                                   "http://127.0.0.1/x.png", 7, ["a"], {"path": "/etc/passwd"},
                                   {"b64": "/etc/passwd"}, {"bytes": "/etc/passwd"}, "data:text/plain;base64,AAAA"])
def test_no_file_of_this_machine_is_read(serving, value):
    answer = serving("pictures").post("/predict", {"image": value})
    assert answer.status == 422 and answer.json()["detail"][0]["field"] == "image"
    assert "base64" in answer.text or "single value" in answer.text


def test_a_damaged_picture_names_its_row(serving):
    client = serving("pictures")
    given = (made.uri(RED), made.uri(RED[:8] + b"broken"), None)
    answer = client.post("/predict", [{"image": one} for one in given])
    assert answer.status == 422
    assert [(one["row"], one["field"]) for one in answer.json()["detail"]] == [(1, "image"), (2, "image")]
    body, headers = asgi.form([("image", ("a.png", b"no picture"))])
    assert client.post("/predict", body=body, headers=headers).status == 422


def test_forms_of_tables_and_forms_of_nonsense(serving):
    client = serving()
    body, headers = asgi.form([("size", 1), ("age", 2), ("colour", "red")])
    assert client.post("/predict", body=body, headers=headers).json()["label"]
    url = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/predict", body=b"size=1&age=2&colour=red", headers=url).json()["label"]
    body, headers = asgi.form([("size", ("evil.csv", b"1")), ("age", 2), ("colour", "red")])
    answer = client.post("/predict", body=body, headers=headers)
    assert answer.status == 400 and "of which there are none" in answer.json()["error"]
    body, headers = asgi.form([("size", 1), ("size", 2), ("size", 3), ("age", 2), ("age", 3), ("colour", "red")])
    assert client.post("/predict", body=body, headers=headers).status == 400
    for body, kind in ((b"--x", "multipart/form-data; boundary=x"), (b"x", "multipart/form-data"), (b"", url)):
        answer = client.post("/predict", body=body, headers=url if kind is url else {"content-type": kind})
        assert answer.status in (400, 422), answer.text


def test_texts(tmp_path):
    client = asgi.Client(create(Settings(source=str(made.texts(tmp_path / "texts")))))
    model = load(tmp_path / "texts")
    for text in ("a wonderful friendly day", "", None, "好吃"):
        expected = model.predict_one({"text": text})
        assert client.post("/predict", {"text": text}).json()["label"] == expected["prediction"]
    answer = client.post("/invocations", {"instances": ["a wonderful day", "terrible"]})
    assert len(answer.json()["predictions"]) == 2
    client.close()


# --- protocols --------------------------------------------------------------------------------------------------------

def tensors(records):
    return [{"name": name, "shape": [len(records)], "datatype": "BYTES" if name == "colour" else "FP64",
             "data": [record[name] for record in records]} for name in records[0]]


@pytest.mark.parametrize("problem", toy.PROBLEMS)
def test_open_inference_protocol(serving, home, problem):
    client, model = serving(problem), load(home / problem)
    about = client.get("/v2").json()
    assert about["name"] == "rightfit" and about["extensions"] == []
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    described = client.get(f"/v2/models/{problem}").json()
    assert [(one["name"], one["datatype"]) for one in described["inputs"]] == [
        ("size", "FP64"), ("age", "FP64"), ("colour", "BYTES")]
    version = described["versions"][0]
    found = client.post(f"/v2/models/{problem}/infer", {"id": "7", "inputs": tensors(RECORDS)}).json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("7", problem, version)
    last = found["outputs"][-1]
    assert last["data"] == pytest.approx(model.values(RECORDS).ravel().tolist(), abs=1e-6)
    for one, said in zip(found["outputs"], described["outputs"], strict=True):
        assert one["name"] == said["name"] and one["datatype"] == said["datatype"]
        rows, *rest = one["shape"]
        assert [rows, *rest][1:] == said["shape"][1:] and rows == 5 and len(one["data"]) == rows * (rest or [1])[0]
    again = client.post(f"/v2/models/{problem}/versions/{version}/infer",
                        {"inputs": tensors(RECORDS), "outputs": [{"name": last["name"]}]}).json()
    assert again["outputs"] == [last]
    assert client.get(f"/v2/models/{problem}/ready").json()["ready"] is True
    for path in ("/v2/models/other", "/v2/models/other/ready", f"/v2/models/{problem}/versions/1"):
        assert client.get(path).status == 404
    assert client.post("/v2/models/other/infer", {"inputs": tensors(RECORDS)}).status == 404


@pytest.mark.parametrize("body", [
    {}, {"inputs": []}, {"inputs": [1]}, {"inputs": {"a": 1}}, [], 7,
    {"inputs": [{"name": "size", "shape": [2], "data": [1]}]}, {"inputs": [{"name": "size", "data": [1]}]},
    {"inputs": [{"shape": [1], "data": [1]}]}, {"inputs": [{"name": "size", "shape": [-1], "data": [1]}]},
    {"inputs": [{"name": "size", "shape": [1, 2], "data": [1, 2]}]},
    {"inputs": [{"name": "size", "shape": [True], "data": [1]}]},
    {"inputs": [{"name": "size", "shape": [1], "data": [1]}, {"name": "size", "shape": [1], "data": [1]}]},
    {"inputs": [{"name": "size", "shape": [1], "data": [1]}, {"name": "age", "shape": [2], "data": [1, 2]}]}])
def test_tensors_of_nonsense(serving, body):
    answer = serving().post("/v2/models/binary/infer", body)
    assert answer.status == 400 and answer.json()["error"]


def test_tensors_that_break_the_schema_or_ask_for_more(serving):
    client = serving()
    found = client.post("/v2/models/binary/infer", {"inputs": tensors(RECORDS)[:2]})
    assert found.status == 422 and found.json()["detail"][0]["field"] == "age"
    column = [{**one, "shape": [5, 1], "data": [[v] for v in one["data"]]} for one in tensors(RECORDS)]
    assert client.post("/v2/models/binary/infer", {"inputs": column}).status == 200
    for outputs in ([{"name": "nix"}], [1], "label", [{"name": None}]):
        assert client.post("/v2/models/binary/infer",
                           {"inputs": tensors(RECORDS), "outputs": outputs}).status == 400
    binary = client.post("/v2/models/binary/infer", body=b"x", headers={"content-type": "application/octet-stream"})
    assert binary.status == 400 and "binary extension" in binary.json()["error"]


def test_mlflow_and_sagemaker(serving, home):
    client = serving()
    expected = [one["prediction"] for one in map(load(home / "binary").predict_one, RECORDS)]
    names = ["colour", "age", "size"]
    rows = [[record[name] for name in names] for record in RECORDS]
    columns = {name: [record[name] for record in RECORDS] for name in names}
    ordered = [[record[name] for name in ("size", "age", "colour")] for record in RECORDS]
    for body in ({"dataframe_split": {"columns": names, "data": rows}}, {"dataframe_records": RECORDS},
                 {"instances": RECORDS}, {"instances": ordered}, {"inputs": columns}, {"inputs": RECORDS},
                 {"inputs": {name: [[v] for v in cells] for name, cells in columns.items()}},
                 {"dataframe_split": {"index": [1, 2, 3, 4, 5], "columns": names, "data": rows}, "params": {}}):
        answer = client.post("/invocations", body)
        assert answer.json() == {"predictions": expected}, body
    text = "size,age,colour\n" + "\n".join(",".join("" if v is None else str(v) for v in row) for row in ordered)
    csv = {"content-type": "text/csv"}
    assert client.post("/invocations", body=text.encode(), headers=csv).json() == {"predictions": expected}
    answer = client.post("/invocations", body=text.encode(), headers={**csv, "accept": "text/csv"})
    assert answer.text.split() == expected and answer.headers["content-type"].startswith("text/csv")
    for path in ("/ping", "/health"):
        assert client.get(path).status == 200


@pytest.mark.parametrize("body", [
    {}, [], {"instances": 7}, {"inputs": "x"}, {"dataframe_records": 7}, {"dataframe_records": [1]},
    {"dataframe_split": {}}, {"dataframe_split": {"columns": ["a", "a"], "data": []}},
    {"dataframe_split": {"columns": ["a"], "data": [1]}}, {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
    {"instances": [[1, 2]]}, {"inputs": {"size": [1], "age": [1, 2], "colour": ["red"]}},
    {"instances": [], "inputs": []}])
def test_invocations_of_nonsense(serving, body):
    assert serving().post("/invocations", body).status == 400


@pytest.mark.parametrize("body", [b"", b"\xff", b"a,b\n1\n", b"\n\n"])
def test_csv_of_nonsense(serving, body):
    assert serving().post("/invocations", body=body, headers={"content-type": "text/csv"}).status == 400


def test_other_kinds_of_bodies(serving):
    client = serving()
    assert client.post("/invocations", body=b"x", headers={"content-type": "application/x-npy"}).status == 415
    answer = client.post("/predict", body=b"x", headers={"content-encoding": "gzip"})
    assert answer.status == 415 and "compressed" in answer.json()["error"]


# --- limits -----------------------------------------------------------------------------------------------------------

def test_rows_and_bytes_are_limited(serving):
    client = serving(max_rows=3, max_body=2000)
    assert client.post("/predict", RECORDS[:3]).status == 200
    answer = client.post("/predict", RECORDS[:4])
    assert answer.status == 413 and "3 rows or fewer; got rows=4" in answer.json()["error"]
    assert client.post("/predict?reasons=3", RECORDS[:2]).status == 413  # every reason is a row more to score
    for more in ({"body": b"x" * 2001}, {"parts": [b"x" * 1500, b"x" * 600]}):
        answer = client.post("/predict", **more)
        assert answer.status == 413 and answer.headers["connection"] == "close"
    figures = client.figures()
    assert figures['rightfit_shed_total{reason="rows"}'] == 2 and figures['rightfit_shed_total{reason="body"}'] == 2


def test_a_caller_who_hangs_up_is_not_answered_and_not_predicted(serving):
    client = serving()
    whole = json.dumps(RECORDS[0]).encode()
    assert client.post("/predict", parts=[whole, OSError()]).status == 0
    figures = client.figures()
    assert figures['rightfit_requests_total{route="/predict",status="499"}'] == 1
    assert "rightfit_batch_rows_count" in figures and figures["rightfit_batch_rows_count"] == 0


def test_a_body_that_never_ends_is_given_up(serving, monkeypatch):
    import asyncio

    monkeypatch.setattr(gate, "BODY_S", 0.01)
    client = serving()

    async def slow():
        sent = []

        async def receive():
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        await client.app({"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "headers": [],
                          "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
                          "client": None, "server": None}, receive, send)
        return sent[0]["status"]

    assert client.run(slow()) == 408


def test_a_full_queue_refuses_before_the_body_is_read(serving):
    client = serving(queue=1)
    client.app.state.server.engine._waiting.append(object())
    answer = client.post("/predict", parts=[OSError()])
    client.app.state.server.engine._waiting.clear()
    assert answer.status == 429 and answer.headers["retry-after"] == "1"
    assert client.figures()['rightfit_shed_total{reason="queue"}'] == 1
    assert client.post("/predict", RECORDS[0]).status == 200


def test_routes_that_do_not_exist(serving):
    client = serving()
    for method, path, status in (("GET", "/nix", 404), ("GET", "/predict", 405), ("POST", "/metrics", 405)):
        answer = client.run(asgi.call(client.app, method, path))
        assert answer.status == status and answer.json()["error"].startswith("a route of /docs must")
    for i in range(20):
        client.get(f"/nix/{i}")
    assert client.figures()['rightfit_requests_total{route="other",status="404"}'] == 21


# --- tokens -----------------------------------------------------------------------------------------------------------

SECRET = "0123456789abcdef"


def test_a_token_is_asked_for(serving, tmp_path):
    (tmp_path / "token").write_text(SECRET + "\n")
    client = serving(token_file=str(tmp_path / "token"))
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for path in ("/ping", "/health", "/v2/health/live", "/v2/health/ready"):
        assert client.get(path).status == 200
    for path in ("/", "/docs", "/schema", "/metrics", "/openapi.json", "/v2", "/nix"):
        assert client.get(path).status == 401
        status = client.get(path, headers={"authorization": f"Bearer {SECRET}"}).status
        assert status == (404 if path == "/nix" else 200)
    for header in (f"Bearer {SECRET}", f"bearer  {SECRET}", f"Basic {basic}"):
        assert client.post("/predict", RECORDS[0], headers={"authorization": header}).status == 200
    for header in ("", SECRET, "Bearer", "Bearer x", f"Bearer {SECRET}x", "Basic", "Basic é", "Basic !!", "Digest x"):
        answer = client.post("/predict", RECORDS[0], headers={"authorization": header})
        assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Basic")
        assert SECRET not in answer.text


def test_settings_that_cannot_start(home, tmp_path):
    source = str(home / "binary")
    (tmp_path / "short").write_text("short")
    (tmp_path / "two").write_text("two words of a secret token")
    for wrong, said in (({"host": "0.0.0.0"}, "must have a token"), ({"host": "192.168.1.2"}, "must have a token"),
                        ({"token_file": str(tmp_path / "none")}, "must be readable"),
                        ({"token_file": str(tmp_path / "short")}, "16 or more characters"),
                        ({"token_file": str(tmp_path / "two")}, "one word"), ({"port": 70000}, "0 to 65535"),
                        ({"workers": 0}, "--workers must be 1"), ({"queue": 0}, "--queue"),
                        ({"deadline": 0.0}, "--deadline"), ({"drain": 0.0}, "--drain"), ({"sample": 2.0, "log": "x"},
                                                                                         "share from 0 to 1"),
                        ({"shadow": -1.0}, "--shadow"), ({"omit": ("size",)}, "need --log")):
        with pytest.raises(UsageError, match=said):
            check(Settings(source=source, **wrong))
    with pytest.raises(UnknownName, match="log_omit"):
        create(Settings(source=source, log=str(tmp_path / "log"), omit=("nix",)))
    some = Settings(source=source, omit=("size",), log="x", sample=0.5)
    assert from_json(to_json(some)) == some


def test_what_is_served(home, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "package").symlink_to(home / "binary", target_is_directory=True)
    assert locate(run).package == run / "package"
    with pytest.raises(PackageError, match="must exist"):
        locate(tmp_path / "absent")
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "history.jsonl").touch()
    with pytest.raises(UsageError, match="must have a champion"):
        locate(tmp_path / "registry")
    for text in ("", "[]", "{}", '{"package": 7}', '{"package": "../elsewhere"}', '{"package": "/etc"}',
                 '{"package": "."}'):
        (tmp_path / "registry" / "champion.json").write_text(text)
        with pytest.raises(PackageError, match=r"champion\.json must"):
            locate(tmp_path / "registry")


def test_only_packages_that_are_signed(home, tmp_path):
    pytest.importorskip("cryptography")
    import shutil

    from rightfit.package import sign

    sign.new_key(tmp_path / "key")
    copy = Path(shutil.copytree(home / "binary", tmp_path / "copy"))
    with pytest.raises(PackageError, match="must be signed"):
        create(Settings(source=str(copy), verify=str(tmp_path / "key.pub")))
    sign.sign(copy, tmp_path / "key")
    create(Settings(source=str(copy), verify=str(tmp_path / "key.pub")))


# --- pages and figures ------------------------------------------------------------------------------------------------

def test_pages(serving):
    client = serving()
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "预测" in page.text and "Predict" in page.text and "http://" not in page.text
    schema = client.get("/schema").json()
    assert [field["name"] for field in schema["fields"]] == ["size", "age", "colour"]
    assert schema["fields"][2]["categories"] == ["red", "blue"] and schema["classes"] == ["no", "yes"]
    docs = client.get("/docs").text
    assert "POST /predict" in docs and "<script" not in docs
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert described["components"]["schemas"]["Record"]["required"] == ["size", "age", "colour"]
    for path, methods in described["paths"].items():
        for method in methods:
            answer = client.run(asgi.call(client.app, method.upper(), path.replace("{model}", "binary")))
            assert answer.status not in (404, 405), path


PROBLEMS = ("binary", "multiclass", "multilabel", "regression", "forecasting")  # said by name


def test_both_languages_have_the_same_words():
    from rightfit.delivery.serve import pages

    words = json.loads(pages._file("messages.json"))
    assert set(words["en"]) == set(words["zh_CN"])
    for key, text in words["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", words["zh_CN"][key]))
        assert f'say("{key}"' in pages.script() or f'"{key}"' in pages.script() or key in PROBLEMS


def test_figures(serving):
    client = serving()
    for record in RECORDS:
        client.post("/predict", record, headers={"x-request-id": "mine"})
    assert client.post("/predict", RECORDS[0], headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert client.post("/predict", RECORDS[0], headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"
    figures = client.figures()
    assert figures['rightfit_requests_total{route="/predict",status="200"}'] == 7
    assert figures['rightfit_request_duration_seconds_count{route="/predict"}'] == 7
    assert sum(value for name, value in figures.items() if name.startswith("rightfit_predictions_total")) == 7
    assert figures["rightfit_batch_rows_count"] == 7 and figures["rightfit_prediction_probability_count"] == 7
    assert figures["rightfit_queue_depth"] == 0 and figures["rightfit_requests_in_progress"] == 1
    assert figures["rightfit_log_lost_total"] == 0


def test_predicted_values_have_a_histogram(serving, home):
    client, model = serving("regression"), load(home / "regression")
    client.post("/predict", RECORDS)
    figures = client.figures()
    values = model.predict(RECORDS)
    assert figures["rightfit_prediction_value_count"] == 5
    assert figures["rightfit_prediction_value_sum"] == pytest.approx(values.sum())
    buckets = {float(name.split('"')[1]): count for name, count in figures.items()
               if name.startswith("rightfit_prediction_value_bucket")}
    inner = sorted(buckets)[1:-2]  # the outermost are values of the sample, to the last bit or not
    assert len(buckets) == 12 and all(buckets[edge] == (values <= edge).sum() for edge in inner)


@pytest.mark.parametrize("column", [
    Column(name="c", kind="datetime"), Column(name="c", kind="numeric"), Column(name="c", kind="boolean"),
    Column(name="c", kind="boolean", categories=("no", "yes")),
    Column(name="c", kind="boolean", categories=("a.b", "c|d"))], ids=lambda c: c.kind)
def test_texts_that_the_description_allows_are_read(column):
    read = parser(column)

    @settings(max_examples=60, derandomize=True, deadline=None, database=None)
    @given(strategies.from_regex(pages._field(column, False)["pattern"], fullmatch=True))
    def every(text):
        read(text)

    every()


def test_a_form_lets_other_values_in_where_it_cannot_show_all(serving, monkeypatch):
    fields = {one["name"]: one for one in serving().get("/schema").json()["fields"]}
    assert not any(one["more"] for one in fields.values())
    monkeypatch.setattr(pages, "SHOWN_CATEGORIES", 1)
    colour = {one["name"]: one for one in serving().get("/schema").json()["fields"]}["colour"]
    assert colour["more"] and len(colour["categories"]) == 1


def test_more_of_a_forms_further_fields_do_not_make_more_records(serving):
    def ask(*names):
        parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n1\r\n' for name in names)
        return serving().post("/predict", body=f"{parts}--b--\r\n".encode(),
                              headers={"content-type": "multipart/form-data; boundary=b"})

    assert "label" in ask("size", "age", "colour", "note", "note").json()
    assert len(ask("size", "age", "colour", "size", "note", "note", "note").json()["predictions"]) == 2
    assert ask("size", "size", "age", "age", "age", "colour").status == 400


def test_a_table_without_rows_and_instances_by_column_are_refused(serving):
    client = serving()
    alone = client.post("/invocations", body=b"size,age,colour\n", headers={"content-type": "text/csv"})
    assert alone.status == 400 and "a header and rows" in alone.json()["error"]
    assert client.post("/invocations", {"instances": {"size": [1], "age": [2], "colour": ["red"]}}).status == 400
    assert client.post("/invocations", {"inputs": {"size": [1], "age": [2], "colour": ["red"]}}).status == 200
