"""What this machine offers, how quiet it is, and what that means for a choice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit import resources
from rightfit.resources import measure

THREADS = (*measure.THREADS, "RIGHTFIT_THREADS", "CUDA_VISIBLE_DEVICES")
INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
BF16 = ("avx512_bf16", "amx_bf16")
LOW_DISK_MIB = 2048.0
LOW_MEMORY_MIB = 2048.0
QUIET = 0.1


def gpus(root: Path = Path("/")) -> list[dict[str, Any]]:
    """NVIDIA devices: [{"name", "memory_mib"}]; memory is None where nvidia-smi does not tell."""
    program = shutil.which("nvidia-smi")
    if program is not None and root == Path("/"):
        asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=2, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0:
            return parsed(done.stdout)
    return [{"name": name, "memory_mib": None} for name in resources.machine(root)["gpus"]]


def parsed(text: str) -> list[dict[str, Any]]:
    """The lines of nvidia-smi, name and MiB.

    >>> parsed("NVIDIA H100, 81559")
    [{'name': 'NVIDIA H100', 'memory_mib': 81559.0}]
    """
    found = []
    for line in filter(str.strip, text.splitlines()):
        name, _, memory = line.rpartition(",")
        number = memory.strip()
        found.append({"name": name.strip(), "memory_mib": float(number) if number.isdigit() else None})
    return found


def examine(folder: str | Path = ".", *, root: Path = Path("/"), seconds: float = 0.5) -> dict[str, Any]:
    """Machine, memory and disk that are free (MiB), devices, threads, noise (0..1), versions, and `meaning` sentences.

    folder: whose file system is asked. root: where proc and sys are looked for. seconds: how long the machine's noise
    is listened to.
    """
    found: dict[str, Any] = {
        "machine": resources.machine(root), "available_mib": round(resources.available_mib(root), 1),
        "disk_free_mib": round(shutil.disk_usage(folder).free / 2**20, 1), "gpus": gpus(root),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "load_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "noise": round(measure.noise(seconds), 4), "versions": resources.versions()}
    return {**found, "meaning": meaning(found)}


def meaning(found: Mapping[str, Any]) -> list[str]:
    """Plain sentences: what the facts of `examine` mean for choosing a model here."""
    return [*_cores(found), *_instructions(found["machine"]), *_room(found), *_devices(found), *_noise(found)]


def _cores(found: Mapping[str, Any]) -> list[str]:
    box, threads = found["machine"], found["threads"]
    cores = box["cores"]
    said = [f"{cores} trials run side by side, one thread each; a budget buys {cores} core-minutes a minute."
            if cores > 1 else "One trial runs at a time: give a larger budget, or fewer families (--family)."]
    if cores < box["cores_total"]:
        said.append(f"The container allows {cores} of {box['cores_total']} cores: libraries that count the box's cores "
                    "start too many threads, so rightfit sets their number itself.")
    many = {name: value for name, value in threads.items()
            if name in measure.THREADS and value.isdigit() and int(value) > cores}
    if many:
        name = min(many)
        said.append(f"{name}={many[name]} asks for more threads than the {cores} cores allowed: unset it.")
    return said


def _instructions(box: Mapping[str, Any]) -> list[str]:
    flags = set(box["flags"])
    said = []
    if flags & set(INT8):
        said.append("8-bit models pay here: the processor multiplies 8-bit numbers directly (VNNI or AMX).")
    elif box["architecture"] in ("x86_64", "AMD64"):
        said.append("8-bit models are smaller here but hardly faster: the processor has neither VNNI nor AMX.")
    if flags & set(BF16):
        said.append("Networks may train in bfloat16, which the processor multiplies directly; a probe decides.")
    if box["architecture"] in ("x86_64", "AMD64") and "avx2" not in flags:
        said.append("Without AVX2 networks are several times slower: prefer linear models and trees.")
    return said


def _room(found: Mapping[str, Any]) -> list[str]:
    said = []
    free, each = found["available_mib"], found["available_mib"] / max(found["machine"]["cores"], 1)
    if free < LOW_MEMORY_MIB:
        said.append(f"Only {free:.0f} MiB of memory are free, {each:.0f} MiB for a trial: large tables and "
                    "transformers will be stopped; use --workers 1.")
    if found["disk_free_mib"] < LOW_DISK_MIB:
        said.append(f"Only {found['disk_free_mib']:.0f} MiB of disk are free: a run on pictures may need more.")
    return said


def _devices(found: Mapping[str, Any]) -> list[str]:
    torch = "torch" in found["versions"]
    if not found["gpus"]:
        said = ["There is no GPU: small networks and frozen features can be trained here, large ones take hours."]
    else:
        named = ", ".join(gpu["name"] + (f" ({gpu['memory_mib']:.0f} MiB)" if gpu["memory_mib"] else "")
                          for gpu in found["gpus"])
        said = [f"{named} can train networks; packages are measured and promised on one thread of the processor."]
    if not torch:
        said.append("Without torch networks take no part: install rightfit[deep] for pictures and texts.")
    return said


def _noise(found: Mapping[str, Any]) -> list[str]:
    noise = found["noise"]
    if noise < QUIET:
        return [f"The machine is quiet ({noise:.0%} lost): measured latencies can be trusted."]
    return [f"The machine is noisy ({noise:.0%} of the time was lost to others, or its speed changed): latencies near "
            "a limit are uncertain and will be measured again; stop other programs for tight limits."]


def text(found: Mapping[str, Any]) -> str:
    """The facts of `examine` as lines for people."""
    box = found["machine"]
    devices = "; ".join(g["name"] + (f", {g['memory_mib']:.0f} MiB" if g["memory_mib"] else "") for g in found["gpus"])
    threads = ", ".join(f"{name}={value}" for name, value in found["threads"].items())
    rows = [("processor", f"{box['cpu']} ({box['architecture']})"),
            ("cores", f"{box['cores']} allowed of {box['cores_total']} in the box"),
            ("instructions", ", ".join(box["flags"]) or "none that matter"),
            ("memory", f"{found['available_mib']:,.0f} MiB free of {box['memory_mib']:,.0f} MiB allowed"),
            ("disk", f"{found['disk_free_mib']:,.0f} MiB free"), ("GPUs", devices or "none"),
            ("threads", threads or "not set: libraries choose their own number"),
            ("noise", f"{found['noise']:.1%} lost"), ("system", f"{box['platform']}, Python {box['python']}"),
            ("libraries", ", ".join(f"{name} {version}" for name, version in found["versions"].items()))]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*(f"{name:<{width}}  {value}" for name, value in rows), "", "What that means:",
                      *(f"- {sentence}" for sentence in found["meaning"])])
