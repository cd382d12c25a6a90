"""How fast: starting, predicting, a first package, keeping the budget, large tables.

    python benchmarks/speed.py                     every part
    python benchmarks/speed.py start row first     some parts: start, load, row, first, budget, large
    python benchmarks/speed.py large --rows 100000 --budgets 60

Every figure is the wall time of a process of its own where a user would see one. The memory of a run is that of its
whole process tree, sampled: the sum of resident sets counts shared pages once for each process (an upper bound), the
proportional one (pss) counts them once. Rows of a part that is run again are replaced. Writes
benchmarks/results/speed.csv.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import Tree

from rightfit import registry
from rightfit.choose import ask, choose
from rightfit.package import probe, write
from rightfit.records import Candidate, Need, Rule
from rightfit.tuning import trial

BOOSTED = ("lightgbm", "xgboost", "catboost")
TIMES = 10
LIMIT_MIB = 8000.0


def mixed(rows: int, columns: int = 30, seed: int = 0) -> Any:
    """A frame of numbers and categories, a third of the columns each 12 categories, 5 % missing, and a binary y."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    some = columns // 3
    numbers = rng.normal(size=(rows, columns - some))
    codes = rng.integers(0, 12, (rows, some))
    effect = rng.normal(size=12)
    signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.abs(numbers[:, 3]) + effect[codes[:, 0]]
    y = np.where(signal + rng.normal(size=rows) > np.median(signal), "yes", "no")
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    words = np.array([f"value {c}" for c in "abcdefghijkl"], dtype=object)
    made = {f"n{i}": np.round(numbers[:, i], 4) for i in range(columns - some)}
    return pd.DataFrame({**made, **{f"c{i}": words[codes[:, i]] for i in range(some)}, "y": y})


def wall(command: Sequence[str], times: int = TIMES) -> list[float]:
    """Seconds of processes, one after the other. Raises CalledProcessError."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - begun)
    return found


def python(code: str) -> list[str]:
    """The command that runs this code in a new interpreter."""
    return [sys.executable, "-c", code]


def program(*words: object) -> list[str]:
    """The rightfit command of this interpreter."""
    return [str(Path(sys.executable).with_name("rightfit")), *map(str, words)]


def median(part: str, what: str, values: Sequence[float], limit: float | None = None) -> dict[str, Any]:
    """One row of the result."""
    return {"part": part, "what": what, "value": statistics.median(values), "unit": "s", "lowest": min(values),
            "highest": max(values), "n": len(values), "limit": "" if limit is None else limit}


def start(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What starting costs; an empty interpreter for comparison."""
    timed = "import time; t = time.perf_counter(); import rightfit; print(time.perf_counter() - t)"
    inside = [float(subprocess.run(python(timed), check=True, capture_output=True, text=True).stdout)
              for _ in range(TIMES)]
    return [median("start", "python -c pass", wall(python("pass"))),
            median("start", "import rightfit, inside the process", inside, 0.1),
            median("start", "python -c 'import rightfit'", wall(python("import rightfit"))),
            median("start", "rightfit --help", wall(program("--help")), 0.3)]


def pack(family: str, frame: Any, folder: Path) -> float:
    """Fit a family's defaults on a frame and write the package; gives the seconds of fitting."""
    import pandas as pd

    question = ask(frame, Need(target="y"))
    spec = registry.plugin("rightfit.models", family, "family")
    candidate = Candidate(family=family, params=dict(spec.defaults))
    begun = time.monotonic()
    model = trial.fit(candidate, question.data, question.task, seed=0, deadline=begun + 300)
    seconds = time.monotonic() - begun
    write.write(model, folder, task=question.task, schema=question.data.schema, rule=Rule(), candidate=candidate,
                sample=pd.DataFrame(list(question.sample)))
    return seconds


def load(given: argparse.Namespace) -> list[dict[str, Any]]:
    """From nothing to a first prediction, and one row through the command line, for a boosted and a linear package."""
    found = []
    with tempfile.TemporaryDirectory(prefix="rightfit-speed-") as scratch:
        folder = Path(scratch)
        frame = mixed(given.pack_rows)
        frame.drop(columns="y").head(1).to_csv(folder / "one.csv", index=False)
        for family in ("lightgbm", "linear"):
            pack(family, frame, folder / family)
            code = (f"import rightfit; m = rightfit.load({str(folder / family)!r}); "
                    "m.predict_one(m.sample[0])")
            found.append(median("load", f"{family}: load and first prediction, process", wall(python(code))))
            command = program("predict", folder / family, folder / "one.csv", "-o", folder / "out.csv")
            found.append(median("load", f"{family}: rightfit predict of one row, process", wall(command), 1.0))
    return found


