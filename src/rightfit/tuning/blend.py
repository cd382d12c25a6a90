"""After the race: finished candidates mixed into further ones, by greedy selection on rows that none of them saw.

Nothing is trained. Weights that a fold is scored with were chosen on the other folds, so that a blend's score is as
honest as that of its members (Caruana et al. 2004, Ensemble Selection from Libraries of Models).
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.metrics import base
from rightfit.records import Candidate, Family, Rule, Task, Trial
from rightfit.store import write_arrays
from rightfit.tuning.board import Board, Entry, common_folds
from rightfit.tuning.settle import settled
from rightfit.tuning.state import Race

STEPS = 25  # of greedy selection, with replacement
SIZES = (3, 8)  # members at most: a small blend that is nearly as cheap as its members, and a large one
KEEP = 0.6  # of the reserve, below which no blend is begun
PARTNERS = 12  # the best candidates, among which a blend selects
ROWS = 20_000  # on which weights are chosen
SOFT = {"binary": "log_loss", "multiclass": "log_loss", "multilabel": "log_loss"}
Part = tuple[Any, list[Any]]


def mix(race: Race) -> None:
    """Add blends of the finished candidates to the board, each of families that are composed."""
    families = [f for f in race.short.families.values() if f.compose is not None]
    entries = members_of(race.board, {f.name for f in families})
    if not families or len(entries) < 2:
        return
    for family in families:
        for size in SIZES:
            if race.clock.left(KEEP * race.reserve) > 0:
                _enter(race, family, entries, size)


def members_of(board: Board, composed: set[str]) -> list[Entry]:
    """The candidates that a blend may be made of, all on the folds that finalists have in common, best first."""
    folds = _shared(board)
    found = [entry for key in board.candidates if key not in board.failed and key not in board.ablations
             and key != board.baseline and not board.candidates[key].steps
             and board.candidates[key].family not in composed and set(folds) <= set(board.folds(key))
             and (entry := board.entry(key, folds)) is not None]
    return sorted(found, key=lambda e: (-board.rank(e), e.candidate.key))[:PARTNERS] if folds else []


def _shared(board: Board) -> tuple[int, ...]:
    """The finalists' folds; where others have finished whole repeats of them only, those repeats."""
    folds = common_folds(board, board.baseline)
    whole = len(folds) // board.per_repeat * board.per_repeat
    return folds[:whole] if whole and folds == tuple(range(len(folds))) else folds


def selected(parts: Sequence[Part], metric: Any, task: Task, most: int) -> Any:
    """Weights (members,) that sum to 1: the member is added, again and again, that helps the mean score most.

    parts: for each fold (y, predictions of every member). The best of all steps counts; at most `most` members.
    """
    members = len(parts[0][1])
    counts, best, kept = np.zeros(members), -np.inf, np.zeros(members)
    for _ in range(STEPS):
        open_to = range(members) if (counts > 0).sum() < most else np.flatnonzero(counts)
        tried = []
        for at in open_to:
            weights = counts.copy()
            weights[at] += 1
            tried.append((_utility(parts, weights / weights.sum(), metric, task), -int(at)))
        value, at = max(tried)
        counts[-at] += 1
        if value > best + 1e-9:
            best, kept = value, counts.copy()
    return kept / kept.sum() if kept.sum() else np.full(members, 1.0 / members)


def _utility(parts: Sequence[Part], weights: Any, metric: Any, task: Task) -> float:
    values = []
    for y, preds in parts:
        pred = sum(w * p for w, p in zip(weights, preds, strict=True) if w > 0)
        values.append(metric.fn(y, base.inputs(metric, pred, task, None), None, task))
    mean = float(np.nanmean(values)) if not np.isnan(values).all() else -np.inf
    return mean if metric.greater_is_better else -mean


