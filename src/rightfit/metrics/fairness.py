"""Rates by the groups of a protected column, and how far they lie apart; defined as fairlearn's MetricFrame does.

A rate is a ratio of two sums over rows. Its gap is the largest minus the smallest rate over groups (fairlearn's
`difference(method="between_groups")`); equalized_odds is the larger of the recall and the fpr gap (Hardt et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, ratio
from rightfit.metrics.interval import chunks, draws
from rightfit.records import Problem, Task, frozen

SUFFIX = "_gap"
LEAST = 10  # rows behind a rate of a group, below which it does not count in a gap
_BINARY: tuple[Problem, ...] = ("binary",)
_CODES: tuple[Problem, ...] = ("binary", "multiclass", "ordinal")
_VALUES: tuple[Problem, ...] = ("regression", "count")


@frozen
class Rate:
    """One rate: `parts(y, codes or values)` gives the rows' shares of its numerator and denominator, each (n,)."""

    name: str
    problems: tuple[Problem, ...]
    parts: Callable[[Array, Array], tuple[Array, Array]]


RATES = (
    Rate(name="selection_rate", problems=_BINARY, parts=lambda y, p: (p == 1, np.ones(len(y)))),
    Rate(name="recall", problems=_BINARY, parts=lambda y, p: ((p == 1) & (y == 1), y == 1)),
    Rate(name="fpr", problems=_BINARY, parts=lambda y, p: ((p == 1) & (y == 0), y == 0)),
    Rate(name="accuracy", problems=_CODES, parts=lambda y, p: (p == y, np.ones(len(y)))),
    Rate(name="mean_error", problems=_VALUES, parts=lambda y, p: (p - y, np.ones(len(y)))),
    Rate(name="mae", problems=_VALUES, parts=lambda y, p: (np.abs(p - y), np.ones(len(y)))),
)
ODDS = "equalized_odds"


def gaps_of(task: Task) -> dict[str, tuple[Rate, ...]]:
    """The gaps that a problem has, by name, each with the rates of which it is the largest."""
    mine = [rate for rate in RATES if task.problem in rate.problems]
    found = {rate.name: (rate,) for rate in mine}
    odds = tuple(rate for rate in mine if rate.name in ("recall", "fpr"))
    return found | ({ODDS: odds} if odds else {})


def check(name: str, task: Task, limit: float) -> None:
    """Raise UsageError for a gap that the problem does not have, or a limit that cannot be one."""
    known = gaps_of(task)
    if name not in known:
        raise UsageError(f"max_gap must name a rate of a {task.problem} problem; got max_gap={name!r}, choose one of "
                         f"{', '.join(known) or 'none: it has none'}.")
    if not 0 <= limit < float("inf"):
        raise UsageError(f"a gap must be 0 or more; got max_gap {name}={limit:g}, change it.")


def _table(rate: Rate, y: Array, said: Array, member: Array) -> tuple[Array, Array]:
    """Numerators and denominators by group, each (n, g)."""
    top, bottom = rate.parts(y, said)
    return np.asarray(top, float)[:, None] * member, np.asarray(bottom, float)[:, None] * member


def _members(groups: Array) -> tuple[Array, Array]:
    names, codes = np.unique(groups, return_inverse=True)
    return names, np.asarray(codes[:, None] == np.arange(len(names)), float)


def _spread(rates: Array, rows: Array) -> float:
    """Largest minus smallest of the rates that have enough rows; nan with fewer than two such groups."""
    known = rates[(rows >= LEAST) & ~np.isnan(rates)]
    return float(known.max() - known.min()) if len(known) > 1 else float("nan")


def gap(name: str, y: Array, said: Array, groups: Array, task: Task) -> float:
    """One gap by its name (with or without `_gap`); said: label codes (n,) or values (n,); groups (n,) of any kind.

    Nan unless two groups have at least 10 rows behind the rate.

    >>> task = Task(modality="tabular", problem="binary", target=("y",), metric="f1", classes=("no", "yes"))
    >>> y, said = np.tile([0, 1], 20), np.r_[np.ones(20, int), np.tile([0, 1], 10)]
    >>> gap("selection_rate", y, said, np.repeat(["a", "b"], 20), task)
    0.5
    """
    _, member = _members(groups)
    found = []
    for rate in gaps_of(task)[name.removesuffix(SUFFIX)]:
        top, bottom = (part.sum(axis=0) for part in _table(rate, y, said, member))
        found.append(_spread(ratio(top, bottom), bottom))
    return float(np.max(found))


def study(y: Array, said: Array, groups: Array, task: Task, *, together: Array | None = None, seed: int = 0,
          n: int = 1000) -> dict[str, Any]:
    """Rates by group and gaps between groups, with 95 % percentile intervals of n bootstrap samples of rows.

    together (n,): rows of one code are drawn together. A gap's interval is that of the signed difference between the
    two groups that lie furthest apart in the data: where it holds 0, chance alone could have made the gap.
    Returns {"groups": [{group, rows, rates: {name: {value, low, high, n}}}], "gaps": [{name, value, low, high,
    between}]}; gaps that are undefined have None.
    """
    names, member = _members(groups)
    known = {rate.name: _table(rate, y, said, member) for rates in gaps_of(task).values() for rate in rates}
    sums = {name: (top.sum(axis=0), bottom.sum(axis=0)) for name, (top, bottom) in known.items()}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[Array]] = {name: [] for name in known}
    for b in chunks(len(y), n):
        weights = draws(rng, b, len(y), together)
        for name, (top, bottom) in known.items():
            drawn[name].append(ratio(weights @ top, weights @ bottom))
    samples = {name: np.concatenate(some) for name, some in drawn.items()}
    rows = [{"group": str(group), "rows": int(member[:, at].sum()),
             "rates": {name: {**_ends(float(ratio(top, bottom)[at]), samples[name][:, at]), "n": int(bottom[at])}
                       for name, (top, bottom) in sums.items()}} for at, group in enumerate(names)]
    gaps = [_gap(name, max(rates, key=lambda r: _known(_spread(ratio(*sums[r.name]), sums[r.name][1]))).name, sums,
                 samples, names) for name, rates in gaps_of(task).items()]
    return {"groups": rows, "gaps": gaps}


def _known(value: float) -> float:
    return -1.0 if np.isnan(value) else value


def _ends(value: float, sample: Array) -> dict[str, float | None]:
    sample = sample[~np.isnan(sample)]
    if np.isnan(value) or not len(sample):
        return {"value": None, "low": None, "high": None}
    low, high = np.quantile(sample, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def _gap(name: str, rate: str, sums: dict[str, tuple[Array, Array]], samples: dict[str, Array],
         names: Array) -> dict[str, Any]:
    top, bottom = sums[rate]
    rates = ratio(top, bottom)
    value = _spread(rates, bottom)
    if np.isnan(value):
        return {"name": name, "value": None, "low": None, "high": None, "between": []}
    seen = np.where(bottom >= LEAST, rates, np.nan)
    most, least = int(np.nanargmax(seen)), int(np.nanargmin(seen))
    return {"name": name, **_ends(value, samples[rate][:, most] - samples[rate][:, least]),
            "between": [str(names[most]), str(names[least])]}
