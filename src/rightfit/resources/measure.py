"""The one place where time, memory and throughput are measured (energy: `rightfit.resources.energy`).

Latency is taken in blocks of calls; a probe that spins on fixed work runs before, between and after the blocks.
Blocks are added until the p95 is known to a stated precision, and a sitting in which the machine was not ours is
repeated; what stays unsteady is called noisy instead of being averaged away.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from rightfit.errors import UsageError
from rightfit.records import frozen

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
           "VECLIB_MAXIMUM_THREADS")
BLOCK_CALLS = 100
LONGEST_BLOCK = 1.0
FEWEST_CALLS = 20
FEWEST_BLOCKS = 5  # of which a bootstrap says anything
AGREE = 0.2  # blocks whose p95 differ by more were not measured on the same machine
STOLEN = 0.1  # share of the time that was given to others; a quiet virtual machine loses 2 to 4 %
DRIFT = 0.25
SPIN_S = 0.002
SPIN_WORK = 2000
BATCHES = (1, 32, 256, 1024)
BATCH_SECONDS = 0.15
BATCH_MOST_S = 2.0
RESAMPLES = 500
# one-sided 95 % quantile of Student's t by degrees of freedom
_T95 = (0.0, 6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753,
        1.746, 1.740, 1.734, 1.729, 1.725)
Clock = Callable[[], int]
T = TypeVar("T")


@frozen
class Plan:
    """How much is measured. A block lasts at least `seconds` and 100 calls (slow calls: one second and 20 calls).

    `blocks` of a sitting, up to twice as many until the half-width of the p95's interval is below `precision` (a share
    of it); `attempts` sittings at most; after `limit_s` seconds no further block is begun.
    """

    blocks: int = 10
    seconds: float = 0.1
    attempts: int = 3
    precision: float = 0.05
    limit_s: float = 60.0


@frozen
class Latency:
    """What one call costs, in ms. `low_ms`, `high_ms`: 95 % interval of the p95 by bootstrap over blocks.

    `bound_ms`: one-sided upper 95 % bound of the p95, Student's t over blocks. `n` calls in `blocks` blocks of the
    sitting reported, the `attempts`-th; `warmup` calls before it. `outliers`: share of calls above three medians.
    `noise`: share of time that the machine was not ours, seen by the spinning probe and the kernel's run queue.
    `noisy`: the blocks disagreed by more than 20 %, or more than 10 % of the time was given to others, in every
    sitting; or the machine's own speed differed by more than 25 %.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    low_ms: float
    high_ms: float
    bound_ms: float
    n: int
    blocks: int
    attempts: int
    warmup: int
    outliers: float
    noise: float
    noisy: bool


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


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of block figures (Efron 1979), since neighbouring calls are alike.

    >>> interval([2.0, 2.0, 2.0])
    (2.0, 2.0)
    """
    n, draw = len(values), random.Random(len(values))  # numpy.random would weigh 10 MiB in the memory that is measured
    means = sorted(sum(draw.choices(values, k=n)) / n for _ in range(RESAMPLES))
    return quantile(means, (1 - level) / 2), quantile(means, (1 + level) / 2)


def _waited() -> int:
    """Nanoseconds that this thread was ready to run and did not, by the kernel's count; 0 where it tells none."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class Spinner:
    """A probe of the machine's noise: the same work is timed again and again.

    `stolen`: share of the probes' time lost in gaps, when the processor was given to others (0..1). `drift`: how much
    slower the probes were on average than the fastest of them (0..1): a neighbour on the same core, or its clock.
    """

    def __init__(self, clock: Clock = time.perf_counter_ns, seconds: float = SPIN_S) -> None:
        self.clock, self.seconds = clock, seconds
        self.spent, self.lost, self.middles = 0.0, 0.0, list[float]()

    def spin(self) -> None:
        """One probe, of about `seconds`."""
        clock, begun, times = self.clock, self.clock(), list[int]()
        while not times or clock() - begun < self.seconds * 1e9:
            before = clock()
            sum(range(SPIN_WORK))
            times.append(max(1, clock() - before))
        middle = quantile(sorted(times), 0.5)
        self.middles.append(middle)
        self.spent += sum(times)
        self.lost += sum(t - middle for t in times if t > 1.5 * middle)

    @property
    def stolen(self) -> float:
        """Share of the probes' time lost in gaps."""
        return self.lost / self.spent if self.spent else 0.0

    @property
    def drift(self) -> float:
        """By how much the probes' speed differed."""
        return 1 - min(self.middles) * len(self.middles) / sum(self.middles) if self.middles else 0.0


def noise(seconds: float = 0.3, clock: Clock = time.perf_counter_ns) -> float:
    """How much of this machine is not ours, 0..1: what a spinning probe loses in gaps or by running slower at times.

    Below 0.1 figures can be trusted.

    >>> 0 <= noise(0.01) < 1
    True
    """
    spinner = Spinner(clock)
    for _ in range(max(2, round(seconds / SPIN_S))):
        spinner.spin()
    return max(spinner.stolen, spinner.drift)


def _block(call: Callable[[T], Any], records: Sequence[T], seconds: float, clock: Clock) -> list[float]:
    """Milliseconds of single calls, one block."""
    times, n = list[float](), len(records)
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


def _p95(found: Sequence[list[float]]) -> list[float]:
    return [quantile(block, 0.95) for block in found]


