"""What a package costs, measured as it will be served: raw record in, label out, in a fresh process with one thread.

    latency_p50_ms, latency_p95_ms, latency_p99_ms   one row through predict_one, garbage collection as usual
    latency_p95_high_ms   one-sided upper 95 % bound of the p95, Student's t over the blocks
    noisy                 the blocks still disagreed by more than 20 % after three attempts
    throughput_per_s      rows per second, the best of batches of 1, 32, 256 and 1024 records
    memory_mib            peak resident memory of that process: interpreter, numpy, the runtime, the model, its batches
    load_s                from the start of that process (interpreter, imports, checks) to the first prediction
    size_mib              all files of the package

Run `python -m rightfit.package.probe PACKAGE` for the same figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.errors import PackageError, RightfitError

if TYPE_CHECKING:
    from rightfit.package.read import LoadedModel

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
           "VECLIB_MAXIMUM_THREADS")
BLOCKS = 10
BLOCK_CALLS = 100
BLOCK_SECONDS = 0.1
LONGEST_BLOCK = 1.0
FEWEST_CALLS = 20
ATTEMPTS = 3
AGREE = 0.2
BATCHES = (1, 32, 256, 1024)
BATCH_SECONDS = 0.15
# one-sided 95 % quantile of Student's t by degrees of freedom
_T95 = (0.0, 6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753,
        1.746, 1.740, 1.734, 1.729, 1.725)

Record = Mapping[str, Any]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the ordered values do not exceed.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.95)
    (2, 4)
    """
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def upper(values: Sequence[float]) -> float:
    """One-sided upper 95 % bound of the mean of block figures, 2 or more.

    >>> round(upper([1.0, 1.2, 1.1]), 3)
    1.269
    """
    n = len(values)
    mean = sum(values) / n
    spread = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5
    return float(mean + _T95[min(n, len(_T95)) - 1] * spread / n**0.5)


def _block(call: Callable[[Record], Any], records: Sequence[Record], seconds: float) -> list[float]:
    """Milliseconds of single calls, one block."""
    clock, times, n = time.perf_counter_ns, list[float](), len(records)
    started = clock()
    while True:
        record = records[len(times) % n]
        before = clock()
        call(record)
        after = clock()
        times.append((after - before) / 1e6)
        spent = (after - started) / 1e9
        if len(times) >= FEWEST_CALLS and spent >= (seconds if len(times) >= BLOCK_CALLS else LONGEST_BLOCK):
            return times


