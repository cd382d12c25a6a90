"""rightfit beside other AutoML systems: same tables, same splits, same budgets, same cores.

    python benchmarks/peers                                   what is missing of the whole, for days
    python benchmarks/peers --tables mpg,phoneme --ways rightfit,flaml --budgets 60 --splits 1
    taskset -c 0 python benchmarks/peers --cores 1            on one core of several, as the results here were made
    python benchmarks/peers --most 5                          at most five minutes, then stop between two units
    python benchmarks/peers --summary                         only the statistics of what is there

A unit is (way, table, split, budget, neighbour); its line in benchmarks/results/peers.csv also holds version, machine
and seed, and a unit that has a line with this version and machine is not run again. Every system sees the same
training rows as a frame, the columns that the index of the tables says to drop left out, and is scored on the same
held-out rows by rightfit's metrics. Statistics go to benchmarks/results/peers_summary.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import common
import compare
import systems

TABLES = ("concrete", "german_credit", "Vehicle", "phoneme", "abalone", "heartdisease", "bank", "winequality-white",
          "ames", "spambase_openml44", "Telco-Customer-Churn", "higgs7k_binary", "segment", "california_housing",
          "letterdata", "adult-train", "lending_club", "mammography", "covtype", "bike_hourly", "diamonds")
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
SHARE = 1 / 3  # of the rows is held out
GRACE_S = 120.0  # beyond twice its budget, after which a system is stopped
WORKER = Path(__file__).resolve().parent / "worker.py"


def split(real: common.Real, number: int, folder: Path) -> dict[str, Any]:
    """The table's split as two Parquet files; the target stays in both. Returns paths, target, problem, metric."""
    folder = folder / f"{real.name}-{number}"
    told = folder / "split.json"
    if told.exists():
        return dict(json.loads(told.read_text(encoding="utf-8")))
    frame, need = common.load(real)
    classifies = real.problem != "regression"
    frame = tidied(frame, need, str(need.target), classifies)
    rest, held = common.outer(frame, need, classifies, SHARE, number)
    folder.mkdir(parents=True, exist_ok=True)
    frame.iloc[rest].reset_index(drop=True).to_parquet(folder / "train.parquet")
    frame.iloc[held].reset_index(drop=True).to_parquet(folder / "test.parquet")
    found = {"train": str(folder / "train.parquet"), "test": str(folder / "test.parquet"), "target": str(need.target),
             "problem": real.problem, "metric": METRIC[real.problem], "rows": len(rest), "columns": frame.shape[1] - 1}
    told.write_text(json.dumps(found), encoding="utf-8")
    return found


def tidied(frame: Any, need: Any, target: str, classifies: bool) -> Any:
    """The columns that may be used, numbers as numbers, the markers of missing values as missing, labels as names."""
    import pandas as pd

    out = frame.drop(columns=[*need.drop], errors="ignore")
    out = out[out[target].notna()].reset_index(drop=True)
    markers = {token.split("@")[0]: token.partition("@")[2] for token in need.missing}
    for name in out.columns:
        column = out[name]
        for token, only in markers.items():
            if not only or name in only.split(",") or name.isdigit():
                column = column.mask(column.astype(str).str.strip() == token) if not only or name in only.split(",") \
                    else column
        if name != target or not classifies:
            numbers = pd.to_numeric(column, errors="coerce")
            column = numbers if numbers.notna().sum() == column.notna().sum() else column
        out[name] = column
    if classifies:
        names = sorted(out[target].astype(str).unique())
        out[target] = out[target].astype(str).map({name: f"class_{code:02}" for code, name in enumerate(names)})
    out.columns = [str(c).strip() or "column" for c in out.columns]
    return out


def score(job: dict[str, Any], home: Path) -> float:
    """The metric on the held-out rows, from predictions whose columns are put into the order of the labels."""
    import pandas as pd
    from sklearn import metrics

    y = pd.read_parquet(job["test"], columns=[job["target"]])[job["target"]]
    with np.load(home / "predictions.npz") as arrays:
        pred, classes = arrays["pred"], [str(c) for c in arrays["classes"]]
    if job["metric"] == "rmse":
        return float(np.sqrt(np.mean((y.to_numpy(float) - pred.reshape(-1)) ** 2)))
    every = sorted({*classes, *y.astype(str)})
    full = np.zeros((len(y), len(every)))
    full[:, [every.index(name) for name in classes]] = pred.reshape(len(y), len(classes))
    if job["metric"] == "roc_auc":
        return float(metrics.roc_auc_score(y.astype(str) == every[-1], full[:, -1]))
    full = np.clip(full, 1e-15, 1)
    return float(metrics.log_loss(y.astype(str), full / full.sum(axis=1, keepdims=True), labels=every))


