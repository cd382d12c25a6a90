"""What happens inside a trial's process: fit on a fold, predict the rows left out, package, measure.

Every function here takes a JSON payload and a deadline and returns a JSON result, so that any engine can run it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rightfit import cache, registry, trace
from rightfit.errors import RightfitError
from rightfit.records import Candidate, Dataset, Family, Model, Rule, Task, revive
from rightfit.resources.threads import worth
from rightfit.store import write_arrays
from rightfit.tuning import stage as staging
from rightfit.tuning import steps

TRAIN_SAMPLE = 3000  # rows on which the over-fit gap is measured
LOOK_ROWS = 1000  # left-out rows that tell a network's first look apart to within three points
DEAR_SAMPLE = 300  # the over-fit gap of a network's first look
SCREEN_ROWS = 64  # for an untrained model to take its shapes from
CUT = 0.95  # of the time given, from which on a fit was cut by it


class InvalidPrediction(RightfitError):
    """A model predicted something that is no prediction."""


def seed_of(*parts: object) -> int:
    """A seed from what is being done, not from when: hash of the parts, 31 bits.

    >>> seed_of(0, "tree", 1) == seed_of(0, "tree", 1) != seed_of(0, "tree", 2)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little") & 0x7FFFFFFF


def fit(candidate: Candidate, data: Dataset, task: Task, *, seed: int, deadline: float) -> Model:
    """Apply the candidate's treatments to the training rows, build its family, fit it, and compress the result."""
    before, after = steps.divided(candidate.steps)
    treated, params = data, steps.retrained(candidate.params, after)
    for step in before:
        treatment = registry.plugin("rightfit.data.treatments", step.name, "treatment")
        treated = treatment.apply(treated, step.params, seed)
    family = registry.plugin("rightfit.models", candidate.family, "family")
    model: Model = family.build(params, task)
    return steps.finished(model.fit(treated, seed=seed, deadline=deadline), after, data, task, seed)


def hastened(candidate: Candidate, family: Family) -> tuple[Candidate, float]:
    """The candidate as a first look trains it, for a share of its epochs, and what share that is of its work.

    >>> from rightfit import registry
    >>> family = registry.plugin("rightfit.models", "textcnn", "family")
    >>> some, share = hastened(Candidate(family="textcnn", params={"epochs": 10}), family)
    >>> some.params, share
    ({'epochs': 5}, 0.5)
    """
    params = {**family.defaults, **candidate.params}
    if family.haste == 1.0 or "epochs" not in params:
        return candidate, 1.0
    fewer: dict[str, Any] = {name: max(round(family.haste * params[name]), min(params[name], 1))
                             for name in ("epochs", "freeze_epochs") if name in params}
    return replace(candidate, params={**candidate.params, **fewer}), fewer["epochs"] / max(params["epochs"], 1)


def checked(pred: Any, rows: int, task: Task) -> Any:
    """The prediction as float array of the promised shape. Raises InvalidPrediction for anything else."""
    import numpy as np

    pred = np.asarray(pred, dtype=np.float64)
    width = len(task.classes) if task.classifies else task.outputs
    wanted = {(rows, width)} | ({(rows,)} if not task.classifies and width == 1 else set())
    if pred.shape not in wanted:
        raise InvalidPrediction(f"predictions must have shape {(rows, width)}; got shape={pred.shape}.")
    if not np.isfinite(pred).all():
        raise InvalidPrediction(f"predictions must be finite; got {int((~np.isfinite(pred)).sum())} that are not.")
    return pred.reshape(rows) if pred.ndim == 2 and not task.classifies and width == 1 else pred


def subsample(rows: Any, share: float, seed: int, ordered: bool) -> Any:
    """A share of the training rows, (m,) positions in their order; the most recent ones when time orders them."""
    import numpy as np

    if share >= 1:
        return rows
    keep = max(int(len(rows) * share), min(len(rows), 20))
    if ordered:
        return rows[-keep:]
    return np.sort(np.random.default_rng(seed).permutation(rows)[:keep])


