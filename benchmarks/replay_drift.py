"""Updates on alarm against updates after every period, and the estimate without labels, on real tables that drift.

    python benchmarks/replay_drift.py [--only elec2 weather employment cover]      benchmarks/results/replay_drift.csv

Replays of elec2 (two weeks a period), NOAA weather (a year) and ACS employment in Massachusetts (10,000 rows, 2015 to
2018): the first rows choose a LightGBM, then `rightfit.replay` plays on. `kept` is the accuracy of updating on alarm
over that of fitting again after every period, `cost` the CPU time of all retraining over that of the same.

`cover`: windows of 2,000 rows of 2015 that neither trained the model nor are its reference, drawn so that one feature
(age, schooling, disability, marital status or ancestry) is shifted and nothing else changes: how often the 95 %
interval of the estimate without labels covers the realised score. What the file holds already is not measured again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import append_csv, data_folder, proportion, read_csv, show

from rightfit import Need, choose, load
from rightfit.replay import Plan, replay

NAMES = ("what", "rows", "periods", "never", "every", "alarm", "kept", "cost", "updates_every", "updates_alarm",
         "looked_alarm", "alarms", "windows", "covered", "wall_s")
LEFT_OUT = ("id", "prediction", "predicted_probability", "year")
TILTS = ("AGEP", "SCHL", "DIS", "MAR", "ANC")


def elec2() -> Any:
    """Half-hourly electricity in New South Wales, `at` is the row."""
    import pandas as pd

    frame = pd.read_csv(data_folder() / "drift" / "elec2.csv.gz")
    return frame.assign(at=range(len(frame)))


def weather() -> Any:
    """Daily weather in Nebraska, 1949 to 1999: will it rain."""
    import pandas as pd

    folder = data_folder() / "drift"
    frame = pd.read_csv(folder / "weather_noaa_data.csv.gz", header=None).add_prefix("x")
    frame["class"] = pd.read_csv(folder / "weather_noaa_class.csv", header=None)[0]
    return frame.assign(at=range(len(frame)))


def employment() -> Any:
    """Who is employed, in the order of years and of the file."""
    import pandas as pd

    folder = data_folder() / "drift"
    first = pd.read_parquet(folder / "employment_MA_reference.pq")
    later = pd.read_parquet(folder / "employment_MA_analysis.pq")
    later = later.merge(pd.read_parquet(folder / "employment_MA_analysis_target.pq")[["id", "employed"]], on="id")
    frame = pd.concat([first, later], ignore_index=True).sort_values("year", kind="stable", ignore_index=True)
    return frame.drop(columns=list(LEFT_OUT)).rename(columns={"employed": "class"}).assign(at=range(len(frame)))


CASES = {"elec2": (elec2, Plan(first=8000, period="672rows")),
         "weather": (weather, Plan(first=3650, period="365rows")),
         "employment": (employment, Plan(first=20_000, period="10000rows"))}


def need(budget: str) -> Need:
    """What is asked of every table; so many settings are tried on any machine."""
    return Need(target="class", time="at", metric="accuracy", families=("lightgbm",), proposals=4, budget=budget)


def played(name: str, folder: Path, budget: str) -> dict[str, Any]:
    """One replay; it goes on where it was stopped."""
    make, plan = CASES[name]
    started = time.monotonic()
    found = replay(make(), need(budget), out=folder / name, plan=plan,
                   watch=lambda line: print(name, line["period"], *(f"{line[p]['value']:.4f}" for p in (
                       "never", "every", "alarm")), "updated" if line["alarm"]["updated"] else "", flush=True))
    never, every, alarm = found.sums
    return {"what": name, "rows": sum(p["rows"] for p in found.periods), "periods": len(found.periods),
            "never": never.value, "every": every.value, "alarm": alarm.value, "kept": alarm.value / every.value,
            "cost": alarm.seconds / every.seconds, "updates_every": every.updated, "updates_alarm": alarm.updated,
            "looked_alarm": alarm.looked, "alarms": found.alarms, "windows": found.estimated,
            "covered": found.covered, "wall_s": time.monotonic() - started}


def cover(folder: Path, budget: str, windows: int = 60, rows: int = 2000) -> list[dict[str, Any]]:
    """The interval under covariate shift alone: rows of one year, drawn by a tilt of one feature."""
    from rightfit.delivery.monitor import check

    frame = employment().iloc[:68_785].sample(frac=1, random_state=0, ignore_index=True)
    home = folder / "cover"
    package = home / "package"
    if not package.is_dir():
        choose(frame.iloc[:20_000], Need(target="class", metric="accuracy", drop=("at",), families=("lightgbm",),
                                         budget=budget), out=home)
    rest, model = frame.iloc[20_000:].reset_index(drop=True), load(package)
    found = {"accuracy": [], "wide": []}
    for k in range(windows):
        rng, tilt = np.random.default_rng(k), TILTS[k % len(TILTS)]
        values = rest[tilt].astype(float)
        z = (values - values.mean()) / values.std()
        weight = np.exp((1 if k % 2 else -1) * 0.8 * z.clip(-3, 3))
        some = rng.choice(len(rest), rows, replace=False, p=weight / weight.sum())
        seen = check.monitor(package, rest.iloc[some].reset_index(drop=True))
        found["accuracy"].append(seen.estimated.low <= seen.realised.value <= seen.estimated.high)
        found["wide"].append(seen.estimated.high - seen.estimated.low)
    hits = int(sum(found["accuracy"]))
    print(model.task.metric, proportion(hits, windows), f"mean width {np.mean(found['wide']):.4f}")
    return [{"what": "covariate shift alone", "rows": rows, "windows": windows, "covered": hits}]


def main() -> None:
    """Measure what is not known, a case at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*CASES, "cover"), default=[*CASES, "cover"])
    parser.add_argument("--budget", default="600s", help="wall time of the first choice")
    parser.add_argument("--folder", type=Path, required=True, help="where replays lie, so that they can go on")
    given = parser.parse_args()
    known = {row["what"] for row in read_csv("replay_drift")}
    for name in given.only:
        if name in known or (name == "cover" and "covariate shift alone" in known):
            continue
        lines = cover(given.folder, given.budget) if name == "cover" else \
            [played(name, given.folder, given.budget)]
        for line in lines:
            append_csv("replay_drift", {n: line.get(n, "") for n in NAMES})
            show(line)


if __name__ == "__main__":
    main()
