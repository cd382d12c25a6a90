"""What one row costs: a raw record through a package, and through the scikit-learn pipeline that one would write.

    python benchmarks/row_latency.py        writes benchmarks/results/row_latency.csv in under a minute

The same 600-row table of three numeric and two categorical columns, and the same number of boosted trees, on both
sides; the package's way is record in, label and probabilities out (`predict_one`), as its latency is promised.
"""

from __future__ import annotations

import csv
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.package import load, write
from rightfit.records import Candidate, Need, Rule
from rightfit.registry import plugin
from rightfit.task.understand import understand

ROWS, TREES, CALLS = 600, 200, 2000
OUT = Path(__file__).resolve().parent / "results" / "row_latency.csv"


def frame() -> pd.DataFrame:
    """The table, with the target `y`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    town, colour = rng.choice(["north", "south", "east", "west"], ROWS), rng.choice(["red", "green", "blue"], ROWS)
    y = x[:, 0] + (town == "north") + x[:, 1] * (colour == "red") + rng.normal(size=ROWS) > 0.3
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "town": town, "colour": colour,
                         "y": np.where(y, "yes", "no")})


def timed(call: Callable[[Any], Any], inputs: Sequence[Any], calls: int) -> tuple[float, float]:
    """(p50, p95) in microseconds, after a tenth of the calls as a warm-up."""
    for i in range(calls // 10):
        call(inputs[i % len(inputs)])
    spent = []
    for i in range(calls):
        started = time.perf_counter_ns()
        call(inputs[i % len(inputs)])
        spent.append((time.perf_counter_ns() - started) / 1e3)
    return float(np.quantile(spent, 0.5)), float(np.quantile(spent, 0.95))


def packaged(name: str, table: pd.DataFrame, params: dict[str, Any]) -> Callable[[Any], Any]:
    """`predict_one` of the package of a family fitted on the table."""
    need = Need(target="y")
    schema, _ = infer(table, need)
    task = understand(table, schema, need, "tabular")
    data = assemble(table, schema, task)
    family = plugin("rightfit.models", name, "family")
    params = {**family.defaults, **params}
    model = family.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 60)
    with tempfile.TemporaryDirectory() as folder:
        write.write(model, Path(folder) / "package", task=task, schema=schema, rule=Rule(),
                    candidate=Candidate(family=name, params=params), sample=table.drop(columns="y").head(64))
        loaded = load(Path(folder) / "package")
    return loaded.predict_one


def pipeline(name: str, table: pd.DataFrame) -> Callable[[Any], Any]:
    """A column transformer and the same kind of model, asked with a frame of one row."""
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric, categorical = ["a", "b", "c"], ["town", "colour"]
    parts = make_column_transformer((StandardScaler(), numeric), (OneHotEncoder(sparse_output=False), categorical))
    model: Any = LogisticRegression() if name == "linear" else LGBMClassifier(n_estimators=TREES, n_jobs=1, verbose=-1)
    made = make_pipeline(parts.set_output(transform="pandas"), model).fit(table.drop(columns="y"), table["y"])
    return lambda record: made.predict_proba(pd.DataFrame([record]))


def main() -> None:
    """Measure and write."""
    table = frame()
    records = [{str(k): v for k, v in r.items()} for r in table.drop(columns="y").head(64).to_dict("records")]
    lines = []
    for name, params in (("linear", {}), ("lightgbm", {"n_estimators": TREES, "early_stopping": False})):
        ways = {"package": packaged(name, table, params), "scikit-learn pipeline": pipeline(name, table)}
        for way, call in ways.items():
            p50, p95 = timed(call, records, CALLS if way == "package" else CALLS // 10)
            lines.append({"family": name, "way": way, "p50_us": round(p50, 1), "p95_us": round(p95, 1),
                          "cores": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 2),
                          "machine": platform.machine(), "python": platform.python_version(),
                          "onnxruntime": version("onnxruntime"), "scikit-learn": version("scikit-learn"),
                          "lightgbm": version("lightgbm")})
            print(lines[-1])
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