def answered(family: Family, rows: int, valid: int, fidelity: float) -> tuple[int, int]:
    """(left-out rows, training rows) that a trial predicts of so many: of a network's first look a part tells enough.

    A network takes as long to answer some thousand rows as to learn from a quarter of them.
    """
    if family.untrained is None:
        return valid, min(TRAIN_SAMPLE, rows)
    if fidelity < 1.0:
        return min(valid, LOOK_ROWS), min(DEAR_SAMPLE, rows)
    return valid, min(TRAIN_SAMPLE, rows, max(valid // 3, DEAR_SAMPLE))


Work = Callable[[Mapping[str, Any], float], dict[str, Any]]


def cached(work: Work) -> Work:
    """The job, sharing the rows that its run keeps (see `rightfit.cache`)."""
    @functools.wraps(work)
    def sharing(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        with cache.at(Path(payload["stage"]).parent / cache.FOLDER):
            return work(payload, deadline)

    return sharing


@cached
def run(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """One candidate on one fold; out-of-fold predictions go to `blob`, the fold's package to `package` when named."""
    import numpy as np

    at = staging.read(Path(payload["stage"]))
    candidate = revive(Candidate, payload["candidate"])
    train, valid = at.folds[payload["fold"]]
    train = subsample(train, payload["fidelity"], seed_of(payload["seed"], payload["fold"]), at.data.time is not None)
    data = at.data.take(train)
    seed = seed_of(payload["seed"], candidate.key, payload["fold"])
    family = registry.plugin("rightfit.models", candidate.family, "family")
    judged, sampled = answered(family, len(data), len(valid), payload["fidelity"])
    if judged < len(valid):
        valid = subsample(valid, judged / len(valid), seed_of(payload["seed"], payload["fold"], "look"), False)
    started, shared = time.monotonic(), cache.computing_s()
    tried, work = hastened(candidate, family) if payload.get("look") else (candidate, 1.0)
    with trace.collecting() as history:
        model = _reused(payload, candidate, data, at, seed) or fit(tried, data, at.task, seed=seed,
                                                                   deadline=deadline)
    fitted, shared = time.monotonic() - started, cache.computing_s() - shared
    held = at.data.X.iloc[valid].reset_index(drop=True)
    pred = checked(model.predict(held), len(valid), at.task)
    same = np.random.default_rng(seed_of(payload["seed"], payload["fold"], "seen"))  # the same for all: blends
    some = np.sort(same.permutation(len(data))[:sampled])
    seen = checked(model.predict(data.X.iloc[some].reset_index(drop=True)), len(some), at.task)
    write_arrays(Path(payload["blob"]), rows=valid, pred=pred, train_rows=train[some], train_pred=seen)
    measured = {"fit_s": fitted + payload.get("source_fit_s", 0.0), "shared_s": shared, "work": work,
                "predict_s": time.monotonic() - started - fitted, "train_rows": float(len(train))}
    if payload.get("package"):
        measured |= pack(model, Path(payload["package"]), candidate, at, Rule())
    return {"measured": measured, "learned": model.learned, "history": history}


def _reused(payload: Mapping[str, Any], candidate: Candidate, data: Dataset, at: staging.Stage,
            seed: int) -> Model | None:
    """The compressed model made from the package that the uncompressed one left of the same fold, if it did."""
    after = steps.divided(candidate.steps)[1]
    source = Path(payload.get("source") or "")
    if not after or not payload.get("source") or not (source / "manifest.json").exists():
        return None
    if steps.retrained(candidate.params, after) != dict(candidate.params):
        return None
    return steps.of_package(source, after, data, at.task, seed)


@cached
def screen(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """The package of an untrained model, measured: what training cannot change is known before any training.

    `thorough` measures in a fresh process, memory and throughput too.
    """
    at = staging.read(Path(payload["stage"]))
    candidate = revive(Candidate, payload["candidate"])
    family = registry.plugin("rightfit.models", candidate.family, "family")
    started = time.monotonic()
    few = at.data.take(at.folds[0][0][:SCREEN_ROWS])
    after = steps.divided(candidate.steps)[1]
    bare = family.untrained(steps.retrained(candidate.params, after), at.task, few)
    model = steps.finished(bare, after, few, at.task, 0)
    folder = Path(payload["package"])
    found = pack(model, folder, candidate, at, Rule())
    if payload.get("thorough"):
        from rightfit.package.probe import probe

        found |= {name: float(value) for name, value in probe(folder, repeats=3).items()}
    shutil.rmtree(folder, ignore_errors=True)
    return {"measured": {**found, "screen_s": time.monotonic() - started}}


@cached
def refit(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """The candidate on all rows, written as a package; alone, it may use as many cores as a probe finds free."""
    os.environ["RIGHTFIT_THREADS"] = str(worth(int(payload.get("threads", 1))))
    at = staging.read(Path(payload["stage"]))
    candidate = revive(Candidate, payload["candidate"])
    seed = seed_of(payload["seed"], candidate.key, "all")
    started = time.monotonic()
    model = fit(candidate, at.data, at.task, seed=seed, deadline=deadline)
    fitted = time.monotonic() - started
    hints = pack(model, Path(payload["package"]), candidate, at, revive(Rule, payload["rule"]))
    return {"measured": {"fit_s": fitted, **hints}, "learned": model.learned,
            "cut": fitted >= CUT * (deadline - started)}


def pack(model: Model, folder: Path, candidate: Candidate, at: staging.Stage, rule: Rule) -> dict[str, float]:
    """Write a package and measure it in this process; the figures are hints, the contract is measured afresh."""
    import pandas as pd

    from rightfit.package import probe, write

    write.write(model, folder, task=at.task, schema=at.data.schema, rule=rule, candidate=candidate,
                sample=pd.DataFrame(list(at.sample)))
    return {name: float(value) for name, value in probe.quick(folder).items()}
