"""Metrics on labels: accuracy, precision, recall, F-beta and their averages, MCC, kappa, cost; and multilabel ones.

The plain names precision, recall, f0.5, f1, f2, specificity speak of the positive (last) class for binary tasks and
of the mean over classes (macro) otherwise. Where scikit-learn warns and returns 0 for a class without rows, these
leave the class out of the mean, and return nan when nothing is left. A class that was predicted but has no rows
counts as precision 0, F1 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import (
    CLASSES,
    LABELS,
    Array,
    Counts,
    Metric,
    from_counts,
    from_rows,
    mean_defined,
    ratio,
)
from rightfit.records import Task

Part = Callable[[Array, Array, Array, Array], Array]


def _precision(hits: Array, true: Array, predicted: Array, rows: Array) -> Array:
    found = ratio(hits, predicted)
    return np.where((predicted == 0) & (true > 0), 0.0, found)


def _recall(hits: Array, true: Array, predicted: Array, rows: Array) -> Array:
    return ratio(hits, true)


def _specificity(hits: Array, true: Array, predicted: Array, rows: Array) -> Array:
    return ratio(rows - true - predicted + hits, rows - true)


def _f(beta: float) -> Part:
    def value(hits: Array, true: Array, predicted: Array, rows: Array) -> Array:
        return ratio((1 + beta**2) * hits, beta**2 * true + predicted)
    return value


def _plain(part: Part) -> Callable[[Counts, Task], Array]:
    def value(counts: Counts, task: Task) -> Array:
        each = part(*counts)
        return np.asarray(each[..., -1]) if task.problem == "binary" else mean_defined(each)
    return value


def _macro(part: Part) -> Callable[[Counts, Task], Array]:
    return lambda counts, task: mean_defined(part(*counts))


def _weighted(part: Part) -> Callable[[Counts, Task], Array]:
    return lambda counts, task: mean_defined(part(*counts), counts.true)


def _micro(part: Part) -> Callable[[Counts, Task], Array]:
    def value(counts: Counts, task: Task) -> Array:
        hits, true, predicted = (side.sum(axis=-1) for side in counts[:3])
        return part(hits, true, predicted, counts.rows[..., 0] * counts.true.shape[-1])
    return value


def _accuracy_rows(y: Array, codes: Array, task: Task) -> Array:
    same = y == codes
    return np.asarray(same.all(axis=1) if same.ndim == 2 else same)


def _accuracy(counts: Counts, task: Task) -> Array:
    return ratio(counts.hits.sum(axis=-1), counts.rows[..., 0])


def _mcc(counts: Counts, task: Task) -> Array:
    n = counts.rows[..., 0]
    top = counts.hits.sum(axis=-1) * n - (counts.true * counts.predicted).sum(axis=-1)
    true = n**2 - (counts.true**2).sum(axis=-1)
    below = np.sqrt(np.maximum(true * (n**2 - (counts.predicted**2).sum(axis=-1)), 0))
    return np.where((below == 0) & (true > 0), 0.0, ratio(top, below))


def _kappa(counts: Counts, task: Task) -> Array:
    n = counts.rows[..., 0]
    by_chance = ratio((counts.true * counts.predicted).sum(axis=-1), n**2)
    return ratio(ratio(counts.hits.sum(axis=-1), n) - by_chance, 1 - by_chance)


def _quadratic_rows(y: Array, codes: Array, task: Task) -> Array:
    true, given = y.astype(float), codes.astype(float)
    return np.stack([(true - given) ** 2, true, true**2, given, given**2], axis=1)


def _quadratic(means: Array, task: Task) -> Array:
    apart, true, true2, given, given2 = np.moveaxis(means, -1, 0)
    return 1 - ratio(apart, true2 + given2 - 2 * true * given)


def _apart_rows(y: Array, codes: Array, task: Task) -> Array:
    return np.asarray(np.abs(y.astype(float) - codes.astype(float)))


def _linear_rows(y: Array, codes: Array, task: Task) -> Array:
    one = np.eye(max(len(task.classes), int(max(y.max(initial=0), codes.max(initial=0))) + 1))
    return np.column_stack([_apart_rows(y, codes, task), one[y], one[codes]])


def _linear(means: Array, task: Task) -> Array:
    k = (means.shape[-1] - 1) // 2
    price = np.abs(np.arange(k)[:, None] - np.arange(k)).astype(float)
    chance = ((means[..., 1:1 + k] @ price) * means[..., 1 + k:]).sum(axis=-1)
    return 1 - ratio(means[..., 0], chance)


def _matrix(task: Task) -> Array:
    if not task.cost:
        raise UsageError("the metric cost needs the prices of errors; got cost=(), give some such as "
                         "{'FN': 50, 'FP': 1}.")
    return np.asarray(task.cost, float)


def _cost_rows(y: Array, codes: Array, task: Task) -> Array:
    return np.asarray(_matrix(task)[y, codes])


def _cost(counts: Counts, task: Task) -> Array:
    prices = _matrix(task)
    hits, true, predicted = (side[..., -1] for side in counts[:3])
    rows = counts.rows[..., 0]
    wrong = prices[1, 0] * (true - hits) + prices[0, 1] * (predicted - hits)
    return ratio(prices[1, 1] * hits + wrong + prices[0, 0] * (rows - true - predicted + hits), rows)


def _f1_samples(y: Array, codes: Array, task: Task) -> Array:
    both = 2.0 * (y * codes).sum(axis=1)
    size = y.sum(axis=1) + codes.sum(axis=1)
    return np.where(size == 0, 1.0, both / np.maximum(size, 1))


def _family(name: str, part: Part, text: str, one_sided: bool) -> tuple[Metric, ...]:
    sided: dict[str, Any] = {"one_sided": LABELS if one_sided else ()}
    shared: dict[str, Any] = {"problems": LABELS, "needs": "label", "low": 0.0, "high": 1.0}
    return (
        Metric(name=name, doc=f"{text}; of the positive class, or the mean over classes when there are several.",
               **shared, **sided, **from_counts(_plain(part))),
        Metric(name=f"{name}_macro", doc=f"{text}; mean over classes.", **shared, **sided, **from_counts(_macro(part))),
        Metric(name=f"{name}_weighted", doc=f"{text}; mean over classes weighted by their rows.", **shared, **sided,
               **from_counts(_weighted(part))),
        Metric(name=f"{name}_micro", doc=f"{text}; over all decisions at once.", **shared, **sided,
               **from_counts(_micro(part))),
    )


SPEC: tuple[Metric, ...] = (
    Metric(name="accuracy", problems=LABELS, needs="label", low=0.0, high=1.0, aliases=("acc", "subset_accuracy"),
           doc="Share of rows whose label is right; multilabel: whose labels are all right.",
           **from_rows(_accuracy_rows), counts=_accuracy),
    Metric(name="balanced_accuracy", problems=CLASSES, needs="label", low=0.0, high=1.0, aliases=("bacc", "uar"),
           doc="Mean recall over the classes that have rows.", **from_counts(_macro(_recall))),
    *_family("precision", _precision, "Share of the predicted that is right", True),
    *_family("recall", _recall, "Share of the class that is found", True),
    *_family("f0.5", _f(0.5), "Weighted harmonic mean of precision (twice as important) and recall", False),
    *_family("f1", _f(1.0), "Harmonic mean of precision and recall", False),
    *_family("f2", _f(2.0), "Weighted harmonic mean of precision and recall (twice as important)", False),
    Metric(name="specificity", problems=CLASSES, needs="label", low=0.0, high=1.0, aliases=("tnr",),
           doc="Share of the rest that is left alone.", one_sided=("binary",), **from_counts(_plain(_specificity))),
    Metric(name="mcc", problems=CLASSES, needs="label", low=-1.0, high=1.0, aliases=("matthews", "matthews_corrcoef"),
           doc="Matthews correlation (Gorodkin 2004 for several classes).", **from_counts(_mcc)),
    Metric(name="kappa", problems=CLASSES, needs="label", low=-1.0, high=1.0, aliases=("cohen_kappa",),
           doc="Agreement beyond chance (Cohen 1960).", **from_counts(_kappa)),
    Metric(name="kappa_quadratic", problems=CLASSES, needs="label", low=-1.0, high=1.0,
           aliases=("qwk", "quadratic_kappa"),
           doc="Agreement beyond chance on ordered classes, squared distances.",
           **from_rows(_quadratic_rows, _quadratic)),
    Metric(name="kappa_linear", problems=CLASSES, needs="label", low=-1.0, high=1.0, aliases=("lwk",),
           doc="Agreement beyond chance on ordered classes, distances as they are.",
           **from_rows(_linear_rows, _linear)),
    Metric(name="class_mae", problems=("ordinal",), needs="label", greater_is_better=False, low=0.0,
           aliases=("ordinal_mae",), doc="Mean distance between the place of the label and the truth.",
           **from_rows(_apart_rows)),
    Metric(name="within_one", problems=("ordinal",), needs="label", low=0.0, high=1.0, aliases=("accuracy_within_one",),
           doc="Share of rows whose label is right or a neighbour of what is.",
           **from_rows(lambda y, codes, task: np.abs(y - codes) <= 1)),
    Metric(name="cost", problems=CLASSES, needs="label", greater_is_better=False, aliases=("expected_cost",),
           doc="Mean price of a decision under the task's cost matrix.", **from_rows(_cost_rows), counts=_cost),
    Metric(name="hamming", problems=("multilabel",), needs="label", greater_is_better=False, low=0.0, high=1.0,
           aliases=("hamming_loss",), doc="Share of single label decisions that are wrong.",
           **from_rows(lambda y, codes, task: y != codes)),
    Metric(name="f1_samples", problems=("multilabel",), needs="label", low=0.0, high=1.0,
           doc="F1 of each row's label set, mean over rows; two empty sets agree.", **from_rows(_f1_samples)),
)
