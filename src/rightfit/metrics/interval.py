"""How sure a score is: bootstrap intervals, and the estimate of a winner corrected for having been picked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, Many, Metric, mean_defined
from rightfit.metrics.base import find, inputs
from rightfit.records import Task, frozen

_CHUNK = 4_000_000
_LEAST = 100


@frozen
class Estimate:
    """A winner's score corrected for having been picked, with its interval; `bias`: what was taken off the naive score.

    `winner` is the name with the best naive score, `naive` that score. In the metric's own units and direction.
    """

    value: float
    low: float
    high: float
    bias: float
    method: str
    winner: str
    naive: float
    n: int
    level: float = 0.95


class Data(NamedTuple):
    """The rows that are in a fold: y (n,), where they stood, each fold among them, group numbers (n,) or None."""

    y: Array
    rows: Array
    folds: tuple[Array, ...]
    groups: Array | None


def data_of(y: Array, folds: Sequence[Array] | None, groups: Array | None) -> Data:
    """Only the rows that are in a fold. Raises UsageError for fewer than two."""
    y = np.asarray(y)
    rows = np.arange(len(y)) if folds is None else np.sort(np.concatenate([np.asarray(f) for f in folds]))
    if len(rows) < 2:
        raise UsageError(f"an interval needs two rows or more; got rows={len(rows)}.")
    inside = () if folds is None else tuple(np.searchsorted(rows, np.asarray(fold)) for fold in folds)
    codes = None if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    return Data(y[rows], rows, inside, codes)


def scorer_of(data: Data, pred: Array, codes: Array | None, metric: Metric, task: Task) -> Many:
    """The function weights (b, n) -> values (b,): over all rows, or for rankings the mean over folds by drawn rows."""
    pred = np.asarray(pred)[data.rows]
    if not np.isfinite(pred).all():
        return lambda w: np.full(len(w), np.nan)
    given = inputs(metric, pred, task, None if codes is None else np.asarray(codes)[data.rows])

    def of(at: Array) -> Many:
        y, pred = data.y[at], given[at]
        if metric.many is not None:
            return metric.many(y, pred, task)
        return lambda w: np.array([metric.fn(y, pred, row, task) if row.any() else np.nan for row in w])

    if metric.pooled or len(data.folds) < 2:
        return of(np.arange(len(data.y)))
    each = [(fold, of(fold)) for fold in data.folds if len(fold)]

    def averaged(w: Array) -> Array:
        values = np.stack([one(w[:, fold]) for fold, one in each], axis=1)
        return mean_defined(values, np.stack([w[:, fold].sum(axis=1) for fold, _ in each], axis=1))
    return averaged


def draws(rng: np.random.Generator, b: int, n: int, groups: Array | None = None,
          strata: Array | None = None) -> Array:
    """How often each row is drawn (b, n) in b bootstrap samples of rows, of whole groups, or of rows within strata."""
    if groups is not None:
        return draws(rng, b, int(groups.max()) + 1)[:, groups]
    if strata is not None:
        out = np.zeros((b, n))
        for value in np.unique(strata):
            at = np.flatnonzero(strata == value)
            out[:, at] = draws(rng, b, len(at))
        return out
    picks = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
    return np.bincount(picks.ravel(), minlength=b * n).reshape(b, n).astype(float)


def chunks(n_rows: int, n: int) -> list[int]:
    """How many draws to make at a time; n in all, fewer beyond 100k rows."""
    # fewer draws on many rows, where each is nearly the same anyway
    total = int(min(n, max(200, 1e8 / n_rows)))
    size = max(1, min(50, total, _CHUNK // n_rows))
    return [min(size, total - start) for start in range(0, total, size)]


def bootstrap(y: Array, pred: Array, codes: Array | None, metric: Metric | str, task: Task, *,
              groups: Array | None = None, folds: Sequence[Array] | None = None, n: int = 1000, seed: int = 0,
              level: float = 0.95, stratify: bool = False, seconds: float | None = None) -> tuple[float, float, float]:
    """(value, low, high): a score with its BCa bootstrap interval (Efron 1987) over rows, or over whole groups.

    y, pred: delivered predictions of n rows, codes their labels or None (then by the default rule). groups (n,): rows
    of one group are drawn together. folds: row positions of each fold; only those rows count, and rankings are
    averaged over folds. stratify draws within classes. n draws, fewer beyond 100k rows (200 at least), cut at
    `seconds` if given. nan bounds when the score is undefined on most samples. A score at the end of its range, where
    resampling sees no spread, gets the rule of three (3 / rows of the rarest class). Covers sampling of rows, not of
    training sets.
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    data = data_of(y, folds, groups)
    scorer = scorer_of(data, pred, codes, metric, task)
    size = len(data.y)
    value = float(scorer(np.ones((1, size)))[0])
    strata = data.y if stratify and data.y.ndim == 1 and task.classifies else None
    rng, start = np.random.default_rng(seed), time.monotonic()
    found: list[Array] = []
    for b in chunks(size, n):
        found.append(scorer(draws(rng, b, size, data.groups, strata)))
        if seconds is not None and time.monotonic() - start > seconds and sum(map(len, found)) >= _LEAST:
            break
    spread = np.concatenate(found)
    spread = spread[~np.isnan(spread)]
    if np.isnan(value) or len(spread) < sum(map(len, found)) / 2:
        return value, float("nan"), float("nan")
    low, high = np.quantile(spread, _bca(value, spread, _jackknife(scorer, data), level))
    return (value, *_widened(value, float(low), float(high), metric, data, task))


