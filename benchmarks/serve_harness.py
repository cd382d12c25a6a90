"""What benchmarks/serve.py measures with: packages, servers in processes of their own, the load generator."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.package import load

RECORDS = 200
LOAD = Path(__file__).with_name("serve_load.py")
Row = dict[str, Any]


def frame(rows: int, seed: int = 0) -> Any:
    """20 numbers, 10 categories of 12 values, 5 % missing, and a binary y."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    numbers, codes = rng.normal(size=(rows, 20)), rng.integers(0, 12, (rows, 10))
    signal_ = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.abs(numbers[:, 3]) + (codes[:, 0] % 3)
    y = np.where(signal_ + rng.normal(size=rows) > np.median(signal_), "yes", "no")
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    words = np.array([f"value {c}" for c in "abcdefghijkl"], dtype=object)
    made = {f"n{i}": np.round(numbers[:, i], 4) for i in range(20)}
    return pd.DataFrame({**made, **{f"c{i}": words[codes[:, i]] for i in range(10)}, "y": y})


def packages(home: Path, count: int, rows: int = 5000) -> list[Path]:
    """LightGBM packages with the family's defaults, each trained on other rows; those already there are taken."""
    from rightfit import registry
    from rightfit.choose import ask
    from rightfit.package import write
    from rightfit.records import Candidate, Need, Rule
    from rightfit.tuning import trial

    found = []
    for at in range(count):
        out = home / f"package{at}"
        if not out.exists():
            question = ask(frame(rows, seed=at), Need(target="y"))
            candidate = Candidate(family="lightgbm",
                                  params=dict(registry.plugin("rightfit.models", "lightgbm", "family").defaults))
            model = trial.fit(candidate, question.data, question.task, seed=at, deadline=time.monotonic() + 300)
            write.write(model, out, task=question.task, schema=question.data.schema, rule=Rule(), candidate=candidate,
                        sample=frame(64, seed=100 + at).drop(columns="y"))
        found.append(out)
    return found


def bodies(package: Path) -> tuple[list[str], list[Any]]:
    """Request bodies, and what the package itself says to them."""
    rows = frame(RECORDS, seed=99).drop(columns="y").astype(object)
    records = rows.where(rows.notna(), None).to_dict("records")
    model = load(package)
    return [json.dumps(record) for record in records], [model.predict_one(record) for record in records]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ready(port: int, path: str, seconds: float, process: subprocess.Popen[Any] | None = None) -> float:
    """Seconds until a GET is answered with 200. Raises SystemExit when it never is."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        with contextlib.suppress(OSError, urllib.error.URLError), \
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            if answer.status == 200:
                return time.perf_counter() - start
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.005)
    raise SystemExit(f"a server must become ready; got none on {path} within {seconds} s.")


class Running:
    """`rightfit serve` in a process of its own."""

    def __init__(self, source: Path, *options: str, program: Sequence[str] = ()) -> None:
        self.port = free_port()
        command = [*(program or (sys.executable, "-m", "rightfit")), "serve", str(source), "--port", str(self.port)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self.ready_s = ready(self.port, "/v2/health/ready", 30, self.process)
        except SystemExit:
            self.process.kill()
            raise
        self.started = 0  # processes that have said that they serve
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stderr:  # type: ignore[union-attr]
            self.started += b"Application startup complete" in line

    def mib(self) -> float:
        """Resident memory of the server now, its workers with it."""
        return sum(resident(pid) for pid in [self.process.pid, *children(self.process.pid)])

    def metrics(self) -> list[str]:
        """The lines of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return list(answer.read().decode().splitlines())

    def figure(self, name: str) -> float:
        """One line of /metrics, 0 when it is not there."""
        return sum(float(line.rpartition(" ")[2]) for line in self.metrics() if line.rpartition(" ")[0] == name)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def children(pid: int) -> list[int]:
    """Child processes, and theirs."""
    import psutil

    return [one.pid for one in psutil.Process(pid).children(recursive=True)]


def resident(pid: int) -> float:
    """Resident memory of one process in MiB."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    return 0.0


@contextlib.contextmanager
def serving(source: Path, *options: str) -> Iterator[Running]:
    """A server that is stopped afterwards."""
    one = Running(source, *options)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.stop()


def start_load(port: int, texts: Sequence[str], **plan: Any) -> tuple[subprocess.Popen[bytes], Path]:
    """The load generator, started."""
    full = {"host": "127.0.0.1", "port": port, "rate": 500.0, "seconds": 10.0, "connections": 64, "path": "/predict",
            "bodies": list(texts), **plan}
    folder = Path(tempfile.mkdtemp(prefix="rightfit-load-"))
    (folder / "plan.json").write_text(json.dumps(full), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(LOAD), str(folder / "plan.json"), str(folder / "out.json")]), folder


def loaded(started: tuple[subprocess.Popen[bytes], Path]) -> Row:
    """What the load generator found."""
    process, folder = started
    if process.wait(300):
        raise SystemExit(f"the load generator must end well; got exit={process.returncode}.")
    found: Row = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    return found


def wrong(trace: Sequence[Any], expected: dict[str, list[Any]]) -> int:
    """Answers that are not what the model they name says: {version: answers}."""
    bad = 0
    for number, _, status, body in trace:
        if status != 200:
            continue
        found = json.loads(body)
        want = expected.get(found["model_version"])
        bad += want is None or found["label"] != want[number]["prediction"] or any(
            abs(found["probabilities"][k] - p) > 1e-6 for k, p in want[number]["probabilities"].items())
    return bad


def version(package: Path) -> str:
    """The version a server shows for a package."""
    return hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
