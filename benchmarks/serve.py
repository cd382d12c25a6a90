"""The server: start, memory, latency at 500 requests/s, overload, alias switches, kill -9, SIGTERM, a full disk, peers.

    python benchmarks/serve.py                     every part but the peers
    python benchmarks/serve.py latency overload    some parts: start, latency, overload, switch, kill, drain, disk
    python benchmarks/serve.py peers --peer-python /path/to/python   with MLflow, BentoML and rightfit's requirements

The server is `python -m rightfit serve` in a process of its own, over loopback, one worker unless said; the load comes
from benchmarks/serve_load.py in another process of the same two cores, one record a request, open loop: latencies count
from the time a request was due. The model is a LightGBM package for a table of 20 numbers and 10 categories. Every
answer is compared with the package's own. Rows of a part that is run again are replaced. Writes
benchmarks/results/serve.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import common
from serve_harness import (
    Row,
    Running,
    bodies,
    children,
    free_port,
    loaded,
    packages,
    ready,
    resident,
    serving,
    start_load,
    version,
    wrong,
)

from rightfit.resources.machine import machine

LIMITS = {"ready_s": 1.5, "rss_mib": 250.0, "p99_ms": 5.0, "recovery_s": 1.0, "admitted_ms": 1000.0, "replaced_s": 1.0,
          "times": 3.0}


# --- parts ------------------------------------------------------------------------------------------------------------

def row(what: str, value: float, unit: str = "", limit: float | str = "", most: bool = True) -> Row:
    """One line of the result; `most`: the limit is an upper one."""
    kept = "" if limit == "" else int(value <= float(limit) if most else value >= float(limit))
    return {"what": what, "value": value, "unit": unit, "limit": limit, "kept": kept,
            "noisy": int(os.getloadavg()[0] > 2 * (machine()["cores"] or 1))}


def start(home: Path) -> Iterator[Row]:
    """Seconds to ready and memory, the median of five starts."""
    package = packages(home, 1)[0]
    texts, _ = bodies(package)
    seconds, memory = [], []
    for _ in range(5):
        with serving(package) as one:
            seconds.append(one.ready_s)
            loaded(start_load(one.port, texts, rate=200.0, seconds=1.0))
            memory.append(one.mib())
    yield row("start to ready, median of 5", statistics.median(seconds), "s", LIMITS["ready_s"])
    yield row("start to ready, slowest of 5", max(seconds), "s", LIMITS["ready_s"])
    yield row("resident memory after 200 requests", statistics.median(memory), "MiB", LIMITS["rss_mib"])


def latency(home: Path) -> Iterator[Row]:
    """500 requests/s for 20 s, each answer held against the package's."""
    package = packages(home, 1)[0]
    texts, expected = bodies(package)
    with tempfile.TemporaryDirectory() as place:
        for label, options in (("", ()), (" with the request log", ("--log", f"{place}/log"))):
            with serving(package, *options) as one:
                loaded(start_load(one.port, texts, seconds=2.0))
                found = loaded(start_load(one.port, texts, seconds=20.0, trace=True))
                memory = one.mib()
            unlike = wrong(found["trace"], {version(package): expected})
            yield row(f"500 requests/s{label}: p50", found["p50_ms"], "ms")
            yield row(f"500 requests/s{label}: p99", found["p99_ms"], "ms", LIMITS["p99_ms"])
            yield row(f"500 requests/s{label}: p99.9", found["p999_ms"], "ms")
            yield row(f"500 requests/s{label}: lost or wrong of 10000",
                      found["sent"] - found["statuses"].get("200", 0) + unlike, "", 0)
            if label:
                yield row("resident memory after 11000 requests with the log", memory, "MiB", LIMITS["rss_mib"])


def capacity(port: int, texts: Sequence[str], **plan: Any) -> Row:
    """Closed loop over 16 connections."""
    loaded(start_load(port, texts, **{"rate": 0, "seconds": 1.5, "connections": 16, **plan}))
    return loaded(start_load(port, texts, **{"rate": 0, "seconds": 6.0, "connections": 16, **plan}))


def overload(home: Path) -> Iterator[Row]:
    """Twice what the server can do for 5 s, with 500 requests/s before and after from another generator."""
    package = packages(home, 1)[0]
    texts, _ = bodies(package)
    with serving(package) as one:
        most = capacity(one.port, texts)["per_s"]
        yield row("closed loop, 16 connections", most, "requests/s")
        before = durations(one)
        flood = start_load(one.port, texts, rate=2 * most, seconds=5.0, connections=1000)
        found = loaded(flood)
        ended = time.time()
        calm = loaded(start_load(one.port, texts, rate=200.0, seconds=3.0))
        delay = time.time() - ended - calm["wall_s"]
        bad = [int(k) for k, (_, failed, slow) in calm["slices"].items() if failed or slow > 0.05]
        inside = between(before, durations(one), 0.99)
        statuses = found["statuses"]
        wall = found["wall_s"]  # longer than 5 s where not even refusing keeps up
        yield row("overload 2x for 5 s: offered", found["sent"] / 5, "requests/s")
        yield row("overload 2x: answered", statuses.get("200", 0) / wall, "requests/s")
        yield row("overload 2x: refused with 429", statuses.get("429", 0) / wall, "requests/s")
        yield row("overload 2x: neither 200 nor 429",
                  found["sent"] - statuses.get("200", 0) - statuses.get("429", 0), "", 0)
        yield row("overload 2x: answered, of what it can do", statuses.get("200", 0) / found["wall_s"] / most)
        yield row("overload 2x: p99 of the answered inside the server, at most", 1000 * inside, "ms",
                  LIMITS["admitted_ms"])
        yield row("overload 2x: p99 of the answered, from sent", found["sent_p99_ms"], "ms", LIMITS["admitted_ms"])
        yield row("overload 2x: p99 of the answered, from due, the generator's lag with it", found["p99_ms"], "ms")
        yield row("overload 2x: until every request is answered within 50 ms again",
                  (max(bad) + 1) / 10 + delay if bad else delay, "s", LIMITS["recovery_s"])


