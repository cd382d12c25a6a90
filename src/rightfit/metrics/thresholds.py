"""Decision thresholds: every candidate scored in one sort, metric floors and ceilings first, then the metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, Counts, Metric, steps
from rightfit.metrics.base import find, is_metric
from rightfit.metrics.calibration import parts
from rightfit.records import Limit, Rule, Task

_Z95 = 1.6448536269514722
_GRID = 128
_WEIGHT_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_PROPORTIONS: dict[str, Callable[[Counts], tuple[Array, Array]]] = {
    "recall": lambda c: (c.hits[..., -1], c.true[..., -1]),
    "precision": lambda c: (c.hits[..., -1], c.predicted[..., -1]),
    "specificity": lambda c: (c.hits[..., 0], c.true[..., 0]),
    "accuracy": lambda c: (c.hits.sum(axis=-1), c.rows[..., 0]),
}


class Floor(NamedTuple):
    """One limit on a metric."""

    limit: Limit
    metric: Metric

    def slack(self, values: Array) -> Array:
        """How far values are on the good side, negative when the limit is missed; nan counts as missed by far."""
        gap = values - self.limit.limit if self.limit.sense == "at_least" else self.limit.limit - values
        return np.where(np.isnan(gap), -1e9, gap)

    @property
    def share(self) -> float:
        """The quantile that is the one-sided 95 % bound on the bad side."""
        return 0.05 if self.limit.sense == "at_least" else 0.95


def metric_floors(task: Task) -> tuple[Floor, ...]:
    """The task's limits whose name is a metric of rightfit or module:function."""
    return tuple(Floor(limit, find(limit.name, task.problem)) for limit in task.limits if is_metric(limit.name))


def wilson(successes: Array, trials: Array, z: float = _Z95) -> tuple[Array, Array]:
    """Wilson score bounds (low, high) of a proportion; one-sided 95 % each by default (Wilson 1927); nan for none.

    >>> [round(float(v), 3) for v in wilson(np.array(9.0), np.array(10.0))]
    [0.652, 0.977]
    """
    n = np.where(trials > 0, trials, np.nan)
    p = successes / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def sweep(y: Array, p: Array) -> tuple[Array, Counts]:
    """Every threshold that makes a difference, falling (m,), and the Counts (m, 2) of `p >= threshold`; O(n log n).

    Thresholds lie half-way between neighbouring probabilities; the first predicts nothing positive, the last
    everything.
    """
    order, ends = steps(p)
    falling = p[order][ends]
    middle = (falling[:-1] + falling[1:]) / 2
    top = falling[0] + max((1.0 - falling[0]) / 2, 1e-9)
    thresholds = np.concatenate([[top], np.where(middle <= falling[1:], falling[:-1], middle), [min(0.0, falling[-1])]])
    hits = np.concatenate([[0.0], np.cumsum(y[order] == 1)[ends]])
    chosen = np.concatenate([[0.0], ends + 1.0])
    return thresholds, binary_counts(hits, chosen, float((y == 1).sum()), float(len(y)))


def binary_counts(hits: Array, chosen: Array, positives: float, n: float) -> Counts:
    """Counts (m, 2) from the positive class's hits (m,) and how many rows were called positive (m,)."""
    true = np.broadcast_to([n - positives, positives], (len(hits), 2))
    return Counts(np.stack([n - positives - chosen + hits, hits], axis=1), true,
                  np.stack([n - chosen, chosen], axis=1), np.full((len(hits), 1), n))


def pick(worth: Array, floors: Sequence[tuple[Floor, Array, Array]], distance: Array) -> int:
    """The best candidate: of those surely within every floor the worthiest; else of those within, the surest; else
    the nearest.

    worth (m,): more is better. floors: (floor, values (m,), bounds (m,)). distance (m,): settles ties, less is
    better.
    """
    worth = np.where(np.isnan(worth), -np.inf, worth)
    if floors:
        sure = np.min([floor.slack(bounds) for floor, _, bounds in floors], axis=0)
        met = np.min([floor.slack(values) for floor, values, _ in floors], axis=0)
        if (sure >= 0).any():
            worth = np.where(sure >= 0, worth, -np.inf)
            distance = np.where(sure >= 0, distance, np.inf)
        elif (met >= 0).any():
            worth = np.where(met >= 0, sure, -np.inf)
        else:
            worth = -np.sum([np.maximum(-floor.slack(values), 0) / max(abs(floor.limit.limit), 1e-9)
                             for floor, values, _ in floors], axis=0)
    best = worth >= worth.max() - 1e-12 * max(1.0, abs(worth.max()) if np.isfinite(worth.max()) else 1.0)
    return int(np.flatnonzero(best)[np.argmin(distance[best])])