def latency(call: Callable[[Record], Any], records: Sequence[Record], *, blocks: int = BLOCKS,
            seconds: float = BLOCK_SECONDS, attempts: int = ATTEMPTS) -> dict[str, float]:
    """Single-row latency of `call` in ms over blocks of calls; the attempt whose blocks agree best is reported.

    A block lasts at least `seconds` and 100 calls (slow models: one second and 20 calls). Attempts are compared by how
    well their blocks agree, not by how fast they were. The first block after a warm-up is not special.
    """
    best: tuple[float, list[list[float]]] | None = None
    for _ in range(attempts):
        found = [sorted(_block(call, records, seconds)) for _ in range(blocks)]
        p95 = sorted(quantile(block, 0.95) for block in found)
        disagree = (p95[-1] - p95[0]) / p95[len(p95) // 2]
        if best is None or disagree < best[0]:
            best = disagree, found
        if disagree <= AGREE:
            break
    assert best is not None
    disagree, found = best
    pooled = sorted(t for block in found for t in block)
    high = upper([quantile(block, 0.95) for block in found])
    return {"latency_p50_ms": quantile(pooled, 0.5), "latency_p95_ms": quantile(pooled, 0.95),
            "latency_p95_high_ms": max(high, quantile(pooled, 0.95)), "latency_p99_ms": quantile(pooled, 0.99),
            "noisy": float(disagree > AGREE)}


def throughput(model: LoadedModel, records: Sequence[Record], seconds: float = BATCH_SECONDS) -> float:
    """Rows per second from raw records to labels, at the best batch size."""
    best = 0.0
    for size in BATCHES:
        batch = [records[i % len(records)] for i in range(size)]
        rows, started = 0, time.perf_counter()
        while rows == 0 or time.perf_counter() - started < seconds:
            model.predict(batch)
            rows += size
        best = max(best, rows / (time.perf_counter() - started))
    return best


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB.

    VmHWM starts anew with each program; getrusage would also count the parent that forked.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    import psutil

    info = psutil.Process().memory_info()
    return float(getattr(info, "peak_wset", info.rss)) / 2**20


def size_mib(path: str | Path) -> float:
    """All files of a package, folder or zip, in MiB."""
    path = Path(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 2**20


def _rows(model: LoadedModel, records: Sequence[Record] | None) -> Sequence[Record]:
    rows = model.sample if records is None else records
    if not rows:
        raise PackageError("a package must be measured on at least one record; got records of 0 rows.")
    return rows


def process_age_s() -> float:
    """Seconds since this process started, to 10 ms; 0 where /proc does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


def _warm(path: str | Path, records: Sequence[Record] | None, started: float) -> tuple[LoadedModel, Any, float]:
    """The loaded, warmed-up model, the rows to measure on, and the seconds to its first prediction."""
    from rightfit.package.read import load

    model = load(path)
    rows = _rows(model, records)
    model.predict_one(rows[0])
    load_s = time.perf_counter() - started
    for i in range(FEWEST_CALLS):
        model.predict_one(rows[i % len(rows)])
    return model, rows, load_s


def measure(path: str | Path, *, records: Sequence[Record] | None = None, blocks: int = BLOCKS) -> dict[str, float]:
    """All figures of this process, which must have done nothing else before: its age and memory are in them."""
    model, rows, load_s = _warm(path, records, time.perf_counter() - process_age_s())
    found = latency(model.predict_one, rows, blocks=blocks)
    found["throughput_per_s"] = throughput(model, rows)
    return {**found, "load_s": load_s, "memory_mib": peak_memory_mib(), "size_mib": size_mib(path)}


def quick(path: str | Path, *, records: Sequence[Record] | None = None, seconds: float = 0.02) -> dict[str, float]:
    """Early hints inside a trial: the same latency path in this process, about 0.2 s; no memory, no throughput."""
    model, rows, load_s = _warm(path, records, time.perf_counter())
    found = latency(model.predict_one, rows, seconds=seconds, attempts=1, blocks=4)
    return {**found, "load_s": load_s, "size_mib": size_mib(path)}


def probe(path: str | Path, *, repeats: int = BLOCKS, records: Sequence[Record] | None = None,
          timeout: float = 300.0) -> dict[str, float]:
    """All figures of a package, measured in a fresh process with one thread; the names are in the module's docstring.

    repeats: blocks of calls, 2 or more. records: raw rows to measure on; the package's own sample without. timeout:
    seconds. Raises PackageError when the package cannot be loaded or the process dies or lasts too long.
    """
    command = [sys.executable, "-m", "rightfit.package.probe", str(path), "--blocks", str(max(2, repeats))]
    if records is not None:
        command.append("--stdin")
    given = None if records is None else json.dumps(list(records), default=str)
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, env=environment,
                              stdin=subprocess.DEVNULL if given is None else None, check=False)
    except subprocess.TimeoutExpired:
        raise PackageError(f"a package must be measured within {timeout:g} s; got path={str(path)!r} and "
                           "no end.") from None
    try:
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise PackageError(f"a package must survive being measured; got exit={done.returncode} and "
                           f"{last[:300]!r}.") from None
    if "error" in found:
        raise PackageError(str(found["error"]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one package in this process and print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m rightfit.package.probe", description="Measure a package.")
    parser.add_argument("path")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--stdin", action="store_true", help="read the records to measure on, as JSON")
    given = parser.parse_args(arguments)
    try:
        records = json.load(sys.stdin) if given.stdin else None
        found: dict[str, Any] = measure(given.path, records=records, blocks=given.blocks)
    except RightfitError as error:
        print(json.dumps({"error": str(error)}))
        return error.exit_code
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
