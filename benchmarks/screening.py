"""What screening saves and what it misses: the pick of a run beside every candidate of its short list trained in full.

    RIGHTFIT_DATA=../shared/data python benchmarks/screening.py [set ...] [--budget 240] [--weights FOLDER] [--cap 600]

`exhaustive`: each candidate learns from all training rows, to the end of its own plan, and is scored once on the test
part. `screened`: one run of `rightfit choose` with the same short list. `screen_s` are the seconds of its untrained and
first looks, `share` is what they are of the seconds that training every candidate takes, `race_share` that of the whole
race. `behind` is by how much the pick's own full training is worse on the test part than the best of them all, with the
95 % interval of the rows; `kept_behind` the same of the best that the screening let through. Rows that
results/screening.csv holds are not measured again unless --again; a candidate that is not done after --cap seconds is
scored as it is then, and marked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import common
import numpy as np
import texts

import rightfit as rf
from rightfit import cache, registry
from rightfit.question import Question, ask, examine
from rightfit.records import Candidate, Need, frozen
from rightfit.tuning import shortlist, trial

AIM_SHARE, AIM_BEHIND = 0.10, 0.005
LATE = 0.98  # of the cap, from which on a fit was stopped by it


@frozen
class Given:
    """What a set is made of: training and test part as `choose` takes them, and the metric."""

    train: Any
    test: Any
    metric: str = "accuracy"


def written(name: str, rows: int, home: Path) -> Given:
    """A set of texts, its training part cut to `rows`."""
    import texts_choose

    given = texts.SETS[name]()
    some = np.sort(np.random.default_rng(0).permutation(len(given.train[0]))[:rows])
    train = ([given.train[0][at] for at in some], given.train[1][some])
    return Given(train=texts_choose.frame(train), test=texts_choose.frame(given.test))


def pictured(name: str, rows: int, held: int, home: Path) -> Given:
    """A zip of class folders below train/ and test/, of which so many pictures of each part are drawn."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(common.data_folder() / "images" / f"{name}.zip") as file:
        for part, count in (("train", rows), ("test", held)):
            names = sorted(n for n in file.namelist() if f"{part}/" in n and not n.endswith("/"))
            for at in random.permutation(len(names))[:count]:
                file.extract(names[at], home)
    root = next(path.parent for path in home.rglob("train"))
    return Given(train=str(root / "train"), test=str(root / "test"))


SETS: Mapping[str, Callable[[Path], Given]] = {
    "thucnews 3000": lambda home: written("thucnews_dev", 3000, home),
    "thucnews 10000": lambda home: written("thucnews_dev", 10_000, home),
    "waimai 9500": lambda home: written("waimai_10k", 9_500, home),
    "cifar10 1500": lambda home: pictured("cifar10_20k", 1500, 2000, home),
}


def listed(question: Question) -> tuple[Candidate, ...]:
    """The short list that a run of the same question begins with."""
    assert question.audit is not None
    return shortlist.shortlist(question.task, question.audit, question.need).candidates


def in_full(candidate: Candidate, question: Question, cap: float) -> tuple[dict[str, Any], Any]:
    """A row of a candidate that learned from all training rows, and its predictions of the test part."""
    from rightfit.metrics import interval

    assert question.test is not None
    began, used = time.monotonic(), time.process_time()
    row: dict[str, Any] = {"what": "exhaustive", "candidate": candidate.key, "family": candidate.family,
                           "differs": differs(candidate)}
    try:
        model = trial.fit(candidate, question.data, question.task, seed=0, deadline=began + cap)
        pred = trial.checked(model.predict(question.test.X), len(question.test), question.task)
    except Exception as error:  # a candidate that fails is a row like any other
        return {**row, "error": f"{type(error).__name__}: {error}"[:160], "fit_s": time.monotonic() - began}, None
    value, low, high = interval.bootstrap(question.test.y, pred, pred.argmax(axis=1), question.task.metric,
                                          question.task, seed=0)
    spent = time.monotonic() - began
    return {**row, "value": value, "low": low, "high": high, "fit_s": spent, "cpu_s": time.process_time() - used,
            "cut": "yes" if spent >= LATE * cap else ""}, pred


def differs(candidate: Candidate) -> str:
    """The params of a candidate that are not its family's defaults, but for places."""
    defaults = registry.plugin("rightfit.models", candidate.family, "family").defaults
    return " ".join(f"{k}={v}" for k, v in sorted(candidate.params.items())
                    if defaults.get(k) != v and "/" not in str(v) and k != "fingerprint")


def raced(given: Given, need: Need, home: Path) -> dict[str, Any]:
    """One run: what it picked, what its screening let through, and the seconds of each stage."""
    choice = rf.choose(given.train, need, out=home / "run", test=given.test, overwrite=True)
    done = choice.decision
    stages = {stage["name"]: stage["seconds"] for stage in done.extras["stages"]}
    bare = {t["name"]: Candidate(family=t["family"], params=t["params"]).key for t in done.trials}
    kept = {bare[t["name"]] for t in done.trials if t["folds_done"]}
    picked = (done.chosen or {}).get("name", "")
    return {"what": "screened", "candidate": bare.get(picked, picked), "family": (done.chosen or {}).get("family", ""),
            "kept": " ".join(sorted(kept)), "screen_s": stages.get("untrained", 0.0) + stages.get("look", 0.0),
            "race_s": sum(stages.values()), "delivered": (done.extras.get("test") or {}).get("value"),
            "promised": done.estimate.get("value"), "budget_s": need.budget_s}


