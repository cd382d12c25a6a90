"""Pictures through `choose` within a budget, on real sets with their official splits: promised, reached, and what for.

    python benchmarks/images.py [case ...] [--budget 600] [--weights FOLDER] [--out FOLDER]

Each case is one run of the command. `value` is the delivered package's score on the official test part with its 95 %
interval; without a test part the estimate of the run, by cross-validation. `goal` is what was aimed at, `peers` what
others have published, on the data named there. cpu_s counts the processor seconds of all processes of the run: on a
machine that others use a budget buys less than load_1m 1 would. The imbalance case trains the same network with and
without each treatment. A row of the same case and budget is replaced. Writes benchmarks/results/images.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

from rightfit.records import Step, frozen

STAGES = ("untrained", "look", "folds", "beside")


@frozen
class Case:
    """One run: the zip below images/, what the command is given beside it, the goals, and what peers reach.

    `frozen`: the goal of fixed pretrained features under a head.
    """

    data: str
    words: tuple[str, ...] = ()
    goal: float = 0.0
    frozen: float = 0.0
    peers: str = ""


CIFAR = "MobileNetV2 frozen 0.869, fine-tuned 0.91 (full set); ResNet-20 from scratch 0.917 (full set)"
TRASH = "SVM 0.63, fine-tuned CNN 0.889 to 0.935 (full set)"
BRAIN = "test accuracy 0.75 to 0.80 (full training set)"
CASES = {
    "cifar10": Case(data="cifar10_20k", goal=0.84, frozen=0.80, peers=CIFAR),
    "trashnet": Case(data="trashnet_60perclass", words=("--folds", "5"), goal=0.80, peers=TRASH),
    "flowers5": Case(data="flowers5_128px", goal=0.85, peers="MobileNetV2 0.75"),
    "brain_mri": Case(data="brain_mri_imbalanced", words=("--metric", "balanced_accuracy"), peers=BRAIN)}

REPEATED, WEIGHED = Step(name="oversample", params={"share": 1.0}), Step(name="class_weight", params={"power": 1.0})
TREATED: dict[str, tuple[Step, ...]] = {"untreated": (), "class_weight": (WEIGHED,), "oversample": (REPEATED,),
                                        "label rule": (), "class_weight, label rule": (WEIGHED,),
                                        "oversample, label rule": (REPEATED,)}


def run(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """One case through the command, as a user would."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="rightfit-images-") as scratch:
        weights = [word for place in given.weights for word in ("--weights", place)]
        data = common.data_folder() / "images" / f"{case.data}.zip"
        command = [sys.executable, "-m", "rightfit", "choose", str(data), "--budget", f"{given.budget:g}s", *case.words,
                   *weights, "--out", str(Path(scratch) / "run"), "--json"]
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tree = common.Tree(process.pid)
        tree.start()
        printed, said = process.communicate()
        wall = time.monotonic() - begun
        tree.join(timeout=5)
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}: {said.strip()[-500:]}")
    done = json.loads(printed)
    return [{"case": name, "what": "chosen", "budget_s": given.budget, "wall_s": wall, "cpu_s": tree.cpu_s,
             "peak_mib": tree.pss_mib, **reached(done), "goal": case.goal or "", "peers": case.peers,
             **spent(done)}, *families(name, case, given.budget, done)]


def families(name: str, case: Case, budget: float, done: dict[str, Any]) -> list[dict[str, Any]]:
    """The best candidate of each family on left-out rows of the same run."""
    found: dict[str, dict[str, Any]] = {}
    for t in done["trials"]:
        value = (t.get("metric") or {}).get("value") if t["state"] == "ok" else None
        if value is not None and value > found.get(t["family"], {"value": -float("inf")})["value"]:
            found[t["family"]] = {"case": name, "what": f"best {t['family']}", "budget_s": budget,
                                  "family": t["family"], "metric": done["estimate"]["metric"],
                                  "on": "left-out rows", **{k: t["metric"].get(k) for k in ("value", "low", "high")},
                                  "goal": case.frozen or "" if t["family"] == "frozen" else ""}
    return list(found.values())


