"""Texts beside other columns: what the texts, and a pretrained encoder of them, add to a table.

    RIGHTFIT_DATA=../shared/data python benchmarks/mixed.py --weights FOLDER [--budget 90]

EmoBank with its official split: the valence of a sentence from its text, its arousal and its dominance; and the
economy of cars from seven columns and their names (a third held out). Ways: `columns` without the text, `tfidf` with
it and no weights, `encoder` with a pretrained encoder at hand. R2 of the delivered package on the test part, with the
95 % interval of the rows. Writes results/mixed.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import common

import rightfit as rf
from rightfit.records import Need


def emobank() -> tuple[Any, Any, Need, str]:
    """(train, test, need, name of the text column)."""
    import pandas as pd

    path = next((common.data_folder() / "text").glob("emobank.csv*"))
    frame = pd.read_csv(path, keep_default_na=False)
    held = frame["split"] == "test"
    frame = frame[["text", "V", "A", "D"]]
    return (frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True),
            Need(target="V", metric="r2", kinds={"text": "text"}), "text")


def mpg() -> tuple[Any, Any, Need, str]:
    """(train, test, need, name of the text column)."""
    frame, need = common.load(next(common.tables(["mpg"])))
    rest, held = common.outer(frame, need, False, 1 / 3, 0)
    return (frame.iloc[rest].reset_index(drop=True), frame.iloc[held].reset_index(drop=True),
            dataclasses.replace(need, metric="r2", kinds={**need.kinds, "name": "text"}), "name")


SETS = {"emobank": emobank, "mpg": mpg}


def measured(name: str, way: str, budget: float, weights: tuple[str, ...]) -> dict[str, Any]:
    """One row of the result."""
    train, test, need, text = SETS[name]()
    if way == "columns":
        train, test = train.drop(columns=text), test.drop(columns=text)
        need = dataclasses.replace(need, kinds={})
    need = dataclasses.replace(need, budget=f"{budget:g}s", weights=weights if way == "encoder" else ())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rightfit-mixed-") as home:
        done = rf.choose(train, need, out=Path(home) / "run", test=test, overwrite=True).decision
    told, chosen = done.extras.get("test") or {}, done.chosen or {}
    mixed = [t["metric"]["value"] for t in done.trials if t["family"] == "mixed" and t["metric"]["value"] is not None]
    members = [m["family"] for m in (chosen.get("params") or {}).get("members", ())]
    return {"set": name, "way": way, "budget_s": budget, "train": len(train), "test": len(test),
            "r2": told.get("value"), "low": told.get("low"), "high": told.get("high"),
            "promised": done.estimate.get("value"), "chosen": chosen.get("family", ""),
            "members": " ".join(members), "best_mixed": max(mixed, default=""),
            "latency_p95_ms": (done.measured or {}).get("latency_p95_ms", ""), "wall_s": time.monotonic() - began}


def main(arguments: list[str] | None = None) -> None:
    """Run every way of every set."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("sets", nargs="*", default=list(SETS))
    words.add_argument("--budget", type=float, default=90.0)
    words.add_argument("--weights", action="append", default=[], help="a folder with a pretrained encoder")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    for name in given.sets:
        for way in ("columns", "tfidf", "encoder") if given.weights else ("columns", "tfidf"):
            row = measured(name, way, given.budget, tuple(given.weights))
            kept = [r for r in common.read_csv("mixed", given.out) if (r["set"], r["way"]) != (name, way)]
            common.write_csv("mixed", [*kept, row], given.out)
            common.show(row)


if __name__ == "__main__":
    main()
