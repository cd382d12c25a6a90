"""What a package costs, measured as it will be served: raw record in, label out, in a fresh process with one thread.

    latency_p50_ms, latency_p95_ms, latency_p99_ms   one row through predict_one, garbage collection as usual
    latency_p95_high_ms   one-sided upper 95 % bound of the p95, Student's t over the blocks
    noisy                 the blocks disagreed by more than 20 %, or the machine was not ours, in every attempt
    throughput_per_s      rows per second, the best of batches of 1, 32, 256 and 1024 records
    memory_mib            peak resident memory of that process: interpreter, numpy, the runtime, the model, its batches
    load_s                from the start of that process (interpreter, imports, checks) to the first prediction
    size_mib              all files of the package

Run `python -m rightfit.package.probe PACKAGE` for the same figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.errors import PackageError, RightfitError
from rightfit.resources import measure as measuring
from rightfit.resources.measure import peak_memory_mib, process_age_s, size_mib

if TYPE_CHECKING:
    from rightfit.package.read import LoadedModel

BLOCKS = 10
BLOCK_SECONDS = 0.1
ATTEMPTS = 3
LIMIT_S, HINT_S = 60.0, 0.5

Record = Mapping[str, Any]


def latency(call: Callable[[Record], Any], records: Sequence[Record], *, blocks: int = BLOCKS,
            seconds: float = BLOCK_SECONDS, attempts: int = ATTEMPTS, limit_s: float = LIMIT_S) -> dict[str, float]:
    """Single-row latency of `call` under the names of the contract, as `rightfit.resources.measure` takes it."""
    plan = measuring.Plan(blocks=blocks, seconds=seconds, attempts=attempts, limit_s=limit_s)
    found = measuring.latency(call, records, plan=plan)
    return {"latency_p50_ms": found.p50_ms, "latency_p95_ms": found.p95_ms, "latency_p95_high_ms": found.bound_ms,
            "latency_p99_ms": found.p99_ms, "noisy": float(found.noisy)}


def throughput(model: LoadedModel, records: Sequence[Record], seconds: float = measuring.BATCH_SECONDS) -> float:
    """Rows per second from raw records to labels, at the best batch size."""
    return max(measuring.throughput(model.predict, records, seconds=seconds).values())


def _rows(model: LoadedModel, records: Sequence[Record] | None) -> Sequence[Record]:
    rows = model.sample if records is None else records
    if not rows:
        raise PackageError("a package must be measured on at least one record; got records of 0 rows.")
    return rows


def _warm(path: str | Path, records: Sequence[Record] | None, started: float) -> tuple[LoadedModel, Any, float]:
    """The loaded, warmed-up model, the rows to measure on, and the seconds to its first prediction."""
    from rightfit.package.read import load

    model = load(path)
    rows = _rows(model, records)
    model.predict_one(rows[0])
    load_s = time.perf_counter() - started
    for i in range(measuring.FEWEST_CALLS):
        model.predict_one(rows[i % len(rows)])
    return model, rows, load_s


def warmed(path: str | Path, records: Sequence[Record] | None) -> tuple[LoadedModel, Any, float]:
    """(model, rows to measure on, seconds from the start of this process to the first prediction)."""
    return _warm(path, records, time.perf_counter() - process_age_s())


def measure(path: str | Path, *, records: Sequence[Record] | None = None, blocks: int = BLOCKS,
            attempts: int = ATTEMPTS, limit_s: float = LIMIT_S) -> dict[str, float]:
    """All figures of this process, which must have done nothing else before: its age and memory are in them."""
    model, rows, load_s = warmed(path, records)
    found = latency(model.predict_one, rows, blocks=blocks, attempts=attempts, limit_s=limit_s)
    found["throughput_per_s"] = throughput(model, rows)
    return {**found, "load_s": load_s, "memory_mib": peak_memory_mib(), "size_mib": size_mib(path)}


def quick(path: str | Path, *, records: Sequence[Record] | None = None, seconds: float = 0.02) -> dict[str, float]:
    """Early hints inside a trial, in this process: 0.2 s, of slow models 2 s; no memory, no throughput."""
    model, rows, load_s = _warm(path, records, time.perf_counter())
    found = latency(model.predict_one, rows, seconds=seconds, attempts=1, blocks=4, limit_s=HINT_S)
    return {**found, "load_s": load_s, "size_mib": size_mib(path)}


def probe(path: str | Path, *, repeats: int = BLOCKS, attempts: int = ATTEMPTS,
          records: Sequence[Record] | None = None, timeout: float = 300.0,
          limit_s: float = LIMIT_S) -> dict[str, float]:
    """All figures of a package, measured in a fresh process with one thread; the names are in the module's docstring.

    repeats: blocks of calls, 2 or more. attempts: sittings at most, while the machine is noisy. records: raw rows to
    measure on; the package's own sample without. timeout: seconds. limit_s: seconds after which no further block of
    calls is begun; two there are in any case. Raises PackageError when the package cannot be
    loaded or the process dies or lasts too long.
    """
    found: dict[str, float] = asked("rightfit.package.probe", [str(path), "--stdin", "--blocks", str(max(2, repeats)),
                                                               "--attempts", str(attempts), "--limit-s", str(limit_s)],
                                    records, timeout)
    return found


def asked(module: str, arguments: Sequence[str], records: Sequence[Record] | None, timeout: float) -> Any:
    """The JSON line that a module prints in a fresh process; records go to its standard input, null without.

    arguments: the package's path first. Raises PackageError when the process fails, dies or lasts too long.
    """
    given = json.dumps(None if records is None else list(records), default=str)
    try:
        done = measuring.fresh(module, arguments, given=given, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise PackageError(f"a package must be measured within {timeout:g} s; got path={arguments[0]!r} and "
                           "no end.") from None
    try:
        found = json.loads(done.stdout.splitlines()[-1])
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
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    parser.add_argument("--stdin", action="store_true", help="read the records to measure on, as JSON")
    given = parser.parse_args(arguments)
    try:
        records = json.load(sys.stdin) if given.stdin else None
        found: dict[str, Any] = measure(given.path, records=records, blocks=given.blocks, attempts=given.attempts,
                                          limit_s=given.limit_s)
    except RightfitError as error:
        print(json.dumps({"error": str(error)}))
        return error.exit_code
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
