"""The server as a process: what it says when it cannot start, SIGTERM under load, a worker that is killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import toy_package as toy
from rightfit.delivery import log
from rightfit.package import load

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("orjson")

RECORDS = toy.records(20)
BODIES = [json.dumps(record) for record in RECORDS]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy.package(tmp_path_factory.mktemp("served") / "package")


@pytest.fixture
def serve(package):
    """serve(*options) starts a server on a free port: (process, port), ready."""
    started = []

    def start(*options):
        process = subprocess.Popen([sys.executable, "-m", "rightfit", "serve", str(package), "--port", "0", *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        port = int(process.stdout.readline().rpartition(":")[2])
        while True:
            try:
                if ask(port, "GET", "/v2/health/ready")[0] == 200:
                    return process, port
            except OSError:
                assert process.poll() is None
                time.sleep(0.02)

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(port, method, path, body=None, wire=None):
    """(status, JSON, whether the connection ends)."""
    one = wire or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    one.request(method, path, body, {"content-type": "application/json"})
    answer = one.getresponse()
    content = answer.read()
    if wire is None:
        one.close()
    return answer.status, json.loads(content) if content.strip() else None, answer.headers.get("connection") == "close"


def test_sigterm_answers_whatever_was_accepted(serve, package, tmp_path):
    process, port = serve("--log", str(tmp_path / "log"))
    model = load(package)
    expected = [model.predict_one(record)["prediction"] for record in RECORDS]
    answered, faults, going = [], [], threading.Event()

    def caller(first):
        """One connection, one request after another until the server says that it closes."""
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for i in range(first, 10**9):
                status, said, last = ask(port, "POST", "/predict", BODIES[i % 20], wire)
                if status != 200 or said["label"] != expected[i % 20]:
                    faults.append((status, said))
                answered.append(said["request_id"])
                going.set()
                if last:
                    return
        except OSError as error:
            faults.append(error)
        finally:
            wire.close()

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(6)]
    for one in callers:
        one.start()
    going.wait(30)
    process.send_signal(signal.SIGTERM)
    for one in callers:
        one.join(30)
    assert process.wait(30) == -signal.SIGTERM
    assert faults == [] and len(answered) >= 6
    assert sorted(log.read(tmp_path / "log")["request_id"]) == sorted(answered)


def test_a_worker_that_is_killed_is_replaced_and_the_others_answer(serve):
    process, port = serve("--workers", "2")
    counted = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not counted.exists():
        pytest.skip("needs /proc")

    def workers():
        found = []
        for pid in counted.read_text().split():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if line and b"resource_tracker" not in line:
                found.append(int(pid))
        return set(found)

    before = workers()
    assert len(before) == 2
    for i in range(20):
        assert ask(port, "POST", "/predict", BODIES[i])[0] == 200
    os.kill(min(before), signal.SIGKILL)
    sent = broken = 0
    while not workers() - before:
        try:
            assert ask(port, "POST", "/predict", BODIES[sent % 20])[0] == 200
        except OSError:  # the one request that the killed worker held
            broken += 1
        sent += 1
    assert broken <= 1
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    wire.request("GET", "/metrics")
    lines = wire.getresponse().read().decode().splitlines()
    wire.close()
    total = 'rightfit_requests_total{route="/predict",status="200"} '
    assert float(next(line for line in lines if line.startswith(total)).split()[-1]) >= 20  # workers are added up


@pytest.mark.parametrize(("options", "said"), [
    (("--host", "0.0.0.0"), "must have a token"), (("--deadline", "soon"), "deadline"), (("--shadow", "2"), "--shadow"),
    (("--log-omit", "size"), "need --log"), (("--workers", "0"), "--workers must be 1"),
    (("--token-file", "absent"), "must be readable")])
def test_wrong_options_are_one_sentence_and_exit_code_2(package, options, said, capsys, monkeypatch):
    from rightfit import cli

    monkeypatch.setattr(sys, "argv", ["rightfit", "serve", str(package), *options])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert stop.value.code == 2 and said in printed.err and printed.out == ""


def test_a_port_that_is_taken_is_one_sentence(serve, package, capsys, monkeypatch):
    from rightfit import cli

    _, port = serve()
    monkeypatch.setattr(sys, "argv", ["rightfit", "serve", str(package), "--port", str(port)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and "choose another port" in capsys.readouterr().err


def test_workers_leave_when_their_parent_is_killed(serve):
    process, _ = serve("--workers", "2")
    found = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(10)
    assert len(found) >= 2 and psutil.wait_procs(found, timeout=20)[1] == []


def test_a_worker_that_dies_while_it_is_asked_whether_it_lives_is_replaced(package, monkeypatch):
    import uvicorn
    from uvicorn.supervisors.multiprocess import Process

    from rightfit.delivery.serve.settings import Settings
    from rightfit.delivery.serve.workers import supervisor

    monkeypatch.setattr(signal, "signal", lambda *given: None)  # the tests keep their own handlers
    monkeypatch.setenv("RIGHTFIT_SERVE", "")
    config = uvicorn.Config("nobody:answers", workers=1, timeout_worker_healthcheck=100_000)
    made = supervisor(config, Settings(source=str(package)), None)
    made.sockets = []
    worker, asked = Process(config, []), threading.Event()
    worker.start()
    os.kill(worker.pid, signal.SIGSTOP)
    made.processes = [worker]
    known = worker.ping
    monkeypatch.setattr(worker, "ping", lambda timeout: (asked.set(), known(timeout))[1])
    looking = threading.Thread(target=made.keep_subprocess_alive, daemon=True)
    looking.start()
    assert asked.wait(60)
    os.kill(worker.pid, signal.SIGKILL)
    looking.join(60)
    other = made.processes[0]
    if other is not worker:
        other.kill()
        other.join()
    assert not looking.is_alive() and other is not worker


def test_a_death_ends_the_supervisors_pause_but_never_twice_in_a_row():
    from rightfit.delivery.serve.workers import Stop

    reading, writing = os.pipe()
    stop = Stop(lambda: [reading])
    assert stop.wait(0.001) is False
    os.close(writing)  # as a sentinel when its process ends
    assert stop.wait(100_000) is False  # at once
    assert stop.wait(0.001) is False and stop._ended is False
    stop.set()
    assert stop.wait(100_000) is True
    os.close(reading)