def _bounds(floor: Floor, counts: Counts, values: Array, some: Array, task: Task) -> Array:
    """One-sided 95 % bounds (m,) of a floor's metric over candidates; `some`: positions that are bootstrapped."""
    name = floor.metric.name
    if name in _PROPORTIONS:
        low, high = wilson(*_PROPORTIONS[name](counts))
        return low if floor.limit.sense == "at_least" else high
    at = Counts(*(side[some] for side in counts))
    n = float(at.rows[0, 0])
    tp, tn = at.hits[:, 1], at.hits[:, 0]
    cells = np.stack([tp, at.true[:, 1] - tp, at.predicted[:, 1] - tp, tn], axis=1) / n
    drawn = np.random.default_rng(0).multinomial(int(n), cells, size=(200, len(some))).astype(float)
    hit, missed, false, left = np.moveaxis(drawn, -1, 0)
    again = Counts(np.stack([left, hit], -1), np.stack([left + false, hit + missed], -1),
                   np.stack([left + missed, hit + false], -1), np.full((*hit.shape, 1), n))
    return _carried(values, some, quantile(_from_counts(floor.metric, again, task), floor.share))


def _from_counts(metric: Metric, counts: Counts, task: Task) -> Array:
    if metric.counts is None:
        raise UsageError(f"a metric must be computable from counts to be swept; got metric={metric.name!r}.")
    return np.asarray(metric.counts(counts, task))


def quantile(draws: Array, share: float) -> Array:
    """The quantile over the first axis of what is defined; nan where nothing is."""
    known = ~np.isnan(draws).all(axis=0)
    out = np.full(draws.shape[1:], np.nan)
    out[known] = np.nanquantile(draws[:, known], share, axis=0)
    return out


def _carried(values: Array, some: Array, bounds: Array) -> Array:
    """Bounds known at some positions, carried over to all as a margin below or above the value."""
    margin = bounds - values[some]
    known = ~np.isnan(margin)
    if not known.any():
        return np.full(len(values), np.nan)
    return np.asarray(values + np.interp(np.arange(len(values)), some[known], margin[known]))


class _Candidates(NamedTuple):
    """Thresholds (m,) with the objective's worth (m,) and every floor's values and bounds (m,)."""

    thresholds: Array
    worth: Array
    floors: list[tuple[Floor, Array, Array]]


def _candidates(y: Array, p: Array, objective: Metric | None, floors: Sequence[Floor], task: Task) -> _Candidates:
    thresholds, counts = sweep(y, p)
    metrics = [floor.metric for floor in floors] + ([objective] if objective else [])
    if any(metric.counts is None for metric in metrics):
        keep = _spread(len(thresholds), _GRID // 2)
        thresholds, counts = thresholds[keep], Counts(*(side[keep] for side in counts))
    some = _spread(len(thresholds), _GRID)
    codes = [(p >= t).astype(np.int64) for t in thresholds] if any(m.counts is None for m in metrics) else []

    def values(metric: Metric) -> Array:
        if metric.counts is not None:
            return _from_counts(metric, counts, task)
        return np.array([metric.fn(y, code, None, task) for code in codes])

    held = []
    for floor in floors:
        value = values(floor.metric)
        swept = floor.metric.counts is not None
        bound = _bounds(floor, counts, value, some, task) if swept else row_bounds(floor, y, codes, value, task)
        held.append((floor, value, bound))
    worth = np.zeros(len(thresholds)) if objective is None else values(objective)
    return _Candidates(thresholds, worth if objective is None or objective.greater_is_better else -worth, held)


def _spread(m: int, most: int) -> Array:
    return np.unique(np.linspace(0, m - 1, min(m, most)).round().astype(int))


def row_bounds(floor: Floor, y: Array, codes: Sequence[Array], values: Array, task: Task) -> Array:
    """One-sided 95 % bounds (m,) of any metric: 40 draws of rows at 16 candidates, carried over to the others."""
    rng, some = np.random.default_rng(0), _spread(len(codes), 16)
    draws = []
    for _ in range(40):
        weight = np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y)).astype(float)
        draws.append([floor.metric.fn(y, codes[i], weight, task) for i in some])
    return _carried(values, some, quantile(np.array(draws), floor.share))


