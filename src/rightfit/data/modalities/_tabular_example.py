"""Tables made here: easy problems for the conformance suite, and hard rows that every model must survive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.records import Column, Dataset, Problem, Schema, Task

KINDS = {"size": "numeric", "price": "numeric", "half": "numeric", "town": "categorical", "code": "categorical",
         "flag": "boolean", "when": "datetime", "note": "text"}


def example(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """An easy table with numeric (some missing), categorical, boolean, date and text columns, and its task.

    `noise` shuffles the target, so that nothing can be learned, and gives `code` a level for every row: whoever
    encodes it by its own target believes in it, and is wrong on new rows.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    size, price = rng.normal(size=n), rng.normal(size=n) * 100
    town = rng.choice(["north", "south", "west"], n)
    code = np.array([f"c{i}" for i in rng.integers(0, 15, n)], dtype=object)
    signal = 2.0 * size + price / 100 + 2.0 * (town == "north")
    y, classes = _target(problem, signal, rng)
    if problem == "ranking":
        y = np.column_stack([y, np.arange(n) // 8]).astype(float)
    if noise:
        y = y[rng.permutation(n)]
        code = np.array([f"c{i}" for i in range(n)], dtype=object)
    days = pd.Series(rng.integers(0, 1000, n).astype("timedelta64[D]") + np.datetime64("2020-01-01"))
    frame = pd.DataFrame({
        "size": size, "price": price, "half": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        "town": pd.Series(town, dtype=object), "code": pd.Series(code, dtype=object),
        "flag": (rng.random(n) < 0.5).astype(np.float64), "when": days.astype("datetime64[ns]"),
        "note": pd.Series(rng.choice(["good value", "very bad", "ok"], n), dtype=object)})
    frame.loc[frame.index[::10], "town"] = None
    schema = Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in KINDS.items()))
    levels = (0.1, 0.5, 0.9) if problem == "quantile" else ()
    outputs = 1 if problem == "ranking" else len(levels) or (y.shape[1] if y.ndim == 2 else 1)
    targets = outputs if y.ndim == 2 else 1
    task = Task(modality="tabular", problem=problem, target=tuple(f"y{i}" for i in range(targets)), metric="",
                quantiles=levels,
                classes=classes, outputs=outputs, rows=n, features=len(KINDS))
    return Dataset(X=frame, y=y, schema=schema), task


def _target(problem: Problem, signal: Any, rng: Any) -> tuple[Any, tuple[str, ...]]:
    if problem == "binary":
        return (signal > 0.7).astype(np.int64), ("no", "yes")
    if problem == "multiclass":
        return np.digitize(signal, [-0.5, 1.5]).astype(np.int64), ("low", "middle", "high")
    if problem == "multilabel":
        return np.column_stack([signal > 0, signal > 1.5]).astype(np.int8), ("some", "many")
    if problem == "ordinal":
        return np.digitize(signal, [-2.0, 0.5, 2.0]).astype(np.int64), ("1", "2", "3", "4")
    if problem == "ranking":
        return np.digitize(signal, [-2.0, 0.5, 2.0]).astype(float), ()
    if problem == "count":
        return rng.poisson(np.exp(0.4 * signal)).astype(float), ()
    return 3e5 + 1e4 * (signal + 0.1 * rng.normal(size=len(signal))), ()


def hard() -> Mapping[str, Any]:
    """{what is hard: frame}: values never seen, columns without values, and tables of a single column."""
    import pandas as pd

    plain = example("binary")[0].X
    unseen = plain.iloc[:4].reset_index(drop=True).copy()
    unseen["town"] = unseen["code"] = unseen["note"] = "never seen"
    unseen["size"], unseen["price"] = [np.nan, np.inf, -1e300, 1e300], np.nan
    unusable = plain.assign(half=np.nan, flag=1.0)
    unusable["code"] = pd.Series([None] * len(plain), dtype=object)
    return {"unseen values": unseen, "unusable columns": unusable,
            **{f"only {name}": plain[[name]] for name in ("size", "town", "when", "note")}}
