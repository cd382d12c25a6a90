"""Before the start: folds are drawn, rows staged, the baseline fitted and made deliverable, old trials taken in."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from rightfit import registry
from rightfit.data import split
from rightfit.data.audit import leaks
from rightfit.metrics import base
from rightfit.records import Candidate, Rule, Trial, asdict
from rightfit.store import Store
from rightfit.tuning import forecast, stage, trial
from rightfit.tuning.board import Board
from rightfit.tuning.clock import Clock
from rightfit.tuning.prepare import Prepare, here
from rightfit.tuning.race import Race, crown
from rightfit.tuning.shortlist import shortlist

BASELINE_S = 5.0


def first_package(question: Any, store: Store, clock: Clock,
                  watch: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Before anything that takes time, a baseline trained on all rows is put where the package will be."""
    import pandas as pd

    from rightfit.package import write

    target = store.folder / "package"
    if target.exists():
        return
    task = question.task
    family = next(f for f in registry.plugins("rightfit.models").values()
                  if f.baseline and f.modality == task.modality and task.problem in f.problems)
    model = family.build(family.defaults, task).fit(question.data, seed=question.need.seed,
                                                    deadline=time.monotonic() + BASELINE_S)
    candidate = Candidate(family=family.name, params=dict(family.defaults))
    write.write(model, target, task=task, schema=question.data.schema, rule=Rule(), candidate=candidate,
                sample=pd.DataFrame(list(question.sample)))
    watch("baseline", {"seconds": clock.spent})


def line_up(question: Any, store: Store, clock: Clock, memory_mib: float,
            watch: Callable[[str, Mapping[str, Any]], None], prepare: Prepare = here) -> Race:
    """A race ready to run; `question` is what was read and understood (see choose.Question)."""
    need, task, data = question.need, question.task, question.data
    n_folds, repeats = split.default_folds(len(data), task)
    if need.folds:
        n_folds, repeats = need.folds, 1
    copies = split.duplicate_groups(data)
    data = data if copies is None else dataclasses.replace(data, groups=copies)
    folds = split.folds(data, task, n_folds=n_folds, repeats=repeats, seed=need.seed)
    at = stage.Stage(data=data, task=task, folds=tuple(folds), sample=question.sample)
    folder = store.folder / "stage"
    folder.mkdir(exist_ok=True)
    stage.write(folder, at)
    short = shortlist(task, question.audit, need, prepare)
    board = Board(task=task, stage=at, store=store, metric=base.find(task.metric, task.problem),
                  per_repeat=max(len(folds) // repeats, 1), baseline=short.baseline.key)
    race = Race(need=need, short=short, board=board, clock=clock, folder=folder, watch=watch, memory_mib=memory_mib,
                earlier=forecast.recall(),
                suspects=tuple(name for name in leaks(question.audit) if name in data.X.columns))
    board.ablations.update(store.meta("ablations", []))
    board.out.update({key: "only measured beside the leader" for key in board.ablations})
    race.proposals, race.since_leader = store.meta("search", [0, 0])
    composed = {name for name, family in short.families.items() if family.compose is not None}
    for old in store.trials():
        if old.candidate.family not in composed:  # made afresh of what the race ends with
            board.add(old)
    watch("shortlisted", {"short": short, "folds": len(folds), "resumed": len(board.trials)})
    for fold in range(len(folds)):
        _baseline(race, short.baseline, fold)
    crown(race)
    return race


def _baseline(race: Race, candidate: Candidate, fold: int) -> None:
    """The baseline needs no process of its own: it is done at once, so that something can always be delivered."""
    board = race.board
    if board.has(candidate.key, fold):
        return
    name = f"{candidate.key}-{fold}-1"
    path = race.folder / "models" / candidate.key
    payload = {"stage": str(race.folder), "candidate": asdict(candidate), "fold": fold, "fidelity": 1.0,
               "seed": race.need.seed, "blob": str(board.store.blob_path(name)),
               "package": str(path) if fold == 0 else ""}
    started = time.monotonic()
    result = trial.run(payload, started + BASELINE_S)
    done = Trial(candidate=candidate, fold=fold, seed=race.need.seed, measured=result["measured"],
                 learned=result["learned"], blob=name, seconds=time.monotonic() - started)
    board.store.record(done)
    board.add(done)