def reached(done: dict[str, Any]) -> dict[str, Any]:
    """What a decision promised, and what its package scored where there was a test part."""
    chosen, promised, test = done["chosen"], done["estimate"], done.get("extras", done).get("test") or {}
    found = test or promised
    tried = {t["family"] for t in done["trials"] if t["state"] == "ok"}
    return {"family": chosen["family"], "network": chosen["params"].get("network", ""),
            "steps": " ".join(step["name"] for step in chosen.get("steps", ())), "metric": promised["metric"],
            "on": f"test, {test['rows']} rows" if test else f"left-out rows, {promised['n']}",
            "value": found["value"], "low": found["low"], "high": found["high"], "promised": promised["value"],
            "promised_low": promised["low"], "promised_high": promised["high"],
            "p50_ms": done["measured"]["latency_p50_ms"], "size_mib": done["measured"]["size_mib"],
            "families": " ".join(sorted(tried))}


def spent(done: dict[str, Any]) -> dict[str, Any]:
    """Seconds of all processes in each stage of the race, and how many candidates each took in and out."""
    found: dict[str, Any] = {}
    for stage in done.get("extras", done).get("stages") or ():
        found[f"{stage['name']}_s"] = round(stage["seconds"], 1)
        found[stage["name"]] = f"{stage['candidates']} in, {stage['removed']} out"
    return {key: found.get(key, "") for name in STAGES for key in (f"{name}_s", name)}


TREATABLE: dict[str, dict[str, Any]] = {"frozen": {}, "cnn": {"size": 64, "early_stopping": False}}
UNEQUAL = {f"imbalance {family}": family for family in TREATABLE}


