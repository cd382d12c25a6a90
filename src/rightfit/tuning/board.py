"""The board: every trial so far, and what it says about every candidate, always on rows left out of fitting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rightfit.metrics import base, fairness, interval, rules
from rightfit.metrics._base import Metric
from rightfit.records import RESOURCES, Candidate, Limit, Task, Trial, frozen
from rightfit.resources import afford
from rightfit.store import Store
from rightfit.tuning.stage import Stage

DRAWS = 200  # bootstrap samples of each fold's rows, the same for every candidate, so that they can be paired
DRAWN = 4e6  # rows x samples of a fold at most


@frozen
class Entry:
    """What is known of one candidate at full fidelity.

    `folds`: finished fold numbers. `utilities` (folds,): metric per fold, greater is better, labels by rules tuned on
    other rows. `draws` (folds, b): the same on bootstrap samples. `rows`, `pred`, `codes`: the left-out rows of
    the first repeat with their (calibrated) predictions and labels. `floors`: metric limits {name: value}.
    `train`: the metric on training rows, for the over-fit gap.
    """

    candidate: Candidate
    folds: tuple[int, ...]
    utilities: Any
    draws: Any
    rows: Any
    pred: Any
    raw: Any
    codes: Any
    rule: Any
    floors: Mapping[str, float]
    train: float
    measured: Mapping[str, float]
    learned: tuple[Mapping[str, Any], ...]

    @property
    def utility(self) -> float:
        """Mean metric over the finished folds, greater is better."""
        known = self.utilities[~np.isnan(self.utilities)]
        return float(known.mean()) if len(known) else float("-inf")


@dataclass(slots=True)
class Board:
    """Mutable: the one place where results arrive. `out` holds why a candidate left the race; `baseline` is a key."""

    task: Task
    stage: Stage
    store: Store
    metric: Metric
    per_repeat: int
    baseline: str = ""
    trials: dict[tuple[str, int, float], Trial] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Trial] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    screened_out: set[str] = field(default_factory=set)
    ablations: set[str] = field(default_factory=set)
    _entries: dict[tuple[str, tuple[int, ...]], Entry] = field(default_factory=dict)
    _quick: dict[tuple[str, tuple[Limit, ...]], float] = field(default_factory=dict)
    _samples: dict[int, Any] = field(default_factory=dict)
    _effects: tuple[Any, dict[int, float]] = field(default_factory=lambda: (None, {}))
    _added: int = 0
    _ranked: tuple[Any, dict[str, Entry]] = field(default_factory=lambda: (None, {}))

    def add(self, trial: Trial) -> None:
        """Take a trial in; a failed one takes its candidate out."""
        key, self._added = trial.candidate.key, self._added + 1
        self.candidates.setdefault(key, trial.candidate)
        self.trials[key, trial.fold, trial.fidelity] = trial
        if trial.state == "timeout" and self.folds(key):
            return  # out of time on a later fold is no fault of a candidate that finished others
        if trial.state != "ok":
            self.failed[key] = trial
            self.out[key] = trial.error or trial.state
            return
        untrained = trial.fold < 0
        slack = SCREEN_SLACK if untrained else HINT_SLACK
        for name, value in broken(self.task.limits, self._priced(trial.measured), slack).items():
            if untrained:
                self.screened_out.add(key)
            self.out.setdefault(key, f"not trained: {name} of the untrained network was {value:.4g}" if untrained else
                                f"{name} of a fold's package was {value:.4g}, far over the limit")

    def has(self, key: str, fold: int, fidelity: float = 1.0) -> bool:
        """Whether this unit of work is finished."""
        return (key, fold, fidelity) in self.trials

    def folds(self, key: str) -> tuple[int, ...]:
        """Finished folds at full fidelity."""
        return tuple(sorted(f for (k, f, share), t in self.trials.items()
                            if k == key and share == 1.0 and t.state == "ok"))

    def entry(self, key: str, folds: tuple[int, ...] | None = None) -> Entry | None:
        """The candidate's entry over its finished folds (or those given), or None before the first."""
        folds = self.folds(key) if folds is None else folds
        if not folds:
            return None
        if (key, folds) not in self._entries:
            done = [self.trials[key, fold, 1.0] for fold in folds]
            self._entries[key, folds] = self._evaluate(self.candidates[key], done)
        return self._entries[key, folds]

    def fit_s(self, entry: Entry) -> float:
        """Seconds that another fit of the candidate will take: those of its quickest fold, less what is kept for all.

        What is computed once for each row and kept, such as embeddings, is paid for by the first fold alone.
        """
        done = [self.trials[entry.candidate.key, fold, 1.0].measured for fold in entry.folds]
        return max(min((m.get("fit_s", 0.0) - m.get("shared_s", 0.0) for m in done), default=0.0), 0.0)

    def entries(self) -> dict[str, Entry]:
        """All entries, best utility first, those that break a metric limit last."""
        known = self._added, len(self.trials), len(self.candidates), self.task.limits
        if self._ranked[0] != known:
            found = {key: entry for key in self.candidates if (entry := self.entry(key)) is not None}
            self._ranked = known, dict(sorted(found.items(), key=lambda item: (-self.rank(item[1]), item[0])))
        return dict(self._ranked[1])

    def quick_utility(self, trial: Trial) -> float:
        """The metric of one trial of any fidelity, greater is better."""
        key = trial.blob, self.task.limits
        if key not in self._quick:
            blob = self.store.blob(trial.blob)
            fitted, _ = crossfit(self.stage.data.y[blob["rows"]], blob["pred"], [len(blob["rows"])], self.metric,
                                 self.task)
            self._quick[key] = self._utility(blob["rows"], fitted, slice(None))
        return self._quick[key]

    def rank(self, entry: Entry) -> float:
        """Utility, far less when a limit is broken: floors as measured, resources as hinted by a fold's package."""
        known = {**entry.measured, **entry.floors}
        missed = sum(shortfall(lim, known[lim.name]) for lim in self.task.limits if lim.name in known)
        return self.level(entry) - (self.penalty * (missed + 1.0) if missed else 0.0)

    def level(self, entry: Entry) -> float:
        """Utility freed of how easy its folds were, so that one lucky fold is no advantage."""
        effects = self._fold_effects()
        return entry.utility - float(np.mean([effects.get(fold, 0.0) for fold in entry.folds]))

    def _fold_effects(self) -> dict[int, float]:
        """Additive fold effects of utility = candidate + fold, by least squares over the cells there are."""
        known = (self._added, len(self.trials))
        if self._effects[0] == known:
            return self._effects[1]
        cells = [(e.candidate.key, fold, value) for key in self.candidates if key != self.baseline
                 and (e := self.entry(key)) is not None
                 for fold, value in zip(e.folds, e.utilities, strict=True) if np.isfinite(value)]
        effects: dict[int, float] = dict.fromkeys({fold for _, fold, _ in cells}, 0.0)
        for _ in range(SWEEPS):
            levels = _means((key, value - effects[fold]) for key, fold, value in cells)
            effects = _means((fold, value - levels[key]) for key, fold, value in cells)
            middle = sum(effects.values()) / max(len(effects), 1)
            effects = {fold: value - middle for fold, value in effects.items()}
        self._effects = (known, effects)
        return effects

    @property
    def penalty(self) -> float:
        """More than any two candidates differ in utility."""
        known = [abs(e.utility) for e in self._entries.values() if np.isfinite(e.utility)]
        return 10 * max(known, default=1.0) + 1.0

    @property
    def floors(self) -> tuple[Limit, ...]:
        """The limits that are metrics."""
        return tuple(limit for limit in self.task.limits if not limit.name.endswith(RESOURCES))

    def _evaluate(self, candidate: Candidate, done: list[Trial]) -> Entry:
        blobs = [self.store.blob(trial.blob) for trial in done]
        utilities: list[float] = []
        draws: list[Any] = []
        floors: dict[str, list[float]] = {limit.name: [] for limit in self.floors}
        shown: dict[str, Any] = {}
        for repeat in sorted({trial.fold // self.per_repeat for trial in done}):
            inside = [b for t, b in zip(done, blobs, strict=True) if t.fold // self.per_repeat == repeat]
            rows = np.concatenate([blob["rows"] for blob in inside])
            raw = np.concatenate([blob["pred"] for blob in inside])
            fitted, parts = crossfit(self.stage.data.y[rows], raw, [len(b["rows"]) for b in inside], self.metric,
                                     self.task)
            for part, trial in zip(parts, (t for t in done if t.fold // self.per_repeat == repeat), strict=True):
                utilities.append(self._utility(rows, fitted, part))
                draws.append(self._drawn(rows[part], fitted, part, trial.fold))
            for name in floors:
                floors[name].append(self._floor(name, rows, fitted))
            if not shown:
                shown = {"rows": rows, "pred": fitted.pred, "raw": raw, "codes": fitted.codes, "rule": fitted.rule}
        train = [self._seen(blob, shown["rule"]) for blob in blobs]
        names = {name for trial in done for name in trial.measured}
        measured = {n: float(np.mean([t.measured[n] for t in done if n in t.measured])) for n in names}
        measured = self._priced(measured)
        return Entry(candidate=candidate, folds=tuple(t.fold for t in done), utilities=np.array(utilities),
                     draws=np.array(draws), floors={n: float(np.mean(v)) for n, v in floors.items()},
                     train=float(np.mean(train)), measured=measured, learned=tuple(t.learned for t in done), **shown)

    def _priced(self, measured: Mapping[str, float]) -> dict[str, float]:
        """What was measured, and what serving costs at least: memory that is not known yet counts as none."""
        return afford.priced(self.task.serving, self.task.limits, measured)

    def _drawn(self, rows: Any, fitted: Any, part: Any, fold: int) -> Any:
        """The metric of a fold on bootstrap samples of its rows, or groups, (b,), greater is better."""
        weights = self._weights(fold, rows)
        codes = None if fitted.codes is None else fitted.codes[part]
        seen, y = base.inputs(self.metric, fitted.pred[part], self.task, codes), self.stage.data.y[rows]
        if self.metric.many is not None:
            values = self.metric.many(y, seen, self.task)(weights)
        else:
            values = np.array([self.metric.fn(y, seen, row, self.task) for row in weights])
        return values if self.metric.greater_is_better else -values

    def _weights(self, fold: int, rows: Any) -> Any:
        """How often each row of a fold is drawn (b, n): the same for all candidates."""
        if fold not in self._samples:
            longest = max(len(valid) for _, valid in self.stage.folds)
            count = int(np.clip(DRAWN / max(longest, 1), 40, DRAWS if self.metric.many is not None else 40))
            groups = self.stage.data.groups
            codes = None if groups is None else np.unique(groups[rows], return_inverse=True)[1]
            self._samples[fold] = interval.draws(np.random.default_rng([fold, len(rows)]), count, len(rows), codes)
        return self._samples[fold]

    def _seen(self, blob: Mapping[str, Any], rule: Any) -> float:
        """The metric on rows that were fitted on."""
        pred, codes = rules.apply(blob["train_pred"], self.task, rule)
        return rules.of_rows(self.metric, self.stage.data.y[blob["train_rows"]], pred, codes,
                             np.arange(len(pred)), self.task)

    def _score(self, metric: Metric, rows: Any, fitted: Any, part: Any) -> float:
        positions = np.arange(len(rows))[part]
        return rules.of_rows(metric, self.stage.data.y[rows], fitted.pred, fitted.codes, positions, self.task)

    def _floor(self, name: str, rows: Any, fitted: Any) -> float:
        """A limited metric, or gap between protected groups, on left-out rows."""
        if base.is_metric(name):
            return self._score(base.find(name), rows, fitted, slice(None))
        said = fitted.pred.reshape(len(rows)) if fitted.codes is None else fitted.codes
        return fairness.gap(name, self.stage.data.y[rows], said, self.stage.data.protected[rows], self.task)

    def _utility(self, rows: Any, fitted: Any, part: Any) -> float:
        value = self._score(self.metric, rows, fitted, part)
        return value if self.metric.greater_is_better else -value


SURE = 4.0  # corrected standard errors, beyond which a lead on few folds is no luck


def leader_of(board: Board) -> Entry | None:
    """Best ranked entry still in the race among those with at least half of the folds that anyone has.

    One with fewer folds leads when it is ahead of that one beyond doubt on the folds they share: what is slow is not
    left behind by what is quick.
    """
    inside = {key: entry for key, entry in board.entries().items() if key not in board.out}
    families = {key: len(entry.folds) for key, entry in inside.items() if key != board.baseline}
    most = max(families.values(), default=0)
    further = next((e for k, e in inside.items() if k == board.baseline or 2 * len(e.folds) >= most), None)
    if further is None:
        return None
    least = board.rank(further)
    return next((e for e in inside.values() if board.rank(e) > least and difference(e, further)[1] > SURE), further)


BEHIND = 0.005  # what a tie may hide (docs/decisions/002)
CHOICE = 3  # finalists, without which those with fewer folds are compared too


def common_folds(board: Board, baseline: str) -> tuple[int, ...]:
    """The folds on which finalists are compared; empty before the first trial. See `finalists`."""
    return finalists(board, baseline)[1]


def finalists(board: Board, baseline: str) -> tuple[list[str], tuple[int, ...]]:
    """(keys best first, the folds that they have in common).

    They are those with all of the leader's folds; where that leaves no choice, those with as many folds as the third
    furthest has. The baseline has all folds. Where a leader has few, whoever is behind it on more folds than these is
    none: a tie on the few would hide it.
    """
    entries = {k: e for k, e in board.entries().items() if k not in board.failed and k not in board.ablations}
    if not entries:
        return [], ()
    leader = leader_of(board)
    kept = [k for k, e in entries.items() if leader is not None and set(leader.folds) <= set(e.folds)]
    if sum(k != baseline for k in kept) < 2:
        counts = sorted((len(e.folds) for k, e in entries.items() if k != baseline), reverse=True)
        enough = counts[min(CHOICE, len(counts)) - 1] if counts else 0
        kept = [k for k, e in entries.items() if len(e.folds) >= enough]
    common = set.intersection(*(set(entries[k].folds) for k in kept))
    if leader is not None and len(common) < board.per_repeat:
        least = board.rank(leader) - BEHIND * (1.0 if np.isfinite(board.metric.high) else abs(leader.utility))
        kept = [k for k in kept if k == baseline or len(entries[k].folds) == len(common)
                or board.rank(entries[k]) >= least]
    return kept, tuple(sorted(common)) if common else (0,)


SWEEPS = 20  # of backfitting; the cells are few
HINT_SLACK = 2.0  # a hint measured beside other trials rejects only what is this far over
SCREEN_SLACK = 1.5  # the same for a network that was not trained yet: a wrong yes costs training, a wrong no a model


def _means(pairs: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    found: dict[Any, list[float]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def crossfit(y: Any, pred: Any, lengths: list[int], metric: Metric, task: Task) -> tuple[Any, list[Any]]:
    """Rules tuned on the other parts: folds, or quarters of the only fold; the parts returned are always the folds."""
    parts = np.split(np.arange(len(y)), np.cumsum(lengths)[:-1])
    inner = parts if len(parts) > 1 else [np.arange(start, len(y), 4) for start in range(min(4, len(y)))]
    return rules.crossfit(y, pred, inner, metric, task), parts


def broken(limits: tuple[Limit, ...], measured: Mapping[str, float], slack: float = 2.0) -> dict[str, float]:
    """Resource limits that a package measured beside other work breaks beyond doubt: {name: value}.

    >>> broken((Limit(name="size_mib", limit=1.0, sense="at_most"),), {"size_mib": 9.0})
    {'size_mib': 9.0}
    """
    found = {}
    for limit in limits:
        value = measured.get(limit.name)
        if value is None:
            continue
        most = 1.0 if limit.name == "size_mib" else slack
        if (value > limit.limit * most) if limit.sense == "at_most" else (value < limit.limit / most):
            found[limit.name] = value
    return found


def shortfall(limit: Limit, value: float | None) -> float:
    """By how much a limit is missed, as a share of the limit; zero when met.

    >>> round(shortfall(Limit(name="recall", limit=0.9, sense="at_least"), 0.81), 3)
    0.1
    """
    if limit.met(value):
        return 0.0
    if value is None or value != value:
        return 1.0
    return abs(value - limit.limit) / max(abs(limit.limit), 1e-12)


def difference(best: Entry, other: Entry) -> tuple[float, float]:
    """How far `other` lies behind `best` on their common folds: (mean, t).

    The standard error is that of paired bootstrap samples of the left-out rows, widened for what training sets share:
    by 1 + J n_valid / n_train over J folds (Nadeau and Bengio 2003).
    """
    common = [fold for fold in best.folds if fold in other.folds]
    if not common:
        return 0.0, 0.0
    mine, theirs = ([e.folds.index(fold) for fold in common] for e in (best, other))
    gaps = best.utilities[mine] - other.utilities[theirs]
    if np.isnan(gaps).all():
        return 0.0, 0.0
    mean = float(np.nanmean(gaps))
    error = spread_of(best.draws[mine] - other.draws[theirs], best)
    return mean, mean / error if error > 0 else (0.0 if mean == 0 else float(np.sign(mean)) * 99.0)


def spread_of(draws: Any, entry: Entry) -> float:
    """The corrected standard error of a mean over folds from its bootstrap samples (folds, b)."""
    known = draws[~np.isnan(draws).all(axis=1)]
    if not len(known):
        return 0.0
    means = np.nanmean(known[:, ~np.isnan(known).all(axis=0)], axis=0)  # a sample of few rows may hold one class
    share = len(entry.rows) / max(len(entry.folds), 1) / max(entry.measured.get("train_rows", 1.0), 1.0)
    return float(np.nanstd(means) * np.sqrt(1 + len(draws) * share))