def _jackknife(scorer: Many, data: Data) -> Array:
    """Scores with one block left out, up to 50 blocks of rows or groups."""
    unit = np.arange(len(data.y)) if data.groups is None else data.groups
    block = unit % min(50, int(unit.max()) + 1)
    return scorer((block[None, :] != np.arange(block.max() + 1)[:, None]).astype(float))


def _bca(value: float, spread: Array, left_out: Array, level: float) -> tuple[float, float]:
    """The quantiles to read: bias-corrected and accelerated, the plain percentiles where that is undefined."""
    from scipy.special import ndtr, ndtri
    tail = (1 - level) / 2
    below = float(((spread < value).sum() + 0.5 * (spread == value).sum()) / len(spread))
    left_out = left_out[~np.isnan(left_out)]
    apart = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    scale = float((apart**2).sum())
    if not 0.02 < below < 0.98 or scale <= 0:
        return tail, 1 - tail
    z0, a = float(ndtri(below)), float((apart**3).sum()) / (6 * scale**1.5)

    def moved(share: float) -> float:
        z = z0 + float(ndtri(share))
        return float(ndtr(z0 + z / max(1 - a * z, 0.1)))
    return moved(tail), moved(1 - tail)


def _widened(value: float, low: float, high: float, metric: Metric, data: Data, task: Task) -> tuple[float, float]:
    span = metric.high - metric.low
    if high > low or not np.isfinite(span):
        return min(low, value), max(high, value)
    rarest = len(data.y)
    if task.one_label:
        rarest = int(np.unique(data.y, return_counts=True)[1].min())
    slack = span * min(1.0, 3 / rarest)
    return max(metric.low, value - slack), min(metric.high, value + slack)