def tune_binary(y: Array, p: Array, objective: Metric | None, task: Task, default: float = 0.5) -> float:
    """The threshold on P(positive) p (n,): within the floors the objective's best, else the nearest to meeting them.

    Without floors the default is kept unless tuning is better on rows not used to tune (five parts). An objective of
    None, or one that a trivial prediction would win, moves the default only as far as the floors ask.
    """
    floors = [floor for floor in metric_floors(task) if floor.metric.needs == "label"]
    if objective and "binary" in objective.one_sided and not any(f.metric.name != objective.name for f in floors):
        objective = None
    if len(np.unique(y)) < 2 or (objective is None and not floors):
        return default

    def best(rows: Array) -> float:
        found = _candidates(y[rows], p[rows], objective, floors, task)
        at = pick(found.worth, found.floors, np.abs(found.thresholds - default))
        return float(found.thresholds[at])

    everything = np.arange(len(y))
    if not floors and objective is not None and not helps(y, lambda rest, part: p[part] >= best(rest), p >= default,
                                                          objective, task):
        return default
    return best(everything)


def helps(y: Array, codes: Callable[[Array, Array], Array], default: Array, objective: Metric, task: Task) -> bool:
    """Whether `codes(rest, part)`, tuned on the rest and applied to each part, score above the default's (n, ...)."""
    tuned = np.array(default)
    for part in parts(y):
        tuned[part] = codes(np.setdiff1d(np.arange(len(y)), part), part)
    kind = np.int8 if y.ndim == 2 else np.int64
    was, now = (objective.fn(y, side.astype(kind), None, task) for side in (default, tuned))
    return now > was if objective.greater_is_better else now < was


def tune_weights(y: Array, pred: Array, objective: Metric, task: Task) -> Rule:
    """Several classes: errors priced by class frequency^-a, a in 0..1, when that helps the objective or the floors.

    The price of missing class c is w_c whatever is predicted instead, so that the label is argmax of w_c P(c): a = 1
    is the plug-in rule for balanced accuracy (Menon 2013), a = 0 is the argmax. pred (n, k).
    """
    k = pred.shape[1]
    floors = [floor for floor in metric_floors(task) if floor.metric.needs == "label"]
    if k > 50 or (objective.name == "accuracy" and not floors) or len(np.unique(y)) < 2:
        return Rule()

    def prices(rows: Array) -> list[Array]:
        share = (np.bincount(y[rows], minlength=k) + 1.0) / (len(rows) + k)
        return [(share.min() / share) ** power for power in _WEIGHT_POWERS]

    def worth(rows: Array, each: list[Array]) -> tuple[list[Array], Array]:
        codes = [(pred[rows] * w).argmax(axis=1) for w in each]
        values = np.array([objective.fn(y[rows], code, None, task) for code in codes])
        return codes, values if objective.greater_is_better else -values

    def best(rows: Array) -> Array:
        each = prices(rows)
        codes, value = worth(rows, each)
        held = []
        for floor in floors:
            values = np.array([floor.metric.fn(y[rows], code, None, task) for code in codes])
            held.append((floor, values, row_bounds(floor, y[rows], codes, values, task)))
        return each[pick(value, held, np.array(_WEIGHT_POWERS))]

    if not floors and not helps(y, lambda rest, part: (pred[part] * best(rest)).argmax(axis=1), pred.argmax(axis=1),
                                objective, task):
        return Rule()
    w = best(np.arange(len(y)))
    if (w == 1).all():
        return Rule()
    return Rule(cost=tuple(tuple(0.0 if i == j else float(w[i]) for j in range(k)) for i in range(k)))


