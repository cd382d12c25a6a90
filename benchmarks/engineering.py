"""From a CSV to a delivered model: seconds, a busy neighbour, memory against the data, large and wide tables, one row.

    python benchmarks/engineering.py csv neighbour       10,000 x 30 in 10 s, quiet, then beside a spinning process
    python benchmarks/engineering.py wide big            5,000 x 2,000 and 1,000,000 x 50 within their budgets and 12 GB
    python benchmarks/engineering.py delivered           p99 of one raw dict, size, load to first prediction

Each run is the command a user types, in a process of its own, timed from its start to its end; memory is that of its
process tree, shared pages once. The score is ROC AUC of the delivered package on 10,000 rows that were never shown.
Rows of a part that is run again are replaced. Writes benchmarks/results/engineering.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
import numpy as np
import speed

from rightfit.metrics import score
from rightfit.package import load, probe

OUT = common.RESULTS / "engineering.csv"
FIELDS = ("part", "what", "value", "unit", "limit", "note", "cores", "load_1m", "python", "versions")
MOST_MIB = 12_000.0
HELD = 10_000


def spin() -> None:
    """The busy neighbour."""
    while True:
        sum(range(1000))


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A spinning process beside, or none."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    if busy:
        process.start()
    try:
        yield
    finally:
        if busy:
            process.terminate()
            process.join()


def numbers(rows: int, columns: int, seed: int = 0) -> Any:
    """A frame of float32 numbers that a third of ten columns explain, and a binary y."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, columns)).astype(np.float32)
    signal = found[:, 0] + found[:, 1] * found[:, 2] + np.abs(found[:, 3]) + rng.normal(size=rows).astype(np.float32)
    frame = pd.DataFrame(found, columns=[f"n{i}" for i in range(columns)])
    return frame.assign(y=np.where(signal > np.median(signal), "yes", "no"))