def row(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Single rows through predict_one of each boosted family, on 30 columns, in a fresh process."""
    found = []
    frame = mixed(given.pack_rows)
    with tempfile.TemporaryDirectory(prefix="rightfit-speed-") as scratch:
        for family in BOOSTED:
            fit_s = pack(family, frame, Path(scratch) / family)
            figures = probe.probe(Path(scratch) / family)
            for name in ("p50", "p95", "p99"):
                found.append({"part": "row", "what": f"{family}: predict_one {name}", "unit": "ms",
                              "value": figures[f"latency_{name}_ms"], "noisy": figures["noisy"],
                              "note": f"{given.pack_rows} rows, defaults, fitted in {fit_s:.1f} s, "
                                      f"{figures['size_mib']:.2f} MiB, {figures['memory_mib']:.0f} MiB in memory, "
                                      f"{figures['throughput_per_s']:.0f} rows/s"})
    return found


class Enough(Exception):
    """The event that was waited for has come."""


def first(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds from the data being read to a package that can be delivered, and of reading before that."""
    found = []
    for rows in given.first_rows:
        at: dict[str, float] = {}

        def watch(kind: str, fields: Mapping[str, Any], at: dict[str, float] = at) -> None:
            at[kind] = time.monotonic()
            if kind == "baseline":
                raise Enough

        with tempfile.TemporaryDirectory(prefix="rightfit-speed-") as scratch:
            path = Path(scratch) / "rows.csv"
            mixed(rows).to_csv(path, index=False)
            begun = time.monotonic()
            try:
                choose(path, Need(target="y", budget="60s"), out=Path(scratch) / "run", watch=watch)
            except Enough:
                waited = at["baseline"] - at["read"]
                found += [median("first", f"{rows} x 30: reading", [at["read"] - begun]),
                          median("first", f"{rows} x 30: data read to first package", [waited], 5.0)]
    return found


def whole(part: str, rows: int, budget_s: float, keep: Path | None = None) -> list[dict[str, Any]]:
    """One run of the command on a table of 30 columns: wall against budget, memory of the process tree."""
    with tempfile.TemporaryDirectory(prefix="rightfit-speed-") as scratch:
        path, out = Path(scratch) / "rows.csv", keep or Path(scratch) / "run"
        mixed(rows).to_csv(path, index=False)
        begun = time.monotonic()
        process = subprocess.Popen(program("choose", path, "--target", "y", "--budget", f"{budget_s:g}s", "--out", out,
                                           "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tree = Tree(process.pid)
        tree.start()
        printed, said = process.communicate()
        seconds = time.monotonic() - begun
        tree.join(timeout=5)
    what = f"{rows} x 30, budget {budget_s:g} s"
    if process.returncode != 0:
        return [{"part": part, "what": f"{what}: failed", "value": float(process.returncode), "unit": "exit code",
                 "note": said.strip()[-300:]}]
    decision = json.loads(printed)
    chosen = decision["chosen"]
    note = (f"{chosen['family']}, {decision['estimate']['metric']} {decision['estimate']['value']:.4f}, "
            f"{decision['spent']['trials']:.0f} trials, own clock {decision['spent']['wall_s']:.1f} s")
    allowed = max(2.0, 0.02 * budget_s)
    return [{"part": part, "what": f"{what}: wall over budget", "value": seconds - budget_s, "unit": "s",
             "limit": allowed, "note": note},
            {"part": part, "what": f"{what}: peak memory of all processes, shared pages once", "value": tree.pss_mib,
             "unit": "MiB", "limit": LIMIT_MIB, "note": f"{tree.most} processes at most"},
            {"part": part, "what": f"{what}: peak memory of all processes, sum of resident sets",
             "value": tree.rss_mib, "unit": "MiB", "limit": LIMIT_MIB, "note": f"{tree.most} processes at most"}]


def budget(given: argparse.Namespace) -> list[dict[str, Any]]:
    """How far the clock is overrun on 10,000 rows."""
    return [line for seconds in given.budgets or (20.0, 40.0, 60.0) for line in whole("budget", 10_000, seconds)]


def large(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A large table within its budget and 8 GB."""
    return [line for seconds in given.budgets or (120.0,) for line in whole("large", given.rows, seconds, given.keep)]


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "start": start, "load": load, "row": row, "first": first, "budget": budget, "large": large}


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; 0 when every limit was kept."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    words.add_argument("--rows", type=int, default=250_000, help="of the large table")
    words.add_argument("--budgets", type=float, nargs="+", help="seconds, for budget and large")
    words.add_argument("--pack-rows", type=int, default=5000, help="that load and row fit on")
    words.add_argument("--first-rows", type=int, nargs="+", default=[1000, 10_000, 250_000])
    words.add_argument("--keep", type=Path, help="a run folder to keep, for large")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        words.error(f"part must be one of {', '.join(PARTS)}; got part={min(unknown)!r}")
    wrong = 0
    for name in given.parts or PARTS:
        lines = PARTS[name](given)
        for line in lines:
            line["kept"] = int(not line.get("limit") or line["value"] <= line["limit"])
            wrong += not line["kept"] or line["unit"] == "exit code"
            common.show(line)
        new = {line["what"] for line in lines}
        kept = [r for r in common.read_csv("speed", given.out) if r["part"] != name or r["what"] not in new]
        common.write_csv("speed", [*kept, *lines], given.out)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
