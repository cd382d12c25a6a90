"""Ways of retraining: another rule, the same candidate on newer rows, the champion trained on, a choice made anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import DataError, UsageError
from rightfit.package import LoadedModel, write
from rightfit.records import Candidate, Dataset, Model, Need, Rule, Step, frozen, revive

FIT_S, FEWEST = 600.0, 100
WINDOWS = {"the newest third": 1 / 3, "all rows": 1.0}
Raw = Callable[[Dataset], Any]


@frozen
class Made:
    """What a way came to: raw(rows) is what the model says, rule how that becomes labels; write(folder) packs it."""

    raw: Raw
    rule: Rule
    write: Callable[[Path], None]


Make = Callable[[Dataset, Rule | None], Made]


@frozen
class Way:
    """One way of retraining as it was tried: utility gained over the champion in standard errors `t`, CPU seconds."""

    name: str
    difference: float
    t: float
    seconds: float
    error: str = ""


def ways(model: LoadedModel, until: float | None = None) -> dict[str, Make]:
    """Ways of retraining, the cheapest first, on labelled rows, with a rule that is given or tuned on them.

    until: the newest time that the model knows, on the clock of the rows; training goes on with those after it.
    """
    found: dict[str, Make] = {"recalibrate": lambda rows, rule: recalibrate(model, rows)} \
        if model.task.classifies else {}

    def of(share: float) -> Make:
        return lambda rows, rule: refit(model, rows.take(np.arange(int(len(rows) * (1 - share)), len(rows))), rule)

    found |= {f"refit on {name}": of(share) for name, share in WINDOWS.items()}
    said = model.info["candidate"]
    family = registry.plugins("rightfit.models").get(said["family"])
    if family is not None and family.resume is not None and not said.get("steps"):
        found["go on with the champion"] = lambda rows, rule: onward(model, newer(rows, until), rule)
    return found


def newer(rows: Dataset, until: float | None) -> Dataset:
    """The rows that a model has not seen; all where their clock is not known. Raises DataError for too few."""
    if until is None or rows.time is None:
        return rows
    new = np.flatnonzero(rows.time > until)
    if len(new) < FEWEST:
        raise DataError(f"training goes on with {FEWEST} rows that the champion does not know; got rows={len(new)}, "
                        "wait for more.")
    return rows.take(new)


def recalibrate(model: LoadedModel, rows: Dataset) -> Made:
    """The same model with another threshold and calibration."""
    from rightfit.metrics import conformal, rules

    raw = model.raw_of_coerced(rows.X)
    tuned = rules.tune(rows.y, raw, model.task.metric, model.task)
    rule = conformal.bounded(tuned, rows.y, rules.apply(raw, model.task, tuned)[0], model.task)

    def pack(part: Path) -> None:
        write.install(model.path, part)
        write.restamp(part, rule=rule)

    return Made(raw=lambda some: model.raw_of_coerced(some.X), rule=rule, write=pack)


def refit(model: LoadedModel, rows: Dataset, rule: Rule | None = None) -> Made:
    """The same candidate on other rows; without a rule, one is tuned on their newest fifth by a model of the rest."""
    from rightfit.tuning import trial

    candidate, deadline = _candidate(model), time.monotonic() + FIT_S
    return _made(model, rows, rule, lambda some: trial.fit(candidate, some, model.task, seed=0, deadline=deadline))


def onward(model: LoadedModel, rows: Dataset, rule: Rule | None = None) -> Made:
    """Training goes on from the model itself, so that what it learned from rows that are gone is kept."""
    candidate, deadline = _candidate(model), time.monotonic() + FIT_S
    resume = registry.plugin("rightfit.models", candidate.family, "family").resume

    def fit(some: Dataset) -> Model:
        fitted: Model = resume(candidate.params, model.task, model.path).fit(some, seed=0, deadline=deadline)
        return fitted

    return _made(model, rows, rule, fit)


def _candidate(model: LoadedModel) -> Candidate:
    said = model.info["candidate"]
    return Candidate(family=said["family"], params=said["params"],
                     steps=tuple(revive(Step, step) for step in said.get("steps", ())))


def _made(model: LoadedModel, rows: Dataset, given: Rule | None, fit: Callable[[Dataset], Model]) -> Made:
    from rightfit.metrics import conformal, rules

    rule = given or Rule()
    if given is None and (model.task.classifies or model.task.coverage is not None):
        cut = int(0.8 * len(rows))
        newest = rows.take(np.arange(cut, len(rows)))
        raw = fit(rows.take(np.arange(cut))).predict(newest.X)
        tuned = rules.tune(newest.y, raw, model.task.metric, model.task)
        rule = conformal.bounded(tuned, newest.y, rules.apply(raw, model.task, tuned)[0], model.task)
    fitted = fit(rows)

    def pack(part: Path) -> None:
        write.write(fitted, part, task=model.task, schema=model.schema, rule=rule, candidate=_candidate(model),
                    sample=list(model.sample))

    return Made(raw=lambda some: fitted.predict(some.X), rule=rule, write=pack)


def rows_again(rows: Dataset, model: LoadedModel) -> Any:
    """Coerced rows as a frame that can be chosen on: features, target, and the columns of group and time."""
    import pandas as pd

    task, frame = model.task, rows.X.copy()
    y = np.asarray(rows.y)
    if task.one_label:
        frame[task.target[0]] = np.array(task.classes, object)[y]
    elif task.problem == "ranking":
        frame[task.target[0]] = y[:, 0]
    elif y.ndim == 1:
        frame[task.target[0]] = y
    else:
        frame = pd.concat([frame, pd.DataFrame(y, columns=list(_targets(model)), index=frame.index)], axis=1)
    for name, values in ((task.group, rows.groups), (task.time, rows.time), (task.protected, rows.protected)):
        if name is not None and values is not None:
            frame[name] = values
    return frame


def _targets(model: LoadedModel) -> tuple[str, ...]:
    several = len(model.task.target) > 1
    if model.task.problem == "multilabel" and not several:
        raise UsageError("a new choice needs its labels in columns of their own; got one column of labels, choose by "
                         "hand.")
    return model.task.classes if model.task.problem == "multilabel" else model.task.target


def need_again(model: LoadedModel) -> Need:
    """What was asked when the champion was chosen, as its package tells it: the task and every limit."""
    from rightfit.metrics import base

    task, asked = model.task, dict[str, Any]()
    floors: dict[str, dict[str, float]] = {"at_least": {}, "at_most": {}}
    plain = {"latency_p95_ms": ("max_latency", "{:.12g}ms"), "memory_mib": ("max_memory", "{:.12g}MiB"),
             "size_mib": ("max_size", "{:.12g}MiB"), "throughput_per_s": ("throughput", "{:.12g}/s")}
    for limit in task.limits:
        if limit.name in plain:
            name, form = plain[limit.name]
            asked[name] = form.format(limit.limit)
        elif base.is_metric(limit.name):
            floors[limit.sense][limit.name] = limit.limit
        elif limit.name.endswith("_gap"):
            asked.setdefault("max_gap", {})[limit.name.removesuffix("_gap")] = limit.limit
        else:
            asked["max_cost"] = f"{limit.limit:.12g}{limit.name.split('_')[1].upper()}/month"
    if task.serving is not None:
        served = task.serving
        asked |= {"traffic": f"{served.traffic_per_s:.12g}/s", "provider": served.provider, "region": served.region,
                  "peak": None if served.peak_per_s is None else f"{served.peak_per_s:.12g}/s"}
    added = registry.plugins("rightfit.data.column_kinds")
    kinds = {c.name: c.kind for c in model.schema.features if c.kind not in added}
    target = task.target[0] if len(task.target) == 1 else task.target
    return Need(target=target, metric=task.metric, modality=task.modality, problem=task.problem, kinds=kinds,
                keep=tuple(c.name for c in model.schema.features), group=task.group, time=task.time,
                protected=task.protected, positive=task.classes[-1] if task.problem == "binary" else None,
                at_least=floors["at_least"], at_most=floors["at_most"], quantiles=task.quantiles,
                monotone=task.monotone, order=task.classes if task.problem == "ordinal" else (),
                coverage=task.coverage, **asked)
