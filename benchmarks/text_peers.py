"""Other libraries on the rows of benchmarks/texts_choose.py: same training part, same test part, same machine.

    RIGHTFIT_DATA=../shared/data python benchmarks/text_peers.py fasttext PYTHON [data set ...] [--seconds 60]

PYTHON is the interpreter of an environment that holds the library, which needs nothing of rightfit's. Results go to
results/text_peers.csv, one row a library and data set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import common
import texts
import texts_choose

NAMES = tuple(name for name, known in texts_choose.KNOWN.items() if known.metric != "r2")
PATIENCE = 3.0  # of the seconds asked for, after which a library is stopped


def score(metric: str, y: Any, predicted: list[str]) -> float:
    """A metric of labels; f1 is of the label that sorts last, as rightfit takes it."""
    from sklearn.metrics import accuracy_score, f1_score

    if metric == "accuracy":
        return float(accuracy_score(y, predicted))
    if metric == "f1_macro":
        return float(f1_score(y, predicted, average="macro"))
    return float(f1_score(y, predicted, pos_label=max(y)))


def measured(peer: str, python: str, name: str, seconds: float, weights: str) -> dict[str, Any]:
    """One row of the result. A library that fails gives its last line."""
    given, metric = texts.SETS[name](), texts_choose.KNOWN[name].metric
    with tempfile.TemporaryDirectory(prefix="rightfit-peer-") as place:
        home = Path(place)
        for part in ("train", "test"):
            texts_choose.frame(getattr(given, part)).to_csv(home / f"{part}.csv", index=False)
        row: dict[str, Any] = {"peer": peer, "dataset": name, "metric": metric, "seconds": seconds}
        command = [python, str(common.HERE / "text_peer.py"), peer, str(home), "--seconds", str(seconds), "--weights",
                   weights]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * seconds + 120,
                                  check=False, cwd=place)
        except subprocess.TimeoutExpired:
            return {**row, "error": f"not done after {PATIENCE * seconds + 120:.0f} s"}
        if done.returncode or not (home / "pred.json").exists():
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
            return {**row, "error": said[-1].replace(place, "")[:200]}
        told = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
        predicted = json.loads((home / "pred.json").read_text(encoding="utf-8"))
        return {**row, **told, "test": score(metric, [str(label) for label in given.test[1]], predicted)}


def main() -> None:
    """Run and keep each row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer")
    parser.add_argument("python")
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="data set", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--weights", default="")
    given = parser.parse_args()
    for name in given.names:
        row = measured(given.peer, given.python, name, given.seconds, given.weights)
        kept = [r for r in common.read_csv("text_peers") if (r["peer"], r["dataset"]) != (given.peer, name)]
        common.write_csv("text_peers", [*kept, row])
        common.show(row)


if __name__ == "__main__":
    main()
