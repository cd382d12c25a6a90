"""One case of the replay table: a real table, cut to so many rows, staged as `choose` stages it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

from rightfit.data import split
from rightfit.metrics import base
from rightfit.question import ask, examine
from rightfit.records import Candidate, Dataset, Task, asdict
from rightfit.store import read_arrays, write_arrays
from rightfit.tuning import stage as staging
from rightfit.tuning import trial
from rightfit.tuning.settle import settled
from rightfit.tuning.shortlist import Shortlist, shortlist

SHARE = 1 / 3
FOLDS = 5
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclasses.dataclass(slots=True)
class Case:
    """A staged case; `held` are the rows that no fold holds. Utilities are greater when better."""

    name: str
    seed: int
    folder: Path
    task: Task
    stage: staging.Stage
    held: Dataset
    short: Shortlist

    def blob(self, key: str, fold: str, share: float) -> Path:
        """Where the predictions of a line lie."""
        return self.folder / "blobs" / f"{key}-{fold}-{share:g}.npz"

    def utility(self, y: Any, pred: Any) -> float:
        """The metric, turned so that greater is better."""
        metric = base.find(self.task.metric, self.task.problem)
        value = metric.fn(y, base.inputs(metric, pred, self.task, None), None, self.task)
        return float(value) if metric.greater_is_better else -float(value)

    def part(self, candidate: Candidate, fold: int, share: float, deadline: float) -> dict[str, Any]:
        """A trial as the race runs it."""
        blob = self.blob(candidate.key, str(fold), share)
        package = self.folder / "models" / candidate.key
        payload = {"stage": str(self.folder / "stage"), "candidate": asdict(candidate), "fold": fold,
                   "fidelity": share, "seed": self.seed, "blob": str(blob),
                   "package": str(package) if fold == 0 and share == 1.0 else ""}
        found = trial.run(payload, deadline)
        arrays = read_arrays(blob)
        return {**found, "utility": self.utility(self.stage.data.y[arrays["rows"]], arrays["pred"])}

    def whole(self, candidate: Candidate, learned: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        """Trained on all rows, as a refit does it, and scored on the rows held out."""
        import time

        begun = time.monotonic()
        final = settled(candidate, learned)
        model = trial.fit(final, self.stage.data, self.task, seed=trial.seed_of(self.seed, candidate.key, "all"),
                          deadline=deadline)
        spent = time.monotonic() - begun
        pred = trial.checked(model.predict(self.held.X), len(self.held), self.task)
        write_arrays(self.blob(candidate.key, "all", 1.0), pred=pred)
        return {"utility": self.utility(self.held.y, pred), "learned": {},
                "measured": {"fit_s": spent, "train_rows": float(len(self.stage.data))}}


def learned_of(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """What the folds of a candidate learned."""
    return [json.loads(row["learned"]) for row in rows if row["fold"] != "all" and row["learned"]]


def opened(name: str, seed: int, most: int, work: Path) -> Case:
    """The case, staged at its place in `work`; the same call finds the same rows and folds."""
    real = next(common.tables([name]))
    frame, need = common.load(real)
    if len(frame) > most:
        keep = np.sort(np.random.default_rng(seed).permutation(len(frame))[:most])
        frame = frame.iloc[keep].reset_index(drop=True)
    rest, held = common.outer(frame, need, real.problem != "regression", SHARE, seed)
    need = dataclasses.replace(need, metric=METRIC[real.problem], seed=seed, problem=real.problem)
    question = ask(frame.iloc[rest].reset_index(drop=True), need, frame.iloc[held].reset_index(drop=True))
    question = examine(question, (0, 50))
    data, unseen = question.data, question.test
    assert unseen is not None and unseen.y is not None and question.audit is not None
    copies = split.duplicate_groups(data)
    data = data if copies is None else dataclasses.replace(data, groups=copies)
    folds = split.folds(data, question.task, n_folds=FOLDS, repeats=1, seed=seed)
    at = staging.Stage(data=data, task=question.task, folds=tuple(folds), sample=question.sample)
    folder = work / f"{name}-{seed}-{most}"
    (folder / "stage").mkdir(parents=True, exist_ok=True)
    (folder / "blobs").mkdir(exist_ok=True)
    staging.write(folder / "stage", at)
    return Case(name=name, seed=seed, folder=folder, task=question.task, stage=at, held=unseen,
                short=shortlist(question.task, question.audit, need))
