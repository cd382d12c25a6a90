"""What this machine may really use: cores and memory after affinity and cgroup limits, and what is installed."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "imbalanced-learn", "cleanlab", "lightgbm", "xgboost",
             "xgboost-cpu", "catboost", "optuna", "onnx", "onnxruntime", "skl2onnx", "onnxmltools", "pyarrow", "polars",
             "torch", "safetensors")
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
         "neon", "asimd", "sve")
MEMORY_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
_UNLIMITED = 1 << 60


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders whose limits bind this process: its own cgroup and every one above it (v1 and v2)."""
    mount = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names == "":
            base = mount
        elif controller in names.split(","):
            base = next((b for b in (mount / controller, mount / names) if b.is_dir()), mount / controller)
        else:
            continue
        inner = Path(path.strip().lstrip("/"))
        for folder in (inner, *inner.parents):
            yield base / folder


def _cgroup_cores(root: Path) -> float | None:
    found = []
    for folder in _cgroups(root, "cpu"):
        both = (_text(folder / "cpu.max") or "").split()
        if not both:
            both = [(_text(folder / f"cpu.cfs_{name}_us") or "").strip() for name in ("quota", "period")]
        if len(both) == 2 and all(b.isdigit() for b in both) and int(both[1]) > 0:
            found.append(int(both[0]) / int(both[1]))
    return min(found, default=None)


def _cgroup_memory(root: Path) -> tuple[int, int] | None:
    """The tightest (limit, free) in bytes of this process's memory cgroups; cache that can go counts as free."""
    found = []
    for folder in _cgroups(root, "memory"):
        for limit_name, used_name in MEMORY_FILES:
            limit = (_text(folder / limit_name) or "").strip()
            if limit.isdigit() and int(limit) < _UNLIMITED:
                used = (_text(folder / used_name) or "0").strip()
                pairs = (line.split() for line in (_text(folder / "memory.stat") or "").splitlines())
                stat = {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}
                cache = stat.get("total_inactive_file", stat.get("inactive_file", 0))
                busy = max(0, (int(used) if used.isdigit() else 0) - cache)
                found.append((int(limit), max(0, int(limit) - busy)))
    if not found:
        return None
    return min(limit for limit, _ in found), min(free for _, free in found)


def _meminfo(root: Path) -> dict[str, int]:
    """/proc/meminfo in bytes; empty where there is none."""
    pairs = (line.split(":", 1) for line in (_text(root / "proc/meminfo") or "").splitlines() if ":" in line)
    return {name: int(rest.split()[0]) * 1024 for name, rest in pairs if rest.split()}


def usable_cores(root: Path = Path("/")) -> int:
    """How many cores this process may use, 1 or more: the least of affinity and cgroup quota (rounded up).

    >>> usable_cores() >= 1
    True
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _cgroup_cores(root)
    return max(1, there if quota is None else min(there, math.ceil(quota)))


def _memory(root: Path) -> tuple[float, float]:
    """(allowed, available) in MiB."""
    info = _meminfo(root)
    if info.get("MemTotal"):
        total, free = info["MemTotal"], info.get("MemAvailable", info.get("MemFree", 0))
    else:
        import psutil
        memory = psutil.virtual_memory()
        total, free = int(memory.total), int(memory.available)
    group = _cgroup_memory(root)
    if group is not None:
        total, free = min(total, group[0]), min(free, group[1])
    return total / 2**20, free / 2**20


def available_mib(root: Path = Path("/")) -> float:
    """Memory in MiB that can still be taken before the machine or the cgroup says no.

    >>> available_mib() > 0
    True
    """
    return _memory(root)[1]


def versions() -> dict[str, str]:
    """The installed libraries that matter for a result, by distribution name; those not installed are left out.

    >>> "numpy" in versions()
    True
    """
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    # Reading every distribution's metadata takes a tenth of a second, and each package that is written asks.
    found = {}
    for name in ("rightfit", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpus(root: Path) -> list[str]:
    """Names of NVIDIA devices, from the driver's own files; asks torch only where it is imported already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
    names = []
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        pairs = (line.split(":", 1) for line in (_text(path) or "").splitlines() if ":" in line)
        names += [value.strip() for key, value in pairs if key.strip() == "Model"]
    return names


def _cpu(root: Path) -> tuple[str, list[str]]:
    model, flags = "", set[str]()
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Processor") and not model:
            model = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
            break
    return model or platform.processor() or platform.machine(), [f for f in FLAGS if f in flags]


def machine(root: Path = Path("/")) -> dict[str, Any]:
    """What a measurement depends on, as JSON values: cpu, cores, memory_mib, flags, gpus, python, platform.

    `cores` and `memory_mib` are those allowed to this process by affinity and cgroup; `cores_total` are those in the
    box. `root` is where proc and sys are looked for.

    >>> sorted(machine())
    ['architecture', 'cores', 'cores_total', 'cpu', 'flags', 'gpus', 'memory_mib', 'platform', 'python']
    """
    model, flags = _cpu(root)
    return {"cpu": model, "cores": usable_cores(root), "cores_total": os.cpu_count() or 1,
            "memory_mib": round(_memory(root)[0], 1), "flags": flags, "gpus": _gpus(root),
            "python": platform.python_version(), "platform": platform.platform(), "architecture": platform.machine()}
