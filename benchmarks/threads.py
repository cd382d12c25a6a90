"""Two one-thread workers or one two-thread worker? And what does a process cost to start?

    python benchmarks/threads.py        writes benchmarks/results/threads.csv in about a minute

Every figure is the wall time to finish the same fits, quiet and beside one busy process of somebody else.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.engines.local import Job, Pool

FITS = 4
ROUNDS = 3


def fit(payload: Mapping[str, Any], *, deadline: float) -> dict[str, Any]:
    """Fit one model on 8,000 x 20 rows; returns its own seconds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8000, 20))
    y = (x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=len(x)) > 0).astype(int)
    started = time.monotonic()
    if payload["family"] == "lightgbm":
        from lightgbm import LGBMClassifier

        LGBMClassifier(n_estimators=150, n_jobs=payload["threads"], verbose=-1, seed=0).fit(x, y)
    else:
        from sklearn.ensemble import RandomForestClassifier

        RandomForestClassifier(n_estimators=40, random_state=0, n_jobs=payload["threads"]).fit(x, y)
    return {"seconds": time.monotonic() - started}


def nothing(payload: Mapping[str, Any], *, deadline: float) -> dict[str, Any]:
    """A job with nothing to do, to time what surrounds it."""
    return {}


def spin() -> None:
    """The busy neighbour."""
    while True:
        sum(range(1000))


def race(family: str, workers: int, threads: int) -> float:
    """Median wall seconds to finish FITS fits."""
    walls = []
    with Pool(workers, threads=threads) as pool:
        for i in range(workers):
            pool.submit(Job(key=f"warm{i}", function="threads:nothing", payload={}))
        _drain(pool, workers)
        for _ in range(ROUNDS):
            started = time.monotonic()
            for i in range(FITS):
                payload = {"family": family, "threads": threads}
                pool.submit(Job(key=str(i), function="threads:fit", payload=payload, soft_s=60, hard_s=60))
            _drain(pool, FITS)
            walls.append(time.monotonic() - started)
    return statistics.median(walls)


def _drain(pool: Pool, n: int) -> None:
    done: list[Any] = []
    while len(done) < n:
        done += pool.wait()
    assert all(o.state == "ok" for o in done), [o.error for o in done]


def start_cost(method: str) -> float:
    """Median wall seconds from start to end of a process that has the libraries of a trial and does nothing."""
    walls = []
    if method == "forkserver":
        with Pool(1) as pool:
            for i in range(8):
                started = time.monotonic()
                pool.submit(Job(key=str(i), function="threads:nothing", payload={}))
                _drain(pool, 1)
                walls.append(time.monotonic() - started)
        return statistics.median(walls[1:])
    for _ in range(3):
        started = time.monotonic()
        process = multiprocessing.get_context("spawn").Process(target=load_libraries)
        process.start()
        process.join()
        walls.append(time.monotonic() - started)
    return statistics.median(walls)


def load_libraries() -> None:
    """What a spawned trial has to import before it can begin."""
    import importlib

    from rightfit.engines.local import PRELOAD

    for name in PRELOAD:
        importlib.import_module(name)


def main() -> None:
    """Measure, print and write the table."""
    rows: list[dict[str, Any]] = []

    def note(what: str, setting: str, neighbour: str, seconds: float, ratio: float | None) -> None:
        rows.append({"what": what, "setting": setting, "neighbour": neighbour, "seconds": round(seconds, 4),
                     "ratio": "" if ratio is None else round(ratio, 3), "cores": os.cpu_count(),
                     "load_1m": round(os.getloadavg()[0], 2), "machine": platform.machine(),
                     "python": platform.python_version()})
        print(rows[-1], flush=True)

    fast, slow = start_cost("forkserver"), start_cost("spawn")
    note("process start", "forkserver with preload", "quiet", fast, 1.0)
    note("process start", "spawn and import", "quiet", slow, slow / fast)
    for neighbour in ("quiet", "busy"):
        other = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
        if neighbour == "busy":
            other.start()
        for family in ("lightgbm", "random_forest"):
            two, one = race(family, 2, 1), race(family, 1, 2)
            note(family, "2 workers x 1 thread", neighbour, two, 1.0)
            note(family, "1 worker x 2 threads", neighbour, one, one / two)
        if neighbour == "busy":
            other.terminate()
            other.join()
    path = Path(__file__).parent / "results" / "threads.csv"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
