"""What a tabular family is handed and hands back: one small learning problem in, one core out."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rightfit.records import Problem, Task, frozen

PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression", "ordinal", "quantile", "count",
                                 "ranking")  # what boosters have a loss for
INNER_SHARE = 0.15
PROBE_ROWS = 400
INNER_ROWS = 100  # below this, an inner split is noise and the settings are used as they are


@frozen
class Rows:
    """One learning problem with one output.

    X: float32 (n, f). y: int64 (n,) codes 0..classes-1, each present, or float64 (n,) standardised when `classes` is 0.
    `loss` is squared (classes: log loss), or quantile at `level`, poisson, tweedie of variance `power` or rank within
    `query` (n,), where y is left as it is. monotone: a sign per column of X, or empty.
    weight: float64 (n,) with mean 1, or None. inner: (train, valid) positions for early stopping, or None.
    categorical: positions of X that hold integer codes. deadline: time.monotonic seconds. start: scores (n, 1) log odds
    or (n, classes) to which a booster adds, its core then gives and writes the scores that it adds; else None.
    """

    X: Any
    y: Any
    classes: int
    weight: Any = None
    inner: Any = None
    categorical: tuple[int, ...] = ()
    seed: int = 0
    deadline: float = float("inf")
    loss: str = "squared"
    level: float = 0.5
    power: float = 1.0
    query: Any = None
    monotone: tuple[int, ...] = ()
    start: Any = None

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline

    def take(self, rows: Any) -> Rows:
        """The rows at positions (m,), without an inner split."""
        weight = None if self.weight is None else self.weight[rows]
        query = None if self.query is None else self.query[rows]
        start = None if self.start is None else self.start[rows]
        return dataclasses.replace(self, X=self.X[rows], y=self.y[rows], weight=weight, query=query, inner=None,
                                   start=start)

    def by_query(self) -> tuple[Rows, Any]:
        """The rows with those of one query together, as rankers want them, and the number of each (queries,)."""
        order = np.argsort(self.query, kind="stable")
        return self.take(order), np.unique(self.query, return_counts=True)[1]


@frozen
class Core:
    """One fitted estimator. predict: float32 (m, f) -> (m, classes) probabilities, or (m, 1) values.

    `onnx()` gives a model from X to one output Y of that shape. `learned` as in records.Model.
    """

    predict: Callable[[Any], Any]
    onnx: Callable[[], Any]
    learned: Mapping[str, Any]


Learn = Callable[[Rows, Mapping[str, Any]], Core]


def threads() -> int:
    """How many threads a fit may use: one beside other trials, what `rightfit.resources.threads` found when alone."""
    return max(1, int(os.environ.get("RIGHTFIT_THREADS", "1")))


def inner_split(rows: Rows, groups: Any, stamps: Any) -> tuple[Any, Any] | None:
    """(train, valid) positions inside the training rows: the last in time, whole groups, or stratified; None if few."""
    n = len(rows.y)
    if n < INNER_ROWS:
        return None
    size = max(int(n * INNER_SHARE), 1)
    rng = np.random.default_rng(rows.seed)
    if stamps is not None:
        order = np.argsort(stamps, kind="stable")
        valid = order[-size:]
    elif groups is not None and len(np.unique(groups)) > 2:
        names = rng.permutation(np.unique(groups))
        counts = np.cumsum([int((groups == name).sum()) for name in names])
        chosen = names[: max(int(np.searchsorted(counts, size)), 1)]
        valid = np.flatnonzero(np.isin(groups, chosen))
    elif rows.classes:
        valid = _stratified(rows.y, size, rng)
    else:
        valid = rng.permutation(n)[:size]
    inside = np.zeros(n, dtype=bool)
    inside[valid] = True
    train = np.flatnonzero(~inside)
    if rows.classes and len(np.unique(rows.y[train])) < rows.classes:
        return None
    return train, np.flatnonzero(inside)


def _stratified(y: Any, size: int, rng: Any) -> Any:
    share = size / len(y)
    chosen = []
    for code in np.unique(y):
        places = rng.permutation(np.flatnonzero(y == code))
        count = int(np.floor(len(places) * share + rng.random()))
        chosen.append(places[: min(count, len(places) - 1)])
    return np.concatenate(chosen)


def subsample(rows: Rows, most: int) -> Rows:
    """At most so many rows, stratified for classes."""
    if len(rows.y) <= most:
        return rows
    rng = np.random.default_rng(rows.seed)
    if not rows.classes:
        return rows.take(np.sort(rng.permutation(len(rows.y))[:most]))
    keep = _stratified(rows.y, most, rng)
    first = np.unique(rows.y, return_index=True)[1]
    return rows.take(np.union1d(keep, first))


def affordable(rows: Rows, fit: Callable[[Rows], Any], most: int, power: float) -> Rows:
    """As many rows, at most `most`, as one fit whose cost grows as rows ** power can take before the deadline.

    For learners that cannot be stopped: a first fit on a few rows is timed, and half of the time left may be spent.
    """
    rows = subsample(rows, PROBE_ROWS if rows.late else most)
    if rows.deadline == float("inf") or len(rows.y) <= PROBE_ROWS:
        return rows
    start = time.monotonic()
    fit(subsample(rows, PROBE_ROWS))
    now = time.monotonic()
    times = max(rows.deadline - now, 0.0) / 2 / max(now - start, 1e-4)
    return subsample(rows, max(int(PROBE_ROWS * times ** (1 / power)), PROBE_ROWS))


def trees_per_round(task: Task) -> int:
    """How many trees, or one-against-rest fits, one round costs."""
    if task.problem == "ordinal":
        return len(task.classes) - 1
    return len(task.classes) if len(task.classes) > 2 else max(task.outputs, 1)


def two_columns(positive: Any) -> Any:
    """(n,) probabilities of the second class as (n, 2)."""
    return np.column_stack([1.0 - positive, positive])


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own warnings: not converging by a deadline is a result here, and is measured as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
