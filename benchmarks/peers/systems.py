"""The systems that are compared: what to install, and the ways in which each is run.

A system is installed into an environment of its own, so that none can disturb another's versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.records import frozen


@frozen
class System:
    """One system: `install` for pip, `version_of` the distribution whose version counts, `needs` a program on PATH.

    `ways`: {name shown: options for its function in worker.py}.
    """

    name: str
    install: tuple[str, ...]
    version_of: str
    ways: Mapping[str, Mapping[str, Any]]
    needs: str = ""


SYSTEMS = (
    System(name="rightfit", install=(), version_of="rightfit",
           ways={"rightfit": {}, "rightfit 2ms": {"max_latency": "2ms"}}),
    System(name="autogluon", install=("autogluon.tabular[all]==1.6.3",), version_of="autogluon.tabular",
           ways={"autogluon medium": {"presets": "medium_quality"},
                 "autogluon high": {"presets": "high_quality"},
                 "autogluon best": {"presets": "best_quality"},
                 "autogluon medium 2ms": {"presets": "medium_quality", "infer_limit": 0.002},
                 "autogluon high 2ms": {"presets": "high_quality", "infer_limit": 0.002},
                 "autogluon best 2ms": {"presets": "best_quality", "infer_limit": 0.002}}),
    System(name="flaml", install=("flaml[automl]", "catboost", "pyarrow"), version_of="flaml", ways={"flaml": {}}),
    System(name="mljar", install=("mljar-supervised", "pyarrow"), version_of="mljar-supervised",
           ways={"mljar compete": {"mode": "Compete"}}),
    System(name="lightautoml", install=("lightautoml", "pyarrow"), version_of="lightautoml", ways={"lightautoml": {}}),
    System(name="h2o", install=("h2o", "pyarrow"), version_of="h2o", ways={"h2o": {}}, needs="java"),
)
WAYS = {way: system for system in SYSTEMS for way in system.ways}


def python_of(system: System, environments: Path) -> Path:
    """The interpreter of a system's environment; this one for rightfit itself."""
    return Path(sys.executable) if not system.install else environments / system.name / "bin" / "python"


def prepared(system: System, environments: Path) -> tuple[str, str]:
    """(version, reason): makes the environment where it is missing; a reason where the system cannot be run."""
    python = python_of(system, environments)
    if system.needs and not _found(system.needs):
        return "", f"it needs {system.needs}, which is not on this machine"
    if not python.exists():
        made = _make(system, environments)
        if made:
            return "", made
    code = f"from importlib.metadata import version; print(version({system.version_of!r}))"
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    if asked.returncode:
        return "", (asked.stderr.strip().splitlines() or ["its version cannot be read"])[-1][:200]
    return asked.stdout.strip() + ("" if system.install else f" {sources()}"), ""


def sources() -> str:
    """Eight digits of what rightfit's own sources hold, so that a changed rightfit is measured again."""
    import rightfit

    home = Path(rightfit.__file__).parent
    total = hashlib.sha256()
    for path in sorted(p for p in home.rglob("*") if p.suffix in (".py", ".toml", ".json", ".csv")):
        total.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:8]


def _make(system: System, environments: Path) -> str:
    """Create the environment; why that failed, or an empty string."""
    environments.mkdir(parents=True, exist_ok=True)
    folder = environments / system.name
    python = str(folder / "bin" / "python")
    with_uv = _found("uv")
    create = ["uv", "venv", "-q", "--python", sys.executable] if with_uv else [sys.executable, "-m", "venv"]
    install = (["uv", "pip", "install", "-q", "--python", python] if with_uv else
               [python, "-m", "pip", "install", "-q"])
    for command in ([*create, str(folder)], [*install, "psutil", *system.install]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["the installation failed"])[-1][:200]
    return ""


def _found(program: str) -> bool:
    return any(os.access(Path(folder) / program, os.X_OK) for folder in os.environ.get("PATH", "").split(os.pathsep))


def environment(cores: int) -> dict[str, str]:
    """What every system is started with: so many threads, no screen, nothing random in its hashes."""
    threads = {f"{name}_NUM_THREADS": str(cores) for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    return {**os.environ, **threads, "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}


def asked(job: Mapping[str, Any], path: Path) -> Path:
    """The job as the file that a worker reads."""
    path.write_text(json.dumps(job), encoding="utf-8")
    return path
