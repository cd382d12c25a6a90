"""Fixed features at several input sizes, told apart on training rows alone: the evidence behind the family's defaults.

    python benchmarks/images_sizes.py [set ...] --weights FOLDER [--rows 1200] [--work FOLDER]

Each row is one setting of the family `frozen` by 3 folds of so many training pictures; no test picture is read. `ms` is
what a picture takes to be embedded, if it was not in the cache already. Rows of results/images_sizes.csv with the same
set, setting and number of pictures are replaced.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

from rightfit import cache, registry
from rightfit.data import split
from rightfit.models._nn import head
from rightfit.models.image import _embed
from rightfit.question import ask
from rightfit.records import Need

SETS = {"flowers5": "flowers5_128px", "cifar10": "cifar10_20k", "trashnet": "trashnet_60perclass"}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"size": 128}, {"size": 160}, {"size": 224}, {"size": 128, "mirrored": True}, {"size": 160, "mirrored": True},
    {"size": 224, "stages": 0}, {"size": 224, "head": "svm"})
FOLDS, SEED = 3, 7


def measured(name: str, rows: int, settings: dict[str, Any], weights: tuple[str, ...]) -> dict[str, Any]:
    """One row of the result."""
    need = Need(weights=weights)
    asked = ask(str(common.data_folder() / "images" / f"{SETS[name]}.zip"), need)
    data = asked.data.take(np.sort(np.random.default_rng(SEED).permutation(len(asked.data))[:rows]))
    y, refs = np.asarray(data.y), list(data.X[data.X.columns[0]])
    spec = registry.plugin("rightfit.models", "frozen", "family")
    params = dict(spec.prepare({**spec.defaults, **settings}, asked.task, need))
    model = spec.build(params, asked.task)
    model._look(data)
    began = time.process_time()
    _, X = _embed.embedded(model._table(), refs, np.arange(len(refs)), model.size, model._features, float("inf"))
    embedding = time.process_time() - began
    right = np.zeros(len(y), bool)
    for train, valid in split.folds(data, asked.task, n_folds=FOLDS, repeats=1, seed=0):
        found, _ = head.fit(params["head"], head.Problem(X=X[train], y=y[train]), params, asked.task, seed=0,
                            deadline=float("inf"))
        right[valid] = told(found, X[valid]) == y[valid]
    share = float(right.mean())
    return {"set": name, "setting": json.dumps(settings, sort_keys=True), "rows": len(y), "features": X.shape[1],
            "accuracy": share, "error": float(np.sqrt(share * (1 - share) / len(y))),
            "ms": 1000 * embedding / len(y) if embedding > 1 else ""}


def told(found: Any, X: Any) -> Any:
    """Class codes (n,) by a head."""
    import torch

    with torch.inference_mode():
        return found(torch.from_numpy(X)).numpy().argmax(axis=1)


def main(arguments: list[str] | None = None) -> None:
    """Measure and keep each row at once."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("sets", nargs="*", metavar="set", help=", ".join(SETS))
    words.add_argument("--rows", type=int, default=1200)
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--work", type=Path, default=None, help="where features are kept between sittings")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="rightfit-sizes-") as scratch, cache.at(given.work or Path(scratch)):
        for name in given.sets or SETS:
            for settings in SETTINGS:
                row = measured(name, given.rows, settings, tuple(given.weights))
                same = (row["set"], row["setting"], str(row["rows"]))
                kept = [r for r in common.read_csv("images_sizes", given.out)
                        if (r["set"], r["setting"], r["rows"]) != same]
                common.write_csv("images_sizes", [*kept, row], given.out)
                common.show(row)


if __name__ == "__main__":
    main()
