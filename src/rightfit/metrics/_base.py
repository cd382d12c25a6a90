"""The record `Metric` and the three ways to make one: from per-row figures, from per-class counts, from rankings.

Every maker yields two callables: `fn` for one value, and `many`, which prepares (y, pred) once and then scores a
whole matrix of row weights (b, n) at once. A weight is how often a row was drawn, so that bootstraps are cheap. What
is undefined (the recall of a class without rows, the R2 of a constant) is nan; nothing warns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rightfit.records import Problem, Task, frozen

Array = NDArray[Any]
Many = Callable[[Array], Array]
CLASSES: tuple[Problem, ...] = ("binary", "multiclass", "ordinal")
LABELS: tuple[Problem, ...] = (*CLASSES, "multilabel")
VALUES: tuple[Problem, ...] = ("regression", "forecasting", "count")


class Counts(NamedTuple):
    """Weights per class, each (..., k): hits, rows of the class, rows predicted as the class; and all rows (..., 1)."""

    hits: Array
    true: Array
    predicted: Array
    rows: Array


@frozen
class Metric:
    """A metric's SPEC: `fn(y, pred, weight, task) -> float`, where pred is what `needs` says.

    needs: "label" codes (n,) or (n, k) multilabel; "proba" (n, k) probabilities; "value" (n,) or (n, k) values.
    `low`/`high`: the possible range. `many(y, pred, task)(weights (b, n)) -> (b,)`: the same for many weightings.
    `counts(Counts, task)`: the same from per-class counts, which makes thresholds searchable in one sort.
    `one_sided`: problems in which a trivial prediction is perfect (recall: everything positive), so that no threshold
    is tuned for it alone. `pooled` False: scores are compared within a fold only (rankings), then averaged over
    folds.
    """

    name: str
    problems: tuple[Problem, ...]
    needs: Literal["label", "proba", "value"]
    fn: Callable[[Array, Array, Array | None, Task], float]
    greater_is_better: bool = True
    low: float = -float("inf")
    high: float = float("inf")
    doc: str = ""
    aliases: tuple[str, ...] = ()
    many: Callable[[Array, Array, Task], Many] | None = None
    counts: Callable[[Counts, Task], Array] | None = None
    one_sided: tuple[Problem, ...] = ()
    pooled: bool = True


def ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, nan where the bottom is zero, without a warning.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0))


def mean_defined(values: Array, weight: Array | None = None) -> Array:
    """Mean over the last axis of what is not nan; nan where nothing is defined.

    >>> mean_defined(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    array([ 1., nan])
    """
    known = ~np.isnan(values)
    share = known.astype(float) if weight is None else np.where(known, weight, 0.0)
    return ratio(np.asarray((np.where(known, values, 0.0) * share).sum(axis=-1)), np.asarray(share.sum(axis=-1)))


Rows = Callable[[Array, Array, Task], Array]
Link = Callable[[Array, Task], Array]


def first(means: Array, task: Task) -> Array:
    """The link of a metric that is the plain mean of one figure per row."""
    return np.asarray(means.mean(axis=-1))


def from_rows(rows: Rows, link: Link = first) -> dict[str, Any]:
    """`fn` and `many` of a metric that is a function `link` of the row means of `rows(y, pred, task)` -> (n, m)."""
    def table(y: Array, pred: Array, task: Task) -> Array:
        figures = np.asarray(rows(y, pred, task), float)
        return figures.reshape(len(figures), -1)

    def fn(y: Array, pred: Array, weight: Array | None, task: Task) -> float:
        figures = table(y, pred, task)
        if weight is None:
            return float(link(figures.mean(axis=0), task))
        return float(link(ratio(weight @ figures, np.asarray(weight.sum())), task))

    def many(y: Array, pred: Array, task: Task) -> Many:
        figures = table(y, pred, task)
        return lambda w: np.asarray(link(ratio(w @ figures, w.sum(axis=1, keepdims=True)), task))

    return {"fn": fn, "many": many}


def count(y: Array, codes: Array, weight: Array | None, task: Task) -> Counts:
    """Counts (k,) of one weighting; y, codes (n,) class codes, or (n, k) 0/1 for multilabel."""
    if task.problem == "multilabel":
        w = np.ones(len(y)) if weight is None else np.asarray(weight, float)
        true, predicted = y.astype(float), codes.astype(float)
        return Counts(w @ (true * predicted), w @ true, w @ predicted, np.array([w.sum()]))
    k = classes_of(y, codes, task)
    hit = y == codes
    some = None if weight is None else weight[hit]
    true = np.bincount(y, weight, k).astype(float)
    return Counts(np.bincount(y[hit], some, k).astype(float), true, np.bincount(codes, weight, k).astype(float),
                  np.array([true.sum()]))


def classes_of(y: Array, codes: Array, task: Task) -> int:
    """How many classes there are, counting codes beyond the task's."""
    top = max(int(y.max(initial=0)), int(codes.max(initial=0))) + 1
    return max(len(task.classes), top, 2)


def from_counts(value: Callable[[Counts, Task], Array]) -> dict[str, Any]:
    """`fn`, `many` and `counts` of a metric that is a function of `Counts`, vectorised over leading axes."""
    def fn(y: Array, codes: Array, weight: Array | None, task: Task) -> float:
        return float(value(count(y, codes, weight, task), task))

    def many(y: Array, codes: Array, task: Task) -> Many:
        tally = tallies(y, codes, task)
        return lambda w: np.asarray(value(tally(w), task))

    return {"fn": fn, "many": many, "counts": value}


def tallies(y: Array, codes: Array, task: Task) -> Callable[[Array], Counts]:
    """Prepare (y, codes) once; then Counts of (b, k) for row weights (b, n)."""
    if task.problem == "multilabel":
        true, predicted = y.astype(float), codes.astype(float)
        sides = np.concatenate([true * predicted, true, predicted], axis=1)
    else:
        k = classes_of(y, codes, task)
        if k > 16:
            def by_row(w: Array) -> Counts:
                each = [count(y, codes, row, task) for row in w]
                return Counts(*(np.stack(part) for part in zip(*each, strict=True)))
            return by_row
        one = np.eye(k)
        sides = np.concatenate([one[y] * (y == codes)[:, None], one[y], one[codes]], axis=1)
    width = sides.shape[1] // 3

    def by_product(w: Array) -> Counts:
        sums = w @ sides
        return Counts(sums[:, :width], sums[:, width:2 * width], sums[:, 2 * width:], w.sum(axis=1, keepdims=True))
    return by_product


Ranking = Callable[[Array, Array], Callable[[Array], Array]]


def from_ranking(prepare: Ranking) -> dict[str, Any]:
    """`fn` and `many` of a one-against-rest metric on scores; `prepare(is (n,), score (n,))(weights (b, n)) -> (b,)`.

    Binary: the last class against the rest; multiclass and multilabel: the mean over the classes that are defined.
    """
    def many(y: Array, pred: Array, task: Task) -> Many:
        if task.problem == "multilabel":
            sides = [(y[:, j] > 0, pred[:, j]) for j in range(pred.shape[1])]
        elif pred.shape[1] == 2:
            sides = [(y == 1, pred[:, 1])]
        else:
            sides = [(y == j, pred[:, j]) for j in range(pred.shape[1])]
        ready = [prepare(np.asarray(is_), np.asarray(score)) for is_, score in sides]
        return lambda w: mean_defined(np.stack([one(w) for one in ready], axis=-1))

    def fn(y: Array, pred: Array, weight: Array | None, task: Task) -> float:
        w = np.ones(len(y)) if weight is None else np.asarray(weight, float)
        return float(many(y, pred, task)(w[None, :])[0])

    return {"fn": fn, "many": many}


def steps(score: Array) -> tuple[Array, Array]:
    """Row order by falling score (n,), and the last position of every run of equal scores.

    >>> steps(np.array([0.2, 0.9, 0.2]))
    (array([1, 0, 2]), array([0, 2]))
    """
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(score) - 1)
    return order, ends
