"""What every trial process needs, written once to disk: rows, folds, task and a raw sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rightfit.records import Dataset, Schema, Task, asdict, frozen, revive


@frozen
class Stage:
    """The staged run: `folds` is a list of (train, valid) positions; `sample` raw records as a user would send them."""

    data: Dataset
    task: Task
    folds: tuple[tuple[Any, Any], ...]
    sample: tuple[dict[str, Any], ...]


def write(folder: Path, stage: Stage) -> None:
    """Write a stage into an existing folder; the JSON goes last, so a half-written stage is never read."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import feather

    table = pa.Table.from_pandas(stage.data.X, preserve_index=False)
    feather.write_feather(table, str(folder / "rows.feather"), compression="uncompressed")
    arrays = {name: value for name in ("y", "groups", "time", "weight", "protected")
              if (value := getattr(stage.data, name)) is not None}
    for number, (train, valid) in enumerate(stage.folds):
        arrays[f"train{number}"], arrays[f"valid{number}"] = train, valid
    np.savez(folder / "arrays.npz", **arrays)
    plain = {"schema": asdict(stage.data.schema), "task": asdict(stage.task), "folds": len(stage.folds),
             "sample": list(stage.sample)}
    (folder / "stage.json").write_text(json.dumps(plain, default=str), encoding="utf-8")


def read(folder: Path) -> Stage:
    """Read back what `write` wrote."""
    import numpy as np
    from pyarrow import feather

    plain = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    frame = feather.read_table(str(folder / "rows.feather"), memory_map=True).to_pandas()
    for name in frame.columns[[not _is_number(kind) for kind in frame.dtypes]]:
        values = frame[name].astype(object)
        frame[name] = values.where(values.notna(), None).astype(object)
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        folds = tuple((arrays[f"train{i}"], arrays[f"valid{i}"]) for i in range(plain["folds"]))
        named = {name: arrays[name] for name in ("y", "groups", "time", "weight", "protected")
                 if name in arrays}
    data = Dataset(X=frame, schema=revive(Schema, plain["schema"]), **named)
    return Stage(data=data, task=revive(Task, plain["task"]), folds=folds, sample=tuple(plain["sample"]))


def _is_number(kind: Any) -> bool:
    return getattr(kind, "kind", "O") in "fiubM"