def crossed(parts: Sequence[Part], metric: Any, task: Task, most: int) -> list[Any]:
    """For each part its blended prediction, by weights chosen on the other parts; a single part is cut into four."""
    if len(parts) == 1:
        y, preds = parts[0]
        quarters = [np.arange(at, len(y), 4) for at in range(min(4, len(y)))]
        cut = [(y[q], [p[q] for p in preds]) for q in quarters]
        out = np.empty_like(preds[0])
        for q, part in zip(quarters, crossed(cut, metric, task, most) if len(cut) > 1 else [preds[0]], strict=True):
            out[q] = part
        return [out]
    found = []
    for at, (_, preds) in enumerate(parts):
        weights = selected([p for i, p in enumerate(parts) if i != at], metric, task, most)
        found.append(sum(w * p for w, p in zip(weights, preds, strict=True)))
    return found


def thinned(parts: Sequence[Part]) -> list[Part]:
    """At most ROWS rows of all parts together, always the same."""
    return [_thin(part, max(ROWS // len(parts), 1)) for part in parts]


def _thin(part: Part, most: int) -> Part:
    y, preds = part
    if len(y) <= most:
        return part
    keep = np.sort(np.random.default_rng(len(y)).permutation(len(y))[:most])
    return y[keep], [p[keep] for p in preds]


def _enter(race: Race, family: Family, entries: list[Entry], size: int) -> None:
    """One blend: its weights on all folds make the candidate, its folds are scored by weights of the others."""
    board, started = race.board, time.monotonic()
    blobs = blobs_of(board, entries)
    parts = parts_of(board, entries, blobs)
    weights = weighed(board, entries, parts, size)
    candidate, chosen = composed(family, entries, weights)
    if candidate is None or candidate.key in board.candidates:
        return
    inner, folds = [entries[at] for at in chosen], entries[0].folds
    _file(race, candidate, inner, weights[chosen], _scored(board, folds, parts, size), blobs, started)


def blobs_of(board: Board, entries: Sequence[Entry]) -> dict[str, dict[int, Any]]:
    """{candidate: {fold: what it left there}}."""
    return {e.candidate.key: {f: board.store.blob(board.trials[e.candidate.key, f, 1.0].blob) for f in e.folds}
            for e in entries}


def weighed(board: Board, entries: Sequence[Entry], parts: list[Part], most: int) -> Any:
    """The weights (entries,) of the best blend of at most so many; none where the parts do not agree."""
    return selected(thinned(parts), metric_of(board), board.task, most) if parts else np.zeros(len(entries))


def metric_of(board: Board) -> Any:
    """What weights are chosen by: the metric of the task, or one of probabilities where that takes labels."""
    task = board.task
    return board.metric if board.metric.needs != "label" or task.problem not in SOFT else base.find(
        SOFT[task.problem], task.problem)


def parts_of(board: Board, entries: Sequence[Entry], blobs: Mapping[str, Mapping[int, Any]]) -> list[Part]:
    """For each common fold (y, predictions of every entry); none where they were not judged on the same rows."""
    parts: list[Part] = []
    for fold in entries[0].folds:
        each = [blobs[e.candidate.key][fold] for e in entries]
        if any(not np.array_equal(b["rows"], each[0]["rows"]) for b in each):
            return []
        parts.append((board.stage.data.y[each[0]["rows"]], [np.asarray(b["pred"], float) for b in each]))
    return parts


def composed(family: Family, entries: Sequence[Entry], weights: Any) -> tuple[Candidate | None, list[int]]:
    """The blend of the entries with a weight, heaviest first, and their places; None of fewer than two."""
    chosen = [int(at) for at in np.argsort(-weights, kind="stable") if weights[at] > 0]
    if len(chosen) < 2 or family.compose is None:
        return None, chosen
    members = [settled(entries[at].candidate, entries[at].learned) for at in chosen]
    return Candidate(family=family.name, params=family.compose(
        [{"family": m.family, "params": dict(m.params)} for m in members],
        [float(weights[at]) for at in chosen])), chosen


def _scored(board: Board, folds: Sequence[int], parts: list[Part], size: int) -> dict[int, Any]:
    """{fold: blended prediction}, repeats apart: the same rows are left out once in each."""
    found: dict[int, Any] = {}
    few, metric = thinned(parts), metric_of(board)
    for repeat in sorted({fold // board.per_repeat for fold in folds}):
        places = [at for at, fold in enumerate(folds) if fold // board.per_repeat == repeat]
        if len(places) == 1:
            found[folds[places[0]]] = crossed([parts[places[0]]], metric, board.task, size)[0]
            continue
        for at in places:
            weights = selected([few[i] for i in places if i != at], metric, board.task, size)
            found[folds[at]] = sum(w * p for w, p in zip(weights, parts[at][1], strict=True))
    return found


def _told(blob: Mapping[str, Any], rows: Any) -> Any:
    """What a member says of these of its training rows."""
    order = np.argsort(blob["train_rows"])
    return np.asarray(blob["train_pred"], float)[order[np.searchsorted(blob["train_rows"], rows, sorter=order)]]


def _file(race: Race, candidate: Candidate, inner: list[Entry], weights: Any, preds: Mapping[int, Any],
          blobs: Mapping[str, Mapping[int, Any]], started: float) -> None:
    """Put the folds of a blend on the board, with the package of the first made of its members' packages."""
    board = race.board
    hints = packed(race, candidate, inner, weights)
    race.enter(candidate)
    for fold, pred in preds.items():
        each = [blobs[e.candidate.key][fold] for e in inner]
        trained = [board.trials[e.candidate.key, fold, 1.0].measured for e in inner]
        name = f"{candidate.key}-{fold}-1"
        train_rows = functools.reduce(np.intersect1d, (b["train_rows"] for b in each))  # networks answer fewer
        seen = sum(w * _told(b, train_rows) for w, b in zip(weights, each, strict=True))
        write_arrays(board.store.blob_path(name), rows=each[0]["rows"], pred=pred,
                     train_rows=train_rows, train_pred=seen)
        measured = {n: float(sum(t.get(n, 0.0) for t in trained)) for n in ("fit_s", "predict_s")}
        measured |= {"train_rows": trained[0].get("train_rows", 0.0), **(hints if fold == 0 else {})}
        trial = Trial(candidate=candidate, fold=fold, seed=race.need.seed, measured=measured, blob=name,
                      seconds=time.monotonic() - started)
        board.store.record(trial)
        board.add(trial)
        race.watch("finished", {"trial": trial, "leader": race.leader, "left": race.clock.left(race.reserve)})


def packed(race: Race, candidate: Candidate, inner: list[Entry], weights: Any) -> dict[str, float]:
    """The package of the first fold, made of those that the members left, and what it costs; {} where one is gone."""
    from rightfit.package import probe, write
    from rightfit.package.read import load

    homes = [race.folder / "models" / e.candidate.key for e in inner]
    if not all((home / "manifest.json").exists() for home in homes):
        return {}
    joined = _Joined([load(home) for home in homes], homes, [float(w) for w in weights], race.board.task)
    folder = race.folder / "models" / candidate.key
    write.write(joined, folder, task=race.board.task, schema=race.board.stage.data.schema, rule=Rule(),
                candidate=candidate, sample=list(race.board.stage.sample))
    return {name: float(value) for name, value in probe.quick(folder).items()}


class _Joined:
    """Members' packages as one model: they are copied, not trained."""

    def __init__(self, models: list[Any], homes: list[Path], weights: list[float], task: Task) -> None:
        self.models, self.homes, self.weights, self.task = models, homes, weights, task
        self.learned: dict[str, Any] = {}

    def fit(self, data: Any, *, seed: int, deadline: float) -> _Joined:
        """They are trained already."""
        return self

    def predict(self, X: Any) -> Any:
        """The weighted mean of what the packages say."""
        parts = [model.raw_of_coerced(X) for model in self.models]
        return sum(w * p for w, p in zip(self.weights, parts, strict=True))

    def save(self, folder: Any) -> dict[str, Any]:
        """Copy each package's files of the model into a folder of its own."""
        found = []
        for at, (model, home, weight) in enumerate(zip(self.models, self.homes, self.weights, strict=True)):
            inside = Path(folder) / f"member{at}"
            shutil.copytree(home, inside, ignore=shutil.ignore_patterns(*_ENVELOPE))
            found.append({"folder": inside.name, "weight": weight, "meta": model.info["runtime"]})
        return {"runtime": "blend", "members": found}


_ENVELOPE = ("manifest.json", "package.json", "schema.json", "sample.json", "manifest.sig")