def _disagree(found: Sequence[list[float]]) -> float:
    p95 = sorted(_p95(found))
    return (p95[-1] - p95[0]) / max(p95[len(p95) // 2], 1e-9)


def _precise(found: Sequence[list[float]], precision: float) -> bool:
    low, high = interval(_p95(found))
    return high - low <= 2 * precision * max(low, 1e-9)


def _sitting(call: Callable[[T], Any], records: Sequence[T], plan: Plan, clock: Clock,
             end: float) -> tuple[list[list[float]], float, float]:
    """(sorted blocks, stolen, drift) of one sitting."""
    spinner, found = Spinner(clock), list[list[float]]()
    begun, waited = clock(), _waited()
    spinner.spin()
    while len(found) < 2 * max(plan.blocks, 1):
        found.append(sorted(_block(call, records, plan.seconds, clock)))
        spinner.spin()
        if len(found) >= 2 and clock() >= end:
            break
        if len(found) >= plan.blocks and (len(found) < FEWEST_BLOCKS or _disagree(found) > AGREE
                                          or _precise(found, plan.precision)):
            break
    queued = (_waited() - waited) / max(clock() - begun, 1)
    return found, max(spinner.stolen, min(queued, 1.0)), spinner.drift


def latency(call: Callable[[T], Any], records: Sequence[T], *, plan: Plan | None = None, warmup: int = 0,
            clock: Clock = time.perf_counter_ns) -> Latency:
    """What `call(record)` costs, one record after another on this thread; of unsteady sittings the steadiest counts.

    warmup: calls that are not counted. clock: nanoseconds. Sittings are compared by how well their blocks agree and how
    quiet the machine was, not by how fast they were. Raises UsageError without records.
    """
    plan = plan or Plan()
    if not records:
        raise UsageError("latency must be measured on at least one record; got records=0, give some.")
    for i in range(warmup):
        call(records[i % len(records)])
    end = clock() + plan.limit_s * 1e9
    best: tuple[float, Latency] | None = None
    for attempt in range(1, plan.attempts + 1):
        found, stolen, drift = _sitting(call, records, plan, clock, end)
        worst = max(_disagree(found) / AGREE, stolen / STOLEN)
        if best is None or worst < best[0]:
            best = worst, _summed(found, attempt, warmup, noise=max(stolen, drift), noisy=worst > 1 or drift > DRIFT)
        if worst <= 1 or clock() >= end:
            break
    assert best is not None
    return best[1]


def _summed(found: list[list[float]], attempt: int, warmup: int, *, noise: float, noisy: bool) -> Latency:
    pooled = sorted(t for block in found for t in block)
    p95s, p95, p50 = _p95(found), quantile(pooled, 0.95), quantile(pooled, 0.5)
    low, high = interval(p95s)
    return Latency(p50_ms=p50, p95_ms=p95, p99_ms=quantile(pooled, 0.99), low_ms=min(low, p95), high_ms=max(high, p95),
                   bound_ms=max(upper(p95s) if len(p95s) > 1 else p95, p95), n=len(pooled), blocks=len(found),
                   attempts=attempt, warmup=warmup, outliers=sum(t > 3 * p50 for t in pooled) / len(pooled),
                   noise=noise, noisy=noisy)


def throughput(call: Callable[[Sequence[T]], Any], records: Sequence[T], *, sizes: Sequence[int] = BATCHES,
               seconds: float = BATCH_SECONDS, clock: Clock = time.perf_counter_ns) -> dict[int, float]:
    """Rows per second of `call(batch)` by batch size; each size for at least `seconds` and one batch.

    Sizes of which one batch would take more than BATCH_MOST_S at the pace so far are left out, but for the first.
    """
    found: dict[int, float] = {}
    for size in sizes:
        if found and size / max(found.values()) > BATCH_MOST_S:
            continue
        batch = [records[i % len(records)] for i in range(size)]
        rows, started = 0, clock()
        while rows == 0 or clock() - started < seconds * 1e9:
            call(batch)
            rows += size
        found[size] = rows / (max(clock() - started, 1) / 1e9)
    return found


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


def process_age_s() -> float:
    """Seconds since this process started, to 10 ms; 0 where /proc does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


def size_mib(path: str | Path) -> float:
    """A file, or all files below a folder, in MiB."""
    path = Path(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 2**20


def fresh(module: str, arguments: Sequence[str] = (), *, given: str | None = None,
          timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """`python -m module` in a new process, one thread for every numeric library. Raises subprocess.TimeoutExpired."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    return subprocess.run([sys.executable, "-m", module, *arguments], input=given, capture_output=True, text=True,
                          timeout=timeout, env=environment, stdin=subprocess.DEVNULL if given is None else None,
                          check=False)


def fresh_memory_mib(function: str, *arguments: Any, timeout: float = 300.0) -> float:
    """Peak memory in MiB of a new process that calls module:function with JSON arguments and does nothing else.

    Raises UsageError when the process fails.
    """
    done = fresh("rightfit.resources.measure", [function, json.dumps(arguments)], timeout=timeout)
    try:
        return float(json.loads(done.stdout.splitlines()[-1])["memory_mib"])
    except (IndexError, ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise UsageError(f"what is measured must run; got function={function!r}, exit={done.returncode} and "
                         f"{last[:200]!r}.") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Call module:function with JSON arguments, print this process's peak memory."""
    function, given = sys.argv[1:] if arguments is None else arguments
    module, _, name = function.partition(":")
    getattr(import_module(module), name)(*json.loads(given))
    print(json.dumps({"memory_mib": peak_memory_mib()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
