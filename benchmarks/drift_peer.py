"""The rows of benchmarks/drift.py, and other libraries on them; runs in an environment of theirs, without rightfit.

    python drift_peer.py evidently --sizes 300 1000 --seconds 30        prints JSON lines
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

REFERENCE, POWER_ROWS, SHIFT, IMPORTANT = 10_000, 2000, 0.25, "f000"


def rows(rng: Any, count: int, features: int, shift: float = 0.0) -> Any:
    """A frame of independent features: of ten, five normal, one lognormal, one t of 2 df, one count, two categories.

    shift: added to the first, which is standard normal. Categories: five even ones, and some hundred of which most
    are rare.
    """
    import pandas as pd

    made: dict[str, Any] = {}
    for k in range(features):
        kind = k % 10
        if kind < 5:
            values = rng.normal(size=count)
        elif kind == 5:
            values = rng.lognormal(size=count)
        elif kind == 6:
            values = rng.standard_t(2, size=count)
        elif kind == 7:
            values = rng.poisson(1.0, size=count).astype(float)
        else:
            codes = rng.integers(0, 5, count) if kind == 8 else np.minimum(rng.zipf(1.8, size=count), 300)
            values = np.array([f"c{i}" for i in range(301)], object)[codes]
        made[f"f{k:03d}"] = values
    made[IMPORTANT] = made[IMPORTANT] + shift
    return pd.DataFrame(made)


def trials(alarms: Callable[[Any, Any], set[str]], sizes: list[int], features: int, windows: int, seconds: float,
           seed: int, known: Any = ()) -> Iterator[dict[str, Any]]:
    """False alarms by window size, power, each of at most so many windows and so many seconds; not those known.

    alarms: reference, window -> the names of the features that alarm. Each window has a fresh reference.
    """
    for what, size, shift in [*(("false alarms", size, 0.0) for size in sizes), ("power", POWER_ROWS, SHIFT)]:
        if (what, size) in known:
            continue
        rng, started, hits, spent = np.random.default_rng((seed, size, int(100 * shift))), time.monotonic(), [], 0.0
        while len(hits) < windows and (not hits or time.monotonic() - started < seconds):
            reference, window = rows(rng, REFERENCE, features), rows(rng, size, features, shift)
            before = time.perf_counter()
            seen = alarms(reference, window)
            spent += time.perf_counter() - before
            hits.append(IMPORTANT in seen if shift else bool(seen))
        yield {"what": what, "rows": size, "features": features, "windows": len(hits), "hits": sum(hits),
               "seconds": spent / len(hits)}


def speed(alarms: Callable[[Any, Any], set[str]], columns: int, count: int, repeats: int, seed: int) -> dict[str, Any]:
    """Median wall seconds of one look at a window as long as its reference, after a small one to warm up."""
    rng = np.random.default_rng(seed)
    alarms(rows(rng, 500, 10), rows(rng, 500, 10))
    reference, window, took = rows(rng, count, columns), rows(rng, count, columns), []
    for _ in range(repeats):
        before = time.perf_counter()
        alarms(reference, window)
        took.append(time.perf_counter() - before)
    return {"what": "time", "rows": count, "features": columns, "windows": repeats, "seconds": float(np.median(took))}


def evidently(reference: Any, window: Any) -> set[str]:
    """Columns that DataDriftPreset calls drifted, as it comes."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = set()
    for metric in Report([DataDriftPreset()]).run(window, reference).dict()["metrics"]:
        config = metric.get("config", {})
        if "column" in config and config.get("method"):
            p = "p_value" in config["method"] or "p-value" in config["method"]
            value, limit = float(metric["value"]), float(config["threshold"])
            if value < limit if p else value >= limit:
                found.add(config["column"])
    return found


def nannyml(reference: Any, window: Any) -> set[str]:
    """Columns of which UnivariateDriftCalculator alarms on the window as one chunk, thresholds of the reference."""
    import nannyml as nml

    names = list(reference.columns)
    chunked = nml.UnivariateDriftCalculator(column_names=names, chunk_size=min(len(window), len(reference) // 5))
    found = chunked.fit(reference).calculate(window).filter(period="analysis").to_df()
    return {name for name in names for method in found[name].columns.get_level_values(0).unique()
            if bool(found[name][method]["alert"].any())}


PEERS: dict[str, Callable[[Any, Any], set[str]]] = {"evidently": evidently, "nannyml": nannyml}


def main() -> None:
    """Measure one peer; one JSON object for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 5000])
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0, help="at most for each figure")
    parser.add_argument("--columns", type=int, default=400)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    alarms = PEERS[given.peer]
    for line in trials(alarms, given.sizes, given.features, given.windows, given.seconds, given.seed):
        print(json.dumps(line), flush=True)
    if given.columns:
        print(json.dumps(speed(alarms, given.columns, given.rows, 1, given.seed)), flush=True)


if __name__ == "__main__":
    main()
