"""What a trial costs beside its fit: CPU seconds of its whole process, by what the fork server has imported for it.

    python benchmarks/trial_cost.py [family ...]

One fold of 600 made rows, trained and predicted in a process of the pool, three times each; the median counts. A pool
is one per program, so each way of importing is measured in a program of its own. Writes results/trial_cost.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common

FAMILIES = ("linear", "knn", "lightgbm", "mlp", "realmlp")
ROWS, TIMES = 600, 3
WAYS = {"libraries": ("trial_cost_libraries",), "and plug-ins": ("rightfit.tuning.preload",),
        "and torch": ("rightfit.tuning.preload", "torch")}


def job(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """A trial, and the CPU seconds of the process that it was all of."""
    import resource

    from rightfit.tuning import trial

    measured = trial.run(payload, deadline)["measured"]
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "fit_s": measured["fit_s"]}


def measured(families: list[str], preload: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """{family: medians} in this program."""
    from rightfit import registry
    from rightfit.data import split
    from rightfit.engines.local import Job, Pool
    from rightfit.records import Candidate, asdict
    from rightfit.tuning import stage

    data, task = registry.plugin("rightfit.data.modalities", "tabular", "modality").example("binary", n=ROWS)
    known, found = registry.plugins("rightfit.models"), dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory(prefix="rightfit-trial-") as place, Pool(1, preload=preload) as pool:
        folds = split.folds(data, task, n_folds=5, repeats=1, seed=0)
        stage.write(Path(place), stage.Stage(data=data, task=task, folds=tuple(folds), sample=()))
        for name in families:
            candidate = Candidate(family=name, params=dict(known[name].defaults))
            payload = {"stage": place, "candidate": asdict(candidate), "fold": 1, "fidelity": 1.0, "seed": 0,
                       "blob": str(Path(place) / "blob.npz"), "package": ""}
            told = []
            for number in range(TIMES):
                pool.submit(Job(key=f"{name}-{number}", function="trial_cost:job", payload=payload))
                outcomes = pool.wait()
                assert outcomes[0].result is not None, outcomes[0].error
                told.append(outcomes[0].result)
            found[name] = {key: statistics.median(one[key] for one in told) for key in ("cpu_s", "fit_s")}
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure each way in a program of its own, and keep."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("families", nargs="*", default=list(FAMILIES))
    words.add_argument("--way", choices=tuple(WAYS), help="only this one, as JSON, nothing kept")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    if given.way:
        print(json.dumps(measured(given.families, WAYS[given.way])))
        return
    rows: list[dict[str, Any]] = []
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(  # of the fork server, which has none of a script's own
        [str(Path(__file__).resolve().parent), *filter(None, [os.environ.get("PYTHONPATH")])])}
    for way in WAYS:
        done = subprocess.run([sys.executable, __file__, *given.families, "--way", way], check=True, text=True,
                              capture_output=True, env=around)
        rows += [{"family": family, "imported": way, "rows": ROWS, **told}
                 for family, told in json.loads(done.stdout.splitlines()[-1]).items()]
    for row in rows:
        common.show(row)
    common.write_csv("trial_cost", rows, given.out)


if __name__ == "__main__":
    main()
