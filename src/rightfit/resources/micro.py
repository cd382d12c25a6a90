"""Three figures that make machines comparable: matrix product, memory bandwidth, interpreter (one thread, 0.5 s)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from rightfit.errors import UsageError
from rightfit.resources import measure

NAMES = ("gemm_gflops", "memory_gb_per_s", "interpreter_us")
SIDE = 384  # of the matrices: they fit into the second-level cache of most machines
BYTES = 64 * 2**20  # copied at a time: more than the last-level cache of most machines


def best(call: Callable[[], object], seconds: float, *, share: float = 0.25,
         clock: measure.Clock = time.perf_counter_ns) -> float:
    """Seconds of a call that this share of repeated calls do not exceed, over about `seconds` and five calls at least.

    What a machine reaches is asked, so what others took of it while it was measured must not count.
    """
    call()
    times, begun = list[int](), clock()
    while len(times) < 5 or clock() - begun < seconds * 1e9:
        before = clock()
        call()
        times.append(clock() - before)
    return max(measure.quantile(sorted(times), share), 1) / 1e9


def here(seconds: float = 0.1) -> dict[str, float]:
    """The three figures of this process, which must run with one thread; their names are `NAMES`.

    gemm_gflops: float32 product, 2 n^3 operations. memory_gb_per_s: read and write of a copy, 10^9 bytes.
    interpreter_us: a fixed loop of pure Python.
    """
    rng = np.random.default_rng(0)
    a, b = rng.random((2, SIDE, SIDE), np.float32)
    out = np.empty_like(a)
    source = np.ones(BYTES // 8)
    target = np.empty_like(source)
    return {"gemm_gflops": 2 * SIDE**3 / best(lambda: np.matmul(a, b, out=out), seconds) / 1e9,
            "memory_gb_per_s": 2 * BYTES / best(lambda: np.copyto(target, source), seconds) / 1e9,
            "interpreter_us": best(lambda: sum([i * i for i in range(1000)]), seconds) * 1e6}


def single() -> dict[str, float]:
    """The three figures from a fresh process with one thread. Raises UsageError when it fails."""
    done = measure.fresh("rightfit.resources.micro")
    try:
        found = json.loads(done.stdout.splitlines()[-1])
        return {name: float(found[name]) for name in NAMES}
    except (IndexError, ValueError, KeyError):
        raise UsageError(f"this machine must run numpy to be measured; got exit={done.returncode} and "
                         f"{done.stderr.strip()[-200:]!r}.") from None


if __name__ == "__main__":
    print(json.dumps(here()))