def bbc(y: Array, stack: Mapping[str, Array], metric: Metric | str, task: Task, *,
        codes: Mapping[str, Array] | None = None, groups: Array | None = None,
        folds: Sequence[Array] | None = None, n: int = 500, seed: int = 0, level: float = 0.95,
        seconds: float | None = None) -> Estimate:
    """The score to expect of the best of `stack`, corrected for picking it (Tsamardinos, Greasidou, Borboudakis 2018).

    stack: delivered out-of-fold predictions of every candidate, all on the same rows; codes: their labels, by the
    same names. In every bootstrap sample the best candidate on the drawn rows is scored on the rows left out; the
    mean is the value.
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    names = list(stack)
    if not names:
        raise UsageError("an estimate needs one candidate or more; got stack={}.")
    data = data_of(y, folds, groups)
    sign = 1.0 if metric.greater_is_better else -1.0
    scorers = [scorer_of(data, stack[name], codes[name] if codes else None, metric, task) for name in names]
    size = len(data.y)
    naive = np.array([sign * scorer(np.ones((1, size)))[0] for scorer in scorers])
    if np.isnan(naive).all():
        raise UsageError(f"the metric must be defined on the rows left out; got {metric.name}=nan on {size} rows for "
                         f"all {len(names)} candidates, add rows of each class or name another --metric.")
    top = int(np.nanargmax(naive))
    inside, outside = _replay(scorers, data, sign, naive, n, seed, seconds)
    value, low, high = _around(outside, float(naive[top]), level,
                               _widening(scorers, data, sign, naive, inside))
    down, up = sorted((sign * low, sign * high))
    down, up = _widened(sign * value, down, up, metric, data, task)
    return Estimate(value=sign * value, low=max(metric.low, down), high=min(metric.high, up),
                    bias=sign * (float(naive[top]) - value), method="bootstrap bias-corrected cross-validation",
                    winner=names[top], naive=sign * float(naive[top]), n=size, level=level)


def _replay(scorers: Sequence[Many], data: Data, sign: float, naive: Array, n: int, seed: int,
            seconds: float | None) -> tuple[Array, Array]:
    """Utilities of every candidate on b samples (b, m), and of each sample's best on the rows left out (b,)."""
    rng, start = np.random.default_rng(seed), time.monotonic()
    size, alive = len(data.y), np.flatnonzero(~np.isnan(naive))
    inside, outside = [], []
    for b in chunks(size, n):
        w = draws(rng, b, size, data.groups)
        drawn = np.full((b, len(scorers)), np.nan)
        for j in alive.tolist():
            drawn[:, j] = sign * scorers[j](w)
        best = np.where(np.isnan(drawn), -np.inf, drawn).argmax(axis=1)
        left = np.full(b, np.nan)
        for j in np.unique(best).tolist():
            left[best == j] = sign * scorers[j]((w[best == j] == 0).astype(float))
        inside.append(drawn)
        outside.append(left)
        alive = _contenders(np.concatenate(inside), alive)
        if seconds is not None and time.monotonic() - start > seconds and sum(map(len, outside)) >= _LEAST:
            break
    return np.concatenate(inside), np.concatenate(outside)


def _contenders(drawn: Array, alive: Array) -> Array:
    """Candidates that may still win a sample: paired, within six standard deviations of the best on average."""
    if len(drawn) < 50:
        return alive
    means = np.array([mean_defined(drawn[:, j]) for j in alive])
    behind = drawn[:, [alive[int(np.nanargmax(means))]]] - drawn[:, alive]
    return np.asarray(alive[~(np.nanmean(behind, axis=0) > 6 * np.nanstd(behind, axis=0))])


def _widening(scorers: Sequence[Many], data: Data, sign: float, naive: Array, inside: Array) -> float:
    """How much wider training sets make the interval: sqrt(1 + t / (k v)), 1 without folds.

    v: variance of the leader's score over samples of rows. t: variance of the leaders' scores between the k folds
    beyond what their rows explain (v k), which is what another training set changes.
    """
    if len(data.folds) < 2:
        return 1.0
    held = np.zeros((len(data.folds), len(data.y)))
    for k, fold in enumerate(data.folds):
        held[k, fold] = 1.0
    top = int(np.nanargmax(naive))
    leaders = np.flatnonzero(naive >= naive[top] - 2 * np.nanstd(inside[:, top]))
    beyond = []
    for j in leaders.tolist():
        scores = scorers[j](held)
        scores = scores[~np.isnan(scores)]
        if len(scores) > 1:
            beyond.append(scores.var(ddof=1) - len(scores) * np.nanvar(inside[:, j]))
    variance = float(np.nanvar(inside[:, top]))
    if not beyond or not variance > 0:
        return 1.0
    return float(np.sqrt(1 + max(0.0, float(np.mean(beyond))) / (len(data.folds) * variance)))


def _around(outside: Array, naive: float, level: float, between: float) -> tuple[float, float, float]:
    """(value, low, high) in utility from the scores on rows left out, `between` times as wide."""
    outside = outside[~np.isnan(outside)]
    if len(outside) < 2:
        return naive, naive, naive
    tail = (1 - level) / 2
    first, low, high, last = np.quantile(outside, [0.1, tail, 1 - tail, 0.9])
    # one reckless winner with an infinite log loss must not move the centre
    centre = float(outside[(outside >= first) & (outside <= last)].mean())
    value = min(centre, naive)
    return value, value + between * float(low - centre), value + between * float(high - centre)
