"""Many texts from disk within a memory: a file of texts through `rightfit choose`, all processes of the run sampled.

    python benchmarks/texts_memory.py [--rows 500000] [--budget 240] [--limit 4000]

The texts are made: words by Zipf's law, 8 to 60 of them, of which some tell one of ten classes. Writes
results/texts_memory.csv; rows of the same size are replaced.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from speed import Tree

WORDS, CLASSES = 60_000, 10


def write(path: Path, rows: int, seed: int = 0) -> None:
    """A CSV of texts and labels, written in pieces."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(letters[np.minimum(rng.geometric(0.12, size=n) - 1, 25)]) for n in rng.integers(2, 11, WORDS)]
    told = rng.integers(200, 5000, (CLASSES, 40))
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            labels = rng.integers(0, CLASSES, n)
            for label in labels.tolist():
                length = int(rng.integers(8, 60))
                at = np.minimum(rng.zipf(1.3, size=length) - 1, WORDS - 1)
                at[:3] = told[label, rng.integers(0, 40, 3)]
                file.write(" ".join(words[i] for i in at.tolist()) + f",class {label}\n")


def measured(rows: int, budget: float, limit: float) -> dict[str, Any]:
    """One row of the result."""
    with tempfile.TemporaryDirectory(prefix="rightfit-texts-") as place:
        home = Path(place)
        write(home / "texts.csv", rows)
        size = (home / "texts.csv").stat().st_size / 2**20
        began = time.monotonic()
        command = [sys.executable, "-m", "rightfit", "choose", "texts.csv", "--target", "label", "--metric", "accuracy",
                   "--budget", f"{budget:g}s", "--out", "run", "--json"]
        run = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        tree = Tree(run.pid)
        tree.start()
        told = json.loads(run.communicate()[0])
        wall = time.monotonic() - began
        tree.join(timeout=5)
    states = [trial["state"] for trial in told["trials"]]
    return {"rows": rows, "file_mib": size, "budget_s": budget, "wall_s": wall, "pss_mib": tree.pss_mib,
            "rss_mib": tree.rss_mib, "limit_mib": limit, "kept": tree.pss_mib <= limit,
            "family": (told["chosen"] or {}).get("family", ""), "accuracy": told["estimate"].get("value", ""),
            "candidates": len(states), "out_of_memory": states.count("oom")}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--budget", type=float, default=240.0)
    parser.add_argument("--limit", type=float, default=4000.0)
    given = parser.parse_args()
    row = measured(given.rows, given.budget, given.limit)
    kept = [r for r in common.read_csv("texts_memory") if r["rows"] != str(given.rows)]
    common.write_csv("texts_memory", [*kept, row])
    common.show(row)


if __name__ == "__main__":
    main()