def run(frame: Any, budget_s: float, scratch: Path, parquet: bool = False) -> dict[str, Any]:
    """One command on all rows but the last HELD (at most a third): wall, memory of the tree, decision, score."""
    held = min(HELD, len(frame) // 3)
    new, path = frame.iloc[-held:].reset_index(drop=True), scratch / ("rows.parquet" if parquet else "rows.csv")
    old = frame.iloc[:-held]
    old.to_parquet(path) if parquet else old.to_csv(path, index=False)
    data_mib = old.memory_usage(deep=True).sum() / 2**20
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "rightfit", "choose", str(path), "--target", "y", "--budget",
                                f"{budget_s:g}s", "--out", str(scratch / "run"), "--overwrite", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    tree = speed.Tree(process.pid)
    tree.start()
    printed, said = process.communicate()
    wall = time.monotonic() - begun
    tree.join(timeout=5)
    if process.returncode not in (0, 3):
        raise SystemExit(f"choose failed with {process.returncode}: {said[-400:]}")
    decision, model = json.loads(printed), load(scratch / "run" / "package")
    y = (new["y"] == model.classes_[-1]).to_numpy().astype(int)
    auc = score("roc_auc", y, model.predict_proba(new), model.task)
    return {"wall": wall, "mib": tree.pss_mib, "auc": auc, "data_mib": data_mib, "held": held, "decision": decision,
            "file_mib": path.stat().st_size / 2**20,
            "note": f"{(decision['chosen'] or {}).get('family')}, {decision['spent']['trials']:.0f} trials, ROC AUC "
                    f"{auc:.4f} on {held} held-out rows, promised {decision['estimate'].get('value', 0):.4f}"}


def row(part: str, what: str, value: float, unit: str, limit: float | None = None, note: str = "") -> dict[str, Any]:
    """One line of the result."""
    return {"part": part, "what": what, "value": value, "unit": unit, "limit": "" if limit is None else limit,
            "note": note}


def csv_to_model(given: argparse.Namespace) -> list[dict[str, Any]]:
    """10,000 x 30 with a third categories, all of it in ten seconds."""
    with tempfile.TemporaryDirectory(prefix="rightfit-engineering-") as scratch:
        found = run(speed.mixed(10_000 + HELD // 2), given.budget, Path(scratch))
    what = f"10000 x 30, budget {given.budget:g} s"
    return [row("csv", f"{what}: CSV to delivered model, the whole command", found["wall"], "s", 10.0, found["note"]),
            row("csv", f"{what}: ROC AUC on rows never shown", found["auc"], "", None, found["note"]),
            row("csv", f"{what}: peak memory of all processes", found["mib"], "MiB", 3 * found["data_mib"] + 300,
                f"the data are {found['data_mib']:.1f} MiB as a frame")]


def beside(given: argparse.Namespace) -> list[dict[str, Any]]:
    """The same finished search, quiet and beside a spinning process: how much longer it takes."""
    walls: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="rightfit-engineering-") as scratch:
        path = Path(scratch) / "rows.csv"
        speed.mixed(10_000).to_csv(path, index=False)
        for _ in range(2):
            for busy in (False, True):
                with neighbour(busy):
                    begun = time.monotonic()
                    subprocess.run([sys.executable, "-m", "rightfit", "choose", str(path), "--target", "y", "--budget",
                                    "120s", "--family", "lightgbm", "--folds", "3", "--proposals", "0", "--out",
                                    f"{scratch}/run", "--overwrite", "--json"], check=True, capture_output=True)
                    walls[busy].append(time.monotonic() - begun)
    quiet, slow = min(walls[False]), min(walls[True])
    return [row("neighbour", "10000 x 30, the same search to its end, quiet", quiet, "s"),
            row("neighbour", "10000 x 30, the same search to its end, one busy neighbour", slow, "s"),
            row("neighbour", "one busy neighbour: times as long", slow / quiet, "times", 1.3)]


def wide(given: argparse.Namespace) -> list[dict[str, Any]]:
    """5,000 rows of 2,000 columns."""
    return _large("wide", numbers(5000 + 1000, 2000), f"5000 x 2000, budget {given.wide_budget:g} s", given.wide_budget)


def big(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A million rows of 50 columns, as Parquet."""
    return _large("big", numbers(1_000_000 + HELD, 50), f"1000000 x 50, budget {given.big_budget:g} s",
                  given.big_budget, parquet=True)


def _large(part: str, frame: Any, what: str, budget_s: float, parquet: bool = False) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="rightfit-engineering-") as scratch:
        found = run(frame, budget_s, Path(scratch), parquet)
    share = f"the data are {found['data_mib']:.0f} MiB as a frame; three times that and 300 are " \
            f"{3 * found['data_mib'] + 300:.0f}"
    return [row(part, f"{what}: wall of the whole command", found["wall"], "s", max(budget_s + 2, 1.05 * budget_s),
                found["note"]),
            row(part, f"{what}: peak memory of all processes", found["mib"], "MiB", MOST_MIB, share),
            row(part, f"{what}: ROC AUC on rows never shown", found["auc"], "", None, found["note"])]


def delivered(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What a user gets from 10,000 x 30: one raw dict in, label out; size; a process from start to first answer."""
    with tempfile.TemporaryDirectory(prefix="rightfit-engineering-") as scratch:
        found = run(speed.mixed(10_000 + HELD // 2), given.delivered_budget, Path(scratch))
        package = Path(scratch) / "run" / "package"
        figures = probe.probe(package)
        code = f"import rightfit; m = rightfit.load({str(package)!r}); m.predict_one(m.sample[0])"
        started = min(speed.wall(speed.python(code), 5))
    what, note = f"10000 x 30, budget {given.delivered_budget:g} s", found["note"]
    return [row("delivered", f"{what}: one raw dict to label, p50", figures["latency_p50_ms"], "ms", None, note),
            row("delivered", f"{what}: one raw dict to label, p99", figures["latency_p99_ms"], "ms", 0.5, note),
            row("delivered", f"{what}: package", figures["size_mib"], "MiB", 10.0, note),
            row("delivered", f"{what}: a new process, load to first prediction", started, "s", 0.3),
            row("delivered", f"{what}: peak memory of a process that predicts", figures["memory_mib"], "MiB"),
            row("delivered", f"{what}: rows per second in batches", figures["throughput_per_s"], "1/s")]


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "csv": csv_to_model, "neighbour": beside, "wide": wide, "big": big, "delivered": delivered}


def main() -> int:
    """Run the parts; 0 when every limit was kept."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    words.add_argument("--budget", type=float, default=9.0, help="seconds, for csv")
    words.add_argument("--delivered-budget", type=float, default=60.0)
    words.add_argument("--wide-budget", type=float, default=120.0)
    words.add_argument("--big-budget", type=float, default=240.0)
    given = words.parse_args()
    machine, versions = common.machine(), common.versions()
    told = {"cores": machine.get("cores"), "python": sys.version.split()[0], "load_1m": machine.get("load_1m"),
            "versions": "; ".join(f"{n} {versions[n]}" for n in ("rightfit", "lightgbm", "xgboost", "catboost")
                                  if n in versions)}
    kept = []
    if OUT.exists():
        with OUT.open(encoding="utf-8", newline="") as file:
            kept = list(csv.DictReader(file))
    for part in given.parts:
        found = [{**line, **told} for line in PARTS[part](given)]
        kept = [line for line in kept if line["part"] != part] + found
        with OUT.open("w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, FIELDS)
            out.writeheader()
            out.writerows(kept)
        for line in found:
            print(line["what"], f"{line['value']:.4g} {line['unit']} (limit {line['limit']})", line["note"], flush=True)
    return 0 if all(line["limit"] == "" or float(line["value"]) <= float(line["limit"]) for line in kept) else 1


if __name__ == "__main__":
    raise SystemExit(main())
