"""Metrics of rankings: y (n, 2) relevance and query, predictions (n,) scores; the mean over queries.

Tied scores count as any order among them would on average (McSherry and Najork 2008). A query without a relevant row
says nothing and is left out. Weights are those of a query's first row, for queries are drawn whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rightfit.metrics._base import Array, Many, Metric, ratio
from rightfit.records import Problem, Task

RANKING: tuple[Problem, ...] = ("ranking",)


class Lists(NamedTuple):
    """Rows by query and falling score: relevance, place in the query from 0, start of each query, of each row's query,
    and runs of equal scores (start, length of each row's)."""

    gain: Array
    place: Array
    starts: Array
    query: Array
    run: Array
    first: Array


def _lists(y: Array, score: Array) -> Lists:
    query = np.unique(y[:, 1], return_inverse=True)[1]
    score = np.asarray(score, float).reshape(len(y))
    order = np.lexsort((-score, query))
    query, gain, score = query[order], y[order, 0], score[order]
    new = np.append(True, query[1:] != query[:-1])
    starts = np.flatnonzero(new)
    place = np.arange(len(query)) - starts[query]
    tied = np.append(True, new[1:] | (score[1:] != score[:-1]))
    return Lists(gain=gain, place=place, starts=starts, query=query, run=np.cumsum(tied) - 1, first=order[starts])


def _averaged(values: Array, run: Array) -> Array:
    """Each row's value, averaged over its run of equal scores."""
    return np.asarray((np.bincount(run, values) / np.bincount(run))[run])


def _dcg(lists: Lists, at: int | None, gain: Array) -> Array:
    discount = np.where(lists.place < (at or len(gain)), 1 / np.log2(lists.place + 2.0), 0.0)
    return np.add.reduceat((2.0**gain - 1) * _averaged(discount, lists.run), lists.starts)


def _ndcg(at: int | None) -> Callable[[Array, Array], tuple[Array, Array]]:
    def each(y: Array, score: Array) -> tuple[Array, Array]:
        lists = _lists(y, score)
        ideal = _lists(y, y[:, 0])
        return ratio(_dcg(lists, at, lists.gain), _dcg(ideal, at, ideal.gain)), lists.first
    return each


def _precision(y: Array, score: Array) -> tuple[Array, Array]:
    lists = _lists(y, score)
    share = _averaged((lists.gain > 0).astype(float), lists.run)
    total = np.cumsum(share)
    before = np.append(0.0, total)[lists.starts][lists.query]
    there = (total - before) / (lists.place + 1)
    return ratio(np.add.reduceat(share * there, lists.starts), np.add.reduceat(share, lists.starts)), lists.first


def _reciprocal(y: Array, score: Array) -> tuple[Array, Array]:
    """Of m tied rows, r of them relevant, the first relevant one is expected (m + 1) / (r + 1) places into the tie."""
    lists = _lists(y, score)
    size, relevant = np.bincount(lists.run), np.bincount(lists.run, lists.gain > 0)
    start = np.minimum.reduceat(lists.place, np.flatnonzero(np.append(True, np.diff(lists.run) > 0)))
    place = np.where(lists.gain > 0, (start + (size + 1) / (relevant + 1))[lists.run], np.inf)
    best = np.minimum.reduceat(place, lists.starts)
    return np.where(np.isfinite(best), 1 / best, np.nan), lists.first


def _of(each: Callable[[Array, Array], tuple[Array, Array]]) -> dict[str, Any]:
    def many(y: Array, pred: Array, task: Task) -> Many:
        values, first = each(np.asarray(y, float), pred)
        known = ~np.isnan(values)
        values, first = values[known], first[known]
        return lambda w: np.asarray(ratio(w[:, first] @ values, w[:, first].sum(axis=1)))

    def fn(y: Array, pred: Array, weight: Array | None, task: Task) -> float:
        w = np.ones(len(y)) if weight is None else np.asarray(weight, float)
        return float(many(y, pred, task)(w[None, :])[0])

    return {"fn": fn, "many": many, "problems": RANKING, "needs": "value", "low": 0.0, "high": 1.0}


SPEC: tuple[Metric, ...] = (
    Metric(name="ndcg", doc="Normalised discounted cumulative gain, 2^relevance - 1 (Burges et al. 2005).",
           **_of(_ndcg(None))),
    *(Metric(name=f"ndcg_{at}", doc=f"The same of the first {at} places.", aliases=(f"ndcg@{at}",), **_of(_ndcg(at)))
      for at in (1, 3, 5, 10, 20)),
    Metric(name="map", doc="Mean average precision of the rows with a relevance above 0.",
           aliases=("mean_average_precision",), **_of(_precision)),
    Metric(name="mrr", doc="Mean reciprocal place of the first row with a relevance above 0.",
           aliases=("mean_reciprocal_rank",), **_of(_reciprocal)),
)