class Watch(threading.Thread):
    """The largest memory of a process and its children together, looked at twice a second, in MiB."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.process, self.peak = process, 0.0

    def run(self) -> None:
        """Look until the process is gone."""
        import psutil

        while self.process.poll() is None:
            try:
                top = psutil.Process(self.process.pid)
                sizes = [p.memory_info().rss for p in (top, *top.children(recursive=True)) if p.is_running()]
                self.peak = max(self.peak, sum(sizes) / 2**20)
            except psutil.Error:
                pass
            time.sleep(0.5)


def unit(job: dict[str, Any], python: Path, home: Path, busy: bool) -> dict[str, Any]:
    """Run one system on one split; what came of it, with "error" where it gave no model."""
    path = systems.asked(job, home / "job.json")
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    environment = systems.environment(job["cores"])
    try:
        begun = time.monotonic()
        with (home / "log.txt").open("wb") as log:
            process = subprocess.Popen([str(python), str(WORKER), str(path)], stdout=log, stderr=subprocess.STDOUT,
                                       env=environment, cwd=home, start_new_session=True)
            watch = Watch(process)
            watch.start()
            try:
                process.wait(2 * job["budget"] + GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
        found: dict[str, Any] = {"process_s": time.monotonic() - begun, "peak_mib": watch.peak}
        result = home / "result.json"
        if result.exists():
            found |= json.loads(result.read_text(encoding="utf-8"))
        if process.returncode or not (home / "predictions.npz").exists():
            last = (home / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return {**found, "error": (last or ["no word"])[-1][:200]}
        found["score"] = score(job, home)
        return {**found, "first_answer_s": first_answer(job, python, path, environment)}
    finally:
        if spin is not None:
            spin.kill()


def first_answer(job: dict[str, Any], python: Path, path: Path, environment: dict[str, str]) -> float:
    """Seconds from starting a process to the first label; the second of two, so that files are in memory."""
    import pandas as pd

    record = pd.read_parquet(job["test"]).drop(columns=job["target"]).head(1).to_json(orient="records")
    (path.parent / "record.json").write_text(record[1:-1], encoding="utf-8")
    took = 0.0
    for _ in range(2):
        begun = time.monotonic()
        subprocess.run([str(python), str(WORKER), str(path), "--load"], env=environment, cwd=path.parent, check=False,
                       capture_output=True, timeout=120)
        took = time.monotonic() - begun
    return took


def open_units(given: argparse.Namespace, versions: dict[str, str], machine: str) -> Iterator[dict[str, Any]]:
    """What has no line yet, split by split and budget by budget over all tables, so that a stop leaves whole blocks."""
    done = {key_of(row) for row in common.read_csv("peers", given.out)}
    for number in range(given.splits):
        for budget in given.budgets.split(","):
            for table in given.tables.split(","):
                for way in given.ways.split(","):
                    name = systems.WAYS[way].name
                    what = {"way": way, "version": versions.get(name, ""), "table": table, "split": str(number),
                            "budget_s": budget, "cores": str(given.cores),
                            "neighbour": "busy" if given.busy else "quiet", "machine": machine}
                    if versions.get(name) and key_of(what) not in done:
                        yield what


def key_of(row: dict[str, Any]) -> tuple[str, ...]:
    """By what a unit is known: the same key is never run twice."""
    return tuple(str(row[n]) for n in ("way", "version", "table", "split", "budget_s", "cores", "neighbour", "machine"))


def prepare(given: argparse.Namespace) -> dict[str, str]:
    """{system: version} of those that can be run; results/peers_installed.csv says which and why not."""
    rows, versions = [], {}
    for system in {systems.WAYS[way].name: systems.WAYS[way] for way in given.ways.split(",")}.values():
        version, reason = systems.prepared(system, given.environments)
        rows.append({"system": system.name, "version": version, "why_not": reason})
        if version:
            versions[system.name] = version
    known = {row["system"]: row for row in common.read_csv("peers_installed", given.out)}
    common.write_csv("peers_installed", [*{**known, **{row["system"]: row for row in rows}}.values()], given.out)
    return versions


def measure(given: argparse.Namespace) -> None:
    """Run what is open until the time is over."""
    versions, machine = prepare(given), common.about()["machine"]
    end = time.monotonic() + 60 * given.most
    for what in open_units(given, versions, machine):
        if time.monotonic() + float(what["budget_s"]) * 1.2 > end:
            break
        system = systems.WAYS[what["way"]]
        real = next(common.tables([what["table"]]))
        home = Path(tempfile.mkdtemp(prefix="rightfit-peer-"))
        try:
            found = split(real, int(what["split"]), given.work)
            job = {**found, "system": system.name, "options": dict(system.ways[what["way"]]), "home": str(home),
                   "budget": int(what["budget_s"]), "cores": given.cores, "seed": int(what["split"])}
            got = unit(job, systems.python_of(system, given.environments), home, given.busy)
        finally:
            if not given.keep:
                shutil.rmtree(home, ignore_errors=True)
        row = {**{k: v for k, v in what.items() if k != "machine"}, "problem": found["problem"],
               "metric": found["metric"], "rows": found["rows"], "columns": found["columns"], "seed": what["split"],
               **{name: got.get(name, "") for name in FIGURES}}
        common.append_csv("peers", row, given.out)
        common.show(row)


FIGURES = ("score", "promised", "low", "high", "wall_s", "process_s", "peak_mib", "predict_s", "row_p50_ms",
           "row_p95_ms", "row_p99_ms", "row_calls", "size_mb", "first_answer_s", "candidates", "chosen", "error")


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, then sum up."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--tables", default=",".join(TABLES))
    words.add_argument("--ways", default=",".join(systems.WAYS))
    words.add_argument("--budgets", default="60,300", help="seconds")
    words.add_argument("--splits", type=int, default=2)
    words.add_argument("--cores", type=int, default=2)
    words.add_argument("--busy", action="store_true", help="beside a process that spins")
    words.add_argument("--most", type=float, default=1e6, help="minutes, after which no further unit is started")
    words.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "rightfit-peers")
    words.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "rightfit-peers")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    words.add_argument("--keep", action="store_true", help="leave what the systems wrote")
    words.add_argument("--summary", action="store_true")
    given = words.parse_args(arguments)
    if not given.summary:
        measure(given)
    rows = common.read_csv("peers", given.out)
    if rows:
        common.write_csv("peers_summary", compare.summary(rows), given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