def tune_multilabel(y: Array, pred: Array, objective: Metric | None, task: Task) -> tuple[float, ...]:
    """One threshold per label: 0.5, one for all, or each label's own, whichever is best on rows not used to tune.

    Each label's own is the best of its F1 (accuracy for accuracy and hamming). Floors then shift all thresholds
    together in log-odds. y (n, k) 0/1, pred (n, k).
    """
    k = pred.shape[1]
    floors = [floor for floor in metric_floors(task) if floor.metric.needs == "label"]
    if objective and "multilabel" in objective.one_sided and not any(f.metric.name != objective.name for f in floors):
        objective = None
    single = Task(modality=task.modality, problem="binary", target=task.target, metric="f1", classes=("0", "1"))
    part_of = find("accuracy" if objective and objective.name in ("accuracy", "hamming") else "f1")

    def own(rows: Array) -> Array:
        return np.array([tune_binary(y[rows, j].astype(np.int64), pred[rows, j], part_of, single) for j in range(k)])

    def common(rows: Array) -> Array:
        grid = np.unique(np.quantile(pred[rows], np.linspace(0.02, 0.98, 33)))
        return np.full(k, grid[_best(y[rows], [pred[rows] >= t for t in grid], objective, task)])

    def half(rows: Array) -> Array:
        return np.full(k, 0.5)

    everything = np.arange(len(y))
    way: Callable[[Array], Array] = half
    if objective is not None:
        held = parts(y)
        ways = [half, common, own]
        tried = []
        for one in ways:
            codes = np.empty(y.shape, np.int8)
            for part in held:
                codes[part] = pred[part] >= one(np.setdiff1d(everything, part))
            tried.append(codes)
        way = ways[_best(y, tried, objective, task)]
    base = np.clip(way(everything), 1e-6, 1 - 1e-6)
    if not floors:
        return tuple(float(t) for t in base)
    shifts = np.linspace(-6, 6, 49)
    odds = np.log(base / (1 - base))
    moved = [1 / (1 + np.exp(-(odds + s))) for s in shifts]
    codes_ = [(pred >= t).astype(np.int8) for t in moved]
    kept = []
    for floor in floors:
        values = np.array([floor.metric.fn(y, code, None, task) for code in codes_])
        kept.append((floor, values, row_bounds(floor, y, codes_, values, task)))
    worth = np.zeros(len(moved)) if objective is None else _worth(y, codes_, objective, task)
    return tuple(float(t) for t in moved[pick(worth, kept, np.abs(shifts))])


def _worth(y: Array, codes: Sequence[Array], objective: Metric, task: Task) -> Array:
    values = np.array([objective.fn(y, np.asarray(code, np.int8), None, task) for code in codes])
    return values if objective.greater_is_better else -values


def _best(y: Array, codes: Sequence[Array], objective: Metric | None, task: Task) -> int:
    if objective is None:
        return 0
    return int(np.argmax(np.nan_to_num(_worth(y, codes, objective, task), nan=-np.inf)))


def tune_order(y: Array, pred: Array, objective: Metric, task: Task) -> tuple[tuple[float, ...], ...]:
    """The cost matrix of ordered classes whose cheapest label serves the objective best: none (argmax, empty), the
    distance (the median of a row's distribution) or its square (about its mean). pred (n, k).
    """
    place = np.arange(len(task.classes), dtype=float)
    away = np.abs(place[:, None] - place[None, :])
    options: list[Array | None] = [None, away, away**2]
    values = [objective.fn(y, pred.argmax(axis=1) if one is None else (pred @ one).argmin(axis=1), None, task)
              for one in options]
    worth = np.nan_to_num(np.array(values) * (1 if objective.greater_is_better else -1), nan=-np.inf)
    best = options[int(worth.argmax())]
    return () if best is None else tuple(tuple(float(price) for price in row) for row in best)
