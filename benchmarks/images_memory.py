"""Many pictures from disk within a memory: folders of JPEGs through `rightfit choose`, all processes sampled.

    python benchmarks/images_memory.py [--rows 50000] [--side 64] [--budget 240] [--limit 4000] [--weights FOLDER]

The pictures are made: noise over a gradient whose direction and colour tell one of ten classes. Processes that share
memory, such as the table of decoded pixels, count it once (pss). Writes results/images_memory.csv; rows of the same
size are replaced.
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

CLASSES = 10


def write(home: Path, rows: int, side: int, seed: int = 0) -> float:
    """Class folders of JPEGs; gives their size in MiB."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    size = 0
    for label in range(CLASSES):
        folder = home / f"class {label}"
        folder.mkdir(parents=True)
        for i in range(label, rows, CLASSES):
            angle = np.pi * label / CLASSES + rng.normal(scale=0.3)
            base = 128 + 60 * (np.cos(angle) * x + np.sin(angle) * y)[..., None] * (0.5 + rng.random(3))
            noisy = base + rng.normal(scale=40, size=(side, side, 3))
            path = folder / f"{i}.jpg"
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=85)
            size += path.stat().st_size
    return size / 2**20


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """One row of the result."""
    with tempfile.TemporaryDirectory(prefix="rightfit-images-") as place:
        home = Path(place)
        size = write(home / "photos", given.rows, given.side)
        weights = [word for place in given.weights for word in ("--weights", place)]
        began = time.monotonic()
        command = [sys.executable, "-m", "rightfit", "choose", str(home / "photos"), "--metric", "accuracy", "--budget",
                   f"{given.budget:g}s", "--out", str(home / "run"), "--json", *weights]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        tree = common.Tree(run.pid)
        tree.start()
        told = json.loads(run.communicate()[0])
        wall = time.monotonic() - began
        tree.join(timeout=5)
    states = [trial["state"] for trial in told["trials"]]
    return {"rows": given.rows, "side": given.side, "files_mib": size, "budget_s": given.budget, "wall_s": wall,
            "cpu_s": tree.cpu_s, "pss_mib": tree.pss_mib, "rss_mib": tree.rss_mib, "limit_mib": given.limit,
            "kept": tree.pss_mib <= given.limit, "family": (told["chosen"] or {}).get("family", ""),
            "accuracy": told["estimate"].get("value", ""), "candidates": len(states),
            "out_of_memory": states.count("oom")}


def main(arguments: list[str] | None = None) -> None:
    """Run and keep."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--rows", type=int, default=50_000)
    words.add_argument("--side", type=int, default=64)
    words.add_argument("--budget", type=float, default=240.0)
    words.add_argument("--limit", type=float, default=4000.0)
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    row = measured(given)
    kept = [r for r in common.read_csv("images_memory", given.out) if r["rows"] != str(given.rows)]
    common.write_csv("images_memory", [*kept, row], given.out)
    common.show(row)


if __name__ == "__main__":
    main()
