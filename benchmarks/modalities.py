"""Pictures and texts through `choose`, on the official splits where there are some: what was chosen, promised, reached.

    python benchmarks/modalities.py [--only cifar10,banking77] [--budget 120] [--weights FOLDER] [--out CSV]

The score on the test part is that of the delivered package; without a test part the promise stands alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

import rightfit as rf
from rightfit.records import Need

TEXT = common.data_folder() / "text"
IMAGES = common.data_folder() / "images"


def _first_blank(path: Path, coarse: bool = False) -> Any:
    import gzip

    import pandas as pd

    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in raw.decode("latin-1" if coarse else "utf-8").split("\n") if line.strip()]
    rows = [line.split(" ", 1) for line in lines]
    return pd.DataFrame({"text": [r[1] for r in rows], "label": [r[0].split(":")[0] if coarse else r[0] for r in rows]})


def _lines(path: Path) -> list[str]:
    import gzip

    found = next(p for p in (path, path.with_suffix(path.suffix + ".gz")) if p.exists())
    raw = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    return [line.rstrip("\r") for line in raw.decode("utf-8").split("\n") if line]


def _tweets(task: str, part: str) -> Any:
    import pandas as pd

    home = TEXT / "tweeteval" / task
    return pd.DataFrame({"text": _lines(home / f"{part}_text.txt"), "label": _lines(home / f"{part}_labels.txt")})


def _titles(part: str) -> Any:
    import pandas as pd

    rows = [line.rsplit("\t", 1) for line in _lines(TEXT / "zh" / f"THUCNews_{part}.txt")]
    return pd.DataFrame(rows, columns=["text", "label"])


def _emobank() -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.read_csv(TEXT / "emobank.csv.gz", keep_default_na=False)
    parts = frame["split"] == "test"
    return frame.loc[~parts, ["text", "V"]], frame.loc[parts, ["text", "V"]]


def _csv(name: str) -> Any:
    import pandas as pd

    return pd.read_csv(TEXT / name, keep_default_na=False)


CASES: dict[str, tuple[Callable[[], tuple[Any, Any]], dict[str, Any]]] = {
    "banking77": (lambda: (_csv("banking77/train.csv.gz"), _csv("banking77/test.csv")),
                  {"target": "category", "metric": "accuracy"}),
    "sst2": (lambda: (_first_blank(TEXT / "sst2/stsa.binary.train.gz"), _first_blank(TEXT / "sst2/stsa.binary.test")),
             {"target": "label", "metric": "accuracy"}),
    "trec": (lambda: (_first_blank(TEXT / "trec/TREC.train.gz", True), _first_blank(TEXT / "trec/TREC.test", True)),
             {"target": "label", "metric": "accuracy"}),
    "sms_spam": (lambda: (_csv("sms_spam.csv.gz")[["type", "text"]], None), {"target": "type", "metric": "accuracy"}),
    "emotion": (lambda: (_tweets("emotion", "train"), _tweets("emotion", "test")),
                {"target": "label", "metric": "f1_macro"}),
    "irony": (lambda: (_tweets("irony", "train"), _tweets("irony", "test")), {"target": "label", "metric": "f1"}),
    "offensive": (lambda: (_tweets("offensive", "train"), _tweets("offensive", "test")),
                  {"target": "label", "metric": "f1_macro"}),
    "waimai": (lambda: (_csv("zh/waimai_10k.csv.gz"), None), {"target": "label", "metric": "accuracy"}),
    "thucnews": (lambda: (_titles("dev"), _titles("test")), {"target": "label", "metric": "accuracy"}),
    "emobank": (_emobank, {"target": "V", "metric": "r2"}),
    "cifar10": (lambda: (str(IMAGES / "cifar10_20k.zip"), None), {"metric": "accuracy"}),
    "trashnet": (lambda: (str(IMAGES / "trashnet_60perclass.zip"), None), {"metric": "accuracy"}),
    "flowers5": (lambda: (str(IMAGES / "flowers5_128px.zip"), None), {"metric": "accuracy"}),
    "brain_mri": (lambda: (str(IMAGES / "brain_mri_imbalanced.zip"), None), {"metric": "balanced_accuracy"}),
}


def measured(name: str, budget: float, weights: tuple[str, ...], families: tuple[str, ...]) -> dict[str, Any]:
    """One row of the result: a run of `choose`, its promise and its score on the test part."""
    load, asked = CASES[name]
    source, test = load()
    need = Need(budget=f"{budget:g}s", weights=weights, families=families, **asked)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rightfit-bench-") as folder:
        choice = rf.choose(source, need, out=Path(folder) / "run", test=test)
        wall = time.monotonic() - started
        done = choice.decision
    chosen = done.chosen or {}
    final = done.extras.get("test") or {}
    ok = sorted({t["family"] for t in done.trials if t["state"] == "ok"})
    return {"data": name, "rows": done.task.rows, "metric": done.task.metric, "budget_s": budget,
            "wall_s": round(wall, 1), "family": chosen.get("family", ""), "steps": len(chosen.get("steps", ())),
            "promised": _round(done.estimate.get("value")), "low": _round(done.estimate.get("low")),
            "high": _round(done.estimate.get("high")), "test": _round(final.get("value")),
            "inside": final.get("inside", ""), "latency_p95_ms": _round(done.measured.get("latency_p95_ms")),
            "size_mib": _round(done.measured.get("size_mib")), "memory_mib": _round(done.measured.get("memory_mib")),
            "families": " ".join(ok), "failed": sum(t["state"] in ("crashed", "oom", "invalid") for t in done.trials),
            "weights": bool(weights), "params": str(dict(chosen.get("params", {})))[:300]}


def _round(value: Any) -> Any:
    return round(float(value), 4) if isinstance(value, int | float) else ""


def main() -> None:
    """Run the cases and append each row as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--budget", type=float, default=120.0)
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--families", default="")
    parser.add_argument("--out", default="modalities")
    given = parser.parse_args()
    for name in given.only.split(","):
        row = measured(name, given.budget, tuple(given.weights), tuple(filter(None, given.families.split(","))))
        print(row, flush=True)
        common.append_csv(given.out, {**row, **common.about()})


if __name__ == "__main__":
    main()