def imbalance(family: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Macro recall of the same network with and without each treatment of the imbalance, on brain MRI's test part.

    `promised` is that of rows left out of fitting, their label rule tuned on all of them.
    """
    from rightfit import cache, registry
    from rightfit.choose import ask
    from rightfit.metrics import base, interval, rules
    from rightfit.records import Candidate, Need
    from rightfit.tuning import trial

    weights = tuple(given.weights)
    found = []
    with tempfile.TemporaryDirectory(prefix="rightfit-images-") as scratch, cache.at(scratch):
        need = Need(metric="balanced_accuracy", weights=weights)
        asked = ask(str(common.data_folder() / "images" / "brain_mri_imbalanced.zip"), need)
        metric = base.find("balanced_accuracy", asked.task.problem)
        spec = registry.plugin("rightfit.models", family, "family")
        full = {**spec.defaults, **TREATABLE[family]}
        full = dict(spec.prepare(full, asked.task, need)) if spec.prepare else full
        plain = None
        for what, steps in TREATED.items():
            candidate = Candidate(family=family, params=full, steps=steps)
            begun = time.process_time()
            model = trial.fit(candidate, asked.data, asked.task, seed=0, deadline=time.monotonic() + given.budget)
            pred, out = model.predict(asked.test.X), _out_of_fold(candidate, asked, given.budget)
            rule = rules.tune(asked.data.y, out, metric, asked.task) if "label rule" in what else None
            codes = base.labels(pred, asked.task, rule) if rule else pred.argmax(axis=1)
            value, low, high = interval.bootstrap(asked.test.y, pred, codes, metric, asked.task, seed=0)
            inside = base.labels(out, asked.task, rule) if rule else out.argmax(axis=1)
            within = rules.of_rows(metric, asked.data.y, out, inside, np.arange(len(out)), asked.task)
            plain = value if plain is None else plain
            found.append({"case": f"brain_mri {family}", "what": what, "budget_s": given.budget, "family": family,
                          "cpu_s": time.process_time() - begun, "network": full.get("network", ""),
                          "metric": "balanced_accuracy", "on": f"test, {len(asked.test)} rows", "value": value,
                          "low": low, "high": high, "promised": within, "gain": value - plain, "goal": "",
                          "peers": BRAIN})
    return found


HEADS: dict[str, dict[str, Any]] = {"frozen alone": {}, "frozen alone, hidden layer": {"head": "mlp"}}
ALONE = {f"{name} frozen": name for name, case in CASES.items() if case.goal}


def alone(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The family of fixed features under two heads, fitted without a deadline: on the test part, else by 5 folds."""
    from rightfit import cache, registry
    from rightfit.choose import ask
    from rightfit.metrics import interval
    from rightfit.records import Candidate, Need
    from rightfit.tuning import trial

    case, need, found = CASES[name], Need(metric="accuracy", weights=tuple(given.weights)), []
    with tempfile.TemporaryDirectory(prefix="rightfit-images-") as scratch, cache.at(scratch):
        asked = ask(str(common.data_folder() / "images" / f"{case.data}.zip"), need)
        spec = registry.plugin("rightfit.models", "frozen", "family")
        for what, chosen in HEADS.items():
            begun, used = time.monotonic(), time.process_time()
            params = dict(spec.prepare({**spec.defaults, **chosen}, asked.task, need))
            candidate = Candidate(family="frozen", params=params)
            if asked.test is None:
                y, pred = asked.data.y, _out_of_fold(candidate, asked, 3600)
            else:
                model = trial.fit(candidate, asked.data, asked.task, seed=0, deadline=time.monotonic() + 3600)
                y, pred = asked.test.y, model.predict(asked.test.X)
            value, low, high = interval.bootstrap(y, pred, pred.argmax(axis=1), "accuracy", asked.task, seed=0)
            on = f"test, {len(y)} rows" if asked.test is not None else f"left-out rows, {len(y)}, 5 folds"
            found.append({"case": name, "what": what, "budget_s": 0, "wall_s": time.monotonic() - begun,
                          "cpu_s": time.process_time() - used, "family": "frozen", "network": params["network"],
                          "metric": "accuracy", "on": on, "value": value, "low": low, "high": high,
                          "goal": case.frozen or case.goal, "peers": case.peers})
    return found


def _out_of_fold(candidate: Any, asked: Any, budget: float) -> Any:
    """Probabilities (n, k) of rows left out of fitting, by 5 folds."""
    from rightfit.data import split
    from rightfit.tuning import trial

    pred = np.zeros((len(asked.data), len(asked.task.classes)))
    for train, valid in split.folds(asked.data, asked.task, n_folds=5, repeats=1, seed=0):
        model = trial.fit(candidate, asked.data.take(train), asked.task, seed=0, deadline=time.monotonic() + budget)
        pred[valid] = model.predict(asked.data.X.iloc[valid].reset_index(drop=True))
    return pred


def main(arguments: list[str] | None = None) -> None:
    """Run the cases; each is written as soon as it is done."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("cases", nargs="*", metavar="case", help=", ".join([*CASES, *ALONE, *UNEQUAL]))
    words.add_argument("--budget", type=float, default=600.0, help="seconds of each run")
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    unknown = set(given.cases) - {*CASES, *ALONE, *UNEQUAL}
    if unknown:
        words.error(f"case must be one of {', '.join([*CASES, *ALONE, *UNEQUAL])}; got case={min(unknown)!r}")
    for name in given.cases or [*CASES, *ALONE, *UNEQUAL]:
        lines = imbalance(UNEQUAL[name], given) if name in UNEQUAL else \
            alone(ALONE[name], given) if name in ALONE else run(name, given)
        new = {(line["case"], line["what"], f"{line['budget_s']:.6g}") for line in lines}
        kept = [row for row in common.read_csv("images", given.out)
                if (row["case"], row["what"], row["budget_s"]) not in new]
        for line in lines:
            common.show(line)
        common.write_csv("images", [*kept, *lines], given.out)


if __name__ == "__main__":
    main()
