"""What installing costs: seconds and space of fresh environments, with either build of XGBoost.

    python benchmarks/install.py        writes benchmarks/results/install.csv; needs a package index, takes minutes

Each way is a new virtual environment and one pip call without its cache, as on a fresh machine.
"""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "install.csv"
WAYS = ("xgboost-cpu", "xgboost")


def megabytes(folder: Path) -> float:
    """The size of all files below a folder."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6


def measure(extra: str) -> dict[str, object]:
    """One fresh environment with rightfit and one build of XGBoost."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "venv"
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip"]
        subprocess.run([*pip, "install", "-q", "--no-cache-dir", ROOT, extra], check=True, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        shown = subprocess.run([*pip, "list", "--format=freeze"], check=True, capture_output=True, text=True).stdout
        found = dict(line.split("==") for line in shown.splitlines() if "==" in line)
        return {"with": extra, "version": found[extra], "seconds": round(seconds, 1),
                "megabytes": round(megabytes(home)), "distributions": len(found),
                "load_1m": round(os.getloadavg()[0], 2), "cores": os.cpu_count(),
                "machine": platform.machine(), "python": platform.python_version()}


def main() -> None:
    """Measure every way and write."""
    lines = [measure(extra) for extra in WAYS]
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
