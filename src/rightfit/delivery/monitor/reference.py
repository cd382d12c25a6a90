"""The reference that windows are compared with: rows left out of fitting, as drift tests see them, in the package.

Written when a model is chosen, so that monitoring needs no training data. Columns that drift tests see as vectors are
kept as these vectors only. `choose --no-reference` leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import DataError, PackageError
from rightfit.package import verify, write
from rightfit.records import Schema, frozen

NAME, VIEWS = "reference.json", "rightfit.data.views"
ROWS, FEWEST, BYTES = 5000, 300, 2**20


@frozen
class Sketch:
    """What a package keeps of the rows it was proven on. seen: {column: what its view gives}, n rows each.

    y (n,) or (n, k), pred (n, k) calibrated probabilities or (n,) values; importance: {column: loss of the metric when
    it is shuffled}, empty where unknown.
    """

    seen: Mapping[str, Any]
    y: Any
    pred: Any
    importance: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.y)


def views(schema: Schema) -> dict[str, Any]:
    """The view of each feature that has one."""
    by_kind = {kind: view for view in registry.plugins(VIEWS).values() for kind in view.kinds}
    return {column.name: by_kind[column.kind] for column in schema.features if column.kind in by_kind}


def see(X: Any, schema: Schema, names: Any = None) -> dict[str, Any]:
    """Coerced rows as the drift tests see them, by column; `names`: of these columns only."""
    return {name: view.see(X[name]) for name, view in views(schema).items() if names is None or name in names}


def attach(package: str | Path, X: Any, y: Any, pred: Any, importance: Mapping[str, float], *,
           most: int = BYTES, seed: int = 0) -> int:
    """Keep at most 5,000 rows, and at most `most` bytes, in a package; returns the rows, 0 where 300 do not fit.

    X: coerced rows (n) that the model was not fitted on; y, pred: as in `Sketch`. Raises PackageError.
    """
    from rightfit.package import load

    schema = load(package).schema
    order = np.sort(np.random.default_rng(seed).permutation(len(X))[:ROWS])
    each = len(write.dense(_plain(X.iloc[order[:100]], y[order[:100]], pred[order[:100]], schema, importance))) / 100
    count = min(len(order), int(0.95 * most / max(each, 1.0)))
    if count < FEWEST:
        return 0
    kept = np.sort(np.random.default_rng(seed).permutation(order)[:count])
    write.amend(package, {NAME: _plain(X.iloc[kept], y[kept], pred[kept], schema, importance)})
    return count


def _plain(X: Any, y: Any, pred: Any, schema: Schema, importance: Mapping[str, float]) -> dict[str, Any]:
    return {"seen": {name: _listed(values) for name, values in see(X.reset_index(drop=True), schema).items()},
            "y": np.asarray(y).tolist(), "pred": _listed(np.asarray(pred, float)),
            "importance": {str(name): float(value) for name, value in importance.items()}}


def _listed(values: Any) -> list[Any]:
    if values.dtype == object:
        return list(values.tolist())
    flat = [None if v != v else float(f"{v:.5g}") if values.ndim == 2 else v for v in values.ravel().tolist()]
    return flat if values.ndim == 1 else np.array(flat, object).reshape(values.shape).tolist()


def kept(pred: Any) -> Any:
    """Predictions as a sketch keeps them: tables to 5 digits, so that the values of a tree stay ties on both sides."""
    return np.array(_listed(np.asarray(pred, float)), float)


def read(package: Path, schema: Schema) -> Sketch:
    """The sketch of a verified package folder. Raises PackageError where it has none, DataError below 300 rows."""
    path = package / NAME
    if not path.is_file():
        raise PackageError(f"a package must hold a reference to be watched; got no {NAME} in it, choose again without "
                           "--no-reference and with room for it.")
    with path.open("rb") as file:
        found = verify.parse(file.read(verify.MAX_JSON + 1), NAME)
    known = views(schema)
    try:
        seen = {str(name): np.array(values, object if known[name].on == "category" else float)
                for name, values in found["seen"].items()}
        sketch = Sketch(seen=seen, y=np.array(found["y"]), pred=np.array(found["pred"], float),
                        importance={str(k): float(v) for k, v in found["importance"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackageError(f"{NAME} must hold seen, y, pred and importance; got {str(error)[:80]!r}, the package is "
                           "damaged.") from None
    if {len(values) for values in (*sketch.seen.values(), sketch.pred)} - {len(sketch)}:
        raise PackageError(f"all columns of {NAME} must be as long as y={len(sketch)}; got others, the package is "
                           "damaged.")
    if len(sketch) < FEWEST:
        raise DataError(f"a reference must hold {FEWEST} rows; got rows={len(sketch)}, choose on more data.")
    return sketch


def frame(seen: Mapping[str, Any]) -> Any:
    """What was seen as one DataFrame: vectors become columns name[0], name[1], ..."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in seen.items():
        columns |= {name: values} if values.ndim == 1 else {f"{name}[{i}]": part for i, part in enumerate(values.T)}
    return pd.DataFrame(columns)
