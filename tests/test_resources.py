"""The machine as it is allowed to us: cgroup v1, v2, none; versions; no heavy import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rightfit import resources

GIB = 2**30


def fake(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run(code: str) -> Any:
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


MEMINFO = f"MemTotal: {64 * 2**20} kB\nMemFree: 1024 kB\nMemAvailable: {32 * 2**20} kB\nHugePages_Total:       0\n"


def test_without_limits_the_box_counts(tmp_path: Path) -> None:
    root = fake(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})
    assert resources.machine(root)["memory_mib"] == 64 * 1024
    assert resources.available_mib(root) == 32 * 1024


def test_cgroup_v2_limits_of_parents_bind(tmp_path: Path) -> None:
    root = fake(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/memory.max": "max\n",
            "sys/fs/cgroup/pod/box/memory.current": "5\n",
            "sys/fs/cgroup/pod/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/pod/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            "sys/fs/cgroup/pod/cpu.max": "100000 100000\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
        },
    )
    assert resources.machine(root)["memory_mib"] == 4 * 1024
    assert resources.available_mib(root) == 2 * 1024
    assert resources.usable_cores(root) == 1


def test_cgroup_v1(tmp_path: Path) -> None:
    root = fake(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:memory:/job/7\n3:cpu,cpuacct:/job/7\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/job/7/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/job/7/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/job/7/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/job/7/cpu.cfs_period_us": "100000\n",
        },
    )
    assert resources.machine(root)["memory_mib"] == 2 * 1024
    assert resources.available_mib(root) == 1024
    assert resources.usable_cores(root) == 1


def test_an_unlimited_v1_quota_is_no_limit(tmp_path: Path) -> None:
    root = fake(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert resources.usable_cores(root) == resources.usable_cores(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="affinity is Linux only")
def test_affinity_binds() -> None:
    assert (
        run(
            "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
            "from rightfit import resources; print(resources.usable_cores())"
        )
        == 1
    )


def test_flags_model_and_gpu_from_files(tmp_path: Path) -> None:
    root = fake(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/cpuinfo": "model name\t: Box 9000\nflags\t: avx2 fpu amx_tile\n",
            "proc/driver/nvidia/gpus/0000/information": "Model: \t\t Toy GPU\nIRQ: 3\n",
        },
    )
    found = resources.machine(root)
    assert found["cpu"] == "Box 9000" and found["flags"] == ["avx2", "amx_tile"]
    if "torch" not in sys.modules:
        assert found["gpus"] == ["Toy GPU"]


def test_this_machine_is_json_and_cheap() -> None:
    machine, versions, heavy = run(
        "import json, sys; from rightfit import resources; "
        "print(json.dumps([resources.machine(), resources.versions(), "
        "[m for m in ('torch', 'pandas', 'sklearn', 'numpy') if m in sys.modules]]))"
    )
    assert heavy == [] and 1 <= machine["cores"] <= machine["cores_total"]
    assert 0 < resources.available_mib() <= machine["memory_mib"]
    assert {"numpy", "rightfit", "onnxruntime"} <= versions.keys() and all(versions.values())