def judged(name: str, screened: Mapping[str, Any], rows: list[dict[str, Any]], preds: Mapping[str, Any],
           question: Question) -> dict[str, Any]:
    """The summary of a set: shares of the cost, and distances to the best."""
    from rightfit.metrics import compare

    assert question.test is not None
    scored = {row["candidate"]: float(row["value"]) for row in rows if row["candidate"] in preds}
    best = max(scored, key=lambda key: scored[key])
    whole = sum(float(row["fit_s"]) for row in rows)

    def behind(key: str, pair: bool) -> Any:
        if key not in preds:
            return None
        codes = (preds[best].argmax(axis=1), preds[key].argmax(axis=1))
        found = compare.paired_rows(question.test.y, preds[best], preds[key], question.task.metric, question.task,
                                    codes=codes, seed=0)
        return found if pair else found.difference

    kept = [key for key in str(screened["kept"]).split() if key in scored]
    through = max(kept, key=lambda key: scored[key], default="")
    pick = behind(str(screened["candidate"]), True)
    share = float(screened["screen_s"]) / whole
    return {"set": name, "what": "summary", "candidate": screened["candidate"], "family": screened["family"],
            "candidates": len(rows), "best": best, "best_value": scored[best], "whole_s": whole,
            "screen_s": screened["screen_s"], "share": share, "race_share": float(screened["race_s"]) / whole,
            "behind": pick and pick.difference, "behind_low": pick and pick.low, "behind_high": pick and pick.high,
            "kept_behind": behind(through, False), "delivered": screened["delivered"],
            "aim": f"within {AIM_BEHIND} at {AIM_SHARE:.0%}",
            "reached": "" if pick is None else bool(pick.difference <= AIM_BEHIND and share <= AIM_SHARE)}


def measured(name: str, given: argparse.Namespace) -> None:
    """A set from its first candidate to its summary, each row kept at once; predictions lie in --work."""
    home = given.work / name.replace(" ", "_")
    home.mkdir(parents=True, exist_ok=True)
    data = SETS[name](home / "data")
    need = Need(target=None if isinstance(data.train, str) else "label", metric=data.metric, proposals=0,
                budget=f"{given.budget:g}s", weights=tuple(given.weights), options={"command": ""})
    question = examine(ask(data.train, need, data.test))
    have = {(row["set"], row["what"], row["candidate"]): row for row in common.read_csv("screening", given.out)}
    rows: list[dict[str, Any]] = []
    preds: dict[str, Any] = {}
    with cache.at(home / "cache"):
        for candidate in listed(question):
            kept, file = have.get((name, "exhaustive", candidate.key)), home / f"{candidate.key}.npy"
            if given.again or kept is None or (not kept.get("error") and not file.exists()):
                row, pred = in_full(candidate, question, given.cap)
                kept = {"set": name, **row}
                if pred is not None:
                    np.save(file, pred)
                keep(kept, given.out)
            rows.append(dict(kept))
            if not kept.get("error"):
                preds[candidate.key] = np.load(file)
    screened = have.get((name, "screened", next((k[2] for k in have if k[:2] == (name, "screened")), "")))
    if given.again or screened is None:
        screened = {"set": name, **raced(data, need, home)}
        keep(screened, given.out)
    keep(judged(name, screened, rows, preds, question), given.out)


def keep(row: Mapping[str, Any], out: Path) -> None:
    """Show a row and write it in the place of the one like it: of a run and of a summary there is one for each set."""
    def same(old: Mapping[str, str]) -> bool:
        alike = (old["set"], old["what"]) == (row["set"], row["what"])
        return alike and (row["what"] != "exhaustive" or old["candidate"] == row["candidate"])

    common.show(row)
    common.write_csv("screening", [*(r for r in common.read_csv("screening", out) if not same(r)), row], out)


def main(arguments: list[str] | None = None) -> None:
    """Run the sets that are named, or all."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("sets", nargs="*", metavar="set", help=", ".join(SETS))
    words.add_argument("--budget", type=float, default=240.0, help="seconds of the run that screens")
    words.add_argument("--cap", type=float, default=600.0, help="seconds of one candidate's full training at most")
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--work", type=Path, default=None, help="where predictions are kept between sittings")
    words.add_argument("--again", action="store_true", help="measure what is known too")
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    unknown = set(given.sets) - set(SETS)
    if unknown:
        words.error(f"set must be one of {', '.join(SETS)}; got set={min(unknown)!r}")
    with tempfile.TemporaryDirectory(prefix="rightfit-screening-") as scratch:
        given.work = given.work or Path(scratch)
        for name in given.sets or SETS:
            measured(name, given)


if __name__ == "__main__":
    main()
