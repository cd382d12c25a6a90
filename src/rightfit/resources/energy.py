"""What work costs in joules: counted where the machine exposes it, else an estimate that is labelled as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rightfit.records import frozen

Clock = Callable[[], int]
Counters = Mapping[str, tuple[float, float]]


@frozen
class Energy:
    """Joules of some work over `seconds`. `source`: rapl, nvml or estimate; an estimate rests on `watts` assumed."""

    joules: float
    seconds: float
    source: str
    watts: float


def energy(work: Callable[[], Any], *, watts: float = 10.0, root: Path = Path("/"),
           clock: Clock = time.perf_counter_ns) -> Energy:
    """Joules that `work()` took: RAPL's counters of the processor packages, else NVML's, else an estimate, so labelled.

    RAPL and NVML count all that ran on the device meanwhile. The estimate is processor time x `watts` for a busy core.
    """
    readers: tuple[tuple[str, Callable[[], Counters]], ...] = (("rapl", lambda: _rapl(root)), ("nvml", _nvml))
    for source, read in readers:
        before = read()
        if before:
            started = clock()
            work()
            after, seconds = read(), (clock() - started) / 1e9
            joules = _joules(before, after)
            return Energy(joules=joules, seconds=seconds, source=source, watts=joules / max(seconds, 1e-9))
    started, busy = clock(), time.process_time()
    work()
    return Energy(joules=(time.process_time() - busy) * watts, seconds=(clock() - started) / 1e9, source="estimate",
                  watts=watts)


def _joules(before: Counters, after: Counters) -> float:
    """The sum over counters of (joules, where they wrap)."""
    return sum((after[name][0] - value) % wrap if wrap else after[name][0] - value
               for name, (value, wrap) in before.items() if name in after)


def _rapl(root: Path) -> Counters:
    """Joules of each processor package; empty where the kernel or its permissions do not tell (powercap, Linux)."""
    found = {}
    for folder in sorted((root / "sys/class/powercap").glob("*-rapl:*")):
        if folder.name.count(":") != 1:
            continue  # a part of a package, such as its cores, is in the package's count
        try:
            value, wrap = (int((folder / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
        except (OSError, ValueError):
            continue
        found[folder.name] = (value / 1e6, (wrap + 1) / 1e6)
    return found


def _nvml() -> Counters:
    """Joules of each NVIDIA device since its driver was loaded; empty without pynvml or a device."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return {}
    try:
        nvml.nvmlInit()
        return {f"gpu{i}": (nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByIndex(i)) / 1e3, 0.0)
                for i in range(nvml.nvmlDeviceGetCount())}
    except nvml.NVMLError:
        return {}
