"""Is one candidate better than another? Paired over the same folds or the same rows, corrected for what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, Metric
from rightfit.metrics.base import find
from rightfit.metrics.interval import chunks, data_of, draws, scorer_of
from rightfit.records import Task, frozen


@frozen
class Comparison:
    """a minus b with its 95 % interval, the statistic, and the two-sided p (adjusted where several are compared).

    `error`: the corrected standard error; `n`: folds, or bootstrap draws. nan where fewer than two folds are defined
    in both.
    """

    difference: float
    low: float
    high: float
    t: float
    p: float
    error: float
    n: int
    tied: bool = False


def paired(scores_a: Array, scores_b: Array, n_train: float, n_valid: float, level: float = 0.95) -> Comparison:
    """The corrected resampled t-test over folds (Nadeau & Bengio 2003): variance (1/k + n_valid/n_train) s^2, k - 1 df.

    scores_a, scores_b (k,): the same folds, better or worse in the same direction; folds that are nan in either are
    left out. n_train, n_valid: rows of one training and one validation set. Without any spread the difference is
    certain: p is 1 when it is zero, 0 otherwise. Fewer than two folds: everything but the difference is nan.

    >>> c = paired(np.array([0.8, 0.9, 0.85]), np.array([0.7, 0.75, 0.8]), n_train=80, n_valid=40)
    >>> round(c.difference, 3), round(c.p, 3)
    (0.1, 0.16)
    """
    from scipy.special import stdtr, stdtrit
    a, b = np.asarray(scores_a, float), np.asarray(scores_b, float)
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(f"scores must be of the same folds; got a={a.shape}, b={b.shape}.")
    if not (n_train > 0 and n_valid > 0):
        raise UsageError(f"rows must be above zero; got n_train={n_train}, n_valid={n_valid}.")
    apart = (a - b)[~np.isnan(a - b)]
    k = len(apart)
    nan = float("nan")
    if k < 2:
        mean = float(apart.mean()) if k else nan
        return Comparison(difference=mean, low=nan, high=nan, t=nan, p=nan, error=nan, n=k)
    mean = float(apart.mean())
    spread = float(apart.var(ddof=1))
    # differences that are equal up to rounding have no spread
    if spread <= (1e-12 * max(1e-300, float(np.abs(np.concatenate([a, b])[~np.isnan([*a, *b])]).max()))) ** 2:
        same = abs(mean) <= 1e-12 * max(1e-300, float(np.nanmax(np.abs([a, b]))))
        return Comparison(difference=mean, low=mean, high=mean, t=0.0 if same else float(np.copysign(np.inf, mean)),
                          p=1.0 if same else 0.0, error=0.0, n=k)
    error = float(np.sqrt((1 / k + n_valid / n_train) * spread))
    reach = float(stdtrit(k - 1, (1 + level) / 2)) * error
    t = mean / error
    return Comparison(difference=mean, low=mean - reach, high=mean + reach, t=t, p=float(2 * stdtr(k - 1, -abs(t))),
                      error=error, n=k)


def paired_rows(y: Array, pred_a: Array, pred_b: Array, metric: Metric | str, task: Task, *,
                codes: tuple[Array, Array] | None = None, groups: Array | None = None,
                folds: Sequence[Array] | None = None, n: int = 1000, seed: int = 0) -> Comparison:
    """Utility of a minus utility of b (more is better) on the same rows, by a paired bootstrap of rows or of groups.

    pred_a, pred_b: delivered out-of-fold predictions, codes: their labels. Percentile interval, p from the share of
    samples on the other side of zero. For few folds; covers the sampling of rows, not of training sets.
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    data = data_of(y, folds, groups)
    sign = 1.0 if metric.greater_is_better else -1.0
    sides = []
    for i, pred in enumerate((pred_a, pred_b)):
        sides.append(scorer_of(data, pred, codes[i] if codes else None, metric, task))
    whole = np.ones((1, len(data.y)))
    difference = float(sign * (sides[0](whole) - sides[1](whole))[0])
    rng, found = np.random.default_rng(seed), []
    for b in chunks(len(data.y), n):
        w = draws(rng, b, len(data.y), data.groups)
        found.append(sign * (sides[0](w) - sides[1](w)))
    spread = np.concatenate(found)
    spread = spread[~np.isnan(spread)]
    nan = float("nan")
    if len(spread) < 2 or np.isnan(difference):
        return Comparison(difference=difference, low=nan, high=nan, t=nan, p=nan, error=nan, n=len(spread))
    error = float(spread.std(ddof=1))
    low, high = np.quantile(spread, [0.025, 0.975])
    beyond = min(float((spread <= 0).mean()), float((spread >= 0).mean()))
    p = min(1.0, 2 * (beyond * len(spread) + 1) / (len(spread) + 1))
    t = difference / error if error > 0 else 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return Comparison(difference=difference, low=float(low), high=float(high), t=t, p=p, error=error, n=len(spread))


def holm(pvalues: Sequence[float] | Array) -> Array:
    """p-values adjusted for being several (Holm 1979), in the order given; nan stays nan and does not count.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(pvalues, float)
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return out


Rule = Literal["one_se", "holm"]


def against(fold_utilities: Mapping[str, Array], best: str, n_train: float, n_valid: float, *, rule: Rule = "one_se",
            alpha: float = 0.05) -> dict[str, Comparison]:
    """Every other candidate against the best, best minus other, p adjusted by Holm; `tied` says whether it is no worse.

    fold_utilities: name -> (k,), more is better, nan where a fold is missing. one_se: within one corrected standard
    error of the paired difference (Breiman 1984, paired); holm: not significantly worse at alpha. The second ties
    much more, for with few folds hardly anything is significant. Raises UsageError when best is not among the names.
    """
    if best not in fold_utilities:
        raise UsageError(f"best must be among the candidates; got best={best!r}.")
    if rule not in ("one_se", "holm"):
        raise UsageError(f"rule must be one_se or holm; got rule={rule!r}.")
    pairs = {name: paired(fold_utilities[best], scores, n_train, n_valid)
             for name, scores in fold_utilities.items() if name != best}
    adjusted = holm([pair.p for pair in pairs.values()])
    found = {}
    for (name, c), p in zip(pairs.items(), adjusted, strict=True):
        if c.n < 2:
            tied = False
        elif rule == "one_se":
            tied = c.difference <= c.error
        else:
            tied = c.difference <= 0 or bool(p > alpha)
        found[name] = Comparison(difference=c.difference, low=c.low, high=c.high, t=c.t, p=float(p), error=c.error,
                                 n=c.n, tied=tied)
    return found


def ties(fold_utilities: Mapping[str, Array], best: str, n_train: float, n_valid: float, *, rule: Rule = "one_se",
         alpha: float = 0.05) -> dict[str, Comparison]:
    """The candidates that are no worse than the best, see `against`; the best itself is not among them.

    >>> scores = {"a": np.array([0.90, 0.91, 0.92]), "b": np.array([0.90, 0.92, 0.91]), "c": np.array([0.7, 0.6, 0.7])}
    >>> sorted(ties(scores, "a", n_train=80, n_valid=40))
    ['b']
    """
    return {name: c for name, c in against(fold_utilities, best, n_train, n_valid, rule=rule, alpha=alpha).items()
            if c.tied}