def durations(one: Running) -> dict[float, float]:
    """{upper bound in s: requests to /predict that the server answered within it}, from its own histogram."""
    found = {}
    for line in one.metrics():
        if line.startswith('rightfit_request_duration_seconds_bucket') and 'route="/predict"' in line:
            found[float(line.partition('le="')[2].partition('"')[0])] = float(line.rpartition(" ")[2])
    return found


def between(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The bound below which a share of what came in between lies, seconds."""
    most = after[math.inf] - before.get(math.inf, 0.0)
    return min(bound for bound, count in after.items() if count - before.get(bound, 0.0) >= share * most)


def switch(home: Path) -> Iterator[Row]:
    """50 promotions under 300 requests/s; every answer is that of the version it names."""
    from rightfit.delivery import versions

    some = packages(home, 3)
    texts, _ = bodies(some[0])
    expected = {version(one): bodies(one)[1] for one in some}
    with tempfile.TemporaryDirectory() as place:
        registry = Path(place) / "registry"
        for one in some:
            versions.add(registry, one)
        versions.promote(registry, 1)
        with serving(registry) as server:
            load_ = start_load(server.port, texts, rate=300.0, seconds=30.0, trace=True)
            time.sleep(1.0)
            for i in range(50):
                versions.promote(registry, 1 + (i + 1) % 3)
                time.sleep(0.55)
            found = loaded(load_)
            done = server.figure('rightfit_model_switches_total{result="switched"}')
        answered = found["statuses"].get("200", 0)
        used = len({json.loads(body)["model_version"] for *_, status, body in found["trace"] if status == 200})
        yield row("alias switches under 300 requests/s", done, "", 50, most=False)
        yield row("alias switches: versions that answered", used)
        yield row(f"alias switches: lost of {found['sent']} requests", found["sent"] - answered, "", 0)
        yield row("alias switches: wrong answers", wrong(found["trace"], expected), "", 0)
        yield row("alias switches: p99 meanwhile", found["p99_ms"], "ms")


def kill(home: Path) -> Iterator[Row]:
    """kill -9 of one of two workers, ten times, under 300 requests/s; a broken connection's request is sent again."""
    package = packages(home, 1)[0]
    texts, expected = bodies(package)
    with serving(package, "--workers", "2") as one:
        while one.started < 2:
            time.sleep(0.01)
        load_ = start_load(one.port, texts, rate=300.0, seconds=45.0, trace=True, again=1)
        took, whole = [], []
        for at in range(10):
            time.sleep(2.0 + 0.037 * at)  # not always at the same moment of the supervisor's round
            before, served = workers(one.process.pid), one.started
            os.kill(before[0], signal.SIGKILL)
            start_ = time.perf_counter()
            for done, times in ((lambda: set(workers(one.process.pid)) - set(before), took),  # noqa: B023
                                (lambda: one.started > served, whole)):  # noqa: B023
                while not done():
                    time.sleep(0.005)
                times.append(time.perf_counter() - start_)
        found = loaded(load_)
    answered = found["statuses"].get("200", 0)
    yield row("kill -9 of a worker, 10 times: connections broken under a request", found["broken"])
    lost = found["sent"] - answered
    yield row(f"kill -9 of a worker: lost of {found['sent']} requests, sent again once", lost, "", 0)
    yield row("kill -9 of a worker: wrong answers", wrong(found["trace"], {version(package): expected}), "", 0)
    yield row("kill -9 of a worker: until another is started, slowest of 10", max(took), "s", LIMITS["replaced_s"])
    yield row("kill -9 of a worker: until another answers, slowest of 10", max(whole), "s")
    yield row("kill -9 of a worker: p99 meanwhile", found["p99_ms"], "ms")


def workers(pid: int) -> list[int]:
    """The processes that serve: children that are no resource tracker."""
    import psutil

    found = []
    for one in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # gone between two looks
            if one.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(one.cmdline()):
                found.append(one.pid)
    return sorted(found)


def drain(home: Path) -> Iterator[Row]:
    """SIGTERM under 300 requests/s, five times; callers see their connection closed with an answer, then none."""
    package = packages(home, 1)[0]
    texts, expected = bodies(package)
    broken = unlike = answered = 0
    for _ in range(5):
        with serving(package) as one:
            load_ = start_load(one.port, texts, rate=300.0, seconds=3.0, trace=True, patience=0.5)
            time.sleep(2.0)
            one.stop()
            found = loaded(load_)
        broken += found["broken"]
        answered += found["statuses"].get("200", 0)
        unlike += wrong(found["trace"], {version(package): expected})
    yield row("SIGTERM under 300 requests/s, 5 times: requests answered", answered)
    yield row("SIGTERM: requests whose connection broke unanswered", broken, "", 0)
    yield row("SIGTERM: wrong answers", unlike, "", 0)


def disk(home: Path) -> Iterator[Row]:
    """A request log on a file system of 1 MiB."""
    package = packages(home, 1)[0]
    texts, expected = bodies(package)
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
        try:
            with serving(package, "--log", place) as one:
                found = loaded(start_load(one.port, texts, rate=300.0, seconds=10.0, trace=True))
                time.sleep(0.5)
                lost = one.figure("rightfit_log_lost_total")
            from rightfit.delivery import log

            kept = len(log.read(place))
        finally:
            subprocess.run(["umount", "-l", place], check=True)
    yield row("full disk for the log: lost of 3000 requests", found["sent"] - found["statuses"].get("200", 0), "", 0)
    yield row("full disk: wrong answers", wrong(found["trace"], {version(package): expected}), "", 0)
    yield row("full disk: entries lost, as /metrics counts them", lost)
    yield row("full disk: entries that neither the log nor the count has", found["sent"] - lost - kept, "", 0)
    yield row("full disk: p99 meanwhile", found["p99_ms"], "ms")


_BENTO = '''
import bentoml, rightfit
from typing import Any
@bentoml.service(workers=1)
class Model:
    def __init__(self):
        self.model = rightfit.load({path!r})
    @bentoml.api
    def predict(self, record: dict[str, Any]) -> dict[str, Any]:
        return self.model.predict_one(record)
'''


def peers(home: Path, python: str) -> Iterator[Row]:
    """The same package behind MLflow's and BentoML's servers, one worker each, and behind this one."""
    package = packages(home, 1)[0]
    texts, _ = bodies(package)
    with serving(package) as one:
        ours = capacity(one.port, texts)
        memory = one.mib()
    yield row("rightfit: closed loop, 16 connections", ours["per_s"], "requests/s")
    yield row("rightfit: resident memory", memory, "MiB")
    if not (home / "mlflow").exists():
        subprocess.run([python, "-m", "rightfit", "export", str(package), "--to", "mlflow", "-o",
                        str(home / "mlflow")], check=True)
    service = home / "bento"
    service.mkdir(exist_ok=True)
    (service / "service.py").write_text(_BENTO.format(path=str(package)))
    split = [json.dumps({"dataframe_records": [json.loads(text)]}) for text in texts]
    whole = [json.dumps({"record": json.loads(text)}) for text in texts]
    for name, command, sent, path in (
            ("MLflow", ["-m", "mlflow", "models", "serve", "-m", str(home / "mlflow"), "--env-manager", "local", "-w",
                        "1", "-p"], split, ("/ping", "/invocations")),
            ("BentoML", ["-m", "bentoml", "serve", "service:Model", "--port"], whole, ("/readyz", "/predict"))):
        port = free_port()
        process = subprocess.Popen([python, *command, str(port)], cwd=service, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True,
                                   env={**os.environ, "BENTOML_DO_NOT_TRACK": "1",
                                        "PATH": f"{Path(python).parent}:{os.environ['PATH']}"})
        try:
            took = ready(port, path[0], 120, process)
            found = capacity(port, sent, path=path[1])
            memory = sum(map(resident, [process.pid, *children(process.pid)]))
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        assert set(found["statuses"]) == {"200"}, found["statuses"]
        name = f"{name} {released(python, name.lower())}"
        yield row(f"{name}: closed loop, 16 connections", found["per_s"], "requests/s")
        yield row(f"{name}: start to ready", took, "s")
        yield row(f"{name}: resident memory", memory, "MiB")
        yield row(f"rightfit over {name}", ours["per_s"] / found["per_s"], "times", LIMITS["times"], most=False)


def released(python: str, name: str) -> str:
    """The version of a distribution in another environment."""
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "start": start, "latency": latency, "overload": overload, "switch": switch, "kill": kill, "drain": drain,
    "disk": disk}


def main() -> None:
    """Run the parts that were asked for; each row is written as it comes."""
    parser = argparse.ArgumentParser(description="What the server does.")
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=[*PARTS, "peers"])
    parser.add_argument("--home", type=Path, help="where the packages are kept between runs")
    parser.add_argument("--peer-python", default=sys.executable)
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="rightfit-serve-"))
    home.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        kept = [one for one in common.read_csv("serve") if one["part"] != part]
        made: list[Row] = []
        for one in (peers(home, given.peer_python) if part == "peers" else PARTS[part](home)):
            made.append({"part": part, **one})
            common.show(made[-1])
            common.write_csv("serve", [*kept, *made])


if __name__ == "__main__":
    main()
